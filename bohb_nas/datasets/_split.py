"""The stratified split into what a search trains on and what it is judged by."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from bohb_nas.errors import DatasetError


def split(
    labels: NDArray[np.int64], *, valid_fraction: float, seed: int, classes: Sequence[str] = ()
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Splits positions [N] into a train and a valid part, class by class.

    Every class is in both parts. The valid part is ordered so that every prefix is nearly stratified (each class is
    within one image of its share): the j-th of a class's n images is sorted by (j + u) / n with u uniform in [0, 1).

    Args:
        labels: of each image.
        valid_fraction: of every class, for the valid part.
        seed: fixes which.
        classes: their names, for errors.

    Returns:
        Train positions, ascending, and valid positions, shuffled. The same for the same labels, fraction and seed.

    Raises:
        DatasetError: a fraction outside (0, 1), or a class with fewer than two images.
    """
    if not 0 < valid_fraction < 1:
        raise DatasetError(f"valid fraction {valid_fraction}: accepted is a number between 0 and 1, both excluded; 0.1 is usual")
    rng = np.random.default_rng(seed)
    train, valid, order = [], [], []
    for label, n in zip(*np.unique(labels, return_counts=True), strict=True):
        if n < 2:
            name = repr(classes[label]) if classes else label
            raise DatasetError(f"class {name} has one image; accepted are at least two, one to train and one to validate")
        members = rng.permutation(np.flatnonzero(labels == label))
        n_valid = min(max(round(valid_fraction * n), 1), n - 1)
        train.append(members[n_valid:])
        valid.append(members[:n_valid])
        order.append((np.arange(n_valid) + rng.random(n_valid)) / n_valid)
    return np.sort(np.concatenate(train)), np.concatenate(valid)[np.argsort(np.concatenate(order), kind="stable")]
