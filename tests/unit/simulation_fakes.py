"""A problem whose costs and losses a test writes down, and an optimizer that asks what a test wrote down."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ConfigSpace import ConfigurationSpace, Integer

from bohb_nas.benchmarks import Observation, Problem
from bohb_nas.records import Budgets, Idle, Origin, Result, Status, Trial, Value
from bohb_nas.simulation.results import Conditions, Finished, Key
from bohb_nas.space.encoding import Encoding

BUDGETS = Budgets(min=1, max=3, eta=3)


@dataclass(kw_only=True)
class FakeProblem:
    """Configuration `{"x": k}` at rung r costs `costs[k][r]` and shows `losses[k][r]`; its truth is 10 times its last loss."""

    costs: Sequence[Sequence[float]]
    losses: Sequence[Sequence[float | None]]
    name: str = "fake"
    budgets: Budgets = BUDGETS
    best: float = 0.0
    median: float = 1.0
    mean_cost: float = 1.0
    cost_unit: str = "s"
    space: ConfigurationSpace = field(default_factory=lambda: ConfigurationSpace({"x": Integer("x", (0, 9))}))

    def evaluate(self, config: Mapping[str, Value], budget: float, *, seed: int) -> Observation:
        k, rung = int(config["x"]), self.budgets.rungs.index(budget)
        loss = self.losses[k][rung]
        return Observation(loss=loss, cost=self.costs[k][rung], status=Status.CRASHED if loss is None else Status.OK)

    def truth(self, config: Mapping[str, Value]) -> float:
        loss = self.losses[int(config["x"])][-1]
        assert loss is not None
        return 10 * loss


class Scripted:
    """Asks what is written down, then is done; remembers what it was told. Each ask and tell takes CPU seconds."""

    def __init__(self, *script: Trial | Idle, ask_s: float = 0.0, tell_s: float = 0.0) -> None:
        self._script = list(script)
        self._ask_s, self._tell_s = ask_s, tell_s
        self.events: list[str] = []
        self.results: list[Result] = []
        self.cpu_s = 0.0

    def ask(self) -> Trial | Idle:
        self.cpu_s += self._ask_s
        asked = self._script.pop(0) if self._script else Idle.DONE
        self.events.append(f"ask {asked.trial_id}" if isinstance(asked, Trial) else str(asked))
        return asked

    def tell(self, result: Result) -> None:
        self.cpu_s += self._tell_s
        self.events.append(f"tell {result.trial_id}")
        self.results.append(result)


def trial(k: int, *, rung: int = 1, origin: Origin = Origin.RANDOM) -> Trial:
    """Configuration k at a rung, called `k.rung`."""
    return Trial(
        trial_id=f"t{k}r{rung}",
        config_id=f"c{k}",
        config={"x": k},
        budget=BUDGETS.rungs[rung],
        bracket=0,
        rung=rung,
        seed=0,
        origin=origin,
    )


CONDITIONS = Conditions(workers=4, promote="restart", overhead=False, horizon=10.0)


def finished(
    method: str,
    problem: str = "p",
    seed: int = 0,
    *,
    recommended: Sequence[tuple[float, float, int]] = (),
    best: float = 0.0,
    median: float = 1.0,
    conditions: Conditions = CONDITIONS,
    code: str = "c0de",
) -> Finished:
    """A stored run of two rungs."""
    return Finished(
        key=Key(method=method, problem=problem, seed=seed, conditions=conditions),
        reference=method,
        options={},
        version=None,
        bohb_nas="0.1.0",
        code=code,
        problem_code="feed",
        best=best,
        median=median,
        mean_cost=5.0,
        recommended=tuple(recommended),
        evaluations=(3, 1),
        origins={"random": 4},
        failed=1,
        busy=0.5,
        cpu_s=0.25,
    )


def sample(problem: Problem, n: int) -> list[dict[str, Value]]:
    """Configurations of a problem, always the same."""
    encoding = Encoding(problem.space)
    return [encoding.sample(seed) for seed in range(n)]
