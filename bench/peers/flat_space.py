"""A space for peers that know no conditions: every hyperparameter has a value, and what is inactive is left out of the trial.

Peers that sample uniformly lose nothing by that. One with a model sees inactive values as if they mattered: it is told
their defaults.
"""

import copy
from collections.abc import Mapping
from typing import Any

import numpy as np
from ConfigSpace import ConfigurationSpace
from ConfigSpace.hyperparameters import (
    CategoricalHyperparameter,
    Constant,
    FloatHyperparameter,
    Hyperparameter,
    IntegerHyperparameter,
    OrdinalHyperparameter,
)

from bohb_nas.errors import SpaceError
from bohb_nas.records import Value
from bohb_nas.space.encoding import plain


class FlatSpace:
    """The hyperparameters of a space, without its conditions.

    A peer sees the levels of ordinals and categoricals as whole numbers from 0, since not all accept every kind of value.

    Args:
        space: it is copied.

    Raises:
        SpaceError: a hyperparameter is of a kind that is not accepted.
    """

    chosen: Mapping[str, Hyperparameter[Any, Any]]
    """Those that have more than one value; a peer is told of no others."""

    def __init__(self, space: ConfigurationSpace) -> None:
        self._space = copy.deepcopy(space)
        self._steps = [(h, self._space.parent_conditions_of[h.name]) for h in self._space.values()]
        self.chosen = {h.name: h for h in self._space.values() if n_levels(h) != 1}

    def active(self, values: Mapping[str, Any]) -> dict[str, Value]:
        """The configuration of a peer's values for `chosen`, without what is inactive.

        Raises:
            ForbiddenValueError: a forbidden clause refuses it.
        """
        vector = np.full(len(self._steps), np.nan)
        config: dict[str, Value] = {}
        for i, (hyperparameter, conditions) in enumerate(self._steps):  # parents first
            if all(condition.satisfied_by_vector(vector) for condition in conditions):
                value = self._value(hyperparameter, values.get(hyperparameter.name, 0))
                vector[i] = hyperparameter.to_vector(value)
                config[hyperparameter.name] = plain(value)
        self._space.check_configuration_vector_representation(vector)
        return config

    def told(self, config: Mapping[str, Value]) -> dict[str, Any]:
        """The inverse of `active`, with the default of what is inactive."""
        return {name: self._place(h, config.get(name, plain(h.default_value))) for name, h in self.chosen.items()}

    def _value(self, it: Hyperparameter[Any, Any], value: Any) -> Any:
        match it:
            case CategoricalHyperparameter():
                return it.choices[int(value)]
            case OrdinalHyperparameter():
                return it.sequence[int(value)]
            case IntegerHyperparameter():  # a peer may leave the bounds, be it by a rounding error only
                return min(max(int(value), it.lower), it.upper)
            case FloatHyperparameter():
                return min(max(float(value), it.lower), it.upper)
            case _:
                return it.default_value

    def _place(self, it: Hyperparameter[Any, Any], value: Value) -> Any:
        match it:
            case CategoricalHyperparameter():
                return [plain(choice) for choice in it.choices].index(value)
            case OrdinalHyperparameter():
                return [plain(level) for level in it.sequence].index(value)
            case _:
                return value


def n_levels(it: Hyperparameter[Any, Any]) -> int | None:
    """How many values it has to choose from; None for numbers.

    Raises:
        SpaceError: it is of a kind that is not accepted.
    """
    match it:
        case CategoricalHyperparameter():
            return len(it.choices)
        case OrdinalHyperparameter():
            return len(it.sequence)
        case Constant():
            return 1
        case IntegerHyperparameter() | FloatHyperparameter():
            return None
        case _:
            raise SpaceError(f"{it.name} is a {type(it).__name__}; accepted are floats, integers, ordinals, categoricals and constants")
