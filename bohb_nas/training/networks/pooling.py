"""Pooling; means over 3 x 3 pixels on a processor by a depthwise convolution, which is several times as fast as torch's pooling.

Values and gradients are torch's, but for rounding.
"""

from typing import Any

import torch
from torch import Tensor, nn

from bohb_nas.layers import PoolKind
from bohb_nas.training.networks.depthwise import on_processor

_LEAST = 2**17
"""Numbers of a batch of images; fewer are pooled as fast by torch, or faster: the way here costs a tenth of a millisecond by itself."""
_LEAST_SIDE = 4
"""Pixels; likewise."""


def pooling(kind: PoolKind, kernel: int, stride: int) -> nn.Module:
    """The module of a `bohb_nas.layers.Pool`."""
    if (kind, kernel, stride) == ("average", 3, 1):
        return Mean3x3()
    padding, whole = (0, True) if kernel == stride else (kernel // 2, False)
    if kind == "max":
        return nn.MaxPool2d(kernel, stride, padding, ceil_mode=whole)
    return nn.AvgPool2d(kernel, stride, padding, ceil_mode=whole, count_include_pad=False)


class Mean3x3(nn.AvgPool2d):
    """The mean over the 3 x 3 pixels around each, at the border over those that there are: their sum over their count."""

    def __init__(self) -> None:
        super().__init__(3, stride=1, padding=1, count_include_pad=False)

    def forward(self, x: Tensor) -> Tensor:
        """[N, C, H, W] -> the same shape."""
        if not on_processor(x) or x.numel() < _LEAST or min(x.shape[2:]) < _LEAST_SIDE:
            return super().forward(x)
        return _Mean.apply(x)  # type: ignore[no-any-return]


class _Mean(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.counts = _counts(x)
        return _sums(x).div_(ctx.counts)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return _sums(gradients[0] / ctx.counts)


def _sums(x: Tensor) -> Tensor:
    """Over 3 x 3 pixels, [N, C, H, W]."""
    with torch.autocast("cpu", enabled=False):
        return torch.conv2d(x, x.new_ones(x.shape[1], 1, 3, 3), None, padding=1, groups=x.shape[1])


def _counts(x: Tensor) -> Tensor:
    """How many pixels each mean is over, [1, C, H, W]: 9, at the sides 6, in the corners 4."""
    _, channels, height, width = x.shape
    down, across = x.new_full((height, 1), 3), x.new_full((width,), 3)
    down[[0, -1]], across[[0, -1]] = 2, 2
    return (down * across).expand(1, channels, height, width).contiguous(memory_format=torch.channels_last)
