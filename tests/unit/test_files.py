import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from disk_fakes import steps

from bohb_nas.errors import NoLinksError, StorageError
from bohb_nas.files import Refusals, append_line, dump_json, storing, write_atomic, write_once
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


def test_a_reason_to_wait_is_said_once_and_without_what_to_do_after_the_end() -> None:
    said = list[str]()
    refusals = Refusals(said.append)

    def refused(number: int) -> StorageError:
        with pytest.raises(StorageError) as error, storing(Path("model")):
            raise OSError(number, os.strerror(number))
        return error.value

    for number in (errno.ENOSPC, errno.ENOSPC, errno.EDQUOT, errno.ENOENT):
        assert refusals.heed(refused(number)) == 2.0
    assert said == [
        "cannot write model: No space left on device; free space or restore access; trying again every 2 s",
        "cannot write model: Disk quota exceeded; free space or restore access; trying again every 2 s",
        "cannot write model: No such file or directory; put its folder back; trying again every 2 s",
    ]


def test_writing_once_never_overwrites(tmp_path: Path) -> None:
    path = tmp_path / "result"
    assert write_once(path, "first")
    assert not write_once(path, "second")
    assert path.read_text() == "first"
    assert [p.name for p in tmp_path.iterdir()] == ["result"]


@pytest.mark.parametrize("number", [errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.ENOSPC])
def test_a_file_system_without_hard_links_is_told_from_one_without_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def refuse(old: Path, new: Path) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "link", refuse)
    with pytest.raises(StorageError) as refused:
        write_once(tmp_path / "result", "whole")
    said = f"{tmp_path} has no hard links ({os.strerror(number)}), which a study needs; choose a DIR elsewhere"
    assert (str(refused.value) == said) == isinstance(refused.value, NoLinksError) == (number != errno.ENOSPC)
    assert list(tmp_path.iterdir()) == []


def test_json_that_is_not_strict_is_refused() -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        dump_json({"loss": float("nan")})


def test_what_no_reader_takes_is_not_written() -> None:
    assert parse_json(dump_json({"n": 10**298})) == {"n": 1e298}
    assert parse_json(dump_json({"said": ["7" * 400]})) == {"said": ["7" * 400]}, "digits of a text are no number"
    for n in (10**299, -(10**400)):
        with pytest.raises(ValueError, match="300 digits"):
            dump_json({"n": n})
    with pytest.raises(ValueError, match="JSON compliant"):
        dump_json({"x": float("inf")})


def test_a_line_is_on_the_disk_when_the_call_returns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = steps(monkeypatch)
    append_line(tmp_path / "journal", "kept")
    assert told == ["5 bytes"]


@pytest.mark.parametrize("write", [write_atomic, write_once])
def test_a_file_is_on_the_disk_before_it_has_its_name_and_the_name_when_the_call_returns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: Callable[[Path, str], object]
) -> None:
    told = steps(monkeypatch)
    write(tmp_path / "result", "whole")
    assert told == ["5 bytes", "name", "folder"]


def test_what_another_wrote_behind_a_refused_line_is_not_cut_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "journal"
    append_line(path, "kept")

    def fails(descriptor: int) -> None:
        with path.open("ab") as another:
            another.write(b"another's\n")
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "fsync", fails)
    with pytest.raises(StorageError):
        append_line(path, "ours")
    assert path.read_text() == "kept\nours\nanother's\n"


def test_a_file_that_cannot_have_its_name_leaves_nothing_aside(tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    with pytest.raises(StorageError):
        write_atomic(tmp_path / "taken", "new")
    assert [p.name for p in tmp_path.iterdir()] == ["taken"]


def test_a_line_is_not_appended_to_a_pipe_that_nobody_reads(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "journal")
    with pytest.raises(StorageError):
        append_line(tmp_path / "journal", "line")
