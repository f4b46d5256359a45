"""Where the tensors of a network stand among weights that many networks share: a place for each, by the names of its parts.

A convolution's kernel side and kind are part of its place, so that tensors of one place differ in channels alone.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias

from torch import nn

from bohb_nas.errors import OptionError
from bohb_nas.layers import Layer
from bohb_nas.layers.naming import beside, inside, parts
from bohb_nas.training.networks import Network

Fill: TypeAlias = Literal["kernel", "linear", "ones", "zeros"]
"""How a tensor is at first: drawn as of a convolution or a linear layer, or constant."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Of one tensor of a network."""

    key: str
    """The names of the parts around it, and what it is."""
    shape: tuple[int, ...]
    """That this network needs."""
    fill: Fill
    groups: int = 1
    """Of a convolution; 0 where it is depthwise: as many as it has outputs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """Of all tensors of a network, by the names that torch gives them, in its order."""

    weights: dict[str, Place]
    statistics: dict[str, Place]


def places(network: Network) -> Places:
    """The places of a network whose branches are apart.

    Raises:
        OptionError: two tensors would have one place.
    """
    found = dict(_body(network.layers, network.body, "body", ""))
    head = inside(beside(network.layers), "head")
    weight, bias = tuple(network.head.weight.shape), tuple(network.head.bias.shape)
    found["head.weight"] = Place(key=f"{head}/weight", shape=weight, fill="linear")
    found["head.bias"] = Place(key=f"{head}/bias", shape=bias, fill="zeros")
    keys = [place.key for place in found.values()]
    if twice := sorted({key for key in keys if keys.count(key) > 1}):
        raise OptionError(f"two parts of a network are named {twice[0]}; accepted are names of which no two meet: name what is beside them")
    trained = {name for name, _ in network.named_parameters()}
    return Places(
        weights={name: place for name, place in found.items() if name in trained},
        statistics={name: place for name, place in found.items() if name not in trained},
    )


def _body(layer: Layer, module: nn.Module, name: str, place: str) -> Iterator[tuple[str, Place]]:
    """The tensors of a layer and their places.

    Args:
        layer: as data.
        module: built from it.
        name: of the module within the network.
        place: the names of the parts around it.
    """
    match module:
        case nn.Conv2d():
            yield f"{name}.weight", _kernel(module, place)
        case nn.BatchNorm2d():
            fills: dict[str, Fill] = {"weight": "ones", "bias": "zeros", "running_mean": "zeros", "running_var": "ones"}
            for tensor, fill in fills.items():
                yield f"{name}.{tensor}", Place(key=inside(place, tensor), shape=(module.num_features,), fill=fill)
        case _:
            for (own, part), (number, child) in zip(parts(layer), module.named_children(), strict=True):
                yield from _body(part, child, f"{name}.{number}", inside(place, own))


def _kernel(convolution: nn.Conv2d, place: str) -> Place:
    """The place of a convolution's weight."""
    side, groups = convolution.kernel_size[0], convolution.groups
    shape = tuple(convolution.weight.shape)
    if 1 < groups == convolution.in_channels == convolution.out_channels:
        return Place(key=inside(place, f"depthwise_{side}x{side}"), shape=shape, fill="kernel", groups=0)
    kind = f"conv_{side}x{side}" if groups == 1 else f"conv_{side}x{side}_in_{groups}"
    return Place(key=inside(place, kind), shape=shape, fill="kernel", groups=groups)
