"""Prepared data sets on disk: folders of memory-mapped .npy arrays, complete or absent.

An entry is built aside under a kernel lock and renamed into place, so a killed build leaves nothing that anybody would
read, and of two processes that prepare the same data one builds while the other waits. Deleting the cache is safe.
"""

import errno
import fcntl
import json
import os
import shutil
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from bohb_nas.datasets._dataset import Dataset, Skipped, fingerprint
from bohb_nas.errors import DatasetError
from bohb_nas.files import sync_folder, write_atomic

_ARRAYS = ("train_images", "train_labels", "test_images", "test_labels")


def cache_dir() -> Path:
    """$BOHB_NAS_CACHE, or ~/.cache/bohb-nas.

    Raises:
        DatasetError: there is neither.
    """
    try:
        return Path(os.environ.get("BOHB_NAS_CACHE") or Path.home() / ".cache" / "bohb-nas").absolute()
    except RuntimeError as e:
        raise DatasetError(f"there is no home for the data cache: {e}; set BOHB_NAS_CACHE to a folder") from e


def cached(key: str, build: Callable[[Path], None]) -> Dataset:
    """The entry under a key, built if it is not there.

    Args:
        key: a file name that changes when the data do.
        build: fills an empty folder by `save`; not called when the entry exists.

    Raises:
        DatasetError: the cache cannot be written, or what `build` raises.
    """
    entry = _entry(key)
    if not entry.is_dir():
        with _locked(entry):
            with writing():
                for dead in entry.parent.glob(f".{key}.*.tmp"):  # whoever built there held the lock that is ours now
                    shutil.rmtree(dead)
            if not entry.is_dir():
                _build(entry, build)
    return _read(entry)


def has_entry(key: str) -> bool:
    """Whether there is one under a key."""
    return _entry(key).is_dir()


def _entry(key: str) -> Path:
    return cache_dir() / "datasets" / key


def save(folder: Path, dataset: Dataset) -> None:
    """Writes a data set into a folder of the cache; arrays that already lie there by `array_path` are left alone."""
    with writing():
        for name in _ARRAYS:
            array = getattr(dataset, name)
            if array is not None and not array_path(folder, name).exists():
                np.save(array_path(folder, name), array, allow_pickle=False)
    facts = {name: getattr(dataset, name) for name in ("name", "classes", "fingerprint", "skipped", "remarks")}
    write_atomic(folder / "facts.json", json.dumps(facts))


def array_path(folder: Path, name: str) -> Path:
    """Where an array of an entry lies."""
    return folder / f"{name}.npy"


def complete(
    name: str,
    classes: tuple[str, ...],
    arrays: dict[str, np.ndarray | None],
    *,
    skipped: tuple[Skipped, ...] = (),
    remarks: tuple[str, ...] = (),
) -> Dataset:
    """A data set from its arrays, named as the fields are; the fingerprint is computed here."""
    ordered = [arrays.get(field) for field in _ARRAYS]
    found = fingerprint(classes, *ordered)
    return Dataset(name=name, classes=classes, fingerprint=found, skipped=skipped, remarks=remarks, **arrays)  # type: ignore[arg-type]


def reserve(path: Path) -> None:
    """Takes the room of a file that is to be written through a map: a disk that is full by then would end the process (SIGBUS).

    To be called within `writing`.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        os.posix_fallocate(descriptor, 0, os.fstat(descriptor).st_size)
    except OSError as e:
        if e.errno not in (errno.EOPNOTSUPP, errno.EINVAL):  # of file systems where no room can be taken beforehand
            raise
    finally:
        os.close(descriptor)


@contextmanager
def writing() -> Iterator[None]:
    """Around writes into the cache, and nothing else: what is refused becomes an error that names the cache and the remedy."""
    try:
        yield
    except OSError as e:
        raise DatasetError(
            f"cannot write the data cache {cache_dir()}: {e.strerror or e}; free space or set BOHB_NAS_CACHE to another folder"
        ) from e


@contextmanager
def _locked(entry: Path) -> Iterator[None]:
    """Holds the entry's lock."""
    with writing():
        entry.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(entry.parent / f".{entry.name}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        with writing():
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _build(entry: Path, build: Callable[[Path], None]) -> None:
    aside = entry.with_name(f".{entry.name}.{uuid.uuid4().hex}.tmp")
    with writing():
        aside.mkdir()
    try:
        build(aside)
        with writing():
            for path in aside.iterdir():
                with path.open("rb") as stream:
                    os.fsync(stream.fileno())
            aside.rename(entry)
            sync_folder(entry.parent)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _read(entry: Path) -> Dataset:
    try:
        facts = json.loads((entry / "facts.json").read_text())
        arrays = {n: np.load(array_path(entry, n), mmap_mode="r") for n in _ARRAYS if array_path(entry, n).exists()}
    except (OSError, ValueError) as e:
        raise DatasetError(f"the cached data in {str(entry)!r} are damaged ({e}); delete this folder, it is built again") from e
    return Dataset(
        name=facts["name"],
        classes=tuple(facts["classes"]),
        fingerprint=facts["fingerprint"],
        skipped=tuple(Skipped(*skipped) for skipped in facts["skipped"]),
        remarks=tuple(facts.get("remarks", ())),
        **{name: array.view(np.ndarray) for name, array in arrays.items()},
    )
