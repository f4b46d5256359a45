"""Section of the GPU benchmark on the training loop itself: images per second under each policy of augmentation."""

import functools
import itertools
from collections.abc import Mapping
from typing import Any

from gpu_kernels import Note, resident_images, row
from gpu_measure import Bench
from gpu_nets import CONFIGS, learner, network

from bohb_nas.training import schedules
from bohb_nas.training.clock import TrainingClock
from bohb_nas.training.device import Compute, choose
from bohb_nas.training.loop import Plan, fit

POLICIES: Mapping[str, Mapping[str, Any]] = {
    "crop and flip": {},
    "cutout": {"cutout": "on"},
    "cutmix": {"mixing": "cutmix"},
    "TrivialAugment": {"policy": "trivial"},
    "RandAugment(2, 9)": {"policy": "rand"},
    "AutoAugment": {"policy": "auto_cifar10"},
    "searched, 2 operators": {"policy": "searched", "searched_n": 2},
}
_NETWORKS = ("default", "WRN-16-4", "cell", "mobile")


def policies(bench: Bench, note: Note) -> None:
    """Images per second of whole trainings after their first tenth, and how much longer an epoch is than with crop and flip."""
    compute = choose(str(bench.device))
    clock, data = TrainingClock(compute.device), resident_images(bench.pick(20_000, 64), bench.device)
    for batch, name in itertools.product(bench.pick((128, 512), (4,)), bench.pick(_NETWORKS, _NETWORKS[:1])):
        if bench.left_s() < 0:
            return note("left out from", f"{name} batch {batch}")
        row(note, f"{name} batch {batch}", functools.partial(_policy_row, bench, name, batch, compute, clock, data))
    return None


def _policy_row(bench: Bench, name: str, batch: int, compute: Compute, clock: TrainingClock, data: Any) -> dict[str, str]:
    found: dict[str, float] = {}
    for policy, recipe in POLICIES.items():
        if bench.left_s() < 0:
            break
        config = {**CONFIGS[name], **recipe, "batch_size": batch}
        plan = Plan(budget_s=1e9, schedule=schedules.cosine, max_steps=bench.pick(600 if batch < 500 else 300, 12))
        curve = fit(learner(network(name), config, data=data, compute=compute), plan, clock, lambda _: None).curve
        first, last = next(point for point in curve if point["u"] >= 0.1), curve[-1]
        found[policy] = batch * (last["step"] - first["step"]) / (last["t"] - first["t"])
    return {policy: f"{rate:.0f} ({100 * (found['crop and flip'] / rate - 1):+.1f} %)" for policy, rate in found.items()}
