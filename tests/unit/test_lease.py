"""The right to lead for a time: who holds it, how it ends, and that a stopped holder finds out."""

import json
import os
import threading
import time
from pathlib import Path

import pytest

from bohb_nas.errors import StudyHeldError
from bohb_nas.store.lease import _OFFSETS, Lease, file_time, newest, since_boot

NOTE = {"host": "here", "pid": 1, "since": 0.0}


class Clock:
    """Seconds that go by when somebody says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def age(path: Path, seconds: float) -> None:
    """Makes a file look as if it had been touched so long ago."""
    then = time.time() - seconds
    os.utime(path, (then, then))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "leases"


def test_one_holds_it_until_it_is_given_back(folder: Path) -> None:
    first, second = Lease(folder), Lease(folder)
    assert first.acquire(NOTE)
    assert not second.acquire(NOTE)
    first.check()
    first.release()
    assert second.acquire(NOTE)
    assert (first.number, second.number) == (1, 2)
    with pytest.raises(StudyHeldError, match="taken over"):
        first.check()
    second.check()
    second.release()


def test_one_that_is_not_renewed_ends_and_its_note_stays(folder: Path) -> None:
    first = Lease(folder, lasts_s=60.0)
    assert first.acquire({**NOTE, "pid": 7})
    first._ended.set()  # its process dies: nobody renews it and nobody gives it back
    second = Lease(folder, lasts_s=1.0)
    age(folder / "000001.json", 50.0)
    assert not second.acquire(NOTE), "what counts is how long the holder said that it lasts"
    age(folder / "000001.json", 61.0)
    assert second.acquire(NOTE)
    assert json.loads((folder / "000001.json").read_text()) == {**NOTE, "pid": 7, "lasts_s": 60.0}
    second.release()


def test_a_clock_that_is_set_deposes_nobody(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = Lease(folder, lasts_s=60.0)
    assert first.acquire(NOTE)
    held, compared, clock = newest(folder), file_time(folder), time.time
    assert held is not None
    for step_s in (90.0, -90.0):
        monkeypatch.setattr(time, "time", lambda step_s=step_s: clock() + step_s)
        assert file_time(folder) == pytest.approx(compared, abs=30.0)
        assert not held.expired(file_time(folder))
        assert not Lease(folder).acquire({**NOTE, "host": "there"})
    first.release()


def test_one_whose_server_s_clock_is_set_back_is_not_deposed(folder: Path) -> None:
    folder.mkdir()
    _OFFSETS[folder] = since_boot(), time.time() + 90.0 - since_boot()  # as it was measured before that
    (folder / "000001.json").write_text("{}")
    assert not Lease(folder).acquire(NOTE)


def test_many_that_stand_at_once_elect_one(folder: Path) -> None:
    candidates = [Lease(folder) for _ in range(16)]
    start, taken = threading.Barrier(16), []

    def stand(candidate: Lease) -> None:
        start.wait()
        if candidate.acquire(NOTE):
            taken.append(candidate)

    threads = [threading.Thread(target=stand, args=(c,)) for c in candidates]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(taken) == 1
    taken[0].check()
    taken[0].release()


def test_a_holder_that_was_stopped_may_not_write_although_nobody_took_over_yet(folder: Path) -> None:
    clock = Clock()
    lease = Lease(folder, lasts_s=60.0, clock=clock)
    assert lease.acquire(NOTE)
    clock.now += 29.0
    lease.check()
    lease._ended.set()
    clock.now += 2.0  # half of what a lease lasts: the other half is for those who read its time of modification late
    with pytest.raises(StudyHeldError, match="not renewed for 31 s"):
        lease.check()


def test_a_lease_is_renewed(folder: Path) -> None:
    lease = Lease(folder, lasts_s=1.0)
    assert lease.acquire(NOTE)
    age(folder / "000001.json", 100.0)
    deadline = time.monotonic() + 30.0
    while (held := newest(folder)) is None or held.expired(file_time(folder)):
        assert time.monotonic() < deadline, "nobody renewed it"
        time.sleep(0.02)
    lease.release()


def test_a_holder_finds_out_that_its_study_has_made_room_for_another(folder: Path) -> None:
    first, second = Lease(folder), Lease(folder)
    assert first.acquire(NOTE)
    folder.rename(folder.with_name("moved"))
    assert second.acquire({**NOTE, "pid": 2})
    assert (first.number, second.number) == (1, 1)
    second.check()
    with pytest.raises(StudyHeldError, match="another study"):
        first.check()
    first.release()
    assert (held := newest(folder)) is not None
    assert not held.expired(file_time(folder)), "it gives back its own alone"
    second.release()


def test_what_is_no_lease_counts_as_one_without_a_note(folder: Path) -> None:
    folder.mkdir()
    (folder / "000003.json").write_text("{half")
    (folder / "note.json").write_text("{}")
    assert not Lease(folder).acquire(NOTE), "it was touched just now, whatever it says"
    age(folder / "000003.json", 61.0)
    lease = Lease(folder)
    assert lease.acquire(NOTE)
    assert lease.number == 4
    lease.release()
