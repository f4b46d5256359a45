"""Trains image classifiers for a number of seconds; stays resident, with its data set on the device, from trial to trial."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, ClassVar, get_args

import torch
from ConfigSpace import ConfigurationSpace
from ConfigSpace.hyperparameters import Hyperparameter, NumericalHyperparameter

from bohb_nas import leaving, standstill
from bohb_nas.datasets import Dataset, load_dataset
from bohb_nas.entries import check_option, is_number, is_whole, refuse_unknown
from bohb_nas.errors import DatasetError
from bohb_nas.files import append_line, dump_json, write_atomic
from bohb_nas.layers.arithmetic import size
from bohb_nas.records import Result, Status, Trial, Value, Worker
from bohb_nas.space.encoding import listed, plain
from bohb_nas.training import checkpoint, compiling, handover, peak, schedules
from bohb_nas.training.clock import TrainingClock
from bohb_nas.training.data import ResidentData, resident_split
from bohb_nas.training.device import Compute, Precision, choose
from bohb_nas.training.learner import start
from bohb_nas.training.loop import Plan, fit
from bohb_nas.training.peak import Peak
from bohb_nas.training.policies import NONE, Policy
from bohb_nas.training.policy_files import from_file
from bohb_nas.training.position import Leave, Position
from bohb_nas.training.recipe import read
from bohb_nas.training.samples import picture
from bohb_nas.training.speed import training_flops
from bohb_nas.workers._continuing import Keeper, begin, own, without_memory
from bohb_nas.workers._measures import describe, metrics, pace
from bohb_nas.workers._memory import within_memory


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the worker can be told.

    Raises:
        OptionError: a value that is not accepted.
    """

    dataset: str = "cifar10"
    """Reference of a data set."""
    data_dir: str | None = None
    """Where its published files lie."""
    data_fingerprint: str | None = None
    """Of the data set that the study began with: another is not trained on; None trains on whatever is there."""
    valid_fraction: float | None = None
    """Of the training images, held out to judge by; None is 0.3 for digits, which are few, and else 0.1."""
    split_seed: int = 0
    """Fixes which are held out."""
    schedule: schedules.Name = "cosine"
    """Of the learning rate, where the configuration chooses none: one cosine, or the restarts of Zela et al. (2018)."""
    device: str | None = None
    """None takes the first accelerator, or the CPU."""
    n_threads: int | None = None
    """Of the CPU; None leaves torch its choice."""
    network: str | None = None
    """Reference of a `network(config)`, in place of the families of the catalogue; None says nothing of it."""
    precision: Precision = "auto"
    """auto is bf16 where the hardware multiplies it."""
    compile: compiling.Mode = "auto"
    """auto compiles networks on CUDA, for budgets in which that pays."""
    min_steps: int = 8
    """A network that cannot take this many steps is not trained."""
    max_steps: int | None = None
    """Ends every training after so many steps instead of seconds: repeatable to the bit on a CPU, unless networks are compiled."""
    peak_tflops: float | None = None
    """TFLOP/s of the device in the precision of the training, for the utilisation that is reported; None measures them."""
    full_validation_from_s: float | None = None
    """Trials with at least this budget are validated on every held-out image; None leaves each its share of the budget."""
    save_every_s: float = 600.0
    """Seconds of training between two states that are kept in case that the machine is lost."""
    policy_file: str | None = None
    """A file with the augmentation policy of the trials whose configuration names none."""

    def __post_init__(self) -> None:
        check_option("dataset", self.dataset, isinstance(self.dataset, str), "a name, NAME:FOLDER or FILE.py")
        check_option("data_dir", self.data_dir, self.data_dir is None or isinstance(self.data_dir, str), "a folder")
        fingerprint = self.data_fingerprint
        check_option("data_fingerprint", fingerprint, fingerprint is None or isinstance(fingerprint, str), "the fingerprint of a data set")
        fraction = self.valid_fraction
        check_option("valid_fraction", fraction, fraction is None or (isinstance(fraction, float) and 0 < fraction < 1), "between 0 and 1")
        check_option("split_seed", self.split_seed, is_whole(self.split_seed, 0), "a whole number from 0")
        check_option("schedule", self.schedule, self.schedule in get_args(schedules.Name), "one of " + ", ".join(get_args(schedules.Name)))
        check_option("device", self.device, self.device is None or isinstance(self.device, str), "cpu, cuda or cuda:N")
        check_option("network", self.network, self.network is None or isinstance(self.network, str), "FILE.py or module:attribute")
        check_option("n_threads", self.n_threads, self.n_threads is None or is_whole(self.n_threads, 1), "a whole number from 1")
        check_option("precision", self.precision, self.precision in get_args(Precision), "one of " + ", ".join(get_args(Precision)))
        check_option("compile", self.compile, self.compile in get_args(compiling.Mode), "one of " + ", ".join(get_args(compiling.Mode)))
        check_option("min_steps", self.min_steps, is_whole(self.min_steps, 1), "a whole number from 1")
        check_option("max_steps", self.max_steps, self.max_steps is None or is_whole(self.max_steps, 1), "a whole number from 1")
        peak_tflops = self.peak_tflops
        check_option("peak_tflops", peak_tflops, peak_tflops is None or (is_number(peak_tflops) and peak_tflops > 0), "a number above 0")
        full = self.full_validation_from_s
        check_option("policy_file", self.policy_file, self.policy_file is None or isinstance(self.policy_file, str), "a JSON file")
        every = self.save_every_s
        check_option("save_every_s", every, is_number(every) and every > 0, "a number of seconds above 0")
        check_option("full_validation_from_s", full, full is None or (is_number(full) and full >= 0), "a number of seconds from 0")

    @property
    def folder(self) -> Path | None:
        """`data_dir` as a path."""
        return Path(self.data_dir) if self.data_dir else None


