"""Depthwise convolutions, on a GPU by kernels of our own, on a processor by the kernels of oneDNN that are fast.

The latter's kernel for the gradient of the weights takes at most three columns, of images no smaller than the weights; in bf16 those for
the gradient of the images take no stride. All else goes to kernels for dense convolutions, which take up to forty times as long
(docs/decisions/0022-depthwise-convolutions-on-a-processor.md). Values and gradients are torch's, but for rounding.
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from bohb_nas.training.networks import depthwise_on_gpu

_COLUMNS = 3
"""Of weights, whose gradient is found at once."""
_AT_ONCE = 2**19
"""Numbers of images of which copies are made at a time: they stay in a processor's cache."""


def on_processor(x: Tensor) -> bool:
    """Whether what is computed now comes from oneDNN; programs that torch compiles or exports hold its own operators."""
    return x.device.type == "cpu" and not torch.compiler.is_compiling()


class Depthwise(nn.Conv2d):
    """A convolution of each channel by itself, without a bias."""

    def forward(self, x: Tensor) -> Tensor:
        """[N, C, H, W] -> [N, C, H', W']."""
        if depthwise_on_gpu.takes(self, x):
            return depthwise_on_gpu.convolve(x, self.weight, stride=self.stride[0], padding=int(self.padding[0]))
        if not (on_processor(x) and torch.is_grad_enabled()):
            return super().forward(x)
        weight = self.weight
        if torch.is_autocast_enabled("cpu"):
            kind = torch.get_autocast_dtype("cpu")
            x, weight = x.to(kind), weight.to(kind)
        return _Depthwise.apply(x, weight, self.stride, self.padding)  # type: ignore[no-any-return]


class _Depthwise(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, stride: tuple[int, int], padding: tuple[int, int]) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.stride, ctx.padding = stride, padding
        return torch.conv2d(x, weight, None, stride, padding, groups=len(weight))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        gradient = gradients[0].contiguous(memory_format=torch.channels_last)
        of_x = _of_images(gradient, x, weight, ctx.stride, ctx.padding) if ctx.needs_input_grad[0] else None
        return of_x, _of_weight(gradient, x, weight, ctx.stride, ctx.padding), None, None


def _of_images(gradient: Tensor, x: Tensor, weight: Tensor, stride: tuple[int, int], padding: tuple[int, int]) -> Tensor:
    """The gradient of a convolution's images; in bf16 under a stride by way of fp32."""
    if x.dtype != torch.bfloat16 or stride == (1, 1):
        return _backward(gradient, x, weight, stride, padding, (True, False))[0]
    found, wide = torch.empty_like(x), weight.float()
    for part, of_part in _parts(found, gradient):
        shape = torch.empty_like(part, dtype=torch.float32)  # its numbers have no say
        part.copy_(_backward(of_part.float(), shape, wide, stride, padding, (True, False))[0])
    return found


def _of_weight(gradient: Tensor, x: Tensor, weight: Tensor, stride: tuple[int, int], padding: tuple[int, int]) -> Tensor:
    """The gradient of its weights; of many columns, or more than images have, in strips of few, over images with their border of zeros."""
    (rows, columns), (height, width) = weight.shape[2:], x.shape[2:]
    if columns <= _COLUMNS and height >= rows and width >= columns:
        return _backward(gradient, x, weight, stride, padding, (False, True))[1]
    below, right = (
        (n - 1) * step - around - side for n, step, around, side in zip(gradient.shape[2:], stride, padding, (height, width), strict=True)
    )  # beside the weight's own side; what is less than none is cut off
    found = torch.zeros(weight.shape)
    strips = [(int(s[0]), int(s[-1]) + 1) for s in torch.arange(columns).tensor_split(-(-columns // _COLUMNS))]
    strips = [(first, last) for first, last in strips if first - padding[1] < width and right + last > -width]  # others see zeros alone
    for images, of_images in _parts(x, gradient):
        for first, last in strips:
            shown = functional.pad(images, (padding[1] - first, right + last, padding[0], below + rows))
            found[..., first:last] += _backward(of_images, shown, weight[..., first:last], stride, (0, 0), (False, True))[1]
    return found.to(weight.dtype)


def _backward(
    gradient: Tensor, x: Tensor, weight: Tensor, stride: tuple[int, int], padding: tuple[int, int], wanted: tuple[bool, bool]
) -> tuple[Tensor, Tensor]:
    """The gradients of images and weights in one of oneDNN's kernels; those that are not wanted are None."""
    found: tuple[Tensor, Tensor, Tensor] = torch.ops.aten.convolution_backward(
        gradient, x, weight, None, stride, padding, (1, 1), False, (0, 0), len(weight), (*wanted, False)
    )
    return found[0], found[1]


def _parts(images: Tensor, others: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """The images of a batch [N, C, H, W], and others that belong to them, a few at a time."""
    at_once = max(1, _AT_ONCE // images[0].numel())
    return zip(torch.split(images, at_once), torch.split(others, at_once), strict=True)
