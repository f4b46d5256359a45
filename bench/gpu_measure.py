"""How the GPU benchmark measures: time of queued work, capture as a CUDA graph, kernels of a call."""

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor
from torch._C._autograd import DeviceType

from bohb_nas.training.recording import Recorder, Work, record

T = TypeVar("T")
Call = Callable[[], object]
WARM_UP = 3
"""Calls before a capture: libraries choose their algorithms and optimizers make their state in these."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """Where to measure and at which size."""

    device: torch.device
    rehearse: bool
    """Tiny sizes: nothing is measured, everything is run."""
    ends: float
    """When to have finished, by `time.monotonic`."""

    @property
    def cuda(self) -> bool:
        return self.device.type == "cuda"

    @property
    def recorder(self) -> Recorder:
        """Records steps as a CUDA graph; in a rehearsal the same steps once more."""
        return record if self.cuda else _again

    def left_s(self) -> float:
        """Seconds until the end."""
        return self.ends - time.monotonic()

    def pick(self, real: T, rehearsal: T) -> T:
        """The real value, or the one of a rehearsal."""
        return rehearsal if self.rehearse else real


def _again(work: Work, inputs: tuple[Tensor, ...]) -> Callable[[], None]:
    return lambda: work(*inputs)


def milliseconds(bench: Bench, call: Call, *, at_most_s: float = 0.3) -> float:
    """Milliseconds of a call that queues work: the median of five stretches of equal length, after one stretch to warm up.

    Args:
        bench: where the work runs.
        call: what to repeat.
        at_most_s: about how long all of it may take.
    """
    if bench.rehearse:
        at_most_s = 0.0
    once = _stretch(bench, call, 1)
    n = max(1, min(200, int(at_most_s / 6 / max(once, 1e-6))))
    if n > 1:
        n = max(1, min(1000, int(at_most_s / 6 / max(_stretch(bench, call, n) / n, 1e-6))))
    return 1000 * statistics.median(_stretch(bench, call, n) / n for _ in range(1 if bench.rehearse else 5))


def _stretch(bench: Bench, call: Call, n: int) -> float:
    """Seconds of n calls, begun and ended on an idle device."""
    synchronise(bench)
    began = time.perf_counter()
    for _ in range(n):
        call()
    synchronise(bench)
    return time.perf_counter() - began


def synchronise(bench: Bench) -> None:
    """Waits for the device."""
    if bench.cuda:
        torch.cuda.synchronize()


@dataclass(frozen=True, slots=True, kw_only=True)
class Captured:
    """A call as a CUDA graph."""

    graph: torch.cuda.CUDAGraph
    warm_up_s: float
    capture_s: float


def capture(call: Call, generators: Sequence[torch.Generator] = (), *, warm_up: int = WARM_UP) -> Captured:
    """Captures a call after some calls of it on a side stream.

    Args:
        call: what to capture; it leaves its results in tensors that outlive it.
        generators: CUDA generators that it draws from; without this the capture fails at the first draw.
        warm_up: calls before the capture.
    """
    began = time.perf_counter()
    side = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(warm_up):
            call()
    torch.cuda.current_stream().wait_stream(side)
    torch.cuda.synchronize()
    warm = time.perf_counter()
    graph = torch.cuda.CUDAGraph()
    for generator in generators:
        graph.register_generator_state(generator)
    with torch.cuda.graph(graph):
        call()
    torch.cuda.synchronize()
    return Captured(graph=graph, warm_up_s=warm - began, capture_s=time.perf_counter() - warm)


@dataclass(frozen=True, slots=True, kw_only=True)
class Kernels:
    """What a call gives the device to do."""

    n: int
    copies: int
    """Copies and fills of memory, not among the kernels."""
    busy_ms: float
    """Sum of their durations."""
    longest: dict[str, float]
    """Milliseconds of the five kernels that take most, by the beginning of their names."""


def kernels(call: Call) -> Kernels:
    """The kernels of one call, by torch's profiler; what is timed in the same process afterwards may be slower for it."""
    torch.cuda.synchronize()
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profile:
        call()
        torch.cuda.synchronize()
    n, copies, busy_us, by_name = 0, 0, 0.0, dict[str, float]()
    for event in profile.events() or []:
        if event.device_type != DeviceType.CUDA or getattr(event, "is_user_annotation", False):
            continue
        us = event.time_range.elapsed_us()
        busy_us += us
        if event.name.startswith(("Memcpy", "Memset")):
            copies += 1
        else:
            n += 1
        by_name[event.name[:80]] = by_name.get(event.name[:80], 0.0) + us / 1000
    longest = dict(sorted(by_name.items(), key=lambda item: -item[1])[:5])
    return Kernels(n=n, copies=copies, busy_ms=busy_us / 1000, longest=longest)
