"""Steps as functions, against torch's own optimizer, an ordinary network, and derivatives by hand."""

from itertools import pairwise

import pytest
import torch
from dha_fakes import material
from oneshot_fakes import CPU, SMALL, at_rest, bank, batch, copied, layers, noise, ordinary, same
from torch.nn import functional

from bohb_nas.layers import Graph, conv_norm
from bohb_nas.oneshot import steps
from bohb_nas.oneshot.chance import Chance
from bohb_nas.oneshot.supply import Supply
from bohb_nas.training.augment import augment
from bohb_nas.training.device import Compute
from bohb_nas.training.recipe import read

SHAPES = {"a": (4, 3, 3, 3), "b": (4,), "c": (5, 4)}


def drawn(seed: int) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {name: torch.randn(shape, generator=generator) for name, shape in SHAPES.items()}


@pytest.mark.parametrize("foreach", [None, True])
@pytest.mark.parametrize(("momentum", "weight_decay"), [(0.9, 5e-4), (0.9, 0.0), (0.0, 5e-4), (0.0, 0.0)])
def test_steps_are_those_of_torch(momentum: float, weight_decay: float, foreach: bool | None) -> None:
    weights, momenta = drawn(0), {name: torch.zeros(shape) for name, shape in SHAPES.items()}
    theirs = {name: torch.nn.Parameter(tensor.clone()) for name, tensor in weights.items()}
    optimizer = torch.optim.SGD(
        theirs.values(), lr=0.1, momentum=momentum, weight_decay=weight_decay, nesterov=momentum > 0, foreach=foreach
    )
    for step in range(5):
        slopes = drawn(step + 1)
        for name, parameter in theirs.items():
            parameter.grad = slopes[name].clone()
        for group in optimizer.param_groups:
            group["lr"] = rate = 0.1 / (step + 1)
        optimizer.step()
        before = [copied(tensors) for tensors in (weights, momenta, slopes)]
        after = steps.sgd(weights, momenta, slopes, rate=rate, momentum=momentum, weight_decay=weight_decay)
        assert all(same(tensors, kept) for tensors, kept in zip((weights, momenta, slopes), before, strict=True))
        weights, momenta = after
        assert same(weights, {name: parameter.detach() for name, parameter in theirs.items()})
    if momentum:
        assert same(momenta, {name: optimizer.state[parameter]["momentum_buffer"] for name, parameter in theirs.items()})
    else:
        assert not any(moved.any() for moved in momenta.values())


@pytest.mark.parametrize("norm", [0.5, 5.0, 500.0])
def test_gradients_are_clipped_as_torch_does_it(norm: float) -> None:
    slopes = drawn(0)
    theirs = [torch.nn.Parameter(torch.zeros_like(slope)) for slope in slopes.values()]
    for parameter, slope in zip(theirs, slopes.values(), strict=True):
        parameter.grad = slope.clone()
    torch.nn.utils.clip_grad_norm_(theirs, norm)
    found = steps.clipped(slopes, norm)
    assert [*found] == [*slopes]
    for mine, parameter in zip(found.values(), theirs, strict=True):
        torch.testing.assert_close(mine, parameter.grad)


@pytest.mark.parametrize("weight_decay", [0.01, 0.0])
def test_a_step_is_differentiated_by_its_rate_and_its_decay(weight_decay: float) -> None:
    rate, decay = (torch.tensor(value, dtype=torch.float64, requires_grad=True) for value in (0.1, weight_decay))
    w, m, g = ({"w": torch.tensor([value], dtype=torch.float64)} for value in (2.0, 3.0, 5.0))
    after, moved = steps.sgd(w, m, g, rate=rate, momentum=0.5, weight_decay=decay)
    d = 5 + weight_decay * 2
    assert moved["w"].item() == pytest.approx(0.5 * 3 + d)
    assert after["w"].item() == pytest.approx(2 - 0.1 * (d + 0.5 * (1.5 + d)))
    by_rate, by_decay = torch.autograd.grad(after["w"].sum(), (rate, decay))
    assert by_rate.item() == pytest.approx(-(d + 0.5 * (1.5 + d)))
    assert by_decay.item() == pytest.approx(-0.1 * (2 + 0.5 * 2))


def test_a_step_is_differentiated_by_what_it_starts_from() -> None:
    w, m, g = (torch.tensor([value], requires_grad=True) for value in (2.0, 3.0, 5.0))
    after, moved = steps.sgd({"w": w}, {"w": m}, {"w": g}, rate=0.1, momentum=0.5, weight_decay=0.2)
    slopes = [slope.item() for slope in torch.autograd.grad(after["w"].sum(), (w, m, g), retain_graph=True)]
    assert slopes == pytest.approx([1 - 0.1 * 1.5 * 0.2, -0.1 * 0.5 * 0.5, -0.1 * 1.5])
    assert torch.autograd.grad(moved["w"].sum(), m)[0].item() == 0.5


