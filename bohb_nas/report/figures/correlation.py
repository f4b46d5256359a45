"""How far a budget's order of configurations is another's: their losses against each other, and what can be said of the order."""

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from functools import partial

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bohb_nas.analysis.findings import Findings, RankCorrelation
from bohb_nas.analysis.observations import Observations
from bohb_nas.durations import budget_text, p_value
from bohb_nas.plotting import COLOURS
from bohb_nas.records import ASIDE, Origin
from bohb_nas.report.figures._observations import observed
from bohb_nas.report.figures._panels import PAGE_IN, SMALL, Drawing, empty, scale_losses
from bohb_nas.report.figures._thinning import MANY

_MOST = 6
"""Budgets in the matrix: of more, the dearest."""
_NOTE = 22
"""Letters on a line of a note."""


def figures(found: Findings) -> Iterator[tuple[str, Drawing]]:
    """`rank-correlation`: below the diagonal losses against losses, above it rank correlations of search and probes."""
    budgets = sorted({b for r in (*found["rank_correlation"], *found["rank_probe"]) for b in (r["low"], r["high"])})[-_MOST:]
    if len(budgets) > 1:
        yield "rank-correlation", partial(_figure, found, budgets)


def _figure(found: Findings, budgets: Sequence[float]) -> Figure:
    n, unit = len(budgets), found["study"]["unit"]
    side = min(1.75, PAGE_IN / n)
    figure = Figure(figsize=(max(side * n, 3.6), side * n + 0.4), layout="constrained")
    places = figure.subplots(n, n, squeeze=False)
    of_both = {*Origin} - ASIDE, {Origin.PROBE}
    search, probes = ({budget: observed(found["trials"], budget, origins) for budget in budgets} for origins in of_both)
    for i, of_row in enumerate(budgets):
        for j, of_column in enumerate(budgets):
            place = places[i, j]
            if i == j:
                empty(place, "")
                place.text(0.5, 0.5, budget_text(of_row, unit), ha="center", va="center", transform=place.transAxes, fontsize=10)
            elif i > j:
                _scatter(place, search, probes, of_column, of_row)
                place.tick_params(labelsize=SMALL - 0.5, length=2)
                if i == n - 1:
                    place.set_xlabel(f"loss at {budget_text(of_column, unit)}", fontsize=SMALL)
                if j == 0:
                    place.set_ylabel(f"loss at {budget_text(of_row, unit)}", fontsize=SMALL)
            else:
                _said(place, _find(found["rank_correlation"], of_row, of_column), _find(found["rank_probe"], of_row, of_column))
    title = "rank correlation ρ (Spearman) with 95 % interval"
    promoted = any(Origin.PROMOTED in seen.origins for seen in search.values())
    if promoted and all(any(r["spearman"] is not None for r in entries) for entries in (found["rank_correlation"], found["rank_probe"])):
        title += "\nthe search's is usually lower for its promotions"
    figure.suptitle(title, fontsize=SMALL + 1)
    return figure


def _find(entries: Sequence[RankCorrelation], low: float, high: float) -> RankCorrelation | None:
    return next((r for r in entries if r["low"] == low and r["high"] == high), None)


def _scatter(place: Axes, search: Mapping[float, Observations], probes: Mapping[float, Observations], low: float, high: float) -> None:
    """A point for each configuration with a loss at both budgets."""
    xs: list[float] = []
    ys: list[float] = []
    for seen, colour, marker, name in ((search, COLOURS[0], "o", "search"), (probes, COLOURS[1], "^", "probe")):
        lows, highs = (dict(zip(seen[budget].config_ids, seen[budget].losses.tolist(), strict=True)) for budget in (low, high))
        both = sorted(lows.keys() & highs.keys())
        x, y = [lows[c] for c in both], [highs[c] for c in both]
        if both:
            drawn = place.scatter(x, y, s=7, color=colour, marker=marker, alpha=0.7, linewidths=0, gid=f"{name}-{low:g}-{high:g}")
            drawn.set_rasterized(len(both) > MANY)
        xs += x
        ys += y
    if not xs:
        empty(place, "no configuration at both")
        return
    scale_losses(place, xs, "x")
    scale_losses(place, ys, "y")


def _said(place: Axes, search: RankCorrelation | None, probe: RankCorrelation | None) -> None:
    """Two fields, the search's and the probes', coloured by the correlation."""
    empty(place, "")
    place.set(xlim=(0, 1), ylim=(0, 1))
    fields = [(name, one) for name, one in (("search", search), ("probes", probe)) if one is not None]
    palette = mpl.colormaps["RdBu"]
    for k, (name, one) in enumerate(fields):
        bottom, height = 1 - (k + 1) / len(fields), 1 / len(fields)
        rho = one["spearman"]
        colour = "0.95" if rho is None else palette(0.5 + 0.3 * rho)
        place.axhspan(bottom, bottom + height - 0.02, color=colour, linewidth=0)
        lines = [f"{name}, n = {one['n']}"]
        lines += textwrap.wrap(one["note"] or "", _NOTE) if rho is None else [f"ρ = {rho:.2f}"]
        if one["interval"] is not None:
            lines.append(f"[{one['interval'][0]:.2f}, {one['interval'][1]:.2f}]")
        if one["p_value"] is not None:
            lines.append(f"p {p_value(one['p_value'])}")
        place.text(0.5, bottom + height / 2, "\n".join(lines), ha="center", va="center", fontsize=SMALL if len(fields) > 1 else SMALL + 1)
