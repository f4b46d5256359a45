"""Runs one optimizer on one problem under a virtual clock: a discrete-event simulation of W workers.

The optimizer is the one that a real study uses. It does one thing at a time: it hears of every result that has come in,
in the order of their finish times, and is then asked for each free worker. With `overhead`, the CPU seconds of its asks
and tells pass on the virtual clock, so that workers wait for it and for each other.
"""

import heapq
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from bohb_nas.benchmarks import Problem
from bohb_nas.errors import BohbNasError, ProblemError
from bohb_nas.methods import ask
from bohb_nas.records import Idle, Optimizer, Origin, Result, Trial, Value

Promote = Literal["restart", "continue"]
"""Whether a promoted configuration pays its new budget in full, or only what its checkpoint lacks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Incumbent:
    """A change of the configuration that would be recommended."""

    time: float
    """Virtual, in the unit of the problem's costs: when the optimizer hears of it."""
    loss: float
    """Its noise-free loss at the largest budget."""
    rung: int
    """Where it was observed: the highest rung that has a result."""


@dataclass(slots=True, kw_only=True)
class Run:
    """What one simulated search did."""

    recommended: list[Incumbent] = field(default_factory=list)
    """The lowest observed loss at the highest budget observed so far, whenever it changes. Those of the highest rung are
    the strict incumbents: the same rule among configurations trained at the largest budget only."""
    evaluations: list[int] = field(default_factory=list)
    """Told results by rung."""
    origins: dict[str, int] = field(default_factory=dict)
    """Started trials by origin."""
    failed: int = 0
    """Told results without a loss."""
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
    cpu: Callable[[], float] = time.process_time,
) -> Run:
    """Runs a search until the virtual time `horizon`.

    Args:
        optimizer: fresh.
        problem: what it minimises.
        n_workers: W.
        horizon: in the unit of the problem's costs; what would be told later is not told, what would start later does not.
        seed: of the problem's noise.
        promote: what a promoted configuration pays.
        overhead: whether the CPU seconds of asks and tells pass on the virtual clock; only meaningful where costs are
            seconds.
        cpu: the CPU clock, in seconds.

    Raises:
        BohbNasError: the optimizer waits for a result although nothing is running, or asks for what is no trial.
        ProblemError: the problem states a cost that is no positive number.
    """
    run = Run(evaluations=[0] * len(problem.budgets.rungs), horizon=horizon)
    search = _Search(optimizer, problem, run, seed=seed, promote=promote, cpu=cpu)
    passes = 1.0 if overhead else 0.0
    now, free, n = 0.0, n_workers, 0  # now: when the optimizer can do its next thing
    idle: Idle | None = None
    running: list[tuple[float, int, Trial, Result]] = []  # a heap by finish time, then by order of asking
    while now <= horizon:
        if running and (running[0][0] <= now or not free or idle):
            finish, _, trial, result = heapq.heappop(running)
            now = max(now, finish)
            if now <= horizon:
                now += passes * search.tell(now, trial, result)
                free, idle = free + 1, None
        elif idle is Idle.DONE:
            break
        elif idle is Idle.WAIT:
            raise BohbNasError("the optimizer waits for a result although nothing is running; it can never go on")
        else:
            asked, seconds = search.ask()
            now += passes * seconds
            if not isinstance(asked, Trial):
                idle = asked
            elif now <= horizon:
                result, cost = search.train(asked)
                run.busy += min(now + cost, horizon) - now
                heapq.heappush(running, (now + cost, n, asked, result))
                free, n = free - 1, n + 1
    return run


class _Search:
    """The optimizer, the problem, and what has come of them."""

    def __init__(self, optimizer: Optimizer, problem: Problem, run: Run, *, seed: int, promote: Promote, cpu: Callable[[], float]) -> None:
        self._optimizer, self._problem, self._run, self._seed, self._promote = optimizer, problem, run, seed, promote
        self._cpu = cpu
        self._paid: dict[str, float] = {}
        self._highest = -1
        self._lowest = math.inf

    def ask(self) -> tuple[Trial | Idle, float]:
        """What it proposes, and the CPU seconds that this took."""
        began = self._cpu()
        asked = ask(self._optimizer)
        seconds = self._cpu() - began
        self._run.cpu_s += seconds
        return asked, seconds

    def train(self, trial: Trial) -> tuple[Result, float]:
        """What will be told of a trial, and what it costs; a checkpoint is there once its training went well."""
        self._run.origins[trial.origin] = self._run.origins.get(trial.origin, 0) + 1
        seen = self._problem.evaluate(trial.config, trial.budget, seed=self._seed)
        if not 0 < seen.cost < math.inf:
            raise ProblemError(f"problem {self._problem.name}: cost {seen.cost} of {dict(trial.config)}; accepted is a positive number")
        continued = self._promote == "continue" and trial.origin is Origin.PROMOTED
        new = max(0.0, seen.cost - self._paid.get(trial.config_id, 0.0)) if continued else seen.cost
        if seen.loss is not None:
            self._paid[trial.config_id] = seen.cost
        return Result(trial_id=trial.trial_id, status=seen.status, loss=seen.loss, train_s=seen.cost, metrics={"new_s": new}), new

    def tell(self, now: float, trial: Trial, result: Result) -> float:
        """The CPU seconds that this took."""
        began = self._cpu()
        self._optimizer.tell(result)
        seconds = self._cpu() - began
        self._run.cpu_s += seconds
        self._run.evaluations[trial.rung] += 1
        if result.loss is None:
            self._run.failed += 1
        else:
            self._recommend(now, trial.config, trial.rung, result.loss)
        return seconds

    def _recommend(self, now: float, config: Mapping[str, Value], rung: int, loss: float) -> None:
        if rung < self._highest or (rung == self._highest and loss >= self._lowest):
            return
        self._highest, self._lowest = rung, loss
        self._run.recommended.append(Incumbent(time=now, loss=self._problem.truth(config), rung=rung))
