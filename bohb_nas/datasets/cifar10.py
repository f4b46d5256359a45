"""CIFAR-10 (Krizhevsky 2009): 50,000 + 10,000 colour images of 32 x 32, ten classes."""

from pathlib import Path

import numpy as np

from bohb_nas.datasets._cache import complete
from bohb_nas.datasets._dataset import Dataset
from bohb_nas.datasets._published import load_published

FILES = ("cifar-10-python.tar.gz",)
"""What to put into the data folder of a machine without network."""


def load(data_dir: Path | None) -> Dataset:
    """The set, downloaded to `data_dir` (by default into the cache) unless it is there."""
    return load_published("cifar10", data_dir, FILES)


def convert(root: Path) -> Dataset:
    """Reads the published files in `root`, downloading them first; imports torch, so it runs in a child process."""
    from torchvision.datasets import CIFAR10

    train, test = CIFAR10(root, train=True, download=True), CIFAR10(root, train=False, download=True)
    arrays = {
        "train_images": train.data,
        "train_labels": np.asarray(train.targets, dtype=np.int64),
        "test_images": test.data,
        "test_labels": np.asarray(test.targets, dtype=np.int64),
    }
    return complete("cifar10", tuple(train.classes), arrays)
