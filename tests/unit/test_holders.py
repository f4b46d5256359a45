"""Who leads a study and who works for it."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bohb_nas.engine.devices import host
from bohb_nas.errors import NoLocksError
from bohb_nas.locks import Lock
from bohb_nas.store import holders
from bohb_nas.store.study_dir import StudyDir


@pytest.mark.parametrize(("pid", "lives"), [(2, True), (True, False), ("7", False), (-1, False), (0, False), (1, False), (2**31, False)])
def test_a_note_that_names_no_process_of_its_own_is_no_workers(study: StudyDir, pid: object, *, lives: bool) -> None:
    """Its process may be sent a signal: 0, 1 and negative numbers stand for others, or for all."""
    with Lock(study.worker_lock("here", "g0")) as lock:
        assert lock.acquire(json.dumps({"pid": pid}))
        assert [w["pid"] for w in holders.living_workers(study)] == [pid] * lives


def touched(path: Path, **note: Any) -> None:
    """A note whose file was last touched at 1000 s."""
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(note))
    os.utime(path, (1000.0, 1000.0))


def at(now: float) -> Callable[[], float]:
    return lambda: now


def test_where_locks_do_not_reach_workers_live_while_they_touch_theirs(study: StudyDir) -> None:
    """Of this machine's own the kernel knows better: nobody holds what was touched just now."""
    study.leases.mkdir()
    touched(study.worker_lock("far", "g0"), host="far", device="g0", pid=7)
    touched(study.worker_lock(host(), "g0"), host=host(), device="g0", pid=8)
    assert [w["pid"] for w in holders.living_workers(study, now=at(1029.0))] == [7]
    assert list(holders.living_workers(study, now=at(1030.0))) == []


def test_a_master_by_lease_lives_until_the_lease_ends(study: StudyDir) -> None:
    touched(study.leases / "000001.json", pid=9, lasts_s=60.0)
    assert holders.master(study, now=at(1060.0)) == {"pid": 9, "lasts_s": 60.0}
    assert holders.master(study, now=at(1061.0)) is None


def test_a_device_is_taken_by_a_lock_of_this_machine_where_the_study_has_none(study: StudyDir, monkeypatch: pytest.MonkeyPatch) -> None:
    def holder(path: Path) -> str | None:
        if path == study.worker_lock("here", "g0"):
            raise NoLocksError("no locks")
        return "{}" if path == study.local_lock("g0") else None

    monkeypatch.setattr(holders, "holder", holder)
    assert holders.device_taken(study, "here", "g0")


def test_a_worker_has_its_device_while_the_lock_names_its_process(study: StudyDir, monkeypatch: pytest.MonkeyPatch) -> None:
    note = {"host": "here", "device": "g0", "pid": 7}
    assert not holders.may_live(study, note)
    with Lock(study.worker_lock("here", "g0")) as lock:
        assert lock.acquire(json.dumps({"pid": 7}))
        assert holders.may_live(study, note)
        assert not holders.may_live(study, {**note, "pid": 8}), "another has followed it"

    def no_locks(path: Path) -> str | None:
        raise NoLocksError("no locks")

    monkeypatch.setattr(holders, "holder", no_locks)
    assert holders.may_live(study, note), "nobody knows"


def test_where_nothing_may_be_written_this_machines_clock_tells_whether_a_lease_has_ended(
    study: StudyDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(folder: Path) -> float:
        raise PermissionError("read-only")

    monkeypatch.setattr(holders, "file_time", refused)
    lease = study.leases / "000001.json"
    touched(lease, pid=9, lasts_s=60.0)
    assert holders.master(study) is None
    os.utime(lease)
    assert holders.master(study) is not None
