"""Learning rate schedules in time: the fraction of the peak at u = time used / budget."""

import functools
import math
from collections.abc import Callable
from typing import Literal

Shape = Literal["cosine", "linear", "trapezoid"]
"""What a configuration can choose."""
Name = Literal["cosine", "restarts"]
"""What a worker can be told of configurations that choose nothing."""
WARM_UP = 0.05
"""Fraction of the budget spent rising, unless a configuration says otherwise."""
_COOL_DOWN = 0.2
"""Of the budget, at the end of a trapezoid: what Haegele et al. (2024, arXiv:2405.18392) found to do as well as a cosine."""


def named(name: Name | Shape, *, rung: int, warm_up: float = WARM_UP) -> Callable[[float], float]:
    """The schedule of a name at a rung, 0 being the cheapest; restarts know no warm-up."""
    match name:
        case "restarts":
            return functools.partial(restarts, cycles=rung + 1)
        case "cosine":
            return functools.partial(cosine, warm_up=warm_up)
        case "linear":
            return functools.partial(linear, warm_up=warm_up)
        case "trapezoid":
            return functools.partial(trapezoid, warm_up=warm_up)


def cosine(u: float, *, warm_up: float = WARM_UP) -> float:
    """A linear rise during `warm_up`, then half a cosine that reaches zero exactly at u = 1.

    Args:
        u: fraction of the budget used, in [0, 1].
        warm_up: fraction of the budget spent rising.
    """
    if u < warm_up:
        return u / warm_up
    return _half_cosine((u - warm_up) / (1 - warm_up))


def linear(u: float, *, warm_up: float = WARM_UP) -> float:
    """A linear rise during `warm_up`, then a straight line that reaches zero exactly at u = 1."""
    return u / warm_up if u < warm_up else max(0.0, (1 - u) / (1 - warm_up))


def trapezoid(u: float, *, warm_up: float = WARM_UP) -> float:
    """A linear rise during `warm_up`, the peak, and over the last fifth a straight line to zero at u = 1.

    At most four fifths of the budget can be spent rising.
    """
    return min(u / warm_up if u < warm_up else 1.0, max(0.0, (1 - u) / _COOL_DOWN))


def restarts(u: float, *, cycles: int) -> float:
    """Cosines with warm restarts (Loshchilov and Hutter 2017), each cycle twice as long as the one before.

    The first takes 1 / (2^cycles - 1) of the budget, so that the last one ends at zero exactly at u = 1: the schedule of
    Zela et al. (2018), where the k-th rung has k cycles.

    Args:
        u: fraction of the budget used, in [0, 1].
        cycles: k, from 1.
    """
    in_first_cycles = u * (2**cycles - 1)
    cycle = min(int(math.log2(in_first_cycles + 1)), cycles - 1)
    return _half_cosine((in_first_cycles - (2**cycle - 1)) / 2**cycle)


def _half_cosine(x: float) -> float:
    return 0.0 if x >= 1 else 0.5 * (1 + math.cos(math.pi * x))
