"""A network that learns: one optimizer step on one batch, without waiting for the device."""

import copy
import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
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
from bohb_nas.training.networks import Form, Network, apart, merge, own_kernels, together
from bohb_nas.training.policies import NONE, Policy
from bohb_nas.training.recipe import Recipe, read
from bohb_nas.training.recording import Recording, record

SMALLEST_MICRO_BATCH = 16
"""Images of a batch that are never divided further."""
_AHEAD_BYTES = 64 * 2**20
"""Of augmented images that wait for their step on a device that works asynchronously."""
_AHEAD_STEPS = 64
"""That wait for theirs at most: what the last of a training leaves over is made for nothing."""
_AHEAD_SHARE = 1 / 32
"""Of free memory that these may take at most: making them takes several times as much."""

Batch = tuple[Tensor, Tensor]
"""Images ready for the network, float32 [n, C, H, W], and targets [n, n_classes]."""
Forward = Callable[[Network, Tensor, Tensor], Tensor]
"""Network, images and noise -> logits."""


def forward(network: Network, images: Tensor, noise: Tensor) -> Tensor:
    """The logits of images [n, C, H, W] with noise [rows, n]; a function, so that copies of a network share its compiled form."""
    return network(images, noise)  # type: ignore[no-any-return]


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
        self.since_average = average.EVERY - 1  # so that what is judged never is what nobody trained
        """Steps since the average was updated."""
        self.form: Form = "apart"
        """Of the network's branches."""
        self.forward: Forward = forward
        """In training."""
        self.recording = Recording(record if compute.device.type == "cuda" else None)
        """Of the steps on whole batches."""
        self.micro_batch = recipe.batch_size
        """Images that go through the network at once; a batch larger than that accumulates its gradient over several passes."""

    @property
    def outcome(self) -> Network:
        """The network that is judged and exported: the averaged one where there is one."""
        return self.network if self.average is None else self.average.network

    def twin(self, streams: Streams) -> Self:
        """A copy of the network with a fresh optimizer: what it does leaves no trace in this learner."""
        twin = type(self)(copy.deepcopy(self.network), self.recipe, data=self.data, compute=self.compute, streams=streams)
        twin.micro_batch, twin.form, twin.forward = self.micro_batch, self.form, self.forward
        return twin

    def optimizer_state(self) -> dict[int, dict[str, Tensor]]:
        """What the optimizer keeps of each parameter of the separate form, by its position."""
        places = {name: i for i, name in enumerate(self.network.parameter_names)}
        state: dict[int, dict[str, Tensor]] = {}
        own = {name: self.optimizer.state[parameter] for name, parameter in self.network.named_parameters()}
        for entry in sorted({entry for entries in own.values() for entry in entries}):
            kept = {name: entries[entry] for name, entries in own.items() if isinstance(entries.get(entry), Tensor)}
            for name, tensor in apart(self.network, kept).items():
                state.setdefault(places[name], {})[entry] = tensor
        return dict(sorted(state.items()))

    def restore_optimizer(self, state: Mapping[int, Mapping[str, Tensor]]) -> None:
        """Gives the optimizer the tensors that another had, in the form of `optimizer_state`; its settings stay."""
        names, parameters = self.network.parameter_names, dict(self.network.named_parameters())
        for entry in sorted({entry for entries in state.values() for entry in entries}):
            kept = {names[i]: entries[entry] for i, entries in state.items() if entry in entries}
            for name, tensor in together(self.network, kept).items():
                self.optimizer.state[parameters[name]][entry] = _laid_out_as(parameters[name], tensor.to(self.compute.device))

    def reform(self, form: Form) -> None:
        """Puts the branches of the network, apart until now, into another form; what optimizer and average know goes with it."""
        state = self.optimizer_state()
        self.form = form
        merge(self.network, form)
        self.network.to(self.compute.device, memory_format=self.compute.memory_format)  # type: ignore[call-overload]
        if self.average is not None:
            merge(self.average.network, form)
            self.average.network.to(memory_format=self.compute.memory_format)
            self.average.network.requires_grad_(requires_grad=False)
        self.optimizer = _optimizer(self.network, self.recipe, self.rate)
        self.restore_optimizer(state)

    def ahead(self) -> int:
        """Steps whose images are best augmented together.

        One on a CPU, where an image costs what it costs; elsewhere enough that starting the kernels is not what they cost.
        """
        if not self.compute.asynchronous:
            return 1
        step_bytes = 4 * self.recipe.batch_size * math.prod(self.data.image_shape)
        room = min(_AHEAD_BYTES, _AHEAD_SHARE * self.compute.free_bytes())
        return min(_AHEAD_STEPS, max(1, int(room / step_bytes)))

    def prepare(self, positions: Sequence[Tensor]) -> list[Batch]:
        """Augments the images of coming steps, all at once: `positions` [n] of each step.

        A policy spreads the images of all steps over all batches anew, and mixing takes partners from any of them: each image's law, and
        that each meets its own choices, is as in single batches. They count as seen once they are ready: not where memory did not suffice.
        """
        joined = torch.cat(list(positions))
        seen = None if self.seen is None else self.seen.clone()
        images, targets, _ = augment(
            self.data,
            joined,
            self.recipe,
            generator=self.streams.augmentation,
            host=self.streams.host,
            mirrored=None if seen is None else alternating(seen, joined),
        )
        lengths = [len(of_step) for of_step in positions]
        images = images.contiguous(memory_format=self.compute.memory_format)
        self.seen = seen
        return list(zip(torch.split(images, lengths), torch.split(targets, lengths), strict=True))

    def step(self, positions: Tensor, rate: float) -> None:
        """One optimizer step on the images at `positions` [n], at the learning rate `rate`."""
        self.learn(self.prepare([positions])[0], rate)

    def learn(self, batch: Batch, rate: float) -> None:
        """One optimizer step on a batch at the learning rate `rate`.

        Where it goes through the network in parts, each part has batch statistics, and a gate of ShakeDrop, of its own.
        """
        images, targets = batch
        self.rate.fill_(rate)
        if not self.network.training:
            self.network.train()
        noise = self.network.noise(len(images), self.streams.noise)
        self.recording(self._learn, images, targets, noise)

    def _learn(self, images: Tensor, targets: Tensor, noise: Tensor) -> None:
        """The step on images that are ready: everything in it is on the device and has its place."""
        n_parts = -(-len(images) // self.micro_batch)  # as even as can be: a last one of few images has poor statistics, of one none
        parts = (torch.tensor_split(tensor, n_parts, dim) for tensor, dim in ((images, 0), (targets, 0), (noise, 1)))
        try:
            for part in zip(*parts, strict=True):
                self._backward(*part, share=len(part[0]) / len(images))
            self.optimizer.step()
        finally:
            self.optimizer.zero_grad(set_to_none=True)  # so that a recording, which makes its own, begins with their memory

    def _backward(self, images: Tensor, targets: Tensor, noise: Tensor, *, share: float) -> None:
        """Adds the gradient of some of a batch's images, `share` of it."""
        with self.compute.autocast():
            logits = self.forward(self.network, images, noise).float()
        loss = functional.cross_entropy(logits, targets, label_smoothing=self.recipe.label_smoothing)
        (loss * share if share < 1 else loss).backward()  # type: ignore[no-untyped-call]
        with torch.no_grad():
            right = targets.gather(1, logits.argmax(1, keepdim=True)).sum()
            self.totals += torch.stack([loss.detach() * len(images), len(images) - right])

    def follow(self, u: float) -> None:
        """Takes the weights into the average every few steps, and at the end; u is the fraction of the budget used."""
        self.since_average += 1
        if self.average is not None and (self.since_average >= average.EVERY or u >= 1):
            self.average.update(self.network, u)
            self.since_average = 0

    def take_totals(self) -> tuple[float, float]:
        """Sums of loss and error since the last call; waits for the device."""
        loss, error = self.totals.tolist()
        self.totals.zero_()
        return loss, error


def _laid_out_as(parameter: Tensor, kept: Tensor) -> Tensor:
    """What an optimizer keeps of a parameter, in the parameter's order in memory: fused steps go through both as they lie there."""
    return kept if kept.shape != parameter.shape else torch.empty_like(parameter, requires_grad=False).copy_(kept)


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
        RuntimeError: there is not even room for trying the package's kernels.
    """
    layers, recipe = read(config, network=network)
    if not recipe.policy:
        recipe = dataclasses.replace(recipe, policy=policy)
    _check_room(layers, recipe, data, compute)
    own_kernels.refusal(compute.device)  # tries the kernels before there is a network, which may leave no memory for that
    built = Network(layers, image_shape=data.image_shape, n_classes=data.n_classes, generator=torch.Generator().manual_seed(seed))
    built.to(compute.device, memory_format=compute.memory_format)  # type: ignore[call-overload]
    return Learner(built, recipe, data=data, compute=compute, streams=Streams.seeded(seed, compute.device))


def _check_room(layers: Layer, recipe: Recipe, data: ResidentData, compute: Compute) -> None:
    """Weights, and again weights, gradients and optimizer state of the copy that warms up, in fp32; Muon's products need as much again."""
    copies = {"sgd": 4, "adamw": 5, "muon": 7}[recipe.optimizer]
    needed = 4 * copies * size(layers, image_shape=data.image_shape, n_classes=data.n_classes)["params"]
    if needed > (free := compute.free_bytes()):
        raise MemoryError(f"weights, gradients and optimizer need {needed / 2**30:.1f} GiB of the {free / 2**30:.1f} GiB free")
