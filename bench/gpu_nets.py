"""The networks of the GPU benchmark, what a step on them costs by arithmetic, and their blocks with merged branches."""

import math
from collections.abc import Callable, Mapping
from typing import Any, Literal, cast

import torch
import torchvision
from torch import Tensor, nn
from torch.nn import functional

from bohb_nas.training.learner import Learner, Streams
from bohb_nas.training.networks import MultiBranch, build
from bohb_nas.training.networks.multi_branch import Block, Branch, _WeightedSum
from bohb_nas.training.recipe import read


def _config(
    stem: int, widen: tuple[float, float, float], blocks: tuple[int, ...], branches: tuple[int, ...], death_rate: float
) -> dict[str, Any]:
    config: dict[str, Any] = {"initial_filters": stem, "death_rate": death_rate}
    for g in (1, 2, 3):
        config |= {f"widen_factor_{g}": widen[g - 1], f"nr_residual_blocks_{g}": blocks[g - 1], f"res_branches_{g}": branches[g - 1]}
    return config


CONFIGS: Mapping[str, Mapping[str, Any]] = {
    "default": {},
    "sampled 50 %": _config(5, (4.392, 0.603, 1.605), (6, 1, 3), (2, 3, 1), 0.58),
    "WRN-28-10": _config(16, (10, 2, 2), (4, 4, 4), (1, 1, 1), 0.0),
    "Shake-Shake 26 2x32d": _config(16, (2, 2, 2), (4, 4, 4), (2, 2, 2), 0.0),
    "sampled 0 %": _config(4, (0.534, 1.012, 1.408), (2, 4, 1), (1, 1, 1), 0.369),
    "sampled 25 %": _config(7, (1.611, 1.599, 0.636), (2, 7, 8), (3, 1, 1), 0.891),
    "sampled 75 %": _config(14, (4.263, 0.597, 1.995), (7, 1, 5), (1, 1, 1), 0.258),
    "sampled 99 %": _config(29, (5.559, 2.963, 1.255), (5, 2, 2), (3, 4, 1), 0.743),
}
"""Architectures that the project's own builder makes. The sampled ones are fixed here so that runs of different days compare:
of 1001 samples of a space of such networks (even in the logarithms of depth, width and branches) those at these ranks of FLOPs."""
OTHERS: Mapping[str, Callable[[], nn.Module]]
"""Networks in plain torch."""


