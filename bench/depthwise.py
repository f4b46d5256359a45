"""What depthwise convolutions and means over 3 x 3 pixels of our own bring to a step on a CPU, beside torch's modules.

Inverted residuals and cells, their defaults and samples of `joint`, in the loop's own steps, one thread, random images of 32x32, batches of
128; CPU seconds of both in turn, their ratios' median and range.
`python bench/depthwise.py [--repetitions 7] [--seconds 1] [--samples 3] [--side 32]`
"""

from collections.abc import Iterator, Mapping
from typing import Any
from unittest import mock

from layouts import Way, options, side_by_side
from torch import nn

from bohb_nas.layers import PoolKind
from bohb_nas.networks import size
from bohb_nas.search_spaces import joint
from bohb_nas.space.encoding import plain
from bohb_nas.training.data import ResidentData
from bohb_nas.training.device import Compute
from bohb_nas.training.learner import start
from bohb_nas.training.networks import network, pooling

_LARGEST = 6e7
"""FLOPs per image of a sample: larger ones take minutes."""


def torch_pooling(kind: PoolKind, kernel: int, stride: int) -> nn.Module:
    """Of torch alone."""
    own = pooling.pooling(kind, kernel, stride)
    return nn.AvgPool2d(3, 1, 1, count_include_pad=False) if isinstance(own, pooling.Mean3x3) else own


def modules(config: Mapping[str, Any], data: ResidentData, compute: Compute) -> tuple[Way, Way]:
    """With torch's modules in the places of our own, and with these."""
    with mock.patch.object(network, "Depthwise", nn.Conv2d), mock.patch.object(network, "pooling", torch_pooling):
        torchs = start(config, data=data, compute=compute, seed=0)
    own = start(config, data=data, compute=compute, seed=0)
    return lambda: torchs, lambda: own


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
    parser = options(__doc__, repetitions=7, seconds=1.0)
    parser.add_argument("--side", type=int, default=32, help="of the images, in pixels")
    parser.add_argument("--samples", type=int, default=3, help="of each family")
    asked = parser.parse_args()
    side_by_side(("torch's modules", "our own"), configs(asked.samples), modules, asked, side=asked.side)


if __name__ == "__main__":
    main()
