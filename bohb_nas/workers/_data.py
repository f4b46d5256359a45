"""The data set of a worker: loaded, split and brought to the device."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from bohb_nas.datasets import Dataset
from bohb_nas.errors import DatasetError
from bohb_nas.training.data import ResidentData, resident_split


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """A data set on the device, and what is to be said of it."""

    data: ResidentData
    identity: Mapping[str, Any]
    """What identifies it in a checkpoint, as JSON."""
    name: str
    classes: tuple[str, ...]
    """Their names in the order of the labels."""


def bring(dataset: Dataset, device: torch.device, *, valid_fraction: float | None, split_seed: int, fingerprint: str | None) -> Loaded:
    """A data set on the device; its test part is not read.

    Args:
        dataset: where it lies.
        device: where to.
        valid_fraction: as for `resident_split`.
        split_seed: likewise.
        fingerprint: that it must have; None accepts any.

    Raises:
        DatasetError: it has another.
    """
    if fingerprint not in (None, dataset.fingerprint):
        raise DatasetError(
            f"data set {dataset.name!r} is not the study's as it is read here: its fingerprint is {dataset.fingerprint}, the study's is "
            f"{fingerprint}; results on other images cannot be compared: restore it here to what the study began with"
        )
    data, identity = resident_split(dataset, valid_fraction=valid_fraction, seed=split_seed, device=device)
    return Loaded(data=data, identity=identity, name=dataset.name, classes=tuple(dataset.classes))
