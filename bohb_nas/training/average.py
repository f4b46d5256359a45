"""An exponential average of a network's weights, whose memory is a share of the budget."""

import copy
import math
from typing import Generic, TypeVar

import torch
from torch import Tensor, nn

_Network = TypeVar("_Network", bound=nn.Module)

EVERY = 5
"""Steps between two updates: an update reads and writes every weight."""


class Average(Generic[_Network]):
    """A copy of a network whose weights and statistics follow those that train.

    A step at fraction u of the budget weighs exp(-(1 - u) / span) in the end, whatever the number of steps; until as much
    has passed the average is the plain mean, so that the initial weights leave no trace (the correction for the start of
    Adam, Kingma and Ba 2015, section 3, for weights).

    Args:
        network: copied.
        span: fraction of the budget after which a step's weight has fallen to 1 / e; above 0.
    """

    def __init__(self, network: _Network, *, span: float) -> None:
        self.network = copy.deepcopy(network).requires_grad_(requires_grad=False)
        self._span = span
        self.u = 0.0
        """Fraction of the budget at the last update."""
        self.n = 0
        """Updates so far."""

    @torch.no_grad()
    def update(self, network: _Network, u: float) -> None:
        """Takes in the weights at fraction u of the budget; without waiting for the device."""
        self.n += 1
        share = max(-math.expm1(-(u - self.u) / self._span), 1 / self.n)
        self.u = u
        mine, theirs = _floats(self.network), _floats(network)
        torch._foreach_lerp_(mine, theirs, share)
        for count, current in zip(self.network.buffers(), network.buffers(), strict=True):
            if not count.is_floating_point():
                count.copy_(current)


def _floats(network: nn.Module) -> list[Tensor]:
    return [*network.parameters(), *(buffer for buffer in network.buffers() if buffer.is_floating_point())]