class _NoNoise(nn.Module):
    """A network that draws nothing, with the interface of those that do."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def noise(self, n_images: int, generator: torch.Generator) -> None:
        """Nothing."""

    def forward(self, x: Tensor, noise: None = None) -> Tensor:
        return cast(Tensor, self.inner(x))


def _resnet18() -> nn.Module:
    """ResNet-18 for 32x32 images: a 3x3 stem without stride and without pooling."""
    network = torchvision.models.resnet18(num_classes=10)
    network.conv1 = nn.Conv2d(3, 64, 3, padding=1, bias=False)
    network.maxpool = nn.Identity()
    return cast(nn.Module, network)


class _AirbenchGroup(nn.Module):
    """Three 3x3 convolutions, pooling after the first, the input of the second added to the output of the third."""

    def __init__(self, into: int, out: int) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(into, out, 3, padding=1, bias=False), nn.MaxPool2d(2), nn.BatchNorm2d(out), nn.GELU())
        self.second = nn.Sequential(nn.Conv2d(out, out, 3, padding=1, bias=False), nn.BatchNorm2d(out), nn.GELU())
        self.third = nn.Sequential(nn.Conv2d(out, out, 3, padding=1, bias=False), nn.BatchNorm2d(out))

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        return functional.gelu(x + self.third(self.second(x)))


class _Airbench96(nn.Module):
    """The network that Jordan (2024) trains to 96 %: 2x2 patches, groups of 128, 384 and 512 channels, a scaled linear layer."""

    def __init__(self) -> None:
        super().__init__()
        groups = (_AirbenchGroup(into, out) for into, out in ((24, 128), (128, 384), (384, 512)))
        self.features = nn.Sequential(nn.Conv2d(3, 24, 2), nn.GELU(), *groups, nn.MaxPool2d(3))
        self.head = nn.Linear(512, 10, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return cast(Tensor, self.head(self.features(x).flatten(1))) / 9


OTHERS = {"ResNet-18": _resnet18, "airbench96": _Airbench96}
NAMES = (*CONFIGS, *OTHERS)
Layout = Literal["separate", "merged", "grouped"]
LAYOUTS: tuple[Layout, ...] = ("separate", "merged", "grouped")
"""How the branches of a block are computed: apart, with one first convolution, or with one grouped second one as well."""


def network(name: str, *, seed: int = 0) -> MultiBranch:
    """A network of `NAMES` for 32x32 colour images and 10 classes, on the CPU; all have the interface of MultiBranch."""
    if name in OTHERS:
        return cast(MultiBranch, _NoNoise(OTHERS[name]()))
    return build(read(CONFIGS[name])[0], channels=3, n_classes=10, generator=torch.Generator().manual_seed(seed))


def laid_out(name: str, layout: Layout) -> MultiBranch:
    """A network with its branches in a layout."""
    return network(name) if layout == "separate" else _merge(network(name), grouped=layout == "grouped")


def learner(network: MultiBranch, config: Mapping[str, Any], **environment: Any) -> Learner:
    """A learner of a network under the recipe of a configuration.

    Args:
        network: on the CPU; moved to the device.
        config: the recipe.
        environment: `data` and `compute` of the learner.
    """
    compute = environment["compute"]
    network.to(compute.device, memory_format=compute.memory_format)  # type: ignore[call-overload]
    return Learner(network, read(config)[1], streams=Streams.seeded(0, compute.device), **environment)


def cost(network: nn.Module) -> dict[str, float]:
    """What one 32x32 colour image costs.

    Returns:
        {"forward": FLOPs of convolutions and linear layers, "train": three times that less the first layer's gradient of its
        input, "elements": numbers that the convolutions put out}
    """
    flops: list[float] = []
    elements: list[int] = []

    def count(module: nn.Module, inputs: tuple[Tensor, ...], out: Tensor) -> None:
        if isinstance(module, nn.Conv2d):
            flops.append(2 * module.weight[0].numel() * out[0].numel())
            elements.append(out[0].numel())
        elif isinstance(module, nn.Linear):
            flops.append(2 * module.weight.numel())

    handles = [module.register_forward_hook(count) for module in network.modules()]
    was_training = network.training
    with torch.no_grad():
        network.eval()(torch.zeros(1, 3, 32, 32))
    network.train(was_training)
    for handle in handles:
        handle.remove()
    return {"forward": sum(flops), "train": 3 * sum(flops) - flops[0], "elements": float(sum(elements))}


class MergedBlock(nn.Module):
    """A block of several branches whose first convolutions, which share their input, are one; the second ones too where grouped.

    Args:
        block: whose weights are taken over.
        grouped: whether the second convolutions are one grouped convolution, or stay one per branch.
    """

    def __init__(self, block: Block, *, grouped: bool) -> None:
        super().__init__()
        branches = [cast(Branch, branch) for branch in block.branches]
        first = [cast(nn.Conv2d, branch[0]) for branch in branches]
        second = [cast(nn.Conv2d, branch[3]) for branch in branches]
        n, out = len(branches), first[0].out_channels
        self.n, self.shortcut, self.noise_rows, self._weights = n, block.shortcut, block.noise_rows, block._weights
        self.first = nn.Conv2d(first[0].in_channels, n * out, 3, stride=first[0].stride[0], padding=1, bias=False)
        self.first.weight.data = torch.cat([conv.weight.data for conv in first])
        self.first_norm, self.second_norm = nn.BatchNorm2d(n * out), nn.BatchNorm2d(n * out)
        self.second = nn.ModuleList(second)
        if grouped:
            one = nn.Conv2d(n * out, n * out, 3, padding=1, groups=n, bias=False)
            one.weight.data = torch.cat([conv.weight.data for conv in second])
            self.second = nn.ModuleList([one])

    def forward(self, x: Tensor, noise: Tensor | None) -> Tensor:
        """As `Block.forward`."""
        rectified = functional.relu(x)
        hidden = functional.relu(self.first_norm(self.first(rectified)))
        if len(self.second) == 1:
            outs = self.second_norm(self.second[0](hidden)).chunk(self.n, 1)
        else:
            parts = [conv(part) for conv, part in zip(self.second, hidden.chunk(self.n, 1), strict=True)]
            outs = self.second_norm(torch.cat(parts, 1)).chunk(self.n, 1)
        skip = x if self.shortcut is None else self.shortcut(x, rectified)
        if noise is not None:
            forward, backward = self._weights(noise)
            return skip + _WeightedSum.apply(forward, backward, *outs)  # type: ignore[no-any-return]
        return skip + sum(outs) / self.n  # type: ignore[no-any-return]


def _merge(network: MultiBranch, *, grouped: bool) -> MultiBranch:
    """Puts merged blocks in the place of those with several branches; returns the network."""
    rows = [cast(Block, block).noise_rows for block in network.blocks]
    for i, block in enumerate(network.blocks):
        if isinstance(block, Block) and len(block.branches) > 1:
            network.blocks[i] = MergedBlock(block, grouped=grouped)
    network._rows = lambda: rows  # type: ignore[method-assign]
    return network


def floor_s(cost: Mapping[str, float], batch: int, n_kernels: int, *, flops_s: float, bytes_s: float, launch_s: float) -> tuple[float, str]:
    """The least seconds of a step, and what bounds it.

    34 bytes per number that a convolution puts out: 2 bytes in about 17 readings and writings by convolution, normalisation
    and rectification, forward and backward, each as a kernel of its own.

    Args:
        cost: by `cost`.
        batch: images.
        n_kernels: of the step.
        flops_s: FLOP/s of the device's matrix products.
        bytes_s: its memory's bytes/s.
        launch_s: seconds per kernel within a graph.
    """
    floors = {
        "compute": cost["train"] * batch / flops_s,
        "bytes": 34 * cost["elements"] * batch / bytes_s,
        "launches": n_kernels * launch_s,
    }
    bound = max(floors, key=lambda name: floors[name])
    return (floors[bound] if math.isfinite(floors[bound]) else 0.0), bound
