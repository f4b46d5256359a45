"""Where and how precisely to compute: the device, its number format and memory layout."""

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal, TypeVar

import torch
from torch.nn import functional

from bohb_nas import spoilt
from bohb_nas.errors import OptionError, first_line, out_of_memory
from bohb_nas.training import allocator, control_group, visible
from bohb_nas.training.clock import drain

Precision = Literal["auto", "fp32", "bf16"]
_T = TypeVar("_T")
_LIBRARIES = 2**30
"""Bytes that the first work surely finds enough."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Compute:
    """A device and what suits it."""

    device: torch.device
    precision: Literal["fp32", "bf16"]
    """Of activations and of the arithmetic on them; weights, statistics and optimizer state stay in fp32."""

    @property
    def element_bytes(self) -> int:
        """Bytes of a number in the precision."""
        return 2 if self.precision == "bf16" else 4

    @property
    def memory_format(self) -> torch.memory_format:
        """Of images and filters: channels last, the faster one on GPUs and on CPUs."""
        return torch.channels_last

    @property
    def asynchronous(self) -> bool:
        """Whether work is queued, so that waiting for it after every step would leave the device idle."""
        return self.device.type != "cpu"

    @property
    def gains_from_fewer_kernels(self) -> bool:
        """Whether starting them may be what a step costs, so that merging and compiling them pays within minutes."""
        return self.device.type == "cuda"

    @property
    def prepares_for_shapes(self) -> bool:
        """Whether its library gets ready for every new number of images: .4 s for a network, seconds where cuDNN convolves depthwise."""
        return self.device.type == "cuda"

    @property
    def evaluation_batch(self) -> int:
        """Images per validation batch, if memory holds them; on a CPU what its cache does: at 256, fp32 took 1.3 to 1.6 times as long."""
        return 1024 if self.device.type == "cuda" else 128

    @property
    def name(self) -> str:
        """The device in words."""
        if self.device.type == "cuda":
            return torch.cuda.get_device_name(self.device)
        return f"{self.device.type}, {torch.get_num_threads()} threads"

    def free_bytes(self) -> int:
        """Memory that could still be taken, on the device or, for a CPU, of the host and of the control groups around us."""
        if self.device.type == "cuda":
            cached = torch.cuda.memory_reserved(self.device) - torch.cuda.memory_allocated(self.device)
            return torch.cuda.mem_get_info(self.device)[0] + cached
        return min(_host_bytes("MemAvailable"), control_group.free_bytes(control_group.around_us()))

    def total_bytes(self) -> int:
        """Memory of the device, or of the host that a CPU is of, whoever has it now."""
        if self.device.type == "cuda":
            return int(torch.cuda.get_device_properties(self.device).total_memory)
        return min(_host_bytes("MemTotal"), control_group.memory_bytes(control_group.around_us()))

    def release(self) -> None:
        """Gives cached memory back to the device, or to the host that a CPU is of; one that refuses costs no result, but is noted."""
        if self.device.type == "cuda":
            try:
                torch.cuda.empty_cache()
            except RuntimeError as e:
                spoilt.note(f"the device takes no memory back: {first_line(e)}")
        elif self.device.type == "cpu":
            allocator.give_back()

    def fitting(self, work: Callable[[int], _T], at_once: int, *, least: int = 1) -> tuple[_T, int]:
        """What `work` answers for the most images at once for which memory suffices, and how many: `at_once`, else ever half, rounded up.

        Raises:
            RuntimeError, MemoryError: it does not suffice for `least`.
        """
        while True:
            try:
                return work(at_once), at_once
            except (RuntimeError, MemoryError) as e:
                if not out_of_memory(e) or at_once // 2 < least:
                    raise
            self.release()  # here, where the exception no longer holds the tensors
            at_once = -(-at_once // 2)

    def untried(self) -> AbstractContextManager[None]:
        """A context in which cuDNN takes the algorithms that it expects to be fastest, without trying any: for what is done a few times."""
        return _meanwhile(torch.backends.cudnn, "benchmark", to=False)

    def unrounded(self) -> AbstractContextManager[None]:
        """A context in which convolutions in fp32 multiply in fp32: on its own a GPU rounds what they multiply to TF32, if it can."""
        return _meanwhile(torch.backends.cudnn, "allow_tf32", to=False)

    def rounded_alike(self) -> AbstractContextManager[None]:
        """A context in which products of matrices in fp32 round as convolutions do, which on their own may not."""
        return _meanwhile(torch.backends.cuda.matmul, "allow_tf32", to=torch.backends.cudnn.allow_tf32)

    def autocast(self) -> AbstractContextManager[None]:
        """The number format as a context around forward passes."""
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.precision == "bf16")


@contextmanager
def _meanwhile(switches: Any, name: str, *, to: bool) -> Iterator[None]:
    """Sets a switch of torch's, and puts it back."""
    before = getattr(switches, name)
    setattr(switches, name, to)
    try:
        yield
    finally:
        setattr(switches, name, before)


