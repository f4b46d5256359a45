"""Applies a policy to a batch: every image its own choice and magnitudes, without waiting for the device.

The host draws how many images meet each choice, from the multinomial distribution, and the device a permutation; then each
operator has a contiguous part of the batch. That is the law of a choice drawn for every image independently.
"""

import itertools

import torch
from torch import Tensor

from bohb_nas.training.operators import GEOMETRIC, POINTWISE, affine
from bohb_nas.training.policies import SIGNED, Choice, Layer, Operation, Policy

_RANK = {operator: i for i, operator in enumerate([*GEOMETRIC, *POINTWISE])}
"""Order of the operators in a batch: those in one `affine` stand together."""
_IDENTITY = Operation("identity")
_Run = tuple[int, int]
"""The position of a choice in its layer, and how many images, one after another, meet it."""


def transform(
    images: Tensor, labels: Tensor, policy: Policy, *, generator: torch.Generator, host: torch.Generator, noted: bool = False
) -> tuple[Tensor, Tensor, Tensor]:
    """The images under a policy, in another order, and what goes with them in that order.

    Args:
        images: uint8 [N, C, H, W]
        labels: [N, ...]
        policy: what may happen to them.
        generator: of the permutations and magnitudes, on the images' device.
        host: of the counts, on the CPU.
        noted: whether it is told what images met.

    Returns:
        The images, the labels, and which choice of each layer every image met: positions in its choices, int64 [N, layers], or [N, 0] if
        that is not noted.
    """
    followers = [labels]
    for layer in policy:
        order = torch.randperm(len(images), generator=generator, device=generator.device)
        images, followers, runs = _through_layer(layer, images[order], [f[order] for f in followers], generator=generator, host=host)
        if noted:
            followers.append(_sent(_repeated(runs), images.device))
    labels, *chosen = followers
    return images, labels, torch.stack(chosen, 1) if chosen else torch.zeros(len(images), 0, dtype=torch.int64, device=images.device)


def _through_layer(
    layer: Layer, images: Tensor, followers: list[Tensor], *, generator: torch.Generator, host: torch.Generator
) -> tuple[Tensor, list[Tensor], list[_Run]]:
    """Images in an order that says nothing about them, through a layer, and the runs that they are in then."""
    runs = [run for run in enumerate(counts(layer, len(images), host)) if run[1]]
    for k in range(max((len(layer.choices[i].operations) for i, _ in runs), default=0)):
        by_operator = sorted(range(len(runs)), key=lambda i: _RANK[_operation(layer.choices[runs[i][0]], k).operator])
        if k > 0 and by_operator != sorted(by_operator):
            order = _sent(_regrouped([count for _, count in runs], by_operator), images.device)
            images, followers = images[order], [f[order] for f in followers]
        runs = [runs[i] for i in by_operator]
        images = _operate(images, [(_operation(layer.choices[c], k), count) for c, count in runs], layer.bins, generator)
    return images, followers, runs


def counts(layer: Layer, n: int, host: torch.Generator) -> list[int]:
    """How many of n images meet each choice."""
    probabilities = torch.tensor([choice.probability for choice in layer.choices], dtype=torch.float64)
    drawn = torch.multinomial(probabilities, n, replacement=True, generator=host) if n else torch.zeros(0, dtype=torch.int64)
    return torch.bincount(drawn, minlength=len(layer.choices)).tolist()


def _operation(choice: Choice, k: int) -> Operation:
    return choice.operations[k] if k < len(choice.operations) else _IDENTITY


def _regrouped(lengths: list[int], order: list[int]) -> Tensor:
    """Where the images of consecutive runs come from when the runs are put into another order, int64 [N]."""
    starts = [0, *itertools.accumulate(lengths)]
    return torch.cat([torch.arange(starts[i], starts[i + 1]) for i in order])


def _repeated(runs: list[_Run]) -> Tensor:
    """Of each image of consecutive runs, the position of its choice, int64 [N]."""
    positions, lengths = torch.tensor(runs, dtype=torch.int64).view(-1, 2).unbind(1)
    return positions.repeat_interleave(lengths)


def _operate(images: Tensor, operations: list[tuple[Operation, int]], bins: int | None, generator: torch.Generator) -> Tensor:
    """Consecutive parts of the images, by operator, each under its operation."""
    lengths = torch.tensor([count for _, count in operations])
    ranges = torch.tensor([[o.low, o.high, o.operator in SIGNED] for o, _ in operations], dtype=torch.float32)
    low, high, signed = _sent(ranges.repeat_interleave(lengths, 0), images.device).unbind(1)
    level, lot = torch.rand(2, len(images), generator=generator, device=generator.device)
    if bins is not None:
        level = (level * bins).floor().clamp_max_(bins - 1) / (bins - 1)
    magnitude = torch.lerp(low, high, level) * (1 - 2 * signed * (lot < 0.5))
    grouped = itertools.groupby(operations, key=lambda entry: entry[0].operator)
    sizes = {operator: sum(count for _, count in entries) for operator, entries in grouped}
    n_each = list(sizes.values())
    parts = list(zip(sizes, torch.split(images, n_each), torch.split(magnitude, n_each), strict=True))
    matrices = [GEOMETRIC[operator](values, *images.shape[2:]) for operator, _, values in parts if operator in GEOMETRIC]
    changed = [POINTWISE[operator](part, values) for operator, part, values in parts if operator in POINTWISE]
    if matrices:
        joined = torch.cat(matrices)
        changed.insert(0, affine(images[: len(joined)], joined))
    return torch.cat(changed)


def _sent(tensor: Tensor, device: torch.device) -> Tensor:
    """A tensor of the host on the device, without waiting for it."""
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)