def make(**options: Any) -> Worker:
    """The worker with the given options.

    Raises:
        OptionError: an unknown option, or a value that is not accepted; a policy file that cannot be read or says what is not accepted.
    """
    return ImageClassifier(read_options(options))


def read_options(options: Mapping[str, Any]) -> Options:
    """Options from their names and values.

    Raises:
        OptionError: an unknown option, or a value that is not accepted.
    """
    refuse_unknown("image_classifier", options, [f.name for f in fields(Options)])
    return Options(**options)


def check(space: ConfigurationSpace, **options: Any) -> None:
    """Says before a study begins whether configurations of a space can be trained; takes the options of `make`.

    Every choice, and the bounds of every number, are read once for each family, the other hyperparameters at their defaults; the
    networks are measured.

    Raises:
        OptionError: an option that is not accepted, or a hyperparameter that means nothing here or may take a value that does not.
    """
    make(**options)
    network = options.get("network")
    defaults = {name: plain(hyperparameter.default_value) for name, hyperparameter in space.items()}
    for family in _extremes(space["family"]) if "family" in space else [None]:
        chosen = defaults if family is None else {**defaults, "family": family}
        size(read(chosen, network=network)[0])
        for name, hyperparameter in space.items():
            for value in _extremes(hyperparameter) if name != "family" else ():
                size(read({**chosen, name: value}, network=network)[0])


def _extremes(hyperparameter: Hyperparameter[Any, Any]) -> list[Value]:
    if isinstance(hyperparameter, NumericalHyperparameter):
        return [plain(hyperparameter.lower), plain(hyperparameter.upper)]
    return listed(hyperparameter)


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """A data set on the device, and what is to be said of it."""

    data: ResidentData
    identity: Mapping[str, Any]
    """What identifies it in a checkpoint, as JSON."""
    name: str
    classes: tuple[str, ...]
    """Their names in the order of the labels."""


