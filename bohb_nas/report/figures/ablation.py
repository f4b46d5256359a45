"""The way from a known configuration to the incumbent, one change at a time."""

from collections.abc import Iterator
from functools import partial

from matplotlib.figure import Figure

from bohb_nas.analysis.findings import Ablation, AblationStep, Findings
from bohb_nas.durations import budget_text
from bohb_nas.plotting import COLOURS
from bohb_nas.report.figures._labels import said, short, short_name
from bohb_nas.report.figures._panels import PAGE_IN, SMALL, Drawing, scale_losses

_ROW_IN = 0.19


def figures(found: Findings) -> Iterator[tuple[str, Drawing]]:
    """`ablation`: the predicted loss after each change."""
    path = found["ablation"]
    if path is not None and path["steps"]:
        yield "ablation", partial(_figure, found, path)


def _figure(found: Findings, path: Ablation) -> Figure:
    n = len(path["steps"]) + 1
    figure = Figure(figsize=(PAGE_IN, _ROW_IN * n + 0.7), layout="constrained")
    place = figure.subplots()
    losses = [path["loss"], *(step["loss"] for step in path["steps"])]
    spreads = [path["spread"], *(step["spread"] for step in path["steps"])]
    for k, (low, high) in enumerate(spreads):
        place.plot([low, high], [k, k], color=COLOURS[0], linewidth=1.0, alpha=0.6, gid=f"spread-{k}")
    place.step(losses, range(n), where="post", color=COLOURS[0], linewidth=0.8, alpha=0.8)
    place.plot(losses, range(n), color=COLOURS[0], marker="o", markersize=3.5, linewidth=0, gid="losses")
    place.set_yticks(range(n), [short(path["start"], 60), *(_said(step, found) for step in path["steps"])], fontsize=SMALL + 0.5)
    place.set_ylim(n - 0.5, -0.5)
    place.tick_params(axis="y", length=0)
    place.grid(axis="y", color="0.92", linewidth=0.6)
    place.set_axisbelow(True)
    scale_losses(place, losses + [edge for spread in spreads for edge in spread], "x")
    place.set_xlabel(f"loss at {budget_text(path['budget'], found['study']['unit'])} that the forest predicts (lines: spread over trees)")
    return figure


def _said(step: AblationStep, found: Findings) -> str:
    """The change, and how many hyperparameters come and go with it."""
    first, *others = step["names"]
    more = f" (and {len(others)} more)" if others else ""
    return f"{short_name(first, found, 30)}: {said(step['before'].get(first))} → {said(step['after'].get(first))}{more}"
