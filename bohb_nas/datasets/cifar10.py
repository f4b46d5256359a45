"""CIFAR-10 (Krizhevsky 2009): 50,000 + 10,000 colour images of 32 x 32, ten classes."""

from pathlib import Path

from bohb_nas.datasets._dataset import Dataset
from bohb_nas.datasets._published import convert_cifar, load_published

FILES = ("cifar-10-python.tar.gz",)
"""What to put into the data folder of a machine without network."""


def load(data_dir: Path | None) -> Dataset:
    """The set, downloaded to `data_dir` (by default into the cache) unless it is there."""
    return load_published("cifar10", data_dir, FILES)


def convert(root: Path) -> Dataset:
    """Reads the published files in `root`, downloading them first; imports torch, so it runs in a child process."""
    from torchvision.datasets import CIFAR10

    return convert_cifar("cifar10", CIFAR10, root)
