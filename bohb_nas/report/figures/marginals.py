"""The mean loss at each value of a hyperparameter over everything else, a panel for each budget: figure 2 of Zela et al. (2018)."""

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import TypeAlias

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bohb_nas.analysis.findings import Budget, Findings, Hyperparameter, Parameter
from bohb_nas.durations import budget_text
from bohb_nas.plotting import COLOURS
from bohb_nas.records import Origin, Value
from bohb_nas.report.figures._labels import GREY, INCUMBENT, said, short, short_name, stem
from bohb_nas.report.figures._observations import observed
from bohb_nas.report.figures._panels import PAGE_IN, SMALL, Drawing, ValueAxis, empty, page, plain_ticks
from bohb_nas.report.figures._thinning import side_by_side

Configs: TypeAlias = Mapping[float, Sequence[Mapping[str, Value]]]
"""The configurations that importance counts, by budget."""
_MOST = 6
"""Hyperparameters on the page of the strongest."""
_COLUMNS = 4
"""Panels side by side."""
_FEW_POINTS = 8
"""A number with fewer values is drawn as points."""


def figures(found: Findings) -> Iterator[tuple[str, Drawing]]:
    """`marginals-strongest`, then `marginal-NAME` for every hyperparameter that a budget has a marginal of."""
    by_name = {one["name"]: one for one in found["hyperparameters"]}
    budgets = [b for b in found["budgets"] if any(p["curve"] is not None for p in b["parameters"])]
    if not budgets:
        return
    curves = {name: [_of(b, name) for b in found["budgets"]] for name in by_name}
    drawn = [name for name, ones in curves.items() if any(p is not None for p in ones)]
    strength = {name: max(p["with_parents"] for p in curves[name] if p is not None) for name in drawn}
    strongest = sorted(drawn, key=lambda name: -strength[name])[:_MOST]
    configs = {b["budget"]: _configs(found, b["budget"]) for b in found["budgets"]}
    yield "marginals-strongest", partial(_overview, found, configs, [by_name[name] for name in strongest], budgets[-_COLUMNS:])
    taken: set[str] = {"marginals-strongest"}
    for name in drawn:
        yield stem("marginal", name, taken), partial(_one, found, configs, by_name[name])


def _of(budget: Budget, name: str) -> Parameter | None:
    """The hyperparameter's entry at a budget if it has a marginal."""
    return next((p for p in budget["parameters"] if p["name"] == name and p["curve"] is not None), None)


def _overview(found: Findings, configs: Configs, ones: Sequence[Hyperparameter], budgets: Sequence[Budget]) -> Figure:
    """A row for each hyperparameter, a column for each budget."""
    figure, places = page(len(ones) * len(budgets), len(budgets), width=PAGE_IN if len(budgets) > 1 else PAGE_IN / 2, height=1.45)
    for k, one in enumerate(ones):
        for j, budget in enumerate(budgets):
            place = places[k * len(budgets) + j]
            _panel(place, found, one, budget, configs[budget["budget"]])
            if k == 0:
                place.set_title(budget_text(budget["budget"], found["study"]["unit"]), fontsize=7.5, loc="left")
            place.set_xlabel(short_name(one["name"], found, 26), fontsize=SMALL + 1)
            if j == 0:
                place.set_ylabel("loss", fontsize=SMALL + 1)
    return figure


def _one(found: Findings, configs: Configs, one: Hyperparameter) -> Figure:
    """A panel for each budget."""
    budgets = found["budgets"]
    columns = min(_COLUMNS, len(budgets))
    figure, places = page(len(budgets), columns, width=PAGE_IN * max(columns, 2) / 4 if columns < _COLUMNS else PAGE_IN, height=1.9)
    for place, budget in zip(places, budgets, strict=True):
        _panel(place, found, one, budget, configs[budget["budget"]])
        place.set_title(budget_text(budget["budget"], found["study"]["unit"]), fontsize=7.5, loc="left")
    name = one["name"] + (f" (where {one['condition']})" if one["condition"] else "")
    figure.supxlabel(short(name, 24 * max(columns, 2)), fontsize=8)
    figure.supylabel("mean loss", fontsize=8)
    return figure


