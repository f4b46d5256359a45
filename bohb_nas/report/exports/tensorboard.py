"""A study as event files for TensorBoard: a run for the search, and one for each attempt at a trial.

What a file holds follows from the study in one order, so the file itself says how far it came: an update appends what is missing,
whether the same process wrote the rest or an earlier one.
"""

import math
from collections.abc import Iterator
from pathlib import Path

from bohb_nas.entries import is_number
from bohb_nas.errors import StorageError, UsageError
from bohb_nas.files import dump_json, pasted
from bohb_nas.locks import Lock
from bohb_nas.records import Evaluation, Origin, Result, Trial, stands_in
from bohb_nas.report.exports import _event_file as event_file
from bohb_nas.report.exports._owner import name_of
from bohb_nas.report.status import Watch
from bohb_nas.store import notes
from bohb_nas.store.journal import State
from bohb_nas.store.stays import stay

FILE = "events.out.tfevents.0.bohb-nas"
"""Of every run; TensorBoard knows event files by the middle of their names."""
_TAGS = ("valid_error", "train_loss", "train_error", "lr", "images_per_s")
"""What is shown of a point of a learning curve."""
_OWNER = "study.lock"
"""Says whose runs a folder holds, and is held by whoever appends to them."""
_MOST = 2**53
"""Of a step."""


def make(watch: Watch, to: Path) -> "Runs":
    """The export to a folder.

    Raises:
        UsageError: there is something else.
    """
    _refuse_another(to, name_of(watch.study))
    if to.exists() and not to.is_dir():
        raise UsageError(f"--to {to} is a file; TensorBoard reads folders, name one that is new or holds an earlier export of this study")
    return Runs(watch, to)


def _refuse_another(to: Path, study: str) -> None:
    other = notes.text(notes.read_note(to / _OWNER), "study")
    if other not in (None, study):
        raise UsageError(f"--to {to} holds the runs of study {other}; name another folder, or delete {to / _OWNER} if that study was moved")


class Runs:
    """The runs of a study in a folder."""

    def __init__(self, watch: Watch, to: Path) -> None:
        self._watch = watch
        self._to = to
        self._state: State | None = None
        self._complete: set[str] = set()
        """Told trials whose runs are written."""
        self._search: list[bytes] = []
        self._best: dict[float, float] = {}
        self._failed = 0

    def update(self) -> str:
        """Appends what is new; leaves it to whoever else does so at this moment."""
        try:
            self._to.mkdir(parents=True, exist_ok=True)
        except OSError as e:
            raise StorageError(f"cannot make {self._to}: {e.strerror}; free space, or name a folder where you may write") from e
        name = name_of(self._watch.study)
        _refuse_another(self._to, name)  # which has begun since this command has
        with Lock(self._to / _OWNER) as lock:
            if lock.acquire(dump_json({"study": name})):
                self._append()
        return f"runs: {self._to}; `tensorboard --logdir {pasted(self._to)}` shows them (pip install 'bohb-nas[tensorboard]')"

    def _append(self) -> None:
        unit, state = self._watch.study.read_meta()["budgets"]["unit"], self._watch.look()
        if self._state is not state:
            self._state, self._complete, self._search, self._best, self._failed = state, set(), [], {}, 0
        self._append_search(state, unit)
        for trial_id, trial in state.trials.items():
            if trial_id not in self._complete:
                result = state.results.get(trial_id)
                self._append_trial(trial, result, asked=state.asked_under.get(trial_id, (0, 0.0))[1])
                if result is not None:
                    self._complete.add(trial_id)

    def _append_search(self, state: State, unit: str) -> None:
        """One event for every told result: its loss, the best at its budget so far, how many have failed."""
        told = [event for event in state.events if event.result is not None]
        if told and not self._search:
            self._search.append(event_file.version(told[0].time))
        for n, event in enumerate(told[len(self._search) - 1 :], start=len(self._search)):
            assert event.result is not None
            result, trial = event.result, state.trials[event.result.trial_id]
            self._failed += result.loss is None
            values = {"failed": float(self._failed)}
            if result.loss is not None:
                values[f"loss/{trial.budget:g}{unit}"] = result.loss
                if not stands_in(trial, result) and not result.violates:
                    self._best[trial.budget] = min(result.loss, self._best.get(trial.budget, math.inf))
                    values[f"best_loss/{trial.budget:g}{unit}"] = self._best[trial.budget]
            self._search.append(event_file.scalars(event.time, n, values))
        if self._search:
            event_file.append(self._to / "search" / FILE, self._search)

    def _append_trial(self, trial: Trial, result: Result | None, *, asked: float) -> None:
        """The learning curve of every attempt, and in the last what became of the trial.

        Files only grow, so what a worker that searches by itself trained is said when it is known: behind the curve. Likewise a file
        keeps the beginning with which it was begun: that of an attempt in training, which its heartbeat says, or of the last.
        """
        where = stay(result) if result is not None else None
        folders: dict[int, Path | None] = {int(folder.name): folder for folder in self._watch.study.attempts(trial.trial_id)}
        last = where.attempt if where is not None and where.attempt is not None else max(folders, default=0)
        latest = where.began if where is not None else asked
        if result is not None:
            folders.setdefault(last, None)
        else:
            beat = notes.read_note(self._watch.study.heartbeat(trial.trial_id))
            running, since = notes.whole(beat, "attempt"), notes.number(beat, "since")
            folders = {n: folder for n, folder in folders.items() if n == running and since is not None}
            latest = since or asked
        for n, folder in folders.items():
            path = self._to / f"rung-{trial.rung}" / f"{trial.trial_id}-{n}" / FILE
            known = event_file.began(path)
            began = latest if known is None else known
            searches, records = trial.origin is Origin.SEARCH, [event_file.version(began)]
            if not searches:
                records.append(event_file.session_start(began, trial.config, trial.config_id))
            step, ended = 0, began if where is None else where.ended
            for step, after_s, values in _points(folder / "curve.jsonl") if folder is not None else ():
                records.append(event_file.scalars(began + after_s, step, values))
            if searches and result is not None:
                records.append(event_file.session_start(began, Evaluation(trial=trial, result=result).config, trial.config_id))
            if result is not None and n == last:
                told = {"train_s": result.train_s} | ({} if result.loss is None else {"loss": result.loss})
                records += [event_file.scalars(ended, step, told), event_file.session_end(ended, good=result.loss is not None)]
            event_file.append(path, records)


def _points(path: Path) -> Iterator[tuple[int, float, dict[str, float]]]:
    """Step, seconds and values of every point of a learning curve that is one."""
    data = notes.read_bytes(path, limit=notes.CURVE_LIMIT_BYTES) or b""
    for line in data[: data.rfind(b"\n") + 1].splitlines():
        point = notes.parse_note(line) if len(line) <= notes.NOTE_LIMIT_BYTES else {}
        step, values = notes.whole(point, "step"), {tag: float(point[tag]) for tag in _TAGS if is_number(point.get(tag))}
        if step is not None and step < _MOST and values:
            yield step, notes.number(point, "t") or 0.0, values
