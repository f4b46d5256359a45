"""Runs one optimizer on one problem under a virtual clock: a discrete-event simulation of W workers.

The optimizer is the one that a real study uses. It is asked whenever a worker is free; results are told in the order of
their finish times.
"""

import heapq
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from bohb_nas.benchmarks import Observation, Problem
from bohb_nas.errors import BohbNasError
from bohb_nas.records import Idle, Optimizer, Origin, Result, Trial, Value

Promote = Literal["restart", "continue"]
"""Whether a promoted configuration pays its new budget in full, or only what its checkpoint lacks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Incumbent:
    """A change of the configuration that would be recommended."""

    time: float
    """Virtual, in the unit of the problem's costs."""
    loss: float
    """Its noise-free loss at the largest budget."""
    rung: int
    """Where it was observed: the highest rung that has a result."""


@dataclass(slots=True, kw_only=True)
class Run:
    """What one simulated search did."""

    recommended: list[Incumbent] = field(default_factory=list)
    """The lowest observed loss at the highest budget observed so far, whenever it changes."""
    strict: list[Incumbent] = field(default_factory=list)
    """The same among configurations trained at the largest budget only."""
    evaluations: list[int] = field(default_factory=list)
    """Finished by rung."""
    origins: dict[str, int] = field(default_factory=dict)
    """Asked trials by origin."""
    failed: int = 0
    busy: float = 0.0
    """Virtual worker time spent training, up to the horizon."""
    horizon: float = 0.0
    cpu_s: float = 0.0
    """CPU seconds of all asks and tells."""


def simulate(
    optimizer: Optimizer,
    problem: Problem,
    *,
    n_workers: int,
    horizon: float,
    seed: int,
    promote: Promote = "restart",
    overhead: bool = False,
) -> Run:
    """Runs a search until the virtual time `horizon`.

    Args:
        optimizer: fresh.
        problem: what it minimises.
        n_workers: W.
        horizon: in the unit of the problem's costs; results that finish later are never told.
        seed: of the problem's noise.
        promote: what a promoted configuration pays.
        overhead: whether the CPU seconds of asks and tells pass on the virtual clock, asks waiting for each other; only
            meaningful where costs are seconds.

    Raises:
        BohbNasError: the optimizer waits for a result although nothing is running.
    """
    run = Run(evaluations=[0] * len(problem.budgets.rungs), horizon=horizon)
    search = _Search(optimizer, problem, run, seed=seed, promote=promote)
    free, now, clock, n = n_workers, 0.0, 0.0, 0
    running: list[tuple[float, int, Trial, Result]] = []
    while True:
        while free:
            asked, seconds = search.ask()
            clock = max(clock, now) + (seconds if overhead else 0.0)
            if not isinstance(asked, Trial):
                break
            result, cost = search.train(asked)
            run.busy += max(0.0, min(clock + cost, horizon) - clock)
            heapq.heappush(running, (clock + cost, n, asked, result))
            free, n = free - 1, n + 1
        if not running:
            if asked is Idle.DONE:
                return run
            raise BohbNasError("the optimizer waits for a result although nothing is running; it can never go on")
        now, _, trial, result = heapq.heappop(running)
        if now > horizon:
            return run
        seconds = search.tell(now, trial, result)
        clock = max(clock, now) + (seconds if overhead else 0.0)
        free += 1


class _Search:
    """The optimizer, the problem, and what has come of them."""

    def __init__(self, optimizer: Optimizer, problem: Problem, run: Run, *, seed: int, promote: Promote) -> None:
        self._optimizer, self._problem, self._run, self._seed, self._promote = optimizer, problem, run, seed, promote
        self._paid: dict[str, float] = {}
        self._top = -1
        self._lowest = float("inf")

    def ask(self) -> tuple[Trial | Idle, float]:
        began = time.process_time()
        asked = self._optimizer.ask()
        seconds = time.process_time() - began
        self._run.cpu_s += seconds
        if isinstance(asked, Trial):
            self._run.origins[asked.origin] = self._run.origins.get(asked.origin, 0) + 1
        return asked, seconds

    def train(self, trial: Trial) -> tuple[Result, float]:
        seen: Observation = self._problem.evaluate(trial.config, trial.budget, seed=self._seed)
        continued = self._promote == "continue" and trial.origin is Origin.PROMOTED
        cost = seen.cost - (self._paid.get(trial.config_id, 0.0) if continued else 0.0)
        self._paid[trial.config_id] = seen.cost
        return Result(trial_id=trial.trial_id, status=seen.status, loss=seen.loss, train_s=seen.cost), cost

    def tell(self, now: float, trial: Trial, result: Result) -> float:
        began = time.process_time()
        self._optimizer.tell(result)
        seconds = time.process_time() - began
        self._run.cpu_s += seconds
        self._run.evaluations[trial.rung] += 1
        self._run.failed += result.loss is None
        if result.loss is not None:
            self._recommend(now, trial.config, trial.rung, result.loss)
        return seconds

    def _recommend(self, now: float, config: Mapping[str, Value], rung: int, loss: float) -> None:
        if rung < self._top or (rung == self._top and loss >= self._lowest):
            return
        self._top, self._lowest = rung, loss
        entry = Incumbent(time=now, loss=self._problem.truth(config), rung=rung)
        self._run.recommended.append(entry)
        if rung == len(self._problem.budgets.rungs) - 1:
            self._run.strict.append(entry)
