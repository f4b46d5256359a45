"""CIFAR-10 from its JPEG files at half its resolution, 16x16: what a processor can learn from within minutes.

`--data-dir` is the folder of images that `bench/cifar_jpeg.py` unpacks.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bohb_nas.datasets import Dataset, load_dataset

Images = npt.NDArray[np.uint8]


def load(data_dir: Path | None) -> Dataset:
    """The set; each pixel is the mean of four."""
    whole = load_dataset(f"image_folder:{data_dir}")
    assert whole.test_images is not None
    return replace(
        whole,
        name="cifar10-jpeg-16x16",
        train_images=_halved(whole.train_images),
        test_images=_halved(whole.test_images),
        fingerprint=f"{whole.fingerprint}-16x16",
    )


def _halved(images: Any) -> Images:
    """[N, H, W, C] -> [N, H / 2, W / 2, C]."""
    n, height, width, channels = images.shape
    out = np.empty((n, height // 2, width // 2, channels), np.uint8)
    for first in range(0, n, 4096):
        part = images[first : first + 4096].reshape(-1, height // 2, 2, width // 2, 2, channels).astype(np.float32)
        out[first : first + 4096] = part.mean((2, 4)).round()
    return out
