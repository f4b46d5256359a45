"""The values among which a controller chooses for one hyperparameter: its choices, or a few bases of a number.

AutoHAS (Dong et al. 2020, arXiv:2006.03656) writes a continuous hyperparameter as a linear combination of such bases.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from ConfigSpace.hyperparameters import Hyperparameter, IntegerHyperparameter, NumericalHyperparameter

from bohb_nas.arrays import Floats
from bohb_nas.records import Value
from bohb_nas.space.encoding import listed, n_values, plain

_FEW_MORE = 3
"""By so many values an integer may exceed the bases and still has all of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """One hyperparameter as a choice among n values."""

    name: str
    values: tuple[Value, ...]
    """(n,) at least two: the choices, or the bases of a number in ascending order."""
    number: bool
    """Whether what is used may be the mean of the bases."""
    log: bool
    """Whether distances and means are those of the logarithms."""
    default: int
    """Index of the value nearest to the hyperparameter's default."""

    def blend(self, probabilities: Floats) -> float:
        """The mean of a number's bases under probabilities (n,), of those on a logarithmic scale the geometric mean.

        With an arithmetic mean, one percent of the mass on a learning rate of 10 would outweigh all the rest.
        """
        values = np.asarray(self.values, dtype=np.float64)
        mean = np.exp(probabilities @ np.log(values)) if self.log else probabilities @ values
        return float(np.clip(mean, values[0], values[-1]))


def decision(hyperparameter: Hyperparameter[Any, Any], *, blendable: bool, n_bases: int) -> Decision:
    """The decision about a hyperparameter that has a choice.

    Args:
        hyperparameter: of at least two values.
        blendable: whether a float may take values between its bases.
        n_bases: of a float, and of an integer with more than a few values more.
    """
    default = cast(Value, plain(hyperparameter.default_value))
    name = hyperparameter.name
    if not isinstance(hyperparameter, NumericalHyperparameter):
        choices = tuple(listed(hyperparameter))
        return Decision(name=name, values=choices, number=False, log=False, default=choices.index(default))
    log = bool(getattr(hyperparameter, "log", False))
    number = blendable and not isinstance(hyperparameter, IntegerHyperparameter)
    values: tuple[Value, ...]
    if isinstance(hyperparameter, IntegerHyperparameter):
        values = _integers(hyperparameter, n_bases, log=log)
    else:
        values = _floats(float(hyperparameter.lower), float(hyperparameter.upper), n_bases, log=log)
    return Decision(name=name, values=values, number=number, log=log, default=_nearest(values, cast(float, default), log=log))


def _floats(lower: float, upper: float, n: int, *, log: bool) -> tuple[float, ...]:
    """The n bases of a float, both bounds and even steps between; without the last digits, which the logarithm makes up."""
    inner = [float(f"{value:.13g}") for value in _even(lower, upper, n, log=log)[1:-1]]
    return (lower, *inner, upper)


def _integers(hyperparameter: IntegerHyperparameter, n: int, *, log: bool) -> tuple[int, ...]:
    """All values if they are few, else n different ones in even steps, of which the nearest to the default is the default."""
    lower, upper = int(hyperparameter.lower), int(hyperparameter.upper)
    if n_values(hyperparameter) <= n + _FEW_MORE:
        return tuple(range(lower, upper + 1))
    values: list[int] = []
    for i, place in enumerate(_even(lower, upper, n, log=log)):
        least = values[-1] + 1 if values else lower  # on a logarithmic scale the first ones may round to the same
        values.append(min(max(round(place), least), upper - (n - 1 - i)))
    default = int(hyperparameter.default_value)
    values[_nearest(values, default, log=log)] = default
    return tuple(values)


def _even(lower: float, upper: float, n: int, *, log: bool) -> list[float]:
    """Numbers (n,) from bound to bound in even steps."""
    even = np.geomspace(lower, upper, n) if log else np.linspace(lower, upper, n)
    return [float(value) for value in even]


def _nearest(values: Sequence[float], value: float, *, log: bool) -> int:
    """The index of the nearest of values (n,) on the scale, of two the lower."""
    places = np.asarray([*values, value], dtype=np.float64)
    if log:
        places = np.log(places)
    return int(np.argmin(np.abs(places[:-1] - places[-1])))
