"""The incumbent's learning curve, as its worker wrote it."""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial

from matplotlib.figure import Figure

from bohb_nas.analysis.findings import Findings, Incumbent
from bohb_nas.durations import budget_text
from bohb_nas.plotting import line_of
from bohb_nas.report.digits import loss_digits
from bohb_nas.report.figures._labels import number, short
from bohb_nas.report.figures._panels import PAGE_IN, SMALL, Drawing, page, scale_losses
from bohb_nas.report.figures.trajectory import time_unit

_AXES = ("step", "seconds")
_MOST = 6
"""Panels."""


def figures(found: Findings) -> Iterator[tuple[str, Drawing]]:
    """`learning-curve`: a panel for each kind of measure, that is for each last word of a measure's name."""
    incumbent = found["incumbent"]
    if incumbent is None or len(incumbent["curve"]) < 2:
        return
    curve = incumbent["curve"]
    along = "seconds" if all("seconds" in point for point in curve) else "step"
    kinds: dict[str, list[str]] = {}
    for name in dict.fromkeys(name for point in curve for name in point if name not in _AXES):
        kinds.setdefault(name.rsplit("_", 1)[-1], []).append(name)
    if kinds:
        yield "learning-curve", partial(_figure, found, incumbent, kinds, along)


def _figure(found: Findings, incumbent: Incumbent, kinds: Mapping[str, Sequence[str]], along: str) -> Figure:
    curve = incumbent["curve"]
    shown = list(kinds)[:_MOST]
    columns = min(3, len(shown))
    figure, places = page(len(shown), columns, width=PAGE_IN * max(2, columns) / 3, height=2.0)
    unit, size = time_unit(max(point[along] for point in curve)) if along == "seconds" else ("", 1.0)
    for place, kind in zip(places, shown, strict=True):
        values: list[float] = []
        for k, name in enumerate(kinds[kind]):
            known = [(point[along] / size, point[name]) for point in curve if name in point]
            colour, line = line_of(k)
            x, y = [at for at, _ in known], [value for _, value in known]
            place.plot(x, y, linewidth=1.1, color=colour, linestyle=line, label=short(name).lstrip("_") or "?", gid=f"curve-{name}")
            values += y
        scale_losses(place, values)
        place.set_xlabel(f"time in training [{unit}]" if along == "seconds" else "step")
        place.legend(fontsize=SMALL + 0.5, frameon=False)
    budget = budget_text(incumbent["budget"], found["study"]["unit"])
    figure.suptitle(
        f"incumbent {short(incumbent['trial_id'])} at {budget}, loss {number(incumbent['loss'], loss_digits(found, 3))}", fontsize=8
    )
    return figure
