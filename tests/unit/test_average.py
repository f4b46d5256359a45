"""The average of weights, against recurrences written out by hand."""

import math

import pytest
import torch
from torch import nn

from bohb_nas.training.average import Average


def network(value: float) -> nn.BatchNorm1d:
    """One weight, one bias, two running statistics and a counter, all of the value."""
    made = nn.BatchNorm1d(1)
    set_to(made, value)
    return made


def set_to(made: nn.BatchNorm1d, value: float) -> None:
    with torch.no_grad():
        for tensor in made.state_dict().values():
            tensor.fill_(value)


def averaged(average: Average[nn.BatchNorm1d]) -> list[float]:
    return [float(v) for v in average.network.state_dict().values()]


def test_the_first_updates_are_the_plain_mean_and_the_start_leaves_no_trace() -> None:
    net = network(100.0)
    average = Average(net, span=10.0)
    for u, value in ((0.1, 1.0), (0.2, 2.0), (0.3, 6.0)):
        set_to(net, value)
        average.update(net, u)
    assert averaged(average) == pytest.approx([3.0, 3.0, 3.0, 3.0, 6.0]), "the counter is no average"


def test_later_ones_forget_with_the_span() -> None:
    net = network(0.0)
    average = Average(net, span=0.1)
    for u, value in ((0.1, 4.0), (0.2, 0.0), (0.25, 1.0)):
        set_to(net, value)
        average.update(net, u)
    second = 4.0 * math.exp(-1.0)  # a step of one span: 1 - 1/e is more than a half
    third = second + (1 - math.exp(-0.5)) * (1.0 - second)  # 0.39 is more than a third
    assert averaged(average)[0] == pytest.approx(third)


def test_the_trained_network_is_left_alone() -> None:
    net = network(2.0)
    average = Average(net, span=0.1)
    average.update(net, 0.5)
    average.network.weight.data.fill_(7.0)
    assert net.weight.item() == 2.0
    assert net.weight.requires_grad
    assert not average.network.weight.requires_grad
