"""What depthwise convolutions and means over 3 x 3 pixels of our own bring to a step on a CPU, beside torch's modules.

Inverted residuals and cells, their defaults and samples of `joint`, in the loop's own steps, one thread, random images of 32x32, batches of
128; CPU seconds of both in turn, their ratios' median and range.
`python bench/depthwise.py [--repetitions 7] [--seconds 1] [--samples 3] [--side 32]`
"""

import argparse
import statistics
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from typing import Any
from unittest import mock

import numpy as np
import torch
from figures import machine
from layouts import step_s
from torch import nn

from bohb_nas.layers import PoolKind
from bohb_nas.networks import size
from bohb_nas.search_spaces import joint
from bohb_nas.space.encoding import plain
from bohb_nas.training.data import ResidentData, resident
from bohb_nas.training.device import Compute, choose
from bohb_nas.training.learner import Learner, start
from bohb_nas.training.networks import network, pooling

_LARGEST = 6e7
"""FLOPs per image of a sample: larger ones take minutes."""


def torch_pooling(kind: PoolKind, kernel: int, stride: int) -> nn.Module:
    """Of torch alone."""
    own = pooling.pooling(kind, kernel, stride)
    return nn.AvgPool2d(3, 1, 1, count_include_pad=False) if isinstance(own, pooling.Mean3x3) else own


def learner(config: Mapping[str, Any], *, data: ResidentData, compute: Compute, own: bool) -> Learner:
    """With modules of our own, or of torch's in their places."""
    with ExitStack() as replaced:
        for name, instead in () if own else (("Depthwise", nn.Conv2d), ("pooling", torch_pooling)):
            replaced.enter_context(mock.patch.object(network, name, instead))
        return start(config, data=data, compute=compute, seed=0)


def configs(n_samples: int) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The defaults of both families, and so many samples of each among the first of `joint` that are small enough."""
    yield from (("mobile", {"family": "mobile"}), ("cell", {"family": "cell"}))
    space = joint.space()
    space.seed(0)
    left = {"mobile": n_samples, "cell": n_samples}
    while any(left.values()):
        config = {name: plain(value) for name, value in dict(space.sample_configuration()).items()} | {"batch_size": 128}
        kind = config["family"]
        if left.get(kind) and size(config, image_shape=(32, 32, 3), n_classes=10)["flops"] <= _LARGEST:
            left[kind] -= 1
            yield f"{kind}, sample {n_samples - left[kind]}", config


def main() -> None:
    """Prints a line for each network and number format."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repetitions", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=1.0, help="of each side in each repetition")
    parser.add_argument("--side", type=int, default=32, help="of the images, in pixels")
    parser.add_argument("--samples", type=int, default=3, help="of each family")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (256, asked.side, asked.side, 3), dtype=np.uint8), np.arange(256) % 10
    chosen = choose("cpu")
    data = resident(images, labels, train=np.arange(256), valid=np.arange(0), n_classes=10, device=chosen.device)
    print(f"{machine()}, one thread")
    for name, config in configs(asked.samples):
        for precision in dict.fromkeys(("fp32", chosen.precision)):
            compute = Compute(device=chosen.device, precision=precision)
            learners = [learner(config, data=data, compute=compute, own=own) for own in (False, True)]
            taken = [[step_s(each, asked.seconds) for each in learners] for _ in range(asked.repetitions)]
            torch_ms, own_ms = (1e3 * statistics.median(column) for column in zip(*taken, strict=True))
            ratios = [of_torch / own for of_torch, own in taken]
            print(
                f"{name}, {precision}: torch's modules {torch_ms:.0f} ms, our own {own_ms:.0f} ms:"
                f" x {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f}), n = {len(ratios)}",
                flush=True,
            )


if __name__ == "__main__":
    main()
