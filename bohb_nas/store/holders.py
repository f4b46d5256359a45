"""Who leads a study and who works for it now, as locks and leases say."""

import os
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from bohb_nas.errors import NoLocksError
from bohb_nas.locks import holder
from bohb_nas.store.lease import file_time, newest
from bohb_nas.store.notes import parse_note, read_note
from bohb_nas.store.study_dir import StudyDir

SEARCH = "search"
"""What the holder of a study's lock does, unless its note names another task."""
_SILENT_S = 30.0
"""A living worker touches its lock every few seconds."""


def worker_name(host: str, device: str) -> str:
    """What the worker on a device of a host is called wherever people see it; its files are called almost so."""
    return f"{host}-{device}"


def living_workers(study: StudyDir, *, now: Callable[[], float] | None = None) -> Iterator[Mapping[str, Any]]:
    """What the living workers' locks say of them: host, device, pid, since, and more of the device.

    Where locks do not reach every machine, those of other machines that touched theirs lately live.

    Args:
        study: theirs.
        now: seconds of the clock that ages are taken by; None asks the file system, by writing a file.
    """
    for path in sorted(study.workers.glob("*.lock")) if os.path.isdir(study.workers) else ():
        note = _of_holder(study, path, now)
        if _names_a_process(note):
            yield note


def master(study: StudyDir, *, now: Callable[[], float] | None = None) -> dict[str, Any] | None:
    """What the living master's lock or lease says of it (host, pid, since, task), or None when nobody leads.

    Args:
        study: that is led.
        now: see `living_workers`.
    """
    if os.path.isdir(study.leases):
        held = newest(study.leases)
        return None if held is None or held.expired(_now(study, now)) else held.note
    note = holder(study.master_lock)
    return None if note is None else parse_note(note)


def device_taken(study: StudyDir, host: str, device: str) -> bool:
    """Whether a worker of this machine owns a device."""
    try:
        return holder(study.worker_lock(host, device)) is not None
    except NoLocksError:
        return holder(study.local_lock(device)) is not None


def may_live(study: StudyDir, note: Mapping[str, Any]) -> bool:
    """Whether the worker that a note of this machine names has its device still; where there are no locks, that is not known.

    The lock that stands for one there may be in a folder that this process does not see.
    """
    try:
        held = holder(study.worker_lock(str(note.get("host")), str(note.get("device"))))
    except NoLocksError:
        return True
    return held is not None and parse_note(held).get("pid") == note.get("pid")


def _of_holder(study: StudyDir, path: Path, now: Callable[[], float] | None) -> Mapping[str, Any]:
    """The note of a lock that is held, as far as that can be seen from here; empty otherwise."""
    if not os.path.isdir(study.leases):
        return parse_note(holder(path) or "")
    note = read_note(path)
    if note.get("host") == socket.gethostname() and isinstance(note.get("device"), str):
        return note if device_taken(study, note["host"], note["device"]) else {}
    try:
        return note if _now(study, now) - path.stat().st_mtime < _SILENT_S else {}
    except OSError:
        return {}


def _now(study: StudyDir, now: Callable[[], float] | None) -> float:
    """The time that the file system would give a file now; this machine's where nothing may be written."""
    if now is not None:
        return now()
    try:
        return file_time(study.leases)
    except OSError:
        return time.time()


def _names_a_process(note: Mapping[str, Any]) -> bool:
    """Whether a note names one process, which may be sent a signal: 0, 1 and what is negative would be many, or all."""
    return type(note.get("pid")) is int and 1 < note["pid"] < 2**31


def held(study: StudyDir, master: Mapping[str, Any]) -> str:
    """Who holds a study, and what to do about it."""
    who, task = f"pid {master.get('pid', '?')} on {master.get('host', '?')}", master.get("task", SEARCH)
    if task != SEARCH:
        return (
            f"{task} are trained in {study.path} by {who}; wait until they end, or stop them (`bohb-nas status {study.quoted}` shows them)"
        )
    return (
        f"{study.path} is led by a living master ({who}); "
        f"`bohb-nas worker {study.quoted}` joins it, `bohb-nas status {study.quoted}` shows it"
    )
