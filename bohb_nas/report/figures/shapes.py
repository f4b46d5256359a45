"""The losses of configurations by budget: what more budget bought, and where lines cross."""

from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from bohb_nas.analysis.findings import Findings, Shape
from bohb_nas.durations import budget_text
from bohb_nas.plotting import COLOURS
from bohb_nas.report.figures._labels import INCUMBENT
from bohb_nas.report.figures._panels import COLUMN_IN, SMALL, Drawing, scale_losses
from bohb_nas.report.figures._thinning import MANY


def figures(found: Findings) -> Iterator[tuple[str, Drawing]]:
    """`loss-by-budget`: a line for each configuration with a loss at several budgets."""
    if found["shapes"]:
        yield "loss-by-budget", partial(_figure, found, found["shapes"])


def _figure(found: Findings, shapes: Sequence[Shape]) -> Figure:
    figure = Figure(figsize=(COLUMN_IN * 1.25, 2.9), layout="constrained")
    place = figure.subplots()
    budgets = sorted({budget for s in shapes for budget, _ in s["losses"]})
    origins = sorted({s["origin"] for s in shapes})
    handles = []
    for k, origin in enumerate(origins):
        ones = [np.array(s["losses"]) for s in shapes if s["origin"] == origin]
        colour = COLOURS[(0, 2, 3, 4, 5, 7)[k % 6]]
        alpha = float(np.clip(40 / len(shapes), 0.15, 0.7))
        lines = LineCollection(ones, colors=colour, linewidths=0.7, alpha=alpha, gid=f"shapes-{origin}", rasterized=len(shapes) > MANY)
        place.add_collection(lines)
        handles.append(Line2D([], [], color=colour, linewidth=1, label=f"{origin} (n = {len(ones)})"))
    medians = [float(np.median([loss for s in shapes for b, loss in s["losses"] if b == budget])) for budget in budgets]
    # not joined: those at a dearer budget were chosen for their losses, and a line would show that as what the budget does
    place.plot(budgets, medians, color="black", marker="D", markersize=4, linewidth=0, gid="median", zorder=3)
    handles.append(Line2D([], [], color="black", marker="D", markersize=4, linewidth=0, label="median of those there"))
    incumbent = found["incumbent"]
    best = next((s for s in shapes if incumbent is not None and s["config_id"] == incumbent["config_id"]), None)
    if best is not None:
        x, y = zip(*best["losses"], strict=True)
        place.plot(x, y, color=INCUMBENT, linewidth=1.4, linestyle="--", gid="incumbent")
        handles.append(Line2D([], [], color=INCUMBENT, linewidth=1.4, linestyle="--", label="incumbent"))
    place.set_xscale("log")
    place.autoscale_view()
    scale_losses(place, [loss for s in shapes for _, loss in s["losses"]])
    place.minorticks_off()
    place.set_xticks(budgets, [budget_text(b, found["study"]["unit"]) for b in budgets])
    place.set(xlabel="budget", ylabel="loss")
    figure.legend(handles=handles, loc="outside upper center", ncols=2, fontsize=SMALL + 0.5, frameon=False)
    return figure
