"""The lines of a journal as they lie on the disk: which of them were completed, and where a torn end begins."""

import io
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from bohb_nas.errors import JournalError
from bohb_nas.files import storing, sync_folder
from bohb_nas.reading import open_regular, parse_json
from bohb_nas.records import RESULT_LIMIT_BYTES

LINE_LIMIT_BYTES = 4 * RESULT_LIMIT_BYTES
"""Of a line, which holds one record."""
_BLOCK_BYTES = 2**16


@contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """A journal to read from; an absent one is empty.

    Raises:
        JournalError: it cannot be read.
    """
    try:
        descriptor = open_regular(path)
    except FileNotFoundError:
        yield io.BytesIO()
        return
    except OSError as e:
        raise _unreadable(path, e) from e
    with os.fdopen(descriptor, "rb") as stream:
        try:
            yield stream
        except OSError as e:
            raise _unreadable(path, e) from e


def _unreadable(path: Path, error: OSError) -> JournalError:
    return JournalError(f"{path} cannot be read: {error.strerror}; restore the file, or the right to read it")


def lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """The completed lines of a journal, numbered from 1, one after the other; of a longer one than `LINE_LIMIT_BYTES` the beginning.

    Raises:
        JournalError: the file cannot be read.
    """
    with opened(path) as stream:
        left, nth = _sound_bytes(stream), 0
        stream.seek(0)
        while left > 0 and (line := stream.readline(LINE_LIMIT_BYTES)):
            left, nth = left - len(line), nth + 1
            yield nth, line


def sound_bytes(path: Path) -> int:
    """How many bytes of a journal are lines that were completed.

    Raises:
        JournalError: the file cannot be read.
    """
    with opened(path) as stream:
        return _sound_bytes(stream)


def _sound_bytes(stream: BinaryIO) -> int:
    """How many bytes of a journal are lines that were completed: all but a last one without its newline, or that is no JSON."""
    size = stream.seek(0, os.SEEK_END)
    start = line_start(stream, size)
    if start < size:
        return start
    start = line_start(stream, max(size - 1, 0))
    if size - start > LINE_LIMIT_BYTES:
        return start
    stream.seek(start)
    try:
        parse_json(stream.read(size - start) or b"0")
    except (ValueError, RecursionError):
        return start
    return size


def line_start(stream: BinaryIO, end: int) -> int:
    """Where the line begins that the bytes before `end` belong to."""
    while end > 0:
        start = max(0, end - _BLOCK_BYTES)
        stream.seek(start)
        if (at := stream.read(end - start).rfind(b"\n")) >= 0:
            return start + at + 1
        end = start
    return 0


def repair(path: Path) -> str | None:
    """Cuts a torn last line off; the bytes are kept in a file beside the journal.

    Returns:
        What was done, for people, or None when nothing was torn.

    Raises:
        JournalError: the file cannot be read.
        StorageError: the disk refused; the journal is as it was.
    """
    with opened(path) as stream:
        sound, size = _sound_bytes(stream), stream.seek(0, os.SEEK_END)
        if sound == size:
            return None
        aside = path.with_name(f"{path.name}.torn-{sound}")
        stream.seek(sound)
        with storing(aside), aside.open("wb") as kept:
            shutil.copyfileobj(stream, kept)
            kept.flush()
            os.fsync(kept.fileno())
    with storing(path):
        descriptor = os.open(path, os.O_WRONLY)
        try:
            os.ftruncate(descriptor, sound)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        sync_folder(path.parent)
    return (
        f"the last line of {path} was torn ({size - sound} bytes, kept as {aside.name}); it was cut off, "
        "finished evaluations come back from their result files"
    )
