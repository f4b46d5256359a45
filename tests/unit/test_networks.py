"""Networks of torch against the arithmetic, the formulas of the papers, and the network that came before the layers."""

import itertools
from collections.abc import Mapping
from typing import get_args

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from bohb_nas import networks
from bohb_nas.layers import (
    Activation,
    ActivationKind,
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
from bohb_nas.layers.arithmetic import measure, size
from bohb_nas.records import Value
from bohb_nas.training.networks import Network

BRANCH = chain(Conv(4), Norm(), Activation(), Conv(4), Norm())


def built(layers: Layer, *, image_shape: tuple[int, int, int] = (8, 8, 4), n_classes: int = 5, seed: int = 0) -> Network:
    return Network(layers, image_shape=image_shape, n_classes=n_classes, generator=torch.Generator().manual_seed(seed))


def images(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


BEFORE: list[tuple[Mapping[str, Value], list[list[float]], list[list[float]], float]] = [
    (
        {f"nr_residual_blocks_{g}": n for g, n in zip((1, 2, 3), (1, 2, 1), strict=True)}
        | {f"res_branches_{g}": n for g, n in zip((1, 2, 3), (3, 1, 2), strict=True)}
        | {f"widen_factor_{g}": w for g, w in zip((1, 2, 3), (1.3, 1.7, 0.6), strict=True)}
        | {"initial_filters": 5, "death_rate": 0.4},
        [[-0.00696, -0.15374, -0.0796], [0.1249, -0.0738, 0.17216], [0.09038, -0.09956, 0.16317]],
        [[0.34867, 0.24037, -0.13297], [0.31548, 0.16782, -0.02357], [0.31353, 0.13215, -0.02812]],
        82.90311,
    ),
    (
        {f"nr_residual_blocks_{g}": n for g, n in zip((1, 2, 3), (2, 1, 1), strict=True)}
        | {f"res_branches_{g}": n for g, n in zip((1, 2, 3), (1, 2, 1), strict=True)}
        | {"initial_filters": 8, "widen_factor_1": 1.0, "death_rate": 0.8},
        [[0.08832, -0.08989, -0.03683], [0.03524, 0.00786, 0.11304], [0.15526, -0.05256, 0.02379]],
        [[0.09572, 0.02973, 0.06016], [0.04684, 0.04055, 0.05851], [0.01885, 0.00542, 0.0417]],
        137.41008,
    ),
]
"""Configurations, and what the class that had this network before the layers made of them: logits of a training step, logits at rest
after it, and the sum of the absolute gradients of the squared logits."""


@pytest.mark.parametrize(("config", "training", "at_rest", "gradient"), BEFORE)
def test_the_multi_branch_network_is_what_it_was(
    config: Mapping[str, Value], training: list[list[float]], at_rest: list[list[float]], gradient: float
) -> None:
    network = built(networks.network(config), image_shape=(9, 9, 2), n_classes=3, seed=7)
    generator = torch.Generator().manual_seed(8)
    x = torch.rand(3, 2, 9, 9, generator=generator)
    out = network.train()(x, network.noise(3, generator))
    out.square().sum().backward()
    np.testing.assert_allclose(out.detach(), training, atol=2e-5)
    assert sum(float(p.grad.abs().sum()) for p in network.parameters() if p.grad is not None) == pytest.approx(gradient, rel=1e-5)
    with torch.no_grad():
        np.testing.assert_allclose(network.eval()(x), at_rest, atol=2e-5)


EVERY = chain(
    conv_norm(8, stride=2),
    Sum((Identity(), chain(Activation("hardswish"), Conv(16, 1), Conv(16, 5, groups=16), Activation("silu"), Conv(8, 1), Zero()))),
    Graph((((0, Pool("max", 3, 1)),), ((0, DropPath(Conv(8), 0.2)), (1, Shift())))),
    Concat((Conv(3, 1, 2), chain(Pool(), Dropout(0.3), Conv(5, 3)))),
    Sum((Identity(), Shake((Conv(8), chain(Norm(), Activation("relu6")))))),
    Sum((Identity(), ShakeDrop(conv_norm(8), 0.5))),
    GlobalPool(),
    Conv(6, 1),
)
"""Each kind of layer at least once."""


@pytest.mark.parametrize("image_shape", [(1, 1, 1), (2, 3, 1), (8, 8, 1), (13, 32, 3)])
def test_the_arithmetic_is_that_of_the_built_network(image_shape: tuple[int, int, int]) -> None:
    height, width, channels = image_shape
    network = built(EVERY, image_shape=image_shape, n_classes=7).eval()
    costs = size(EVERY, image_shape=image_shape, n_classes=7)
    assert sum(p.numel() for p in network.parameters()) == costs["params"]
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(torch.zeros(1, channels, height, width))
    assert counter.get_total_flops() == costs["flops"]


@pytest.mark.parametrize("sides", [(1, 1), (1, 2), (3, 5), (8, 8)])
@pytest.mark.parametrize(
    "layer",
    [Conv(4, k, s) for k in (1, 3, 7) for s in (1, 2, 3)]
    + [Pool(p, k, s) for p in ("average", "max") for k, s in ((2, 2), (3, 1), (3, 2), (4, 4))]
    + [Shift()],
)
def test_any_stride_fits_any_image(layer: Layer, sides: tuple[int, int]) -> None:
    body = built(layer, image_shape=(*sides, 4)).body
    assert body(images(2, 4, *sides)).shape == (2, *measure(layer, (4, *sides))[1])


@pytest.mark.parametrize(("stride", "sides"), [(2, (4, 1)), (3, (4, 2)), (2, (1, 1)), (2, (1, 4)), (4, (2, 3))])
@pytest.mark.parametrize("groups", [1, 16])
def test_a_stride_beyond_the_image_leaves_the_gradient_in_bf16_what_it_is(stride: int, sides: tuple[int, int], groups: int) -> None:
    convolution = built(Conv(32, 3, stride, groups), image_shape=(*sides, 16)).to(memory_format=torch.channels_last).body
    weight = convolution.weight
    assert isinstance(weight, torch.Tensor)
    x, exact = images(8, 16, *sides), weight.detach().double().requires_grad_()
    expected = functional.conv2d(x.double(), exact, stride=stride, padding=1, groups=groups)
    (slope,) = torch.autograd.grad(expected.square().sum(), exact)
    for _ in range(4):
        rubbish = [torch.full_like(weight, 1e20) for _ in range(4)]  # what memory may hold before it is written to
        del rubbish
        with torch.autocast("cpu", dtype=torch.bfloat16):
            out = convolution(x)
        (found,) = torch.autograd.grad(out.float().square().sum(), weight)
        torch.testing.assert_close(out.double(), expected, rtol=0.05, atol=0.1)
        torch.testing.assert_close(found.double(), slope, rtol=0.05, atol=0.02 * float(slope.abs().max()))


def test_an_average_is_of_what_lies_in_the_image() -> None:
    ones = torch.ones(1, 4, 5, 5)
    for kernel, stride in ((2, 2), (3, 1), (3, 2), (4, 4)):
        assert (built(Pool("average", kernel, stride), image_shape=(5, 5, 4)).body(ones) == 1).all()


def test_shake_averages_its_paths_without_noise() -> None:
    shake = built(Shake((BRANCH,) * 3)).eval().body
    assert isinstance(shake, nn.ModuleList)
    x = images(2, 4, 8, 8)
    torch.testing.assert_close(shake(x), torch.stack([path(x) for path in shake]).mean(0))


@pytest.mark.parametrize(
    "layer", [Shake((BRANCH,) * 2), Shake((BRANCH,) * 3), ShakeDrop(BRANCH, 0.4), DropPath(BRANCH, 0.3), chain(BRANCH, Dropout(0.3))]
)
def test_noise_leaves_the_expectation(layer: Layer) -> None:
    body = built(layer, image_shape=(4, 4, 4)).eval().body
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(1, 4, 4, 4, generator=generator)
    with torch.no_grad():
        outs = torch.stack([body(x, torch.rand(int(body.noise_rows), 1, generator=generator)) for _ in range(1000)])  # type: ignore[arg-type]
        error = (outs.mean(0) - body(x)) / (outs.std(0) / 1000**0.5 + 1e-6)
    assert error.abs().max() < 5


def test_backward_weights_are_drawn_apart_from_forward_weights() -> None:
    shake = built(Shake((BRANCH,) * 2)).eval().body
    assert isinstance(shake, nn.ModuleList)
    x = images(2, 4, 8, 8)
    noise = torch.tensor([[0.1, 0.9], [0.7, 0.3], [0.8, 0.2], [0.4, 0.6]])
    outs: list[torch.Tensor] = []

    def keep(_module: object, _inputs: object, out: torch.Tensor) -> None:
        out.retain_grad()
        outs.append(out)

    for path in shake:
        path.register_forward_hook(keep)
    out = shake(x, noise)
    forward, backward = noise[:2].softmax(0)[..., None, None, None], noise[2:].softmax(0)[..., None, None, None]
    torch.testing.assert_close(out, forward[0] * outs[0] + forward[1] * outs[1])
    out.sum().backward()
    for path_out, weight in zip(outs, backward, strict=True):
        torch.testing.assert_close(path_out.grad, weight.expand(2, 4, 8, 8))


@pytest.mark.parametrize(("gate", "factor"), [(0.6, 1.0), (0.3, 2 * 0.25 - 1)])
def test_shake_drop_has_one_gate_for_the_whole_batch(gate: float, factor: float) -> None:
    body = built(ShakeDrop(Norm(), 0.5)).eval().body
    x = images(2, 4, 8, 8)
    noise = torch.tensor([[gate, 0.99], [0.25, 0.25], [0.5, 0.5]])
    torch.testing.assert_close(body(x, noise), factor * body(x) * 2)


def test_a_dropped_path_is_dropped_for_an_image() -> None:
    body = built(DropPath(Identity(), 0.25)).body
    x = images(2, 4, 8, 8)
    torch.testing.assert_close(body(x, torch.tensor([[0.2, 0.3]])), torch.stack([0 * x[0], x[1] / 0.75]))


def test_dropout_needs_a_number_for_each_element() -> None:
    network = built(Dropout(0.5), image_shape=(2, 2, 3))
    noise = network.noise(4, torch.Generator().manual_seed(0))
    assert noise.shape == (2 * 2 * 3, 4)
    out = network.body(torch.ones(4, 3, 2, 2), noise)
    assert sorted(out.unique().tolist()) == [0.0, 2.0]
    assert int((out == 0).sum()) == int((noise < 0.5).sum())


def test_dropout_keeps_the_layout() -> None:
    dropout = built(Dropout(0.5), image_shape=(6, 5, 4)).body
    noise = torch.rand(120, 3, generator=torch.Generator().manual_seed(0))
    for layout in (torch.contiguous_format, torch.channels_last):
        out = dropout(torch.ones(3, 4, 6, 5).to(memory_format=layout), noise)
        assert out.is_contiguous(memory_format=layout)
        assert int((out == 0).sum()) == int((noise < 0.5).sum())


def test_nested_noise_belongs_to_the_layer_that_it_is_for() -> None:
    nested = Sum((DropPath(Identity(), 0.5), chain(Identity(), DropPath(Shake((Identity(), Zero())), 0.5))))
    body = built(nested).body
    x = images(1, 4, 8, 8)
    first, second, *weights = torch.rand(6, generator=torch.Generator().manual_seed(1)).tolist()
    share = float(torch.tensor(weights[:2]).softmax(0)[0])
    factor = 2 * (first >= 0.5) + 2 * (second >= 0.5) * share
    torch.testing.assert_close(body(x, torch.tensor([first, second, *weights])[:, None]), factor * x)


def test_a_graph_adds_what_its_edges_bring() -> None:
    graph = Graph((((0, Shift()),), ((0, Identity()), (1, Identity())), ((1, Activation()), (2, Activation()))))
    x = images(2, 4, 8, 8)
    shifted = functional.pad(x, (0, 1, 0, 1))[:, :, 1:, 1:]
    torch.testing.assert_close(built(graph).body(x), shifted.relu() + (x + shifted).relu())


def test_zeros_leave_a_gradient_of_zeros() -> None:
    network = built(chain(Conv(3), Zero()))
    network(images(2, 4, 8, 8)).sum().backward()
    assert all(p.grad is not None for p in network.parameters())
    assert float(next(network.parameters()).grad.abs().sum()) == 0  # type: ignore[union-attr]


def test_statistics_move_once_a_step() -> None:
    network = built(chain(conv_norm(4), Shake((BRANCH,) * 2))).train()
    network(images(4, 4, 8, 8), network.noise(4, torch.Generator()))
    assert {int(count) for name, count in network.state_dict().items() if name.endswith("num_batches_tracked")} == {1}


def test_what_comes_in_is_left_as_it_is() -> None:
    for kind in get_args(ActivationKind):
        x = images(1, 4, 8, 8)
        built(chain(Identity(), Activation(kind))).body(x)
        assert torch.equal(x, images(1, 4, 8, 8))


def test_initial_weights_have_the_published_deviation_and_belong_to_the_seed() -> None:
    layers = chain(Conv(64), Conv(64, 5, groups=64))
    full, depthwise = (p.detach() for p in built(layers).body.parameters())
    assert float(full.std()) == pytest.approx((2 / (3 * 3 * 64)) ** 0.5, rel=0.1)
    assert float(depthwise.std()) == pytest.approx((2 / 25) ** 0.5, rel=0.1)
    states = [list(built(layers, seed=seed).state_dict().values()) for seed in (0, 0, 1)]
    assert all(torch.equal(a, b) for a, b in itertools.zip_longest(states[0], states[1]))
    assert not torch.equal(states[0][0], states[2][0])
