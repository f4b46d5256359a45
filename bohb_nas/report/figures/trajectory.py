"""Every evaluation over wall-clock time, and the incumbents' lines: figure 1 of Zela et al. (2018)."""

from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from bohb_nas.analysis.findings import Findings, Point
from bohb_nas.durations import budget_text
from bohb_nas.plotting import LINES, LineStyle, line_of
from bohb_nas.report.figures._labels import GREY, budget_colours, budget_markers, short
from bohb_nas.report.figures._panels import PAGE_IN, SMALL, Drawing, scale_losses
from bohb_nas.report.figures._thinning import MANY

_UNITS = (("d", 86400.0, 3), ("h", 3600.0, 2), ("min", 60.0, 3))


def time_unit(span_s: float) -> tuple[str, float]:
    """The unit in which a span of seconds is best told, and how long it is."""
    return next(((name, size) for name, size, least in _UNITS if span_s >= least * size), ("s", 1.0))


def figures(studies: Sequence[Findings]) -> Iterator[tuple[str, Drawing]]:
    """`trajectory`: of one study coloured by budget, of several by study."""
    if any(found["trajectory"] for found in studies):
        yield "trajectory", partial(_figure, studies)


def _figure(studies: Sequence[Findings]) -> Figure:
    points = [p for found in studies for p in found["trajectory"]]
    unit, size = time_unit(max(p["time"] for p in points))
    figure = Figure(figsize=(PAGE_IN, 3.4), layout="constrained")
    place = figure.subplots()
    handles = _one(place, studies[0], size) if len(studies) == 1 else _several(place, studies, size)
    scale_losses(place, [p["loss"] for p in points])
    place.set(xlabel=f"time since the start [{unit}]", ylabel="loss")
    place.margins(x=0.02)
    figure.legend(handles=handles, loc="outside right upper", fontsize=SMALL + 0.5, frameon=False)
    return figure


def _one(place: Axes, found: Findings, size: float) -> list[Line2D]:
    """Points and best losses so far by budget, and the incumbent's line."""
    budgets = sorted({p["budget"] for p in found["trajectory"]})
    colours, markers = budget_colours(budgets), budget_markers(budgets)
    picture = len(found["trajectory"]) > MANY
    end = max(p["time"] for p in found["trajectory"])
    handles = []
    for budget in budgets:
        ones = [p for p in found["trajectory"] if p["budget"] == budget]
        _scatter(place, ones, size, colour=colours[budget], marker=markers[budget], name=f"evaluations-{budget:g}", picture=picture)
        _lowest(place, [p for p in ones if not p["violates"]], size, end, colour=colours[budget], name=f"best-{budget:g}")
        label = f"{budget_text(budget, found['study']['unit'])} (n = {len(ones)})"
        handles.append(Line2D([], [], color=colours[budget], marker=markers[budget], markersize=3.5, linewidth=1.0, label=label))
    handles += _incumbent(place, found, size, colour="black", line="--", label="incumbent")
    comparison = found["comparison"]
    if comparison is not None and comparison["measured"] == "validation":
        named = [row for row in comparison["rows"] if row["kind"] == "baseline"]
        for k, row in enumerate(named):
            place.axhline(row["error"], color=GREY, linewidth=0.8, linestyle=LINES[(k + 1) % len(LINES)])
            label = f"{short(row['name'])} at {budget_text(row['budget'], found['study']['unit'])}"
            handles.append(Line2D([], [], color=GREY, linewidth=0.8, linestyle=LINES[(k + 1) % len(LINES)], label=label))
    return handles


def _lowest(place: Axes, ones: Sequence[Point], size: float, end: float, *, colour: str, name: str) -> None:
    """The lowest loss so far, from the first point to the end."""
    if not ones:
        return
    lowest = np.minimum.accumulate([p["loss"] for p in ones])
    some = np.flatnonzero(np.diff(lowest, prepend=np.inf))  # where it falls
    times = [ones[k]["time"] / size for k in some.tolist()] + [end / size]
    place.step(times, [*lowest[some], lowest[-1]], where="post", color=colour, linewidth=1.0, gid=name)


def _several(place: Axes, studies: Sequence[Findings], size: float) -> list[Line2D]:
    """Points and the incumbent's line by study; markers tell the budgets."""
    budgets = sorted({p["budget"] for found in studies for p in found["trajectory"]})
    markers = budget_markers(budgets)
    picture = sum(len(found["trajectory"]) for found in studies) > MANY
    handles = []
    for k, found in enumerate(studies):
        colour, line = line_of(k)
        for budget in budgets:
            ones = [p for p in found["trajectory"] if p["budget"] == budget]
            if ones:
                _scatter(place, ones, size, colour=colour, marker=markers[budget], name=f"evaluations-{k}-{budget:g}", picture=picture)
        label = f"{short(found['study']['name'])} (n = {len(found['trajectory'])})"
        handles += _incumbent(place, found, size, colour=colour, line=line, label=label)
    units = {found["study"]["unit"] for found in studies}
    unit = units.pop() if len(units) == 1 else ""
    for budget in budgets:
        handles.append(Line2D([], [], color="0.3", marker=markers[budget], markersize=3.5, linewidth=0, label=budget_text(budget, unit)))
    return handles


def _scatter(place: Axes, ones: Sequence[Point], size: float, *, colour: str, marker: str, name: str, picture: bool) -> None:
    times, losses = [p["time"] / size for p in ones], [p["loss"] for p in ones]
    alpha = 0.7 if len(ones) < 300 else 0.4
    place.scatter(times, losses, s=9, color=colour, marker=marker, alpha=alpha, linewidths=0, gid=name, rasterized=picture)


def _incumbent(place: Axes, found: Findings, size: float, *, colour: str, line: LineStyle, label: str) -> list[Line2D]:
    if not found["incumbents"]:
        return []
    end = max(found["pace"]["span_s"], found["incumbents"][-1]["time"])
    times = [p["time"] / size for p in found["incumbents"]] + [end / size]
    losses = [p["loss"] for p in found["incumbents"]]
    place.step(times, [*losses, losses[-1]], where="post", color=colour, linestyle=line, linewidth=1.3, gid="incumbent")
    return [Line2D([], [], color=colour, linestyle=line, linewidth=1.3, label=label)]
