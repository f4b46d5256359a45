"""NePS as a method: its bracket optimizers, through its public ask and tell.

What its documentation recommends, and `optimizer="auto"` takes, for a space with a fidelity and without priors is
Hyperband with uniform samples: no model at all. It fills whole brackets of successive halving, and opens the next one
while a rung is still running. `neps_brackets[optimizer=priorband]` also samples around the best configuration so far;
without priors NePS itself advises against it. Its ifBO is left out: it asks for one unit of the fidelity at a time rather
than for a rung, and fetches its network on first use.
Of conditions this part of NePS knows nothing: an inactive hyperparameter is drawn and left out of the trial, which with
uniform samples is the same as not drawing it. A failed result is told as the exception that it was: NePS takes its loss
for infinite, and promotes it only where a place of the next rung cannot be filled otherwise.

    bohb-nas simulate --method bench/peers/neps_brackets.py ...
"""

import importlib.metadata
import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ConfigSpace import ConfigurationSpace
from ConfigSpace.exceptions import ForbiddenValueError
from ConfigSpace.hyperparameters import FloatHyperparameter, Hyperparameter, IntegerHyperparameter, OrdinalHyperparameter

from bohb_nas import refs
from bohb_nas.errors import OptionError, SpaceError
from bohb_nas.records import Budgets, Idle, Origin, Result, Trial

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # what it imports calls what torch has deprecated
    import neps  # type: ignore[import-not-found,import-untyped,unused-ignore]
    import torch

VERSION = importlib.metadata.version("neural-pipeline-search")

FLAT_SPACE = refs.load_module("method", str(Path(__file__).with_name("flat_space.py")))

AUTO = "auto"
OPTIMIZERS = ("hyperband", "priorband", "successive_halving", "asha", "async_hb")
"""Of NePS, those that ask for rungs."""

FIDELITY = "budget of the trial"
"""What NePS knows the fidelity by; no hyperparameter is likely to have that name."""

MAX_REFUSED = 1000
"""Configurations in a row that a forbidden clause may refuse; NePS cannot be told of such clauses."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Which of NePS's optimizers; all else are its defaults."""

    optimizer: str = AUTO
    """NePS's choice by the space; or hyperband, priorband, successive_halving, asha or async_hb."""


def make(*, space: ConfigurationSpace, budgets: Budgets, seed: int, n_workers: int, options: Options) -> "Neps":
    """The optimizer; NePS sees running trials by itself, so the number of workers changes nothing.

    Raises:
        OptionError: eta is not a whole number, or NePS has no such bracket optimizer.
    """
    del n_workers
    if budgets.eta != int(budgets.eta):
        raise OptionError(f"eta {budgets.eta:g}: NePS accepts whole numbers; use 3")
    if options.optimizer not in (AUTO, *OPTIMIZERS):
        raise OptionError(f"optimizer {options.optimizer!r}: accepted are {AUTO}, {', '.join(OPTIMIZERS)}")
    return Neps(space, budgets, seed=seed, optimizer=options.optimizer)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """Which configuration it is, and the rung where it entered."""

    number: int
    entry: int


class Neps:
    """The optimizer.

    Args:
        space: what to search; it is copied.
        budgets: the ladder; eta is whole.
        seed: of torch's and numpy's global generators, as this optimizer sees them.
        optimizer: its name in NePS, or auto.
    """

    def __init__(self, space: ConfigurationSpace, budgets: Budgets, *, seed: int, optimizer: str) -> None:
        self.reason = "NePS's choice"
        """Why the last ask came out as it did."""
        self._space = FLAT_SPACE.FlatSpace(space)
        self._rungs = budgets.rungs
        self._seed = seed
        self._random = np.random.RandomState(seed % 2**32).get_state()
        self._torch_random = torch.Generator().manual_seed(seed % 2**63).get_state()
        theirs = {name: _parameter(h) for name, h in self._space.chosen.items()}
        lowest = budgets.rungs[0] * (1 - 1e-9)  # it takes a logarithm, which loses a rung for 1 -> 243 exactly
        theirs[FIDELITY] = neps.HPOFloat(lowest, budgets.max, is_fidelity=True)
        searched = neps.SearchSpace(theirs)
        name = neps.algorithms.determine_optimizer_automatically(searched) if optimizer == AUTO else optimizer
        with self._isolated():
            make_optimizer = neps.algorithms.PredefinedOptimizers[name]
            self._neps = neps.AskAndTell(make_optimizer(searched, eta=int(budgets.eta)))
        self._places: dict[str, _Place] = {}
        self._running: dict[str, str] = {}
        self._n_asked = self._n_configs = 0

    def ask(self) -> Trial | Idle:
        """The next trial.

        Raises:
            SpaceError: forbidden clauses refuse whatever NePS draws.
        """
        for _ in range(MAX_REFUSED):
            with self._isolated():
                theirs: Any = self._neps.ask()
            try:
                config = self._space.active(theirs.config)
            except ForbiddenValueError as e:
                self._neps.tell(theirs.metadata.id, e)
                continue
            return self._trial(theirs, config)
        raise SpaceError(f"{MAX_REFUSED} configurations in a row were forbidden; NePS cannot be told of forbidden clauses")

    def tell(self, result: Result) -> None:
        """Passes on the loss; the first result of a trial counts."""
        name = self._running.pop(result.trial_id, None)
        if name is not None:
            failure = RuntimeError(result.message or result.status.value)
            self._neps.tell(name, failure if result.loss is None else float(result.loss))

    def _trial(self, theirs: Any, config: dict[str, Any]) -> Trial:
        rung = int(np.argmin([abs(math.log(theirs.config[FIDELITY] / budget)) for budget in self._rungs]))
        place = self._places.get(theirs.metadata.previous_trial_id)
        promoted = place is not None
        if place is None:
            place = _Place(number=self._n_configs, entry=rung)
            self._n_configs += 1
        self._places[theirs.metadata.id] = place
        trial = Trial(
            trial_id=f"t{self._n_asked:05d}",
            config_id=f"c{place.number:05d}",
            config=config,
            budget=self._rungs[rung],
            bracket=len(self._rungs) - 1 - place.entry,
            rung=rung,
            seed=int(np.random.default_rng((self._seed, place.number)).integers(2**31)),
            origin=Origin.PROMOTED if promoted else Origin.MODEL,
        )
        self._n_asked += 1
        self._running[trial.trial_id] = theirs.metadata.id
        return trial

    @contextmanager
    def _isolated(self) -> Iterator[None]:
        """Lends NePS its own random state: it draws from the global generators of numpy and torch."""
        random, torch_random = np.random.get_state(), torch.get_rng_state()
        np.random.set_state(self._random)
        torch.set_rng_state(self._torch_random)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                yield
        finally:
            self._random, self._torch_random = np.random.get_state(), torch.get_rng_state()
            np.random.set_state(random)
            torch.set_rng_state(torch_random)


def _parameter(it: Hyperparameter[Any, Any]) -> Any:
    """NePS has no ordinals: they are whole numbers."""
    match it:
        case FloatHyperparameter():
            return neps.HPOFloat(float(it.lower), float(it.upper), log=bool(it.log))
        case IntegerHyperparameter():
            return neps.HPOInteger(int(it.lower), int(it.upper), log=bool(it.log))
        case OrdinalHyperparameter():
            return neps.HPOInteger(0, len(it.sequence) - 1)
        case _:
            return neps.HPOCategorical(list(range(FLAT_SPACE.n_levels(it))))
