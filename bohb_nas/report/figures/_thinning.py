"""Which points of a long line, and which of many marks, a figure can show."""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

MANY = 2000
"""More points or lines in a panel than these are a picture in an SVG or a PDF: nobody tells them apart, and each takes a hundred bytes."""
_TICKS = 300
"""Marks side by side that fill a panel."""
_STEPS = 1000
"""Of a line: each is less than half a dot of a PNG."""
_COLUMNS = 400


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


def outline(x: Floats, values: Floats) -> NDArray[np.intp]:
    """The points of a line that jumps to and fro: in each of 400 columns the first, the last, a lowest and a highest.

    Args:
        x: (n,) ascending.
        values: (n,)

    Returns:
        (m,) of n, ascending; all of them where they are few.
    """
    n = len(x)
    if n <= 4 * _COLUMNS:
        return np.arange(n, dtype=np.intp)
    column = np.floor(_shares(x) * (_COLUMNS - 1e-9))
    by_value = np.lexsort((values, column))
    ends = np.flatnonzero(np.diff(column))
    starts, stops = np.append(0, ends + 1), np.append(ends, n - 1)
    return np.unique(np.concatenate([starts, stops, by_value[starts], by_value[stops]]))


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
    places = np.unique(np.round(_shares(scaled) * (_TICKS - 1))) / (_TICKS - 1)
    drawn = low * (1 - places) + high * places
    return np.exp(drawn) if log else drawn


def evenly(n: int, most: int) -> NDArray[np.intp]:
    """At most so many of n places, from the first to the last."""
    return np.unique(np.round(np.linspace(0, n - 1, min(n, most))).astype(np.intp))


def _shares(x: Floats) -> Floats:
    """How far each is on the way from the lowest to the highest, in [0, 1]."""
    low, high = float(x.min()), float(x.max())
    return (x / 2 - low / 2) / (high / 2 - low / 2) if high > low else np.zeros_like(x)
