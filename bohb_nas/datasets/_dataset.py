"""The record of a data set, and the fingerprint of its content."""

import hashlib
import reprlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bohb_nas.errors import DatasetError

Images = NDArray[np.uint8]
"""[N, H, W, C]."""
Labels = NDArray[np.int64]
"""[N], positions in the classes."""


class Skipped(NamedTuple):
    """A file that could not be read and was left out."""

    path: str
    reason: str
    """A few words, equal for files that have the same wrong with them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    """Labelled images in memory or memory-mapped from the cache; the arrays may be read-only.

    Raises:
        DatasetError: shapes, kinds or labels do not fit each other.
    """

    name: str
    classes: tuple[str, ...]
    train_images: Images
    train_labels: Labels
    test_images: Images | None = None
    test_labels: Labels | None = None
    fingerprint: str
    """sha256 of classes, shapes and content: equal for equal data, wherever and whenever they were read."""
    skipped: tuple[Skipped, ...] = ()
    """Files that could not be read and were left out."""
    remarks: tuple[str, ...] = ()
    """What was done to images so that they fit together, and what was not looked at: a sentence each, with counts."""

    def __post_init__(self) -> None:
        if len(self.classes) < 2:
            raise DatasetError(f"data set {self.name!r} has {len(self.classes)} classes; accepted are at least 2")
        self._check_names()
        self._check_part("train", self.train_images, self.train_labels)
        if (self.test_images is None) != (self.test_labels is None):
            raise DatasetError(f"data set {self.name!r}: give both test_images and test_labels, or neither")
        if self.test_images is not None:
            self._check_part("test", self.test_images, self.test_labels)
            if self.test_images.shape[1:] != self.train_images.shape[1:]:
                raise DatasetError(
                    f"data set {self.name!r}: test images are {self.test_images.shape[1:]}, train images {self.train_images.shape[1:]}; "
                    "accepted is one shape"
                )

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Height, width, channels."""
        height, width, channels = self.train_images.shape[1:]
        return height, width, channels

    def test_part(self, where: str | None = None) -> tuple[Images, Labels]:
        """The test images and their labels.

        Args:
            where: what was asked for, its folder included; None is the name.

        Raises:
            DatasetError: there are none.
        """
        if self.test_images is None or self.test_labels is None:
            raise DatasetError(
                f"data set {where or self.name!r} has no test part, with which a final training and a comparison end: give it one, in an "
                "image folder test/CLASS/IMAGE beside train/CLASS/IMAGE, or take another data set"
            )
        return self.test_images, self.test_labels

    def _check_names(self) -> None:
        names: Any = self.classes
        if isinstance(names, str) or not all(isinstance(name, str) for name in names) or len(set(names)) < len(names):
            raise DatasetError(f"data set {self.name!r}: classes are {reprlib.repr(names)}; accepted is a tuple of names, no two alike")
        if not (isinstance(self.fingerprint, str) and self.fingerprint):
            raise DatasetError(
                f"data set {self.name!r}: the fingerprint is {self.fingerprint!r}; accepted is a text that changes with the data, "
                "such as their sha256"
            )

    def _check_part(self, part: str, images: Any, labels: Any) -> None:
        def describe(value: Any) -> str:
            return f"{value.dtype}{list(value.shape)}" if isinstance(value, np.ndarray) else type(value).__name__

        if not (isinstance(images, np.ndarray) and images.dtype == np.uint8 and images.ndim == 4 and images.size):
            raise DatasetError(
                f"data set {self.name!r}: {part}_images are {describe(images)}; accepted is uint8[N, H, W, C], none of them 0"
            )
        if images.shape[1] in (1, 3) and images.shape[2] == images.shape[3] > 4:
            raise DatasetError(
                f"data set {self.name!r}: {part}_images are {describe(images)}, which looks like [N, C, H, W]; accepted is "
                "uint8[N, H, W, C]: images.transpose(0, 2, 3, 1)"
            )
        if not (isinstance(labels, np.ndarray) and labels.dtype == np.int64 and labels.shape == images.shape[:1]):
            raise DatasetError(
                f"data set {self.name!r}: {part}_labels are {describe(labels)}; accepted is int64[{len(images)}], "
                "for each image the position of its class in `classes`"
            )
        if labels.min() < 0 or labels.max() >= len(self.classes):
            raise DatasetError(
                f"data set {self.name!r}: {part}_labels reach from {labels.min()} to {labels.max()}; "
                f"accepted are 0 to {len(self.classes) - 1}, positions in `classes`: np.unique(labels, return_inverse=True) gives such"
            )


def listed(names: Sequence[str], most: int) -> str:
    """Names for a message, the first few of many."""
    return ", ".join(map(repr, names[:most])) + (", …" if len(names) > most else "")


def fingerprint(classes: tuple[str, ...], *arrays: NDArray[Any] | None) -> str:
    """sha256 of class names and arrays."""
    digest = hashlib.sha256(repr(classes).encode())
    for array in arrays:
        digest.update(b"none" if array is None else f"{array.dtype}{array.shape}".encode())
        if array is not None:
            digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()
