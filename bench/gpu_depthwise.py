"""Section of the GPU benchmark: depthwise convolutions by cuDNN, as the package has them, and by kernels that might take their place.

cuDNN builds kernels for every number of images, for which a network waits for seconds; those of `depthwise_kernels` serve all.
Whether their steps are as fast decides (docs/decisions/0018-which-kernels-are-our-own.md).
"""

import contextlib
import functools
import gc
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast
from unittest import mock

import torch
from gpu_kernels import Note, resident_images, row
from gpu_measure import Bench, capture, milliseconds, synchronise
from gpu_nets import CONFIGS, learner, network
from gpu_training import Step
from torch import Tensor
from torch.autograd.function import once_differentiable

from bohb_nas.training.device import choose
from bohb_nas.training.networks.depthwise import Depthwise

_LAYERS = (
    (96, 3, 1, 32, 128),
    (144, 5, 2, 32, 128),
    (192, 7, 1, 16, 128),
    (24, 3, 1, 32, 512),
    (384, 5, 1, 8, 128),
    (96, 3, 2, 32, 512),
    (100, 3, 1, 16, 128),
)
"""Channels, side of the filter, stride, side of the images, images."""
_PIXELS = 4
"""Of a strip."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """How programs share the work."""

    strips: int = 32
    """That a program has at a time."""
    channels: int = 32
    """Of a program."""
    warps: int = 4
    """That work on them."""
    programs: int = 528
    """That share the sums of a gradient of weights, about."""


_LAUNCHES = (Launch(strips=16, warps=2), Launch(strips=64, warps=8), Launch(strips=16, channels=64), Launch(programs=1056))


def depthwise(bench: Bench, note: Note) -> None:
    """Seconds of the first step and milliseconds of a replayed one of a network; those of single layers, forward and both ways, in bf16."""
    for batch in bench.pick((128, 512), (4,)):
        row(note, f"mobile batch {batch}", functools.partial(_network_row, bench, batch))
    for launch in (Launch(), *_LAUNCHES):
        for layer in bench.pick(_LAYERS, ((8, 3, 1, 4, 2),)):
            channels, kernel, stride, side, batch = layer
            name = f"{channels} channels, {kernel} x {kernel}, stride {stride}, side {side}, {batch} images; {launch}"
            if bench.left_s() < 0:
                return note("left out from", name)
            row(note, name, functools.partial(_layer_row, bench, launch, *layer))
        if bench.rehearse:
            break
    return None


def _kinds(bench: Bench, launch: Launch) -> dict[str, contextlib.AbstractContextManager[object]]:
    """Whose kernels, and within what they are taken; in a rehearsal torch's alone."""
    own = mock.patch.object(Depthwise, "forward", lambda module, x: convolve(module, x, launch))
    return {"cuDNN's": contextlib.nullcontext(), **({"own": own} if bench.cuda else {})}


def _network_row(bench: Bench, batch: int) -> dict[str, dict[str, float]]:
    compute, data = choose(str(bench.device)), resident_images(bench.pick(20_000, 64), bench.device)
    found = {}
    for whose, kernels in _kinds(bench, Launch()).items():
        with kernels:
            step = Step(learner(network("mobile"), {**CONFIGS["mobile"], "batch_size": batch}, data=data, compute=compute))
            first_s = _seconds(bench, step)
            step.record(bench)
            found[whose] = {"first step s": first_s, "ms": round(milliseconds(bench, step), 3)}
        del step
        gc.collect()
    return found


def _seconds(bench: Bench, call: Callable[[], object]) -> float:
    synchronise(bench)
    began = time.perf_counter()
    call()
    synchronise(bench)
    return round(time.perf_counter() - began, 3)


