import math
import random
from typing import Any

import one_shot_fakes as shots
import pytest
import torch
import training_fakes as fakes

from bohb_nas.oneshot.running import Searched, run
from bohb_nas.oneshot.snapshots import Snapshots
from bohb_nas.oneshot.standing import Standing
from bohb_nas.records import Status
from bohb_nas.training.loop import Length
from bohb_nas.training.position import Leave, Point
from bohb_nas.training.validation import Score


def search(
    budget_s: float = 10.0, *, max_steps: int | None = None, leave: Leave[Standing] | None = None, **options: Any
) -> tuple[Searched, shots.Walk, list[Point]]:
    time, points = fakes.Virtual(), list[Point]()
    walk = shots.Walk(time, **options)
    outcome = run(walk, Length(budget_s=budget_s, max_steps=max_steps), time.clock(), points.append, leave=leave)
    return outcome, walk, points


def test_the_last_step_ends_with_the_budget_at_the_fraction_1() -> None:
    told: list[tuple[float, float]] = []
    outcome, walk, points = search(on_step=lambda u, rest: told.append((u, rest)))
    assert (outcome.status, walk.steps) == (Status.OK, 100)
    assert outcome.train_s == pytest.approx(10.0)
    steps = told[3:]
    assert len(told) == 103, "three were tried before the clock"
    assert [u for u, _ in steps] == pytest.approx([n / 100 for n in range(1, 101)])
    assert [rest for _, rest in steps] == list(range(100, 0, -1))
    assert steps[-1] == (1.0, 1.0)
    assert outcome.warmup_s == pytest.approx(0.3)
    assert (outcome.step_s, outcome.step_max_s) == pytest.approx((0.1, 0.1))
    assert points == outcome.curve
    assert [point["u"] for point in points] == pytest.approx([n / 20 for n in range(1, 21)])
    assert [point["step"] for point in points] == list(range(5, 101, 5))
    assert points[0].keys() == {"u", "t", "step", "train_loss", "entropy"}, "what is not finite is left out"
    assert (points[-1]["valid_error"], points[-1]["n_valid"]) == (0.25, 40)
    assert walk.allowances == [0.5], "5 % of the budget"
    assert outcome.valid_s == pytest.approx(0.03)


def test_the_curve_has_the_mean_loss_since_its_last_point() -> None:
    _, _, points = search(max_steps=100)
    alone, losses = shots.Walk(fakes.Virtual()), list[float]()
    for _ in range(100):
        losses.append(alone.step(0.5, 1.0))
    assert [point["train_loss"] for point in points] == pytest.approx([sum(losses[n : n + 5]) / 5 for n in range(0, 100, 5)])


@pytest.mark.parametrize("slow", [0.0, 0.3])
def test_the_end_misses_the_budget_by_less_than_a_step_however_steps_differ(slow: float) -> None:
    """Steps become eight times as long after a quarter, or after 30 %, of the budget; all of them scatter."""
    rng = random.Random(1)
    told: list[float] = []

    def seconds(u: float) -> float:
        return (0.05 if u < (slow or 0.25) else 0.4) * rng.uniform(0.7, 1.3)

    outcome, _, _ = search(40.0, seconds=seconds, on_step=lambda u, _: told.append(u))
    assert outcome.status is Status.OK
    assert abs(outcome.train_s - 40.0) < 0.4 * 1.3
    assert told[3:] == sorted(told[3:])
    assert outcome.curve[-1]["u"] == 1


def test_a_step_of_unforeseen_length_is_not_followed_by_another_beyond_the_budget() -> None:
    outcome, walk, _ = search(2.0, seconds=lambda u: 1.5 if 0.78 < u < 0.82 else 0.1)
    assert (outcome.status, walk.steps) == (Status.OK, 16)
    assert outcome.train_s == pytest.approx(1.5 + 1.5)
    assert outcome.curve[-1]["u"] == 1


