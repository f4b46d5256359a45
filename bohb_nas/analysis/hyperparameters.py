"""The axes of a space as plain data, each with the condition under which it exists."""

from typing import Any, Literal, cast

from ConfigSpace import ConfigurationSpace
from ConfigSpace.conditions import (
    AndConjunction,
    EqualsCondition,
    GreaterThanCondition,
    InCondition,
    LessThanCondition,
    NotEqualsCondition,
    OrConjunction,
)
from ConfigSpace.hyperparameters import (
    Constant,
    FloatHyperparameter,
    IntegerHyperparameter,
    NumericalHyperparameter,
    OrdinalHyperparameter,
)
from ConfigSpace.hyperparameters import Hyperparameter as Axis

from bohb_nas.analysis.findings import Hyperparameter
from bohb_nas.records import Value
from bohb_nas.space.encoding import listed, n_values, plain


def hyperparameters(space: ConfigurationSpace) -> list[Hyperparameter]:
    """All of a space, parents before their children."""
    return [_described(space, axis) for axis in space.values()]


def _described(space: ConfigurationSpace, axis: Axis[Any, Any]) -> Hyperparameter:
    bounds = (float(axis.lower), float(axis.upper)) if isinstance(axis, NumericalHyperparameter) else (None, None)
    conditions = space.parent_conditions_of[axis.name]
    return Hyperparameter(
        name=axis.name,
        kind=_kind(axis),
        log=bool(getattr(axis, "log", False)),
        lower=bounds[0],
        upper=bounds[1],
        choices=[] if isinstance(axis, Constant) else listed(axis),
        parents=sorted({parent.name for parent in space.parents_of[axis.name]}),
        condition=" and ".join(map(_text, conditions)) or None,
        default=cast(Value, plain(axis.default_value)),
    )


def _kind(axis: Axis[Any, Any]) -> Literal["float", "integer", "ordinal", "categorical", "constant"]:
    if n_values(axis) == 1:
        return "constant"
    match axis:
        case FloatHyperparameter():
            return "float"
        case IntegerHyperparameter():
            return "integer"
        case OrdinalHyperparameter():
            return "ordinal"
        case _:
            return "categorical"


def _text(condition: Any) -> str:
    """A condition for people: `family = cell or family = mobile`."""
    match condition:
        case EqualsCondition():
            return f"{condition.parent.name} = {plain(condition.value)}"
        case NotEqualsCondition():
            return f"{condition.parent.name} is not {plain(condition.value)}"
        case LessThanCondition():
            return f"{condition.parent.name} < {plain(condition.value)}"
        case GreaterThanCondition():
            return f"{condition.parent.name} > {plain(condition.value)}"
        case InCondition():
            return f"{condition.parent.name} is one of {', '.join(str(plain(value)) for value in condition.values)}"
        case AndConjunction():
            return " and ".join(f"({_text(c)})" if isinstance(c, OrConjunction) else _text(c) for c in condition.components)
        case OrConjunction():
            return " or ".join(f"({_text(c)})" if isinstance(c, AndConjunction) else _text(c) for c in condition.components)
        case _:
            return str(condition)
