"""The language of layers: what it refuses, what layers cost by hand, and what a drawing says."""

from collections.abc import Callable
from typing import Any

import pytest

from bohb_nas.errors import OptionError
from bohb_nas.layers import (
    Activation,
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
    Shift,
    Sum,
    Zero,
    chain,
    conv_norm,
)
from bohb_nas.layers.arithmetic import Cost, measure, size
from bohb_nas.layers.drawing import draw


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Conv(0), "Conv out is 0"),
        (lambda: Conv(16.0), "Conv out is 16.0"),  # type: ignore[arg-type]
        (lambda: Conv(16, 4), "Conv kernel is 4; accepted is an odd number"),
        (lambda: Conv(16, 3, 0), "Conv stride is 0"),
        (lambda: Conv(16, groups=3), "Conv groups is 3 with 16 channels"),
        (lambda: Activation("tanh"), "Activation kind is 'tanh'; accepted are relu, "),  # type: ignore[arg-type]
        (lambda: Pool("median"), "Pool kind is 'median'"),  # type: ignore[arg-type]
        (lambda: Pool("max", 2, 1), "Pool kernel is 2 with stride 1"),
        (lambda: Dropout(1.0), "Dropout rate is 1.0; accepted is a number from 0 and below 1"),
        (lambda: ShakeDrop(Identity(), 1.5), "ShakeDrop rate is 1.5; accepted is a number from 0 to 1"),
        (lambda: DropPath(Identity(), -0.1), "DropPath rate is -0.1"),
        (lambda: Sum(()), "Sum is of"),
        (lambda: Shake((Identity(),)), "Shake is of .*at least 2"),
        (lambda: Graph((((1, Identity()),),)), "Graph node 1 takes from node 1; accepted are earlier nodes, 0 to 0"),
    ],
)
def test_a_layer_that_cannot_be_is_refused(make: Callable[[], Any], said: str) -> None:
    with pytest.raises(OptionError, match=said):
        make()


@pytest.mark.parametrize(
    ("layer", "cost", "after"),
    [
        (Conv(6, 5, 2), Cost(5 * 5 * 4 * 6, 5 * 5 * 4 * 6 * 3 * 4, 6 * 3 * 4, 1), (6, 3, 4)),
        (Conv(8, 3, groups=4), Cost(9 * 8, 9 * 8 * 35, 8 * 35, 1), (8, 5, 7)),
        (Norm(), Cost(8, 0, 140, 1), (4, 5, 7)),
        (Activation(), Cost(0, 0, 140, 1), (4, 5, 7)),
        (Pool(), Cost(0, 0, 4 * 3 * 4, 1), (4, 3, 4)),
        (Pool("max", 3, 1), Cost(0, 0, 140, 1), (4, 5, 7)),
        (GlobalPool(), Cost(0, 0, 4, 1), (4, 1, 1)),
        (Identity(), Cost(), (4, 5, 7)),
        (chain(Conv(2, 1), Norm()), Cost(8 + 4, 8 * 35, 140, 2), (2, 5, 7)),
        (chain(Norm(), Activation(), Activation()), Cost(8, 0, 2 * 140, 2), (4, 5, 7)),  # the first is done by the normalisation
        (chain(Norm(), Activation("gelu")), Cost(8, 0, 2 * 140, 2), (4, 5, 7)),
        (chain(chain(Conv(2, 1), Norm()), Activation()), Cost(8 + 4, 8 * 35, 140, 2), (2, 5, 7)),
        (chain(chain(Norm(), Activation()), Activation()), Cost(8, 0, 2 * 140, 2), (4, 5, 7)),
        (chain(Activation("relu6"), Norm(), Activation("relu6")), Cost(8, 0, 2 * 140, 2), (4, 5, 7)),
        (Sum((Identity(), Shift(), Zero())), Cost(0, 0, 4 * 140, 4), (4, 5, 7)),
        (Concat((Conv(1, 1), Conv(2, 1))), Cost(12, 12 * 35, 6 * 35, 3), (3, 5, 7)),
        (Shake((Norm(), Norm())), Cost(16, 0, 4 * 140, 4), (4, 5, 7)),
        (ShakeDrop(Norm(), 0.5), Cost(8, 0, 280, 2), (4, 5, 7)),
        (Graph((((0, Norm()),), ((0, Identity()), (1, Norm())))), Cost(16, 0, 3 * 140, 3), (4, 5, 7)),
    ],
)
def test_what_a_layer_costs(layer: Layer, cost: Cost, after: tuple[int, int, int]) -> None:
    assert measure(layer, (4, 5, 7)) == (cost, after)


def test_the_head_counts() -> None:
    costs = size(Identity(), image_shape=(5, 7, 4), n_classes=3)
    assert costs == {"params": 15, "flops": 24, "first_flops": 0, "activations": 7, "kernels": 2}


@pytest.mark.parametrize(
    ("layer", "said"),
    [
        (Sum((Identity(), Conv(8))), "paths of a Sum end in 4x5x7, 8x5x7"),
        (Concat((Identity(), Pool())), "paths of a Concat end in 5x7, 3x4"),
        (Graph((((0, Conv(8)), (0, Conv(4))),)), "paths of a Graph node 1 end in 8x5x7, 4x5x7"),
        (Conv(6, groups=3), "groups is 3 for an input of 4 channels"),
    ],
)
def test_layers_that_do_not_fit_each_other_are_refused(layer: Layer, said: str) -> None:
    with pytest.raises(OptionError, match=said):
        measure(layer, (4, 5, 7))


def test_a_drawing_has_every_layer_with_its_shape() -> None:
    network = chain(
        conv_norm(8, stride=2),
        Sum((Identity(), ShakeDrop(Norm(), 0.25))),
        Graph((((0, Conv(2, 1)),), ((0, Conv(2, 1)), (1, Pool("max", 3, 1))))),
    )
    drawn = draw(network, (3, 9, 9))
    stem, residual, graph = drawn["layers"]
    assert (drawn["layer"], drawn["shape"], drawn["params"]) == ("chain", [2, 5, 5], 216 + 16 + 16 + 32)
    assert stem["layers"][0] == {"layer": "conv", "shape": [8, 5, 5], "params": 216, "out": 8, "kernel": 3, "stride": 2, "groups": 1}
    assert residual["paths"][1] == {
        "layer": "shakedrop",
        "shape": [8, 5, 5],
        "params": 16,
        "rate": 0.25,
        "path": {"layer": "norm", "shape": [8, 5, 5], "params": 16},
    }
    assert [[edge["source"] for edge in node] for node in graph["nodes"]] == [[0], [0, 1]]
    pool = {"layer": "pool", "shape": [2, 5, 5], "params": 0, "kind": "max", "kernel": 3, "stride": 1}
    assert graph["nodes"][1][1] == {"source": 1, **pool}
