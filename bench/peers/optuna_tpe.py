"""Optuna as a method: its TPE sampler with the rungs of its Hyperband pruner, through its public ask and tell.

One Optuna trial is one configuration. Each of our trials is one report of it: the loss at a rung is its intermediate
value at step eta^rung. What the pruner lets pass is asked again one rung up, at once, before anything new; the pruner
never waits for others and never revives what it has pruned. A failed result ends the Optuna trial as failed, which TPE
leaves out of its model, as it does when an objective raises.

    bohb-nas simulate --method bench/peers/optuna_tpe.py ...
"""

import importlib.metadata
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import optuna  # type: ignore[import-not-found,unused-ignore]
from ConfigSpace import ConfigurationSpace
from ConfigSpace.exceptions import ForbiddenValueError
from ConfigSpace.hyperparameters import (
    CategoricalHyperparameter,
    Constant,
    FloatHyperparameter,
    Hyperparameter,
    IntegerHyperparameter,
    OrdinalHyperparameter,
)
from optuna.trial import TrialState  # type: ignore[import-not-found,unused-ignore]

from bohb_nas.errors import OptionError, SpaceError
from bohb_nas.records import Budgets, Idle, Origin, Result, Trial, Value
from bohb_nas.space.encoding import plain

VERSION = importlib.metadata.version("optuna")

MAX_REFUSED = 1000
"""Configurations in a row that a forbidden clause may refuse; Optuna cannot be told of such clauses."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Nothing to choose: Optuna's defaults."""


def make(*, space: ConfigurationSpace, budgets: Budgets, seed: int, n_workers: int, options: Options) -> "OptunaTpe":
    """The optimizer; TPE sees running trials by itself, so the number of workers changes nothing.

    Raises:
        OptionError: eta is not a whole number, which is all that the pruner accepts.
    """
    del n_workers, options
    if budgets.eta != int(budgets.eta):
        raise OptionError(f"eta {budgets.eta:g}: Optuna's pruner accepts whole numbers; use 3")
    return OptunaTpe(space, budgets, seed=seed)


@dataclass(slots=True, kw_only=True)
class _Configuration:
    """An Optuna trial and where it stands."""

    optuna: optuna.Trial
    config: Mapping[str, Value]
    seed: int
    entry: int
    """The first rung at which its bracket may prune it; training starts there."""
    rung: int


class OptunaTpe:
    """The optimizer.

    Args:
        space: what to search.
        budgets: the ladder; eta is whole.
        seed: of the sampler, and of which bracket a configuration falls into.
    """

    def __init__(self, space: ConfigurationSpace, budgets: Budgets, *, seed: int) -> None:
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self.reason = "Optuna's choice"
        """Why the last ask came out as it did."""
        self._walk = _Walk(space)
        self._rungs = budgets.rungs
        self._eta = int(budgets.eta)
        self._seed = seed
        name = f"study-{seed}"  # with a configuration's number it decides the bracket
        self._study = optuna.create_study(study_name=name, sampler=optuna.samplers.TPESampler(seed=seed), pruner=self._pruner())
        self._entries = optuna.create_study(study_name=name, sampler=optuna.samplers.RandomSampler(seed=0), pruner=self._pruner())
        self._waiting: deque[_Configuration] = deque()
        self._running: dict[str, _Configuration] = {}
        self._n_asked = 0

    def ask(self) -> Trial | Idle:
        """The next trial: a configuration that was not pruned, else a new one."""
        promoted = bool(self._waiting)
        it = self._waiting.popleft() if promoted else self._new()
        trial = Trial(
            trial_id=f"t{self._n_asked:05d}",
            config_id=f"c{it.optuna.number:05d}",
            config=it.config,
            budget=self._rungs[it.rung],
            bracket=len(self._rungs) - 1 - it.entry,
            rung=it.rung,
            seed=it.seed,
            origin=Origin.PROMOTED if promoted else Origin.MODEL,
        )
        self._n_asked += 1
        self._running[trial.trial_id] = it
        return trial

    def tell(self, result: Result) -> None:
        """Reports the loss and lets the pruner decide; a configuration at the top is complete."""
        it = self._running.pop(result.trial_id)
        if result.loss is None:
            self._study.tell(it.optuna, state=TrialState.FAIL)
            return
        it.optuna.report(result.loss, step=self._eta**it.rung)
        if it.rung == len(self._rungs) - 1:
            self._study.tell(it.optuna, result.loss)
        elif it.optuna.should_prune():
            self._study.tell(it.optuna, state=TrialState.PRUNED)
        else:
            it.rung += 1
            self._waiting.append(it)

    def _new(self) -> _Configuration:
        for _ in range(MAX_REFUSED):
            trial = self._study.ask()
            entry = self._entry(trial.number)
            try:
                config = self._walk.suggest(trial)
            except ForbiddenValueError:
                self._study.tell(trial, state=TrialState.FAIL)
                continue
            seed = int(np.random.default_rng((self._seed, trial.number)).integers(2**31))
            return _Configuration(optuna=trial, config=config, seed=seed, entry=entry, rung=entry)
        raise SpaceError(f"{MAX_REFUSED} configurations in a row were forbidden; Optuna cannot be told of forbidden clauses")

    def _pruner(self) -> optuna.pruners.HyperbandPruner:
        """With one bracket per rung: Optuna takes a logarithm for their number and loses one for 1 -> 243 exactly."""
        top = self._eta ** (len(self._rungs) - 1)
        return optuna.pruners.HyperbandPruner(min_resource=1, max_resource=top + (top > 1), reduction_factor=self._eta)

    def _entry(self, number: int) -> int:
        """The lowest rung at which the bracket of Optuna's trial of this number prunes.

        Found in a study aside, of the same name, by reporting a NaN: it is pruned where a decision is taken.
        """
        probe = self._entries.ask()
        assert probe.number == number
        top = len(self._rungs) - 1
        for rung in range(top):
            probe.report(float("nan"), step=self._eta**rung)
            if probe.should_prune():
                top = rung
                break
        self._entries.tell(probe, state=TrialState.FAIL)
        return top


class _Walk:
    """Suggests a configuration, hyperparameter by hyperparameter, parents first, only those that are active."""

    def __init__(self, space: ConfigurationSpace) -> None:
        self._space = space
        self._steps = [(h, space.parent_conditions_of[h.name]) for h in space.values()]

    def suggest(self, trial: optuna.Trial) -> dict[str, Value]:
        vector = np.full(len(self._steps), np.nan)
        config: dict[str, Value] = {}
        for i, (hyperparameter, conditions) in enumerate(self._steps):
            if all(condition.satisfied_by_vector(vector) for condition in conditions):
                config[hyperparameter.name] = value = _suggest(trial, hyperparameter)
                vector[i] = hyperparameter.to_vector(value)
        self._space.check_configuration_vector_representation(vector)
        return config


def _suggest(trial: optuna.Trial, it: Hyperparameter[Any, Any]) -> Any:
    match it:
        case CategoricalHyperparameter():
            return trial.suggest_categorical(it.name, [plain(choice) for choice in it.choices])
        case OrdinalHyperparameter():
            return plain(it.sequence[trial.suggest_int(it.name, 0, len(it.sequence) - 1)])
        case Constant():
            return plain(it.value)
        case IntegerHyperparameter():
            return trial.suggest_int(it.name, int(it.lower), int(it.upper), log=it.log)
        case FloatHyperparameter():
            return trial.suggest_float(it.name, float(it.lower), float(it.upper), log=it.log)
        case _:
            raise SpaceError(f"{it.name} is a {type(it).__name__}; accepted are floats, integers, ordinals, categoricals and constants")
