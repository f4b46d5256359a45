"""Reads what other processes leave in a study, small JSON files and logs, whatever is in them: nothing is raised, nothing large is read.

A file may vanish between listing and reading, be huge, nested without end, of wrong types, or no file at all: then it says nothing.
"""

import json
import os
import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bohb_nas.reading import open_regular

NOTE_LIMIT_BYTES = 64 * 1024
"""Of a note; the project's own are below 1 KiB."""
CURVE_LIMIT_BYTES = 2**24
"""Of a learning curve, a line each for tens of thousands of points."""
_TEXT_LIMIT = 200
"""Characters of one text in a note."""
_NUMBER_LIMIT = 1e15
"""Of a number in a note: sums of many stay finite, and no time is longer."""
_END = 4096
"""Characters of a message that are looked at, from either end."""
_LINE, _MESSAGE = 1000, 4000
"""Characters of a line and of a message that are kept."""
_NO_REASON = "no reason given"
_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\-_])")
"""What moves the cursor, sets colours, or names the window of a terminal."""
_CONTROLS = re.compile(r"[^\S\n\t ]|[\x00-\x08\x0e-\x1f\x7f-\x9f]|[\u200e\u200f\u202a-\u202e\u2066-\u2069]")
"""Control characters, and those that turn the direction of writing."""


def read_bytes(path: Path, *, limit: int, offset: int = 0) -> bytes | None:
    """At most `limit` bytes of a regular file from `offset` on.

    None when it cannot be read or is no regular file: opening a named pipe would wait for ever, so it is not waited for.
    """
    try:
        descriptor = open_regular(path)
        try:
            return os.pread(descriptor, limit, offset)
        finally:
            os.close(descriptor)
    except (OSError, ValueError):
        return None


def tail(path: Path, n_bytes: int, *, start: int = 0) -> str | None:
    """How a log ends: its last `n_bytes` bytes at most, of those from `start` on; None when it cannot be read."""
    try:
        offset = max(start, path.stat().st_size - n_bytes)
    except (OSError, ValueError):
        return None
    data = read_bytes(path, limit=n_bytes, offset=offset)
    return None if data is None else data.decode(errors="replace")


def read_note(path: Path) -> dict[str, Any]:
    """The object that a note holds; empty when it holds none, or is larger than `NOTE_LIMIT_BYTES`."""
    data = read_bytes(path, limit=NOTE_LIMIT_BYTES + 1)
    return parse_note(data) if data is not None and len(data) <= NOTE_LIMIT_BYTES else {}


def parse_note(data: bytes | str) -> dict[str, Any]:
    """The object of a JSON text; empty when it is none."""
    try:
        note = json.loads(data)
    except (ValueError, RecursionError):
        return {}
    return note if isinstance(note, dict) else {}


def number(note: Mapping[str, Any], name: str) -> float | None:
    """A number from 0 to 1e15, or None."""
    value = note.get(name)
    good = isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= _NUMBER_LIMIT
    return float(value) if good and value is not None else None


def whole(note: Mapping[str, Any], name: str) -> int | None:
    """A whole number from 0, or None."""
    value = note.get(name)
    return value if type(value) is int and 0 <= value < 2**63 else None


def text(note: Mapping[str, Any], name: str) -> str | None:
    """A text on one line that a terminal can show, cut where it is long; or None."""
    value = note.get(name)
    return " ".join(printable(value[:_TEXT_LIMIT]).split()) if isinstance(value, str) else None


def printable(said: str) -> str:
    """A text without what a terminal would obey; of a line that was written over itself (progress bars), every version in a line."""
    if said.isprintable():
        return said
    plain = _ESCAPES.sub("", said.replace("\r\n", "\n")).replace("\r", "\n")
    return _CONTROLS.sub("\N{REPLACEMENT CHARACTER}", plain.encode(errors="replace").decode())


def first_line(message: str | None) -> str:
    """The line of a message that says most: the first, of a traceback the last."""
    lines = _lines(message)
    return (lines[-1] if lines[0].startswith("Traceback") else lines[0])[:200]


def shortened(message: str) -> str:
    """A message of which a line that is too long, and then the whole, keeps its beginning, which says what and where, and its end."""
    lines = [line if len(line) <= _LINE else f"{line[: _LINE // 2]} … {line[-_LINE // 2 :]}" for line in message.split("\n")]
    said = "\n".join(lines)
    return said if len(said) <= _MESSAGE else f"{said[: _MESSAGE // 4]}\n…\n{said[-_MESSAGE * 3 // 4 :]}"


def last_line(message: str | None) -> str:
    """How a message ends."""
    return _lines(message)[-1][:200]


def _lines(message: str | None) -> list[str]:
    """What a terminal can show of a message, of a long one of its ends: lines that are not blank, at least one."""
    said = message or ""
    return [line for line in printable(f"{said[:_END]}\n{said[-_END:]}").splitlines() if line.strip()] or [_NO_REASON]


def age_s(path: Path) -> float | None:
    """Seconds since a file was last touched, by this machine's clock; None when there is none.

    The time of modification is the file server's, or its writer's. Where that clock runs ahead of this machine's by some seconds, ages
    are too small by as many, and 0 instead of negative; where it runs behind, ages are too large by as many. Only whoever may write
    there could ask the file server what time it is.
    """
    try:
        return max(0.0, time.time() - path.stat().st_mtime)
    except (OSError, ValueError):
        return None