def test_max_steps_end_it_whatever_they_take() -> None:
    told: list[float] = []
    outcome, walk, _ = search(1e-3, max_steps=20, on_step=lambda u, _: told.append(u))
    assert (outcome.status, walk.steps) == (Status.OK, 20)
    assert told[3:] == pytest.approx([n / 20 for n in range(1, 21)])
    assert walk.allowances == [math.inf], "what is counted is judged in whole"


def test_a_budget_in_which_too_few_steps_fit_is_refused_with_what_a_step_takes() -> None:
    outcome, walk, _ = search(0.75)
    assert (outcome.status, outcome.train_s, walk.steps, outcome.valid) == (Status.TIMED_OUT, 0.0, 0, None)
    assert outcome.message is not None
    assert "takes 0.1 s: fewer than 8 fit into 0.75 s" in outcome.message
    assert "budgets from 0.8 s" in outcome.message
    assert search(0.85)[0].status is Status.OK
    thick = search(4.0, seconds=lambda u: 0.1 if u < 0.25 else 0.6)[0]
    assert thick.status is Status.TIMED_OUT, "what counts is a step in the thick of the search"


def test_the_first_steps_pay_what_only_they_cost_before_the_clock() -> None:
    first = iter([5.0])
    outcome, walk, _ = search(seconds=lambda _: next(first, 0.1))
    assert walk.steps == 100
    assert outcome.train_s == pytest.approx(10.0)


def test_the_usual_and_the_longest_step_are_told() -> None:
    outcome, _, _ = search(seconds=lambda u: 0.7 if 0.5 < u < 0.52 else 0.1)
    assert (outcome.step_s, outcome.step_max_s) == pytest.approx((0.1, 0.7))


def test_a_search_that_diverges_once_is_put_back_and_goes_on_another_way() -> None:
    outcome, walk, points = search(max_steps=200, fails=shots.fails_once_at(130))
    assert (outcome.status, walk.steps, walk.disturbed) == (Status.OK, 200, 1)
    assert outcome.restored == [{"step": 130, "u": pytest.approx(0.65), "loss": "nan", "to": 100}]
    assert all(math.isfinite(value) for point in points for value in point.values())
    assert [point["u"] for point in points] == sorted(point["u"] for point in points)
    expected = shots.Walk(fakes.Virtual())
    for _ in range(100):
        expected.step(0.5, 1.0)
    expected.disturb(1)
    losses = [expected.step(0.5, 1.0) for _ in range(100)]
    assert torch.equal(walk.x, expected.x)
    next_point = next(point for point in points if point["step"] == 130 and point["u"] == pytest.approx(0.65))
    assert next_point["train_loss"] == pytest.approx(sum(losses[:30]) / 30), "of what was put back nothing counts"


def test_with_a_budget_of_seconds_what_was_lost_is_not_given_back() -> None:
    told: list[float] = []
    fails = shots.fails_once_at(70)
    outcome, walk, _ = search(fails=fails, on_step=lambda u, _: told.append(u))
    assert (outcome.status, walk.steps) == (Status.OK, 80)
    assert outcome.train_s == pytest.approx(10.0)
    assert told[3:] == sorted(told[3:])


def test_after_three_restorations_it_is_given_up() -> None:
    outcome, walk, _ = search(max_steps=200, fails=lambda step, _: step >= 60)
    assert (outcome.status, outcome.valid) == (Status.DIVERGED, None)
    assert [entry["to"] for entry in outcome.restored] == [50, 0, 50], "further back than where it failed from; then from a new one"
    assert [entry["step"] for entry in outcome.restored] == [60, 60, 60]
    assert walk.disturbed == 3
    assert outcome.message is not None
    assert "nan by step 60, after 3 restorations" in outcome.message


def test_a_snapshot_of_what_is_spoilt_already_is_not_taken() -> None:
    walk = shots.Walk(fakes.Virtual())
    snapshots = Snapshots(walk, every=1)
    walk.step(0.5, 1.0)
    good = walk.x.clone()
    snapshots.follow()
    walk.step(0.5, 1.0)
    walk.velocity[0] = math.inf
    snapshots.follow()
    assert snapshots.go_back() == 1
    assert torch.equal(walk.x, good)


