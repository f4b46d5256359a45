"""Builds a network of torch from layers: one module for each layer, weights drawn in the order of the layers.

Noise is an argument: a training step draws it once for the whole network with `Network.noise`; without it every layer does what it
does at rest.
"""

import math
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from bohb_nas import layers as language
from bohb_nas.layers import Layer, Shape
from bohb_nas.layers.arithmetic import joined, measure
from bohb_nas.training.networks import noise as noises
from bohb_nas.training.networks.depthwise import Depthwise
from bohb_nas.training.networks.normalisation import Norm
from bohb_nas.training.networks.pooling import pooling

_ACTIVATIONS: Mapping[str, Callable[[Tensor], Tensor]] = {
    "relu": functional.relu,
    "relu6": functional.relu6,
    "hardswish": functional.hardswish,
    "silu": functional.silu,
    "gelu": functional.gelu,
}


class Network(nn.Module):
    """Layers and the head: the average over pixels, and a linear layer.

    Args:
        layers: without the head.
        image_shape: height, width, channels; images of another size fit where no layer is a Dropout and no side falls below a stride.
        n_classes: outputs.
        generator: draws the initial weights, on the CPU; None for a network without storage, built on torch's device "meta".

    Raises:
        OptionError: layers that do not fit each other.
    """

    def __init__(self, layers: Layer, *, image_shape: tuple[int, int, int], n_classes: int, generator: torch.Generator | None) -> None:
        super().__init__()
        self.layers = layers
        """What it was built from."""
        height, width, channels = image_shape
        _, (features, _, _) = measure(layers, (channels, height, width))
        self.body = _module(layers, (channels, height, width))
        self.head = nn.Linear(features, n_classes)
        self.parameter_names = tuple(name for name, _ in self.named_parameters())
        """In order, whatever form the network takes."""
        self._rows = noise_rows(self.body)
        if generator is not None:
            self._initialise(generator)

    def _initialise(self, generator: torch.Generator) -> None:
        """As `initialise_kernel` and `initialise_linear` say, batch normalisations (1, 0), the linear layer without bias."""
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                initialise_kernel(module.weight, module.groups, generator)
        initialise_linear(self.head.weight, generator)
        nn.init.zeros_(self.head.bias)

    def noise(self, n_images: int, generator: torch.Generator) -> Tensor:
        """Uniform numbers [rows of all layers, n_images] for one training step, on the generator's device."""
        return torch.rand(self._rows, n_images, generator=generator, device=generator.device)

    def forward(self, x: Tensor, noise: Tensor | None = None) -> Tensor:
        """Normalised images [N, C, H, W], and the noise of a training step or None -> logits [N, n_classes]."""
        return self.head(_mean(apply(self.body, x, noise)).flatten(1))  # type: ignore[no-any-return]


