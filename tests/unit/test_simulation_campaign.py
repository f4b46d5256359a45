"""What is run, what is run again, and what is stored of a run, on problems written down here."""

from collections.abc import Callable, Mapping
from dataclasses import replace

import pytest
from simulation_fakes import CONDITIONS, FakeProblem, finished

from bohb_nas.benchmarks import Observation
from bohb_nas.errors import ProblemError
from bohb_nas.records import Value
from bohb_nas.simulation import campaign
from bohb_nas.simulation.campaign import Case
from bohb_nas.simulation.entrants import entrants

(RANDOM,) = entrants(["random_search"])
CASE = Case(entrant=RANDOM, problem="p", problem_code="feed", seed=3, conditions=replace(CONDITIONS, workers=2, horizon=2.5))


class Remembering(FakeProblem):
    """Ten configurations that take 6 each; it remembers with which seeds it was asked."""

    def __init__(self) -> None:
        super().__init__(costs=[[2, 6]] * 10, losses=[[0.5, 0.1 * k] for k in range(10)], mean_cost=6.0)
        self.seeds: set[int] = set()

    def evaluate(self, config: Mapping[str, Value], budget: float, *, seed: int) -> Observation:
        self.seeds.add(seed)
        return super().evaluate(config, budget, seed=seed)


@pytest.fixture
def there_is(monkeypatch: pytest.MonkeyPatch) -> Callable[[FakeProblem], None]:
    """Puts a problem in the place of all others."""
    return lambda problem: monkeypatch.setattr(campaign, "load", lambda name: problem)


def test_a_run_is_stored_in_mean_costs_and_shares(there_is: Callable[[FakeProblem], None]) -> None:
    # two workers, 6 for each training, until 2.5 times 6: told at 6 and at 12, and busy to the end
    there_is(Remembering())
    run = campaign.run(CASE)
    assert (run.evaluations, run.busy, run.mean_cost) == ((0, 4), 1.0, 6.0)
    assert {time for time, _, _ in run.recommended} <= {1.0, 2.0}


def test_the_seed_is_that_of_the_noise_and_of_the_method(there_is: Callable[[FakeProblem], None]) -> None:
    problem = Remembering()
    there_is(problem)
    one, other = campaign.run(CASE), campaign.run(replace(CASE, seed=4))
    assert problem.seeds == {3, 4}
    assert one.recommended != other.recommended, "other configurations were drawn"


def test_runs_on_another_version_of_a_problem_are_done_again() -> None:
    stored = replace(finished("random_search", "p", code=RANDOM.code), version=RANDOM.version, key=CASE.key)
    assert campaign.missing([CASE], {CASE.key: stored}, accept_changed=False) == ([], [])
    old = replace(stored, problem_code="old")
    assert campaign.missing([CASE], {CASE.key: old}, accept_changed=False) == ([CASE], [CASE])
    assert campaign.missing([CASE], {CASE.key: old}, accept_changed=True) == ([], [])


def test_a_family_and_its_first_instance_are_one_problem() -> None:
    twice = campaign.cases([RANDOM], ["condnet", "condnet/noisy"], seeds=[0], conditions=[CONDITIONS])
    assert [case.problem for case in twice] == ["condnet/noisy"]


def test_a_problem_whose_best_is_its_median_is_refused(there_is: Callable[[FakeProblem], None]) -> None:
    there_is(FakeProblem(costs=[[1, 3]], losses=[[0.5, 0.5]], best=1.0, median=1.0))
    with pytest.raises(ProblemError, match=r"best 1\.0, median 1\.0, mean cost 1\.0; accepted are best < median"):
        campaign.cases([RANDOM], ["fake"], seeds=[0], conditions=[CONDITIONS])
