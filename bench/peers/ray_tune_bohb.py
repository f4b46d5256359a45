"""Ray Tune as a method: its searcher `TuneBOHB` with the scheduler that it is to be used with, `HyperBandForBOHB`.

Both are driven as Ray's controller does, without a cluster: one configuration is drawn when none is waiting to start, the
scheduler is asked what to run, and hears of every result before the searcher does. One Ray trial is one configuration,
which pauses at the rungs of its bracket; a bracket halves when all of its places are filled and paused, and its best are
served before new ones. The model is HpBandSter's, on its highest budget that has one. Two things in which it differs from
HpBandSter's own BOHB are Ray's: the result of a trial that the scheduler stops on the spot, the last at the top among
them, never reaches the model, and a failed one is forgotten by both.
Ordinals and constants are given to it as to HpBandSter, since its generator refuses them; so are conditions and forbidden
clauses, which that knows. Unless told otherwise the picks are made by `hpbandster_accelerated`: the same ones, faster.

    bohb-nas simulate --method bench/peers/ray_tune_bohb.py ...
"""

import importlib.metadata
import logging
import warnings
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ConfigSpace import ConfigurationSpace

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # it calls what its dependencies have deprecated
    from ray.tune.experiment import Trial as TheirTrial  # type: ignore[import-not-found,import-untyped,unused-ignore]
    from ray.tune.schedulers import (  # type: ignore[import-not-found,import-untyped,unused-ignore]
        HyperBandForBOHB,
        TrialScheduler,
    )
    from ray.tune.search.bohb import TuneBOHB  # type: ignore[import-not-found,import-untyped,unused-ignore]

from bohb_nas import refs
from bohb_nas.errors import OptionError
from bohb_nas.records import Budgets, Idle, Origin, Result, Trial, Value
from bohb_nas.space.encoding import plain

VERSION = importlib.metadata.version("ray")

APART = refs.load_module("method", str(Path(__file__).with_name("apart.py")))
HPBANDSTER = refs.load_module("method", str(Path(__file__).with_name("hpbandster_bohb.py")))

LOSS, TIME = "loss", "time"

