"""Training for good: on all training images, with several seeds, the test set read once for each."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from bohb_nas import spoilt
from bohb_nas.datasets import Dataset
from bohb_nas.durations import format_duration
from bohb_nas.errors import StorageError, UsageError, out_of_memory
from bohb_nas.files import append_line, dump_json, load_json, refusal, storing, write_atomic, write_patiently
from bohb_nas.locks import alone
from bohb_nas.networks import size
from bohb_nas.records import Status, Value
from bohb_nas.refs import is_file
from bohb_nas.training import device as devices
from bohb_nas.training import schedules
from bohb_nas.training.clock import TrainingClock
from bohb_nas.training.compiling import Compiler, Mode
from bohb_nas.training.data import ResidentData, resident
from bohb_nas.training.device import Compute
from bohb_nas.training.export import export_model
from bohb_nas.training.learner import Learner, start
from bohb_nas.training.loop import Plan, fit
from bohb_nas.training.outcome import Fit
from bohb_nas.training.policies import NONE, Policy
from bohb_nas.training.position import Point
from bohb_nas.training.recipe import read
from bohb_nas.training.rows import NEW_CURVE, Row, earlier_row
from bohb_nas.training.validation import evaluate_on_test


def train_final(
    config: Mapping[str, Value],
    *,
    dataset: Dataset,
    budget_s: float,
    seeds: Sequence[int],
    out: Path,
    schedule: schedules.Name = "cosine",
    rung: int = 0,
    device: str | None = None,
    precision: devices.Precision = "auto",
    compile: Mode = "auto",  # noqa: A002 - the worker's option
    min_steps: int = 8,
    max_steps: int | None = None,
    network: str | None = None,
    policy: Policy = NONE,
    say: Callable[[str], None] = lambda line: None,
) -> list[Row]:
    """Trains a configuration once per seed, tests it and exports it to `out/seed-SEED`.

    A seed whose model of the very same training lies there, tested, is not trained again: its row is read. Nothing is trained, and no model
    is lost, where one of another training lies.

    A seed for which memory does not suffice has a row that says so; the others keep theirs. Where it suffices for the training but not for
    the test, the model is there all the same, untested.

    A seed that is left over once a training may have spoilt this process (`bohb_nas.spoilt`) has no row.

    Args:
        config: of the joint space, of `zela2018`, or of any subset of their names.
        dataset: with a test part.
        budget_s: seconds of training for each seed.
        seeds: one training each.
        out: folder of the models and of their learning curves.
        schedule: of the learning rate, where the configuration chooses none.
        rung: of the budget in the search, from 0; only restarts depend on it.
        device: None takes the first accelerator, or the CPU.
        precision: of the arithmetic.
        compile: whether networks are, as for `bohb_nas.training.compiling.Compiler`.
        min_steps: a network that cannot take this many is not trained.
        max_steps: ends every training after so many steps instead; for repeatable runs.
        network: reference of a `network(config)` in place of the families of the catalogue.
        policy: of augmentation, where the configuration names none.
        say: told of each seed when its turn comes, of a disk that refuses what is trained, and at the end of those that are left over.

    Raises:
        DatasetError: the data set has no test part.
        OptionError: the configuration or the device is not accepted.
        UsageError: a model of another training lies in the place of one of the seeds, another process trains into the folder, or memory
            does not suffice for the images.
        StorageError: the disk refused before the training of a seed began: what is trained waits until it takes it.
    """
    dataset.test_part()
    compute = devices.choose(device, precision)
    data = _resident(dataset, compute)
    _, recipe = read(config, network=network)
    shape = schedules.named(recipe.schedule or schedule, rung=rung, warm_up=recipe.warm_up)
    training = {
        "network": None if network is None else _content(network),
        "policy": [asdict(layer) for layer in (policy if recipe.policy == NONE else NONE)],
        "schedule": recipe.schedule or schedule,
        "rung": rung if schedule == "restarts" and recipe.schedule is None else None,
        "warm_up": recipe.warm_up,
        "precision": compute.precision,
        "max_steps": max_steps,
    }
    job = _Job(
        config=config,
        dataset=dataset,
        training=training,
        compute=compute,
        plan=Plan(budget_s=budget_s, schedule=shape, min_steps=min_steps, max_steps=max_steps),
        begin=partial(start, config, data=data, compute=compute, network=network, policy=policy),
        sizes=size(config, image_shape=data.image_shape, n_classes=data.n_classes, reference=network),
        compiler=Compiler(compile),
        say=say,
    )
    earlier = _earlier(job, seeds, out)
    if None not in earlier.values():
        return _rows(job, earlier, out)  # nothing is written, so that the place need not allow it
    with storing(out):
        out.mkdir(parents=True, exist_ok=True)
    with alone(out / "train.lock", f"another train works in {out}", "let it end, or name another folder with --out", say=say):
        return _rows(job, _earlier(job, seeds, out), out)


def _resident(dataset: Dataset, compute: Compute) -> ResidentData:
    """All training images on the device.

    Raises:
        UsageError: its memory does not suffice.
    """
    n = len(dataset.train_labels)
    try:
        return resident(
            dataset.train_images,
            dataset.train_labels,
            train=np.arange(n),
            valid=np.arange(0),
            n_classes=len(dataset.classes),
            device=compute.device,
        )
    except (RuntimeError, MemoryError) as e:
        if not out_of_memory(e):
            raise
        raise UsageError(
            f"the {n} training images of {dataset.name} do not fit into the free memory of {compute.name}: {devices.no_memory(e)}; "
            "end what holds it, or name another device, as --worker-option device=cpu"
        ) from e


def _content(network: str) -> str:
    """What identifies a user's network: the sha256 of its file, wherever that lies, or the reference into an installed module."""
    return f"sha256:{hashlib.sha256(Path(network).read_bytes()).hexdigest()}" if is_file(network) else network


