"""The gradient of a validation loss by a controller's logits, through one step of training (AutoHAS, arXiv:2006.03656, v1, section 3).

Only what acts in the step itself can be followed: the learning rate, the weight decay and the momentum of SGD.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from bohb_nas.oneshot.decisions import Decision, Decisions, Draw
from bohb_nas.training.recipe import Recipe

_RATES = ("sgd_learning_rate", "learning_rate")
_DECAYS = ("sgd_weight_decay", "weight_decay")
_MOMENTA = ("momentum", "sgd_one_minus_momentum")
"""Of names that mean the same, the one that the recipe heeds first."""
Weights = dict[str, Tensor]
Number = Tensor | float


@dataclass(frozen=True, slots=True, kw_only=True)
class Followed:
    """What was found along the path."""

    loss: float
    gradients: Mapping[str, npt.NDArray[np.float64]]
    """Of the loss by the logits of every number that acts in the step, [n_bases] by name."""


def pathwise_names(decisions: Decisions) -> frozenset[str]:
    """The decisions that can be followed."""
    return frozenset(d.name for d in decisions.decisions if d.number and d.name in {*_RATES, *_DECAYS, *_MOMENTA})


def through_the_step(
    decisions: Decisions,
    logits: Mapping[str, npt.NDArray[np.float64]],
    draw: Draw,
    recipe: Recipe,
    *,
    step: Callable[[Number, Number, Number], Weights],
    loss: Callable[[Weights], Tensor],
) -> Followed:
    """The loss after a step, and its gradients.

    Args:
        decisions: of the controller.
        logits: of each decision.
        draw: says what is active.
        recipe: with every number that acts in the step at its mean.
        step: learning rate, momentum and weight decay -> weights after the step.
        loss: of weights.
    """
    followed = pathwise_names(decisions) & draw.keys()
    active = [decision for decision in decisions.decisions if decision.name in followed]
    leaves = {d.name: torch.tensor(logits[d.name], dtype=torch.float64, requires_grad=True) for d in active}
    means = {d.name: _mean(d, leaves[d.name]) for d in active}

    def number(names: tuple[str, ...], otherwise: float) -> Number:
        """In the recipe's scale: what a batch size makes of a rate stays."""
        name = next((n for n in names if n in means), None)
        if name is None:
            return otherwise
        if name == "sgd_one_minus_momentum":
            return 1 - means[name]
        return means[name] * (otherwise / float(means[name].detach())) if names is not _MOMENTA else means[name]

    after = step(number(_RATES, recipe.learning_rate), number(_MOMENTA, recipe.momentum), number(_DECAYS, recipe.weight_decay))
    value = loss(after)
    found = torch.autograd.grad(value, list(leaves.values()), allow_unused=True) if leaves else ()
    gradients = {name: _array(gradient, leaf) for (name, leaf), gradient in zip(leaves.items(), found, strict=True)}
    return Followed(loss=float(value.detach()), gradients=gradients)


def _mean(decision: Decision, logits: Tensor) -> Tensor:
    """Of the bases, geometric in the logarithm."""
    bases = torch.tensor([float(value) for value in decision.values], dtype=torch.float64)
    shares = logits.softmax(0)
    return (shares @ bases.log()).exp() if decision.log else shares @ bases


def _array(gradient: Tensor | None, like: Tensor) -> npt.NDArray[np.float64]:
    return np.zeros(len(like)) if gradient is None else gradient.numpy()
