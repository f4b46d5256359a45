"""What it costs to keep the state of a training in the middle of its budget: seconds and megabytes of a wide residual network.

    python bench/handover.py [FOLDER]

WRN-28-8.6 has 26.9 million parameters. Its state is saved three times in FOLDER (default: here), on whose disk the seconds depend, and read
back once. On a CPU; on a GPU copying the tensors to the host comes on top.
"""

import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch

from bohb_nas.records import Value
from bohb_nas.training import handover
from bohb_nas.training.checkpoint import Used
from bohb_nas.training.data import ResidentData, resident
from bohb_nas.training.device import Compute
from bohb_nas.training.handover import Handed
from bohb_nas.training.learner import start
from bohb_nas.training.position import Position

NETWORK: Mapping[str, Value] = {"family": "wrn", "wrn_blocks": 4, "wrn_widen_factor": 8.6, "wrn_dropout": 0.0, "batch_size": 4}
RECIPES: Mapping[str, Mapping[str, Value]] = {
    "sgd": {"optimizer": "sgd", "average": "off"},
    "sgd, average": {"optimizer": "sgd", "average": "on"},
    "adamw, average": {"optimizer": "adamw", "average": "on"},
}


def noise() -> ResidentData:
    """As many images as an epoch of CIFAR-10 has positions left."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (45_500, 32, 32, 3), dtype=np.uint8)
    order = np.arange(len(images))
    return resident(images, order % 10, train=order[:45_000], valid=order[45_000:], n_classes=10, device=torch.device("cpu"))


def measure(config: Mapping[str, Value], data: ResidentData, folder: Path) -> str:
    """A line of the table."""
    compute = Compute(device=torch.device("cpu"), precision="fp32")
    learner = start(config, data=data, compute=compute, seed=0)
    learner.step(data.train[:2], 0.01)
    learner.follow(0.01)
    position = Position(train_s=600.0, valid_s=1.0, steps=1, u=0.05, sums=(1.0, 1.0, 2), curve=[], rest=data.train)
    handed = Handed(position=position, base=Used(train_s=0.0, steps=0), facts={})
    wall_s, processor_s = [], []
    for _ in range(3):
        began, busy = time.perf_counter(), time.process_time()
        handover.save(folder, learner, handed, {})
        wall_s.append(time.perf_counter() - began)
        processor_s.append(time.process_time() - busy)
    megabytes = sum(path.stat().st_size for path in folder.iterdir()) / 1e6
    other, began = start(config, data=data, compute=compute, seed=1), time.perf_counter()
    handover.load(folder, other, {}, budget_s=10_800.0)
    read_s = time.perf_counter() - began
    return (
        f"{megabytes:.0f} MB, saved in {min(wall_s):.1f} to {max(wall_s):.1f} s, "
        f"{min(processor_s):.1f} to {max(processor_s):.1f} s of them of the processor; read in {read_s:.1f} s"
    )


def main() -> None:
    """Prints a line for each recipe."""
    data = noise()
    for name, recipe in RECIPES.items():
        with tempfile.TemporaryDirectory(dir=sys.argv[1] if len(sys.argv) > 1 else ".") as folder:
            sys.stdout.write(f"{name}: {measure({**NETWORK, **recipe}, data, Path(folder) / 'handover')}\n")


if __name__ == "__main__":
    main()
