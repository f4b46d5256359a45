"""Sections of the GPU benchmark that train: steps of whole networks by Python and as one graph, waits, and the truth of budgets."""

import collections
import contextlib
import gc
import itertools
import tempfile
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import torch
from gpu_kernels import Note, resident_images, synthetic
from gpu_measure import Bench, Captured, capture, milliseconds
from gpu_nets import CONFIGS, LAYOUTS, NAMES, cost, floor_s, laid_out, learner, network
from torch import Tensor

from bohb_nas.datasets import Dataset
from bohb_nas.records import Origin, Trial
from bohb_nas.training.data import batches
from bohb_nas.training.device import Compute, choose
from bohb_nas.training.learner import Learner
from bohb_nas.training.networks import multi_branch
from bohb_nas.workers.image_classifier import ImageClassifier, Options

_WHERE = torch.where
_TOO_MUCH = 4e13
"""FLOPs of a step that is not measured, for it would take the time of the others."""


def _where_without_numbers(condition: Tensor, x: Tensor, other: Tensor | float) -> Tensor:
    """`torch.where` copies a number to the device and waits for it, which no capture allows; a tensor of it is made there."""
    return _WHERE(condition, x, other if isinstance(other, Tensor) else torch.full_like(x, other))


class _Torch:
    """The module torch with another `where`, for the one module of ours that gives it a number."""

    where = staticmethod(_where_without_numbers)

    def __getattr__(self, name: str) -> Any:
        return getattr(torch, name)


@contextlib.contextmanager
def capturable_networks() -> Iterator[None]:
    """Changes for a while what of the present networks cannot be captured: numbers given to `torch.where` by ShakeDrop."""
    present = multi_branch.torch  # type: ignore[attr-defined]
    multi_branch.torch = _Torch()  # type: ignore[attr-defined, assignment]
    try:
        yield
    finally:
        multi_branch.torch = present  # type: ignore[attr-defined]


class Step:
    """The learner's step on buffers that stay where they are, so that it can be captured.

    The learning rate goes in as a tensor of one number: `Learner.step` fills its own with it, which copies on the device.
    """

    def __init__(self, learner: Learner) -> None:
        self.learner = learner
        self.positions = learner.data.train[: learner.recipe.batch_size].clone()
        self.rate = torch.zeros((), device=learner.compute.device)
        self._batches = batches(learner.data.train, learner.recipe.batch_size, learner.streams.order)
        for group in learner.optimizer.param_groups:
            if "capturable" in group:
                group["capturable"] = True

    def run(self) -> None:
        """The step as Python gives it, kernel by kernel."""
        self.learner.step(self.positions, cast(float, self.rate))

    def feed(self, rate: float = 0.01) -> None:
        """The next batch and a learning rate into the buffers."""
        self.positions.copy_(next(self._batches))
        self.rate.fill_(rate)

    def eager(self) -> None:
        """A step of the loop."""
        self.feed()
        self.run()

    def captured(self) -> Captured:
        """The step as a graph."""
        return capture(self.run, [self.learner.streams.augmentation, self.learner.streams.noise])


@capturable_networks()
def steps(bench: Bench, note: Note, peaks: Mapping[str, float], n_kernels: Mapping[str, int]) -> None:
    """Images/s of every network at several batch sizes: present step by Python, the same as a graph; MFU, what bounds."""
    compute, data = choose(str(bench.device)), resident_images(bench.pick(20_000, 64), bench.device)
    names = bench.pick(NAMES, NAMES[:1])
    for batch, name in itertools.product(bench.pick((128, 512, 1024), (4,)), names):
        if bench.left_s() < 0:
            return note("left out from", f"{name} batch {batch}")
        try:
            note(f"{name} batch {batch}", _step_row(bench, name, batch, compute, data, peaks, n_kernels.get(name, 0)))
        except RuntimeError as e:  # no memory, or no capture: the other rows are worth having
            note(f"{name} batch {batch}", f"{type(e).__name__}: {e}".splitlines()[0][:200])
        _release(bench)
    return None


@capturable_networks()
def layouts(bench: Bench, note: Note) -> None:
    """Milliseconds of a captured step with branches apart, merged first convolutions, and grouped second ones as well."""
    compute, data = choose(str(bench.device)), resident_images(bench.pick(20_000, 64), bench.device)
    names = bench.pick(("default", "sampled 50 %", "Shake-Shake 26 2x32d", "sampled 99 %"), ("default",))
    for batch, name in itertools.product(bench.pick((128, 512), (4,)), names):
        if bench.left_s() < 0:
            return note("left out from", f"{name} batch {batch}")
        found: dict[str, Any] = {}
        for kind in LAYOUTS:
            step = Step(learner(laid_out(name, kind), {"batch_size": batch}, data=data, compute=compute))
            call = step.captured().graph.replay if bench.cuda else step.run
            found[kind] = round(milliseconds(bench, call, at_most_s=0.25), 3)
            _release(bench)
        note(f"{name} batch {batch} ms", found)
    return None


