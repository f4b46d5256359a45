"""Muon against torch's own where that takes the weights, against numpy's singular values, and against itself in other layouts."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch
import training_fakes as fakes
from torch import Tensor, nn

from bohb_nas.training.data import Batches
from bohb_nas.training.learner import Learner, Streams
from bohb_nas.training.muon import REST, Hidden, Muon, hidden, orthogonal
from bohb_nas.training.networks import Form, Network, merge
from bohb_nas.training.recipe import read

SHAPES = ((4, 4), (6, 10), (10, 6), (6, 10), (2, 30), (80, 70))
"""Squares, wide and tall ones, two of one shape, and one that is multiplied in bf16 where the hardware can."""


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def muon(weights: Sequence[Tensor], *, n_maps: int = 1, rate: float = 0.1, momentum: float = 0.0, weight_decay: float = 0.0) -> Muon:
    chosen = [Hidden(weight, n_maps) for weight in weights]
    return Muon(weights, chosen, lr=torch.tensor(rate), momentum=momentum, weight_decay=weight_decay)


def moved(weight: Tensor, gradient: Tensor, *, n_maps: int = 1) -> Tensor:
    """What one step of rate 1 without momentum and decay takes off."""
    parameter = nn.Parameter(weight.clone())
    parameter.grad = gradient
    muon([parameter], n_maps=n_maps, rate=1.0).step()
    return weight - parameter.detach()


def relative(found: Tensor, expected: Tensor) -> float:
    return float((found.detach() - expected.detach()).norm() / expected.detach().norm())


@pytest.mark.skipif(not hasattr(torch.optim, "Muon"), reason="this torch has no Muon of its own")
def test_matrices_move_as_under_the_muon_of_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.Tensor, "bfloat16", torch.Tensor.clone)  # torch multiplies in bf16 everywhere, which hides small mistakes
    starts = [0.3 * drawn(*shape, seed=i) for i, shape in enumerate(SHAPES)]
    ours, theirs = ([nn.Parameter(weight.clone()) for weight in starts] for _ in range(2))
    made = muon(ours, rate=0.02, momentum=0.9, weight_decay=0.1)
    judge = torch.optim.Muon(theirs, lr=0.02, momentum=0.9, weight_decay=0.1)
    for step in range(3):
        for i, (a, b) in enumerate(zip(ours, theirs, strict=True)):
            a.grad = drawn(*a.shape, seed=100 * step + i)
            b.grad = a.grad.clone()
        made.step()
        judge.step()  # type: ignore[no-untyped-call]
    for a, b, start in zip(ours, theirs, starts, strict=True):
        assert relative(a - start, b - start) < (1e-4 if min(a.shape) < 64 else 0.03)


def test_singular_values_end_where_the_polynomial_takes_them() -> None:
    matrix = drawn(5, 8)
    u, values, v = np.linalg.svd(matrix.double().numpy(), full_matrices=False)
    values = values / np.sqrt((values**2).sum())
    for _ in range(5):
        values = 3.4445 * values - 4.7750 * values**3 + 2.0315 * values**5
    assert values.min() > 0.6
    assert values.max() < 1.25
    found = orthogonal((matrix / matrix.norm())[None])[0]
    np.testing.assert_allclose(found, u @ np.diag(values) @ v, atol=1e-4)
    np.testing.assert_allclose(moved(drawn(5, 8, seed=1), matrix), u @ np.diag(values) @ v, atol=1e-4)
    np.testing.assert_allclose(moved(drawn(8, 5, seed=1), matrix.T), (u @ np.diag(values) @ v).T * np.sqrt(8 / 5), atol=1e-4)


def test_filters_are_matrices_of_all_their_inputs() -> None:
    gradient, start = drawn(4, 3, 3, 3), drawn(4, 3, 3, 3, seed=1)
    flat = moved(start.flatten(1), gradient.flatten(1))
    torch.testing.assert_close(moved(start, gradient), flat.view_as(start))
    last = torch.channels_last
    found = moved(start.to(memory_format=last), gradient.to(memory_format=last))
    torch.testing.assert_close(found, flat.view_as(start), rtol=1e-4, atol=1e-5)
    found = moved(start.to(memory_format=last), gradient)
    torch.testing.assert_close(found, flat.view_as(start), rtol=1e-4, atol=1e-5)


def test_every_group_of_a_convolution_is_a_matrix_by_itself() -> None:
    gradient, start = drawn(6, 2, 3, 3), drawn(6, 2, 3, 3, seed=1)
    parts = [moved(part, own) for part, own in zip(start.chunk(3), gradient.chunk(3), strict=True)]
    torch.testing.assert_close(moved(start, gradient, n_maps=3), torch.cat(parts))


def test_the_rate_is_read_from_its_tensor_in_every_step() -> None:
    weight, bias = nn.Parameter(drawn(3, 4)), nn.Parameter(drawn(3, seed=1))
    rate = torch.tensor(0.0)
    made = Muon([weight, bias], [Hidden(weight)], lr=rate, momentum=0.5, weight_decay=0.1)
    before = [weight.detach().clone(), bias.detach().clone()]
    gradients = drawn(3, 4, seed=2), drawn(3, seed=3)
    weight.grad, bias.grad = gradients
    made.step()
    assert torch.equal(weight, before[0])
    assert torch.equal(bias, before[1])
    rate.fill_(0.1)
    made.step()
    # twice the same gradient: AdamW's corrected means are the gradient and its square, so its step is the sign
    expected = before[1] * (1 - 0.1 * REST * 0.1) - 0.1 * REST * gradients[1].sign()
    torch.testing.assert_close(bias.detach(), expected)
    torch.testing.assert_close(weight.detach(), before[0] * (1 - 0.1 * 0.1) - 0.1 * moved(before[0], gradients[0]))


def test_a_gradient_of_zeros_or_none_only_decays() -> None:
    weights = [nn.Parameter(drawn(3, 4)), nn.Parameter(drawn(3, 4, seed=1))]
    weights[0].grad = torch.zeros(3, 4)
    before = [weight.detach().clone() for weight in weights]
    muon(weights, rate=0.5, momentum=0.9, weight_decay=0.2).step()
    for weight, was in zip(weights, before, strict=True):
        torch.testing.assert_close(weight.detach(), 0.9 * was)


def test_momentum_and_decay_are_those_of_the_configuration() -> None:
    """The gradient's first share of an average with momentum 0.8 is 0.2; decay takes its share of a weight, whatever else moves it."""
    decays, kept = (0.0, 0.3), list[Tensor]()
    one, other = (fakes.learner(optimizer="muon", muon_one_minus_momentum=0.2, muon_weight_decay=decay) for decay in decays)
    before = [parameter.detach().clone() for parameter in one.network.parameters()]
    chosen = hidden(one.network)[0].weight
    one.optimizer.register_step_pre_hook(lambda *_: kept.append(chosen.grad.clone()) if chosen.grad is not None else None)
    for learner in (one, other):
        learner.step(torch.arange(16), 0.1)
    torch.testing.assert_close(one.optimizer.state[chosen]["momentum_buffer"], 0.2 * kept[0])
    shares = [REST if "momentum_buffer" not in one.optimizer.state[parameter] else 1.0 for parameter in one.network.parameters()]
    assert set(shares) == {REST, 1.0}
    for a, b, was, share in zip(one.network.parameters(), other.network.parameters(), before, shares, strict=True):
        torch.testing.assert_close((a - b).detach(), 0.3 * 0.1 * share * was, rtol=1e-4, atol=1e-6)


