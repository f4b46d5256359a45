"""Where the time went: device hours by budget as they add up, and how many trials were in training."""

from collections.abc import Iterator
from functools import partial

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from bohb_nas.analysis.findings import Findings
from bohb_nas.durations import budget_text, counted
from bohb_nas.plotting import COLOURS
from bohb_nas.report.figures._labels import budget_colours, number
from bohb_nas.report.figures._panels import PAGE_IN, SMALL, Drawing, plain_ticks
from bohb_nas.report.figures._thinning import MANY, moved
from bohb_nas.report.figures.trajectory import time_unit


def figures(found: Findings) -> Iterator[tuple[str, Drawing]]:
    """`device-hours`: hours of devices by budget, and trials in training, over time."""
    if found["hours"]:
        yield "device-hours", partial(_figure, found)


def _figure(found: Findings) -> Figure:
    end = max(found["pace"]["span_s"], *(t for one in found["hours"] for t in one["times"]))
    unit, size = time_unit(end)
    figure = Figure(figsize=(PAGE_IN, 2.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    _hours(left, found, size, end)
    _in_training(right, found, size)
    for place in (left, right):
        place.set_xlabel(f"time since the start [{unit}]")
        plain_ticks(place, "x")
    return figure


def _hours(place: Axes, found: Findings, size: float, end: float) -> None:
    """A line for each budget from zero to the end."""
    colours = budget_colours([one["budget"] for one in found["hours"]])
    for one in found["hours"]:
        label = f"{budget_text(one['budget'], found['study']['unit'])}: {number(one['hours'][-1])} h"
        times = np.array([0.0, *one["times"], end]) / size
        hours = np.array([0.0, *one["hours"], one["hours"][-1]])
        some = moved(hours)
        place.step(
            times[some],
            hours[some],
            where="post",
            color=colours[one["budget"]],
            label=label,
            gid=f"hours-{one['budget']:g}",
        )
    place.set_ylabel("device hours")
    plain_ticks(place, "y")
    place.legend(fontsize=SMALL + 0.5, frameon=False)


def _in_training(place: Axes, found: Findings, size: float) -> None:
    """How many trials were asked and not yet told, over time."""
    ends = np.array([(row["asked"], row["told"]) for row in found["trials"]], dtype=float).reshape(-1, 2)
    times, which = np.unique(ends, return_inverse=True)
    asked, told = which.reshape(-1, 2).T
    n = np.cumsum(np.bincount(asked, minlength=len(times)) - np.bincount(told, minlength=len(times)))
    picture = len(times) > MANY
    place.fill_between(times / size, n, step="post", color=COLOURS[5], linewidth=0, gid="in-training", rasterized=picture)
    pace = found["pace"]
    if pace["n_workers"]:
        place.axhline(pace["n_workers"], color="black", linewidth=0.8, linestyle="--")
    place.set_ylabel("trials in training")
    place.set_ylim(0, None)
    place.yaxis.set_major_locator(MaxNLocator(5, integer=True))
    words = [f"{counted(pace['n_workers'], 'worker')} (dashed)"] if pace["n_workers"] else []  # an imported study does not say
    if pace["evaluations_per_hour"] is not None:
        words.append(f"{counted(number(pace['evaluations_per_hour']), 'evaluation')}/h")
    if pace["train_share"] is not None:
        words.append(f"{pace['train_share']:.0%} in training")
    if pace["idle_median_s"] is not None:
        words.append(f"{number(pace['idle_median_s'])} s between trials")
    place.set_title("\n".join(", ".join(words[k : k + 2]) for k in range(0, len(words), 2)), fontsize=SMALL + 0.5)
