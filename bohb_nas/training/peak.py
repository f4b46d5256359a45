"""What a device can do at best, measured in a fraction of a second: arithmetic, memory, and how fast work can be started."""

import functools
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from bohb_nas.training.clock import drain
from bohb_nas.training.device import Compute
from bohb_nas.training.recording import record

_REPETITIONS = 5
_RECORDED = 100
"""Small operations of a recording."""
_SMALLEST_SIDE = 1024
"""Of a matrix; what a smaller one takes says nothing of a device."""
_SMALLEST_BYTES = 2**24
_SHORTEST_S = 0.01
"""A repetition goes on for so long."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Peak:
    """The fastest that was seen of a device."""

    flops: float
    """Floating point operations per second of a large matrix product in the precision of the training; fp32 rounded as convolutions do."""
    bytes: float
    """Bytes per second of a copy, read and written."""
    launch_s: float
    """Seconds that the smallest operation takes when many are queued one after another."""
    replay_s: float
    """The same within a recorded step; of a device that records nothing, `launch_s`."""


@functools.cache
def of(compute: Compute) -> Peak:
    """The peak of a device, measured once by a process."""
    return measure(compute)


def measure(compute: Compute, *, now: Callable[[], float] = time.perf_counter) -> Peak:
    """Measures a device; about 0.3 s, and memory for 3 matrices, then for 2 buffers: smaller ones where there is less.

    Args:
        compute: the device and the precision.
        now: seconds of a monotonic clock.

    Raises:
        RuntimeError, MemoryError: there is not even memory for the smallest.
    """
    side, n_bytes = (8192, 2**28) if compute.asynchronous else (1024, 2**26)
    flops, _ = compute.fitting(lambda side: 2 * side**3 / _matmul_s(side, compute, now), side, least=_SMALLEST_SIDE)
    moved, _ = compute.fitting(lambda n_bytes: 2 * n_bytes / _copy_s(n_bytes, compute, now), n_bytes, least=_SMALLEST_BYTES)
    small = torch.zeros(1, device=compute.device)
    launch_s = _seconds(lambda: small.add_(1), compute, now)
    replay_s = _seconds(_recorded(small), compute, now) / _RECORDED if compute.device.type == "cuda" else launch_s
    return Peak(flops=flops, bytes=moved, launch_s=launch_s, replay_s=replay_s)


def _matmul_s(side: int, compute: Compute, now: Callable[[], float]) -> float:
    kind = torch.bfloat16 if compute.precision == "bf16" else torch.float32
    generator = torch.Generator(compute.device).manual_seed(0)
    # random numbers: constant ones draw less power, and a GPU multiplies them a third faster
    a, b = (torch.randn(side, side, generator=generator, dtype=kind, device=compute.device) for _ in range(2))
    product = torch.empty(side, side, dtype=kind, device=compute.device)
    with compute.rounded_alike():  # convolutions are nearly all that a network multiplies
        return _seconds(lambda: torch.mm(a, b, out=product), compute, now)


def _copy_s(n_bytes: int, compute: Compute, now: Callable[[], float]) -> float:
    source = torch.zeros(n_bytes, dtype=torch.uint8, device=compute.device)
    target = torch.empty_like(source)
    return _seconds(lambda: target.copy_(source), compute, now)


def _recorded(small: Tensor) -> Callable[[], None]:
    def work() -> None:
        for _ in range(_RECORDED):
            small.add_(1)

    return record(work, ())


def _seconds(work: Callable[[], object], compute: Compute, now: Callable[[], float]) -> float:
    """Of one piece of work in a queue of as many as fill the shortest repetition: the least of some repetitions."""
    work()
    drain(compute.device)
    once = _queue(work, 3, compute, now)
    n = max(1, round(_SHORTEST_S / max(once, 1e-7)))
    return min(_queue(work, n, compute, now) for _ in range(_REPETITIONS))


def _queue(work: Callable[[], object], n: int, compute: Compute, now: Callable[[], float]) -> float:
    started = now()
    for _ in range(n):
        work()
    drain(compute.device)
    return (now() - started) / n
