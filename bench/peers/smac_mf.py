"""SMAC3 as a method: its multi-fidelity facade, Hyperband with a random forest, through its public ask and tell.

SMAC fills whole brackets of successive halving, and opens the next one while a rung is still running. The model is
trained on the highest budget with enough results. A failed result is told as crashed, as far above the worst loss as the
best is below it, since SMAC's own default, an infinite cost, breaks its model; until two losses are known, what failed
stays running for SMAC.

    bohb-nas simulate --method bench/peers/smac_mf.py ...
"""

import copy
import importlib.metadata
import logging
import math
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ConfigSpace import Configuration, ConfigurationSpace
from smac import MultiFidelityFacade, Scenario  # type: ignore[import-not-found,import-untyped,unused-ignore]
from smac.main.exceptions import ConfigurationSpaceExhaustedException  # type: ignore[import-not-found,import-untyped,unused-ignore]
from smac.runhistory import StatusType, TrialInfo, TrialValue  # type: ignore[import-not-found,import-untyped,unused-ignore]

from bohb_nas.records import Budgets, Idle, Origin, Result, Status, Trial
from bohb_nas.space.encoding import plain

VERSION = importlib.metadata.version("smac")


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What SMAC is told of the search; the rest are its defaults."""

    n_trials: int = 100
    """SMAC's own default. Asking goes on beyond; only the initial design depends on it: at most a quarter of it is random."""


def make(*, space: ConfigurationSpace, budgets: Budgets, seed: int, n_workers: int, options: Options) -> "Smac":
    """The optimizer."""
    return Smac(space, budgets, seed=seed, n_workers=n_workers, n_trials=options.n_trials)


class Smac:
    """The optimizer.

    Args:
        space: what to search; it is copied.
        budgets: the ladder.
        seed: of all its random numbers.
        n_workers: how many trials will run at once.
        n_trials: how many SMAC shall think will run in all.
    """

    def __init__(self, space: ConfigurationSpace, budgets: Budgets, *, seed: int, n_workers: int, n_trials: int) -> None:
        logging.getLogger("smac").setLevel(logging.CRITICAL)
        self.reason = "SMAC's choice"
        """Why the last ask came out as it did."""
        self._rungs = budgets.rungs
        self._seed = seed
        with tempfile.TemporaryDirectory() as folder, _quiet():
            scenario = Scenario(
                copy.deepcopy(space),
                output_directory=Path(folder),
                min_budget=budgets.rungs[0] * (1 - 1e-9),  # it takes a logarithm, which loses the lowest rung of 1 -> 243 exactly
                max_budget=budgets.max,
                n_trials=n_trials,
                seed=seed,
                n_workers=n_workers,
            )
            # it rounds 243 * 3^-5 down, to no configuration at the top where numpy's power is a little too small
            eta: Any = budgets.eta * (1 - 1e-12)
            intensifier = MultiFidelityFacade.get_intensifier(scenario, eta=eta)
            self._smac: Any = MultiFidelityFacade(scenario, intensifier=intensifier, logging_level=False)
        self._configurations: dict[Configuration, _Place] = {}
        self._running: dict[str, Any] = {}
        self._held: list[tuple[Any, Result]] = []
        self._best, self._worst = math.inf, -math.inf
        self._n_asked = 0
        self._done = False

    def ask(self) -> Trial | Idle:
        """The next trial, or done when SMAC finds no configuration that it has not tried."""
        try:
            if self._done:
                return Idle.DONE
            with _quiet():
                info = self._smac.ask()
        except (StopIteration, ConfigurationSpaceExhaustedException):
            self._done = True
            return Idle.DONE
        rung = int(np.argmin([abs(math.log(info.budget / budget)) for budget in self._rungs]))
        promoted = info.config in self._configurations
        place = self._configurations.setdefault(info.config, _Place(number=len(self._configurations), entry=rung))
        trial = Trial(
            trial_id=f"t{self._n_asked:05d}",
            config_id=f"c{place.number:05d}",
            config={name: plain(value) for name, value in dict(info.config).items()},
            budget=self._rungs[rung],
            bracket=len(self._rungs) - 1 - place.entry,
            rung=rung,
            seed=int(np.random.default_rng((self._seed, place.number)).integers(2**31)),
            origin=Origin.PROMOTED if promoted else Origin.MODEL,
        )
        self._n_asked += 1
        self._running[trial.trial_id] = info
        return trial

    def tell(self, result: Result) -> None:
        """Passes on the loss; a failure as soon as it is known what to say of it."""
        self._held.append((self._running.pop(result.trial_id), result))
        if result.loss is not None:
            self._best, self._worst = min(self._best, result.loss), max(self._worst, result.loss)
        ready = [one for one in self._held if one[1].loss is not None or self._best < self._worst]
        self._held = [one for one in self._held if one not in ready]
        for info, it in ready:
            self._pass_on(info, it)

    def _pass_on(self, info: "TrialInfo", result: Result) -> None:
        match result.status:
            case Status.OK:
                status = StatusType.SUCCESS
            case Status.OUT_OF_MEMORY:
                status = StatusType.MEMORYOUT
            case _:
                status = StatusType.CRASHED
        cost = 2 * self._worst - self._best if result.loss is None else result.loss
        with _quiet():
            self._smac.tell(info, TrialValue(cost=cost, time=result.train_s, status=status), save=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """Which configuration it is, and the rung where it entered."""

    number: int
    entry: int


@contextmanager
def _quiet() -> Iterator[None]:
    """Keeps warnings of deprecated names and of numbers out of range to itself."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
