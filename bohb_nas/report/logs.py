"""The logs of a study: of trials by attempt, of worker programs by name. No path is made from what somebody typed without a check."""

import codecs
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from bohb_nas.entries import ID
from bohb_nas.errors import UsageError
from bohb_nas.store.notes import printable, read_bytes
from bohb_nas.store.study_dir import LOG, StudyDir, file_name

_BLOCK = 2**18
_TAIL_LIMIT = 2**24
"""Bytes in which the last lines of a log are looked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Log:
    """A log on the disk."""

    name: str
    """The trial's id, or the worker's name."""
    path: Path
    attempt: int | None
    """None of a worker's."""
    modified: float
    """Seconds since the epoch, by the file server's clock."""
    n_bytes: int


def trial_logs(study: StudyDir) -> list[Log]:
    """The newest log of every trial that has one, newest first."""
    found = [newest(study, name) for name in _names(study.trials) if ID.fullmatch(name)]
    return sorted((log for log in found if log is not None), key=lambda log: -log.modified)


def newest(study: StudyDir, trial_id: str, attempt: int | None = None) -> Log | None:
    """The log of a trial's newest attempt that has one, or of one attempt; None when there is none."""
    for folder in reversed(study.attempts(trial_id)):
        if attempt in (None, int(folder.name)) and (log := _log(trial_id, folder / LOG, int(folder.name))) is not None:
            return log
    return None


def trial_log(study: StudyDir, trial_id: str, attempt: int | None = None) -> Log:
    """The log of a trial's newest attempt, or of the one that was named.

    Raises:
        UsageError: no id, no such trial or attempt, or it has no log; what there is instead is named.
    """
    if ID.fullmatch(trial_id) is None:
        raise UsageError(f"{trial_id[:100]!r} is no trial's id; accepted are 1 to 64 letters, digits, - and _")
    if (log := newest(study, trial_id, attempt)) is not None:
        return log
    there = [folder.name for folder in study.attempts(trial_id)]
    if there and attempt is not None and str(attempt) not in there:
        raise UsageError(f"trial {trial_id} has no attempt {attempt}; there are {', '.join(there)}")
    if there:
        raise UsageError(f"trial {trial_id} has no {LOG} yet, its folder is {study.trials / trial_id}; what it prints comes there")
    known = trial_logs(study)
    names = f"newest of {len(known)}: {', '.join(log.name for log in known[:5])}" if known else "no trial has one yet"
    raise UsageError(f"no log of a trial {trial_id} in {study.path}; {names}. `bohb-nas logs {study.quoted}` lists them")


def worker_logs(study: StudyDir) -> list[Log]:
    """The logs of the worker programs, newest first."""
    names = [name.removesuffix(".log") for name in _names(study.workers) if name.endswith(".log")]
    found = [_log(name, study.workers / f"{name}.log", None) for name in names]
    return sorted((log for log in found if log is not None), key=lambda log: -log.modified)


def worker_log(study: StudyDir, name: str) -> Log:
    """The log of a worker program by its name, HOST-DEVICE as it is shown, or as its file is called.

    Raises:
        UsageError: there is none of that name; those that there are, are named.
    """
    known = worker_logs(study)
    alike = (log for log in known if file_name(log.name) == file_name(name))
    log = min(alike, key=lambda log: log.name != name, default=None)
    if log is None:
        there = ", ".join(log.name for log in known[:10]) or "none: only workers that a `run` started write one, others to their own output"
        raise UsageError(f"no log of a worker {name[:100]!r} in {study.path}; there are {there}")
    return log


def tail(path: Path, n_lines: int, *, end: int | None = None) -> list[str]:
    """The last lines of a log, without what a terminal would obey; none when it cannot be read.

    Args:
        path: of the log.
        n_lines: how many.
        end: bytes after which nothing counts; None reads all that is there.
    """
    end, limit = size(path) if end is None else end, _BLOCK
    while True:
        data = read_bytes(path, limit=min(limit, end), offset=max(0, end - limit)) or b""
        if data.count(b"\n") > n_lines or limit >= min(end, _TAIL_LIMIT):
            return printable(data.decode(errors="replace")).splitlines()[-n_lines:]
        limit *= 4


def is_torn(path: Path, end: int) -> bool:
    """Whether the line that goes on at `end`, in bytes, has begun before."""
    return end > 0 and read_bytes(path, limit=1, offset=end - 1) != b"\n"


def size(path: Path) -> int:
    """Bytes of a file; 0 when it has gone."""
    try:
        return path.stat().st_size
    except OSError:
        return 0


def follow(path: Path, offset: int, *, pause: Callable[[], bool]) -> Iterator[str]:
    """What is written to a log from `offset` on, as it comes.

    Args:
        path: of the log; one that became shorter is read from its start.
        offset: where to begin, in bytes.
        pause: waits a moment; False ends it, after what had been written by then.
    """
    decoder, more = codecs.getincrementaldecoder("utf-8")(errors="replace"), True
    while True:
        if size(path) < offset:
            offset = 0
        while data := read_bytes(path, limit=_BLOCK, offset=offset):
            offset += len(data)
            if said := decoder.decode(data):
                yield printable(said)
        if not more:
            return
        more = pause()


def _names(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []


def _log(name: str, path: Path, attempt: int | None) -> Log | None:
    try:
        about = path.stat()
    except OSError:
        return None
    return Log(name=name, path=path, attempt=attempt, modified=about.st_mtime, n_bytes=about.st_size) if path.is_file() else None
