"""Runs one-shot searches, each as one trial with a budget of seconds; all other trials are those of the image classifier."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, ClassVar

from ConfigSpace import ConfigurationSpace

from bohb_nas import leaving, one_shot_settings, standstill
from bohb_nas.datasets import Dataset, load_dataset
from bohb_nas.entries import check_option, refuse_unknown
from bohb_nas.errors import CheckpointError, OptionError
from bohb_nas.files import append_line, dump_json, write_atomic
from bohb_nas.layers.arithmetic import size
from bohb_nas.one_shot_settings import Settings
from bohb_nas.oneshot import beforehand, keeping, running
from bohb_nas.oneshot import search as searches
from bohb_nas.oneshot.keeping import Kept
from bohb_nas.oneshot.running import Searched
from bohb_nas.oneshot.search import Search
from bohb_nas.oneshot.standing import Standing
from bohb_nas.oneshot.supply import Material
from bohb_nas.records import Origin, Result, Status, Trial, Value, Worker
from bohb_nas.space.files import frozen_space
from bohb_nas.training.clock import TrainingClock
from bohb_nas.training.data import divide
from bohb_nas.training.export import export_model
from bohb_nas.training.loop import Length
from bohb_nas.training.networks import own_kernels
from bohb_nas.training.position import Leave
from bohb_nas.training.recipe import read
from bohb_nas.training.samples import picture
from bohb_nas.workers import image_classifier
from bohb_nas.workers._continuing import Keeper, begin_curve, gone_on, own
from bohb_nas.workers._measures import describe, kernels
from bohb_nas.workers._memory import within_memory
from bohb_nas.workers.image_classifier import ImageClassifier, Loaded

_OWN = ("search", "space_file")
_LEFT_OUT = ("network", "policy_file")
"""Options of the image classifier that a search would not heed: what it finds would be trained otherwise than it was found."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the worker can be told."""

    search: Settings
    """How to search."""
    space_file: Path | None
    """The study's space.json, which a search needs."""
    training: image_classifier.Options
    """The rest: of the training of single configurations, and where they say the same of searches."""


def make(**options: Any) -> Worker:
    """The worker with the given options.

    Args:
        options: `search`, an object whose `method` is autohas or dha, with its settings; `space_file`; and those of the image
            classifier but for `network` and `policy_file`.

    Raises:
        OptionError: an unknown option, or a value that is not accepted.
    """
    return OneShot(read_options(options))


def read_options(options: Mapping[str, Any]) -> Options:
    """Options from their names and values.

    Raises:
        OptionError: an unknown option, or a value that is not accepted.
    """
    if options.get("network") is not None:
        raise OptionError(
            f"one_shot option network is {options['network']!r}: networks of one's own cannot share weights; "
            "accepted are spaces of the families of the catalogue, whose file has no function network(config)"
        )
    options = {name: value for name, value in options.items() if name != "network"}
    accepted = [*_OWN, *(f.name for f in fields(image_classifier.Options) if f.name not in _LEFT_OUT)]
    refuse_unknown("one_shot", options, accepted)
    space_file = options.get("space_file")
    check_option("space_file", space_file, space_file is None or isinstance(space_file, str), "the path of a study's space.json")
    return Options(
        search=one_shot_settings.from_json(options.get("search")),
        space_file=None if space_file is None else Path(space_file),
        training=image_classifier.read_options({name: value for name, value in options.items() if name not in _OWN}),
    )


def check(space: ConfigurationSpace, **options: Any) -> list[str]:
    """Says before a study begins whether a space can be searched, and what is found in it be trained; takes the options of `make`.

    Returns:
        What the search does not decide, a line each with the reason.

    Raises:
        OptionError: an option that is not accepted, a hyperparameter that means nothing here, a space with nothing to search, or
            too few images held out or too large networks for the search.
        DatasetError: the data set cannot be had.
    """
    told = read_options(options)
    image_classifier.check(space, **{name: value for name, value in options.items() if name not in _OWN})
    held, training = searches.check(told.search, space), told.training
    dataset = load_dataset(training.dataset, data_dir=training.folder)
    _, valid, _ = divide(dataset, valid_fraction=training.valid_fraction, seed=training.split_seed)
    beforehand.check(told.search, space, dataset, n_valid=len(valid))
    return [f"{one_shot_settings.to_json(told.search)['method']}: {line}" for line in held]


