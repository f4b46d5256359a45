"""What a network costs, by arithmetic: parameters, FLOPs, elements written and kernels started, without building it."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, Self

from bohb_nas.errors import OptionError
from bohb_nas.layers import (
    Activation,
    Chain,
    Concat,
    Conv,
    Dropout,
    DropPath,
    GlobalPool,
    Graph,
    Identity,
    Layer,
    Norm,
    Pool,
    Shake,
    ShakeDrop,
    Shape,
    Shift,
    Sum,
    Zero,
)


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one image's forward pass in training."""

    params: int = 0
    """Trained numbers."""
    multiplications: int = 0
    """Of convolutions and linear layers."""
    activations: int = 0
    """Elements that layers write; a normalisation those of the activation that it does in passing, too."""
    kernels: int = 0
    """Operations started, each layer by itself but for an activation that a normalisation does in passing."""

    def __add__(self, other: Self) -> "Cost":
        return Cost(
            self.params + other.params,
            self.multiplications + other.multiplications,
            self.activations + other.activations,
            self.kernels + other.kernels,
        )


def size(network: Layer, *, image_shape: tuple[int, int, int] = (32, 32, 3), n_classes: int = 10) -> dict[str, float]:
    """What a network and its head cost for one image, forward.

    A FLOP is a multiplication or an addition; only convolutions and linear layers count, as is usual.

    Args:
        network: layers without the head.
        image_shape: height, width, channels.
        n_classes: outputs.

    Returns:
        {"params", "flops", "first_flops": of the convolutions that see the image itself, "activations": elements written,
        "kernels": operations started}

    Raises:
        OptionError: layers that do not fit each other, or costs beyond every float.
    """
    height, width, channels = image_shape
    cost, (features, _, _) = measure(network, (channels, height, width))
    cost += Cost((features + 1) * n_classes, features * n_classes, features + n_classes, 2)
    first = _first(network, (channels, height, width))[0]
    try:
        return {
            "params": float(cost.params),
            "flops": 2.0 * cost.multiplications,
            "first_flops": 2.0 * first,
            "activations": float(cost.activations),
            "kernels": float(cost.kernels),
        }
    except OverflowError as e:
        counted = f"about 10^{max(cost.params, cost.multiplications, cost.activations).bit_length() * math.log10(2):.0f}"
        raise OptionError(f"the network is too large to be measured: {counted} operations; accepted are smaller widths or depths") from e


