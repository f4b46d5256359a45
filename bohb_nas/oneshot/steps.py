"""Steps on shared weights as functions of tensors: what is given stays as it is, and what comes of it is returned.

Weights, momenta, statistics and gradients are dicts by the names that torch gives a network's parameters and buffers. What is given may
require a gradient: every result can be differentiated by it, statistics excepted.
"""

from collections.abc import Mapping
from typing import cast

import torch
from torch import Tensor
from torch.func import functional_call
from torch.nn import functional

from bohb_nas.training.device import Compute
from bohb_nas.training.networks import Network

Tensors = Mapping[str, Tensor]


def logits(
    network: Network, weights: Tensors, statistics: Tensors, images: Tensor, noise: Tensor | None, compute: Compute
) -> tuple[Tensor, dict[str, Tensor]]:
    """What a network in training makes of a batch, and its statistics thereafter.

    Args:
        network: its own tensors are not used.
        weights: of all parameters.
        statistics: running means and variances.
        images: ready for the network, [n, C, H, W].
        noise: of the step, [rows, n]; None leaves it out.
        compute: where and how precisely.

    Returns:
        Logits, float32 [n, n_classes]; new statistics.
    """
    moved = {name: tensor.detach().clone() for name, tensor in statistics.items()}
    if not network.training:
        network.train()
    with compute.autocast():
        out = functional_call(network, {**weights, **moved}, (images, noise), tie_weights=False)
    return cast(Tensor, out.float()), moved


def gradients(
    network: Network,
    weights: Tensors,
    statistics: Tensors,
    images: Tensor,
    targets: Tensor,
    noise: Tensor | None,
    compute: Compute,
    *,
    label_smoothing: float,
) -> tuple[Tensor, Tensor, dict[str, Tensor], dict[str, Tensor]]:
    """The loss of a batch and its gradient by the weights.

    Args:
        network: its own tensors are not used.
        weights: of all parameters.
        statistics: running means and variances.
        images: ready for the network, [n, C, H, W].
        targets: shares of the classes, [n, n_classes].
        noise: of the step, [rows, n].
        compute: where and how precisely.
        label_smoothing: of the cross entropy.

    Returns:
        Mean loss, a scalar; loss of every image, [n]; gradients; new statistics; none of them has a history.
    """
    leaves = {name: tensor.detach().requires_grad_() for name, tensor in weights.items()}
    with torch.enable_grad():
        out, moved = logits(network, leaves, statistics, images, noise, compute)
        losses = functional.cross_entropy(out, targets, label_smoothing=label_smoothing, reduction="none")
        loss = losses.mean()
        found = torch.autograd.grad(loss, list(leaves.values()), allow_unused=True, materialize_grads=True)
    return loss.detach(), losses.detach(), {name: gradient.detach() for name, gradient in zip(leaves, found, strict=True)}, moved


def sgd(
    weights: Tensors,
    momenta: Tensors,
    gradients: Tensors,
    *,
    rate: float | Tensor,
    momentum: float | Tensor,
    weight_decay: float | Tensor,
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """One step of SGD with Nesterov's momentum as `torch.optim.SGD` makes it: g + wd w = d; m' = mu m + d; w' = w - rate (d + mu m').

    Momenta of zeros are those of a first step.

    Args:
        weights: before the step.
        momenta: before it.
        gradients: of all weights.
        rate: the learning rate; a tensor, [], may require a gradient.
        momentum: mu; with a number of 0 momenta are not used and stay; likewise a tensor or a number.
        weight_decay: wd; likewise a tensor or a number.

    Returns:
        Weights and momenta after the step.
    """
    names = list(weights)
    before, direction = [weights[name] for name in names], [gradients[name] for name in names]
    if isinstance(weight_decay, Tensor) or weight_decay != 0:
        direction = _plus(direction, before, weight_decay)
    after = dict(momenta)
    if isinstance(momentum, Tensor) or momentum != 0:
        moved = _plus(_scaled([momenta[name] for name in names], momentum), direction, 1.0)
        after |= zip(names, moved, strict=True)
        direction = _plus(direction, moved, momentum)
    return dict(zip(names, _plus(before, direction, -rate), strict=True)), after


def clipped(gradients: Tensors, norm: float) -> dict[str, Tensor]:
    """Gradients, all together scaled down to a norm where theirs is larger; without waiting for the device."""
    tensors = list(gradients.values())
    total = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(tensors)))
    return dict(zip(gradients, torch._foreach_mul(tensors, (norm / (total + 1e-6)).clamp(max=1.0)), strict=True))


def _plus(left: list[Tensor], right: list[Tensor], factor: float | Tensor) -> list[Tensor]:
    """The sum of left and factor * right."""
    if isinstance(factor, Tensor):
        return [one + factor * other for one, other in zip(left, right, strict=True)]
    return list(torch._foreach_add(left, right, alpha=factor))


def _scaled(tensors: list[Tensor], factor: float | Tensor) -> list[Tensor]:
    if isinstance(factor, Tensor):
        return [factor * tensor for tensor in tensors]
    return list(torch._foreach_mul(tensors, factor))