@dataclass(frozen=True, slots=True, kw_only=True)
class _Job:
    """What the trainings of all seeds share."""

    config: Mapping[str, Value]
    dataset: Dataset
    training: Mapping[str, Any]
    """What a model comes from beside configuration, data and budget; models that differ in it are of different trainings."""
    compute: Compute
    plan: Plan
    begin: Callable[..., Learner]
    """A fresh learner for a seed."""
    sizes: Mapping[str, float]
    compiler: Compiler
    say: Callable[[str], None]

    def facts(self) -> dict[str, Any]:
        """What a model tells, beside its configuration, of the training that it comes from, whatever the seed and the device."""
        return {
            "dataset": self.dataset.name,
            "fingerprint": self.dataset.fingerprint,
            "budget_s": self.plan.budget_s,
            "training": self.training,
        }


def _earlier(job: _Job, seeds: Sequence[int], out: Path) -> dict[int, Row | None]:
    """Of every seed the row of the model that lies there."""
    return {seed: earlier_row(out / f"seed-{seed}", {"config": dict(job.config), **job.facts()}) for seed in seeds}


def _rows(job: _Job, earlier: Mapping[int, Row | None], out: Path) -> list[Row]:
    """What `train_final` returns, in a folder into which nobody else trains."""
    rows, left = list[Row](), list[int]()
    for n, (seed, row) in enumerate(earlier.items(), start=1):
        folder = out / f"seed-{seed}"
        if row is None and rows and spoilt.why() is not None:
            left.append(seed)
            continue
        job.say(
            f"seed {seed}, {n} of {len(earlier)}: "
            + (f"training for {format_duration(job.plan.budget_s)}" if row is None else f"trained already, {folder}")
        )
        rows.append(row or _train(job, seed, folder))
    if left:
        job.say(
            f"not trained: seed {', '.join(map(str, left))}, for {spoilt.why()}, after which this process may train wrongly; "
            "run the same again: it trains the rest in a new process, and keeps the models that are there"
        )
    return rows


def _train(job: _Job, seed: int, folder: Path) -> Row:
    """The row of a seed, whether memory suffices or not.

    Until it has ended, an untested model and its curve stay as they are: a training that is stopped costs neither.
    """
    folder.mkdir(parents=True, exist_ok=True)
    curve, clock = folder / NEW_CURVE, TrainingClock(job.compute.device)
    write_atomic(curve, "")
    try:
        row = _train_one(job, seed, curve, clock)
    except (RuntimeError, MemoryError) as e:
        if not out_of_memory(e):
            raise
        row = _row(job, seed, Fit(status=Status.OUT_OF_MEMORY, message=devices.no_memory(e), train_s=clock.seconds()))
    finally:
        job.compute.release()
    if curve.exists():  # there is no new model whose place it would have taken
        for earlier in sorted(folder.glob("model.*")):
            earlier.unlink()
        curve.replace(folder / "curve.jsonl")
    return row


def _train_one(job: _Job, seed: int, curve: Path, clock: TrainingClock) -> Row:
    folder, learner = curve.parent, job.begin(seed=seed)
    trained = fit(learner, job.plan, clock, _curve(curve, job.say), compiler=job.compiler)
    row = _row(job, seed, trained)
    if trained.status is Status.OK:
        _export(job, learner, row, folder)  # before the test: whatever becomes of that, the model is kept
        with suppress(FileNotFoundError):  # it went with the folder, which is another since
            curve.replace(folder / "curve.jsonl")
        row = _tested(job, learner, row, clock)
        about = folder / "model.json"
        write_patiently(about, dump_json(load_json(about.read_text(encoding="utf-8")) | asdict(row)), say=job.say)
    return row


def _curve(path: Path, say: Callable[[str], None]) -> Callable[[Point], None]:
    """Takes the points of a learning curve; a disk that refuses one costs the point, not the training."""
    told = set[str]()

    def keep(point: Point) -> None:
        try:
            append_line(path, dump_json(point))
        except StorageError as e:
            if (why := refusal(e)) not in told:
                say(f"a point of the learning curve is lost: {why}")
            told.add(why)

    return keep


def _export(job: _Job, learner: Learner, row: Row, folder: Path) -> None:
    replaying = {"replays": learner.recording.replays, "replay_refused": learner.recording.refused}
    export_model(
        learner.outcome,
        folder,
        data=learner.data,
        classes=job.dataset.classes,
        config=job.config,
        facts=job.facts() | {"device": job.compute.name, **replaying} | asdict(row),
        write=partial(write_patiently, say=job.say),
    )


def _row(job: _Job, seed: int, trained: Fit) -> Row:
    """Without a test."""
    return Row(
        seed=seed,
        status=trained.status,
        message=trained.message,
        test_error=None,
        test_error_mirrored=None,
        n_test=0,
        params=job.sizes["params"],
        flops=job.sizes["flops"],
        train_s=trained.train_s,
        steps=trained.steps,
    )


def _tested(job: _Job, learner: Learner, row: Row, clock: TrainingClock) -> Row:
    """The row with the test, or with why there is none."""
    judged = partial(evaluate_on_test, learner.outcome, job.dataset, data=learner.data, compute=learner.compute, clock=clock)
    try:
        test = judged()
        mirrored = judged(mirrored=True) if learner.recipe.flip != "off" else None
    except (RuntimeError, MemoryError) as e:
        if not out_of_memory(e):
            raise
        return replace(row, status=Status.OUT_OF_MEMORY, message=devices.no_memory(e))
    return replace(row, test_error=test.error, test_error_mirrored=mirrored.error if mirrored else None, n_test=test.n)
