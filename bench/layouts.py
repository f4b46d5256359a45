"""How the order of an image's numbers in memory changes a step on a CPU: channels last beside channels first.

Networks of every family in the loop's own steps, one thread, random images of 32x32, batches of 128; CPU seconds of both layouts in turn,
their ratios' median and range. `python bench/layouts.py [--repetitions 5] [--seconds 2]`
"""

import argparse
import statistics
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from figures import machine
from gpu_nets import CONFIGS

from bohb_nas.training.data import ResidentData, resident
from bohb_nas.training.device import Compute, choose
from bohb_nas.training.learner import Learner, start

NETWORKS: Mapping[str, Mapping[str, Any]] = {
    "WRN-16-1": {"family": "wrn", "wrn_blocks": 2, "wrn_widen_factor": 1.0},
    **{name: CONFIGS[name] for name in ("default", "sampled 50 %", "sampled 50 %, in 8s", "cell", "mobile")},
}
Way = Callable[[], Learner]
"""Makes ready what is measured; the learner whose steps are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelsFirst(Compute):
    """A device for which channels come first."""

    @property
    def memory_format(self) -> torch.memory_format:
        """That layout."""
        return torch.contiguous_format


def step_s(learner: Learner, seconds: float) -> float:
    """CPU seconds of a step, from as many as fit, at least two."""
    positions = torch.arange(learner.recipe.batch_size)
    learner.step(positions, 0.01)
    began, n = time.process_time(), 0
    while n < 2 or time.process_time() - began < seconds:
        learner.step(positions, 0.01)
        n += 1
    return (time.process_time() - began) / n


def options(description: str | None, *, repetitions: int = 5, seconds: float = 2.0) -> argparse.ArgumentParser:
    """What a bench of two ways is asked."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repetitions", type=int, default=repetitions)
    parser.add_argument("--seconds", type=float, default=seconds, help="of each way in each repetition")
    return parser


def side_by_side(
    names: tuple[str, str],
    configs: Iterable[tuple[str, Mapping[str, Any]]],
    ways: Callable[[Mapping[str, Any], ResidentData, Compute], tuple[Way, Way]],
    asked: argparse.Namespace,
    *,
    side: int = 32,
    n_images: int = 256,
) -> None:
    """Prints a line for each network and number format: a step of both ways in turn, and how many times as long the first takes."""
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (n_images, side, side, 3), dtype=np.uint8), np.arange(n_images) % 10
    chosen = choose("cpu")
    data = resident(images, labels, train=np.arange(n_images), valid=np.arange(0), n_classes=10, device=chosen.device)
    print(f"{machine()}, one thread")
    for name, config in configs:
        for precision in dict.fromkeys(("fp32", chosen.precision)):
            both = ways(config, data, Compute(device=chosen.device, precision=precision))
            taken = [[step_s(way(), asked.seconds) for way in both] for _ in range(asked.repetitions)]
            one_ms, other_ms = (1e3 * statistics.median(column) for column in zip(*taken, strict=True))
            ratios = [one / other for one, other in taken]
            print(
                f"{name}, {precision}: {names[0]} {one_ms:.0f} ms, {names[1]} {other_ms:.0f} ms:"
                f" x {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f}), n = {len(ratios)}",
                flush=True,
            )


def layouts(config: Mapping[str, Any], data: ResidentData, compute: Compute) -> tuple[Way, Way]:
    """Channels first, and last."""
    computes = ChannelsFirst(device=compute.device, precision=compute.precision), compute
    first, last = (start(config, data=data, compute=one, seed=0) for one in computes)
    return lambda: first, lambda: last


if __name__ == "__main__":
    side_by_side(("channels first", "last"), NETWORKS.items(), layouts, options(__doc__).parse_args())
