"""What keeping freed memory from step to step makes of a step on a CPU, beside glibc's own way.

Networks of every family in the loop's own steps, one thread, random images of 32x32, batches of 128; CPU seconds of both ways in turn, in
one process, their ratios' median and range. `python bench/allocator.py [--repetitions 5] [--seconds 2]`
"""

import ctypes
from collections.abc import Mapping
from typing import Any

from layouts import NETWORKS, Way, options, side_by_side

from bohb_nas.training import allocator
from bohb_nas.training.data import ResidentData
from bohb_nas.training.device import Compute
from bohb_nas.training.learner import Learner, start

_SETTINGS = {-1: 64 * 2**20, -3: 32 * 2**20, -4: 65536}
"""mallopt's M_TRIM_THRESHOLD, M_MMAP_THRESHOLD and M_MMAP_MAX, to which glibc comes by itself once it has freed large pieces."""


def let_go() -> None:
    """Has glibc give memory back as it does where nobody tells it otherwise."""
    for setting, value in _SETTINGS.items():
        ctypes.CDLL(None).mallopt(setting, value)
    allocator.give_back()


def allocators(config: Mapping[str, Any], data: ResidentData, compute: Compute) -> tuple[Way, Way]:
    """Memory given back, and kept."""
    learner = start(config, data=data, compute=compute, seed=0)

    def given_back() -> Learner:
        let_go()
        return learner

    def kept() -> Learner:
        allocator.keep()
        return learner

    return given_back, kept


if __name__ == "__main__":
    side_by_side(("given back", "kept"), NETWORKS.items(), allocators, options(__doc__).parse_args(), n_images=1024)
