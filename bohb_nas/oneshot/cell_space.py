"""What DHA takes from a space, and how what it found is said in the space's names."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ConfigSpace import ConfigurationSpace
from ConfigSpace.hyperparameters import NumericalHyperparameter
from ConfigSpace.util import deactivate_inactive_hyperparameters

from bohb_nas import networks
from bohb_nas.oneshot.hypergradients import Bounded
from bohb_nas.records import Value
from bohb_nas.space.encoding import default_configuration, plain
from bohb_nas.training.recipe import Recipe, read

DECIDED = ("optimizer", "schedule", "warm_up", "average", "average_span", "mixing", "mixup_alpha", "cutmix_alpha", "label_smoothing")
"""Names that mean something else in this search, or nothing."""
_TRAINED: Mapping[str, Value] = {"family": "cell", "optimizer": "sgd", "mixing": "none", "average": "off", "label_smoothing": 0.0}
"""How the search trains, in the names of the joint space."""


def base(space: ConfigurationSpace) -> Recipe:
    """The recipe of the space's default configuration without mixing and policy."""
    return replace(read(default_configuration(space))[1], mixing="none", policy=(), optimizer="sgd", label_smoothing=0.0)


def cell_defaults(space: ConfigurationSpace) -> dict[str, Any]:
    """The defaults of a space, and of cells also of what the space lacks."""
    return {**networks.family("cell").defaults, **{name: plain(one.default_value) for name, one in space.items()}}


def bounded(space: ConfigurationSpace, name: str, value: float, *, low: float, high: float, rate: float) -> Bounded:
    """A number that stays within its bounds and, where the space has the name, within those of the space.

    Raises:
        OptionError: no number does.
    """
    if isinstance(own := space.get(name), NumericalHyperparameter):
        low, high = max(low, float(own.lower)), min(high, float(own.upper))
        value = max(low, min(high, value))
    return Bounded(value, low=low, high=high, rate=rate)


def within(space: ConfigurationSpace, found: Mapping[str, Value]) -> tuple[dict[str, Value], dict[str, Value]]:
    """What was found as a configuration of a space, the rest at its default, and what the space cannot say of it."""
    wanted = {**_TRAINED, **found}
    taken = {name: value for name, value in wanted.items() if name in space and space[name].legal_value(value)}
    values = {name: hyperparameter.default_value for name, hyperparameter in space.items()} | taken
    whole = deactivate_inactive_hyperparameters(values, space)
    config = {name: plain(value) for name, value in dict(whole).items()}
    return config, {name: value for name, value in wanted.items() if name in space and name not in taken}
