"""Draws what an analysis found: every figure of a report, as PNG, SVG and PDF; the same findings give the same bytes.

A module for each kind, which offers `figures(findings)`: names of files and figures, one after the other.
docs/figures.md says what each of them shows.
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from bohb_nas.analysis.findings import Findings
from bohb_nas.files import storing
from bohb_nas.plotting import FORMATS, STYLE, save
from bohb_nas.report.figures import (
    ablation,
    architecture,
    comparison,
    correlation,
    hours,
    importance,
    learning_curve,
    marginals,
    model,
    pairs,
    parallel,
    samples,
    shapes,
    trajectory,
)
from bohb_nas.report.figures._labels import stem
from bohb_nas.store.notes import printable

_DPI = 200
_LARGEST = 1e150
"""Beyond it the arithmetic of axes overflows."""
_STYLE = STYLE | {
    "text.parse_math": False,
    "figure.dpi": _DPI,
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.labelsize": 8,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "axes.linewidth": 0.6,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "pdf.fonttype": 42,
}
"""Names are no mathematics; pages are laid out as a PNG has them; fonts are embedded as journals want them."""
_KINDS: tuple[Callable[[Findings], Iterator[tuple[str, Figure]]], ...] = (
    importance.figures,
    marginals.figures,
    pairs.figures,
    correlation.figures,
    shapes.figures,
    model.figures,
    hours.figures,
    ablation.figures,
    parallel.figures,
    architecture.figures,
    learning_curve.figures,
    comparison.figures,
)


def draw(
    studies: Sequence[Findings],
    folder: Path,
    *,
    formats: Sequence[str] = FORMATS,
    pictures: Sequence[bytes | None] = (),
) -> list[Path]:
    """Writes the figures of one or several studies.

    Args:
        studies: what was found.
        folder: where to; it is made.
        formats: of png, svg and pdf.
        pictures: of each study the PNG of sample images that its incumbent's worker left.

    Returns:
        The files.

    Raises:
        StorageError: the disk refused.
    """
    written: list[Path] = []
    taken: set[str] = set()
    studies = [_bounded(found) for found in studies]
    with mpl.rc_context(_STYLE):
        written += _save(trajectory.figures(studies), folder, formats)
        for k, found in enumerate(studies):
            own = folder if len(studies) == 1 else folder / stem("study", found["study"]["name"], taken)
            for kind in _KINDS:
                written += _save(kind(found), own, formats)
            written += _save(samples.figures(found, pictures[k] if k < len(pictures) else None), own, formats)
    return written


def _bounded(entry: Any) -> Any:
    """The same entry, numbers that no axis has room for at the largest that one has, or zero; texts without what no XML may hold."""
    match entry:
        case dict():
            return {_bounded(key): _bounded(value) for key, value in entry.items()}
        case list():
            return [_bounded(value) for value in entry]
        case str():
            return printable(entry)
        case float():
            return 0.0 if abs(entry) < 1 / _LARGEST else min(max(entry, -_LARGEST), _LARGEST)
        case _:
            return entry


def _save(figures: Iterator[tuple[str, Figure]], folder: Path, formats: Sequence[str]) -> list[Path]:
    """Writes figures one by one."""
    written = []
    for name, figure in figures:
        with storing(folder):
            folder.mkdir(parents=True, exist_ok=True)
        written += save(figure, folder / name, formats=formats, dpi=_DPI)
    return written
