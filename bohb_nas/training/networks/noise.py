"""What regularises with noise: its uniform numbers are an argument, so that one draw serves a whole network's step."""

from typing import Any

import torch
from torch import Tensor


class _WeightedSum(torch.autograd.Function):
    """Sum of the paths under one set of weights per image, whose gradient uses another set (Gastaldi 2017)."""

    @staticmethod
    def forward(ctx: Any, forward: Tensor, backward: Tensor, *paths: Tensor) -> Tensor:
        """Combines paths [N, C, H, W] by `forward` [paths, N]; the gradient will use `backward` of that shape."""
        ctx.save_for_backward(backward)
        weights = _per_image(forward, paths[0])
        out = paths[0] * weights[0]
        for weight, path in zip(weights[1:], paths[1:], strict=True):
            out.addcmul_(path, weight)
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """The gradient of each path."""
        (backward,) = ctx.saved_tensors
        (gradient,) = gradients
        return None, None, *(gradient * weight for weight in _per_image(backward, gradient))


def _per_image(weights: Tensor, images: Tensor) -> Tensor:
    return weights.to(images.dtype)[:, :, None, None, None]


def divided(noise: Tensor | None, rows: list[int]) -> list[Tensor | None]:
    """Noise [sum of rows, N] in parts of so many rows each; where there is none, none for every part."""
    return [None] * len(rows) if noise is None else list(torch.split(noise, rows))


def shake(paths: list[Tensor], noise: Tensor | None) -> Tensor:
    """Paths [N, C, H, W] under softmax weights of uniform numbers [2 paths, N] (Zela et al. 2018): half of them forward, half backward.

    Without numbers it is their mean.
    """
    if noise is None:
        return sum(paths[1:], paths[0]) / len(paths)
    forward, backward = noise.chunk(2)
    return _WeightedSum.apply(forward.softmax(0), backward.softmax(0), *paths)  # type: ignore[no-any-return]


def shake_drop(path: Tensor, rate: float, noise: Tensor) -> Tensor:
    """A path under ShakeDrop (Yamada et al. 2018), with one gate for the whole batch.

    At `rate`, forward U(-1, 1) and backward U(0, 1); otherwise both 1.

    Args:
        path: [N, C, H, W].
        rate: probability of being disturbed.
        noise: uniform [3, N].
    """
    dead = noise[0, 0] < rate
    one = torch.ones_like(noise[:1])  # a plain 1.0 would be copied from the host, which no CUDA graph can record
    forward, backward = torch.where(dead, 2 * noise[1:2] - 1, one), torch.where(dead, noise[2:3], one)
    return _WeightedSum.apply(forward, backward, path)  # type: ignore[no-any-return]


def drop_path(path: Tensor, rate: float, noise: Tensor) -> Tensor:
    """A path that is zero for an image where its number in `noise` [1, N] is below `rate`, and else divided by 1 - rate."""
    return path * _gate(noise[0], rate, path)[:, None, None, None]


def dropout(images: Tensor, rate: float, noise: Tensor) -> Tensor:
    """Images [N, C, H, W] whose elements are zero where their number in `noise` [C H W, N] is below `rate`, else divided by 1 - rate."""
    n, channels, height, width = images.shape
    if images.is_contiguous(memory_format=torch.channels_last):
        noise = noise.reshape(n, height, width, channels).permute(0, 3, 1, 2)
    return images * _gate(noise.reshape(images.shape), rate, images)


def _gate(noise: Tensor, rate: float, like: Tensor) -> Tensor:
    return (noise >= rate).to(like.dtype) / (1 - rate)
