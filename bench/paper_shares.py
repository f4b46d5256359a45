"""What augmentation takes of a training step of ours, by policy, on the median network of the joint space and on larger ones."""

import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch

from bohb_nas import networks
from bohb_nas.training.augment import augment
from bohb_nas.training.clock import drain
from bohb_nas.training.data import Batches, ResidentData, resident
from bohb_nas.training.device import Compute
from bohb_nas.training.learner import start
from bohb_nas.training.recipe import read

_BATCH = 128
_SAMPLES = 501
POLICIES: Mapping[str, Mapping[str, Any]] = {
    "crop and flip": {},
    "alternating flip": {"flip": "alternating"},
    "cutout": {"cutout": "on"},
    "random erasing": {"erasing": "on"},
    "mixup": {"mixing": "mixup"},
    "cutmix": {"mixing": "cutmix"},
    "TrivialAugment": {"policy": "trivial"},
    "RandAugment(2, 9)": {"policy": "rand"},
    "AutoAugment, CIFAR-10": {"policy": "auto_cifar10"},
    "searched, 2 operators": {"policy": "searched", "searched_n": 2},
}
"""Name -> configuration of the augmentation."""


def median_network() -> tuple[dict[str, Any], float]:
    """The architecture of the joint space with the median FLOPs among so many samples of a fixed seed, and its forward MFLOP."""
    from bohb_nas.search_spaces import joint

    space = joint.space()
    space.seed(0)
    names = networks.accepted()
    sampled = [{n: v for n, v in dict(c).items() if n in names} for c in space.sample_configuration(_SAMPLES)]
    plain = [{n: v.item() if isinstance(v, np.generic) else v for n, v in config.items()} for config in sampled]
    priced = sorted(((networks.size(config)["flops"] / 1e6, i) for i, config in enumerate(plain)))
    mflop, i = priced[_SAMPLES // 2]
    return plain[i], mflop


def shares(compute: Compute, repetitions: int, seconds: float) -> None:
    """Prints, by policy: microseconds an image, the share of a step, and how much longer an epoch is than with crop and flip.

    Both follow from the time of a step with crop and flip and from that of each policy alone, taken in turn: the difference of
    two whole steps would drown in the noise of the machine.
    """
    images, labels = np.random.default_rng(0).integers(0, 256, (4096, 32, 32, 3), dtype=np.uint8), np.zeros(4096, np.int64)
    everything = np.arange(4096)
    data = resident(images, labels, train=everything, valid=everything[:0], n_classes=10, device=compute.device)
    architecture, mflop = median_network()
    family = architecture.get("family", "zela2018")
    wanted: dict[str, Mapping[str, Any]] = {f"median of joint ({mflop:.0f} MFLOP, {family})": architecture}
    wanted |= {"default of zela2018": {}, "default of wrn": {"family": "wrn"}}
    calls: dict[str, Callable[[], object]] = {name: _step(data, config, compute) for name, config in wanted.items()}
    calls |= {name: _augmentation(data, config, compute) for name, config in POLICIES.items()}
    took: dict[str, list[float]] = {name: [] for name in calls}
    for call in calls.values():
        for _ in range(6 if compute.asynchronous else 1):
            call()
    for _ in range(repetitions):
        for name, call in calls.items():
            took[name].append(_microseconds(call, compute, seconds if name in wanted else seconds / 5))
    medians = {name: statistics.median(values) for name, values in took.items()}
    for name, config in wanted.items():
        print(f"  {name}: {medians[name]:.1f} us an image; forward {networks.size(config)['flops'] / 1e6:.0f} MFLOP", flush=True)
    for policy in POLICIES:
        columns = []
        for name in wanted:
            others = medians[name] - medians["crop and flip"]
            whole = others + medians[policy]
            columns.append(f"{100 * medians[policy] / whole:5.1f} % {100 * (whole / medians[name] - 1):+5.1f} %")
        print(f"  {policy:22} {medians[policy]:7.1f} us an image; share of step, longer epoch: " + "; ".join(columns), flush=True)


def _step(data: ResidentData, config: Mapping[str, Any], compute: Compute) -> Callable[[], object]:
    learner = start({**config, "batch_size": _BATCH}, data=data, compute=compute, seed=0)
    positions = Batches(data.train, _BATCH, learner.streams.order)
    return lambda: learner.step(next(positions), 0.01)


def _augmentation(data: ResidentData, config: Mapping[str, Any], compute: Compute) -> Callable[[], object]:
    recipe, generator = read(config)[1], torch.Generator(compute.device).manual_seed(0)
    host, positions = torch.Generator().manual_seed(0), Batches(data.train, _BATCH, generator)

    def call() -> None:
        out, _, _ = augment(data, next(positions), recipe, generator=generator, host=host)
        out.contiguous(memory_format=compute.memory_format)

    return call


def _microseconds(call: Callable[[], object], compute: Compute, seconds: float) -> float:
    """An image, for about so many seconds of CPU time, or on CUDA of wall time."""
    now = time.perf_counter if compute.asynchronous else time.process_time
    drain(compute.device)
    began, n = now(), 0
    while n < 2 or now() - began < seconds:
        call()
        n += 1
    drain(compute.device)
    return 1e6 * (now() - began) / (n * _BATCH)
