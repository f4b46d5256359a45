"""Draws what an analysis found: every figure of a report, as PNG, SVG and PDF; the same findings give the same bytes.

A module for each kind, which offers `figures(findings)`: names of files, and how to draw each, one after the other.
docs/figures.md says what each of them shows.
"""

import gc
import itertools
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import matplotlib as mpl

from bohb_nas.analysis.findings import Findings
from bohb_nas.files import storing
from bohb_nas.parallel import run
from bohb_nas.plotting import FORMATS, STYLE, save
from bohb_nas.report.figures import (
    _written,
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
from bohb_nas.report.figures._panels import Drawing
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
    "axes.titley": 1.0,
    "axes.linewidth": 0.6,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "pdf.fonttype": 42,
}
"""Names are no mathematics; pages are laid out as a PNG has them; titles look for no ticks above their axes, where none are; fonts are
embedded as journals want them."""
_KINDS: tuple[Callable[[Findings], Iterator[tuple[str, Drawing]]], ...] = (
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
    jobs: int = 1,
) -> list[Path]:
    """Writes the figures of one or several studies; of those that an earlier call wrote to the folder no others stay.

    Args:
        studies: what was found.
        folder: where to; it is made.
        formats: of png, svg and pdf.
        pictures: of each study the PNG of sample images that its incumbent's worker left.
        jobs: processes that draw, each of them a share of the figures; 1 draws here. The bytes are the same.

    Returns:
        The files.

    Raises:
        StorageError: the disk refused.
        AnalysisError: a process was killed.
    """
    named = list(itertools.zip_longest([_bounded(found) for found in studies], pictures))
    shares = run([partial(_share, named, folder, formats, slice(k, None, jobs)) for k in range(jobs)], jobs=jobs)
    in_turn = itertools.chain.from_iterable(itertools.zip_longest(*shares, fillvalue=[]))
    drawn = [path for files in in_turn for path in files]
    _written.replace(folder, drawn)
    return drawn


def _share(studies: Sequence[tuple[Findings, bytes | None]], folder: Path, formats: Sequence[str], which: slice) -> list[list[Path]]:
    """Draws some of the figures: the files of each."""
    written = []
    with mpl.rc_context(_STYLE):
        for path, drawing in itertools.islice(_drawings(studies, folder), which.start, None, which.step):
            with storing(path.parent):
                path.parent.mkdir(parents=True, exist_ok=True)
            with _collecting_afterwards():
                written.append(save(drawing(), path, formats=formats, dpi=_DPI))
    return written


@contextmanager
def _collecting_afterwards() -> Iterator[None]:
    """Lets Python look for what a figure leaves behind when the figure is done: to look all the while takes an eighth of the time."""
    before = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if before:
            gc.enable()
            gc.collect(0)


def _drawings(studies: Sequence[tuple[Findings, bytes | None]], folder: Path) -> Iterator[tuple[Path, Drawing]]:
    """Every figure's file without the suffix, and how to draw it."""
    taken: set[str] = set()
    for name, drawing in trajectory.figures([found for found, _ in studies]):
        yield folder / name, drawing
    for found, picture in studies:
        own = folder if len(studies) == 1 else folder / stem("study", found["study"]["name"], taken)
        for figures in (*(kind(found) for kind in _KINDS), samples.figures(found, picture)):
            for name, drawing in figures:
                yield own / name, drawing


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
