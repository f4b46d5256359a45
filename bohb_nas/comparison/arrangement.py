"""What a comparison compares: from what was typed, checked as a whole, to DIR/compare.json, which says so for good."""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from ConfigSpace import ConfigurationSpace

from bohb_nas.comparison.cells import cell_folder
from bohb_nas.comparison.entrants import DEFAULT, TRAININGS, Entrant, duration, find
from bohb_nas.datasets import prepare
from bohb_nas.engine import plan
from bohb_nas.engine.devices import named_device
from bohb_nas.errors import SpaceError, StudyError, UsageError
from bohb_nas.files import check_folder, dump_json, is_aside, write_atomic
from bohb_nas.reading import parse_json, read_regular
from bohb_nas.records import Value
from bohb_nas.space.encoding import default_configuration
from bohb_nas.space.files import load_space, space_to_json
from bohb_nas.space.legality import complete

NAME = "compare.json"
FORMAT = 1
SHORTEST_S = 20.0
"""Less is over before anything is started and measured."""
SHORTEST_TRAINING_S = 1.0
_MOST_SEEDS = 10_000
_GROWING = ("seeds", "methods", "skip_unreadable")
_LIMIT_BYTES = 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What was typed; None or empty means "not said"."""

    dataset: str | None = None
    data_dir: Path | None = None
    space: str | None = None
    time_s: float | None = None
    train_s: float | None = None
    seeds: int | None = None
    methods: tuple[str, ...] = ()
    device: str | None = None
    worker_options: Mapping[str, Any] = field(default_factory=dict)
    max_params: float | None = None
    max_flops: float | None = None
    skip_unreadable: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrangement:
    """What is compared; equal for every run on one DIR but for seeds and methods, which may grow."""

    dataset: str
    data_dir: str | None
    fingerprint: str
    """Of the data set."""
    space: str
    space_sha256: str
    """Of the space as JSON."""
    time_s: float
    train_s: float
    seeds: int
    methods: tuple[str, ...]
    device: str | None
    worker_options: Mapping[str, Any]
    """Those that were given."""
    max_params: float | None
    max_flops: float | None
    skip_unreadable: bool = False
    """Once said, for good."""

    def entrants(self) -> tuple[Entrant, ...]:
        """Who takes part, in order."""
        return find(self.methods)

    def cells(self) -> list[tuple[Entrant, int]]:
        """What is to be run, seed by seed, so that there is something to compare early."""
        return [(entrant, seed) for seed in range(self.seeds) for entrant in self.entrants()]

    def arguments(self, entrant: Entrant, seed: int, folder: Path) -> list[str]:
        """The arguments of `bohb-nas` that run, or resume, a cell of the comparison in `folder`."""
        words = ["run", str(cell_folder(folder, entrant.name, seed)), "--workers", "1", "--space", self.space, "--dataset", self.dataset]
        words += ["--seed", str(seed), *entrant.own(self.time_s, self.train_s)]
        words += ["--data-dir", self.data_dir] if self.data_dir is not None else []
        words += ["--skip-unreadable"] if self.skip_unreadable else []
        words += ["--initial", str(initial_file(folder, entrant.name))] if entrant.config is not None else []
        words += [word for name, value in self.worker_options.items() for word in ("--worker-option", f"{name}={json.dumps(value)}")]
        for option, bound in (("--max-params", self.max_params), ("--max-flops", self.max_flops)):
            words += [option, f"{bound:.17g}"] if bound is not None else []
        return words


def initial_file(folder: Path, method: str) -> Path:
    """The configuration of a method that trains one."""
    return folder / f"{method}.initial.json"


def write_initial(folder: Path, method: str, config: Mapping[str, Value]) -> None:
    """Writes it.

    Raises:
        StorageError: the disk refused.
    """
    write_atomic(initial_file(folder, method), dump_json([{"name": method, "config": config}]) + "\n")


Check = Callable[["Arrangement", tuple[Entrant, ...], Path], None]
"""Raises UsageError when one of the entrants could not be run in a folder."""


def arrange(folder: Path, request: Request, check: Check = lambda arrangement, entrants, folder: None) -> Arrangement:
    """Checks what was asked, or takes up what was asked before, and writes it down.

    Args:
        folder: DIR.
        request: what was asked.
        check: hears of the entrants that are new.

    Raises:
        UsageError: it cannot be done, or contradicts what DIR holds; nothing was written.
        StorageError: the disk refused.
    """
    stored = _stored(folder)
    space, found = _complete(request, stored)
    initial = {e.name: configuration(space, e) for e in found.entrants() if e.config is not None}
    if stored is not None:
        _refuse_changes(folder, stored, found)
    check_folder("DIR", folder)  # before entrants are looked at, which takes a while
    if new := tuple(entrant for entrant in found.entrants() if stored is None or entrant.name not in stored.methods):
        check(found, new, folder)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if found != stored:
        write_atomic(folder / NAME, json.dumps({"format": FORMAT, **asdict(found)}, indent=1, allow_nan=False) + "\n")
    for name, config in initial.items():
        if not initial_file(folder, name).exists():
            write_initial(folder, name, config)
    return found


def _stored(folder: Path) -> Arrangement | None:
    """What DIR compares; None for a new one."""
    try:
        record = parse_json(read_regular(folder / NAME, limit=_LIMIT_BYTES))
    except FileNotFoundError:
        if folder.exists() and (not folder.is_dir() or any(not is_aside(path) for path in folder.iterdir())):
            raise StudyError(f"{folder} holds something else and no {NAME}; choose an empty or new DIR") from None
        return None
    except (OSError, ValueError) as e:
        raise StudyError(f"{folder / NAME} cannot be read: {e}; restore it, or compare in a new DIR") from e
    names = {f.name for f in fields(Arrangement)}
    if not isinstance(record, dict) or record.pop("format", None) != FORMAT or {"skip_unreadable", *record} != names:
        raise StudyError(f"{folder / NAME} is not of format {FORMAT}; restore it, or compare in a new DIR")
    options = {name: value for name, value in record["worker_options"].items() if name not in ("dataset", "data_dir")}
    # an earlier version also took these as worker options
    return Arrangement(**record | {"methods": tuple(record["methods"]), "worker_options": options})


def _complete(request: Request, stored: Arrangement | None) -> tuple[ConfigurationSpace, Arrangement]:
    """What was asked with what was not said: as stored, else the defaults."""
    worker_options = request.worker_options or (stored.worker_options if stored else {})
    data = {"dataset": stored.dataset, "data_dir": stored.data_dir} if stored else {"dataset": "digits"}
    said = plan.plan(
        plan.Request(
            space=plan.first(request.space, stored and stored.space, "cell"),
            dataset=request.dataset,
            data_dir=request.data_dir,
            worker_options=dict(worker_options),
        ),
        base={"worker_options": data},
    )
    options = said["worker_options"]
    time_s = plan.first(request.time_s, stored and stored.time_s, 600.0)
    train_s = plan.first(request.train_s, stored and stored.train_s, time_s / TRAININGS)
    methods = request.methods or (stored.methods if stored else DEFAULT)
    new = [name for name in methods if stored is None or name not in stored.methods]
    ordered = (*(name for name in (stored.methods if stored else ()) if name in methods), *new)
    find(methods)
    _check_numbers(time_s, train_s, seeds := plan.first(request.seeds, stored and stored.seeds, 3))
    if (device := plan.first(request.device, stored and stored.device)) is not None:
        named_device(device)
    space = load_space(said["space"])
    skip_unreadable = request.skip_unreadable or (stored is not None and stored.skip_unreadable)
    return space, Arrangement(
        dataset=options["dataset"],
        data_dir=options.get("data_dir"),
        fingerprint=_fingerprint(options["dataset"], options.get("data_dir"), skip_unreadable=skip_unreadable),
        space=said["space"],
        space_sha256=hashlib.sha256(space_to_json(space).encode()).hexdigest(),
        time_s=float(time_s),
        train_s=float(train_s),
        seeds=seeds,
        methods=ordered,
        device=device,
        worker_options={name: options[name] for name in worker_options},
        max_params=plan.first(request.max_params, stored and stored.max_params),
        max_flops=plan.first(request.max_flops, stored and stored.max_flops),
        skip_unreadable=skip_unreadable,
    )


def _check_numbers(time_s: float, train_s: float, seeds: int) -> None:
    if not 1 <= seeds <= _MOST_SEEDS:
        raise UsageError(f"--seeds {seeds}: accepted is a whole number from 1 to {_MOST_SEEDS}")
    if time_s < SHORTEST_S:
        raise UsageError(f"--time {duration(time_s)}: accepted are at least {SHORTEST_S:g} s for each method and seed")
    if not SHORTEST_TRAINING_S <= train_s <= time_s:
        raise UsageError(
            f"--train-time {duration(train_s)}: accepted are {SHORTEST_TRAINING_S:g} s to {time_s:g} s, the --time of a whole search; "
            f"{time_s / TRAININGS:.4g} s is usual"
        )


def _fingerprint(dataset: str, data_dir: str | None, *, skip_unreadable: bool) -> str:
    found = prepare(dataset, data_dir=Path(data_dir) if data_dir is not None else None, skip_unreadable=skip_unreadable)
    found.test_part(dataset if data_dir is None else f"{dataset} in {data_dir}")
    return found.fingerprint


def configuration(space: ConfigurationSpace, entrant: Entrant) -> dict[str, Value]:
    """The configuration of an entrant that trains one.

    Raises:
        SpaceError: the space does not have it.
    """
    assert entrant.config is not None
    try:
        return complete(space, {**default_configuration(space), **entrant.config})
    except SpaceError as e:
        raise SpaceError(f"{entrant.name} cannot take part, its configuration is none of the space: {e}; leave it out of --methods") from e


def _refuse_changes(folder: Path, stored: Arrangement, asked: Arrangement) -> None:
    """Refuses whatever would compare what is not alike."""
    changed = [
        f"{_option(f.name)} is {getattr(asked, f.name)!r}, was {getattr(stored, f.name)!r}"
        for f in fields(Arrangement)
        if f.name not in _GROWING and getattr(asked, f.name) != getattr(stored, f.name)
    ]
    if asked.seeds < stored.seeds:
        changed.append(f"--seeds is {asked.seeds}, was {stored.seeds}: it may only grow")
    if gone := [name for name in stored.methods if name not in asked.methods]:
        changed.append(f"--methods lacks {', '.join(gone)}: it may only grow")
    if changed:
        raise UsageError(f"{folder} compares something else: {'; '.join(changed)}. Leave these options out, or use another DIR")


def _option(name: str) -> str:
    """What a person typed to get it."""
    spoken = {
        "time_s": "--time",
        "train_s": "--train-time",
        "worker_options": "--worker-option",
        "fingerprint": "the content of the data set",
        "space_sha256": "the content of the space",
    }
    return spoken.get(name, f"--{name.replace('_', '-')}")
