"""Reads a journal while something else is waited for: a long one takes seconds."""

from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from bohb_nas.store.journal import State, fold
from bohb_nas.store.lines import sound_bytes


class Reading:
    """A journal that is read in a thread of its own, before it is known whether its study can be led.

    Args:
        path: of the journal, which need not be there.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stamp = _stamp(path)
        beside = ThreadPoolExecutor(1, thread_name_prefix="journal")
        self._read: Future[tuple[int, State]] = beside.submit(_read, path)
        beside.shutdown(wait=False)

    def folded(self) -> tuple[int, State]:
        """The bytes that were completed, and what they fold to; to be called once nobody else writes: what was read too early is read anew.

        The bytes are counted before the file is read, so that what a stopped master still adds is noticed.

        Raises:
            JournalError: the journal cannot be replayed.
        """
        early = self._read.exception() is None and _stamp(self._path) == self._stamp
        return self._read.result() if early else _read(self._path)


def _read(path: Path) -> tuple[int, State]:
    size = sound_bytes(path)
    return size, fold(path)


def _stamp(path: Path) -> tuple[int, int, int] | None:
    """What changes when a file does."""
    try:
        about = path.stat()
    except OSError:
        return None
    return about.st_ino, about.st_size, about.st_mtime_ns
