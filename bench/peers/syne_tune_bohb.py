"""Syne Tune as a method: its BOHB, asynchronous successive halving with kernel densities, through its scheduler's interface.

One Syne Tune trial is one configuration, and each of our trials is one report of it, at time eta^rung. Syne Tune has
dropped its promotions (version 0.13 was the last that had them): what the stopping rule lets pass at a rung is asked again
one rung up, at once, before anything new; the rule never waits for others and never revives what it has stopped.
The model learns from the last loss of every configuration, whatever its budget. With Syne Tune's defaults it starts late,
once 15 % of the configurations are more than there are hyperparameters, which are 74 for ten; it takes no notice of
logarithmic scales; and it may pick whole numbers below their bound, which are taken for the bound.
`syne_tune_bohb[searcher=cqr]` runs the same with another searcher: what Syne Tune calls ASHACQR, ASHABORE or ASHA.
Of conditions Syne Tune knows nothing: an inactive hyperparameter is told with its default, and is left out of the trial.
A failed result is told as an error, which its searchers leave out.

    bohb-nas simulate --method bench/peers/syne_tune_bohb.py ...
"""

import importlib.metadata
import logging
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
from ConfigSpace import ConfigurationSpace
from ConfigSpace.exceptions import ForbiddenValueError
from syne_tune import config_space as domains  # type: ignore[import-not-found,import-untyped,unused-ignore]
from syne_tune.backend.trial_status import Trial as TheirTrial  # type: ignore[import-not-found,import-untyped,unused-ignore]
from syne_tune.optimizer.scheduler import SchedulerDecision  # type: ignore[import-not-found,import-untyped,unused-ignore]
from syne_tune.optimizer.schedulers.asha import (  # type: ignore[import-not-found,import-untyped,unused-ignore]
    AsynchronousSuccessiveHalving,
)

from bohb_nas import refs
from bohb_nas.errors import OptionError, SpaceError
from bohb_nas.records import Budgets, Idle, Origin, Result, Trial, Value

VERSION = importlib.metadata.version("syne-tune")

PARTS = refs.load_module("method", str(Path(__file__).with_name("syne_tune_parts.py")))

SEARCHERS = ("kde", "cqr", "bore", "random_search")

LOSS, TIME = "loss", "time"

MAX_REFUSED = 1000
"""Configurations in a row that a forbidden clause may refuse; Syne Tune cannot be told of such clauses."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Which of Syne Tune's searchers; all else are its defaults."""

    searcher: str = "kde"
    """That of its BOHB; or cqr, bore or random_search."""


def make(*, space: ConfigurationSpace, budgets: Budgets, seed: int, n_workers: int, options: Options) -> "SyneTune":
    """The optimizer; Syne Tune takes no account of running trials, so the number of workers changes nothing.

    Raises:
        OptionError: Syne Tune has no such searcher, or it needs what is not installed.
    """
    del n_workers
    if options.searcher not in SEARCHERS:
        raise OptionError(f"searcher {options.searcher!r}: accepted are {', '.join(SEARCHERS)}")
    return SyneTune(space, budgets, seed=seed, searcher=options.searcher)


@dataclass(slots=True, kw_only=True)
class _Configuration:
    """A Syne Tune trial and where it stands."""

    theirs: TheirTrial
    config: Mapping[str, Value]
    seed: int
    rung: int = 0


class SyneTune:
    """The optimizer.

    Args:
        space: what to search; it is copied.
        budgets: the ladder.
        seed: of the searcher, and of numpy's global generator, as this optimizer sees it.
        searcher: its name in Syne Tune.

    Raises:
        OptionError: the searcher needs what is not installed.
    """

    def __init__(self, space: ConfigurationSpace, budgets: Budgets, *, seed: int, searcher: str) -> None:
        logging.getLogger("syne_tune").setLevel(logging.CRITICAL)
        self.reason = "Syne Tune's choice"
        """Why the last ask came out as it did."""
        self._space = PARTS.FLAT_SPACE.FlatSpace(space)
        self._rungs = budgets.rungs
        self._times = [budgets.eta**rung for rung in range(len(budgets.rungs))]  # as it counts its rungs, to the last bit
        self._seed = seed
        self._isolated = PARTS.Apart(seed)
        try:
            with self._isolated():
                self._scheduler = AsynchronousSuccessiveHalving(
                    {name: PARTS.domain(h, domains) for name, h in self._space.chosen.items()},
                    metric=LOSS,
                    time_attr=TIME,
                    max_t=self._times[-1],
                    reduction_factor=budgets.eta,
                    searcher=searcher,
                    random_seed=seed % 2**32,
                )
        except ImportError as e:
            raise OptionError(f"searcher {searcher!r}: {e}; install 'syne-tune[extra]', or use kde") from e
        self._waiting: deque[_Configuration] = deque()
        self._running: dict[str, _Configuration] = {}
        self._n_asked = self._n_configs = 0

    def ask(self) -> Trial | Idle:
        """The next trial: a configuration that was not stopped, else a new one; done when Syne Tune finds none."""
        promoted = bool(self._waiting)
        it = self._waiting.popleft() if promoted else self._new()
        if it is None:
            return Idle.DONE
        trial = Trial(
            trial_id=f"t{self._n_asked:05d}",
            config_id=f"c{it.theirs.trial_id:05d}",
            config=it.config,
            budget=self._rungs[it.rung],
            bracket=len(self._rungs) - 1,
            rung=it.rung,
            seed=it.seed,
            origin=Origin.PROMOTED if promoted else Origin.MODEL,
        )
        self._n_asked += 1
        self._running[trial.trial_id] = it
        return trial

    def tell(self, result: Result) -> None:
        """Reports the loss and lets the scheduler decide; at the top it always stops. The first result of a trial counts."""
        it = self._running.pop(result.trial_id, None)
        if it is None:
            return
        with self._isolated():
            if result.loss is None:
                self._scheduler.on_trial_error(it.theirs)
                return
            decision = self._scheduler.on_trial_result(it.theirs, {LOSS: result.loss, TIME: self._times[it.rung]})
            if decision == SchedulerDecision.STOP:
                self._scheduler.on_trial_remove(it.theirs)
                return
        it.rung += 1
        self._waiting.append(it)

    def _new(self) -> _Configuration | None:
        for _ in range(MAX_REFUSED):
            with self._isolated():
                suggestion = self._scheduler.suggest()
            if suggestion is None:
                return None
            try:
                config = self._space.active(suggestion.config)
            except ForbiddenValueError:
                continue
            theirs = TheirTrial(trial_id=self._n_configs, config=self._space.told(config), creation_time=datetime.min)
            self._n_configs += 1
            with self._isolated():
                self._scheduler.on_trial_add(theirs)
            seed = int(np.random.default_rng((self._seed, theirs.trial_id)).integers(2**31))
            return _Configuration(theirs=theirs, config=config, seed=seed)
        raise SpaceError(f"{MAX_REFUSED} configurations in a row were forbidden; Syne Tune cannot be told of forbidden clauses")
