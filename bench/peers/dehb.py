"""DEHB as a method: differential evolution over Hyperband's brackets, through its public ask and tell.

DEHB keeps a population per fidelity. In its first round of brackets the best of a fidelity are promoted to the next one,
as in successive halving; from the second round on every trial is a new configuration, evolved from the fidelity below.
It may ask again for a configuration on a rung that it has already seen; that is no promotion, and is paid in full.
Of conditions it knows nothing: an inactive hyperparameter holds its default, is mutated blindly, and is left out of the
trial. A failed result is told as a very bad fitness: with an infinite one DEHB crashes when none of a rung succeeds.

    bohb-nas simulate --method bench/peers/dehb.py ...
"""

import copy
import importlib.metadata
import math
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from ConfigSpace import ConfigurationSpace
from ConfigSpace.exceptions import ForbiddenValueError, IllegalValueError
from dehb import DEHB  # type: ignore[import-not-found,import-untyped,unused-ignore]
from loguru import logger  # type: ignore[import-not-found,unused-ignore]

from bohb_nas.errors import OptionError, SpaceError
from bohb_nas.records import Budgets, Idle, Origin, Result, Trial, Value
from bohb_nas.space.encoding import plain

VERSION = importlib.metadata.version("dehb")

FAILED = 1e100
"""The fitness of what failed."""

MAX_REFUSED = 1000
"""Vectors in a row that may lead to no configuration: forbidden, or beyond a bound by a rounding error."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Nothing to choose: DEHB's defaults."""


def make(*, space: ConfigurationSpace, budgets: Budgets, seed: int, n_workers: int, options: Options) -> "Dehb":
    """The optimizer; the number of workers changes nothing, since for DEHB it is only a cluster to start.

    Raises:
        OptionError: the ladder has one rung only.
    """
    del n_workers, options
    if len(budgets.rungs) < 2:
        raise OptionError(f"budgets from {budgets.min:g} to {budgets.max:g}: DEHB accepts ladders of at least two rungs")
    return Dehb(space, budgets, seed=seed)


class Dehb:
    """The optimizer.

    Args:
        space: what to search; it is copied.
        budgets: the ladder.
        seed: of all its random numbers.
    """

    def __init__(self, space: ConfigurationSpace, budgets: Budgets, *, seed: int) -> None:
        self.reason = "DEHB's choice"
        """Why the last ask came out as it did."""
        self._rungs = budgets.rungs
        self._seed = seed
        with tempfile.TemporaryDirectory() as folder, _no_deprecations():
            self._dehb: Any = DEHB(
                cs=copy.deepcopy(space),
                min_fidelity=budgets.rungs[0] * (1 - 1e-9),  # it takes a logarithm, which loses a rung for 1 -> 243 exactly
                max_fidelity=budgets.max,
                eta=budgets.eta,
                seed=seed,
                n_workers=1,
                save_freq="end",
                output_path=folder,
            )
            logger.remove()  # of what it has just set up: a file in the folder, and the standard output
        self._running: dict[str, dict[str, Any]] = {}
        self._highest: dict[str, int] = {}
        self._n_asked = 0

    def ask(self) -> Trial | Idle:
        """The next trial."""
        job, config = self._job()
        config_id = f"c{job['config_id']:05d}"
        rung = int(np.argmin([abs(math.log(job["fidelity"] / budget)) for budget in self._rungs]))
        promoted = self._highest.get(config_id, rung) < rung
        self._highest[config_id] = max(self._highest.get(config_id, rung), rung)
        trial = Trial(
            trial_id=f"t{self._n_asked:05d}",
            config_id=config_id,
            config=config,
            budget=self._rungs[rung],
            bracket=len(self._rungs) - 1 - job["bracket_id"] % len(self._rungs),
            rung=rung,
            seed=int(np.random.default_rng((self._seed, int(job["config_id"]))).integers(2**31)),
            origin=Origin.PROMOTED if promoted else Origin.MODEL,
        )
        self._n_asked += 1
        self._running[trial.trial_id] = job
        return trial

    def tell(self, result: Result) -> None:
        """Passes on the loss."""
        job = self._running.pop(result.trial_id)
        fitness = FAILED if result.loss is None else result.loss
        with _no_deprecations():
            self._dehb.tell(job, {"fitness": fitness, "cost": result.train_s})

    def _job(self) -> tuple[dict[str, Any], Mapping[str, Value]]:
        """DEHB's next job and its configuration."""
        for _ in range(MAX_REFUSED):
            try:
                with _no_deprecations():
                    job = self._dehb.ask()
            except (ForbiddenValueError, IllegalValueError):  # the place in the bracket is still free: it may try again
                continue
            return job, {name: plain(value) for name, value in dict(job["config"]).items()}
        raise SpaceError(f"{MAX_REFUSED} vectors in a row gave no legal configuration; DEHB cannot be told of forbidden clauses")


@contextmanager
def _no_deprecations() -> Iterator[None]:
    """Keeps quiet about the names of ConfigSpace 0.7 that DEHB still uses."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        yield
