"""All finished evaluations of a study as one flat table: a row each, in the order of telling."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from bohb_nas.durations import counted
from bohb_nas.errors import StudyError, UsageError
from bohb_nas.files import check_folder, storing, write_atomic
from bohb_nas.reading import parse_json
from bohb_nas.records import Result, Trial
from bohb_nas.report.status import Watch
from bohb_nas.store.journal import State
from bohb_nas.store.notes import printable
from bohb_nas.store.stays import stay
from bohb_nas.store.study_dir import StudyDir

COLUMNS = (
    *("trial_id", "config_id", "origin", "status", "loss", "budget", "unit", "bracket", "rung", "seed", "resume_from", "asked", "told"),
    *("began", "ended", "train_s", "host", "device", "model", "violates", "message"),
)
"""Of the trial and its result."""
Row = dict[str, Any]
"""Column -> value; None where there is none."""


class Written:
    """Of which evaluations files were written last; only others, or a file that is gone, make it worth to write them again."""

    def __init__(self) -> None:
        self._state: State | None = None
        self._n = 0

    def holds(self, state: State, *files: Path) -> bool:
        """Whether the files are there and tell all that is told."""
        return state is self._state and len(state.results) == self._n and all(map(os.path.exists, files))

    def note(self, state: State) -> None:
        """The files tell all that is told now."""
        self._state, self._n = state, len(state.results)


class WholeFile:
    """The evaluations of a study in a file that is replaced as a whole.

    Args:
        watch: the study.
        to: the file.
        text: what it holds, of the columns and rows of `table`.

    Raises:
        UsageError: no file can be written there.
    """

    def __init__(self, watch: Watch, to: Path, text: Callable[[Sequence[str], Sequence[Row]], str]) -> None:
        check_file(to)
        self._watch, self._to, self._text, self._written = watch, to, text, Written()

    def update(self) -> str:
        """Writes all evaluations of this moment, where the file has others or is not there."""
        state = self._watch.look()
        if not self._written.holds(state, self._to):
            text = self._text(*table(self._watch.study, state))
            make_folder(self._to)
            write_atomic(self._to, text, mode=0o644)
            self._written.note(state)
        return f"{counted(len(state.results), 'evaluation')}: {self._to}"


def table(study: StudyDir, state: State) -> tuple[list[str], list[Row]]:
    """The columns, and the rows: every row has every column.

    After the columns of the trial and its result come `config.NAME` for each hyperparameter, in the space's order, empty where it is
    inactive, and `metric.NAME` for each metric that a worker returned.
    """
    unit, evaluations, (asked, told) = study.read_meta()["budgets"]["unit"], list(state.evaluations()), times(state)
    names = list(dict.fromkeys([*hyperparameters(study), *(name for e in evaluations for name in e.config)]))
    measured = sorted({name for e in evaluations for name in e.result.metrics})
    rows = []
    for e in evaluations:
        metrics, trial_id = e.result.metrics, e.trial.trial_id
        row = _row(e.trial, e.result, unit=unit, asked=asked[trial_id], told=told[trial_id])
        row |= {f"config.{name}": e.config.get(name) for name in names} | {f"metric.{name}": metrics.get(name) for name in measured}
        rows.append(row)
    return [*COLUMNS, *(f"config.{name}" for name in names), *(f"metric.{name}" for name in measured)], rows


def times(state: State) -> tuple[dict[str, float], dict[str, float]]:
    """Seconds since the epoch at which each trial was asked, and at which it was told."""
    asked = {e.trial.trial_id: e.time for e in state.events if e.trial is not None}
    return asked, {e.result.trial_id: e.time for e in state.events if e.result is not None}


def hyperparameters(study: StudyDir) -> list[str]:
    """The names of the space's hyperparameters, in its order; none where a study has no space.

    Raises:
        StudyError: the space's file is damaged.
    """
    if not study.space_json.exists():
        return []
    try:
        space = parse_json(study.read_space())
    except (ValueError, RecursionError) as e:
        raise StudyError(f"{study.space_json} is damaged: {e}; restore it from a backup") from e
    listed = space.get("hyperparameters") if isinstance(space, dict) else None
    if not isinstance(listed, list):
        raise StudyError(f"{study.space_json} is damaged: it lists no hyperparameters; restore it from a backup")
    return [str(one["name"]) for one in listed if isinstance(one, dict) and "name" in one]


def check_file(to: Path) -> None:
    """Refuses what no file can be written to.

    Raises:
        UsageError: it is a folder, or its folder cannot be made or written to.
    """
    if os.path.isdir(to):
        raise UsageError(f"--to {to} is a folder; name a file in it")
    check_folder("--to", to.parent, file=to)


def make_folder(to: Path) -> None:
    """Makes the folder of a file where it is not there.

    Raises:
        StorageError: the disk refused.
    """
    with storing(to.parent):
        to.parent.mkdir(parents=True, exist_ok=True)


def _row(trial: Trial, result: Result, *, unit: str, asked: float, told: float) -> Row:
    where = stay(result)
    return {
        "trial_id": trial.trial_id,
        "config_id": trial.config_id,
        "origin": str(trial.origin),
        "status": str(result.status),
        "loss": result.loss,
        "budget": trial.budget,
        "unit": unit,
        "bracket": trial.bracket,
        "rung": trial.rung,
        "seed": trial.seed,
        "resume_from": trial.resume_from,
        "asked": asked,
        "told": told,
        "began": None if where is None else where.began,
        "ended": None if where is None else where.ended,
        "train_s": result.train_s,
        "host": None if where is None else where.host,
        "device": None if where is None else where.device,
        "model": None if where is None else where.model,
        "violates": "; ".join(result.violates) or None,
        "message": None if result.message is None else printable(result.message),
    }
