"""The contracts of spaces, workers and methods as checks: behind our own tests and `bohb-nas check`.

Every check answers with findings, one per statement, whether or not it holds; none of them raises because of what is checked.
(Longer than other modules: the contracts of six kinds of things stand side by side.)
"""

import codecs
import inspect
import itertools
import json
import math
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from ConfigSpace import ConfigurationSpace

from bohb_nas import leaving, networks
from bohb_nas.datasets import prepare
from bohb_nas.engine import streams
from bohb_nas.engine.child import hands_over, make_worker
from bohb_nas.engine.kept import read_back
from bohb_nas.errors import BohbNasError, RefError, UsageError
from bohb_nas.files import dump_json
from bohb_nas.methods import Method, ask, make_optimizer
from bohb_nas.records import Budgets, Idle, Origin, Result, Status, Trial, Value, Worker
from bohb_nas.refs import is_file, load_module
from bohb_nas.search_spaces import toy as toy_space
from bohb_nas.space import files as space_files
from bohb_nas.space.encoding import Encoding, default_configuration
from bohb_nas.training import policy_files
from bohb_nas.workers import toy as toy_worker

_N_SAMPLES = 50
_N_ASKS = 60
_SOON_S = 10.0
"""How long a worker may take to leave."""
_BUDGETS = Budgets(min=1.0, max=27.0, eta=3.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Whether one statement of a contract holds."""

    statement: str
    problem: str | None
    """None: it holds."""


def check_file(path: str, *, space: str = "toy", budget: float = 1.0) -> list[Finding]:
    """Holds a user's file to the contract of everything that it offers.

    Args:
        path: FILE.py with `space()`, `network(config)`, `train(trial, workdir)`, `make(**options)`, `Options` and `make(…)`, or
            `load(data_dir)`; or a space as FILE.json or FILE.yaml, or an augmentation policy as FILE.json.
        space: what a worker is checked with, unless its file offers a space itself.
        budget: what a worker is given per trial.

    Raises:
        UsageError: there is no such file, it cannot be imported, or it offers none of these.
    """
    if is_file(path) and not Path(path).is_file():
        raise RefError(f"there is no file {path}; give the path of one that is")
    if not path.endswith(".py"):
        begin = Path(path).read_bytes().lstrip(codecs.BOM_UTF8 + b" \t\r\n")[:1] if is_file(path) else b""
        if begin == b"[":
            return check_policy(Path(path))
        if path.endswith(".json") and begin != b"{":
            raise UsageError(
                f"{path!r} does not begin as an object or a list of JSON in UTF-8; accepted are a space, an object as space.to_json() "
                "writes it, and an augmentation policy, a list of operators"
            )
        return check_space(space_files.load_space(path))
    module = load_module("worker", path)
    findings: list[Finding] = []
    if hasattr(module, "space"):
        findings += check_space(space_files.load_space(path))
        space = path
    if hasattr(module, "network"):
        findings += check_network(path, space_files.load_space(space))
    if _is_method(module):
        findings += check_method(partial(make_optimizer, path))
    elif hasattr(module, "make") or hasattr(module, "train"):
        with tempfile.TemporaryDirectory() as workdir:
            findings += check_worker(make_worker(path, {}), space_files.load_space(space), workdir=Path(workdir), budget=budget)
    if hasattr(module, "load"):
        findings += check_dataset(path)
    if not findings:
        raise UsageError(
            f"{path!r} offers nothing to check; accepted are space(), network(config), train(trial, workdir), make(**options), "
            "Options with make(), and load(data_dir)"
        )
    return findings


def check_network(reference: str, space: ConfigurationSpace) -> list[Finding]:
    """Holds a `network(config)` to what the image classifier asks of it, with configurations of a space."""
    encoding = Encoding(space)

    def fits() -> None:
        for seed, image_shape in itertools.product(range(_N_SAMPLES), ((1, 1, 1), (32, 32, 3))):
            networks.size(encoding.sample(seed), image_shape=image_shape, reference=reference)

    return [_finding(f"the networks of {_N_SAMPLES} sampled configurations fit images of any size", fits)]


def check_dataset(reference: str) -> list[Finding]:
    """Holds a data set to what `run` asks of it."""

    def prepared() -> None:
        prepare(reference)

    return [_finding("the data set can be loaded", prepared)]


def check_policy(path: Path) -> list[Finding]:
    """Holds an augmentation policy to what the image classifier asks of it."""

    def read() -> None:
        policy_files.from_file(path)

    return [_finding("its entries are operators within their limits, and their probabilities sum to one", read)]


def _is_method(module: object) -> bool:
    """Whether a module's `make` takes what a method is made of; a worker's takes options of its own."""
    make = getattr(module, "make", None)
    return callable(make) and {"space", "budgets", "options"} <= inspect.signature(make).parameters.keys()


def check_space(space: ConfigurationSpace) -> list[Finding]:
    """Holds a search space to what samplers, journal and workers rely on."""

    def searchable() -> None:
        name = space.name or "space"
        space_files.check_sampled(space_files.check_space(space, name=name), name=name)

    def frozen() -> str | None:
        again = space_files.space_from_json(space_files.space_to_json(space))
        return None if again == space else f"read back it is {again}; use hyperparameters that ConfigSpace can write"

    def sampled() -> str | None:
        encoding = Encoding(space)
        samples = [encoding.sample(seed) for seed in range(_N_SAMPLES)]
        return next((problem for config in samples if (problem := _encoding_problem(encoding, config))), None)

    def default() -> str | None:
        return _encoding_problem(Encoding(space), default_configuration(space))

    def repeatable() -> str | None:
        first, second = ([Encoding(space).sample(seed) for seed in range(_N_SAMPLES)] for _ in range(2))
        return None if first == second else "two samples with one seed differ; the space must not hold randomness of its own"

    return [
        _finding("the space can be searched", searchable),
        _finding("its JSON form is the same space", frozen),
        _finding("its default configuration survives encoding and JSON", default),
        _finding(f"{_N_SAMPLES} sampled configurations survive encoding and JSON", sampled),
        _finding("a seed determines the sample", repeatable),
    ]


def check_worker(worker: Worker, space: ConfigurationSpace, *, workdir: Path, budget: float = 1.0) -> list[Finding]:
    """Holds a worker to what the engine relies on; trains three configurations, and the first again if it hands over.

    Args:
        worker: what is checked.
        space: configurations that it can train.
        workdir: an empty folder; every trial gets one in it.
        budget: of every trial.
    """
    encoding = Encoding(space)
    default = default_configuration(space)
    took_s = list[float]()

    def trains(number: int, config: dict[str, Value], accepted: frozenset[Status]) -> str | None:
        trial = _trial(f"check-{number}", config, budget)
        folder, began = workdir / trial.trial_id, time.monotonic()
        folder.mkdir()
        result = _train(worker, trial, folder)
        took_s.append(time.monotonic() - began)
        return _result_problem(result, trial, accepted)

    def leaves() -> str | None:
        return _leaving_problem(worker, _trial("check-leaving", default, budget), workdir, usual_s=took_s[0] if took_s else 0.0)

    answered = frozenset(Status) - {Status.CRASHED, Status.LOST, Status.PREEMPTED}
    return [
        _finding("it trains the default configuration", lambda: trains(0, default, frozenset({Status.OK}))),
        *(_finding(f"it answers for sampled configuration {n}", partial(trains, n, encoding.sample(n), answered)) for n in (1, 2)),
        *([_finding("asked to leave it does so soon, and the next attempt goes on", leaves)] if hands_over(worker) else []),
    ]


def check_method(make: Callable[..., Method]) -> list[Finding]:
    """Holds a method to what the engine relies on, with the toy problem in place of training.

    Args:
        make: called with `space`, `budgets`, `seed` and `n_workers`; returns a new optimizer.
    """
    start = partial(make, space=toy_space.space(), budgets=_BUDGETS, seed=3, n_workers=3)
    return [
        _finding("every trial is complete, legal and new", lambda: _trials_problem(_play(start()).trials)),
        _finding("the seed and the order of results determine what it asks", lambda: _differ(_play(start()).trials, _play(start()).trials)),
        _finding("it goes on when every trial fails", lambda: _trials_problem(_play(start(), fails=lambda _: True).trials)),
        _finding("a failed configuration is not promoted", lambda: _promotion_problem(start())),
        _finding("a result told twice counts once", lambda: _differ(_play(start()).trials, _play(start(), tells=2).trials)),
        _finding("replayed from a journal it goes on as before", lambda: _replay_problem(start)),
    ]


def _finding(statement: str, problem: Callable[[], str | None]) -> Finding:
    try:
        return Finding(statement=statement, problem=problem())
    except BohbNasError as e:
        return Finding(statement=statement, problem=str(e))
    except (Exception, SystemExit) as e:  # noqa: BLE001 - whatever the checked code raises is the finding
        return Finding(statement=statement, problem=f"{type(e).__name__}: {e}".removesuffix(": "))


def _trial(trial_id: str, config: Mapping[str, Value], budget: float) -> Trial:
    return Trial(trial_id=trial_id, config_id=trial_id, config=config, budget=budget, bracket=0, rung=0, seed=0, origin=Origin.RANDOM)


def _train(worker: Worker, trial: Trial, folder: Path) -> Any:
    """What a worker answers, whatever it makes of standard output meanwhile."""
    with streams.put_back():
        return worker.train(trial, folder)


def _encoding_problem(encoding: Encoding, config: dict[str, Value]) -> str | None:
    decoded = encoding.decode(encoding.encode([config])[0])
    read = Trial.from_json(json.loads(dump_json(_trial("check", config, 1.0).to_json()))).config
    if read != config:
        return f"{config} is {read} after JSON; use plain numbers and texts"
    same = decoded.keys() == config.keys() and all(_close(decoded[name], value) for name, value in config.items())
    return None if same else f"{config} is {decoded} after encoding"


def _close(a: Value, b: Value) -> bool:
    return math.isclose(a, b, rel_tol=1e-9, abs_tol=1e-12) if isinstance(a, float) and isinstance(b, float) else a == b


def _result_problem(result: Any, trial: Trial, accepted: frozenset[Status]) -> str | None:
    if not isinstance(result, Result):
        return f"train returned {type(result).__name__}; accepted is a bohb_nas.Result"
    if result.trial_id != trial.trial_id:
        return f"the result is of {result.trial_id!r}; pass on trial.trial_id ({trial.trial_id!r})"
    if result.status not in accepted:
        return f"status {result.status} with configuration {dict(trial.config)}: {result.message or 'no message'}"
    kept, _ = read_back(result)  # raises what cannot cross a process border
    if dropped := kept.details.get("metrics_dropped"):
        told = ", ".join(f"{name} ({value})" for name, value in dropped.items())
        return f"metrics {told} are no finite numbers and would be dropped; leave them out, or make numbers of them: float(value)"
    return None


def _leaving_problem(worker: Worker, trial: Trial, workdir: Path, *, usual_s: float) -> str | None:
    """What is wrong with how a worker leaves a trial in the middle of its usual seconds, and goes on with it."""
    for n in (1, 2):  # what only a first trial pays may have been most of its seconds
        folder, began = workdir / f"{trial.trial_id}-{n}", time.monotonic()
        folder.mkdir()
        result, late_s = _asked_to_leave(worker, trial, folder, after_s=usual_s / 2)
        usual_s = time.monotonic() - began
        if problem := _result_problem(result, trial, frozenset({Status.OK, Status.PREEMPTED})):
            return problem
        if late_s is not None and late_s > _SOON_S:
            return f"it ended {late_s:.0f} s after it was asked to leave; look at bohb_nas.leaving.asked() once a second or so"
        if result.status is Status.PREEMPTED:
            break
    else:
        return None  # it was through before it could leave
    if late_s is None:
        return "it left without being asked; accepted is that only once bohb_nas.leaving.asked() is true"
    again = workdir / f"{trial.trial_id}-again"
    again.mkdir()
    if (folder / "handover").is_dir():
        (again / "interrupted").symlink_to(folder / "handover")
    return _result_problem(_train(worker, trial, again), trial, frozenset({Status.OK}))


def _asked_to_leave(worker: Worker, trial: Trial, folder: Path, *, after_s: float) -> tuple[Any, float | None]:
    """What a worker answers that is asked to leave after so many seconds, and how many later; None if it was through before."""
    asked_at = list[float]()

    def ask() -> None:
        asked_at.append(time.monotonic())
        leaving.ask()

    leaving.reset()
    timer = threading.Timer(after_s, ask)
    timer.start()
    try:
        result = _train(worker, trial, folder)
        ended_at = time.monotonic()
    finally:
        timer.cancel()
        timer.join()
        leaving.reset()
    return result, ended_at - asked_at[0] if asked_at else None


@dataclass(frozen=True, slots=True)
class _Game:
    """What an optimizer asked, and everything in the order of a journal."""

    trials: list[Trial]
    events: list[Trial | Result]


def _play(optimizer: Method, *, fails: Callable[[Trial], bool] = lambda _: False, tells: int = 1) -> _Game:
    """Lets three toy workers train what an optimizer asks; they finish in the order of the asks.

    Raises:
        UsageError: it waits although nothing is running.
    """
    game, running = _Game([], []), list[Trial]()
    while len(game.trials) < _N_ASKS:
        asked = ask(optimizer) if len(running) < 3 else Idle.WAIT
        if isinstance(asked, Trial):
            game.trials.append(asked)
            game.events.append(asked)
            running.append(asked)
            continue
        if not running:
            if asked is Idle.DONE:
                break
            raise UsageError("it waits although no trial is running; ask must return a trial or Idle.DONE then")
        trial = running.pop(0)
        result = _toy_result(trial, failed=fails(trial))
        game.events.append(result)
        for _ in range(tells):
            optimizer.tell(result)
    return game


def _toy_result(trial: Trial, *, failed: bool) -> Result:
    if failed:
        return Result(trial_id=trial.trial_id, status=Status.CRASHED, loss=None, train_s=0.0, message="failed on purpose")
    loss = toy_worker.curve(trial.config, trial.budget)
    found = dict(toy_space.OPTIMUM) if trial.origin is Origin.SEARCH else None
    return Result(trial_id=trial.trial_id, status=Status.OK, loss=loss, train_s=trial.budget, config=found)


def _trials_problem(trials: list[Trial]) -> str | None:
    encoding = Encoding(toy_space.space())
    if not trials:
        return "it asks nothing"
    if len({trial.trial_id for trial in trials}) < len(trials):
        return "a trial id is issued twice"
    for trial in trials:
        if not any(math.isclose(trial.budget, rung, rel_tol=1e-9) for rung in _BUDGETS.rungs):
            return f"budget {trial.budget} of {trial.trial_id} is no rung; accepted are {_BUDGETS.rungs}"
        if problem := _encoding_problem(encoding, dict(trial.config)):
            return problem
        if Trial.from_json(json.loads(dump_json(trial.to_json()))) != trial:
            return f"trial {trial.trial_id} changes on its way through JSON"
    return None


def _differ(first: list[Trial], second: list[Trial]) -> str | None:
    for n, (a, b) in enumerate(zip(first, second, strict=False)):
        if a != b:
            return f"ask {n} is {a} the first time, {b} the second"
    return None if len(first) == len(second) else f"{len(first)} asks the first time, {len(second)} the second"


def _promotion_problem(optimizer: Method) -> str | None:
    game = _play(optimizer, fails=lambda trial: trial.seed % 2 == 0)
    failed: set[str] = set()
    configs = {trial.trial_id: trial.config_id for trial in game.trials}
    for event in game.events:
        if isinstance(event, Result) and event.status is not Status.OK:
            failed.add(configs[event.trial_id])
        elif isinstance(event, Trial) and event.config_id in failed:
            return f"{event.trial_id} trains configuration {event.config_id} again, which failed"
    return None


def _replay_problem(start: Callable[[], Method]) -> str | None:
    whole = _play(start())
    resumed = start()
    take_back = getattr(resumed, "replay", lambda trial: resumed.ask())  # as the engine does it
    for event in whole.events[: len(whole.events) // 2]:
        if isinstance(event, Trial):
            take_back(event)
        else:
            resumed.tell(event)
    for event in whole.events[len(whole.events) // 2 :]:
        if isinstance(event, Result):
            resumed.tell(event)
        elif (asked := resumed.ask()) != event:
            return f"it asks {asked} where the uninterrupted search asked {event}"
    return None
