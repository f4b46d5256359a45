"""Syne Tune 0.13 as a method: its MOBSTER, asynchronous successive halving by promotion with Gaussian processes.

Later versions have neither MOBSTER nor promotions; what they have is in `syne_tune_bohb.py`. It is driven through its
scheduler's interface: one Syne Tune trial is one configuration, which pauses at every rung and is resumed when it is among
the best 1 / eta there. The process models all rungs together, and knows what is running.
`syne_tune_mobster[searcher=kde]` runs the same with another searcher: what Syne Tune calls BOHB or, of random, ASHA.
Of conditions Syne Tune knows nothing: an inactive hyperparameter keeps what it has suggested, and is left out of the trial.
A failed result is told as an error: it leaves the model, and its configuration is not suggested again.

    bohb-nas simulate --method bench/peers/syne_tune_mobster.py ...
"""

import importlib.metadata
import io
import logging
from collections.abc import Mapping
from contextlib import redirect_stdout
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from ConfigSpace import ConfigurationSpace
from ConfigSpace.exceptions import ForbiddenValueError

from bohb_nas import refs
from bohb_nas.errors import OptionError, SpaceError
from bohb_nas.records import Budgets, Idle, Origin, Result, Trial, Value

with redirect_stdout(io.StringIO()):  # it prints which of its extras are missing
    # later versions have no such class: there the import fails, and the peer counts as not installed
    from syne_tune import config_space as domains  # type: ignore[import-not-found,import-untyped,unused-ignore]
    from syne_tune.backend.trial_status import Trial as TheirTrial  # type: ignore[import-not-found,import-untyped,unused-ignore]
    from syne_tune.optimizer.scheduler import SchedulerDecision  # type: ignore[import-not-found,import-untyped,unused-ignore]
    from syne_tune.optimizer.schedulers.hyperband import (  # type: ignore[import-not-found,import-untyped,unused-ignore]
        HyperbandScheduler,
    )

VERSION = importlib.metadata.version("syne-tune")

PARTS = refs.load_module("method", str(Path(__file__).with_name("syne_tune_parts.py")))

SEARCHERS = ("bayesopt", "kde", "random")

LOSS, TIME, MILESTONE = "loss", "time", "time of the next rung"

MAX_REFUSED = 1000
"""Configurations in a row that a forbidden clause may refuse; Syne Tune cannot be told of such clauses."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Which of Syne Tune's searchers; all else are its defaults."""

    searcher: str = "bayesopt"
    """That of its MOBSTER; or kde or random."""


def make(*, space: ConfigurationSpace, budgets: Budgets, seed: int, n_workers: int, options: Options) -> "SyneTune":
    """The optimizer; Syne Tune sees running trials by itself, so the number of workers changes nothing.

    Raises:
        OptionError: eta is not a whole number, the ladder has one rung only, or Syne Tune has no such searcher.
    """
    del n_workers
    if budgets.eta != int(budgets.eta):
        raise OptionError(f"eta {budgets.eta:g}: Syne Tune accepts whole numbers; use 3")
    if len(budgets.rungs) < 2:
        raise OptionError(f"budgets from {budgets.min:g} to {budgets.max:g}: Syne Tune accepts ladders of at least two rungs")
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
        budgets: the ladder; eta is whole.
        seed: of the searcher, and of numpy's global generator, as this optimizer sees it.
        searcher: its name in Syne Tune.
    """

    def __init__(self, space: ConfigurationSpace, budgets: Budgets, *, seed: int, searcher: str) -> None:
        logging.getLogger("syne_tune").setLevel(logging.CRITICAL)
        self.reason = "Syne Tune's choice"
        """Why the last ask came out as it did."""
        self._space = PARTS.FLAT_SPACE.FlatSpace(space)
        self._rungs = budgets.rungs
        self._times = [int(budgets.eta) ** rung for rung in range(len(budgets.rungs))]  # it accepts whole numbers only
        self._seed = seed
        self._isolated = PARTS.Apart(seed)
        with self._isolated():
            self._scheduler = HyperbandScheduler(
                {name: PARTS.domain(h, domains) for name, h in self._space.chosen.items()} | {MILESTONE: self._times[-1]},
                type="promotion",
                searcher=searcher,
                search_options={"debug_log": False},
                metric=LOSS,
                mode="min",
                resource_attr=TIME,
                max_resource_attr=MILESTONE,
                reduction_factor=budgets.eta,
                random_seed=seed % 2**32,
            )
        self._configurations: dict[int, _Configuration] = {}
        self._running: dict[str, _Configuration] = {}
        self._n_asked = self._n_suggested = 0

    def ask(self) -> Trial | Idle:
        """The next trial, or done when Syne Tune finds no configuration that it has not tried.

        Raises:
            SpaceError: forbidden clauses refuse whatever Syne Tune suggests.
        """
        for _ in range(MAX_REFUSED):
            with self._isolated():
                suggestion = self._scheduler.suggest(self._n_suggested)
            if suggestion is None:
                return Idle.DONE
            if not suggestion.spawn_new_trial_id:
                it = self._configurations[suggestion.checkpoint_trial_id]
                it.rung = self._times.index(suggestion.config[MILESTONE])
                return self._trial(it, Origin.PROMOTED)
            if (new := self._new(suggestion.config)) is not None:
                return self._trial(new, Origin.MODEL)
        raise SpaceError(f"{MAX_REFUSED} configurations in a row were forbidden; Syne Tune cannot be told of forbidden clauses")

    def tell(self, result: Result) -> None:
        """Reports the loss; the first result of a trial counts."""
        it = self._running.pop(result.trial_id, None)
        if it is None:
            return
        with self._isolated():
            if result.loss is None:
                self._scheduler.on_trial_error(it.theirs)
                return
            decision = self._scheduler.on_trial_result(it.theirs, {LOSS: result.loss, TIME: self._times[it.rung]})
            assert decision in (SchedulerDecision.PAUSE, SchedulerDecision.STOP)
            self._scheduler.on_trial_remove(it.theirs)

    def _new(self, suggested: dict[str, Any]) -> _Configuration | None:
        """What Syne Tune has suggested; None where a forbidden clause refuses it, which it hears of as a failure."""
        number = self._n_suggested
        self._n_suggested += 1
        theirs = TheirTrial(trial_id=number, config=suggested, creation_time=datetime.min)
        with self._isolated():
            self._scheduler.on_trial_add(theirs)
            try:
                config = self._space.active(suggested)
            except ForbiddenValueError:
                self._scheduler.on_trial_error(theirs)
                return None
        seed = int(np.random.default_rng((self._seed, number)).integers(2**31))
        it = self._configurations[number] = _Configuration(theirs=theirs, config=config, seed=seed)
        return it

    def _trial(self, it: _Configuration, origin: Origin) -> Trial:
        trial = Trial(
            trial_id=f"t{self._n_asked:05d}",
            config_id=f"c{it.theirs.trial_id:05d}",
            config=it.config,
            budget=self._rungs[it.rung],
            bracket=len(self._rungs) - 1,
            rung=it.rung,
            seed=it.seed,
            origin=origin,
        )
        self._n_asked += 1
        self._running[trial.trial_id] = it
        return trial
