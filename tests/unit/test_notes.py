"""Whatever lies where a note should be: it says nothing, and nothing is raised."""

import json
import os
import time
from pathlib import Path

import pytest

from bohb_nas.store.notes import NOTE_LIMIT_BYTES, age_s, number, printable, read_bytes, read_note, tail, text, whole


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"null",
        b"[1]",
        b'{"host": "h"',
        b"\xff\xfe\x00",
        b"[" * 60000,
        b'{"a":' * 10000,
        b'{"host": "' + b"h" * NOTE_LIMIT_BYTES + b'"}',
        b"9" * 5000,
    ],
)
def test_what_is_no_note_says_nothing(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "note.json"
    path.write_bytes(content)
    assert read_note(path) == {}


def test_what_is_no_file_says_nothing_and_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to("loop")
    for path in (tmp_path, tmp_path / "absent", tmp_path / "pipe", tmp_path / "loop", Path("/dev/zero"), tmp_path / ("n" * 300)):
        assert read_note(path) == {}


def test_a_note_is_read_field_by_field(tmp_path: Path) -> None:
    path = tmp_path / "note.json"
    path.write_text(
        json.dumps({"pid": 12, "since": 1.5, "host": "h", "sign": -1, "flag": True, "far": 10**400, "nan": float("nan"), "no": "1"})
    )
    note = read_note(path)
    assert (whole(note, "pid"), number(note, "since"), number(note, "pid"), text(note, "host")) == (12, 1.5, 12.0, "h")
    assert [number(note, name) for name in ("sign", "flag", "far", "nan", "no", "absent")] == [None] * 6
    assert [whole(note, name) for name in ("sign", "flag", "far", "since", "no", "absent")] == [None] * 6
    assert [text(note, name) for name in ("pid", "absent")] == [None] * 2
    assert text({"host": "h" * 5000 + "\n"}, "host") == "h" * 200
    assert text({"host": " a\n\x1b[31mb\t c"}, "host") == "a b c"


@pytest.mark.parametrize(
    ("value", "as_number", "as_whole"), [(0, 0.0, 0), (10**15, 1e15, 10**15), (10**15 + 1, None, 10**15 + 1), (2**63, None, None)]
)
def test_the_least_and_the_most_that_a_number_may_be(value: int, as_number: float | None, as_whole: int | None) -> None:
    note = {"n": value}
    assert (number(note, "n"), whole(note, "n")) == (as_number, as_whole)


@pytest.mark.parametrize(("longer", "found"), [(0, {"pid": 1}), (1, {})])
def test_a_note_that_is_too_long_says_nothing_though_its_beginning_would(tmp_path: Path, longer: int, found: dict[str, int]) -> None:
    path = tmp_path / "note.json"
    path.write_text('{"pid": 1}'.ljust(NOTE_LIMIT_BYTES + longer))
    assert read_note(path) == found


def test_a_part_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"0123456789")
    n_open = len(os.listdir("/proc/self/fd"))
    assert read_bytes(path, limit=4) == b"0123"
    assert read_bytes(path, limit=4, offset=8) == b"89"
    assert read_bytes(path, limit=4, offset=10) == b""
    assert len(os.listdir("/proc/self/fd")) <= n_open, "it is closed again"


def test_the_end_of_a_log(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes("0123456ä".encode())
    assert [tail(path, n) for n in (3, 1, 100)] == ["6ä", "\N{REPLACEMENT CHARACTER}", "0123456ä"]
    assert [tail(path, 100, start=n) for n in (5, 9, 20)] == ["56ä", "", ""]
    assert tail(path, 3, start=2) == "6ä"
    assert [tail(tmp_path / name, 3) for name in ("absent", ".")] == [None, None]


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("plain\n\tü 字", "plain\n\tü 字"),
        ("\x1b[31mred\x1b[0m \x1b]0;title\x07here", "red here"),
        ("10 %\r20 %\r\ndone", "10 %\n20 %\ndone"),
        ("bell\x07 back\x08 \x9b2J", "bell� back� �2J"),
        ("half an escape \x1b", "half an escape �"),
        ("turned \u202e round, lone \ud800", "turned � round, lone ?"),
    ],
)
def test_no_text_commands_the_terminal(said: str, shown: str) -> None:
    assert printable(said) == shown


def test_an_age_is_never_negative(tmp_path: Path) -> None:
    path = tmp_path / "beat"
    assert age_s(path) is None
    path.touch()
    os.utime(path, (0, time.time() - 100))
    assert 100 <= (age_s(path) or 0) < 200
    os.utime(path, (0, time.time() + 100))
    assert age_s(path) == 0.0
