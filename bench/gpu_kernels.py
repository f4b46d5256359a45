"""Sections of the GPU benchmark below the level of networks: ceilings, launches, branches of a block, the data path."""

import dataclasses
import itertools
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from gpu_measure import Bench, capture, milliseconds, synchronise
from gpu_nets import FORMS
from torch import Tensor, nn
from torch.nn import functional

from bohb_nas.errors import first_line
from bohb_nas.training.augment import augment
from bohb_nas.training.data import ResidentData, resident, to_device
from bohb_nas.training.networks import Form
from bohb_nas.training.recipe import read

Note = Callable[[str, Any], None]
"""Keeps a result under a name, and prints it."""


def row(note: Note, name: str, measure: Callable[[], Any]) -> None:
    """Notes what a measurement finds, or why it finds nothing: the other rows of a section are worth having."""
    try:
        found = measure()
    except Exception as e:  # noqa: BLE001 - no memory, no recording, no algorithm, or a mistake in one row
        found = f"failed: {type(e).__name__}: {first_line(e)}"[:200]
    note(name, found)


def ceilings(bench: Bench, note: Note) -> None:
    """What the card does at best: matrix products on random numbers, and memory."""
    for side in bench.pick((4096, 8192, 16384), (64,)):
        a, b = (torch.randn(side, side, device=bench.device, dtype=torch.bfloat16) for _ in range(2))
        out = torch.empty_like(a)
        ms = milliseconds(bench, lambda a=a, b=b, out=out: torch.mm(a, b, out=out), at_most_s=1.0)  # type: ignore[misc]
        note(f"bf16 matmul {side} TFLOP/s", round(2e-9 * side**3 / ms, 1))
    n = bench.pick(2**29, 2**12)
    x, y, z = (torch.rand(n, device=bench.device) for _ in range(3))
    note("copy TB/s", round(8e-9 * n / milliseconds(bench, lambda: y.copy_(x), at_most_s=1.0), 3))
    note("triad TB/s", round(12e-9 * n / milliseconds(bench, lambda: torch.add(x, y, alpha=3.0, out=z), at_most_s=1.0), 3))


def launches(bench: Bench, note: Note) -> None:
    """Microseconds per small kernel, one after the other: given by Python, and within a graph."""
    x = torch.zeros(256, device=bench.device)
    weight, image = torch.randn(16, 16, 3, 3, device=bench.device), torch.randn(8, 16, 8, 8, device=bench.device)
    norm = nn.BatchNorm2d(16, device=bench.device)
    n = bench.pick(1000, 3)
    calls: dict[str, Callable[[], object]] = {
        "add": lambda: x.add_(1.0),
        "conv3x3": lambda: functional.conv2d(image, weight, padding=1),
        "batch norm (2 kernels)": lambda: norm(image),
    }
    for name, call in calls.items():

        def many(call: Callable[[], object] = call) -> None:
            for _ in range(n):
                call()

        with torch.no_grad():
            note(f"{name} eager us", round(1000 * milliseconds(bench, many, at_most_s=0.5) / n, 2))
            if bench.cuda:
                note(f"{name} graph us", round(1000 * milliseconds(bench, capture(many, warm_up=1).graph.replay, at_most_s=0.5) / n, 2))


class Branches(nn.Module):
    """The branches of a residual block, computed apart, with one first convolution, or with one grouped second one as well."""

    def __init__(self, channels: int, n: int, form: Form) -> None:
        super().__init__()
        merged = form != "apart"
        self.first = _convolutions(channels, n, 1 if merged else n)
        self.second = _convolutions(channels, n, n if form != "grouped" else 1, groups=n)

    def forward(self, x: Tensor) -> Tensor:
        """[N, C, H, W] -> [N, n C, H, W]."""
        hidden = [functional.relu(first(x)) for first in self.first]
        if len(self.first) < len(self.second):
            hidden = list(hidden[0].chunk(len(self.second), 1))
        outs = [second(part) for second, part in zip(self.second, hidden, strict=True)]
        return torch.cat(outs, 1)


def _convolutions(channels: int, n: int, parts: int, *, groups: int = 0) -> nn.ModuleList:
    """Convolutions, each with its normalisation, to n times `channels` in all; one with `groups` groups reads n times as many."""
    into, out = channels, channels * n // parts
    grouped = groups if groups and parts == 1 else 1
    layers = (
        nn.Sequential(nn.Conv2d(into * grouped, out, 3, padding=1, groups=grouped, bias=False), nn.BatchNorm2d(out)) for _ in range(parts)
    )
    return nn.ModuleList(layers)