_SILENT = logging.getLogger("bohb_nas.peers.ray_tune")
_SILENT.setLevel(logging.CRITICAL + 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Ray Tune's defaults; only the speed can be chosen."""

    accelerated: bool = True
    """Whether HpBandSter's picks are made by the faster generator."""


def make(*, space: ConfigurationSpace, budgets: Budgets, seed: int, n_workers: int, options: Options) -> "RayTune":
    """The optimizer; running trials do not enter the model, so the number of workers changes nothing.

    Raises:
        OptionError: eta is not a whole number.
    """
    del n_workers
    if budgets.eta != int(budgets.eta):
        raise OptionError(f"eta {budgets.eta:g}: Ray Tune's brackets round times down to whole numbers; use 3")
    return RayTune(space, budgets, seed=seed, accelerated=options.accelerated)


@dataclass(eq=False, slots=True, kw_only=True)
class _Configuration:
    """What the scheduler sees of a Ray trial."""

    trial_id: str
    number: int
    status: str = TheirTrial.PENDING
    is_saving: bool = False
    rung: int | None = None
    """Where it was trained last."""


class RayTune:
    """The optimizer, and to Ray's objects the controller.

    Args:
        space: what to search; it is copied.
        budgets: the ladder; eta is whole.
        seed: of numpy's global generator, as this optimizer sees it, and of its copy of the space.
        accelerated: which generator makes the picks.
    """

    def __init__(self, space: ConfigurationSpace, budgets: Budgets, *, seed: int, accelerated: bool) -> None:
        self.reason = "Ray Tune's choice"
        """Why the last ask came out as it did."""
        self._rungs = budgets.rungs
        self._times = [int(budgets.eta) ** rung for rung in range(len(budgets.rungs))]
        self._seed = seed
        self._sequences = {h.name: [plain(v) for v in h.sequence] for h in space.values() if hasattr(h, "sequence")}
        self._isolated = APART.Apart(seed)
        theirs = HPBANDSTER.acceptable(space)
        with self._isolated():
            self._searcher = TuneBOHB(theirs, bohb_config={"logger": _SILENT}, metric=LOSS, mode="min", seed=seed)
            if accelerated:
                self._searcher.bohber = HPBANDSTER.ACCELERATED(theirs, logger=_SILENT)
            self._scheduler = HyperBandForBOHB(
                time_attr=TIME,
                metric=LOSS,
                mode="min",
                max_t=self._times[-1] * (1 + 1e-9),  # it rounds max_t / eta^s down, and loses a rung for 1 -> 729 exactly
                reduction_factor=int(budgets.eta),
            )
        self._pending: set[_Configuration] = set()
        self._lined_up: deque[_Configuration] = deque()
        self._going_on: deque[_Configuration] = deque()
        self._running: dict[str, _Configuration] = {}
        self._n_asked = self._n_configs = 0

    @property
    def search_alg(self) -> "RayTune":
        """What Ray's schedulers look for the searcher in."""
        return self

    @property
    def searcher(self) -> Any:
        """Ray's searcher, which its scheduler tells of pauses."""
        return self._searcher

    def get_trials(self) -> list[_Configuration]:
        """Those that run."""
        return list(self._running.values())

    def stop_trial(self, it: _Configuration) -> None:
        """As Ray's controller stops a trial, which its scheduler may call for."""
        if it.status == TheirTrial.RUNNING:
            self._scheduler.on_trial_complete(self, it, {})
        else:
            self._scheduler.on_trial_remove(self, it)
        self._searcher.on_trial_complete(it.trial_id)
        it.status = TheirTrial.TERMINATED

    def ask(self) -> Trial | Idle:
        """The next trial; there is always one."""
        with self._isolated():
            it = self._going_on.popleft() if self._going_on else self._started()
        bracket, _ = self._scheduler._trial_info[it]  # the rung is not told otherwise: Ray trains and asks on the way
        promoted = it.rung is not None
        it.rung = self._times.index(bracket._cumul_r)
        trial = Trial(
            trial_id=f"t{self._n_asked:05d}",
            config_id=f"c{it.number:05d}",
            config={name: self._value(name, value) for name, value in self._searcher.trial_to_params[it.trial_id].items()},
            budget=self._rungs[it.rung],
            bracket=len(self._rungs) - 1 - self._times.index(bracket._r0),
            rung=it.rung,
            seed=int(np.random.default_rng((self._seed, it.number)).integers(2**31)),
            origin=Origin.PROMOTED if promoted else Origin.MODEL,
        )
        self._n_asked += 1
        self._running[trial.trial_id] = it
        return trial

    def tell(self, result: Result) -> None:
        """Hands a result over as Ray's controller does; the first of a trial counts."""
        it = self._running.pop(result.trial_id, None)
        if it is None:
            return
        with self._isolated():
            self._hear(it, result.loss)
            self._turn()

    def _hear(self, it: _Configuration, loss: float | None) -> None:
        if loss is None:
            self._scheduler.on_trial_error(self, it)
            self._searcher.on_trial_complete(it.trial_id, error=True)
            it.status = TheirTrial.ERROR
            return
        assert it.rung is not None
        said = {LOSS: loss, TIME: self._times[it.rung]}
        decision = self._scheduler.on_trial_result(self, it, said)
        if decision == TrialScheduler.STOP:
            self.stop_trial(it)
            return
        self._searcher.on_trial_result(it.trial_id, said)
        if decision == TrialScheduler.CONTINUE:
            self._going_on.append(it)
        else:
            it.status = TheirTrial.PAUSED

    def _started(self) -> _Configuration:
        if not self._lined_up:
            self._turn()
        it = self._lined_up.popleft()
        self._pending.remove(it)
        it.status = TheirTrial.RUNNING
        self._turn()
        return it

    def _turn(self) -> None:
        """One of the controller: it draws a configuration if none is pending, and lines up what its scheduler chooses."""
        if not self._pending:
            new = _Configuration(trial_id=f"{self._n_configs:05d}", number=self._n_configs)
            self._n_configs += 1
            self._searcher.suggest(new.trial_id)
            self._scheduler.on_trial_add(self, new)
            self._pending.add(new)
        it: _Configuration = self._scheduler.choose_trial_to_run(self)  # there is one: a pending one at least
        if it not in self._lined_up:
            it.status = TheirTrial.PENDING
            self._pending.add(it)
            self._lined_up.append(it)

    def _value(self, name: str, value: object) -> Value:
        found: Value = plain(value)
        return self._sequences[name][int(found)] if name in self._sequences else found
