"""Maps of the strongest interactions: the mean loss over two hyperparameters, everything else averaged out."""

from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bohb_nas.analysis.findings import Budget, Findings, Hyperparameter, Pair
from bohb_nas.durations import budget_text
from bohb_nas.records import Value
from bohb_nas.report.figures._labels import INCUMBENT, said, short, short_name
from bohb_nas.report.figures._panels import PAGE_IN, SMALL, Drawing, ValueAxis, page, plain_ticks
from bohb_nas.report.figures._thinning import evenly

_COLUMNS = 3
_TICKS = 5


def figures(found: Findings) -> Iterator[tuple[str, Drawing]]:
    """`pairs-BUDGET` for each budget with maps."""
    by_name = {one["name"]: one for one in found["hyperparameters"]}
    for budget in found["budgets"]:
        mapped = [p for p in budget["pairs"] if p["map"] is not None]
        if mapped:
            yield f"pairs-{budget['budget']:.10g}", partial(_figure, found, by_name, budget, mapped)


def _figure(found: Findings, by_name: dict[str, Hyperparameter], budget: Budget, mapped: Sequence[Pair]) -> Figure:
    columns = min(_COLUMNS, len(mapped))
    figure, places = page(len(mapped), columns, width=PAGE_IN * max(2, columns) / _COLUMNS, height=2.05)
    for place, pair in zip(places, mapped, strict=True):
        _map(place, found, [by_name[name] for name in pair["names"]], pair)
    title = f"strongest interactions at {budget_text(budget['budget'], found['study']['unit'])} (n = {budget['n']}); colour: mean loss"
    figure.suptitle(title, fontsize=8)
    return figure


def _map(place: Axes, found: Findings, axes: Sequence[Hyperparameter], pair: Pair) -> None:
    """Cells of equal size, as the search's own scale has them; the incumbent as a cross."""
    assert pair["map"] is not None
    at, mean = pair["map"]["at"], np.array(pair["map"]["mean"], dtype=float)
    mesh = place.imshow(mean.T, origin="lower", aspect="auto", cmap="viridis_r", interpolation="nearest", gid="map")
    bar = place.figure.colorbar(mesh, ax=place, shrink=0.9, aspect=14, pad=0.03)
    bar.ax.tick_params(labelsize=SMALL - 0.5, length=2)
    bar.outline.set_visible(False)
    plain_ticks(bar.ax, "y")
    for which, values, one in zip("xy", at, axes, strict=True):
        _ticks(place, which, values, one, short_name(one["name"], found, 26))
    low, high = pair["spread"]
    place.set_title(f"{pair['share']:.1%} [{low:.1%}, {high:.1%}]", fontsize=SMALL + 0.5)
    incumbent = found["incumbent"]
    if incumbent is not None:
        where = [_nearest(values, incumbent["config"].get(one["name"]), one) for values, one in zip(at, axes, strict=True)]
        if where[0] is not None and where[1] is not None:
            place.plot(where[0], where[1], marker="X", markersize=6.5, color=INCUMBENT, markeredgecolor="white", gid="incumbent")


def _ticks(place: Axes, which: str, values: Sequence[Value], one: Hyperparameter, name: str) -> None:
    """A few of the grid's values."""
    n = len(values)
    shown = list(range(n)) if one["choices"] and n <= _TICKS + 1 else evenly(n, _TICKS - 1).tolist()
    texts = [short(said(values[k]), 9) for k in shown]
    if which == "x":
        place.set_xticks(shown, texts, fontsize=SMALL, rotation=30 if sum(map(len, texts)) > 18 else 0)
        place.set_xlabel(name, fontsize=SMALL + 0.5)
    else:
        place.set_yticks(shown, texts, fontsize=SMALL)
        place.set_ylabel(name, fontsize=SMALL + 0.5)


def _nearest(values: Sequence[Value], value: Value | None, one: Hyperparameter) -> float | None:
    """Where on the grid a value lies, in cells."""
    axis = ValueAxis(one)
    if value is None or (x := axis.place(value)) is None:
        return None
    at = [axis.place(v) for v in values]
    known = [(k, u) for k, u in enumerate(at) if u is not None]
    if not known:
        return None
    cells, numbers = zip(*known, strict=True)
    if axis.levels:
        return float(cells[numbers.index(x)]) if x in numbers else None
    scale = np.log if one["log"] and min(*numbers, x) > 0 else np.asarray
    return float(np.interp(scale(x), scale(np.array(numbers)), cells))
