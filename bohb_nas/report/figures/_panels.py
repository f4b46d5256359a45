"""Panels: pages of them, axes for losses and for the values of hyperparameters, and a panel that says why it is empty."""

import math
import textwrap
from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedFormatter, FixedLocator, Formatter, LogLocator, MaxNLocator, NullLocator

from bohb_nas.analysis.findings import Hyperparameter
from bohb_nas.records import Value
from bohb_nas.report.figures._labels import number, said, short

Drawing: TypeAlias = Callable[[], Figure]
"""A figure that is drawn when it is called for: its name is known before."""
COLUMN_IN, PAGE_IN = 3.3, 7.0
"""Widths of a figure in print: one column, and two."""
SMALL = 6.0
"""The smallest letters, in points."""
_STEPS = (1, 2, 2.5, 5, 10)
_SPREAD = 30.0
"""Losses further apart than this ratio stand on a logarithmic axis."""


def page(n: int, columns: int, *, width: float, height: float) -> tuple[Figure, list[Axes]]:
    """A figure of n panels, row by row; `height` is of one row, in inches."""
    rows = -(-n // columns)
    figure = Figure(figsize=(width, height * rows + 0.3), layout="constrained")
    places = list(figure.subplots(rows, columns, squeeze=False).flat)
    for place in places[n:]:
        place.set_axis_off()
    return figure, places[:n]


def empty(place: Axes, why: str, *, width: int = 34) -> None:
    """A panel that says why nothing is drawn."""
    place.set(xticks=[], yticks=[])
    place.spines[:].set_visible(False)
    place.text(0.5, 0.5, textwrap.fill(why, width), ha="center", va="center", transform=place.transAxes, fontsize=SMALL + 0.5, color="0.35")


def plain_ticks(place: Axes, which: str) -> None:
    """Ticks in plain figures, a few of them, on whatever scale the axis has."""
    axis = place.xaxis if which == "x" else place.yaxis
    if axis.get_scale() == "log":
        low, high = sorted(axis.get_view_interval())
        decades = math.log10(high / low) if low > 0 else 0.0
        axis.set_major_locator(LogLocator(subs=(1.0,) if decades > 2 else (1.0, 2.0, 5.0), numticks=4))
        if decades < 0.5:
            axis.set_major_locator(MaxNLocator(4, steps=_STEPS))
        axis.set_minor_locator(NullLocator())
    elif axis.get_scale() == "linear":
        axis.set_major_locator(MaxNLocator(4, steps=_STEPS))
    axis.set_major_formatter(_Plain())


class _Plain(Formatter):
    """Ticks with the digits that say where they are: with fewer, those of large numbers close together would read the same."""

    def __call__(self, x: float, pos: int | None = None) -> str:
        """A place by itself."""
        return number(x)

    def format_ticks(self, values: Sequence[float]) -> list[str]:
        """All ticks of an axis."""
        room = float(np.diff(np.unique(values)).min(initial=math.inf)) / 100
        digits = next((n for n in range(3, 17) if all(abs(float(f"{one:.{n}g}") - one) <= room for one in values)), 17)
        return [number(one, digits) for one in values]


def scale_losses(place: Axes, losses: Sequence[float], which: str = "y") -> None:
    """An axis that shows losses: logarithmic where they are positive and far apart, and so even where some are not positive."""
    values = np.asarray(losses, dtype=float)
    if not values.size:
        return
    kind = "linear"
    if values.min() > 0:
        if values.max() / values.min() > _SPREAD:
            kind = "log"
    else:
        low, high = np.quantile(values, [0.25, 0.75])
        if values.max() / 1e3 - values.min() / 1e3 > high - low:
            kind = "symlog"
    threshold = float(np.median(np.abs(values))) or 1e-3
    options = {"linthresh": threshold} if kind == "symlog" else {}
    (place.set_xscale if which == "x" else place.set_yscale)(kind, **options)
    plain_ticks(place, which)


class ValueAxis:
    """The axis of a hyperparameter's values: numbers where they are, levels side by side."""

    def __init__(self, one: Hyperparameter) -> None:
        self.one = one
        self.levels = list(one["choices"])
        self._level_at = {_key(level): float(k) for k, level in reversed(list(enumerate(self.levels)))}

    def place(self, value: Value) -> float | None:
        """Where a value is; None where it cannot be."""
        if self.levels:
            return self._level_at.get(_key(value))
        return float(value) if isinstance(value, int | float) and math.isfinite(value) else None

    def dress(self, place: Axes) -> None:
        """Sets scale, limits and ticks of the x axis."""
        if self.levels:
            place.set_xlim(-0.5, len(self.levels) - 0.5)
            shown = range(0, len(self.levels), -(-len(self.levels) // 12))
            place.xaxis.set_major_locator(FixedLocator(list(shown)))
            place.xaxis.set_major_formatter(FixedFormatter([short(said(self.levels[k]), 12) for k in shown]))
            if sum(len(said(self.levels[k])) for k in shown) > 16:
                place.tick_params(axis="x", labelrotation=90 if len(shown) > 6 else 30)
            return
        lower, upper = self.one["lower"], self.one["upper"]
        if self.one["log"] and lower is not None and lower > 0:
            place.set_xscale("log")
        if lower is not None and upper is not None and upper > lower:
            pad = 0.03
            if self.one["log"] and lower > 0:
                ratio = (upper / lower) ** pad
                place.set_xlim(lower / ratio, upper * ratio)
            else:
                place.set_xlim(lower - pad * (upper - lower), upper + pad * (upper - lower))
        plain_ticks(place, "x")


def _key(level: Value) -> tuple[bool, Value]:
    """What equal levels share: True is not 1."""
    return isinstance(level, bool), level
