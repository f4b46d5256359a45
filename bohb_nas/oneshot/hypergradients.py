"""How learning rate and weight decay should have been, told by the validation loss after each step of the weights.

One step is looked back on: its gradient and the history of its momentum count as given (Zhou et al. 2022; Luketina et al. 2016). Such
gradients see one step ahead only, and a smaller learning rate nearly always pays at once (short-horizon bias, Wu et al. 2018): keep
the learning rate above a floor. And the validation images must be others than those trained on: on its own images the network never
looks overfitted, and weight decay goes to its smallest.
"""

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from bohb_nas.errors import OptionError

_MEMORY = 0.99
"""Of the running mean of squared gradients."""
_BATCH = 32
"""Validation images that are the least to tell a gradient from noise."""
_PER_CLASS = 2
"""Validation images that every class is to have on average."""


def held_out(
    gradient_val: Mapping[str, Tensor],
    gradient_train: Mapping[str, Tensor],
    weights_before: Mapping[str, Tensor],
    momenta_after: Mapping[str, Tensor],
    *,
    rate: float,
    weight_decay: float,
    momentum: float,
) -> tuple[float, float]:
    """What the validation loss after one step of Nesterov's SGD, as in torch, gains from its learning rate and its weight decay.

    The step from weights w with training gradient g is d = g + weight_decay w, buf = momentum buf' + d, s = d + momentum buf and
    w' = w - rate s. With buf' and g held, ds/d weight_decay = (1 + momentum) w; so with v, the gradient of the validation loss at w',

        dL/d rate = -<v, s>,     dL/d weight_decay = -rate (1 + momentum) <v, w>.

    Args:
        gradient_val: v, by the name of a weight.
        gradient_train: g, as the step took it (clipped, if it was).
        weights_before: w; more names than `gradient_val` has are no matter, here and below.
        momenta_after: buf; not read without momentum.
        rate: learning rate of the step.
        weight_decay: of the step.
        momentum: of the step.

    Returns:
        The two derivatives; this waits for the device, once.
    """
    with torch.no_grad():
        along, inward = [], []
        for name, v in gradient_val.items():
            direction = gradient_train[name] + weight_decay * weights_before[name]
            step = direction + momentum * momenta_after[name] if momentum else direction
            along.append((v * step).sum())
            inward.append((v * weights_before[name]).sum())
        by_step, by_weights = torch.stack([torch.stack(along).sum(), torch.stack(inward).sum()]).tolist()
    return -by_step, -rate * (1 + momentum) * by_weights


class Bounded:
    """A positive number that follows its gradients in the logarithm, within bounds.

    A gradient counts by its size in those of the steps before, so the scale of the loss is no matter: Adam without a first moment, and
    with no more than `rate` for any one step.

    Args:
        value: at the start.
        low: smallest.
        high: largest.
        rate: largest change of the logarithm in one step; with 0 the number never moves.

    Raises:
        OptionError: numbers that are no bounds, or do not hold the value.
    """

    def __init__(self, value: float, *, low: float, high: float, rate: float) -> None:
        if not (0 < low <= value <= high < math.inf and 0 <= rate < math.inf):
            raise OptionError(
                f"a value of {value:g} in [{low:g}, {high:g}] with rate {rate:g}; accepted is 0 < low <= value <= high, rate >= 0"
            )
        self.value = value
        self.at_low = 0
        """Steps that ended at the lower bound."""
        self.at_high = 0
        self.skipped = 0
        """Steps whose gradient was no finite number; they changed nothing."""
        self.low = low
        self._high, self._rate = high, rate
        self._steps, self._square = 0, 0.0

    def step(self, gradient: float) -> None:
        """Goes down a gradient: the derivative of a loss by the value."""
        slope = gradient * self.value
        if not math.isfinite(slope * slope):
            self.skipped += 1
            return
        self._steps += 1
        self._square = _MEMORY * self._square + (1 - _MEMORY) * slope * slope
        usual = math.sqrt(self._square / (1 - _MEMORY**self._steps))
        share = max(-1.0, min(1.0, slope / usual)) if usual else 0.0
        self.value = max(self.low, min(self._high, self.value * math.exp(-self._rate * share)))
        self.at_low += self.value == self.low
        self.at_high += self.value == self._high

    def state(self) -> dict[str, Any]:
        """All that changes, as JSON."""
        counts = {name: getattr(self, name) for name in ("value", "at_low", "at_high", "skipped")}
        return {**counts, "steps": self._steps, "square": self._square}

    def restore(self, state: Mapping[str, Any]) -> None:
        """The inverse of `state`."""
        self.value = float(state["value"])
        self.at_low, self.at_high, self.skipped = (int(state[name]) for name in ("at_low", "at_high", "skipped"))
        self._steps, self._square = int(state["steps"]), float(state["square"])


def disjoint(train: Tensor, valid: Tensor) -> None:
    """Checks that no image is both trained on and held out; positions in the data set, int64.

    Raises:
        OptionError: some are.
    """
    shared = int(torch.isin(valid, train).sum())
    if shared:
        raise OptionError(
            f"{shared} of the {len(valid)} validation images are trained on too; accepted are none: the gradients of learning rate "
            "and weight decay would see what the network knows by heart; split the training images into two parts"
        )


def enough(n_valid: int, *, n_classes: int) -> None:
    """Checks that the held-out images can tell anything.

    Raises:
        OptionError: fewer than a batch, or than two of every class on average.
    """
    least = max(_BATCH, _PER_CLASS * n_classes)
    if n_valid < least:
        raise OptionError(
            f"{n_valid} validation images; accepted are {least} or more: a batch of {_BATCH}, and {_PER_CLASS} for each of {n_classes} "
            "classes; hold out a larger part of the training images, or choose fixed learning rate and weight decay"
        )
