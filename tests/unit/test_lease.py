"""The right to lead for a time: who holds it, how it ends, and that a stopped holder finds out."""

import errno
import json
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from bohb_nas.errors import StudyHeldError
from bohb_nas.files import write_once
from bohb_nas.store import lease as lease_module
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
    assert sorted(path.name for path in folder.iterdir()) == ["000001.json", "000002.json"]
    assert folder.stat().st_mode & 0o777 == 0o700
    with pytest.raises(StudyHeldError, match="taken over"):
        first.check()
    second.check()
    second.release()


def test_one_that_is_not_renewed_ends_and_its_note_stays(folder: Path) -> None:
    first = Lease(folder, lasts_s=120.0)
    assert first.acquire({**NOTE, "pid": 7})
    first._ended.set()  # its process dies: nobody renews it and nobody gives it back
    second = Lease(folder, lasts_s=1.0)
    age(folder / "000001.json", 110.0)
    assert not second.acquire(NOTE), "what counts is how long the holder said that it lasts"
    age(folder / "000001.json", 121.0)
    assert second.acquire(NOTE)
    assert json.loads((folder / "000001.json").read_text()) == {**NOTE, "pid": 7, "lasts_s": 120.0}
    second.release()


def test_of_many_the_highest_number_counts(folder: Path) -> None:
    folder.mkdir()
    for number in (5, 30, 7, 12, 1, 20):
        (folder / f"{number:06d}.json").write_text("{}")
        age(folder / f"{number:06d}.json", 0.0 if number == 30 else 100.0)
    assert not Lease(folder).acquire(NOTE)
    age(folder / "000030.json", 100.0)
    lease = Lease(folder)
    assert lease.acquire(NOTE)
    assert lease.number == 31
    lease.release()


def test_a_file_server_is_asked_for_its_time_once_a_minute(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By those who only look, as every worker does several times a minute."""
    clock, asked = Clock(), list[Path]()

    def stamp(folder: Path) -> float:
        asked.append(folder)
        return 5000.0 + clock()

    monkeypatch.setattr(lease_module, "since_boot", clock)
    monkeypatch.setattr(lease_module, "_stamp", stamp)
    for passes_s, n_asked in ((0.0, 1), (59.0, 1), (2.0, 2)):
        clock.now += passes_s
        assert file_time(folder) == 5000.0 + clock.now
        assert len(asked) == n_asked


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


def renew_at_once(monkeypatch: pytest.MonkeyPatch, *before: Callable[[], object]) -> None:
    """Has a lease renewed while it is acquired: once after each of these has happened."""

    class Looks:
        """In the place of an event."""

        def __init__(self) -> None:
            self._left = list(before)

        def wait(self, timeout_s: float) -> bool:
            if not self._left:
                return True
            self._left.pop(0)()
            return False

    def here(*, target: Callable[[], None], **_: object) -> SimpleNamespace:
        return SimpleNamespace(start=target)

    monkeypatch.setattr(lease_module, "threading", SimpleNamespace(Event=Looks, Thread=here))


def test_a_lease_that_is_anothers_is_not_renewed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else another study's dead master would seem to live for as long as this process does."""

    def replaced() -> None:
        (folder / "000001.json").write_text('{"pid": 2, "lasts_s": 60.0}')
        age(folder / "000001.json", 100.0)

    renew_at_once(monkeypatch, replaced)
    assert Lease(folder).acquire(NOTE)
    assert (held := newest(folder)) is not None
    assert held.expired(file_time(folder))


def test_a_holder_that_slept_for_too_long_does_not_renew(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()

    def sleeps() -> None:
        clock.now += 31.0
        age(folder / "000001.json", 100.0)

    renew_at_once(monkeypatch, sleeps)
    lease = Lease(folder, lasts_s=60.0, clock=clock)
    assert lease.acquire(NOTE)
    assert (held := newest(folder)) is not None
    assert held.expired(file_time(folder)), "another may lead by now"
    with pytest.raises(StudyHeldError, match="not renewed for 31 s"):
        lease.check()


def test_what_a_disk_refused_is_no_renewal(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()

    def passes() -> None:
        clock.now += 10.0

    def refuses(path: Path) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    renew_at_once(monkeypatch, passes, passes, passes)
    monkeypatch.setattr(os, "utime", refuses)
    lease = Lease(folder, lasts_s=60.0, clock=clock)
    assert lease.acquire(NOTE)
    clock.now += 1.0
    with pytest.raises(StudyHeldError, match="not renewed for 31 s"):
        lease.check()


@pytest.mark.parametrize("renewed", [False, True])
def test_seconds_in_which_a_slow_disk_wrote_count(folder: Path, monkeypatch: pytest.MonkeyPatch, *, renewed: bool) -> None:
    """Its server may have stamped the file when the writing began."""
    clock, touch = Clock(), os.utime

    def slow(path: Path, data: str) -> bool:
        clock.now += 20.0
        return write_once(path, data)

    def slow_touch(path: Path) -> None:
        clock.now += 20.0
        touch(path)

    renew_at_once(monkeypatch, *[lambda: None] * renewed)
    if renewed:
        monkeypatch.setattr(os, "utime", slow_touch)
    else:
        monkeypatch.setattr(lease_module, "write_once", slow)
    lease = Lease(folder, lasts_s=60.0, clock=clock)
    assert lease.acquire(NOTE)
    clock.now += 11.0
    with pytest.raises(StudyHeldError, match="not renewed for 31 s"):
        lease.check()


def test_a_lease_that_a_disk_does_not_show_for_now_is_still_held(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    renew_at_once(monkeypatch)
    lease = Lease(folder)
    assert lease.acquire(NOTE)
    (folder / "000001.json").rename(folder / "away")
    lease.check()


def test_what_is_not_held_or_not_there_any_more_is_given_back_without_a_word(folder: Path) -> None:
    Lease(folder).release()
    lease = Lease(folder)
    assert lease.acquire(NOTE)
    folder.rename(folder.with_name("moved"))
    lease.release()
    assert not folder.exists()