def test_a_layout_that_is_not_dense_is_refused() -> None:
    with pytest.raises(ValueError, match=r"strides \(1, 3\); accepted"):
        muon([nn.Parameter(drawn(3, 4).t().contiguous().t())])


def test_hidden_weights_are_neither_the_first_nor_the_last_nor_depthwise() -> None:
    network = nn.Sequential(
        nn.Conv2d(3, 8, 3),
        nn.BatchNorm2d(8),
        nn.Conv2d(8, 8, 3, groups=8),
        nn.Conv2d(8, 16, 1),
        nn.Conv2d(16, 16, 3, groups=4),
        nn.Conv2d(16, 4, 3, groups=4),
        nn.Conv2d(4, 16, 3, groups=4),
        nn.Linear(16, 12),
        nn.Linear(12, 10),
    )
    found = [(weight.shape, n_maps) for weight, n_maps in hidden(network)]
    assert found == [((16, 8, 1, 1), 1), ((16, 4, 3, 3), 4), ((12, 16), 1)]


def test_of_the_mobile_family_it_takes_what_mixes_channels() -> None:
    network = Network(
        read({"family": "mobile", "mobile_blocks_1": 1})[0], image_shape=(8, 8, 1), n_classes=3, generator=torch.Generator().manual_seed(0)
    )
    chosen = [weight for weight, _ in hidden(network)]
    assert chosen
    assert all(weight.shape[2:] == (1, 1) for weight in chosen)


@pytest.mark.parametrize("form", ["merged", "grouped"])
def test_paths_that_are_computed_together_move_as_they_do_apart(form: Form) -> None:
    layers, recipe = read({**fakes.TINY, "res_branches_1": 2, "res_branches_2": 3, "optimizer": "muon"})
    states = []
    for one in ("apart", form):
        data, generator = fakes.data(), torch.Generator().manual_seed(0)
        network = merge(Network(layers, image_shape=data.image_shape, n_classes=3, generator=generator), one)
        learner = Learner(network, recipe, data=data, compute=fakes.CPU, streams=Streams.seeded(0, fakes.CPU.device))
        positions = Batches(data.train, 16, learner.streams.order)
        for _ in range(2):
            learner.step(next(positions), 0.02)
        states.append(network.state_dict())
    assert states[0].keys() == states[1].keys()
    for name, tensor in states[0].items():
        torch.testing.assert_close(tensor, states[1][name], rtol=1e-3, atol=1e-3, msg=name)


@pytest.mark.gpu
def test_a_recorded_step_on_a_gpu_is_the_step_of_a_cpu() -> None:
    shapes = ((16, 16, 3, 3), (32, 16, 1, 1), (16, 32, 1, 1), (16, 16, 3, 3), (32, 4, 3, 3), (16,))
    ends = []
    for device in ("cpu", "cuda"):
        weights = [nn.Parameter(drawn(*shape, seed=i).to(device)) for i, shape in enumerate(shapes)]
        for weight in weights[:-1]:
            weight.data = weight.data.contiguous(memory_format=torch.channels_last)
        rate = torch.tensor(0.0, device=device)
        made = Muon(weights, [Hidden(weight, 1 + (len(weight) == 32)) for weight in weights[:-1]], lr=rate)
        for i, weight in enumerate(weights):
            weight.grad = drawn(*weight.shape, seed=10 + i).to(device).contiguous(memory_format=weight_format(weight))
        made.step()
        if device == "cuda":
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph):
                made.step()
        rate.fill_(0.1)
        for _ in range(2):
            if device == "cuda":
                graph.replay()
            else:
                made.step()
        ends.append([weight.detach().cpu() - drawn(*weight.shape, seed=i) for i, weight in enumerate(weights)])
    for found, expected in zip(ends[1], ends[0], strict=True):
        assert relative(found, expected) < 0.05, found.shape


def weight_format(weight: Tensor) -> torch.memory_format:
    return torch.channels_last if weight.dim() == 4 else torch.contiguous_format
