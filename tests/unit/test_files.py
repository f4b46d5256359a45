import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from bohb_nas.errors import StorageError, StudyHeldError
from bohb_nas.files import append_line, dump_json, write_atomic, write_once
from bohb_nas.locks import Lock, holder
from bohb_nas.reading import parse_json


def test_lines_are_appended(tmp_path: Path) -> None:
    path = tmp_path / "a b\n'c'"
    append_line(path, "one")
    append_line(path, "zwei ü")
    assert path.read_text() == "one\nzwei ü\n"
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_line_that_the_disk_cuts_short_is_taken_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "journal"
    append_line(path, "kept")
    real, calls = os.write, []

    def full(descriptor: int, data: bytes) -> int:
        calls.append(data)
        if len(calls) == 2:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(descriptor, data[:3])

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(StorageError, match=f"{path}.*No space left.*free space"):
        append_line(path, "a longer line")
    assert path.read_text() == "kept\n"


def test_replacing_leaves_the_old_content_when_the_disk_refuses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    write_atomic(path, "old")

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError, match="No space left"):
        write_atomic(path, "new")
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["file"], "a temporary file was left"


def test_writing_once_never_overwrites(tmp_path: Path) -> None:
    path = tmp_path / "result"
    assert write_once(path, "first")
    assert not write_once(path, "second")
    assert path.read_text() == "first"
    assert [p.name for p in tmp_path.iterdir()] == ["result"]


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


def test_json_that_is_not_strict_is_refused() -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        dump_json({"loss": float("nan")})


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


def test_what_no_reader_takes_is_not_written() -> None:
    assert parse_json(dump_json({"n": 10**298})) == {"n": 1e298}
    assert parse_json(dump_json({"said": ["7" * 400]})) == {"said": ["7" * 400]}, "digits of a text are no number"
    with pytest.raises(ValueError, match="300 digits"):
        dump_json({"n": 10**400})
    with pytest.raises(ValueError, match="JSON compliant"):
        dump_json({"x": float("inf")})
