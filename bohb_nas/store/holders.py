"""Who leads a study and who works for it now, as locks and leases say."""

import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from bohb_nas.files import holder
from bohb_nas.store.lease import file_time, newest
from bohb_nas.store.notes import parse_note, read_note
from bohb_nas.store.study_dir import StudyDir

_SILENT_S = 30.0
"""A living worker touches its lock every few seconds."""


def living_workers(study: StudyDir) -> Iterator[dict[str, Any]]:
    """What the living workers' locks say of them: host, device, pid, since, and more of the device.

    Where locks do not reach every machine, those that touched theirs lately live.
    """
    for path in sorted(study.workers.glob("*.lock")) if study.workers.is_dir() else ():
        if study.leases.is_dir():
            if _touched_lately(path) and _names_a_process(said := read_note(path)):
                yield said
        elif (note := holder(path)) is not None and _names_a_process(said := parse_note(note)):
            yield said


def master(study: StudyDir) -> dict[str, Any] | None:
    """What the living master's lock or lease says of it (host, pid, since), or None when nobody leads."""
    if study.leases.is_dir():
        held = newest(study.leases)
        return None if held is None or held.expired(_file_time(study)) else held.note
    note = holder(study.master_lock)
    return None if note is None else parse_note(note)


def _file_time(study: StudyDir) -> float:
    """The time that the file system would give a file now; this machine's where nothing may be written."""
    try:
        return file_time(study.leases)
    except OSError:
        return time.time()


def _touched_lately(path: Path) -> bool:
    try:
        return time.time() - path.stat().st_mtime < _SILENT_S
    except FileNotFoundError:
        return False


def _names_a_process(note: Mapping[str, Any]) -> bool:
    """Whether a note names one process, which may be sent a signal: 0, 1 and what is negative would be many, or all."""
    return type(note.get("pid")) is int and 1 < note["pid"] < 2**31
