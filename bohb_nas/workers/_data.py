"""The data set of a worker: loaded, split and brought to the device."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from bohb_nas.datasets import Dataset, split
from bohb_nas.training.data import ResidentData, resident


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """A data set on the device, and what is to be said of it."""

    data: ResidentData
    identity: Mapping[str, Any]
    """What identifies it in a checkpoint, as JSON."""
    name: str
    classes: tuple[str, ...]
    """Their names in the order of the labels."""


def bring(dataset: Dataset, device: torch.device, *, valid_fraction: float | None, split_seed: int) -> Loaded:
    """A data set on the device; its test part is not read.

    Args:
        dataset: where it lies.
        device: where to.
        valid_fraction: of the training images, held out to judge by; None is 0.3 for digits, which are few, and else 0.1.
        split_seed: fixes which are held out.
    """
    fraction = valid_fraction or (0.3 if dataset.name == "digits" else 0.1)
    train, valid = split(dataset.train_labels, valid_fraction=fraction, seed=split_seed)
    data = resident(dataset.train_images, dataset.train_labels, train=train, valid=valid, n_classes=len(dataset.classes), device=device)
    identity = {"dataset": dataset.fingerprint, "valid_fraction": fraction, "split_seed": split_seed}
    return Loaded(data=data, identity=identity, name=dataset.name, classes=tuple(dataset.classes))