def _panel(place: Axes, found: Findings, one: Hyperparameter, budget: Budget, configs: Sequence[Mapping[str, Value]]) -> None:
    """The marginal with its spread, the observations below it and the incumbent's value."""
    parameter = _of(budget, one["name"])
    if parameter is None or parameter["curve"] is None:
        empty(place, budget["refused"] or "no marginal", width=24)
        return
    axis, curve = ValueAxis(one), parameter["curve"]
    at = [axis.place(value) for value in curve["at"]]
    some = [k for k, place_ in enumerate(at) if place_ is not None]
    x = [at[k] or 0.0 for k in some]
    mean, low, high = ([curve[key][k] for k in some] for key in ("mean", "low", "high"))
    colour = COLOURS[0] if parameter["claimed"] else GREY
    if axis.levels or len(x) < _FEW_POINTS:
        place.vlines(x, low, high, color=colour, linewidth=1.2, gid="spread")
        place.plot(x, mean, color=colour, marker="o", markersize=3.5, linewidth=0, gid="marginal")
    else:
        place.fill_between(x, low, high, color=colour, alpha=0.25, linewidth=0, gid="spread")
        place.plot(x, mean, color=colour, linewidth=1.3, gid="marginal")
    axis.dress(place)
    bottom, top = min(low), max(high)
    room = (top - bottom) or abs(top) or 1.0
    place.set_ylim(bottom - 0.2 * room, top + 0.08 * room)
    plain_ticks(place, "y")
    place.tick_params(labelsize=SMALL)
    _rug(place, axis, configs)
    _incumbent(place, axis, found)
    share = f"{parameter['with_parents']:.0%}, n = {parameter['n_active']}"
    place.set_title(share, fontsize=SMALL, loc="right", color="black" if parameter["claimed"] else "0.4")


def _configs(found: Findings, budget: float) -> list[Mapping[str, Value]]:
    """The configurations that importance counts: all but those of baselines, equal ones once."""
    seen = observed(found["trials"], budget, {*Origin})
    return list({tuple(sorted(config.items())): config for config in seen.configs}.values())


def _rug(place: Axes, axis: ValueAxis, configs: Sequence[Mapping[str, Value]]) -> None:
    """A tick at the bottom for each observation, of very many for those that it can show; those of one level side by side."""
    name = axis.one["name"]
    at = [x for config in configs if name in config and (x := axis.place(config[name])) is not None]
    if axis.levels:
        seen = Counter(at)
        order: dict[float, int] = {}
        spread = []
        for x in at:
            k = order[x] = order.get(x, -1) + 1
            spread.append(x + 0.7 * ((k + 0.5) / seen[x] - 0.5))
        at = spread
    drawn = side_by_side(np.array(at), log=place.get_xscale() == "log")
    there = np.repeat(drawn, 3)
    there[2::3] = math.nan  # one path for all: a thousand marks take long to write
    place.plot(
        there,
        [0.0, 0.035, math.nan] * len(drawn),
        color="black",
        linewidth=0.4,
        alpha=0.7,
        transform=place.get_xaxis_transform(),
        gid="rug",
    )


def _incumbent(place: Axes, axis: ValueAxis, found: Findings) -> None:
    """A line at the incumbent's value."""
    incumbent = found["incumbent"]
    if incumbent is None:
        return
    value = incumbent["config"].get(axis.one["name"])
    x = None if value is None else axis.place(value)
    if x is None:
        place.text(
            0.98, 0.97, "incumbent: inactive", transform=place.transAxes, ha="right", va="top", fontsize=SMALL - 0.5, color=INCUMBENT
        )
        return
    place.axvline(x, color=INCUMBENT, linewidth=0.9, linestyle="--", gid="incumbent")
    place.annotate(
        said(value),
        (x, 1.0),
        (2 if x < sum(place.get_xlim()) / 2 or axis.one["log"] else -2, -2),
        xycoords=("data", "axes fraction"),
        textcoords="offset points",
        ha="left" if x < sum(place.get_xlim()) / 2 or axis.one["log"] else "right",
        va="top",
        fontsize=SMALL - 0.5,
        color=INCUMBENT,
    )
