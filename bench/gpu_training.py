"""Sections of the GPU benchmark that train: steps of whole networks by Python and by replay, waits, and the truth of budgets."""

import collections
import functools
import gc
import itertools
import tempfile
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from gpu_kernels import Note, resident_images, row, synthetic
from gpu_measure import Bench, milliseconds, synchronise
from gpu_nets import CONFIGS, FORMS, NAMES, OTHERS, built, cost, floor_s, learner, network

from bohb_nas.datasets import Dataset
from bohb_nas.records import Origin, Trial
from bohb_nas.training.data import Batches
from bohb_nas.training.device import Compute, choose
from bohb_nas.training.learner import Batch, Learner
from bohb_nas.training.networks import own_kernels
from bohb_nas.training.recording import STEPS_BEFORE
from bohb_nas.workers.image_classifier import ImageClassifier, Options

_TOO_MUCH = 4e13
"""FLOPs of a step that is not measured, for it would take the time of the others."""
_AHEAD = 16
"""Steps whose images are augmented together, at most: every measured stretch has whole ones."""
RECIPES: Mapping[str, Mapping[str, Any]] = {
    "default": {},
    "ShakeDrop": {"res_branches_1": 1, "res_branches_2": 1, "res_branches_3": 1, "death_rate": 0.2},
    "cutout": {"cutout": "on"},
    "mixup": {"mixing": "mixup"},
    "cutmix": {"mixing": "cutmix"},
    "alternating flip": {"flip": "alternating"},
    "TrivialAugment": {"policy": "trivial"},
    "RandAugment": {"policy": "rand"},
    "AdamW": {"optimizer": "adamw"},
}
"""Configurations whose step calls different operations."""


class Step:
    """A learner's steps, each on the next batch, augmented together as in the training loop.

    Args:
        learner: takes its steps by Python until `record` is called.
    """

    def __init__(self, learner: Learner) -> None:
        learner.recording.recorder = None
        self.learner = learner
        self.n_steps = 0
        """Taken so far."""
        self._ahead = min(_AHEAD, learner.ahead())
        self._batches = self._prepared()

    def _prepared(self) -> Iterator[Batch]:
        learner = self.learner
        positions = Batches(learner.data.train, learner.recipe.batch_size, learner.streams.order)
        while True:
            yield from learner.prepare([next(positions) for _ in range(self._ahead)])

    def __call__(self, rate: float = 0.01) -> None:
        """A step as the training loop takes it."""
        self.learner.learn(next(self._batches), rate)
        self.n_steps += 1

    def record(self, bench: Bench) -> float:
        """Takes steps until they are replayed; returns the seconds of the step that was recorded.

        Raises:
            RuntimeError: the step cannot be recorded.
        """
        recording = self.learner.recording
        recording.recorder = bench.recorder
        for _ in range(STEPS_BEFORE):
            self()
        synchronise(bench)
        began = time.perf_counter()
        self()
        synchronise(bench)
        if not recording.replays:
            raise RuntimeError(f"nothing is replayed: {recording.refused}")
        return time.perf_counter() - began


def steps(bench: Bench, note: Note, peaks: Mapping[str, float], n_kernels: Mapping[str, int]) -> None:
    """Images/s of every network at several batch sizes: the step of the loop by Python, and replayed; MFU, what bounds."""
    compute, data = choose(str(bench.device)), resident_images(bench.pick(20_000, 64), bench.device)
    names = bench.pick(NAMES, ("default", *OTHERS))
    for batch, name in itertools.product(bench.pick((128, 512, 1024), (4,)), names):
        if bench.left_s() < 0:
            return note("left out from", f"{name} batch {batch}")
        measure = functools.partial(_step_row, bench, name, batch, compute, data, peaks, n_kernels.get(name, 0))
        row(note, f"{name} batch {batch}", measure)
        _release(bench)
    return None


def forms(bench: Bench, note: Note) -> None:
    """Milliseconds of a replayed step with branches apart, merged first convolutions, and grouped second ones as well."""
    compute, data = choose(str(bench.device)), resident_images(bench.pick(20_000, 64), bench.device)
    small = ("default", "sampled 50 %", "Shake-Shake 26 2x32d")
    wanted = [*itertools.product((128, 512), small), (128, "sampled 99 %")]
    for batch, name in bench.pick(wanted, [(4, "default")]):
        if bench.left_s() < 0:
            return note("left out from", f"{name} batch {batch}")
        row(note, f"{name} batch {batch} ms", functools.partial(_form_row, bench, name, batch, compute, data))
        _release(bench)
    return None


def _form_row(bench: Bench, name: str, batch: int, compute: Compute, data: Any) -> dict[str, float]:
    found: dict[str, float] = {}
    for form in FORMS:
        step = Step(learner(network(name, form), {"batch_size": batch}, data=data, compute=compute))
        step.record(bench)
        found[form] = round(milliseconds(bench, step, at_most_s=0.25), 3)
        _release(bench)
    return found


