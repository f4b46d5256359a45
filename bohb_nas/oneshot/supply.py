"""The batches of a one-shot search: each a function of its number, so that whoever asks for the same one gets the same images."""

from dataclasses import dataclass

import torch
from ConfigSpace import ConfigurationSpace
from torch import Tensor

from bohb_nas.oneshot.chance import Chance
from bohb_nas.training.augment import augment, normalise
from bohb_nas.training.data import ResidentData
from bohb_nas.training.device import Compute
from bohb_nas.training.networks import Network
from bohb_nas.training.recipe import Recipe


@dataclass(frozen=True, slots=True, kw_only=True)
class Material:
    """What a search is made from, beside its settings."""

    data: ResidentData
    compute: Compute
    space: ConfigurationSpace
    seed: int


class Supply:
    """Images for training and for judging.

    Args:
        material: has the images.
        chance: the randomness of the search.
        batch_size: of a training step.
    """

    def __init__(self, material: Material, chance: Chance, *, batch_size: int) -> None:
        self._data, self._compute, self._chance = material.data, material.compute, chance
        self.batch_size = batch_size

    def training(self, number: int, recipe: Recipe) -> tuple[Tensor, Tensor, Tensor]:
        """The batch of a number, augmented.

        Returns:
            float32 images [n, C, H, W], targets [n, n_classes], and which choice each met in every layer of the policy, int64 [n, layers].
        """
        data, chance = self._data, self._chance
        positions = chance.batch(data.train, purpose="order", step=number, size=self.batch_size)
        images, targets, chosen = augment(
            data,
            positions,
            recipe,
            generator=chance.generator("augmentation", number, self._compute.device),
            host=chance.generator("augmentation", number, torch.device("cpu"), part=1),
            noted=True,
        )
        return images.contiguous(memory_format=self._compute.memory_format), targets, chosen

    def held_out(self, number: int, size: int) -> tuple[Tensor, Tensor]:
        """Images held out, unchanged, at most `size` of them, and their labels [n]."""
        size = min(size, len(self._data.valid))
        positions = self._chance.batch(self._data.valid, purpose="valid", step=number, size=size)
        return self.shown(positions), self._data.labels[positions]

    def shown(self, positions: Tensor) -> Tensor:
        """The images at positions [n], unchanged and ready for a network."""
        images = normalise(self._data.images[positions], self._data.mean, self._data.deviation)
        return images.contiguous(memory_format=self._compute.memory_format)

    def noise(self, network: Network, n: int, step: int, part: int = 0) -> Tensor:
        """Of a training step of n images."""
        return network.noise(n, self._chance.generator("noise", step, self._compute.device, part))