def _step_row(
    bench: Bench, name: str, batch: int, compute: Compute, data: Any, peaks: Mapping[str, float], n_kernels: int
) -> dict[str, Any]:
    net = network(name)
    price = cost(net)
    if price["train"] * batch > _TOO_MUCH:
        return {"left out": f"{price['train'] * batch / 1e12:.0f} TFLOP a step"}
    step = Step(learner(net, {**CONFIGS.get(name, {}), "batch_size": batch}, data=data, compute=compute))
    began = time.perf_counter()
    step.eager()
    first_s = time.perf_counter() - began
    row: dict[str, Any] = {"eager ms": round(milliseconds(bench, step.eager, at_most_s=0.4), 3), "first step s": round(first_s, 2)}
    best_ms = row["eager ms"]
    if bench.cuda:
        captured = step.captured()

        def replay() -> None:
            step.feed()
            captured.graph.replay()

        best_ms = milliseconds(bench, replay, at_most_s=0.4)
        row |= {
            "graph ms": round(best_ms, 3),
            "capture s": round(captured.capture_s, 3),
            "peak GiB": round(torch.cuda.max_memory_allocated() / 2**30, 2),
        }
        floor, row["bound"] = floor_s(price, batch, n_kernels, **peaks)
        row |= {"floor ms": round(1000 * floor, 3), "efficiency": round(1000 * floor / best_ms, 3)}
    row["images/s eager"], row["images/s"] = round(1000 * batch / row["eager ms"]), round(1000 * batch / best_ms)
    row["MFU eager"] = round(row["images/s eager"] * price["train"] / peaks["flops_s"], 4)
    row["MFU"] = round(row["images/s"] * price["train"] / peaks["flops_s"], 4)
    return row


def _release(bench: Bench) -> None:
    gc.collect()
    if bench.cuda:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


RECIPES: Mapping[str, Mapping[str, Any]] = {
    "default": {},
    "ShakeDrop": {"res_branches_1": 1, "res_branches_2": 1, "res_branches_3": 1, "death_rate": 0.2},
    "cutout": {"cutout": "on"},
    "mixup": {"mixing": "mixup"},
    "cutmix": {"mixing": "cutmix"},
    "AdamW": {"optimizer": "adamw"},
}
"""Configurations whose step calls different operations."""


def waits(bench: Bench, note: Note) -> None:
    """Host synchronisations in a block of the present loop: 8 steps with their batches, then the totals, which may wait once."""
    compute, data = choose(str(bench.device)), resident_images(bench.pick(2000, 64), bench.device)
    for name, config in RECIPES.items():
        present = learner(_built(config), {**config, "batch_size": bench.pick(128, 4)}, data=data, compute=compute)
        positions = batches(data.train, present.recipe.batch_size, present.streams.order)
        for _ in range(2):
            present.step(next(positions), 0.1)
        with _counted(bench) as found:
            for _ in range(bench.pick(8, 1)):
                present.step(next(positions), 0.1)
        with _counted(bench) as at_the_end:
            present.take_totals()
        note(name, {"in 8 steps": found.places(), "totals": at_the_end.places()})


def _built(config: Mapping[str, Any]) -> multi_branch.MultiBranch:
    from bohb_nas.training.networks import build
    from bohb_nas.training.recipe import read

    return build(read(config)[0], channels=3, n_classes=10, generator=torch.Generator().manual_seed(0))


class _counted:  # noqa: N801 - a context manager
    """Collects where the host waited for the device."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self._caught = warnings.catch_warnings(record=True)
        self._list: list[warnings.WarningMessage] = []

    def __enter__(self) -> "_counted":
        self._list = self._caught.__enter__() or []
        warnings.simplefilter("always")
        if self._bench.cuda:
            torch.cuda.set_sync_debug_mode("warn")
        return self

    def __exit__(self, *exception: object) -> None:
        if self._bench.cuda:
            torch.cuda.set_sync_debug_mode("default")
        self._caught.__exit__(*exception)  # type: ignore[arg-type]

    def places(self) -> dict[str, int]:
        """How often at each line."""
        return dict(collections.Counter(f"{Path(w.filename).name}:{w.lineno}" for w in self._list if "synchronizing" in str(w.message)))


def budget(bench: Bench, note: Note) -> None:
    """The present worker on synthetic images in the shape of CIFAR-10: a first trial, a second one, and one of another network."""
    images, labels = synthetic(bench.pick(50_000, 600))
    made = Dataset(name="synthetic", classes=tuple("abcdefghij"), train_images=images, train_labels=labels, fingerprint="synthetic")
    worker = ImageClassifier(Options(dataset="synthetic", device=str(bench.device)), load=lambda reference, *, data_dir: made)
    seconds = bench.pick((20.0, 5.0, 5.0), (0.5,))
    small = {"nr_residual_blocks_1": 1, "nr_residual_blocks_2": 1, "nr_residual_blocks_3": 1, "initial_filters": 4, "batch_size": 16}
    configs: Sequence[Mapping[str, Any]] = ({"mixing": "mixup"}, {}, CONFIGS["Shake-Shake 26 2x32d"])
    for i, (budget_s, config) in enumerate(zip(seconds, configs, strict=False)):
        trial = Trial(
            trial_id=str(i),
            config_id=str(i),
            config=dict(bench.pick(config, small)),
            budget=budget_s,
            bracket=0,
            rung=0,
            seed=i,
            origin=Origin.RANDOM,
        )
        with tempfile.TemporaryDirectory() as folder:
            result = worker.train(trial, Path(folder))
        wanted = (
            "setup_s",
            "warmup_s",
            "valid_s",
            "wall_s",
            "steps",
            "images_per_s",
            "lr_last",
            "lr_peak",
            "step_s",
            "step_max_s",
            "n_valid",
        )
        found = {name: round(result.metrics[name], 6) for name in wanted if name in result.metrics}
        truth = {"status": str(result.status), "loss": result.loss, "train_s - budget": round(result.train_s - budget_s, 6)}
        note(f"trial {i}, budget {budget_s} s", truth | found)
