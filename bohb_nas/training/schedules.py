"""Learning rate schedules in time: the fraction of the peak at u = time used / budget."""

import functools
import math
from collections.abc import Callable
from typing import Literal

Name = Literal["cosine", "restarts"]


def named(name: Name, *, rung: int) -> Callable[[float], float]:
    """The schedule of a name at a rung, 0 being the cheapest."""
    return functools.partial(restarts, cycles=rung + 1) if name == "restarts" else cosine


def cosine(u: float, *, warm_up: float = 0.05) -> float:
    """A linear rise during `warm_up`, then half a cosine that reaches zero exactly at u = 1.

    Args:
        u: fraction of the budget used, in [0, 1].
        warm_up: fraction of the budget spent rising.
    """
    if u < warm_up:
        return u / warm_up
    return _half_cosine((u - warm_up) / (1 - warm_up))


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
