"""How the order of an image's numbers in memory changes a step on a CPU: channels last beside channels first.

Networks of every family in the loop's own steps, one thread, random images of 32x32, batches of 128; CPU seconds of both layouts in turn,
their ratios' median and range. `python bench/layouts.py [--repetitions 5] [--seconds 2]`
"""

import argparse
import statistics
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from figures import machine
from gpu_nets import CONFIGS

from bohb_nas.training.data import resident
from bohb_nas.training.device import Compute, choose
from bohb_nas.training.learner import Learner, start

NETWORKS: Mapping[str, Mapping[str, Any]] = {
    "WRN-16-1": {"family": "wrn", "wrn_blocks": 2, "wrn_widen_factor": 1.0},
    **{name: CONFIGS[name] for name in ("default", "sampled 50 %", "sampled 50 %, in 8s", "cell", "mobile")},
}


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


def main() -> None:
    """Prints a line for each network and number format."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0, help="of each layout in each repetition")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (256, 32, 32, 3), dtype=np.uint8), np.arange(256) % 10
    chosen = choose("cpu")
    data = resident(images, labels, train=np.arange(256), valid=np.arange(0), n_classes=10, device=chosen.device)
    print(f"{machine()}, one thread")
    for name, config in NETWORKS.items():
        for precision in dict.fromkeys(("fp32", chosen.precision)):
            sides = [kind(device=chosen.device, precision=precision) for kind in (ChannelsFirst, Compute)]
            learners = [start(config, data=data, compute=compute, seed=0) for compute in sides]
            taken = [[step_s(learner, asked.seconds) for learner in learners] for _ in range(asked.repetitions)]
            first_ms, last_ms = (1e3 * statistics.median(column) for column in zip(*taken, strict=True))
            ratios = [first / last for first, last in taken]
            print(
                f"{name}, {precision}: channels first {first_ms:.0f} ms, last {last_ms:.0f} ms:"
                f" x {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f}), n = {len(ratios)}",
                flush=True,
            )


if __name__ == "__main__":
    main()
