"""Who holds a lock: one process, for as long as its file stands where others look for it."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from bohb_nas import locks
from bohb_nas.errors import NoLocksError, StorageError, StudyHeldError
from bohb_nas.locks import Lock, alone, holder


def test_asking_who_holds_a_lock_never_gets_in_the_way_of_taking_it(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with Lock(path) as lock:
        lock.acquire()
    program = (
        f"from bohb_nas.locks import holder; from pathlib import Path; p = Path({str(path)!r})\nprint(flush=True)\nwhile True: holder(p)"
    )
    asking = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE)
    assert asking.stdout is not None
    asking.stdout.readline()
    try:
        for _ in range(2000):
            with Lock(path) as lock:
                assert lock.acquire("mine")
    finally:
        asking.kill()
        asking.communicate()


def test_other_machines_can_read_at_once_who_holds_a_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client of a file server keeps what is written, and not synced, to itself for half a minute."""
    synced: list[bytes] = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: synced.append(os.pread(descriptor, 99, 0)))
    with Lock(tmp_path / "lock") as lock:
        assert lock.acquire("mine")
    assert synced == [b"mine"]


def test_a_lock_has_one_holder_and_dies_with_it(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    assert holder(path) is None
    assert not path.exists(), "asking must not create the lock"
    program = (
        "from bohb_nas.locks import Lock; from pathlib import Path\n"
        f"assert Lock(Path({str(path)!r})).acquire('other'); print('held', flush=True); input()"
    )
    other = subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert other.stdout is not None
    assert other.stdin is not None
    other.stdout.readline()
    lock = Lock(path)
    assert not lock.acquire()
    assert holder(path) == "other"
    other.kill()
    other.communicate()
    assert holder(path) is None
    with lock:
        assert lock.acquire("mine")
        assert holder(path) == "mine"
    assert holder(path) is None


def test_a_lock_whose_file_is_gone_or_another_holds_nothing_any_more(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with Lock(path) as lock, Lock(path) as other:
        assert lock.acquire("mine")
        lock.check()
        assert not lock.superseded
        path.unlink()
        with pytest.raises(StudyHeldError, match=r"lock.*was deleted"):
            lock.check()
        assert not lock.superseded, "a disk may be away for a while"
        assert other.acquire("another's")
        other.check()
        with pytest.raises(StudyHeldError, match=r"lock.*was deleted"):
            lock.check()
        assert lock.superseded


def test_a_lock_is_never_taken_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("a hundred hours")
    (tmp_path / "lock").symlink_to("precious")
    with pytest.raises(StorageError):
        Lock(tmp_path / "lock").acquire("note")
    assert (tmp_path / "precious").read_text() == "a hundred hours"


def test_a_link_to_a_lock_is_held_by_nobody(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("lock")
    with Lock(tmp_path / "lock") as lock:
        assert lock.acquire("mine")
        assert (holder(tmp_path / "lock"), holder(tmp_path / "link")) == ("mine", None)


def test_a_lock_that_is_given_back_twice_closes_nobody_elses_file(tmp_path: Path) -> None:
    lock = Lock(tmp_path / "lock")
    assert lock.acquire()
    lock.release()
    with (tmp_path / "other").open("w") as other:  # it has the number of the lock's file now
        lock.release()
        os.fstat(other.fileno())


def test_a_disk_that_cannot_say_whose_a_lock_is_deposes_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stale(path: Path, **how: object) -> os.stat_result:
        raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))

    with Lock(tmp_path / "lock") as lock:
        assert lock.acquire()
        with monkeypatch.context() as patch:
            patch.setattr(os, "stat", stale)
            lock.check()


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL])
def test_a_file_system_without_locks_is_told_by_any_of_its_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def refuse(descriptor: int, command: int) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(locks, "_flock", refuse)
    with pytest.raises(NoLocksError):
        Lock(tmp_path / "lock").acquire()


@pytest.mark.parametrize("step", ["ftruncate", "pwrite"])
def test_a_lock_whose_note_the_disk_refuses_is_not_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    def full(*arguments: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    lock = Lock(tmp_path / "lock")
    with monkeypatch.context() as patch:
        patch.setattr(os, step, full)
        with pytest.raises(StorageError, match="No space left"):
            lock.acquire("{}")
    assert holder(tmp_path / "lock") is None
    with lock:
        assert lock.acquire("{}")


def test_a_held_lock_is_heeded_where_nobody_can_say_who_holds_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path) -> None:
        raise NoLocksError(f"{path.parent} has no locks: Invalid argument")

    monkeypatch.setattr(locks, "holder", refuse)
    entered: list[bool] = []
    with Lock(tmp_path / "lock") as other:
        assert other.acquire()
        with pytest.raises(NoLocksError), alone(tmp_path / "lock", "another works", "wait", say=print):
            entered.append(True)
    assert entered == []
