"""Fashion-MNIST (Xiao et al. 2017): 60,000 + 10,000 grey images of clothes, 28 x 28, ten classes."""

from pathlib import Path

import numpy as np

from bohb_nas.datasets._cache import complete
from bohb_nas.datasets._dataset import Dataset
from bohb_nas.datasets._published import load_published

FILES = tuple(f"FashionMNIST/raw/{part}-{content}-ubyte.gz" for part in ("train", "t10k") for content in ("images-idx3", "labels-idx1"))
"""What to put into the data folder of a machine without network."""


def load(data_dir: Path | None) -> Dataset:
    """The set, downloaded to `data_dir` (by default into the cache) unless it is there."""
    return load_published("fashion_mnist", data_dir, FILES)


def convert(root: Path) -> Dataset:
    """Reads the published files in `root`, downloading them first; imports torch, so it runs in a child process."""
    from torchvision.datasets import FashionMNIST

    train, test = FashionMNIST(root, train=True, download=True), FashionMNIST(root, train=False, download=True)
    arrays = {
        "train_images": train.data.numpy()[..., None],
        "train_labels": train.targets.numpy().astype(np.int64),
        "test_images": test.data.numpy()[..., None],
        "test_labels": test.targets.numpy().astype(np.int64),
    }
    return complete("fashion_mnist", tuple(train.classes), arrays)
