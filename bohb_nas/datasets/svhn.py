"""SVHN (Netzer et al. 2011), cropped: 73,257 + 26,032 colour images of house-number digits, 32 x 32, ten classes."""

from pathlib import Path

import numpy as np

from bohb_nas.datasets._cache import complete
from bohb_nas.datasets._dataset import Dataset
from bohb_nas.datasets._published import load_published

FILES = ("train_32x32.mat", "test_32x32.mat")
"""What to put into the data folder of a machine without network."""


def load(data_dir: Path | None) -> Dataset:
    """The set, downloaded to `data_dir` (by default into the cache) unless it is there."""
    return load_published("svhn", data_dir, FILES)


def convert(root: Path) -> Dataset:
    """Reads the published files in `root`, downloading them first; imports torch, so it runs in a child process."""
    from torchvision.datasets import SVHN

    arrays: dict[str, np.ndarray | None] = {}
    for part in ("train", "test"):
        published = SVHN(root, split=part, download=True)
        arrays[f"{part}_images"] = published.data.transpose(0, 2, 3, 1)  # torchvision holds [N, C, H, W]
        arrays[f"{part}_labels"] = published.labels.astype(np.int64)
    return complete("svhn", tuple(str(digit) for digit in range(10)), arrays)