class OneShot:
    """Keeps the device and the data set, as the image classifier does that it holds. Hands over when it is asked to leave.

    Args:
        options: what it was told.
        now: seconds of a monotonic clock.
        load: the data set of a reference.
        begin: the search of settings and material.
    """

    hands_over: ClassVar[bool] = True

    def __init__(
        self,
        options: Options,
        *,
        now: Callable[[], float] = standstill.now,
        load: Callable[..., Dataset] = load_dataset,
        begin: Callable[[Settings, Material], Search] = searches.begin,
    ) -> None:
        self._options, self._now, self._begin = options, now, begin
        self._classifier = ImageClassifier(options.training, now=now, load=load)

    def train(self, trial: Trial, workdir: Path) -> Result:
        """Searches for `trial.budget` seconds where that is what the trial is, and else trains its configuration.

        The loss of a search is the validation error of the configuration that it found, with the shared weights. It continues from what
        an earlier attempt left behind `workdir/interrupted`; it leaves `curve.jsonl`, when it ends well `network.json` and `samples.png` of
        what it found, and `model/` where the search yields a network ready for use, and when it was asked to leave, or is long,
        `handover/`.
        """
        if trial.origin is not Origin.SEARCH:
            return self._classifier.train(trial, workdir)
        compute = self._classifier.compute
        clock = TrainingClock(compute.device, now=self._now)
        return within_memory(trial, compute, clock, lambda began, details: self._search(trial, workdir, clock, began, details))

    def _search(self, trial: Trial, workdir: Path, clock: TrainingClock, began: float, details: dict[str, Any]) -> Result:
        space, fingerprint = self._space()
        own_kernels.refusal(self._classifier.compute.device)  # before there are networks, which may leave no memory for it
        loaded, compute, options = self._classifier.resident(), self._classifier.compute, self._options.training
        settings = self._options.search
        identity = {
            **loaded.identity,
            "search": one_shot_settings.to_json(settings),
            "space": fingerprint,
            "device": compute.device.type,
            "precision": compute.precision,
        }
        material = Material(data=loaded.data, compute=compute, space=space, seed=trial.seed)
        search, standing, told = _begun(trial, workdir, lambda: self._begin(settings, material), identity)
        details |= told

        def keep(standing: Standing, facts: Mapping[str, Any]) -> None:
            keeping.save(workdir / "handover", search, Kept(standing=standing, facts=facts), own(trial, identity))

        earlier_s = 0.0 if standing is None else standing.train_s
        keeper = Keeper(keep, told=told, earlier_s=earlier_s, device=compute.name)
        setup_s = clock.now() - began
        outcome = running.run(
            search,
            Length(budget_s=trial.budget, min_steps=options.min_steps, max_steps=options.max_steps),
            clock,
            lambda point: append_line(workdir / "curve.jsonl", dump_json(point)),
            standing=standing,
            leave=Leave(asked=leaving.asked, save=keeper.save, every_s=options.save_every_s),
        )
        metrics, found = outcome.figures(setup_s=setup_s), None
        if outcome.status is Status.OK:
            found = search.found()
            metrics |= _show(found, loaded, workdir)
            details["ready_to_use"] = _export(search, found, trial, loaded, workdir, {"device": compute.name, **_judged(outcome)})
        details |= {"search": search.told(), "restored": outcome.restored, **kernels(compute)}
        details |= {"attempt_s": outcome.train_s - earlier_s, "save_refused": keeper.refused}
        details["curve"] = [{k: point[k] for k in ("u", "train_loss", "valid_error") if k in point} for point in outcome.curve]
        return Result(
            trial_id=trial.trial_id,
            status=outcome.status,
            loss=outcome.valid.error if outcome.valid else None,
            train_s=outcome.train_s,
            metrics=metrics | {"wall_s": clock.now() - began},
            details=details,
            config=found,
            message=outcome.message,
        )

    def _space(self) -> tuple[ConfigurationSpace, str]:
        """What is searched, and its hash.

        Raises:
            OptionError: it was not said, or is not there.
            StudyError: the file is damaged.
        """
        path = self._options.space_file
        if path is None:
            raise OptionError("one_shot option space_file is missing; a search needs the path of the study's space.json")
        try:
            text = path.read_text(encoding="utf-8")
        except OSError as e:
            raise OptionError(f"one_shot option space_file is {str(path)!r}: {e.strerror}; accepted is a study's space.json") from e
        return frozen_space(text, path), hashlib.sha256(text.encode()).hexdigest()


def _begun(
    trial: Trial, workdir: Path, begin: Callable[[], Search], identity: Mapping[str, Any]
) -> tuple[Search, Standing | None, dict[str, Any]]:
    """The search where an earlier attempt left it, else at its beginning; where it stands; and what is to be told of that."""
    search, folder = begin(), workdir / "interrupted"
    told: dict[str, Any] = {"resumed": {"resumed": False, "reason": "nothing to continue"}}
    if not (folder.is_symlink() or folder.exists()):
        return search, None, told
    try:
        kept = keeping.load(folder, search, own(trial, identity))
    except CheckpointError as e:
        return begin(), None, told | {"interrupted": {"resumed": False, "reason": str(e)}}
    begin_curve(workdir, kept.standing.curve)
    return search, kept.standing, gone_on(kept.facts)


def _judged(outcome: Searched) -> dict[str, Any]:
    score = outcome.valid
    return {"valid_error": score.error, "n_valid": score.n, "train_s": outcome.train_s} if score else {}


def _show(found: Mapping[str, Value], loaded: Loaded, workdir: Path) -> dict[str, float]:
    """Leaves a drawing of the network that was found and a picture of what it is to be shown; its size."""
    layers, recipe = read(found)
    sizes = size(layers, image_shape=loaded.data.image_shape, n_classes=loaded.data.n_classes)
    describe(layers, loaded.data, sizes, workdir / "network.json")
    write_atomic(workdir / "samples.png", picture(loaded.data, recipe))
    return sizes


def _export(search: Search, found: Mapping[str, Value], trial: Trial, loaded: Loaded, workdir: Path, facts: Mapping[str, Any]) -> bool:
    """Leaves the trained network in `model/`, if there is one."""
    if (network := search.model()) is None:
        return False
    export_model(
        network,
        workdir / "model",
        data=loaded.data,
        classes=loaded.classes,
        config=found,
        facts={"dataset": loaded.name, "fingerprint": loaded.identity["dataset"], "seed": trial.seed, "steps": search.steps, **facts},
    )
    return True
