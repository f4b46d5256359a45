"""Whether the kernels that this package brings for GPUs run on a device, and why not: of normalisations and of depthwise convolutions."""

from functools import cache

import torch

from bohb_nas.errors import first_line, out_of_memory
from bohb_nas.training.clock import drain

KINDS = (torch.float32, torch.bfloat16, torch.float16)
"""Of numbers that the kernels take."""


def run_on(device: torch.device) -> bool:
    """Whether layers have kernels of their own there, unless they are compiled."""
    return device.type == "cuda" and refusal(device) is None


def refusal(device: torch.device) -> str | None:
    """Why the kernels do not run on a GPU: without Triton, without the C compiler that it needs, on an old GPU.

    None where they run, and for devices that they are not for. Best asked before a network takes the memory.

    Raises:
        RuntimeError, MemoryError: there is no memory for trying them; asked again, they are tried again.
    """
    return _tried(device) if device.type == "cuda" else None


@cache
def _tried(device: torch.device) -> str | None:
    """What went wrong with a few numbers there; tried once, not while a step is recorded."""
    from bohb_nas.training.networks.depthwise_on_gpu import convolve  # these ask this module
    from bohb_nas.training.networks.normalisation import Norm, normalise

    try:
        with torch.enable_grad():
            x = torch.ones(2, 8, 2, 2, device=device, requires_grad=True)
            weight = torch.ones(8, 1, 3, 3, device=device, requires_grad=True)
            normalise(Norm(8).to(device), convolve(x, weight, stride=1, padding=1)).sum().backward()  # type: ignore[no-untyped-call]
        drain(device)
    except Exception as e:  # a compiler and its surroundings fail in any way; results and `doctor` say in which
        if out_of_memory(e):
            raise
        return first_line(e)
    return None