@pytest.mark.parametrize("family", SMALL)
def test_gradients_are_those_of_an_ordinary_network(family: str) -> None:
    candidate = bank().candidate(layers(SMALL[family]))
    x, targets = batch()
    rows, network = noise(candidate), ordinary(candidate)
    expected = functional.cross_entropy(network.train()(x, rows), targets, label_smoothing=0.1)
    expected.backward()  # type: ignore[no-untyped-call]
    weights, statistics = candidate.weights(), candidate.statistics()
    loss, losses, slopes, moved = steps.gradients(candidate.network, weights, statistics, x, targets, rows, CPU, label_smoothing=0.1)
    torch.testing.assert_close(loss, expected.detach())
    torch.testing.assert_close(losses.mean(), loss)
    assert losses.shape == (6,)
    assert not any(t.requires_grad for t in (loss, losses, *slopes.values(), *moved.values(), *weights.values()))
    for name, parameter in network.named_parameters():
        torch.testing.assert_close(slopes[name], parameter.grad, rtol=1e-5, atol=1e-6)


def test_what_leads_nowhere_has_a_gradient_of_zeros() -> None:
    dead_end = Graph((((0, conv_norm(3)),), ((0, conv_norm(3)),)))
    candidate = bank().candidate(dead_end)
    x, targets = batch()
    *_, slopes, _ = steps.gradients(
        candidate.network, candidate.weights(), candidate.statistics(), x, targets, None, CPU, label_smoothing=0.0
    )
    assert float(slopes["body.0.0.weight"].abs().sum()) == 0 < float(slopes["body.1.0.weight"].abs().sum())


def test_statistics_that_were_given_stay() -> None:
    candidate = bank().candidate(conv_norm(4))
    statistics = candidate.statistics()
    x, _ = batch()
    _, moved = steps.logits(candidate.network, candidate.weights(), statistics, x, None, CPU)
    assert statistics["body.1.running_mean"].tolist() == [0] * 4
    before = functional.conv2d(x, candidate.weights()["body.0.weight"], padding=1)
    torch.testing.assert_close(moved["body.1.running_mean"], 0.1 * before.mean((0, 2, 3)))
    torch.testing.assert_close(moved["body.1.running_var"], 0.9 + 0.1 * before.var((0, 2, 3)))


def test_images_are_normalised_by_the_statistics_of_their_batch() -> None:
    candidate = bank().candidate(layers(SMALL["wrn"]))
    weights, statistics = candidate.weights(), {name: tensor + 0.3 for name, tensor in candidate.statistics().items()}
    x, _ = batch()
    out, _ = steps.logits(candidate.network, weights, candidate.statistics(), x, None, CPU)
    assert not torch.allclose(out, at_rest(candidate.network, weights, statistics, x))
    assert torch.equal(out, steps.logits(candidate.network, weights, statistics, x, None, CPU)[0])


def test_logits_are_float32_in_any_precision() -> None:
    candidate = bank().candidate(conv_norm(4))
    x, _ = batch()
    half = Compute(device=torch.device("cpu"), precision="bf16")
    out, _ = steps.logits(candidate.network, candidate.weights(), candidate.statistics(), x, None, half)
    full, _ = steps.logits(candidate.network, candidate.weights(), candidate.statistics(), x, None, CPU)
    assert out.dtype == torch.float32
    assert 0 < float((out - full).abs().max()) < 0.1


def test_a_loss_after_a_step_is_differentiated_by_the_rate() -> None:
    candidate = bank().candidate(conv_norm(4))
    x, targets = batch()
    weights, statistics = ({name: t.double() for name, t in found.items()} for found in (candidate.weights(), candidate.statistics()))
    zeros = {name: torch.zeros_like(tensor) for name, tensor in weights.items()}
    *_, slopes, _ = steps.gradients(candidate.network, weights, statistics, x.double(), targets, None, CPU, label_smoothing=0.0)

    def loss_at(rate: torch.Tensor) -> torch.Tensor:
        after, _ = steps.sgd(weights, zeros, slopes, rate=rate, momentum=0.9, weight_decay=0.0)
        out, _ = steps.logits(candidate.network, after, statistics, x.double(), None, CPU)
        return functional.cross_entropy(out, targets)

    rate = torch.tensor(0.5, dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(loss_at(rate), rate)
    low, high = (float(loss_at(rate.detach() + step)) for step in (-0.02, 0.02))
    assert slope.item() == pytest.approx((high - low) / 0.04, rel=0.02)
    assert slope.item() < 0
    losses = [float(loss_at(torch.tensor(rate, dtype=torch.float64))) for rate in (0.0, 0.05, 0.1)]
    assert all(after < before for before, after in pairwise(losses)), "a step goes downhill"


def test_every_stream_of_a_batch_is_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a processor, too, where the streams of the device and of the host might be one: what is drawn for them would go together."""
    found, seeds = Supply(material(), Chance(0), batch_size=16), list[int]()

    def looked(*positions: object, generator: torch.Generator, host: torch.Generator, **named: object) -> object:
        seeds.extend((generator.initial_seed(), host.initial_seed()))
        return augment(*positions, generator=generator, host=host, **named)  # type: ignore[arg-type]

    monkeypatch.setattr("bohb_nas.oneshot.supply.augment", looked)
    for number in (3, 4):
        found.training(number, read({})[1])
    assert len(set(seeds)) == 4
