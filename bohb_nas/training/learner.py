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

from bohb_nas.layers import Layer
from bohb_nas.layers.arithmetic import size
from bohb_nas.records import Value
from bohb_nas.training import average
from bohb_nas.training.augment import alternating, augment
from bohb_nas.training.data import ResidentData
from bohb_nas.training.device import Compute
from bohb_nas.training.muon import Muon, hidden
from bohb_nas.training.networks import Network, build
from bohb_nas.training.policies import NONE, Policy
from bohb_nas.training.recipe import Recipe, read
from bohb_nas.training.recording import Recording, record

SMALLEST_MICRO_BATCH = 16
"""Images of a batch that are never divided further."""


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

    def __init__(self, network: Network, recipe: Recipe, *, data: ResidentData, compute: Compute, streams: Streams) -> None:
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
        self.average = average.Average(network, span=recipe.average_span) if recipe.average_span else None
        self._since_average = average.EVERY - 1  # so that what is judged never is what nobody trained
        self.recording = Recording(record if compute.device.type == "cuda" else None)
        """Of the steps on whole batches."""
        self.micro_batch = recipe.batch_size
        """Images that go through the network at once; a batch larger than that accumulates its gradient over several passes."""

    @property
    def outcome(self) -> Network:
        """The network that is judged and exported: the averaged one where there is one."""
        return self.network if self.average is None else self.average.network

    def halve_micro_batch(self) -> bool:
        """Halves how many images go through the network at once; False if they are too few for that."""
        if self.micro_batch // 2 < SMALLEST_MICRO_BATCH:
            return False
        self.micro_batch = -(-self.micro_batch // 2)
        return True

    def twin(self, streams: Streams) -> Self:
        """A copy of the network with a fresh optimizer: what it does leaves no trace in this learner."""
        twin = type(self)(copy.deepcopy(self.network), self.recipe, data=self.data, compute=self.compute, streams=streams)
        twin.micro_batch = self.micro_batch
        return twin

    def restore_optimizer(self, state: Mapping[int, Mapping[str, Tensor]]) -> None:
        """Gives the optimizer the tensors that another had, by position of the parameter; its settings stay."""
        parameters = list(self.network.parameters())
        for i, entries in state.items():
            self.optimizer.state[parameters[i]] = {name: tensor.to(self.compute.device) for name, tensor in entries.items()}

    def step(self, positions: Tensor, rate: float) -> None:
        """One optimizer step on the images at `positions` [n], at the learning rate `rate`.

        Where they go through the network in parts, each part has batch statistics, and a gate of ShakeDrop, of its own.
        """
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
        noise = self.network.noise(len(positions), self.streams.noise)
        self.recording(self._learn, images.contiguous(memory_format=self.compute.memory_format), targets, noise)

    def _learn(self, images: Tensor, targets: Tensor, noise: Tensor) -> None:
        """The step on images that are ready: everything in it is on the device and has its place."""
        self.optimizer.zero_grad(set_to_none=True)
        parts = (torch.split(tensor, self.micro_batch, dim) for tensor, dim in ((images, 0), (targets, 0), (noise, 1)))
        for part in zip(*parts, strict=True):
            self._backward(*part, share=len(part[0]) / len(images))
        self.optimizer.step()

    def _backward(self, images: Tensor, targets: Tensor, noise: Tensor, *, share: float) -> None:
        """Adds the gradient of some of a batch's images, `share` of it."""
        with self.compute.autocast():
            logits = self.network(images, noise).float()
        loss = functional.cross_entropy(logits, targets, label_smoothing=self.recipe.label_smoothing)
        (loss * share if share < 1 else loss).backward()  # type: ignore[no-untyped-call]
        with torch.no_grad():
            right = targets.gather(1, logits.argmax(1, keepdim=True)).sum()
            self.totals += torch.stack([loss.detach() * len(images), len(images) - right])

    def follow(self, u: float) -> None:
        """Takes the weights into the average every few steps, and at the end; u is the fraction of the budget used."""
        self._since_average += 1
        if self.average is not None and (self._since_average >= average.EVERY or u >= 1):
            self.average.update(self.network, u)
            self._since_average = 0

    def take_totals(self) -> tuple[float, float]:
        """Sums of loss and error since the last call; waits for the device."""
        loss, error = self.totals.tolist()
        self.totals.zero_()
        return loss, error


def _optimizer(network: nn.Module, recipe: Recipe, rate: Tensor) -> torch.optim.Optimizer:
    if recipe.optimizer == "muon":
        return Muon(network.parameters(), hidden(network), lr=rate, momentum=recipe.momentum, weight_decay=recipe.weight_decay)
    fused = rate.device.type in ("cpu", "cuda")
    if recipe.optimizer == "adamw":
        betas = (recipe.momentum, recipe.beta2)
        return torch.optim.AdamW(
            network.parameters(),
            lr=rate,
            betas=betas,
            weight_decay=recipe.weight_decay,
            fused=fused,
            capturable=rate.device.type == "cuda",
        )
    return torch.optim.SGD(
        network.parameters(), lr=rate, momentum=recipe.momentum, weight_decay=recipe.weight_decay, nesterov=recipe.momentum > 0, fused=fused
    )


def start(
    config: Mapping[str, Value], *, data: ResidentData, compute: Compute, seed: int, network: str | None = None, policy: Policy = NONE
) -> Learner:
    """A learner with the fresh weights and streams of a seed.

    Args:
        config: names of the built-in spaces, or any subset of them.
        data: what to train it on.
        compute: where and how precisely.
        seed: of weights and streams.
        network: as for `bohb_nas.training.recipe.read`.
        policy: of augmentation, where the configuration names none.

    Raises:
        OptionError: the configuration has names or choices that are not accepted.
        MemoryError: its weights alone are more than there is room for; found by arithmetic, before anything is built.
    """
    layers, recipe = read(config, network=network)
    if not recipe.policy:
        recipe = dataclasses.replace(recipe, policy=policy)
    _check_room(layers, recipe, data, compute)
    built = build(layers, image_shape=data.image_shape, n_classes=data.n_classes, generator=torch.Generator().manual_seed(seed))
    built.to(compute.device, memory_format=compute.memory_format)  # type: ignore[call-overload]
    return Learner(built, recipe, data=data, compute=compute, streams=Streams.seeded(seed, compute.device))


def _check_room(layers: Layer, recipe: Recipe, data: ResidentData, compute: Compute) -> None:
    """Weights, and again weights, gradients and optimizer state of the copy that warms up, in fp32; Muon's products need as much again."""
    copies = {"sgd": 4, "adamw": 5, "muon": 7}[recipe.optimizer]
    needed = 4 * copies * size(layers, image_shape=data.image_shape, n_classes=data.n_classes)["params"]
    if needed > (free := compute.free_bytes()):
        raise MemoryError(f"weights, gradients and optimizer need {needed / 2**30:.1f} GiB of the {free / 2**30:.1f} GiB free")