def measure(layer: Layer, shape: Shape) -> tuple[Cost, Shape]:
    """The cost of a layer for images of a shape, and the shape of what it makes of them.

    Raises:
        OptionError: layers that do not fit each other.
    """
    channels, height, width = shape
    match layer:
        case Conv(out, kernel, stride, groups):
            if channels % groups:
                raise OptionError(f"Conv groups is {groups} for an input of {channels} channels; accepted is what divides them")
            after = (out, -(-height // stride), -(-width // stride))
            weights = kernel * kernel * (channels // groups) * out
            return Cost(weights, weights * after[1] * after[2], _elements(after), 1), after
        case Pool(_, _, stride):
            after = (channels, -(-height // stride), -(-width // stride))
            return Cost(0, 0, _elements(after), 1), after
        case GlobalPool():
            return Cost(0, 0, channels, 1), (channels, 1, 1)
        case Norm():
            return Cost(2 * channels, 0, _elements(shape), 1), shape
        case Activation() | Shift() | Zero():
            return Cost(0, 0, _elements(shape), 1), shape
        case Dropout():
            return Cost(0, 0, 2 * _elements(shape), 2), shape
        case Identity():
            return Cost(), shape
        case Chain(layers):
            return _measure_chain(layers, shape)
        case ShakeDrop(path, _) | DropPath(path, _):
            cost, after = measure(path, shape)
            return cost + Cost(0, 0, _elements(after), 1), after
        case Graph(nodes):
            return _measure_graph(nodes, shape)
        case Concat(paths):
            costs, shapes = _measure_paths(paths, shape)
            _check_same("Concat", [after[1:] for after in shapes])
            after = (sum(s[0] for s in shapes), *shapes[0][1:])
            return _total(costs) + Cost(0, 0, _elements(after), 1), after
        case Sum(paths) | Shake(paths):
            costs, shapes = _measure_paths(paths, shape)
            return _total(costs) + _added(type(layer).__name__, shapes, weighted=isinstance(layer, Shake)), shapes[0]


def _measure_chain(layers: tuple[Layer, ...], shape: Shape) -> tuple[Cost, Shape]:
    """Repeated blocks, of which most networks consist, are measured once; what a normalisation does in passing costs nothing."""
    cost, last, taken, measured = Cost(), None, shape, (Cost(), shape)
    for before, part in zip((None, *layers), layers, strict=False):
        if joined(part, before):
            continue
        if part is not last or shape != taken:
            last, taken, measured = part, shape, measure(part, shape)
        cost, shape = cost + measured[0], measured[1]
    return cost, shape


def joined(layer: Layer, before: Layer | None) -> Literal["relu", "relu6"] | None:
    """The activation that a layer of a chain is, if it is done together with the one before: one that cuts off, behind a normalisation.

    The normalisation may be the last layer of a chain itself.
    """
    while isinstance(before, Chain) and before.layers:
        before = before.layers[-1]
    match before, layer:
        case Norm(), Activation("relu" | "relu6" as kind):
            return kind
        case _:
            return None


def _measure_paths(paths: tuple[Layer, ...], shape: Shape) -> tuple[tuple[Cost, ...], tuple[Shape, ...]]:
    """The same path twice is measured once."""
    distinct = {id(path): path for path in paths}
    known = {key: measure(path, shape) for key, path in distinct.items()}
    return tuple(known[id(path)][0] for path in paths), tuple(known[id(path)][1] for path in paths)


def _first(layer: Layer, shape: Shape) -> tuple[int, bool]:
    """Multiplications of the convolutions behind which there is none, and whether every way through the layer passes one."""
    match layer:
        case Conv():
            return measure(layer, shape)[0].multiplications, True
        case Chain(layers):
            found = 0
            for part in layers:
                more, passed = _first(part, shape)
                found, shape = found + more, measure(part, shape)[1]
                if passed:
                    return found, True
            return found, False
        case Sum(paths) | Shake(paths) | Concat(paths):
            parts = [_first(path, shape) for path in paths]
            return sum(part for part, _ in parts), all(passed for _, passed in parts)
        case ShakeDrop(path, _) | DropPath(path, _):
            return _first(path, shape)
        case Graph(nodes):
            return _first_of_graph(nodes, shape)
        case _:
            return 0, False


def _first_of_graph(nodes: tuple[tuple[tuple[int, Layer], ...], ...], shape: Shape) -> tuple[int, bool]:
    """As `_first`; a node is reached where a way to it passes no convolution."""
    found, shapes, reached = 0, [shape], [True]
    for edges in nodes:
        parts = [_first(part, shapes[source]) for source, part in edges if reached[source]]
        found += sum(part for part, _ in parts)
        reached.append(not all(passed for _, passed in parts))
        source, part = edges[0]
        shapes.append(measure(part, shapes[source])[1])
    return found, not reached[-1]


def _measure_graph(nodes: tuple[tuple[tuple[int, Layer], ...], ...], shape: Shape) -> tuple[Cost, Shape]:
    shapes, cost = [shape], Cost()
    for number, edges in enumerate(nodes, start=1):
        costs, ends = zip(*(measure(layer, shapes[source]) for source, layer in edges), strict=True)
        cost = _total([cost, *costs]) + _added(f"Graph node {number}", ends, weighted=False)
        shapes.append(ends[0])
    return cost, shapes[-1]


def _added(name: str, shapes: tuple[Shape, ...], *, weighted: bool) -> Cost:
    """The cost of adding outputs, which must have one shape; weights are multiplied on the way."""
    _check_same(name, shapes)
    n = len(shapes) - (not weighted)
    return Cost(0, 0, n * _elements(shapes[0]), n)


def _total(costs: Iterable[Cost]) -> Cost:
    return sum(costs, Cost())


def _elements(shape: Shape) -> int:
    channels, height, width = shape
    return channels * height * width


def _check_same(name: str, shapes: Sequence[tuple[int, ...]]) -> None:
    if any(shape != shapes[0] for shape in shapes):
        listed = ", ".join("x".join(map(str, shape)) for shape in shapes)
        raise OptionError(f"the paths of a {name} end in {listed}; accepted are paths that end in one shape")
