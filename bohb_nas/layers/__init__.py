"""Networks as plain data: a small language of layers, which arithmetic measures, torch builds and a drawing shows.

A layer turns images [channels, height, width] into images. A network is a layer, as a rule a `chain`; behind every network stands
the same head, the average over pixels and a linear layer to the classes. A stride s makes ceil(H / s) rows of H: images of any size
fit, and one that has come down to 1x1 stays so. Equal networks are equal objects.

What consists of parts may name them, so that a part is found again in another network where other parts stand before it; a name may be
a path ("wrn/stem"), and the empty name adds nothing: that part's own parts stand beside it. Without names positions are taken.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias, get_args

from bohb_nas.errors import OptionError

Shape: TypeAlias = tuple[int, int, int]
"""Channels, height, width."""
ActivationKind: TypeAlias = Literal["relu", "relu6", "hardswish", "silu", "gelu"]
PoolKind: TypeAlias = Literal["average", "max"]


@dataclass(frozen=True, slots=True)
class Conv:
    """A convolution without bias, its input padded by kernel // 2 zeros on each side."""

    out: int
    """Channels."""
    kernel: int = 3
    """Side, odd."""
    stride: int = 1
    groups: int = 1
    """Into which the channels fall; as many as channels is a depthwise convolution."""

    def __post_init__(self) -> None:
        for name in ("out", "kernel", "stride", "groups"):
            _check_whole("Conv", name, getattr(self, name))
        if self.kernel % 2 == 0:
            raise OptionError(f"Conv kernel is {self.kernel}; accepted is an odd number")
        if self.out % self.groups:
            raise OptionError(f"Conv groups is {self.groups} with {self.out} channels; accepted is what divides them")


@dataclass(frozen=True, slots=True)
class Norm:
    """Batch normalisation with a learned scale and shift."""


@dataclass(frozen=True, slots=True)
class Activation:
    """A function of each element."""

    kind: ActivationKind = "relu"

    def __post_init__(self) -> None:
        if self.kind not in get_args(ActivationKind):
            raise OptionError(f"Activation kind is {self.kind!r}; accepted are {', '.join(get_args(ActivationKind))}")


@dataclass(frozen=True, slots=True)
class Pool:
    """The average or the maximum over a window, of those of its elements that lie in the image."""

    kind: PoolKind = "average"
    kernel: int = 2
    """Side of the window: the stride, windows standing side by side; or else odd and centred."""
    stride: int = 2

    def __post_init__(self) -> None:
        if self.kind not in get_args(PoolKind):
            raise OptionError(f"Pool kind is {self.kind!r}; accepted are {', '.join(get_args(PoolKind))}")
        for name in ("kernel", "stride"):
            _check_whole("Pool", name, getattr(self, name))
        if self.kernel % 2 == 0 and self.kernel != self.stride:
            raise OptionError(f"Pool kernel is {self.kernel} with stride {self.stride}; accepted is an odd number or the stride")


@dataclass(frozen=True, slots=True)
class GlobalPool:
    """The average over all pixels: images of 1x1, on which a convolution of kernel 1 is a linear layer."""


@dataclass(frozen=True, slots=True)
class Shift:
    """The image one pixel up and to the left, zeros moving in."""


@dataclass(frozen=True, slots=True)
class Identity:
    """What comes in."""


@dataclass(frozen=True, slots=True)
class Zero:
    """Zeros of the shape that comes in."""


@dataclass(frozen=True, slots=True)
class Dropout:
    """In training, each element is zero at a rate, and else scaled so that the expectation stays."""

    rate: float

    def __post_init__(self) -> None:
        _check_rate("Dropout", self.rate, below_one=True)


@dataclass(frozen=True, slots=True)
class Chain:
    """Layers one after the other."""

    layers: tuple["Layer", ...]
    names: tuple[str, ...] = field(default=(), repr=False)
    """Of each layer, or none."""

    def __post_init__(self) -> None:
        _check_names("Chain", self.names, n=len(self.layers))


@dataclass(frozen=True, slots=True)
class Sum:
    """Paths from the same input, whose outputs are added."""

    paths: tuple["Layer", ...]
    names: tuple[str, ...] = field(default=(), repr=False)
    """Of each path, or none."""

    def __post_init__(self) -> None:
        _check_paths("Sum", self.paths, least=1)
        _check_names("Sum", self.names, n=len(self.paths))


