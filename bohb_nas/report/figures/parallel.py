"""Evaluations as lines over parallel axes, coloured by their loss; where a hyperparameter is inactive the line has a gap."""

from collections.abc import Iterator, Sequence
from functools import partial

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.collections import LineCollection
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure

from bohb_nas.analysis.findings import Findings, Hyperparameter, Row
from bohb_nas.durations import budget_text, counted
from bohb_nas.records import NOT_DRAWN
from bohb_nas.report.figures._labels import said, short, short_name
from bohb_nas.report.figures._panels import PAGE_IN, SMALL, Drawing, ValueAxis, plain_ticks
from bohb_nas.report.figures._thinning import evenly

_MOST = 12
"""Axes on a page: of more, the most important."""
_MOST_LINES = 400
"""Of more evaluations so many are drawn, evenly over the order of their losses, the incumbent among them."""


def figures(found: Findings) -> Iterator[tuple[str, Drawing]]:
    """`parallel-coordinates`: of the dearest budget with at least two evaluations."""
    for budget in reversed(found["budgets"]):
        rows = [r for r in found["trials"] if r["budget"] == budget["budget"] and r["loss"] is not None and r["origin"] not in NOT_DRAWN]
        if len(rows) > 1:
            rank = {p["name"]: k for k, p in enumerate(budget["parameters"])}
            moving = [one for one in found["hyperparameters"] if one["kind"] != "constant"]
            axes = sorted(moving, key=lambda one: rank.get(one["name"], len(rank)))[:_MOST]
            if axes:
                yield "parallel-coordinates", partial(_figure, found, budget["budget"], axes, rows, len(moving))
            return


def _figure(found: Findings, budget: float, axes: Sequence[Hyperparameter], rows: Sequence[Row], n_all: int) -> Figure:
    losses = [float(r["loss"] or 0.0) for r in rows]
    norm = _norm(losses)
    figure = Figure(figsize=(PAGE_IN, 3.1), layout="constrained")
    place = figure.subplots()
    leads = found["incumbent"]["trial_id"] if found["incumbent"] is not None else None
    best = [k for k, row in enumerate(rows) if row["trial_id"] == leads]
    others = sorted(set(range(len(rows))) - set(best), key=lambda k: -losses[k])
    order = [others[k] for k in evenly(len(others), _MOST_LINES - len(best))] + best  # the lowest losses on top, and on them the incumbent
    values = [ValueAxis(one) for one in axes]
    heights = np.array([[_height(axis, rows[k]) for axis in values] for k in order], dtype=float).reshape(len(order), -1)
    palette = mpl.colormaps["viridis"]
    for line, k in zip(heights, order, strict=True):
        colour = palette(float(norm(losses[k])))
        _line(place, line, colour, width=1.8 if k in best else 0.7, name=f"configuration-{rows[k]['trial_id']}")
    for x, one in enumerate(axes):
        place.axvline(x, color="0.35", linewidth=0.6, zorder=3)
        for height, text in _scale(one):
            place.annotate(
                text,
                (x, height),
                (1.5, 0),
                textcoords="offset points",
                fontsize=SMALL - 1,
                va="center",
                bbox={"boxstyle": "square,pad=0.05", "color": "white", "alpha": 0.65, "linewidth": 0},
                zorder=4,
            )
    place.set_xlim(-0.15, max(len(axes) - 0.4, 0.6))
    place.set_ylim(-0.04, 1.04)
    place.set_xticks(range(len(axes)), [short_name(one["name"], found, 20) for one in axes], rotation=30, ha="right", fontsize=SMALL + 0.5)
    place.set_yticks([])
    place.spines[:].set_visible(False)
    bar = figure.colorbar(ScalarMappable(norm, "viridis"), ax=place, pad=0.01, aspect=25)
    bar.set_label("loss", fontsize=7)
    bar.ax.tick_params(labelsize=SMALL)
    plain_ticks(bar.ax, "y")
    some = f" ({len(order)} of them as lines)" if len(order) < len(rows) else ""
    some += f", the {len(axes)} most important of {n_all} axes" if len(axes) < n_all else ""
    some += "; thick: the incumbent" if best else ""
    place.set_title(f"{counted(len(rows), 'evaluation')} at {budget_text(budget, found['study']['unit'])}{some}", fontsize=SMALL + 1)
    return figure


def _norm(losses: Sequence[float]) -> Normalize:
    """Colours from the lowest loss to the upper quartile: above it all is bad alike."""
    low, high = min(losses), float(np.quantile(losses, 0.75))
    if not high > low:
        low, high = min(losses), max(max(losses), min(losses) + 1e-12)
    return LogNorm(low, high, clip=True) if low > 0 and high / low > 30 else Normalize(low, high, clip=True)


def _height(axis: ValueAxis, row: Row) -> float:
    """Where a configuration crosses an axis, in [0, 1]; NaN where it does not."""
    one = axis.one
    if one["name"] not in row["config"]:
        return np.nan
    x = axis.place(row["config"][one["name"]])
    if x is None:
        return np.nan
    if axis.levels:
        return (x + 0.5) / len(axis.levels)
    lower, upper = one["lower"], one["upper"]
    if lower is None or upper is None or not upper > lower:
        return 0.5
    if one["log"] and lower > 0 and x > 0:
        return float(np.clip(np.log(x / lower) / np.log(upper / lower), 0, 1))
    return float(np.clip((x - lower) / (upper - lower), 0, 1))


def _line(place: Axes, heights: np.ndarray, colour: tuple[float, ...], *, width: float, name: str) -> None:
    """The parts between neighbouring axes that both exist, and a dot where an axis stands alone."""
    known = ~np.isnan(heights)
    parts = [[(x, heights[x]), (x + 1, heights[x + 1])] for x in range(len(heights) - 1) if known[x] and known[x + 1]]
    place.add_collection(LineCollection(parts, colors=[colour], linewidths=width, alpha=0.75, gid=name))
    before, after = np.append(False, known[:-1]), np.append(known[1:], False)
    alone = np.flatnonzero(known & ~before & ~after)
    if len(alone):
        place.plot(alone, heights[alone], color=colour, marker="o", markersize=2.2 * width, linewidth=0)


def _scale(one: Hyperparameter) -> list[tuple[float, str]]:
    """What is written along an axis: its ends, or its levels."""
    if one["choices"]:
        n = len(one["choices"])
        return [((k + 0.5) / n, short(said(one["choices"][k]), 9)) for k in range(0, n, -(-n // 8))]
    if one["lower"] is None or one["upper"] is None:
        return []
    return [(0.0, said(one["lower"])), (1.0, said(one["upper"]))]
