"""Durable files: append and fsync, write aside and rename, link without overwriting; JSON and CSV as they are written."""

import csv
import errno
import io
import json
import math
import os
import re
import reprlib
import shlex
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bohb_nas.errors import NoLinksError, StorageError, UsageError

FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
"""Error numbers of a disk, or of a share of it, that has no room."""
AGAIN_S = 2.0
"""Between two attempts at writing what is finished and a disk refuses."""
_NO_LINKS = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK})
"""What file systems without hard links say of one: FAT and exFAT, network shares, FUSE, those that allow a file one name."""
_AGAIN = ", then run the same command again: everything recorded so far is kept"


@contextmanager
def storing(path: Path) -> Iterator[None]:
    """Turns what the operating system says of a failed write into an error that names path and remedy."""
    try:
        yield
    except OSError as e:
        remedy = "put its folder back" if e.errno == errno.ENOENT else "free space or restore access"
        raise StorageError(f"cannot write {path}: {e.strerror or e}; {remedy}{_AGAIN}") from e


def refusal(error: StorageError) -> str:
    """What a disk refused and the remedy, for a command that goes on: what to do after its end is left out."""
    return str(error).removesuffix(_AGAIN)


class Refusals:
    """What a disk says of what is finished and has to wait for it: each reason is told once.

    Args:
        say: told them.
    """

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say, self._told = say, ""

    def heed(self, error: StorageError) -> float:
        """Tells a refusal, unless it was told last; returns the seconds to wait before the next attempt."""
        why = f"{refusal(error)}; trying again every {AGAIN_S:g} s"
        if why != self._told:
            self._say(why)
        self._told = why
        return AGAIN_S


