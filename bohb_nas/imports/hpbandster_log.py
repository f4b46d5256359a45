"""Reads the log of an HpBandSter run, `configs.json` and `results.json`, and checks every line of it.

A line is refused, with its number and a remedy, where it cannot be what HpBandSter wrote for this space. What can be told for certain
is taken or left out, and counted: a torn last line, results without a configuration, configurations without a result, failures.
"""

import json
import math
import reprlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from ConfigSpace import ConfigurationSpace
from ConfigSpace.hyperparameters import FloatHyperparameter

from bohb_nas.durations import counted
from bohb_nas.entries import is_number
from bohb_nas.errors import LogError, SpaceError
from bohb_nas.files import dump_json
from bohb_nas.reading import parse_json, read_regular
from bohb_nas.records import RESULT_LIMIT_BYTES, Status, Value
from bohb_nas.space.legality import complete

CONFIGS, RESULTS = "configs.json", "results.json"
_LIMIT_BYTES = 2**30
_TOLERANCE = 1e-9
"""By how much, relatively, a float may lie outside its range: the way back from a logarithm does that."""
_MESSAGE_LIMIT = 10_000

Id = tuple[int, int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """A configuration of the run."""

    config: Mapping[str, Value]
    model_based: bool
    """Whether a model picked it; random search and Hyperband do not say, and have none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A finished evaluation."""

    id: Id
    budget: float
    submitted: float
    """Seconds since the epoch; so `started` and `finished`."""
    started: float
    finished: float
    loss: float | None
    status: Status
    message: str | None
    info: Any
    """What the worker said beside the loss; None where it cannot be kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Log:
    """A whole run."""

    configs: Mapping[Id, Config]
    """Those with a result."""
    runs: tuple[Run, ...]
    """In the order of the file."""
    notes: tuple[str, ...]
    """What was left out, with counts."""


def read(folder: Path, space: ConfigurationSpace) -> Log:
    """The log in a folder.

    Args:
        folder: with `configs.json` and `results.json`.
        space: that the run searched.

    Raises:
        LogError: a file is missing, a line is not as HpBandSter writes it or does not fit the space, or there is no result.
    """
    notes: list[str] = []
    configs = _read_configs(folder / CONFIGS, space, notes)
    found, seen, strangers = [], dict[tuple[Id, float], int](), 0
    for where, nth, line in _lines(folder / RESULTS, notes):
        run = _run(where, line)
        if run.id not in configs:
            strangers += 1
            continue
        if (earlier := seen.setdefault((run.id, run.budget), nth)) != nth:
            _refuse(where, f"configuration {list(run.id)} has a result on budget {run.budget:g} in line {earlier} already; delete one")
        found.append(run)
    if strangers:
        notes.append(f"left out: {counted(strangers, 'result')} of whose id {CONFIGS} has no configuration")
    if not found:
        raise LogError(f"{folder / RESULTS} has no result that can be taken: nothing to import")
    finished = {run.id for run in found}
    if unfinished := len(configs) - len(finished):
        notes.append(f"left out: {counted(unfinished, 'configuration')} without a result")
    if dropped := sum(run.info is None for run in found):
        notes.append(f"taken without their info, which is none or cannot be written again: {counted(dropped, 'evaluation')}")
    return Log(configs={i: c for i, c in configs.items() if i in finished}, runs=tuple(found), notes=tuple(notes))


def _read_configs(path: Path, space: ConfigurationSpace, notes: list[str]) -> dict[Id, Config]:
    configs: dict[Id, Config] = {}
    for where, _, line in _lines(path, notes):
        if not (isinstance(line, list) and len(line) in (2, 3)):
            _refuse(where, "accepted is [id, configuration, info]; correct or delete the line")
        config_id, info = _id(where, line[0]), line[2] if len(line) == 3 else {}
        if not isinstance(line[1], dict):
            _refuse(where, f"the configuration is {reprlib.repr(line[1])}; accepted is an object; correct or delete the line")
        try:
            # some loggers write what is inactive, as null
            config = complete(space, {name: _within(space, name, value) for name, value in line[1].items() if value is not None})
        except SpaceError as e:
            _refuse(where, f"{e}; give the space that was searched with --space, or delete the line")
        picked = info.get("model_based_pick", False) if isinstance(info, dict) else False
        if not isinstance(picked, bool):
            _refuse(where, f"model_based_pick is {reprlib.repr(picked)}; accepted is true or false; correct or delete the line")
        known = configs.setdefault(config_id, Config(config=config, model_based=picked))
        if known.config != config:
            _refuse(where, f"configuration {list(config_id)} stands in an earlier line with other values; delete one of the lines")
    return configs


def _within(space: ConfigurationSpace, name: str, value: object) -> object:
    """The value, at the edge of its range where it lies outside by what rounding does."""
    one = space.get(name)
    if isinstance(one, FloatHyperparameter) and is_number(value):
        assert isinstance(value, int | float)
        for edge in (float(one.lower), float(one.upper)):
            if math.isclose(value, edge, rel_tol=_TOLERANCE):
                return min(max(value, float(one.lower)), float(one.upper))
    return value


def _run(where: str, line: Any) -> Run:
    if not (isinstance(line, list) and len(line) == 5):
        _refuse(where, "accepted is [id, budget, times, result, exception]; correct or delete the line")
    config_id, budget, stamps, result, exception = line
    if not (is_number(budget) and budget > 0):
        _refuse(where, f"the budget is {reprlib.repr(budget)}; accepted is a positive number; correct or delete the line")
    names = ("submitted", "started", "finished")
    times: list[Any] = [stamps.get(name) for name in names] if isinstance(stamps, dict) else [None]
    if not all(map(is_number, times)) or sorted(times) != times:
        _refuse(
            where,
            f"the times are {reprlib.repr(stamps)}; accepted are submitted <= started <= finished in seconds; correct or delete the line",
        )
    status, loss = _outcome(where, result)
    info = result.get("info") if result is not None else {}
    return Run(
        id=_id(where, config_id),
        budget=float(budget),
        submitted=float(times[0]),
        started=float(times[1]),
        finished=float(times[2]),
        loss=loss,
        status=status,
        message=None if status is Status.OK else _message(result, exception, info),
        info=info if _writable(info) else None,
    )


def _outcome(where: str, result: Any) -> tuple[Status, float | None]:
    if result is None:
        return Status.CRASHED, None
    if not isinstance(result, dict) or "loss" not in result:
        _refuse(
            where, f'the result is {reprlib.repr(result)}; accepted is {{"loss": number, "info": …}} or null; correct or delete the line'
        )
    loss, info = result["loss"], result.get("info")
    if loss is None or (isinstance(info, dict) and info.get("state") == "CRASHED"):
        return Status.CRASHED, None
    if isinstance(loss, bool) or not isinstance(loss, int | float):
        _refuse(where, f"the loss is {reprlib.repr(loss)}; accepted is a number or null; correct or delete the line")
    return (Status.OK, float(loss)) if is_number(loss) else (Status.DIVERGED, None)


def _message(result: Any, exception: Any, info: Any) -> str:
    """Why there is no loss, in the words of the log."""
    told = info.get("message") if isinstance(info, dict) else None
    words = next((text for text in (exception, told) if isinstance(text, str) and text), None)
    loss = result.get("loss") if isinstance(result, dict) else None
    return (
        words[-_MESSAGE_LIMIT:].encode(errors="replace").decode()
        if words is not None
        else f"the log says no more than a {'result of null' if result is None else f'loss of {loss}'}"
    )


def _writable(info: Any) -> bool:
    """Whether it is something that a journal can hold."""
    if info is None:
        return False
    try:
        text = dump_json(info)
        parse_json(text)
    except (ValueError, RecursionError):
        return False
    return len(text) < RESULT_LIMIT_BYTES // 2


def _id(where: str, value: Any) -> Id:
    if not (isinstance(value, list) and len(value) == 3 and all(type(part) is int and 0 <= part < 2**31 for part in value)):
        _refuse(where, f"the id is {reprlib.repr(value)}; accepted are three whole numbers from 0; correct or delete the line")
    return value[0], value[1], value[2]


def _lines(path: Path, notes: list[str]) -> Iterator[tuple[str, int, Any]]:
    """Where each line stands, its number, and its value; of a torn last line only a note is made."""
    try:
        data = read_regular(path, limit=_LIMIT_BYTES)
    except OSError as e:
        raise LogError(
            f"{path} cannot be read: {e.strerror}; accepted is a folder with {CONFIGS} and {RESULTS}, as HpBandSter's logger leaves them"
        ) from e
    texts = data.split(b"\n")
    for nth, text in enumerate(texts, start=1):
        if not text.strip():
            continue
        where = f"{path}, line {nth}"
        try:
            value = json.loads(text)
        except (ValueError, RecursionError) as e:
            if nth == len(texts):
                notes.append(f"the last line of {path.name} is left out: it is torn")
                return
            _refuse(where, f"it is no JSON ({str(e)[:200]}); correct or delete the line")
        yield where, nth, value


def _refuse(where: str, why: str) -> NoReturn:
    raise LogError(f"{where}: {why}")
