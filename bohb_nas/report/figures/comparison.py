"""The incumbent beside hand-designed networks that the same worker trained for equal time."""

from collections.abc import Iterator
from functools import partial

from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from bohb_nas.analysis.findings import Compared, Comparison, Findings
from bohb_nas.durations import budget_text, p_value
from bohb_nas.plotting import COLOURS
from bohb_nas.report.figures._labels import INCUMBENT, count, short
from bohb_nas.report.figures._panels import PAGE_IN, SMALL, Drawing, plain_ticks

_ROW_IN = 0.24


def figures(found: Findings) -> Iterator[tuple[str, Drawing]]:
    """`comparison` of validation errors, and `comparison-tested` of the test errors of what was trained for good."""
    for name, comparison in (("comparison", found["comparison"]), ("comparison-tested", found["tested"])):
        if comparison is not None:
            yield name, partial(_figure, found, comparison)


def _figure(found: Findings, comparison: Comparison) -> Figure:
    """A row for each network, the lowest error on top."""
    rows = sorted(comparison["rows"], key=lambda row: row["error"])
    figure = Figure(figsize=(PAGE_IN, _ROW_IN * len(rows) + 1.0), layout="constrained")
    place = figure.subplots()
    for k, row in enumerate(rows):
        colour = INCUMBENT if row["kind"] == "incumbent" else COLOURS[0]
        if row["wilson"] is not None:
            place.plot(row["wilson"], [k, k], color=colour, linewidth=0.9, marker="|", markersize=4, gid=f"wilson-{k}")
        if row["seed_interval"] is not None:
            place.plot(row["seed_interval"], [k, k], color=colour, linewidth=2.6, alpha=0.45, solid_capstyle="butt", gid=f"seeds-{k}")
        place.plot([row["error"]], [k], color=colour, marker="o", markersize=4.5, gid=f"error-{k}")
    place.set_yticks(range(len(rows)), [short(row["name"], 30) for row in rows])
    place.set_ylim(len(rows) - 0.5, -0.5)
    place.tick_params(axis="y", length=0)
    right = place.twinx()
    right.set_yticks(range(len(rows)), [_said(row) for row in rows], fontsize=SMALL)
    right.set_ylim(place.get_ylim())
    right.tick_params(axis="y", length=0)
    place.grid(axis="y", color="0.92", linewidth=0.6)
    plain_ticks(place, "x")
    at = comparison["budget"]
    each = "" if at is None else f" after {budget_text(at, found['study']['unit'])} each"
    place.set_xlabel(f"{comparison['measured']} error{each}")
    handles = [
        Line2D([], [], color="0.3", marker="o", markersize=4.5, linewidth=0, label="mean over seeds"),
        Line2D([], [], color="0.3", linewidth=2.6, alpha=0.45, label="95 % over seeds (t)"),
        Line2D([], [], color="0.3", linewidth=0.9, marker="|", markersize=4, label="95 % of the first seed over images (Wilson)"),
    ]
    figure.legend(handles=handles, loc="outside upper center", ncols=3, fontsize=SMALL + 0.5, frameon=False)
    return figure


def _said(row: Compared) -> str:
    words = [f"{row['n_seeds']} seed{'s' if row['n_seeds'] != 1 else ''}", f"{count(row['params'])} params", f"{count(row['flops'])} FLOPs"]
    if row["p_holm"] is not None:
        words.append(f"p {p_value(row['p_holm'])} (Holm)")
    return ", ".join(words)