def branches(bench: Bench, note: Note) -> None:
    """Milliseconds of forward and backward through a block's branches in bf16, channels last, in a graph, for each form."""
    shapes = bench.pick(((32, 128), (16, 128), (8, 128), (16, 512), (8, 512), (32, 512)), ((8, 4),))
    counts, channels = bench.pick((2, 4), (2,)), bench.pick((16, 64, 128, 32, 8, 256), (8,))
    for side, batch in shapes:
        for c, n in itertools.product(channels, counts):
            name = f"n={n} C={c} {side}x{side} batch={batch}"
            if bench.left_s() < 0:
                return note("left out from", name)
            note(name, {form: _block_ms(bench, c, n, form, side, batch) for form in FORMS})
    return None


def _block_ms(bench: Bench, channels: int, n: int, form: Form, side: int, batch: int) -> float | str:
    """The milliseconds, or why there are none."""
    module = Branches(channels, n, form).to(bench.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    x = torch.randn(batch, channels, side, side, device=bench.device).contiguous(memory_format=torch.channels_last).requires_grad_()
    gradient = torch.randn(batch, n * channels, side, side, device=bench.device, dtype=torch.bfloat16)
    gradient = gradient.contiguous(memory_format=torch.channels_last)

    def step() -> None:
        x.grad = None
        module.zero_grad(set_to_none=True)
        with torch.autocast(bench.device.type, dtype=torch.bfloat16):
            out = module(x)
        out.backward(gradient)

    try:
        call = capture(step, warm_up=1).graph.replay if bench.cuda else step
    except RuntimeError as e:  # a shape that the library has no algorithm for
        return str(e).splitlines()[0][:80]
    return round(milliseconds(bench, call, at_most_s=0.04), 4)


def synthetic(n: int, *, seed: int = 0) -> tuple[np.ndarray[Any, np.dtype[np.uint8]], np.ndarray[Any, np.dtype[np.int64]]]:
    """Random 32x32 images [n, 32, 32, 3], and labels of 0..9 [n] that a linear rule fixes: the brightest of ten regions."""
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 200, (n, 32, 32, 3), dtype=np.uint8)
    labels = rng.integers(0, 10, n)
    for label in range(10):
        images[labels == label, 3 * label : 3 * label + 3] += 55
    return images, labels


def resident_images(n: int, device: torch.device) -> ResidentData:
    """Synthetic images on the device, a tenth of them held out."""
    images, labels = synthetic(n)
    train, valid = np.arange(n // 10, n), np.arange(n // 10)
    return resident(images, labels, train=train, valid=valid, n_classes=10, device=device)


def data_path(bench: Bench, note: Note) -> None:
    """Bringing a data set over, and microseconds per image of augmentation, by Python and, where the host draws nothing, in a graph."""
    n = bench.pick(50_000, 64)
    images, _ = synthetic(n)
    synchronise(bench)
    for attempt in ("first", "again"):
        began = time.perf_counter()
        to_device(images, bench.device)
        synchronise(bench)
        note(f"to the device, {n} images, {attempt}, s", round(time.perf_counter() - began, 3))
    data = resident_images(n, bench.device)
    recipes = {
        "crop+flip": {},
        "crop+flip+cutout": {"cutout": "on"},
        "crop+flip+cutout+mixup": {"cutout": "on", "mixing": "mixup"},
        "crop+flip+cutmix": {"mixing": "cutmix"},
        "crop+flip+TrivialAugment": {"policy": "trivial"},
        "crop+flip+RandAugment": {"policy": "rand"},
    }
    for (name, config), batch in itertools.product(recipes.items(), bench.pick((128, 1024, 16384), (8,))):
        if bench.left_s() < 0:
            return note("left out from", f"{name}, batch {batch}")
        note(f"{name}, batch {batch}, us/image", _augmentation_us(bench, data, config, batch))
    return None


def _augmentation_us(bench: Bench, data: ResidentData, config: dict[str, Any], batch: int) -> dict[str, float]:
    generator = torch.Generator(bench.device).manual_seed(0)
    host, recipe, positions = torch.Generator().manual_seed(0), read(config)[1], data.train[:batch]

    def call() -> None:
        images, _, _ = augment(data, positions, recipe, generator=generator, host=host)
        images.contiguous(memory_format=torch.channels_last)

    found = {"eager": round(1000 * milliseconds(bench, call, at_most_s=0.15) / batch, 4)}
    if bench.cuda and not recipe.policy:
        found["graph"] = round(1000 * milliseconds(bench, capture(call, [generator]).graph.replay, at_most_s=0.15) / batch, 4)
    return found


def shortened(bench: Bench, seconds: float) -> Bench:
    """The same bench, to end so many seconds from now, or with the whole if that is sooner."""
    return dataclasses.replace(bench, ends=min(bench.ends, time.monotonic() + seconds))