def norms(bench: Bench, note: Note) -> None:
    """Milliseconds of a replayed step with the package's normalisations, and with torch's own."""
    compute, data = choose(str(bench.device)), resident_images(bench.pick(20_000, 64), bench.device)
    names = ("WRN-16-4", "sampled 50 %, in 8s", "default", "Shake-Shake 26 2x32d", "WRN-28-10")
    wanted = [*itertools.product(names, (128, 512)), ("cell", 128), ("sampled 50 %", 128), ("sampled 75 %", 128), ("mobile", 128)]
    for name, batch in bench.pick(wanted, [("default", 4)]):
        if bench.left_s() < 0:
            return note("left out from", f"{name} batch {batch}")
        row(note, f"{name} batch {batch} ms", functools.partial(_norm_row, bench, name, batch, compute, data))
        _release(bench)
    return None


def _norm_row(bench: Bench, name: str, batch: int, compute: Compute, data: Any) -> dict[str, float]:
    took = {}
    for whose in ("torch's", "own"):
        with mock.patch.object(own_kernels, "run_on", (lambda _: False) if whose == "torch's" else own_kernels.run_on):
            step = Step(learner(network(name), {**CONFIGS[name], "batch_size": batch}, data=data, compute=compute))
            step.record(bench)
            took[whose] = round(milliseconds(bench, step, at_most_s=0.3), 3)
        del step
        _release(bench)
    return {**took, "times as fast": round(took["torch's"] / took["own"], 3)}


def _step_row(
    bench: Bench, name: str, batch: int, compute: Compute, data: Any, peaks: Mapping[str, float], n_kernels: int
) -> dict[str, Any]:
    net = network(name)
    price = cost(net)
    if price["train"] * batch > _TOO_MUCH:
        return {"left out": f"{price['train'] * batch / 1e12:.0f} TFLOP a step"}
    step = Step(learner(net, {**CONFIGS.get(name, {}), "batch_size": batch}, data=data, compute=compute))
    began = time.perf_counter()
    step()
    first_s = time.perf_counter() - began
    found: dict[str, Any] = {"eager ms": round(milliseconds(bench, step, at_most_s=0.4), 3), "first step s": round(first_s, 2)}
    found["recorded step s"] = round(step.record(bench), 3)
    found["graph ms"] = round(best_ms := milliseconds(bench, step, at_most_s=0.4), 3)
    if bench.cuda:
        found["peak GiB"] = round(torch.cuda.max_memory_allocated() / 2**30, 2)
        floor, found["bound"] = floor_s(price, batch, n_kernels, **peaks)
        found |= {"floor ms": round(1000 * floor, 3), "efficiency": round(1000 * floor / best_ms, 3)}
    found["images/s eager"], found["images/s"] = round(1000 * batch / found["eager ms"]), round(1000 * batch / best_ms)
    found["MFU eager"] = round(found["images/s eager"] * price["train"] / peaks["flops_s"], 4)
    found["MFU"] = round(found["images/s"] * price["train"] / peaks["flops_s"], 4)
    return found


def _release(bench: Bench) -> None:
    gc.collect()
    if bench.cuda:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def waits(bench: Bench, note: Note) -> None:
    """Host synchronisations in 8 steps by Python, in 8 replayed ones, and in reading the totals, which may wait once."""
    compute, data = choose(str(bench.device)), resident_images(bench.pick(2000, 64), bench.device)
    for name, config in bench.pick(RECIPES, {"default": {}}).items():
        row(note, name, functools.partial(_wait_row, bench, config, compute, data))


def _wait_row(bench: Bench, config: Mapping[str, Any], compute: Compute, data: Any) -> dict[str, dict[str, int]]:
    step = Step(learner(built(config), {**config, "batch_size": bench.pick(128, 4)}, data=data, compute=compute))
    found = {"by Python": _waits_of(bench, step)}
    step.record(bench)
    found["replayed"] = _waits_of(bench, step)
    with counted(bench) as at_the_end:
        step.learner.take_totals()
    return {**found, "totals": at_the_end.places()}


def _waits_of(bench: Bench, step: Step) -> dict[str, int]:
    for _ in range(2):
        step()
    with counted(bench) as found:
        for _ in range(bench.pick(8, 1)):
            step()
    return found.places()


class counted:  # noqa: N801 - a context manager
    """Collects where the host waited for the device."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self._caught = warnings.catch_warnings(record=True)
        self._list: list[warnings.WarningMessage] = []

    def __enter__(self) -> "counted":
        caught = self._caught.__enter__()
        assert caught is not None  # this one, which is empty as yet, is filled
        self._list = caught
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
    seconds = bench.pick((20.0, 5.0, 5.0), (2.0,))
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
