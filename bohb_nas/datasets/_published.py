"""Published sets that torchvision downloads and reads, converted once by a child process, then read without torch."""

import hashlib
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from bohb_nas.datasets._cache import cache_dir, cached, complete, has_entry
from bohb_nas.datasets._dataset import Dataset
from bohb_nas.errors import DatasetError


def load_published(name: str, data_dir: Path | None, files: tuple[str, ...]) -> Dataset:
    """The set from the cache; on first use a child process downloads and converts it.

    Args:
        name: its name in the catalogue; the module offers `convert(root) -> Dataset`.
        data_dir: where the published files lie or go, None for the cache.
        files: what has to lie there when there is no network.

    Raises:
        DatasetError: the files are neither there nor to be had.
    """
    root = (data_dir or _downloads()).absolute()

    def build(folder: Path) -> None:
        command = [sys.executable, "-P", "-m", "bohb_nas.datasets", name, str(root), str(folder)]
        child = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
        if child.returncode:
            lines = child.stderr.strip().splitlines()
            raise DatasetError(
                f"data set {name!r} is not in {str(root)!r} and cannot be downloaded: {lines[-1] if lines else 'no message'}; "
                f"without a network put {' and '.join(files)} into {str(root)!r}"
            )

    return cached(_key(name, root), build)


def is_here(name: str, files: tuple[str, ...]) -> bool:
    """Whether the set is found without a download where no folder is named for it: prepared from there before, or as published files."""
    root = _downloads()
    return has_entry(_key(name, root)) or all((root / file).exists() for file in files)


def _downloads() -> Path:
    """Where published files lie or go unless a folder is named."""
    return cache_dir() / "downloads"


def _key(name: str, root: Path) -> str:
    """Of the entry that is made of the files in `root`."""
    return f"{name}-{hashlib.sha256(str(root).encode()).hexdigest()[:16]}"


def convert_cifar(name: str, read: Callable[..., Any], root: Path) -> Dataset:
    """Reads one of the CIFAR sets.

    Args:
        name: its name in the catalogue.
        read: torchvision's class for it.
        root: where the published files lie or are downloaded to.
    """
    train, test = (read(root, train=part, download=True) for part in (True, False))
    arrays = {
        "train_images": train.data,
        "train_labels": np.asarray(train.targets, dtype=np.int64),
        "test_images": test.data,
        "test_labels": np.asarray(test.targets, dtype=np.int64),
    }
    return complete(name, tuple(train.classes), arrays)
