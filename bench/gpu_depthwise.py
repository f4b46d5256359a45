"""Section of the GPU benchmark: depthwise convolutions by the package's kernels and by cuDNN's.

cuDNN builds kernels for every number of images, for which a network waits for seconds; the package's serve all
(docs/decisions/0024-depthwise-convolutions-on-a-gpu.md).
"""

import contextlib
import functools
import gc
import time
from collections.abc import Callable, Mapping
from typing import cast
from unittest import mock

import torch
from gpu_kernels import Note, resident_images, row
from gpu_measure import Bench, capture, milliseconds, synchronise
from gpu_nets import CONFIGS, learner, network
from gpu_training import Step
from torch import Tensor

from bohb_nas.training.device import choose
from bohb_nas.training.networks import depthwise_on_gpu
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
_SHARES: tuple[Mapping[str, int], ...] = (
    {},
    {"_PROGRAMS": 132},
    {"_PROGRAMS": 264},
    {"_PROGRAMS": 1056},
    {"_STRIPS": 64, "_WARPS": 8},
    {"_STRIPS": 16, "_CHANNELS": 64},
)
"""How programs share the work otherwise than the package has it."""


def depthwise(bench: Bench, note: Note) -> None:
    """Seconds of the first step and milliseconds of a replayed one of a network; those of single layers, forward and both ways, in bf16."""
    for batch in bench.pick((128, 512), (4,)):
        row(note, f"mobile batch {batch}", functools.partial(_network_row, bench, batch))
    for shares in _SHARES:
        for layer in bench.pick(_LAYERS, ((8, 3, 1, 4, 2),)):
            channels, kernel, stride, side, batch = layer
            name = f"{channels} channels, {kernel} x {kernel}, stride {stride}, side {side}, {batch} images; {dict(shares) or 'as it is'}"
            if bench.left_s() < 0:
                return note("left out from", name)
            with mock.patch.dict(vars(depthwise_on_gpu), shares):
                row(note, name, functools.partial(_layer_row, bench, *layer))
        if bench.rehearse:
            break
    return None


def _kinds(bench: Bench) -> dict[str, contextlib.AbstractContextManager[object]]:
    """Whose kernels, and within what they are taken; in a rehearsal torch's alone.

    Own ones come first, so that they pay for whatever else a first step has to wait for.
    """
    theirs = mock.patch.object(depthwise_on_gpu, "takes", return_value=False)
    return {**({"own": contextlib.nullcontext()} if bench.cuda else {}), "cuDNN's": theirs}


def _network_row(bench: Bench, batch: int) -> dict[str, dict[str, float]]:
    compute, data = choose(str(bench.device)), resident_images(bench.pick(20_000, 64), bench.device)
    found = {}
    for whose, kernels in _kinds(bench).items():
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


def _layer_row(bench: Bench, channels: int, kernel: int, stride: int, side: int, batch: int) -> dict[str, dict[str, float]]:
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
    for whose, kernels in _kinds(bench).items():
        with kernels:
            found[whose] = {"first s": _seconds(bench, both)}
            for name, call in {"forward us": forward, "both ways us": both}.items():
                replayed = capture(call, warm_up=1).graph.replay if bench.cuda else call
                found[whose][name] = round(1000 * milliseconds(bench, replayed, at_most_s=0.1), 1)
    return found
