"""The virtual clock, against schedules worked out by hand."""

import pytest
from simulation_fakes import FakeProblem, Scripted, trial

from bohb_nas.errors import BohbNasError, ProblemError
from bohb_nas.records import Idle, Origin
from bohb_nas.simulation.clock import Promote, Run, simulate


def run(
    optimizer: Scripted,
    problem: FakeProblem,
    *,
    n_workers: int = 1,
    horizon: float = 100.0,
    promote: Promote = "restart",
    overhead: bool = False,
) -> Run:
    return simulate(
        optimizer, problem, n_workers=n_workers, horizon=horizon, seed=0, promote=promote, overhead=overhead, cpu=lambda: optimizer.cpu_s
    )


def test_results_come_in_the_order_of_their_finish_times() -> None:
    # two workers: 0 runs from 0 to 5; 1 from 0 to 2, then 2 from 2 to 4, then 3 from 4 to 14, which is after the horizon
    problem = FakeProblem(costs=[[1, 5], [1, 2], [1, 2], [1, 10]], losses=[[0.4] * 2, [0.3] * 2, [0.2] * 2, [0.1] * 2])
    optimizer = Scripted(trial(0), trial(1), trial(2), trial(3))
    done = run(optimizer, problem, n_workers=2, horizon=10)
    assert optimizer.events == ["ask t0r1", "ask t1r1", "tell t1r1", "ask t2r1", "tell t2r1", "ask t3r1", "tell t0r1", "done"]
    assert done.busy == 5 + 2 + 2 + 6
    assert done.evaluations == [0, 3]
    assert done.origins == {"random": 4}
    assert [(i.time, i.loss) for i in done.recommended] == [(2, 3), (4, 2)]


def test_what_finishes_at_once_is_told_in_the_order_of_asking_before_anything_is_asked() -> None:
    problem = FakeProblem(costs=[[1, 4]] * 4, losses=[[0.1, 0.1]] * 4)
    optimizer = Scripted(trial(0), trial(1), trial(2))
    run(optimizer, problem, n_workers=2)
    assert optimizer.events[:6] == ["ask t0r1", "ask t1r1", "tell t0r1", "tell t1r1", "ask t2r1", "done"]


def test_a_worker_stands_idle_while_the_optimizer_waits() -> None:
    # 0 from 0 to 3 beside an idle worker; only then 1, from 3 to 4
    problem = FakeProblem(costs=[[1, 3], [1, 1]], losses=[[0.4] * 2, [0.3] * 2])
    optimizer = Scripted(trial(0), Idle.WAIT, trial(1))
    done = run(optimizer, problem, n_workers=2, horizon=4)
    assert optimizer.events == ["ask t0r1", "wait", "tell t0r1", "ask t1r1", "done", "tell t1r1", "done"]
    assert done.busy == 4
    assert [i.time for i in done.recommended] == [3, 4]


@pytest.mark.parametrize(("promote", "end", "new"), [("restart", 1 + 3, 3), ("continue", 3, 2)])
def test_continue_pays_the_difference(promote: Promote, end: float, new: float) -> None:
    problem = FakeProblem(costs=[[1, 3]], losses=[[0.4, 0.3]])
    optimizer = Scripted(trial(0, rung=0), trial(0, rung=1, origin=Origin.PROMOTED))
    done = run(optimizer, problem, promote=promote)
    assert done.recommended[-1].time == end
    assert (optimizer.results[-1].train_s, optimizer.results[-1].metrics) == (3, {"new_s": new})


def test_a_promoted_configuration_that_costs_less_than_it_has_paid_pays_nothing() -> None:
    """Its cheap training took 5, its dear one, of a table with noise, 3."""
    optimizer = Scripted(trial(0, rung=0), trial(0, rung=1, origin=Origin.PROMOTED))
    done = run(optimizer, FakeProblem(costs=[[5, 3]], losses=[[0.4, 0.3]]), promote="continue")
    assert [result.metrics["new_s"] for result in optimizer.results] == [5, 0]
    assert (done.busy, [i.time for i in done.recommended]) == (5, [5, 5])


def test_a_failed_training_leaves_no_checkpoint() -> None:
    problem = FakeProblem(costs=[[1, 3]], losses=[[None, 0.3]])
    done = run(Scripted(trial(0, rung=0), trial(0, rung=1, origin=Origin.PROMOTED)), problem, promote="continue")
    assert done.recommended[-1].time == 1 + 3
    assert done.failed == 1


def test_the_same_configuration_without_promotion_pays_in_full() -> None:
    problem = FakeProblem(costs=[[1, 3]], losses=[[0.4, 0.3]])
    done = run(Scripted(trial(0, rung=0), trial(0, rung=1)), problem, promote="continue")
    assert done.recommended[-1].time == 1 + 3


