"""Bars of how much each hyperparameter matters, a panel for each budget; what chance reaches as well is grey."""

from collections.abc import Iterator, Sequence
from functools import partial

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from bohb_nas.analysis.findings import Findings, Importance, Parameter
from bohb_nas.durations import budget_text
from bohb_nas.plotting import COLOURS
from bohb_nas.report.digits import loss_digits
from bohb_nas.report.figures._labels import GREY, number, short_name
from bohb_nas.report.figures._panels import SMALL, Drawing, empty, page

_MOST = 15
"""Bars in a panel."""
_ROW_IN = 0.125
"""The height of a bar with its gap."""


def figures(found: Findings) -> Iterator[tuple[str, Drawing]]:
    """`importance`, and `importance-good` of the good region where it was asked for."""
    unit = found["study"]["unit"]
    named: list[tuple[str, Importance]] = [(f"budget {budget_text(b['budget'], unit)}", b) for b in found["budgets"]]
    if found["over_budgets"] is not None:
        named.append(("all budgets", found["over_budgets"]))
    if named:
        yield "importance", partial(_figure, found, [(name, one, one["parameters"]) for name, one in named], good=False)
    good = []
    for name, one in named:
        if one["good"] is not None:
            title = f"{name.removeprefix('budget ')}, loss ≤ {number(one['good']['cutoff'], loss_digits(found, 3))}"
            good.append((title, one, one["good"]["parameters"]))
    if good:
        yield "importance-good", partial(_figure, found, good, good=True)


def _figure(found: Findings, panels: Sequence[tuple[str, Importance, Sequence[Parameter]]], *, good: bool) -> Figure:
    columns = min(2, len(panels))
    bars = max(6, min(_MOST, max(len(parameters) for _, _, parameters in panels)))
    figure, places = page(len(panels), columns, width=3.5 * columns, height=_ROW_IN * bars + 0.85)
    for place, (name, one, parameters) in zip(places, panels, strict=True):
        place.set_title(name, fontsize=8, loc="left")
        if one["refused"] is not None or not parameters:
            empty(place, one["refused"] or "no hyperparameter")
        else:
            _bars(place, found, one, parameters[:_MOST], len(parameters), good=good)
    return figure


def _bars(place: Axes, found: Findings, one: Importance, parameters: Sequence[Parameter], n_all: int, *, good: bool) -> None:
    for k, p in enumerate(parameters):
        colour = COLOURS[0] if p["claimed"] else GREY
        place.barh(k, p["with_parents"], height=0.72, color=colour, alpha=1.0 if p["claimed"] else 0.6, gid=f"bar-{k}")
        low, high = p["spread"]
        place.plot([low, high], [k, k], color="black", linewidth=0.8, marker="|", markersize=3, gid=f"spread-{k}")
        if p["n_active"] < one["n"] and not good:
            place.text(0.995, k, f"n = {p['n_active']}", transform=place.get_yaxis_transform(), ha="right", va="center", fontsize=SMALL)
    place.set_yticks(range(len(parameters)), [short_name(p["name"], found, 26) for p in parameters], fontsize=SMALL + 0.5)
    place.set(ylim=(max(6, len(parameters)) - 0.4, -0.6))
    chance = one["good"]["threshold"] if good and one["good"] is not None else one["threshold"]
    longest = max(*(max(p["with_parents"], p["spread"][1]) for p in parameters), chance or 0.0, 1e-3)
    place.set_xlim(0, 1.25 * longest)  # the rest is for the counts
    place.set_xticks([tick for tick in MaxNLocator(5).tick_values(0, longest) if tick <= longest])
    place.xaxis.set_major_formatter(FuncFormatter(lambda share, _: f"{100 * share:.3g} %"))
    place.tick_params(axis="y", length=0)
    about = f"n = {one['n']}"
    if one["oob_r2"] is not None:
        about += f", R² {one['oob_r2']:.2f}"
    if good and one["good"] is not None:
        about = f"{one['good']['n_below']} of n = {one['n']} not above it ({one['good']['rule']})"
    if chance is not None:
        place.axvline(chance, color=COLOURS[1], linewidth=1.0, linestyle="--", gid="threshold")
        about += ("\n" if good else ", ") + f"chance {chance:.0%}"
    if n_all > len(parameters):
        place.set_title(f"{len(parameters)} of {n_all}", fontsize=SMALL + 0.5, loc="right")
    place.set_xlabel(f"share of the variance\n{about}", fontsize=SMALL + 0.5)
