"""Draws a comparison: regret over time per problem and over all of them, and the critical-difference diagram.

SVG and PNG, the same bytes for the same runs.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bohb_nas.arrays import Floats
from bohb_nas.durations import counted
from bohb_nas.plotting import STYLE, line_of, save
from bohb_nas.simulation.curves import Comparison
from bohb_nas.simulation.suites import is_synthetic

_FORMATS = ("svg", "png")
_FLOOR = 1e-4
"""The lowest regret that a logarithmic axis shows."""
_START = 0.1
"""The first time shown, in mean full costs."""


def draw(comparison: Comparison, figures: Mapping[str, Any], folder: Path) -> list[Path]:
    """Writes the figures of a comparison; their names hold its conditions.

    Args:
        comparison: the runs.
        figures: its standings.
        folder: where to.

    Raises:
        StorageError: the disk refused.
    """
    c = comparison.conditions
    suffix = f"w{c.workers}-{c.promote}{'-overhead' if c.overhead else ''}-{c.horizon:g}"
    written = []
    with mpl.rc_context(STYLE):
        written += save(_by_problem(comparison), folder / f"regret-by-problem-{suffix}", formats=_FORMATS)
        if figures["problems"]:
            written += save(_mean_regret(comparison, figures["problems"]), folder / f"regret-{suffix}", formats=_FORMATS)
        for one in figures["across"]:
            if one["critical_difference"] is not None:
                written += save(
                    _critical_difference(one), folder / f"critical-difference-{suffix}-at-{one['checkpoint']:g}", formats=_FORMATS
                )
    return written


def _grid(comparison: Comparison) -> Floats:
    """Points in time, evenly spaced on a logarithmic axis: (200,)."""
    end = comparison.conditions.horizon
    return np.geomspace(min(_START, end / 10), end, 200)


def _by_problem(comparison: Comparison) -> Figure:
    """A panel per problem: the median over seeds, and quartiles."""
    times = _grid(comparison)
    table = comparison.at(times.tolist())
    columns = min(4, len(comparison.problems))
    rows = -(-len(comparison.problems) // columns)
    figure = Figure(figsize=(3.4 * columns, 2.6 * rows + 0.5), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False)
    for k, place in enumerate(axes.flat):
        if k >= len(comparison.problems):
            place.set_axis_off()
            continue
        logarithmic = is_synthetic(comparison.problems[k])
        for m, method in enumerate(comparison.methods):
            known = table[m, k][~np.isnan(table[m, k, :, 0])]
            if known.size:
                low, median, high = np.quantile(np.maximum(known, _FLOOR) if logarithmic else known, [0.25, 0.5, 0.75], axis=0)
                _line(place, times, median, m, label=f"{method} (n = {len(known)})")
                place.fill_between(times, low, high, step="post", color=line_of(m)[0], alpha=0.15, linewidth=0)
        _label(place, comparison.problems[k], logarithmic=logarithmic)
        place.legend(fontsize=5, frameon=False)
    figure.suptitle(f"normalised regret, median and quartiles over seeds, {counted(comparison.conditions.workers, 'worker')}")
    return figure


def _mean_regret(comparison: Comparison, shared: Sequence[str]) -> Figure:
    """One panel: the mean over the shared problems of the mean over seeds."""
    times = _grid(comparison)
    table = comparison.at(times.tolist())[:, [comparison.problems.index(p) for p in shared]]
    means = np.nanmean(table, axis=2).mean(axis=1)  # every method has a run on every shared problem
    figure = Figure(figsize=(6.0, 4.0), layout="constrained")
    place = figure.subplots()
    for m, method in enumerate(comparison.methods):
        _line(place, times, np.maximum(means[m], _FLOOR), m, label=method)
    _label(place, f"mean over {counted(len(shared), 'problem')}, {counted(comparison.conditions.workers, 'worker')}", logarithmic=True)
    place.legend(fontsize=7, frameon=False)
    return figure


def _line(place: Axes, times: Floats, values: Floats, m: int, *, label: str) -> None:
    colour, line = line_of(m)
    place.step(times, values, where="post", color=colour, linestyle=line, label=label, linewidth=1.2)


def _label(place: Axes, title: str, *, logarithmic: bool) -> None:
    place.set(title=title, xscale="log", xlabel="mean costs of a full training", ylabel="normalised regret")
    if logarithmic:
        place.set_yscale("log")


def _critical_difference(one: Mapping[str, Any]) -> Figure:
    """Mean ranks on a line, best on the left; bars join what is not told apart (Demšar 2006, figure 1)."""
    ordered = sorted(one["mean_rank"].items(), key=lambda item: item[1])
    n, groups = len(ordered), one["not_told_apart"]
    top = 0.6 + 0.25 * len(groups)
    figure = Figure(figsize=(7.0, 1.2 + 0.25 * len(groups) + 0.3 * ((n + 1) // 2)), layout="constrained")
    place = figure.subplots()
    place.set(xlim=(0.2, n + 0.8), ylim=(-top - 0.4 * ((n + 1) // 2), 1.1))
    place.set_axis_off()
    place.hlines(0, 1, n, color="black", linewidth=1)
    for rank in range(1, n + 1):
        place.vlines(rank, 0, 0.1, color="black", linewidth=1)
        place.text(rank, 0.15, str(rank), ha="center", va="bottom")
    place.hlines(0.8, 1, 1 + one["critical_difference"], color="black", linewidth=2)
    place.text(1 + one["critical_difference"] + 0.05, 0.8, f"critical difference {one['critical_difference']:.2f}", va="center")
    for k, (method, rank) in enumerate(ordered):
        left = k < (n + 1) // 2
        depth = -top - 0.4 * (k if left else n - 1 - k)
        place.plot([rank, rank, 0.9 if left else n + 0.1], [0, depth, depth], color="black", linewidth=0.8)
        place.text(0.85 if left else n + 0.15, depth, f"{method} {rank:.2f}", ha="right" if left else "left", va="center")
    for k, group in enumerate(groups):
        members = [one["mean_rank"][method] for method in group]
        place.hlines(-0.25 * (k + 1), min(members) - 0.03, max(members) + 0.03, color="black", linewidth=3)
    place.set_title(f"mean rank over {one['n_problems']} problems at {one['checkpoint']:g} mean full costs")
    return figure
