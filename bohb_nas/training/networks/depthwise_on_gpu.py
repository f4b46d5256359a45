"""Depthwise convolutions on a GPU by kernels of our own, in place of those that cuDNN builds anew for every number of images.

One compiled form serves all widths of a kind, batches and sides of images (docs/decisions/0024-depthwise-convolutions-on-a-gpu.md).
"""

import math
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from bohb_nas.training.networks import own_kernels

_PIXELS = 4
"""Of a strip, along a row; strides divide it."""
_SIDE = 7
"""Of the largest filter."""
_STRIPS = 32
"""That a program has at a time; forward twice as many where a strip sees few pixels beyond its own, by twice as many warps."""
_CHANNELS = 32
"""Of a program."""
_WARPS = 4
"""That work on them."""
_PROGRAMS = 528
"""That share the sums of a gradient of weights, about: four on each multiprocessor of the device that this was measured on."""


def takes(convolution: nn.Conv2d, x: Tensor) -> bool:
    """Whether the kernels are for such a convolution, of each channel by itself, of images x [N, C, H, W], and run where these are."""
    rows, columns = convolution.weight.shape[2:]
    stride, padding, dilation = convolution.stride, convolution.padding, convolution.dilation
    square = rows == columns <= _SIDE and stride[0] == stride[1] and padding[0] == padding[1] and dilation == (1, 1)
    fits = square and not isinstance(padding, str) and _PIXELS % stride[0] == 0 and convolution.bias is None
    return fits and x.dtype in own_kernels.KINDS and not torch.compiler.is_compiling() and own_kernels.run_on(x.device)


def convolve(x: Tensor, weight: Tensor, *, stride: int, padding: int) -> Tensor:
    """Convolves each channel of x [N, C, H, W] with its own filter [C, 1, K, K], K <= 7, stride 1, 2 or 4, in fp32 -> [N, C, H', W'].

    What comes out has x's numbers, or those of autocast; gradients have those of what they belong to. It cannot be differentiated twice.
    """
    if torch.is_autocast_enabled(x.device.type):
        x = x.to(torch.get_autocast_dtype(x.device.type))
    with torch.cuda.device_of(x):  # type: ignore[no-untyped-call]
        return _Convolved.apply(x, weight, stride, padding)  # type: ignore[no-any-return]


def _kernels() -> ModuleType:
    from bohb_nas.training.networks import depthwise_kernels

    return depthwise_kernels


class _Strips:
    """How programs share the strips of images, and their channels.

    Args:
        images: [N, C, H, W], channels last.
        apart: of every so manieth row.
        times: as many strips of a program, and warps for them.
    """

    def __init__(self, images: Tensor, *, apart: int = 1, times: int = 1) -> None:
        n, channels, height, width = images.shape
        self.tiles = -(-width // _PIXELS)
        self.n = n * -(-height // apart) * self.tiles
        vec = math.gcd(channels, 8)
        self.vectors = channels // vec
        self.grid = (-(-self.n // (times * _STRIPS)), -(-channels // _CHANNELS))
        self.form = {"STRIPS": times * _STRIPS, "CHANNELS": _CHANNELS, "VEC": vec, "num_warps": times * _WARPS}


class _Convolved(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, stride: int, padding: int) -> Tensor:
        x = x.contiguous(memory_format=torch.channels_last)
        side = weight.shape[2]
        weights = weight.detach().float().flatten(1).t().contiguous()
        height, width = ((n + 2 * padding - side) // stride + 1 for n in x.shape[2:])
        out = torch.empty(*x.shape[:2], height, width, dtype=x.dtype, device=x.device, memory_format=torch.channels_last)
        strips = _Strips(out, times=2 if side <= 3 and stride == 1 else 1)
        sizes = (strips.n, strips.tiles, strips.vectors, *x.shape[2:], height, width)
        _kernels().convolve[strips.grid](x, weights, out, *sizes, padding, K=side, STRIDE=stride, **strips.form)
        ctx.save_for_backward(x, weight, weights)
        ctx.stride, ctx.padding = stride, padding
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, weights = ctx.saved_tensors
        gradient = gradients[0].contiguous(memory_format=torch.channels_last)
        of_x = _of_images(gradient, x, weight, weights, ctx.stride, ctx.padding) if ctx.needs_input_grad[0] else None
        return of_x, _of_weight(gradient, x, weight, ctx.stride, ctx.padding), None, None


def _of_images(gradient: Tensor, x: Tensor, weight: Tensor, weights: Tensor, stride: int, padding: int) -> Tensor:
    side, found, strips = weight.shape[2], torch.empty_like(x), _Strips(x, apart=stride)
    sizes = (strips.n, strips.tiles, strips.vectors, *x.shape[2:], *gradient.shape[2:])
    before = (side - 1 - padding) // stride
    form = {"K": side, "STRIDE": stride, "PADDING": padding, "BEFORE": before, **strips.form}
    _kernels().gradient_of_images[(*strips.grid, stride)](gradient, weights, found, *sizes, **form)
    return found


def _of_weight(gradient: Tensor, x: Tensor, weight: Tensor, stride: int, padding: int) -> Tensor:
    side, strips = weight.shape[2], _Strips(gradient)
    each = _STRIPS * max(1, -(-strips.n * strips.grid[1] * side // (_PROGRAMS * _STRIPS)))
    parts = torch.empty(-(-strips.n // each), *weight.shape, device=x.device)
    grid = (len(parts), strips.grid[1], side)
    sizes = (strips.n, each, strips.tiles, strips.vectors, *x.shape[2:], *gradient.shape[2:])
    _kernels().gradient_of_weights[grid](x, gradient, parts, *sizes, padding, K=side, STRIDE=stride, **strips.form)
    return parts.sum(0).to(weight.dtype)
