"""Which points of a long line, and which of many marks, a figure can show."""

import numpy as np
from numpy.typing import NDArray

from bohb_nas.arrays import Floats

MANY = 2000
"""More points or lines in a panel than these are a picture in an SVG or a PDF: nobody tells them apart, and each takes a hundred bytes."""
_TICKS = 300
"""Marks side by side that fill a panel."""
_STEPS = 1000
"""Of a line: each is less than half a dot of a PNG."""


def moved(values: Floats) -> NDArray[np.intp]:
    """The points of a line of steps that has moved visibly since the last of them; the first and the last always.

    Args:
        values: (n,) what the line is at from each point on.

    Returns:
        (m,) of n: between two of them the line stays within a thousandth of its range.
    """
    tolerance = float(np.ptp(values)) / _STEPS if len(values) > _STEPS else 0.0
    kept = [0]
    last = values[0]
    for k, value in enumerate(values.tolist()):
        if abs(value - last) > tolerance:
            kept.append(k)
            last = value
    if kept[-1] != len(values) - 1:
        kept.append(len(values) - 1)
    return np.array(kept, dtype=np.intp)


def side_by_side(at: Floats, *, log: bool) -> Floats:
    """Where to draw a mark for each of many values along an axis: of more than 300 at the nearest of 300 places, each of them once.

    Args:
        at: (n,) the values.
        log: whether the axis is logarithmic; values that it cannot have are left out.

    Returns:
        (m,) from the lowest value to the highest.
    """
    if len(at) <= _TICKS:
        return at
    known = at[at > 0] if log else at
    if not len(known):
        return known
    scaled = np.log(known) if log else known
    low, high = float(scaled.min()), float(scaled.max())
    shares = (scaled - low) / (high - low) if high > low else np.zeros_like(scaled)
    places = np.unique(np.round(shares * (_TICKS - 1))) / (_TICKS - 1)
    drawn = low * (1 - places) + high * places
    return np.exp(drawn) if log else drawn


def evenly(n: int, most: int) -> NDArray[np.intp]:
    """At most so many of n places, from the first to the last."""
    return np.unique(np.round(np.linspace(0, n - 1, min(n, most))).astype(np.intp))