def test_weights_that_the_last_update_has_spoilt_are_not_judged() -> None:
    outcome, walk, _ = search(max_steps=70, spoils=shots.fails_once_at(70))
    assert (outcome.status, walk.steps, walk.disturbed) == (Status.OK, 70, 1)
    assert outcome.restored == [{"step": 70, "u": 1.0, "loss": "nan", "to": 50}]
    assert torch.isfinite(walk.velocity).all()
    outcome, walk, _ = search(7.0, spoils=shots.fails_once_at(70))
    assert (outcome.status, walk.steps) == (Status.OK, 50), "there are no seconds left to take them again"
    assert outcome.train_s == pytest.approx(7.0)


def test_a_state_that_is_spoilt_is_put_back_before_it_is_kept() -> None:
    kept: list[tuple[int, Standing]] = []
    left = iter([False] * 64 + [True])
    leave: Leave[Standing] = Leave(asked=lambda: next(left), save=lambda standing: kept.append((walk.steps, standing)))
    time = fakes.Virtual()
    walk = shots.Walk(time, spoils=shots.fails_once_at(61))
    outcome = run(walk, Length(budget_s=10.0, max_steps=100), time.clock(), lambda _: None, leave=leave)
    assert outcome.status is Status.PREEMPTED
    [(steps, standing)] = kept
    assert steps == 50
    assert [(entry["step"], entry["to"]) for entry in standing.restored] == [(61, 50)]
    assert standing.u == pytest.approx(0.5)


@pytest.mark.parametrize(("every_s", "kept_at"), [(4.0, [4.0, 8.0, 10.0]), (10.5, [])])
def test_the_end_of_a_long_search_is_kept_before_it_is_judged(every_s: float, kept_at: list[float]) -> None:
    """Whoever is killed while a network is exported has lost no step."""
    kept: list[tuple[int, Standing]] = []
    judged: list[int] = []
    time = fakes.Virtual()
    walk = shots.Walk(time)
    judge = walk.judge

    def counted(allowance_s: float) -> Score:
        judged.append(len(kept))
        return judge(allowance_s)

    walk.judge = counted  # type: ignore[method-assign]
    leave: Leave[Standing] = Leave(save=lambda standing: kept.append((walk.steps, standing)), every_s=every_s)
    first = run(walk, Length(budget_s=10.0), time.clock(), lambda _: None, leave=leave)
    assert [standing.train_s for _, standing in kept] == pytest.approx(kept_at, abs=0.11)
    assert judged == [len(kept_at)]
    if kept:
        steps, standing = kept[-1]
        again = run(walk, Length(budget_s=10.0), time.clock(), lambda _: None, standing=standing)
        assert (steps, walk.steps, again.status, again.valid) == (100, 100, Status.OK, first.valid)
        assert again.train_s == pytest.approx(first.train_s)
        assert again.curve == first.curve


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("train_s", -1.0),
        ("train_s", math.nan),
        pytest.param("train_s", 10**400, id="beyond every float"),
        ("u", 1.5),
        ("sums", [1.0]),
        ("sums", [1.0, 2.5]),
        ("curve", [{"t": 1.0}]),
        ("restored", [3]),
    ],
)
def test_a_standing_that_cannot_be_is_refused(field: str, value: object) -> None:
    good = {"train_s": 1.0, "u": 0.5, "sums": [1.0, 2], "curve": [{"u": 0.1}], "restored": [{"step": 3}]}
    assert Standing.from_json(good).to_json() == good | {"sums": (1.0, 2)}
    with pytest.raises(ValueError, match=field):
        Standing.from_json(good | {field: value})
    with pytest.raises(ValueError, match="fields"):
        Standing.from_json({name: entry for name, entry in good.items() if name != field})
