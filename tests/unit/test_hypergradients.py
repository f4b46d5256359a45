"""Hypergradients are the derivatives of the validation loss after a real step of torch's SGD; what follows them stays in its bounds."""

import copy
import json
import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from bohb_nas.errors import OptionError
from bohb_nas.oneshot.hypergradients import Bounded, disjoint, enough, held_out

RATE, DECAY = 0.05, 0.02


def mlp() -> nn.Module:
    return nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Linear(8, 3)).double()


def convnet() -> nn.Module:
    return nn.Sequential(nn.Unflatten(1, (1, 1, 5)), nn.Conv2d(1, 4, (1, 3)), nn.SiLU(), nn.Flatten(), nn.Linear(12, 3)).double()


def batches(n: int) -> list[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(3)
    draw = [torch.randn(16, 5, generator=generator, dtype=torch.float64) for _ in range(n)]
    return [(x, torch.randint(3, (16,), generator=generator)) for x in draw]


def loss(network: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
    return functional.cross_entropy(network(batch[0]), batch[1])


def gradient(network: nn.Module, batch: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
    names, weights = zip(*network.named_parameters(), strict=True)
    return dict(zip(names, torch.autograd.grad(loss(network, batch), weights), strict=True))


def optimizer(network: nn.Module, rate: float, decay: float, momentum: float) -> torch.optim.SGD:
    return torch.optim.SGD(network.parameters(), lr=rate, weight_decay=decay, momentum=momentum, nesterov=momentum > 0)


def advance(network: nn.Module, opt: torch.optim.SGD, batch: tuple[Tensor, Tensor]) -> None:
    opt.zero_grad()
    loss(network, batch).backward()  # type: ignore[no-untyped-call]
    opt.step()


@pytest.mark.parametrize("make", [mlp, convnet])
@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_they_are_those_of_finite_differences(make: Callable[[], nn.Module], momentum: float) -> None:
    torch.manual_seed(0)
    network, valid = make(), batches(7)[-1]
    opt = optimizer(network, RATE, DECAY, momentum)
    for batch in batches(6):

        def after(rate: float, decay: float, batch: tuple[Tensor, Tensor] = batch) -> float:
            """The validation loss after the same step with other numbers."""
            other = copy.deepcopy(network)
            again = optimizer(other, rate, decay, momentum)
            again.load_state_dict({**copy.deepcopy(opt.state_dict()), "param_groups": again.state_dict()["param_groups"]})
            advance(other, again, batch)
            return loss(other, valid).item()

        by_rate = (after(RATE + 1e-5, DECAY) - after(RATE - 1e-5, DECAY)) / 2e-5
        by_decay = (after(RATE, DECAY + 1e-4) - after(RATE, DECAY - 1e-4)) / 2e-4
        before = {name: weight.detach().clone() for name, weight in network.named_parameters()}
        trained = gradient(network, batch)
        advance(network, opt, batch)
        momenta = {n: opt.state[w]["momentum_buffer"].clone() for n, w in network.named_parameters()} if momentum else {}
        found = held_out(
            gradient(network, valid),
            trained,
            before,
            momenta,
            rate=RATE,
            weight_decay=DECAY,
            momentum=momentum,
        )
        assert found == pytest.approx((by_rate, by_decay), rel=1e-5)


def test_a_step_changes_the_logarithm_by_the_rate_at_most() -> None:
    number = Bounded(0.1, low=1e-4, high=10, rate=0.02)
    largest = 0.0
    for i in range(500):
        before = number.value
        number.step(math.sin(i) * 10 ** (i % 7))
        largest = max(largest, abs(math.log(number.value / before)))
    assert largest == pytest.approx(0.02)


def test_the_scale_of_the_gradients_is_no_matter() -> None:
    a, b = (Bounded(0.1, low=1e-4, high=10, rate=0.02) for _ in range(2))
    for i in range(100):
        a.step(math.sin(i) + 0.3)
        b.step(1e6 * (math.sin(i) + 0.3))
    assert a.value == pytest.approx(b.value)
    assert a.value < 0.1


def test_two_steps_by_hand() -> None:
    """Slopes by the logarithm of 0.5 x 4 = 2 and 1; Adam's mean of squares is (0.99 x 4 + 1) / 1.99 after both."""
    number = Bounded(0.5, low=1e-4, high=10, rate=0.1)
    number.step(4.0)
    assert number.value == pytest.approx(0.5 * math.exp(-0.1))
    number.step(1 / number.value)
    assert number.value == pytest.approx(0.5 * math.exp(-0.1 - 0.1 / math.sqrt(4.96 / 1.99)))


def test_it_finds_the_smallest_loss() -> None:
    """Of (log v - log 0.03)^2, whose derivative by v is 2 (log v - log 0.03) / v."""
    number = Bounded(0.5, low=1e-4, high=1, rate=0.02)
    for _ in range(2000):
        number.step(2 * math.log(number.value / 0.03) / number.value)
    assert number.value == pytest.approx(0.03, rel=0.02)


def test_steps_at_the_bounds_are_counted() -> None:
    number = Bounded(0.1, low=0.1 * math.exp(-0.25), high=0.1 * math.exp(0.15), rate=0.1)
    for _ in range(5):
        number.step(1.0)
    assert (number.value, number.at_low, number.at_high) == (0.1 * math.exp(-0.25), 3, 0)
    for _ in range(5):
        number.step(-1e9)
    assert (number.value, number.at_low, number.at_high) == (0.1 * math.exp(0.15), 3, 2)


def test_without_a_rate_or_a_gradient_nothing_moves() -> None:
    still, level = Bounded(0.1, low=0.01, high=1, rate=0), Bounded(0.1, low=0.01, high=1, rate=0.1)
    still.step(5.0)
    level.step(0.0)
    assert still.value == level.value == 0.1


@pytest.mark.parametrize("gradient", [math.nan, math.inf, -math.inf, 1e300])
def test_what_is_no_gradient_is_skipped_and_counted(gradient: float) -> None:
    number = Bounded(0.1, low=0.01, high=1, rate=0.1)
    number.step(gradient)
    assert (number.value, number.skipped) == (0.1, 1)
    number.step(1.0)
    assert number.value == pytest.approx(0.1 * math.exp(-0.1))


def test_it_goes_on_from_its_state() -> None:
    a, b = (Bounded(0.1, low=0.05, high=0.2, rate=0.1) for _ in range(2))
    for i in range(30):
        a.step(math.cos(i) + 0.2)
    b.restore(json.loads(json.dumps(a.state())))
    for i in range(30):
        a.step(math.sin(i))
        b.step(math.sin(i))
    assert a.state() == b.state()


@pytest.mark.parametrize(
    ("value", "low", "high", "rate"),
    [(2, 0.1, 1, 0.1), (0.5, 0, 1, 0.1), (0.5, 0.1, 1, -1), (math.nan, 0.1, 1, 0.1), (0.5, 0.1, 1, math.inf)],
)
def test_bounds_that_are_none_are_refused(value: float, low: float, high: float, rate: float) -> None:
    with pytest.raises(OptionError, match="accepted is 0 < low <= value <= high"):
        Bounded(value, low=low, high=high, rate=rate)


def test_images_of_both_parts_are_refused() -> None:
    disjoint(torch.tensor([1, 2, 3]), torch.tensor([4, 5]))
    with pytest.raises(OptionError, match="2 of the 3 validation images are trained on too"):
        disjoint(torch.tensor([1, 2, 3, 3]), torch.tensor([3, 7, 1]))


def test_too_few_validation_images_are_refused() -> None:
    enough(32, n_classes=10)
    enough(200, n_classes=100)
    with pytest.raises(OptionError, match="31 validation images; accepted are 32 or more"):
        enough(31, n_classes=10)
    with pytest.raises(OptionError, match="199 validation images; accepted are 200 or more"):
        enough(199, n_classes=100)