def _layer_row(bench: Bench, launch: Launch, channels: int, kernel: int, stride: int, side: int, batch: int) -> dict[str, dict[str, float]]:
    made = Depthwise(channels, channels, kernel, stride=stride, padding=kernel // 2, groups=channels, bias=False).to(bench.device)
    x, direction = (
        torch.randn(batch, channels, n, n, device=bench.device).bfloat16().contiguous(memory_format=torch.channels_last)
        for n in (side, (side - 1) // stride + 1)
    )
    x.requires_grad_()

    def forward() -> Tensor:
        with torch.autocast(bench.device.type, dtype=torch.bfloat16):
            return cast(Tensor, made(x))

    def both() -> None:
        x.grad = made.weight.grad = None
        forward().backward(direction)  # type: ignore[no-untyped-call]

    found: dict[str, dict[str, float]] = {}
    for whose, kernels in _kinds(bench, launch).items():
        with kernels:
            found[whose] = {"first s": _seconds(bench, both)}
            for name, call in {"forward us": forward, "both ways us": both}.items():
                replayed = capture(call, warm_up=1).graph.replay if bench.cuda else call
                found[whose][name] = round(1000 * milliseconds(bench, replayed, at_most_s=0.1), 1)
    return found


def convolve(convolution: Depthwise, x: Tensor, launch: Launch) -> Tensor:
    """[N, C, H, W] -> [N, C, H', W'] by the kernels, for square filters of up to 7 and equal strides that divide a strip."""
    if torch.is_autocast_enabled(x.device.type):
        x = x.to(torch.get_autocast_dtype(x.device.type))
    return cast(Tensor, _Convolved.apply(x, convolution.weight, convolution.stride[0], convolution.padding[0], launch))


class _Strips:
    """How programs share the strips of images, and their channels.

    Args:
        images: [N, C, H, W], channels last; of every `apart`-th row.
    """

    def __init__(self, images: Tensor, launch: Launch, apart: int = 1) -> None:
        n, channels, height, width = images.shape
        self.tiles = -(-width // _PIXELS)
        self.n = n * -(-height // apart) * self.tiles
        vec = math.gcd(channels, 8)
        self.vectors = channels // vec
        self.grid = (-(-self.n // launch.strips), -(-channels // launch.channels))
        self.form = {"STRIPS": launch.strips, "CHANNELS": launch.channels, "VEC": vec, "num_warps": launch.warps}


class _Convolved(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, stride: int, padding: int, launch: Launch) -> Tensor:
        import depthwise_kernels

        x = x.contiguous(memory_format=torch.channels_last)
        side = weight.shape[2]
        weights = weight.detach().float().flatten(1).t().contiguous()
        height, width = ((n + 2 * padding - side) // stride + 1 for n in x.shape[2:])
        out = torch.empty(*x.shape[:2], height, width, dtype=x.dtype, device=x.device, memory_format=torch.channels_last)
        strips = _Strips(out, launch)
        sizes = (strips.n, strips.tiles, strips.vectors, *x.shape[2:], height, width)
        depthwise_kernels.convolve[strips.grid](x, weights, out, *sizes, padding, K=side, STRIDE=stride, **strips.form)
        ctx.save_for_backward(x, weight, weights)
        ctx.stride, ctx.padding, ctx.launch = stride, padding, launch
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        import depthwise_kernels

        x, weight, weights = ctx.saved_tensors
        side, stride, padding, launch = weight.shape[2], ctx.stride, ctx.padding, ctx.launch
        gradient = gradients[0].contiguous(memory_format=torch.channels_last)
        sides = (*x.shape[2:], *gradient.shape[2:])
        of_x = None
        if ctx.needs_input_grad[0]:
            of_x, strips = torch.empty_like(x), _Strips(x, launch, stride)
            sizes = (strips.n, strips.tiles, strips.vectors, *sides)
            depthwise_kernels.gradient_of_images[(*strips.grid, stride)](
                gradient,
                weights,
                of_x,
                *sizes,
                K=side,
                STRIDE=stride,
                PADDING=padding,
                BEFORE=(side - 1 - padding) // stride,
                **strips.form,
            )
        strips = _Strips(gradient, launch)
        each = launch.strips * max(1, -(-strips.n * strips.grid[1] * side // (launch.programs * launch.strips)))
        parts = torch.empty(-(-strips.n // each), *weight.shape, device=x.device)
        grid = (len(parts), strips.grid[1], side)
        sizes = (strips.n, each, strips.tiles, strips.vectors, *sides)
        depthwise_kernels.gradient_of_weights[grid](x, gradient, parts, *sizes, padding, K=side, STRIDE=stride, **strips.form)
        return of_x, parts.sum(0).to(weight.dtype), None, None, None