@pytest.mark.parametrize(("horizon", "told"), [(5.0, 1), (4.999, 0)])
def test_the_horizon_is_the_last_moment_that_counts(horizon: float, told: int) -> None:
    problem = FakeProblem(costs=[[1, 5]], losses=[[0.1, 0.1]])
    optimizer = Scripted(trial(0))
    assert sum(run(optimizer, problem, horizon=horizon).evaluations) == told
    assert len(optimizer.results) == told


def test_asks_and_tells_wait_for_each_other_when_they_take_time() -> None:
    # an ask takes 1, a tell 0.5, a training 10; two workers
    #  0 ask 0        1 start 0, ask 1        2 start 1
    # 11 0 finished, tell until 11.5, ask 2 until 12.5; meanwhile, at 12, 1 has finished
    # 12.5 start 2, tell 1 until 13, ask 3 until 14
    # 14 start 3        22.5 2 finished, tell until 23, ask until 24, after the horizon
    problem = FakeProblem(costs=[[1, 10]] * 4, losses=[[0.4] * 2, [0.3] * 2, [0.2] * 2, [0.1] * 2])
    optimizer = Scripted(*(trial(k) for k in range(4)), ask_s=1, tell_s=0.5)
    done = run(optimizer, problem, n_workers=2, horizon=23, overhead=True)
    assert optimizer.events == ["ask t0r1", "ask t1r1", "tell t0r1", "ask t2r1", "tell t1r1", "ask t3r1", "tell t2r1", "done"]
    assert [i.time for i in done.recommended] == [11, 12.5, 22.5]
    assert done.busy == 10 + 10 + 10 + (23 - 14)
    assert done.cpu_s == 5 * 1 + 3 * 0.5


def test_without_overhead_the_same_optimizer_costs_nothing() -> None:
    problem = FakeProblem(costs=[[1, 10]] * 4, losses=[[0.4] * 2, [0.3] * 2, [0.2] * 2, [0.1] * 2])
    optimizer = Scripted(*(trial(k) for k in range(4)), ask_s=1, tell_s=0.5)
    done = run(optimizer, problem, n_workers=2, horizon=25)
    assert [i.time for i in done.recommended] == [10, 10, 20, 20]


def test_nothing_starts_after_the_horizon() -> None:
    problem = FakeProblem(costs=[[1, 1]], losses=[[0.1, 0.1]])
    done = run(Scripted(trial(0), ask_s=5), problem, horizon=4, overhead=True)
    assert (done.busy, done.origins) == (0, {})


def test_the_recommended_incumbent_is_the_best_at_the_highest_rung_so_far() -> None:
    # 0 and 1 at the low rung; then 2, worse, at the high rung; then 1 at the low rung counts no more; then 0 at the high one
    problem = FakeProblem(costs=[[1, 1]] * 3, losses=[[0.5, 0.1], [0.3, 0.2], [0.4, 0.6]])
    optimizer = Scripted(trial(0, rung=0), trial(1, rung=0), trial(2, rung=1), trial(1, rung=0), trial(0, rung=1))
    done = run(optimizer, problem)
    assert [(i.time, i.loss, i.rung) for i in done.recommended] == [(1, 1, 0), (2, 2, 0), (3, 6, 1), (5, 1, 1)]


def test_of_equal_losses_the_first_is_recommended() -> None:
    done = run(Scripted(trial(0), trial(1)), FakeProblem(costs=[[1, 1]] * 2, losses=[[0.5, 0.4]] * 2))
    assert [i.time for i in done.recommended] == [1]


def test_an_optimizer_that_waits_for_nothing_is_an_error() -> None:
    problem = FakeProblem(costs=[[1, 1]], losses=[[0.1, 0.1]])
    with pytest.raises(BohbNasError, match="nothing is running"):
        run(Scripted(trial(0), Idle.WAIT, Idle.WAIT), problem, n_workers=2)


def test_an_optimizer_that_asks_for_what_is_no_trial_is_an_error() -> None:
    problem = FakeProblem(costs=[[1, 1]], losses=[[0.1, 0.1]])
    with pytest.raises(BohbNasError, match="asked for None; accepted is a Trial"):
        run(Scripted(trial(0), None), problem)  # type: ignore[arg-type]


@pytest.mark.parametrize("cost", [0.0, -1.0, float("nan"), float("inf")])
def test_a_cost_is_a_positive_number(cost: float) -> None:
    with pytest.raises(ProblemError, match="fake: cost"):
        run(Scripted(trial(0)), FakeProblem(costs=[[1, cost]], losses=[[0.1, 0.1]]))
