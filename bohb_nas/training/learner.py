"""A network that learns: one optimizer step on one batch, without waiting for the device."""

import copy
import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from bohb_nas.records import Value
from bohb_nas.search_spaces._multi_branch import size
from bohb_nas.training.augment import alternating, augment
from bohb_nas.training.data import ResidentData
from bohb_nas.training.device import Compute
from bohb_nas.training.networks import MultiBranch, build
from bohb_nas.training.policies import NONE, Policy
from bohb_nas.training.recipe import Recipe, read


@dataclass(frozen=True, slots=True, kw_only=True)
class Streams:
    """Independent random streams of one training, on its device except for `host`."""

    order: torch.Generator
    augmentation: torch.Generator
    noise: torch.Generator
    host: torch.Generator
    """On the CPU: how many images of a batch meet each choice of the policy."""

    @classmethod
    def seeded(cls, seed: int, device: torch.device) -> Self:
        """The streams of a seed."""
        seeds = [int(s >> np.uint64(1)) for s in np.random.SeedSequence(seed).generate_state(4, np.uint64)]
        order, augmentation, noise = (torch.Generator(device).manual_seed(s) for s in seeds[:3])
        return cls(order=order, augmentation=augmentation, noise=noise, host=torch.Generator().manual_seed(seeds[3]))


class Learner:
    """A network, its optimizer and its random streams.

    Args:
        network: on the device.
        recipe: how to train it.
        data: what to train it on.
        compute: where and how precisely.
        streams: its randomness.
    """

    def __init__(self, network: MultiBranch, recipe: Recipe, *, data: ResidentData, compute: Compute, streams: Streams) -> None:
        self.network = network
        self.recipe = recipe
        self.data = data
        self.compute = compute
        self.streams = streams
        self.rate = torch.zeros((), device=compute.device)
        """The learning rate as a tensor: changing it reaches into no kernel already queued and waits for none."""
        self.optimizer = _optimizer(network, recipe, self.rate)
        self.totals = torch.zeros(2, device=compute.device)
        """Sums of loss and of error over the images since `take_totals`."""
        self.seen: Tensor | None = None
        """How often each image was seen, from a random 0 or 1 on and modulo 256, uint8 [N]; only for the alternating flip."""
        if recipe.flip == "alternating":
            n, generator = len(data.images), streams.augmentation
            self.seen = torch.randint(2, (n,), generator=generator, device=generator.device, dtype=torch.uint8)

    def twin(self, streams: Streams) -> Self:
        """A copy of the network with a fresh optimizer: what it does leaves no trace in this learner."""
        return type(self)(copy.deepcopy(self.network), self.recipe, data=self.data, compute=self.compute, streams=streams)

    def restore_optimizer(self, state: Mapping[int, Mapping[str, Tensor]]) -> None:
        """Gives the optimizer the tensors that another had, by position of the parameter; its settings stay."""
        parameters = list(self.network.parameters())
        for i, entries in state.items():
            self.optimizer.state[parameters[i]] = {name: tensor.to(self.compute.device) for name, tensor in entries.items()}

    def step(self, positions: Tensor, rate: float) -> None:
        """One optimizer step on the images at `positions` [n], at the learning rate `rate`."""
        images, targets = augment(
            self.data.images[positions],
            self.data.labels[positions],
            self.recipe,
            mean=self.data.mean,
            deviation=self.data.deviation,
            n_classes=self.data.n_classes,
            generator=self.streams.augmentation,
            host=self.streams.host,
            mirrored=None if self.seen is None else alternating(self.seen, positions),
        )
        self.rate.fill_(rate)
        self.network.train()
        self.optimizer.zero_grad(set_to_none=True)
        with self.compute.autocast():
            noise = self.network.noise(len(positions), self.streams.noise)
            logits = self.network(images.contiguous(memory_format=self.compute.memory_format), noise).float()
        loss = functional.cross_entropy(logits, targets, label_smoothing=self.recipe.label_smoothing)
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        with torch.no_grad():
            right = targets.gather(1, logits.argmax(1, keepdim=True)).sum()
            self.totals += torch.stack([loss.detach() * len(positions), len(positions) - right])

    def take_totals(self) -> tuple[float, float]:
        """Sums of loss and error since the last call; waits for the device."""
        loss, error = self.totals.tolist()
        self.totals.zero_()
        return loss, error


def _optimizer(network: nn.Module, recipe: Recipe, rate: Tensor) -> torch.optim.Optimizer:
    fused = rate.device.type in ("cpu", "cuda")
    if recipe.optimizer == "adamw":
        betas = (recipe.momentum, recipe.beta2)
        return torch.optim.AdamW(network.parameters(), lr=rate, betas=betas, weight_decay=recipe.weight_decay, fused=fused)
    return torch.optim.SGD(
        network.parameters(), lr=rate, momentum=recipe.momentum, weight_decay=recipe.weight_decay, nesterov=recipe.momentum > 0, fused=fused
    )


def start(config: Mapping[str, Value], *, data: ResidentData, compute: Compute, seed: int, policy: Policy = NONE) -> Learner:
    """A learner with the fresh weights and streams of a seed.

    Args:
        config: names of the built-in spaces, or any subset of them.
        data: what to train it on.
        compute: where and how precisely.
        seed: of weights and streams.
        policy: of augmentation, where the configuration names none.

    Raises:
        OptionError: the configuration has names or choices that are not accepted.
        MemoryError: its weights alone are more than there is room for; found by arithmetic, before anything is built.
    """
    architecture, recipe = read(config)
    if not recipe.policy:
        recipe = dataclasses.replace(recipe, policy=policy)
    _check_room(config, recipe, data, compute)
    network = build(architecture, channels=data.images.shape[1], n_classes=data.n_classes, generator=torch.Generator().manual_seed(seed))
    network.to(compute.device, memory_format=compute.memory_format)  # type: ignore[call-overload]
    return Learner(network, recipe, data=data, compute=compute, streams=Streams.seeded(seed, compute.device))


def _check_room(config: Mapping[str, Value], recipe: Recipe, data: ResidentData, compute: Compute) -> None:
    """Weights, and again weights, gradients and optimizer state of the copy that warms up, in fp32."""
    copies = 5 if recipe.optimizer == "adamw" else 4
    needed = 4 * copies * size(config, image_shape=data.image_shape, n_classes=data.n_classes)["params"]
    if needed > (free := compute.free_bytes()):
        raise MemoryError(f"weights, gradients and optimizer need {needed / 2**30:.1f} GiB of the {free / 2**30:.1f} GiB free")
