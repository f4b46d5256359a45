"""How every figure looks, and how it is written: the same bytes for the same content."""

import io
import re
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, TypeAlias

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_pdf import FigureCanvasPdf
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from bohb_nas.files import write_atomic

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#999999")
"""Told apart by everybody (Okabe and Ito 2008)."""
LineStyle: TypeAlias = Literal["-", "--", "-.", ":"]
LINES: tuple[LineStyle, ...] = ("-", "--", "-.", ":")
STYLE: dict[Any, Any] = {
    "svg.hashsalt": "bohb-nas",
    "svg.fonttype": "none",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
}
"""Texts of an SVG stay texts."""
FORMATS = ("png", "svg", "pdf")
"""In which a figure can be written."""


def line_of(k: int) -> tuple[str, LineStyle]:
    """The colour and the line of the k-th of several curves, from 0: all colours with one line, then with the next."""
    return COLOURS[k % len(COLOURS)], LINES[k // len(COLOURS) % len(LINES)]


def save(figure: Figure, path: Path, *, formats: Sequence[str], dpi: float = 150) -> list[Path]:
    """Writes a figure without the date and the program's version, so that the same content gives the same bytes.

    Args:
        figure: what to write.
        path: of the files, without the suffix.
        formats: of `FORMATS`, one file for each.
        dpi: dots per inch of a PNG.

    Returns:
        The files, in the order of the formats.

    Raises:
        StorageError: the disk refused.
    """
    written = []
    _identify(figure)
    figure.set_dpi(dpi)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from", UserWarning)  # names may be in any script; an SVG has them as text
        _lay_out(figure)
        for kind in formats:
            stream = io.BytesIO()
            figure.set_dpi(dpi)
            _write(figure, kind, stream)
            file = path.with_name(f"{path.name}.{kind}")
            write_atomic(file, stream.getvalue())
            written.append(file)
    return written


def _lay_out(figure: Figure) -> None:
    """Gives everything its place, once for all formats: it takes as long as drawing.

    An axis that looks for the place of its label measures all its ticks, when it is laid out and again when it is drawn. An empty label
    needs no place; the others keep theirs.
    """
    renderer = FigureCanvasAgg(figure).get_renderer()  # type: ignore[no-untyped-call]
    axes = [axis for place in figure.axes for axis in (place.xaxis, place.yaxis)]
    for axis in axes:
        if not axis.get_label_text():
            axis.set_label_coords(0, 0)
    if (engine := figure.get_layout_engine()) is not None:
        engine.execute(figure)
        figure.set_layout_engine("none")
    for place in figure.axes:  # a colour bar is narrower than what is laid out, and takes its own place when it is drawn
        locator = place.get_axes_locator()
        place.apply_aspect(locator(place, renderer) if locator is not None else None)
    for axis in axes:
        if axis.get_label_text() and axis.axes.axison and axis.get_visible():
            axis.get_tightbbox()  # places the label
            label = axis.label.get_transform().transform(axis.label.get_position())
            axis.set_label_coords(*axis.axes.transAxes.inverted().transform(label))


def _identify(figure: Figure) -> None:
    """Makes the ids that marks were given valid in XML, and each one's own."""
    taken: dict[str, int] = {}
    marks = [mark for place in figure.axes for mark in (*place.images, *place.collections, *place.patches, *place.lines) if mark.get_gid()]
    for artist in marks:
        name = re.sub(r"[^\w.-]", "_", artist.get_gid() or "", flags=re.ASCII)
        taken[name] = taken.get(name, 0) + 1
        artist.set_gid(name if taken[name] == 1 else f"{name}.{taken[name]}")


def _write(figure: Figure, kind: str, stream: io.BytesIO) -> None:
    """One format; what `Figure.savefig` does, which would draw everything twice."""
    match kind:
        case "svg":
            FigureCanvasSVG(figure).print_svg(stream, metadata={"Date": None})  # type: ignore[no-untyped-call]
        case "pdf":
            FigureCanvasPdf(figure).print_pdf(stream, metadata={"CreationDate": None, "Creator": None, "Producer": None})  # type: ignore[no-untyped-call]
        case _:
            FigureCanvasAgg(figure).print_png(stream, metadata={"Software": None})  # type: ignore[no-untyped-call]