class ImageClassifier:
    """Keeps the device and the data set; the data set is loaded at the first trial. Hands over when it is asked to leave.

    Args:
        options: what it was told.
        now: seconds of a monotonic clock.
        load: the data set of a reference.
    """

    hands_over: ClassVar[bool] = True

    def __init__(self, options: Options, *, now: Callable[[], float] = standstill.now, load: Callable[..., Dataset] = load_dataset) -> None:
        self._options = options
        self._now = now
        self._load = load
        if options.n_threads is not None:
            torch.set_num_threads(options.n_threads)
        self._policy: Policy = NONE if options.policy_file is None else from_file(Path(options.policy_file))
        self.compute: Compute = choose(options.device, options.precision)
        """Where it trains."""
        self._compiler = compiling.Compiler(options.compile)
        self._loaded: Loaded | None = None

    def train(self, trial: Trial, workdir: Path) -> Result:
        """Trains `trial.config` for `trial.budget` seconds; the loss is the validation error.

        Continues from what an earlier attempt left behind `workdir/interrupted`, or from the checkpoint behind `workdir/resume`, if
        there is one; leaves `curve.jsonl`, `network.json`, `samples.png`, of a training that ended well `checkpoint/`, and of one that
        was asked to leave, or is long, `handover/`.
        """
        clock = TrainingClock(self.compute.device, now=self._now)
        return within_memory(trial, self.compute, clock, lambda began, details: self._train(trial, workdir, clock, began, details))

    def _train(self, trial: Trial, workdir: Path, clock: TrainingClock, began: float, details: dict[str, Any]) -> Result:
        loaded = self.resident()
        data, identity = loaded.data, {**loaded.identity, "config": dict(trial.config), "device": self.compute.device.type}
        if self._policy:
            identity["policy"] = [[c.probability, [[o.operator, o.low, o.high] for o in c.operations]] for c in self._policy[0].choices]
        options = self._options
        measured = peak.of(self.compute)  # before there is a network, which may leave no memory for it
        learner = start(trial.config, data=data, compute=self.compute, seed=trial.seed, network=options.network, policy=self._policy)
        sizes = size(learner.network.layers, image_shape=data.image_shape, n_classes=data.n_classes)
        describe(learner.network.layers, data, sizes, workdir / "network.json")
        write_atomic(workdir / "samples.png", picture(data, learner.recipe))
        begun = begin(trial, workdir, learner, identity)

        def keep(position: Position, facts: Mapping[str, Any]) -> None:
            handed = handover.Handed(position=position, base=begun.base, facts=facts)
            handover.save(workdir / "handover", learner, handed, own(trial, identity))

        keeper = Keeper(keep, told=begun.told, earlier_s=begun.earlier_s, device=self.compute.name)
        details |= begun.told
        setup_s = clock.now() - began
        full = self._options.full_validation_from_s
        plan = Plan(
            budget_s=trial.budget - begun.base.train_s,
            schedule=schedules.named(learner.recipe.schedule or self._options.schedule, rung=trial.rung, warm_up=learner.recipe.warm_up),
            min_steps=self._options.min_steps,
            floor_s=learner.recipe.batch_size * training_flops(sizes) / measured.flops,
            max_steps=self._options.max_steps,
            full_validation=full is not None and trial.budget >= full * (1 - 1e-9),
        )
        trained = fit(
            learner,
            plan,
            clock,
            lambda point: append_line(workdir / "curve.jsonl", dump_json(point)),
            compiler=self._compiler,
            position=begun.position,
            leave=Leave(asked=leaving.asked, save=keeper.save, every_s=options.save_every_s),
        )
        total = checkpoint.Used(train_s=begun.base.train_s + trained.train_s, steps=begun.base.steps + trained.steps)
        if trained.status is Status.OK:
            short = without_memory(lambda: checkpoint.save(workdir / "checkpoint", learner, total, identity))
            keeper.refused = short or keeper.refused
        paces, told = pace(trained, learner, sizes, self._told(measured))
        details |= told
        details |= {"attempt_s": trained.train_s - begun.earlier_s, "save_refused": keeper.refused}
        details["curve"] = [{k: point[k] for k in ("u", "train_error", "valid_error") if k in point} for point in trained.curve]
        times = {"setup_s": setup_s, "wall_s": clock.now() - began}
        return Result(
            trial_id=trial.trial_id,
            status=trained.status,
            loss=trained.valid.error if trained.valid else None,
            train_s=total.train_s,
            metrics=metrics(trained, learner) | paces | times | sizes,
            details=details,
            message=trained.message,
        )

    def _told(self, measured: Peak) -> Peak:
        """The peak to report by: with the FLOPs that were given, if some were."""
        given = self._options.peak_tflops
        return measured if given is None else replace(measured, flops=given * 1e12)

    def resident(self) -> Loaded:
        """The data set on the device, loaded when it is asked for first.

        Raises:
            DatasetError: it cannot be had, or is another than that of the study.
        """
        if self._loaded is None:
            options = self._options
            dataset = self._load(options.dataset, data_dir=options.folder)
            if options.data_fingerprint not in (None, dataset.fingerprint):
                raise DatasetError(
                    f"data set {dataset.name!r} is not the study's as it is read here: its fingerprint is {dataset.fingerprint}, the "
                    f"study's is {options.data_fingerprint}; results on other images cannot be compared: restore it here to what the "
                    "study began with"
                )
            data, identity = resident_split(
                dataset, valid_fraction=options.valid_fraction, seed=options.split_seed, device=self.compute.device
            )
            self._loaded = Loaded(data=data, identity=identity, name=dataset.name, classes=tuple(dataset.classes))
            del dataset
            self.compute.release()  # what was read, of which the device has its own
        return self._loaded
