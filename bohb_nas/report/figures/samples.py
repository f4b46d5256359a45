"""Images as the incumbent's training saw them, under its augmentation policy."""

import io
from collections.abc import Iterator
from functools import partial

import matplotlib.image
from matplotlib.figure import Figure

from bohb_nas.analysis.findings import Findings, Incumbent
from bohb_nas.durations import budget_text
from bohb_nas.report.figures._labels import short
from bohb_nas.report.figures._panels import PAGE_IN, Drawing, empty

_HIGHEST_IN = 6.0


def figures(found: Findings, picture: bytes | None) -> Iterator[tuple[str, Drawing]]:
    """`samples`: the picture that the worker left, with a caption."""
    incumbent = found["incumbent"]
    if picture is not None and incumbent is not None:
        yield "samples", partial(_figure, found, incumbent, picture)


def _figure(found: Findings, incumbent: Incumbent, picture: bytes) -> Figure:
    try:
        pixels = matplotlib.image.imread(io.BytesIO(picture), format="png")
    except (OSError, ValueError, SyntaxError) as e:  # what the decoder raises for what is no PNG
        pixels, why = None, f"the picture of its training images cannot be read: {e}"
    at = budget_text(incumbent["budget"], found["study"]["unit"])
    caption = f"training images as incumbent {short(incumbent['trial_id'])} saw them at {at}"
    ratio = 0.25 if pixels is None else pixels.shape[0] / pixels.shape[1]
    figure = Figure(figsize=(PAGE_IN, min(_HIGHEST_IN, PAGE_IN * ratio) + 0.35), layout="constrained")
    place = figure.subplots()
    if pixels is None:
        empty(place, why, width=80)
    else:
        place.imshow(pixels, cmap="gray", interpolation="nearest", gid="samples")
        place.set_axis_off()
    place.set_title(caption, fontsize=8)
    return figure
