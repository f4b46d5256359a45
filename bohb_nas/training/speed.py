"""How fast a training was beside what its device could have done: useful FLOPs, and the floor under the time of a step."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from bohb_nas.training.peak import Peak

Bound = Literal["compute", "bytes", "launches"]

_PASSES = 6
"""Over every element that a layer writes: twice in the forward pass (write, read) and four times in the backward pass."""
_WEIGHT_PASSES = 8
"""Over every trained number in fp32: weight, gradient and optimizer state, read and written, and cast for the next step."""
_KERNELS = 3
"""For every operation of the forward pass: itself, and the gradients of its input and of its weights."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Speed:
    """Of the steps of one training."""

    images_per_s: float
    mfu: float
    """Model FLOPs utilisation: useful FLOPs per second over those of the device's peak (Chowdhery et al. 2022, appendix B)."""
    floor_s: float
    """Of a step: no time below is possible, as far as this model of costs goes."""
    bound: Bound
    """What the floor comes from."""
    efficiency: float
    """Floor over measured step; what the code, not the network, is to blame for."""


def training_flops(size: Mapping[str, float]) -> float:
    """FLOPs of both passes of an image: three times those of the forward pass, less the gradient of the image, which nobody needs."""
    return 3 * size["flops"] - size["first_flops"]


def speed(size: Mapping[str, float], *, batch_size: int, step_s: float, element_bytes: int, peak: Peak, replayed: bool) -> Speed:
    """Puts the time of a step in relation to its floor, the largest of three times.

    Args:
        size: of one image's forward pass: "flops", "first_flops" of the layer that sees the image, "activations" written,
            "kernels" started; and "params".
        batch_size: images of a step.
        step_s: seconds that it took.
        element_bytes: of an activation.
        peak: of the device.
        replayed: whether the step was recorded and replayed.
    """
    flops = batch_size * training_flops(size)
    moved = batch_size * size["activations"] * element_bytes * _PASSES + size["params"] * 4 * _WEIGHT_PASSES
    floors: dict[Bound, float] = {
        "compute": flops / peak.flops,
        "bytes": moved / peak.bytes,
        "launches": size["kernels"] * _KERNELS * (peak.replay_s if replayed else peak.launch_s),
    }
    bound = max(floors, key=floors.__getitem__)
    return Speed(
        images_per_s=batch_size / step_s,
        mfu=flops / step_s / peak.flops,
        floor_s=floors[bound],
        bound=bound,
        efficiency=floors[bound] / step_s,
    )
