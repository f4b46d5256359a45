"""Draws a comparison: the best model to be had so far over the seconds of the device, over seeds."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from bohb_nas.arrays import Floats
from bohb_nas.comparison.arrangement import Arrangement
from bohb_nas.comparison.cells import Cell
from bohb_nas.comparison.device_seconds import curve
from bohb_nas.plotting import STYLE, line_of, save

_FORMATS = ("png", "svg")


_FAR_APART = 10
"""Times the least error that the largest may be on a linear axis."""
_LINEAR_BELOW = 1e-2
"""A logarithmic axis is linear from there down to zero."""


def draw(folder: Path, arrangement: Arrangement, cells: Sequence[Cell]) -> list[Path]:
    """Writes comparison.png and comparison.svg: of each method the mean over seeds, and between which errors they lie.

    A line begins where all seeds have a model, and goes on to the last second that any cell took.

    Args:
        folder: DIR.
        arrangement: what is compared.
        cells: all that are known.

    Raises:
        StorageError: the disk refused.
    """
    end = max([arrangement.time_s, *(cell.account.total_s for cell in cells)])
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(7.0, 4.2), layout="constrained")
        place = figure.subplots()
        for m, method in enumerate(arrangement.methods):
            curves = [curve(cell.told) for cell in cells if cell.method == method]
            if not (known := [points for points in curves if points]):
                continue
            times, low, mean, high = over_seeds(known, end=end)
            colour, line = line_of(m)
            place.step(times, mean, where="post", color=colour, linestyle=line, linewidth=1.2, label=f"{method} (n = {len(known)})")
            place.fill_between(times, low, high, step="post", color=colour, alpha=0.15, linewidth=0)
            place.plot(times[:1], mean[:1], marker="o", markersize=3, color=colour)
        place.axvline(arrangement.time_s, color="#999999", linewidth=0.8, linestyle=":")
        place.set(
            title=f"{Path(arrangement.dataset).stem}, {Path(arrangement.space).stem}: mean and range over seeds",
            xlabel="seconds of the device",
            ylabel="validation error of the best model so far",
            xlim=(0, end * 1.02),
        )
        errors = [error for cell in cells for _, error in curve(cell.told)]
        if errors and max(errors) > _FAR_APART * min(errors):
            place.set_yscale("symlog", linthresh=_LINEAR_BELOW)  # an error of zero has a place
            place.set_ylim(bottom=0)
            place.yaxis.set_major_formatter("{x:g}")
        if place.get_legend_handles_labels()[0]:
            place.legend(fontsize=7, frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0))
        return save(figure, folder / "comparison", formats=_FORMATS)


def over_seeds(curves: Sequence[Sequence[tuple[float, float]]], *, end: float) -> tuple[Floats, Floats, Floats, Floats]:
    """Step functions of several seeds as one.

    Args:
        curves: of S seeds, each of at least one point (time, error), times ascending.
        end: the last time.

    Returns:
        Times (n,), from the first at which all seeds have an error to `end`, and least, mean and largest error at each, (n,).
    """
    start = max(points[0][0] for points in curves)
    times = np.unique([start, end, *(time for points in curves for time, _ in points if start < time < end)])
    table = np.stack([_at(points, times) for points in curves])
    return times, table.min(axis=0), table.mean(axis=0), table.max(axis=0)


def _at(points: Sequence[tuple[float, float]], times: Floats) -> Floats:
    """A step function at times that are no earlier than its first point."""
    changes, values = np.array(points).T
    found: Floats = values[np.searchsorted(changes, times, side="right") - 1]
    return found
