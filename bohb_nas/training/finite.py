"""Whether numbers are finite."""

from collections.abc import Iterable

import torch
from torch import Tensor


def finite(tensors: Iterable[Tensor]) -> bool:
    """Whether all numbers of those of floating point are; waits for each device once."""
    flags: dict[torch.device, list[Tensor]] = {}
    for tensor in tensors:
        if tensor.is_floating_point():
            flags.setdefault(tensor.device, []).append(torch.isfinite(tensor).all())
    return all(bool(torch.stack(of_device).all()) for of_device in flags.values())