def choose(device: str | None = None, precision: Precision = "auto") -> Compute:
    """The named device, or the first accelerator, or the CPU; bf16 where the hardware multiplies it.

    Raises:
        OptionError: no such device here, or torch cannot use the GPU that was named, or the one that it found.
    """
    os.environ.setdefault("CUDA_DEVICE_ORDER", "PCI_BUS_ID")  # before CUDA starts: cuda:N is the GPU that nvidia-smi calls N
    try:
        named = device or torch.accelerator.current_accelerator(check_available=True) or ("cuda" if visible.given() else "cpu")
        chosen = torch.empty(0, device=named).device
        if chosen.type == "meta":
            raise RuntimeError("it computes nothing")
    except (RuntimeError, AssertionError, ImportError) as e:
        why = str(e).splitlines()[0].partition(". ")[0]  # torch goes on with the names of all that it has kernels for
        raise OptionError(_refused(device, why)) from e
    if chosen.type == "cuda":
        torch.cuda.set_device(chosen)  # streams, recordings and kernels that name no device go there, and questions of what it can do
        torch.backends.cudnn.benchmark = True
    elif chosen.type == "cpu":
        allocator.keep()
    if precision == "auto":
        precision = "bf16" if multiplies_bf16(chosen) else "fp32"
    compute = Compute(device=chosen, precision=precision)
    if chosen.type == "cuda":
        _begin(compute, device)
    return compute


def _begin(compute: Compute, device: str | None) -> None:
    """Does the first work on a GPU; one that others fill is no worse for it: trials say that memory ran out, or it is free by then.

    Raises:
        OptionError: it does not work: torch has no kernels for it, or its libraries do not suit the driver.
    """
    try:
        with compute.untried():
            first_work(compute.device)
    except RuntimeError as e:
        full = isinstance(e, torch.OutOfMemoryError) or (out_of_memory(e) and compute.free_bytes() < _LIBRARIES)
        if not full:  # a library that is broken may say so, too
            raise OptionError(_refused(device, first_line(e))) from e


@cache
def first_work(device: torch.device) -> None:
    """A convolution and a product of matrices there, forward and backward, once by a process.

    Whether torch has kernels for a GPU shows at the first one that starts. And cuDNN and cuBLAS make a handle in each thread that works,
    this one and that of the backward pass; made in the first step of a network that has taken the memory, they fail. The second or less
    that it takes to load them is one that the first step would take.
    """
    with torch.enable_grad():
        images, filters, weight = (torch.ones(shape, device=device, requires_grad=True) for shape in ((1, 8, 4, 4), (8, 8, 3, 3), (32, 8)))
        (functional.conv2d(images, filters).flatten(1) @ weight).sum().backward()  # type: ignore[no-untyped-call]
    drain(device)


def _refused(device: str | None, why: str) -> str:
    """Why a device cannot be used, and what can; None is the first accelerator."""
    if device is not None:
        return f"device {device!r} cannot be used: {why}; accepted are cpu, cuda, cuda:N of a GPU present that this torch was built for"
    given = os.environ.get(visible.NAME, "not set")
    return (
        f"torch {torch.__version__} cannot use the GPU that it was given ({visible.NAME}={given}): {why}; install a torch with CUDA that "
        "the driver supports and that was built for this GPU (https://pytorch.org/get-started/locally), name another GPU, or set "
        f'{visible.NAME}="" to train on the processor'
    )


def multiplies_bf16(device: torch.device) -> bool:
    """Whether the hardware does."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return device.type == "cpu" and bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


def no_memory(e: BaseException) -> str:
    """In one line that memory ran out, and what the exception says of it."""
    return f"out of memory: {first_line(e)}"


def _host_bytes(entry: str) -> int:
    """What the kernel says of the host's memory."""
    said = next(line for line in Path("/proc/meminfo").read_text().splitlines() if line.startswith(f"{entry}:"))
    return int(said.split()[1]) * 1024