@dataclass(frozen=True, slots=True)
class Concat:
    """Paths from the same input, whose channels stand one after the other."""

    paths: tuple["Layer", ...]
    names: tuple[str, ...] = field(default=(), repr=False)
    """Of each path, or none."""

    def __post_init__(self) -> None:
        _check_paths("Concat", self.paths, least=1)
        _check_names("Concat", self.names, n=len(self.paths))


@dataclass(frozen=True, slots=True)
class Graph:
    """A directed acyclic graph: node 0 is the input, every further node a sum, the last one the output."""

    nodes: tuple[tuple[tuple[int, "Layer"], ...], ...]
    """Of each node from node 1 on: from which earlier nodes, each through which layer."""
    names: tuple[str, ...] = field(default=(), repr=False)
    """Of each edge, in order of appearance, or none."""

    def __post_init__(self) -> None:
        _check_paths("Graph", self.nodes, least=1)
        _check_names("Graph", self.names, n=sum(map(len, self.nodes)))
        for number, edges in enumerate(self.nodes, start=1):
            _check_paths(f"Graph node {number}", edges, least=1)
            for source, _ in edges:
                if not 0 <= source < number:
                    raise OptionError(f"Graph node {number} takes from node {source}; accepted are earlier nodes, 0 to {number - 1}")


@dataclass(frozen=True, slots=True)
class Shake:
    """Paths from the same input under random weights per image, other ones in the gradient (Gastaldi 2017); at rest their mean."""

    paths: tuple["Layer", ...]
    names: tuple[str, ...] = field(default=(), repr=False)
    """Of each path, or none."""

    def __post_init__(self) -> None:
        _check_paths("Shake", self.paths, least=2)
        _check_names("Shake", self.names, n=len(self.paths))


@dataclass(frozen=True, slots=True)
class ShakeDrop:
    """A path that is disturbed at a rate (Yamada et al. 2018); at rest times its expectation, 1 - rate."""

    path: "Layer"
    rate: float

    def __post_init__(self) -> None:
        _check_rate("ShakeDrop", self.rate)


@dataclass(frozen=True, slots=True)
class DropPath:
    """A path that is zero for an image at a rate, and else scaled so that the expectation stays (Huang et al. 2016)."""

    path: "Layer"
    rate: float

    def __post_init__(self) -> None:
        _check_rate("DropPath", self.rate, below_one=True)


Layer: TypeAlias = (
    Conv
    | Norm
    | Activation
    | Pool
    | GlobalPool
    | Shift
    | Identity
    | Zero
    | Dropout
    | Chain
    | Sum
    | Concat
    | Graph
    | Shake
    | ShakeDrop
    | DropPath
)


def chain(*layers: Layer) -> Chain:
    """Layers one after the other."""
    return Chain(layers)


def named(layers: Mapping[str, Layer]) -> Chain:
    """Layers one after the other, by name."""
    return Chain(tuple(layers.values()), tuple(layers))


def conv_norm(out: int, kernel: int = 3, *, stride: int = 1, groups: int = 1) -> Chain:
    """A convolution and its normalisation."""
    return chain(Conv(out, kernel, stride, groups), Norm())


def _check_whole(layer: str, name: str, value: object) -> None:
    if type(value) is not int or value < 1:
        raise OptionError(f"{layer} {name} is {value!r}; accepted is a whole number from 1")


def _check_rate(layer: str, rate: float, *, below_one: bool = False) -> None:
    if not (0 <= rate < 1 or (rate == 1 and not below_one)):
        raise OptionError(f"{layer} rate is {rate!r}; accepted is a number from 0 {'and below' if below_one else 'to'} 1")


def _check_paths(layer: str, paths: tuple[object, ...], *, least: int) -> None:
    if not isinstance(paths, tuple) or len(paths) < least:
        raise OptionError(f"{layer} is of {paths!r}; accepted is a tuple of at least {least}")


def _check_names(layer: str, names: tuple[str, ...], *, n: int) -> None:
    said = [name for name in names if name]
    if names and (not isinstance(names, tuple) or len(names) != n or len(set(said)) < len(said)):
        raise OptionError(f"{layer} names are {names!r}; accepted are {n} names of which no two are the same, or none")
