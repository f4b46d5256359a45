"""What keeping freed memory from step to step makes of a step on a CPU, beside glibc's own way.

Networks of every family in the loop's own steps, one thread, random images of 32x32, batches of 128; CPU seconds of both ways in turn, in
one process, their ratios' median and range. `python bench/allocator.py [--repetitions 5] [--seconds 2]`
"""

import argparse
import ctypes
import statistics

import numpy as np
import torch
from figures import machine
from layouts import NETWORKS, step_s

from bohb_nas.training import allocator
from bohb_nas.training.data import resident
from bohb_nas.training.device import Compute, choose
from bohb_nas.training.learner import start

_SETTINGS = {-1: 64 * 2**20, -3: 32 * 2**20, -4: 65536}
"""mallopt's M_TRIM_THRESHOLD, M_MMAP_THRESHOLD and M_MMAP_MAX, to which glibc comes by itself once it has freed large pieces."""


def let_go() -> None:
    """Has glibc give memory back as it does where nobody tells it otherwise."""
    for setting, value in _SETTINGS.items():
        ctypes.CDLL(None).mallopt(setting, value)
    allocator.give_back()


def main() -> None:
    """Prints a line for each network and number format."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0, help="of each way in each repetition")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (1024, 32, 32, 3), dtype=np.uint8), np.arange(1024) % 10
    chosen = choose("cpu")
    data = resident(images, labels, train=np.arange(1024), valid=np.arange(0), n_classes=10, device=chosen.device)
    print(f"{machine()}, one thread")
    for name, config in NETWORKS.items():
        for precision in dict.fromkeys(("fp32", chosen.precision)):
            learner = start(config, data=data, compute=Compute(device=chosen.device, precision=precision), seed=0)
            taken = []
            for _ in range(asked.repetitions):
                let_go()
                given_back_s = step_s(learner, asked.seconds)
                allocator.keep()
                taken.append((given_back_s, step_s(learner, asked.seconds)))
            back_ms, kept_ms = (1e3 * statistics.median(column) for column in zip(*taken, strict=True))
            ratios = [back / kept for back, kept in taken]
            print(
                f"{name}, {precision}: given back {back_ms:.0f} ms, kept {kept_ms:.0f} ms:"
                f" x {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f}), n = {len(ratios)}",
                flush=True,
            )


if __name__ == "__main__":
    main()
