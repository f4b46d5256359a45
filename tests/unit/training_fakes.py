"""A small separable data set, a clock that only work moves on, and learners over them."""

import json
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bohb_nas.datasets import Dataset
from bohb_nas.records import Origin, Trial, Value
from bohb_nas.training.clock import TrainingClock
from bohb_nas.training.data import ResidentData, resident
from bohb_nas.training.device import Compute
from bohb_nas.training.learner import Learner, start


class Queueing(Compute):
    """A CPU that wants to be treated like a device with a queue."""

    @property
    def asynchronous(self) -> bool:
        return True


CPU = Compute(device=torch.device("cpu"), precision="fp32")
TINY: Mapping[str, Value] = {
    "nr_residual_blocks_1": 1,
    "nr_residual_blocks_2": 1,
    "nr_residual_blocks_3": 1,
    "initial_filters": 4,
    "res_branches_1": 1,
    "res_branches_3": 1,
    "flip": "off",
    "batch_size": 16,
    "sgd_learning_rate": 0.8,
}

torch.set_num_threads(1)


def images(n: int, seed: int = 0) -> tuple[np.ndarray[Any, np.dtype[np.uint8]], np.ndarray[Any, np.dtype[np.int64]]]:
    """n noisy 8x8 images of three classes, told apart by which third is bright."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n, dtype=np.int64) % 3
    pixels = rng.integers(0, 120, (n, 8, 8, 1), dtype=np.uint8)
    for row, label in enumerate(labels):
        pixels[row, 3 * label : 3 * label + 2] += 120
    return pixels, labels


def dataset(n: int = 400, **parts: Any) -> Dataset:
    pixels, labels = images(n)
    test_pixels, test_labels = images(90, seed=1)
    whole = {
        "name": "thirds",
        "classes": ("top", "middle", "bottom"),
        "train_images": pixels,
        "train_labels": labels,
        "test_images": test_pixels,
        "test_labels": test_labels,
        "fingerprint": "thirds",
    }
    return Dataset(**whole | parts)


def data(n_train: int = 300, n_valid: int = 90, *, device: torch.device = CPU.device) -> ResidentData:
    pixels, labels = images(n_train + n_valid)
    order = np.arange(n_train + n_valid)
    return resident(pixels, labels, train=order[:n_train], valid=order[n_train:], n_classes=3, device=device)


def learner(seed: int = 0, **config: Value) -> Learner:
    return start({**TINY, **config}, data=data(), compute=CPU, seed=seed)


def trial(budget: float = 1.0, **changes: Any) -> Trial:
    whole: dict[str, Any] = {
        "trial_id": "t1",
        "config_id": "c1",
        "config": dict(TINY),
        "budget": budget,
        "bracket": 0,
        "rung": 0,
        "seed": 3,
        "origin": Origin.RANDOM,
    }
    return Trial(**whole | changes)


@contextmanager
def unwaited() -> Iterator[None]:
    """Raises where the host waits for the GPU."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # torch says that it does not see every wait
        torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")


class Virtual:
    """A clock moved on by every forward pass of the networks it watches."""

    def __init__(self) -> None:
        self.time = 0.0
        self.readings = 0

    def __call__(self) -> float:
        self.readings += 1
        return self.time

    def clock(self) -> TrainingClock:
        return TrainingClock(CPU.device, now=self)

    def watch(self, network: torch.nn.Module, seconds: Callable[[int], float]) -> None:
        """Every forward pass of n images takes seconds(n)."""
        network.register_forward_pre_hook(lambda _, arguments: self._pass(seconds(len(arguments[0]))))

    def _pass(self, seconds: float) -> None:
        self.time += seconds


def restate(folder: Path, **changes: object) -> None:
    """Writes other fields into the state.json of a checkpoint."""
    state = json.loads((folder / "state.json").read_text())
    (folder / "state.json").write_text(json.dumps(state | changes))