def initialise_kernel(weight: Tensor, groups: int, generator: torch.Generator) -> None:
    """Draws the weight [out, in / groups, k, k] of a convolution from N(0, 2 / (k k out / groups))."""
    out, _, *sides = weight.shape
    nn.init.normal_(weight, std=math.sqrt(2 / (math.prod(sides) * out // groups)), generator=generator)


def initialise_linear(weight: Tensor, generator: torch.Generator) -> None:
    """Draws the weight [out, in] of a linear layer from U(+-1 / sqrt(in))."""
    bound = 1 / math.sqrt(weight.shape[1])
    nn.init.uniform_(weight, -bound, bound, generator=generator)


def _module(layer: Layer, shape: Shape) -> nn.Module:
    """The module of a layer, which fits it, for images of a shape."""
    channels, height, width = shape
    match layer:
        case language.Conv(out, kernel, stride, groups):
            strides = (min(stride, height), min(stride, width))  # a longer one does the same, but spoils gradients in bf16 on CPUs
            convolution = Depthwise if 1 < groups == channels == out and kernel > 1 else nn.Conv2d
            return convolution(channels, out, kernel, stride=strides, padding=kernel // 2, groups=groups, bias=False)
        case language.Norm():
            return Norm(channels)
        case language.Activation("relu"):
            return nn.ReLU()
        case language.Pool(kind, kernel, stride):
            return pooling(kind, kernel, stride)
        case language.Dropout(rate):
            return _Dropout(rate, rows=channels * height * width)
        case language.Identity():
            return nn.Identity()
        case language.Chain(layers):
            return Chained(_chained(layers, shape))
        case language.Shake(paths):
            return Shaken([_module(path, shape) for path in paths])
        case language.Sum(paths) | language.Concat(paths):
            return (_Sum if isinstance(layer, language.Sum) else _Concat)([_module(path, shape) for path in paths])
        case language.ShakeDrop(path, rate):
            return _ShakeDrop(_module(path, shape), rate)
        case language.DropPath(path, rate):
            return _DropPath(_module(path, shape), rate)
        case language.Graph(nodes):
            return _graph(nodes, shape)
        case language.Activation() | language.GlobalPool() | language.Shift() | language.Zero():
            return _Plain(layer)


def _chained(layers: Sequence[Layer], shape: Shape) -> list[nn.Module]:
    """The modules of a chain; what a normalisation does in passing leaves its place empty."""
    modules: list[nn.Module] = []
    for before, layer in zip((None, *layers), layers, strict=False):
        if kind := joined(layer, before):
            _last_norm(modules[-1]).activation = kind
            modules.append(nn.Identity())
        else:
            modules.append(_module(layer, shape))
        shape = measure(layer, shape)[1]
    return modules


def _last_norm(module: nn.Module) -> Norm:
    """The normalisation that a module, or a chain of modules, ends with."""
    while isinstance(module, Chained):
        module = module[-1]
    assert isinstance(module, Norm)
    return module


def _graph(nodes: Sequence[Sequence[tuple[int, Layer]]], shape: Shape) -> "_Graph":
    shapes, modules = [shape], []
    for edges in nodes:
        modules += [_module(layer, shapes[source]) for source, layer in edges]
        first, layer = edges[0]
        shapes.append(measure(layer, shapes[first])[1])
    return _Graph(modules, [[source for source, _ in edges] for edges in nodes])


def noise_rows(module: nn.Module) -> int:
    """Uniform numbers that a module needs per image."""
    return int(getattr(module, "noise_rows", 0))


def apply(module: nn.Module, x: Tensor, noise: Tensor | None) -> Tensor:
    """What a module makes of its input; `noise` [rows, N] is handed to those that need some."""
    return module(x, noise) if noise_rows(module) else module(x)  # type: ignore[no-any-return]


class _Plain(nn.Module):
    """A layer without weights."""

    def __init__(self, layer: Layer) -> None:
        super().__init__()
        self.layer = layer
        self._function = _function(layer)  # chosen here: compilers of the oldest torch understand no match statement

    def forward(self, x: Tensor) -> Tensor:
        """[N, C, H, W] -> [N, C, H', W']."""
        return self._function(x)

    def extra_repr(self) -> str:
        """The layer."""
        return repr(self.layer)


def _function(layer: Layer) -> Callable[[Tensor], Tensor]:
    """What a layer without weights does."""
    match layer:
        case language.Activation(kind):
            return _ACTIVATIONS[kind]
        case language.GlobalPool():
            return _mean
        case language.Shift():
            return _shift
        case _:
            return _zero


def _mean(x: Tensor) -> Tensor:
    """Over the channels-last view, for its gradient has the layout of that: one mixed with another costs 4 % of a step."""
    return x.permute(0, 2, 3, 1).mean((1, 2), keepdim=True).permute(0, 3, 1, 2)


def _shift(x: Tensor) -> Tensor:
    return functional.pad(x, (-1, 1, -1, 1))


def _zero(x: Tensor) -> Tensor:
    """Rather than new zeros: what came before keeps a gradient, of zeros."""
    return x * 0


class _Dropout(nn.Module):
    def __init__(self, rate: float, *, rows: int) -> None:
        super().__init__()
        self.rate = rate
        self.noise_rows = rows

    def forward(self, x: Tensor, noise: Tensor | None = None) -> Tensor:
        return x if noise is None else noises.dropout(x, self.rate, noise)


class _Parts(nn.ModuleList):
    """Modules that share the noise of their whole, behind the rows that the whole needs for itself."""

    def __init__(self, modules: Sequence[nn.Module], *, own_rows: int = 0) -> None:
        super().__init__(modules)
        self._split = [own_rows, *map(noise_rows, modules)]
        self.noise_rows = sum(self._split)

    def shares(self, noise: Tensor | None) -> list[Tensor | None]:
        """The noise of the whole itself, and of each part."""
        return noises.divided(noise, self._split)

    def outputs(self, x: Tensor, shares: Sequence[Tensor | None]) -> list[Tensor]:
        """What every part makes of the same input."""
        return [apply(module, x, share) for module, share in zip(self, shares, strict=True)]


class Chained(_Parts):
    """Modules one after the other."""

    def forward(self, x: Tensor, noise: Tensor | None = None) -> Tensor:
        """[N, C, H, W] -> [N, C', H', W']; noise: uniform [noise_rows, N]."""
        _, *shares = self.shares(noise)
        for module, share in zip(self, shares, strict=True):
            x = apply(module, x, share)
        return x


class _Sum(_Parts):
    def forward(self, x: Tensor, noise: Tensor | None = None) -> Tensor:
        first, *others = self.outputs(x, self.shares(noise)[1:])
        return sum(others, first)


class _Concat(_Parts):
    def forward(self, x: Tensor, noise: Tensor | None = None) -> Tensor:
        return torch.cat(self.outputs(x, self.shares(noise)[1:]), dim=1)


class _Graph(_Parts):
    def __init__(self, modules: Sequence[nn.Module], sources: list[list[int]]) -> None:
        super().__init__(modules)
        self._sources = sources

    def forward(self, x: Tensor, noise: Tensor | None = None) -> Tensor:
        nodes = [x]
        edges = zip(self, self.shares(noise)[1:], strict=True)
        for sources in self._sources:
            ends = [apply(module, nodes[source], share) for source, (module, share) in zip(sources, edges, strict=False)]
            nodes.append(sum(ends[1:], ends[0]))
        return nodes[-1]


class Shaken(_Parts):
    """Paths under random weights; at rest their mean."""

    def __init__(self, modules: Sequence[nn.Module]) -> None:
        super().__init__(modules, own_rows=2 * len(modules))

    def forward(self, x: Tensor, noise: Tensor | None = None) -> Tensor:
        """[N, C, H, W] -> [N, C', H', W']; noise: uniform [noise_rows, N]."""
        own, *shares = self.shares(noise)
        return noises.shake(self.outputs(x, shares), own)


class _ShakeDrop(_Parts):
    def __init__(self, path: nn.Module, rate: float) -> None:
        super().__init__([path], own_rows=3)
        self._rate = rate

    def forward(self, x: Tensor, noise: Tensor | None = None) -> Tensor:
        own, share = self.shares(noise)
        out = apply(self[0], x, share)
        return (1 - self._rate) * out if own is None else noises.shake_drop(out, self._rate, own)


class _DropPath(_Parts):
    def __init__(self, path: nn.Module, rate: float) -> None:
        super().__init__([path], own_rows=1)
        self._rate = rate

    def forward(self, x: Tensor, noise: Tensor | None = None) -> Tensor:
        own, share = self.shares(noise)
        out = apply(self[0], x, share)
        return out if own is None else noises.drop_path(out, self._rate, own)
