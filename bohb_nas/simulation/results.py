"""Finished runs in a folder: one JSON line each, appended when it is finished, never changed.

Of two lines for the same run the later one counts. A process that was killed while it wrote leaves half a last line,
which is dropped; any other line that cannot be read is named and left out, so that its run is done again.
"""

import json
import math
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Self

from bohb_nas.errors import RecordError, StorageError
from bohb_nas.files import append_line, dump_json
from bohb_nas.locks import Lock
from bohb_nas.simulation.clock import Promote

FORMAT = 1


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Conditions:
    """Under what a comparison stands."""

    workers: int
    promote: Promote
    overhead: bool
    """Whether the CPU seconds of asks and tells passed on the virtual clock."""
    horizon: float
    """In mean costs of a full training."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """Which run it is."""

    method: str
    """The label."""
    problem: str
    seed: int
    conditions: Conditions


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """A run. All times are in mean costs of a full training.

    Raises:
        RecordError: from `from_json`, when something is missing, unknown or of the wrong kind.
    """

    key: Key
    reference: str
    options: Mapping[str, Any]
    version: str | None
    """Of the package that the method drives."""
    bohb_nas: str
    """This project's version."""
    code: str
    """Fingerprint of the method's code."""
    problem_code: str
    """Fingerprint of the problem's code."""
    best: float
    """The lowest noise-free loss that the problem knows."""
    median: float
    """Of random configurations."""
    mean_cost: float
    """Of a full training, in the problem's own unit."""
    recommended: tuple[tuple[float, float, int], ...]
    """(time, noise-free loss, rung) of each new incumbent; those of the highest rung are the strict ones."""
    evaluations: tuple[int, ...]
    """Told results by rung."""
    origins: Mapping[str, int]
    """Started trials by origin."""
    failed: int
    """Told results without a loss."""
    busy: float
    """Share of worker time spent training."""
    cpu_s: float
    """CPU seconds of all asks and tells."""

    @property
    def strict(self) -> tuple[tuple[float, float, int], ...]:
        """The incumbents among configurations trained in full."""
        return tuple(entry for entry in self.recommended if entry[2] == len(self.evaluations) - 1)

    def to_json(self) -> dict[str, Any]:
        """The run as a flat JSON object."""
        record = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "key"}
        key = {"method": self.key.method, "problem": self.key.problem, "seed": self.key.seed}
        return {"format": FORMAT, **key, **asdict(self.key.conditions), **record}

    @classmethod
    def from_json(cls, value: object) -> Self:
        """The inverse of `to_json`."""
        if not isinstance(value, dict) or value.get("format") != FORMAT:
            raise RecordError(f"no run of format {FORMAT}")
        record = {name: v for name, v in value.items() if name != "format"}
        try:
            conditions = Conditions(**{f.name: record.pop(f.name) for f in fields(Conditions)})
            key = Key(method=record.pop("method"), problem=record.pop("problem"), seed=record.pop("seed"), conditions=conditions)
            record["recommended"] = tuple((float(t), float(loss), int(rung)) for t, loss, rung in record["recommended"])
            record["evaluations"] = tuple(int(n) for n in record["evaluations"])
            found = cls(key=key, **record)
            good = found._is_sound()
        except (KeyError, TypeError, ValueError, OverflowError) as e:
            raise RecordError(f"{type(e).__name__}: {e}") from e
        if not good:
            raise RecordError("a value of the wrong kind")
        return found

    def _is_sound(self) -> bool:
        """Whether every value is of its kind and possible, so that no table is made of what a damaged line says."""
        c, n_rungs = self.key.conditions, len(self.evaluations)
        numbers = (self.best, self.median, self.mean_cost, self.busy, self.cpu_s, c.horizon)
        whole = (self.key.seed, c.workers, self.failed, *self.evaluations, *self.origins.values())
        texts = (self.key.method, self.key.problem, self.code, self.problem_code, self.reference, self.bohb_nas, self.version or "")
        times = [time for time, _, _ in self.recommended]
        return (
            all(isinstance(n, int | float) and math.isfinite(n) for n in numbers)
            and all(type(n) is int and n >= 0 for n in whole)
            and all(isinstance(text, str) for text in texts)
            and isinstance(self.options, dict)
            and self.best < self.median
            and (c.workers > 0 and c.horizon > 0 and self.mean_cost > 0)
            and (c.promote in ("restart", "continue") and isinstance(c.overhead, bool))
            and all(math.isfinite(time) and math.isfinite(loss) and 0 <= rung < n_rungs for time, loss, rung in self.recommended)
            and times == sorted(times)
        )


class Results:
    """The runs of a folder, open for more: one process at a time."""

    def __init__(self, folder: Path) -> None:
        self._path = _file(folder)
        self._lock = Lock(folder / "runs.lock")

    def open(self) -> bool:
        """Makes the folder, takes its lock, and cuts off half a last line.

        Returns:
            Whether it is ours now; False when another process writes there.

        Raises:
            StorageError: the folder cannot be made or written.
        """
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as e:
            raise StorageError(f"cannot make {self._path.parent}: {e.strerror}; give another --out") from e
        if not self._lock.acquire(str(os.getpid())):
            return False
        if self._path.is_file():
            with self._path.open("rb+") as stream:
                whole = stream.read().rfind(b"\n") + 1
                stream.truncate(whole)
        return True

    def add(self, run: Finished) -> None:
        """Appends a run and waits until the disk has it.

        Raises:
            StorageError: the disk refused.
        """
        append_line(self._path, dump_json(run.to_json()))

    def close(self) -> None:
        """Gives the folder back."""
        self._lock.release()


def read(folder: Path, say: Callable[[str], None]) -> dict[Key, Finished]:
    """The runs of a folder, the last of each key; `say` hears of lines that cannot be read."""
    path, runs = _file(folder), {}
    if not path.is_file():
        return {}
    lines = path.read_bytes().split(b"\n")
    for number, line in enumerate(lines[:-1], start=1):
        try:
            run = Finished.from_json(json.loads(line))
        except (RecordError, ValueError, RecursionError) as e:
            say(f"{path}, line {number} is damaged and left out ({e}); its run is done again when it is asked for")
        else:
            runs[run.key] = run
    if lines[-1]:
        say(f"{path}, line {len(lines)} is half a line, left by a killed process; it is dropped")
    return runs


def read_all(folders: Iterable[Path], say: Callable[[str], None]) -> dict[Key, Finished]:
    """The runs of several folders; the first folder that has a run decides."""
    runs: dict[Key, Finished] = {}
    for folder in folders:
        runs = read(folder, say) | runs
    return runs


def _file(folder: Path) -> Path:
    return folder / "runs.jsonl"
