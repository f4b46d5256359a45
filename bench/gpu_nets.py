"""The networks of the GPU benchmark, and what a step on them costs by arithmetic."""

import math
from collections.abc import Callable, Mapping
from typing import Any, cast

import torch
import torchvision
from torch import Tensor, nn
from torch.nn import functional

from bohb_nas.training.learner import Learner, Streams
from bohb_nas.training.networks import Form, Network, merge
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
    "sampled 50 %, in 8s": _config(8, (3.0, 0.667, 1.5), (6, 1, 3), (2, 3, 1), 0.58),
    "WRN-28-10": _config(16, (10, 2, 2), (4, 4, 4), (1, 1, 1), 0.0),
    "Shake-Shake 26 2x32d": _config(16, (2, 2, 2), (4, 4, 4), (2, 2, 2), 0.0),
    "sampled 0 %": _config(4, (0.534, 1.012, 1.408), (2, 4, 1), (1, 1, 1), 0.369),
    "sampled 25 %": _config(7, (1.611, 1.599, 0.636), (2, 7, 8), (3, 1, 1), 0.891),
    "sampled 75 %": _config(14, (4.263, 0.597, 1.995), (7, 1, 5), (1, 1, 1), 0.258),
    "sampled 99 %": _config(29, (5.559, 2.963, 1.255), (5, 2, 2), (3, 4, 1), 0.743),
    "WRN-16-4": {"family": "wrn", "wrn_blocks": 2, "wrn_widen_factor": 4.0},
    "cell": {"family": "cell"},
    "mobile": {"family": "mobile"},
}
"""Architectures that the project's own builder makes; `cell` and `mobile` are the defaults of their families.

The sampled ones are fixed here so that runs of different days compare:
of 1001 samples of a space of such networks (even in the logarithms of depth, width and branches) those at these ranks of FLOPs. "In 8s"
has 8, 24, 16 and 24 channels in place of 5, 22, 13 and 21: what `joint` would make of it."""
OTHERS: Mapping[str, Callable[[], nn.Module]]
"""Networks in plain torch."""


class _NoNoise(nn.Module):
    """A network that draws nothing, with the interface of those that do."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def noise(self, n_images: int, generator: torch.Generator) -> Tensor:
        """No rows, [0, n_images]."""
        return torch.empty(0, n_images, device=generator.device)

    def forward(self, x: Tensor, noise: Tensor | None = None) -> Tensor:
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
FORMS: tuple[Form, ...] = ("apart", "merged", "grouped")
"""How the branches of a block are computed."""


def network(name: str, form: Form = "apart", *, seed: int = 0) -> Network:
    """A network of `NAMES` for 32x32 colour images and 10 classes, on the CPU; those in plain torch have only one form."""
    if name in OTHERS:
        return cast(Network, _NoNoise(OTHERS[name]()))
    return built(CONFIGS[name], form, seed=seed)


def built(config: Mapping[str, Any], form: Form = "apart", *, seed: int = 0) -> Network:
    """The network of a configuration, for the same images."""
    generator = torch.Generator().manual_seed(seed)
    return merge(Network(read(config)[0], image_shape=(32, 32, 3), n_classes=10, generator=generator), form)


def learner(network: Network, config: Mapping[str, Any], **environment: Any) -> Learner:
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


def floor_s(cost: Mapping[str, float], batch: int, n_kernels: int, *, flops_s: float, bytes_s: float, launch_s: float) -> tuple[float, str]:
    """The least seconds of a step, and what bounds it.

    28 bytes per number that a convolution puts out: 2 bytes in about 14 readings and writings by convolution, and by the normalisation that
    rectifies as well, forward and backward.

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
        "bytes": 28 * cost["elements"] * batch / bytes_s,
        "launches": n_kernels * launch_s,
    }
    bound = max(floors, key=lambda name: floors[name])
    return (floors[bound] if math.isfinite(floors[bound]) else 0.0), bound
