"""How many images a second three well-known networks train on this device: measured where a step is short, else predicted."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np

from bohb_nas.baselines import BASELINES, NETWORK, network
from bohb_nas.errors import out_of_memory
from bohb_nas.layers.arithmetic import size
from bohb_nas.records import Value
from bohb_nas.training.clock import drain
from bohb_nas.training.data import ResidentData, resident
from bohb_nas.training.device import Compute
from bohb_nas.training.learner import start
from bohb_nas.training.peak import Peak
from bohb_nas.training.recording import STEPS_BEFORE
from bohb_nas.training.speed import speed
from bohb_nas.training.warm_up import whole_batch

LONGEST_S = 1.0
"""A step predicted to take longer at the least is not tried."""
_MEASURED_S = 1.0
"""Of steps at the least, unless there are `_STEPS` before."""
_STEPS = 20
_IMAGES = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Expectation:
    """Of one network on a device."""

    name: str
    batch_size: int
    images_per_s: float
    measured: bool
    """Else it is the bound that no training exceeds, from the device's peak."""
    bound: str
    """What the bound comes from: compute, bytes or launches."""
    mfu: float
    """Useful FLOPs over those of the device's peak."""
    note: str = ""
    """Why it was not measured."""


def networks_for(kind: str) -> dict[str, Mapping[str, Value]]:
    """Name -> configuration of three networks that suit a kind of device; smaller networks and batches on a processor."""
    catalogue = {b.name: b.config for b in BASELINES}
    if kind != "cpu":
        return {name: catalogue[name] for name in ("resnet18", "shake_shake_26_2x32d", "wrn_28_10")}
    usual = {**catalogue["wrn_28_10"], "batch_size": 32}
    plain = {f"nr_residual_blocks_{g}": 3 for g in (1, 2, 3)} | {f"res_branches_{g}": 1 for g in (1, 2, 3)}
    return {
        "resnet20": {**usual, "family": "multi_branch", **plain, "initial_filters": 16, "widen_factor_1": 1.0, "death_rate": 0.0},
        "wrn_16_2": {**usual, "wrn_blocks": 2, "wrn_widen_factor": 2.0},
        "shake_shake_26_2x32d": {**catalogue["shake_shake_26_2x32d"], "batch_size": 32},
    }


def random_images(compute: Compute) -> ResidentData:
    """Images of 32x32x3 in ten classes, of which nothing can be learned."""
    rng = np.random.default_rng(0)
    positions = np.arange(_IMAGES)
    return resident(
        rng.integers(0, 256, (_IMAGES, 32, 32, 3), dtype=np.uint8),
        rng.integers(0, 10, _IMAGES),
        train=positions,
        valid=positions[:0],
        n_classes=10,
        device=compute.device,
    )


def expect(
    name: str, config: Mapping[str, Value], *, data: ResidentData, compute: Compute, peak: Peak, now: Callable[[], float]
) -> Expectation:
    """What to expect of a network.

    Args:
        name: of the network.
        config: of the network, and of its training.
        data: to train on.
        compute: the device.
        peak: of the device.
        now: seconds of a monotonic clock.
    """
    batch_size = int(config["batch_size"])
    sizes = size(network(config), image_shape=data.image_shape, n_classes=data.n_classes)
    replayed = compute.device.type == "cuda"
    beside = partial(speed, sizes, batch_size=batch_size, element_bytes=compute.element_bytes, peak=peak, replayed=replayed)
    floor = beside(step_s=1.0)
    step_s, note = floor.floor_s, f"a step takes more than {LONGEST_S:g} s"
    if measured := floor.floor_s <= LONGEST_S:
        try:
            step_s, note = _step_seconds(config, data=data, compute=compute, now=now), ""
        except (RuntimeError, MemoryError) as e:
            if not out_of_memory(e):
                raise
            measured, note = False, "memory does not suffice for it"
        compute.release()
    found = beside(step_s=step_s)
    return Expectation(
        name=name,
        batch_size=batch_size,
        images_per_s=found.images_per_s,
        measured=measured,
        bound=found.bound,
        mfu=found.mfu,
        note=note,
    )


def _step_seconds(config: Mapping[str, Value], *, data: ResidentData, compute: Compute, now: Callable[[], float]) -> float:
    """Mean over some steps, after those that pay what only first steps cost."""
    learner = start(config, data=data, compute=compute, seed=0, network=NETWORK)
    positions = whole_batch(learner)
    for _ in range(STEPS_BEFORE + 2 if compute.asynchronous else 1):
        learner.step(positions, 0.0)
    drain(compute.device)
    began, n_steps = now(), 0
    while n_steps == 0 or (n_steps < _STEPS and now() - began < _MEASURED_S):
        learner.step(positions, 0.0)
        n_steps += 1
    drain(compute.device)
    return (now() - began) / n_steps
