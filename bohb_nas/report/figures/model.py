"""The losses of the model's picks beside those of random ones, by budget."""

from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bohb_nas.analysis.findings import Findings, ModelTest
from bohb_nas.durations import budget_text, p_value
from bohb_nas.plotting import COLOURS
from bohb_nas.records import ASIDE, Origin
from bohb_nas.report.figures._observations import observed
from bohb_nas.report.figures._panels import PAGE_IN, SMALL, Drawing, page, scale_losses
from bohb_nas.report.figures._thinning import MANY

_COLUMNS = 4


def figures(found: Findings) -> Iterator[tuple[str, Drawing]]:
    """`model`: a panel for each budget at which picks of the model entered."""
    tests = [t for t in found["model"] if t["n_model"]]
    if tests:
        yield "model", partial(_figure, found, tests)


def _figure(found: Findings, tests: Sequence[ModelTest]) -> Figure:
    columns = min(_COLUMNS, len(tests))
    figure, places = page(len(tests), columns, width=PAGE_IN * max(2, columns) / _COLUMNS, height=2.3)
    for place, test in zip(places, tests, strict=True):
        _panel(place, found, test)
    figure.supylabel("loss", fontsize=8)
    return figure


def _panel(place: Axes, found: Findings, test: ModelTest) -> None:
    """A point for each configuration that the test counts, spread as far as its neighbours demand, over a box of quartiles."""
    seen = observed(found["trials"], test["budget"], {*Origin} - ASIDE)
    entered = list(zip(seen.origins, seen.losses.tolist(), strict=True))
    groups = [[loss for own, loss in entered if own is origin] for origin in (Origin.RANDOM, Origin.MODEL)]
    for k, (losses, colour, name) in enumerate(zip(groups, (COLOURS[7], COLOURS[0]), ("random", "model"), strict=True)):
        if not losses:
            continue
        aside = (np.arange(len(losses)) * 0.618034 % 1.0 - 0.5) * 0.5  # even without chance
        drawn = place.scatter(k + aside, losses, s=5, color=colour, alpha=0.6, linewidths=0, gid=f"{name}-{test['budget']:g}")
        drawn.set_rasterized(len(entered) > MANY)
        place.boxplot(
            [losses],
            positions=[k],
            widths=0.62,
            showfliers=False,
            medianprops={"color": "black", "linewidth": 1.4},
            boxprops={"linewidth": 0.7},
            whiskerprops={"linewidth": 0.7},
            capprops={"linewidth": 0.7},
        )
    place.set_xticks([0, 1], [f"random\nn = {test['n_random']}", f"model\nn = {test['n_model']}"], fontsize=SMALL + 0.5)
    place.set_xlim(-0.6, 1.6)
    scale_losses(place, [loss for group in groups for loss in group])
    lines = []
    if test["better"] is not None:
        between = "" if test["interval"] is None else f" [{test['interval'][0]:.2f}, {test['interval'][1]:.2f}]"
        lines.append(f"model lower: {test['better']:.2f}{between}")
    if test["p_value"] is not None:
        lines.append(f"p {p_value(test['p_value'])}" + ("" if test["p_holm"] is None else f" (Holm: p {p_value(test['p_holm'])})"))
    if not lines:
        lines.append("too few for a test")
    place.set_title(budget_text(test["budget"], found["study"]["unit"]) + "\n" + "\n".join(lines), fontsize=SMALL)
