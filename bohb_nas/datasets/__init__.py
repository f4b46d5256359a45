"""Data sets as arrays: load one by reference, split it, check it before a study begins.

A reference is NAME of this folder, NAME:FOLDER (the data lie in FOLDER; nothing in it is special, spaces and colons
included, except a ~ in front, which a shell does not write out after the colon) or FILE.py with `load(data_dir) ->
Dataset`. Nothing here imports torch: sets that only torchvision can read are converted by a child process (`python -m
bohb_nas.datasets`).
"""

import os
from pathlib import Path
from typing import Any

import numpy as np

from bohb_nas import refs
from bohb_nas.datasets._dataset import Dataset, Skipped, listed
from bohb_nas.datasets._published import is_here
from bohb_nas.datasets._split import split
from bohb_nas.durations import counted
from bohb_nas.errors import DatasetError, RefError

__all__ = ["Dataset", "load_dataset", "prepare", "published", "refuse_unreadable", "split"]


def load_dataset(reference: str, *, data_dir: Path | None = None) -> Dataset:
    """The data set behind a reference; prepared on first use, read from the cache afterwards.

    Files that cannot be read are left out and named in `Dataset.skipped`; `prepare` and `refuse_unreadable` are where they are refused.

    Args:
        reference: NAME, NAME:FOLDER or FILE.py.
        data_dir: where the published files lie or are downloaded to; FOLDER wins over it.

    Raises:
        DatasetError: nothing usable behind the reference.
    """
    name, colon, folder = reference.partition(":")
    if colon and name in refs.names("dataset"):
        reference, data_dir = name, Path(os.path.expanduser(folder))
    try:
        module = refs.load_module("dataset", reference)
    except RefError as e:
        raise DatasetError(str(e)) from e
    if not callable(getattr(module, "load", None)):
        raise DatasetError(f"data set {reference!r} has no load function; accepted is a module with load(data_dir) -> Dataset")
    dataset = module.load(data_dir) if reference in refs.names("dataset") else _load_users(module, reference, data_dir)
    if not isinstance(dataset, Dataset):
        raise DatasetError(f"load of data set {reference!r} returned {type(dataset).__name__}; accepted is a bohb_nas.datasets.Dataset")
    return dataset


def _load_users(module: Any, reference: str, data_dir: Path | None) -> Any:
    """What a user's `load` returns; whatever it does wrong is an error of its file."""
    try:
        return module.load(data_dir)
    except DatasetError:
        raise
    except (Exception, SystemExit) as e:
        raise DatasetError(f"load of data set {reference!r} fails: {type(e).__name__}: {e}; correct it, or what it reads") from e


def prepare(reference: str, *, data_dir: Path | None = None, skip_unreadable: bool = False) -> Dataset:
    """Makes a data set ready for all workers: what `run` calls before anything is written.

    Raises:
        DatasetError: nothing usable behind the reference, a class of which nothing could be held out, or unreadable files without
            `skip_unreadable`.
    """
    dataset = load_dataset(reference, data_dir=data_dir)
    if not skip_unreadable:
        refuse_unreadable(dataset, reference)
    counts = np.bincount(dataset.train_labels, minlength=len(dataset.classes)).tolist()
    for n, many in enumerate(("no training image", "one training image only")):
        if few := [name for name, count in zip(dataset.classes, counts, strict=True) if count == n]:
            raise DatasetError(
                f"data set {reference!r}: {many} of {listed(few, 5)} ({len(few)} of {len(counts)} classes); "
                "accepted are at least two of each, one to train and one to validate: add images of these classes, or leave the classes out"
            )
    return dataset


def refuse_unreadable(dataset: Dataset, reference: str) -> None:
    """Refuses files that cannot be read.

    Raises:
        DatasetError: there are some.
    """
    if dataset.skipped:
        raise DatasetError(
            f"data set {reference!r}: {counted(len(dataset.skipped), 'file')} cannot be read: {_grouped(dataset.skipped)}; "
            "repair or remove them, or leave them out with --skip-unreadable"
        )


def _grouped(skipped: tuple[Skipped, ...]) -> str:
    """How many files cannot be read for each reason, and the first of them."""
    by_reason: dict[str, list[str]] = {}
    for path, reason in skipped:
        by_reason.setdefault(reason, []).append(path)
    return "; ".join(f"{len(paths)} {reason} ({listed(paths, 5)})" for reason, paths in by_reason.items())


def published() -> dict[str, bool]:
    """Name -> whether a search that names no folder finds it on this machine, of every data set that is published files."""
    files = {name: getattr(refs.load_module("dataset", name), "FILES", ()) for name in refs.names("dataset")}
    return {name: is_here(name, parts) for name, parts in files.items() if parts}
