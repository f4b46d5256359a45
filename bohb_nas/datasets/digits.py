"""Handwritten digits of scikit-learn (UCI optdigits, Alpaydin and Kaynak 1998): 1,797 grey images of 8 x 8, ten classes.

They come with scikit-learn, so nothing is downloaded: the set for tests and first steps.
"""

from pathlib import Path

import numpy as np

from bohb_nas.datasets._cache import complete
from bohb_nas.datasets._dataset import Dataset
from bohb_nas.datasets._split import split

_TEST_FRACTION = 0.2
_SPLIT_SEED = 0


def load(data_dir: Path | None) -> Dataset:
    """The set with a fixed, stratified test part (about one fifth); grey levels 0..16 are spread over 0..255."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    images = np.rint(digits.images[..., None] * (255 / 16)).astype(np.uint8)  # [1797, 8, 8, 1]
    labels = digits.target.astype(np.int64)
    train, test = split(labels, valid_fraction=_TEST_FRACTION, seed=_SPLIT_SEED)
    return complete(
        "digits",
        tuple(str(digit) for digit in range(10)),
        {"train_images": images[train], "train_labels": labels[train], "test_images": images[test], "test_labels": labels[test]},
    )
