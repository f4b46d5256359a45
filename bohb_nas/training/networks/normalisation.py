"""Batch normalisation and the activation behind it as one layer, with kernels of its own where its device has Triton.

In training torch starts about seven kernels forward and five backward for a normalisation and its ReLU, which read the images three
times and six; these are two and two, which read them twice and four times.
"""

import math
from collections.abc import Mapping
from types import ModuleType
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

from bohb_nas.errors import OptionError
from bohb_nas.training.networks import own_kernels

Activation = Literal["none", "relu", "relu6"]
"""What a kernel can do to what it has normalised."""

_BOUNDS: Mapping[Activation, tuple[float, float]] = {"none": (-math.inf, math.inf), "relu": (0.0, math.inf), "relu6": (0.0, 6.0)}
"""Between which the activation keeps what comes in."""
_CHANNELS = 32
"""Of a program."""
_ROWS = 256
"""That a program holds at a time."""
_WARPS = 8
"""That work on them."""
_PROGRAMS = 264
"""That share the rows of all channels: two on each multiprocessor of the device that this was measured on."""
_PARTS = 128
"""Of the programs' sums, added at a time."""


class Norm(nn.BatchNorm2d):
    """Batch normalisation over images [N, C, H, W], and an activation.

    Args:
        channels: C.
        activation: of what is normalised.
    """

    def __init__(self, channels: int, activation: Activation = "none") -> None:
        super().__init__(channels)
        self.activation = activation

    def forward(self, x: Tensor) -> Tensor:
        """[N, C, H, W] -> the same shape.

        Raises:
            OptionError: in training, one number for each channel, which has no variance.
        """
        if self.training and x.numel() == x.shape[1]:
            raise OptionError(
                "a normalisation sees a single image of a single pixel, which has no variance: accepted is a batch_size from 2, "
                "or images that keep more than one pixel up to there"
            )
        if self.training and not torch.compiler.is_compiling() and x.dtype in own_kernels.KINDS and own_kernels.run_on(x.device):
            return normalise(self, x)
        x = super().forward(x)
        if self.activation == "none":
            return x
        return functional.relu(x, inplace=True) if self.activation == "relu" else functional.relu6(x, inplace=True)

    def extra_repr(self) -> str:
        """Channels and activation."""
        return f"{self.num_features}, {self.activation}"


def _kernels() -> ModuleType:
    from bohb_nas.training.networks import kernels

    return kernels


def normalise(norm: Norm, x: Tensor) -> Tensor:
    """What the layer makes of images [N, C, H, W] in training, by kernels; its running statistics follow.

    Raises:
        ValueError: images of other channels, or of one pixel, which has no variance.
    """
    if x.dim() != 4 or x.shape[1] != norm.num_features:
        raise ValueError(f"images of shape {list(x.shape)}; accepted are [N, {norm.num_features}, H, W]")
    if x.numel() == x.shape[1]:
        raise ValueError(f"images of shape {list(x.shape)} have one pixel, and no variance; accepted are at least two")
    with torch.cuda.device_of(x):  # type: ignore[no-untyped-call]
        return _Normalised.apply(x, norm.weight, norm.bias, norm)  # type: ignore[no-any-return]


class _Rows:
    """How programs share the rows and channels of images.

    Args:
        images: [N, C, H, W], channels last.
    """

    def __init__(self, images: Tensor) -> None:
        n, channels, height, width = images.shape
        vec = math.gcd(channels, 8)
        blocks = -(-channels // _CHANNELS)
        self.rows = n * height * width
        self.vectors = channels // vec
        self.each = _ROWS * max(1, -(-self.rows * blocks // (_PROGRAMS * _ROWS)))
        self.programs = -(-self.rows // self.each)
        self.grid = (self.programs, blocks)
        self.form = {"ROWS": _ROWS, "CHANNELS": _CHANNELS, "VEC": vec, "num_warps": _WARPS}


class _Normalised(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, norm: Norm) -> Tensor:
        triton = _kernels()
        x = x.contiguous(memory_format=torch.channels_last)
        rows, channels = _Rows(x), x.shape[1]
        parts = torch.empty(rows.programs, 2, channels, device=x.device)
        affine = torch.empty(4, channels, device=x.device)
        out = torch.empty_like(x)
        bounds, size = _BOUNDS[norm.activation], (rows.rows, rows.vectors, rows.each)
        triton.statistics[rows.grid](x, parts, *size, **rows.form)
        triton.normalise[rows.grid](
            x, parts, weight, bias, out, affine, norm.running_mean, norm.running_var, norm.num_batches_tracked,
            rows.programs, *size, *bounds, norm.momentum, norm.eps, PARTS=_PARTS, **rows.form
        )  # fmt: skip
        ctx.save_for_backward(x, affine)
        ctx.rows, ctx.bounds = rows, bounds
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, affine = ctx.saved_tensors
        rows, triton = ctx.rows, _kernels()
        (gradient,) = gradients
        gradient = gradient.contiguous(memory_format=torch.channels_last)
        parts = torch.empty(rows.programs, 2, x.shape[1], device=x.device)
        sums, out = torch.empty_like(affine[:2]), torch.empty_like(x)
        size = (rows.rows, rows.vectors, rows.each)
        triton.gradient_sums[rows.grid](gradient, x, affine, parts, *size, *ctx.bounds, **rows.form)
        triton.gradient_of_input[rows.grid](
            gradient, x, affine, parts, sums, out, rows.programs, *size, *ctx.bounds, PARTS=_PARTS, **rows.form
        )
        of_bias, of_weight = sums
        return out, of_weight, of_bias, None