def sync_folder(folder: Path) -> None:
    """Makes the names in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def check_folder(option: str, folder: Path, *, file: Path | None = None) -> None:
    """Raises UsageError, which names the option, when a folder could not be made or written to; nothing is made.

    Args:
        option: by which it was given.
        folder: which is to be there.
        file: what is to stand in it, where that was given.
    """
    there = next(p for p in (folder.absolute(), *folder.absolute().parents) if os.path.lexists(p))
    given, another = (folder, "another") if file is None else (file, "a file elsewhere")
    if not there.is_dir():
        raise UsageError(f"{option} {given}: {there} is no folder; name {another} with {option}")
    if not os.access(there, os.W_OK | os.X_OK):
        raise UsageError(f"{option} {given}: {there} is not writable; name {another} with {option}")


def append_line(path: Path, line: str) -> None:
    """Appends one line and waits until the disk has it.

    A write that the disk cuts short (no space left) is taken back, so that the file never keeps half a line of ours.

    Raises:
        StorageError: the line could not be written; the file is as it was.
    """
    data = line.encode() + b"\n"
    with storing(path):
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK, 0o600)
        try:
            before = os.fstat(descriptor).st_size
            try:
                written = 0
                while written < len(data):
                    written += os.write(descriptor, data[written:])
                os.fsync(descriptor)
            except OSError:
                if os.fstat(descriptor).st_size == before + written:  # else somebody else has written behind it
                    os.ftruncate(descriptor, before)
                raise
        finally:
            os.close(descriptor)


def is_aside(path: Path) -> bool:
    """Whether a file is what a killed process was writing aside."""
    return path.name.startswith(".") and path.name.endswith(".tmp")


def _write_aside(path: Path, data: bytes, mode: int = 0o600, *, any_umask: bool = False) -> Path:
    aside = path.with_name(f".{path.name[:50]}.{uuid.uuid4().hex}.tmp")  # a name may have 255 bytes in all
    descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            if any_umask:
                os.fchmod(descriptor, mode)
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
    except OSError:
        aside.unlink(missing_ok=True)
        raise
    return aside


def write_atomic(path: Path, data: bytes | str, *, mode: int = 0o600, any_umask: bool = False) -> None:
    """Replaces a file as a whole: readers see the old or the new content, never a part.

    Args:
        path: of the file.
        data: all of it.
        mode: who may read it, within the process's umask.
        any_umask: they may whatever that is.

    Raises:
        StorageError: the disk refused; the old content, if any, is intact.
    """
    with storing(path):
        aside = _write_aside(path, data.encode() if isinstance(data, str) else data, mode, any_umask=any_umask)
        try:
            os.replace(aside, path)
        except OSError:
            aside.unlink(missing_ok=True)
            raise
        sync_folder(path.parent)


def write_into(path: Path, data: bytes | str) -> None:
    """As `write_atomic` does, in a folder that is made when missing.

    Raises:
        StorageError: the disk refused.
    """
    with storing(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, data)


def write_patiently(path: Path, data: bytes | str, *, say: Callable[[str], None]) -> None:
    """As `write_into` does, however long the disk refuses: what is finished, and nowhere else yet, is not lost. Ctrl-C gives up.

    Args:
        path: of the file.
        data: all of it.
        say: told why it waits, each reason once.
    """
    refusals = Refusals(say)
    while True:
        try:
            return write_into(path, data)
        except StorageError as e:
            time.sleep(refusals.heed(e))


def write_once(path: Path, data: bytes | str) -> bool:
    """Puts a complete file under a name that nobody holds yet.

    Returns:
        True when the file is ours, False when the name was taken (its content is left alone).

    Raises:
        StorageError: the disk refused, or has no hard links (NoLinksError); nothing stands under the name.
    """
    with storing(path):
        aside = _write_aside(path, data.encode() if isinstance(data, str) else data)
        try:
            os.link(aside, path)
        except FileExistsError:
            return False
        except OSError as e:
            if e.errno not in _NO_LINKS:
                raise
            raise NoLinksError(f"{path.parent} has no hard links ({e.strerror}), which a study needs; choose a DIR elsewhere") from e
        finally:
            aside.unlink(missing_ok=True)
        sync_folder(path.parent)
    return True


def pasted(path: Path) -> str:
    """A path as a command that is shown has it, so that it can be pasted into a shell: no command takes it for an option."""
    return shlex.quote(f"./{path}" if str(path).startswith("-") else str(path))


def dump_json(value: Any, *, default: Callable[[Any], Any] | None = None) -> str:
    """One line of strict JSON that every reader takes: no NaN, no infinity, no number beyond every float; keys as given.

    Args:
        value: what is written.
        default: makes a value of JSON of another; None where there are no others.

    Raises:
        ValueError: it holds one.
    """
    text = json.dumps(value, allow_nan=False, ensure_ascii=False, separators=(",", ":"), default=default)
    if _ENDLESS.search(text) and _is_endless(value):
        raise ValueError("a whole number of 300 digits or more cannot be written: no reader takes it")
    return text


def finite(value: Any) -> Any:
    """The value without the infinities that sums and means of enormous numbers end in: JSON has none."""
    match value:
        case float():
            return value if math.isfinite(value) else None
        case dict():
            return {name: finite(entry) for name, entry in value.items()}
        case list():
            return [finite(entry) for entry in value]
    return value


_ENDLESS = re.compile("[0-9]{300}")


def _is_endless(value: Any) -> bool:
    """Whether a whole number of 300 digits or more is in it; such digits in a text are none."""
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            waiting += one.values()
        elif isinstance(one, list | tuple):
            waiting += one
        elif isinstance(one, int) and abs(one) >= 10**299:
            return True
    return False


def csv_text(columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> str:
    """Rows as CSV (RFC 4180) under a line of column names: None is empty, and so is a column that a row lacks."""
    stream = io.StringIO()
    writer = csv.DictWriter(stream, columns)
    writer.writeheader()
    writer.writerows(rows)
    return stream.getvalue()


def load_json(text: str) -> Any:
    """The value of a strict JSON text, written by hand perhaps.

    Raises:
        ValueError: it is not JSON, holds NaN or an infinity, or an object in which a name stands twice: the later would hide the earlier.
        RecursionError: it is nested too deeply.
    """
    if not text.strip():
        raise ValueError("it is empty")
    return json.loads(text, parse_constant=_no_number, object_pairs_hook=_object)


def check_once(names: Sequence[str]) -> None:
    """Refuses a name that stands twice.

    Raises:
        ValueError: one does.
    """
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise ValueError(f"{reprlib.repr(name)} stands twice in one object, leave one out")
        seen.add(name)


def _no_number(word: str) -> float:
    raise ValueError(f"{word} is no number")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    check_once([name for name, _ in pairs])
    return dict(pairs)
