"""A data set resident on the device, and the order in which it is seen."""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from bohb_nas.datasets import Dataset, split

_CHUNK = 4096
"""Images brought over, or counted, at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResidentData:
    """The images of a data set's training part, divided into those trained on and those validated on."""

    images: Tensor
    """uint8 [N, C, H, W]"""
    labels: Tensor
    """int64 [N]"""
    train: Tensor
    """Positions of the images trained on, int64 [n]."""
    valid: Tensor
    """Positions of the images validated on, int64 [m]; a prefix of them must do where time is short."""
    mean: Tensor
    """Of the images trained on, [C], levels of 0..255."""
    deviation: Tensor
    """Likewise."""
    n_classes: int

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Height, width, channels."""
        _, channels, height, width = self.images.shape
        return height, width, channels


def resident(
    images: npt.NDArray[np.uint8],
    labels: npt.NDArray[np.int64],
    *,
    train: npt.NDArray[np.int64],
    valid: npt.NDArray[np.int64],
    n_classes: int,
    device: torch.device,
) -> ResidentData:
    """Brings a data set to the device.

    Args:
        images: [N, H, W, C]; may be a read-only memory map, or a view of any strides.
        labels: [N]; likewise.
        train: positions to train on.
        valid: positions to validate on, stratified in every prefix.
        n_classes: how many classes there are.
        device: where to.
    """
    pixels = to_device(images, device)
    trained_on = torch.tensor(train, device=device)
    mean, deviation = _levels(pixels, trained_on)
    return ResidentData(
        images=pixels,
        labels=labels_to_device(labels, device),
        train=trained_on,
        valid=torch.tensor(valid, device=device),
        mean=mean,
        deviation=deviation,
        n_classes=n_classes,
    )


def divide(dataset: Dataset, *, valid_fraction: float | None, seed: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], float]:
    """The positions of a data set to train on and to validate on, and the fraction held out; arguments as of `resident_split`."""
    fraction = valid_fraction or (0.3 if dataset.name == "digits" else 0.1)
    return *split(dataset.train_labels, valid_fraction=fraction, seed=seed, classes=dataset.classes), fraction


def resident_split(
    dataset: Dataset, *, valid_fraction: float | None, seed: int, device: torch.device
) -> tuple[ResidentData, dict[str, Any]]:
    """A data set on the device, divided as searches divide it, and what identifies that in a checkpoint.

    Args:
        dataset: its training part is divided.
        valid_fraction: held out to judge by; None is 0.3 for digits, which are few, and else 0.1.
        seed: fixes which are held out.
        device: where to.
    """
    train, valid, fraction = divide(dataset, valid_fraction=valid_fraction, seed=seed)
    n_classes = len(dataset.classes)
    data = resident(dataset.train_images, dataset.train_labels, train=train, valid=valid, n_classes=n_classes, device=device)
    return data, {"dataset": dataset.fingerprint, "valid_fraction": fraction, "split_seed": seed}


def to_device(images: npt.NDArray[np.uint8], device: torch.device) -> Tensor:
    """Images [N, H, W, C], of any strides, as a tensor [N, C, H, W] on the device, copied in chunks."""
    n, height, width, channels = images.shape
    out = torch.empty(n, channels, height, width, dtype=torch.uint8, device=device)
    for i in range(0, n, _CHUNK):
        out[i : i + _CHUNK] = torch.tensor(np.ascontiguousarray(images[i : i + _CHUNK])).permute(0, 3, 1, 2)
    return out


def labels_to_device(labels: npt.NDArray[np.int64], device: torch.device) -> Tensor:
    """Labels [N], of any stride, as a tensor on the device."""
    return torch.tensor(np.ascontiguousarray(labels), device=device)


def _levels(images: Tensor, positions: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and deviation [C] over the pixels of the images at `positions`; a constant channel gets the deviation 1."""
    counts = torch.zeros(images.shape[1], 256, dtype=torch.float64, device=images.device)
    for chunk in torch.split(positions, _CHUNK):
        for channel, pixels in zip(counts, images[chunk].unbind(1), strict=True):
            channel += torch.bincount(pixels.flatten(), minlength=256)
    levels = torch.arange(256, dtype=torch.float64, device=images.device)
    shares = counts / counts.sum(1, keepdim=True)
    mean = shares @ levels
    variance = (shares * (levels - mean[:, None]) ** 2).sum(1)
    return mean.float(), torch.where(variance > 0, variance.sqrt(), 1.0).float()


class Batches:
    """Endless batches of exactly `batch_size` positions, epoch after epoch in a new order; what is left of one opens the next.

    Args:
        positions: int64 [n]
        batch_size: may exceed n.
        generator: on the same device; moved on once an epoch.
        rest: what is left of the epoch that has begun, int64 [m]; None begins a new one.
    """

    def __init__(self, positions: Tensor, batch_size: int, generator: torch.Generator, *, rest: Tensor | None = None) -> None:
        self.rest = positions[:0] if rest is None else rest
        """What is left of the epoch."""
        self._positions, self._batch_size, self._generator = positions, batch_size, generator

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Tensor:
        """The next batch, int64 [batch_size]."""
        while len(self.rest) < self._batch_size:
            generator = self._generator
            order = torch.randperm(len(self._positions), generator=generator, device=generator.device)
            self.rest = torch.cat([self.rest, self._positions[order]])
        batch, self.rest = self.rest[: self._batch_size], self.rest[self._batch_size :]
        return batch
