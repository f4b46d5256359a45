"""Locks of the kernel on files: taken without waiting, and released whatever kills the process."""

import errno
import fcntl
import os
import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from bohb_nas.errors import NoLocksError, StudyHeldError, UsageError
from bohb_nas.files import storing
from bohb_nas.reading import open_regular

_FLOCK = struct.Struct("hhqqi0q")
"""struct flock of Linux: type, whence, start, length (0: all), pid."""


def _flock(descriptor: int, command: int) -> int:
    """Asks for, or asks about, an exclusive lock on the whole file; returns the type that the kernel answers."""
    answer = fcntl.fcntl(descriptor, command, _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0))
    return int(_FLOCK.unpack(answer)[0])


_NO_LOCKS = frozenset({errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL})


class Lock:
    """A kernel lock on a file (of its open file description): released by the kernel whatever kills the process."""

    number = 0
    """It does not count its holders."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor: int | None = None

    def acquire(self, note: str = "") -> bool:
        """Takes the lock without waiting; `note` is left in the file for people and for `holder`.

        Returns:
            Whether the lock is ours now.

        Raises:
            NoLocksError: this file system has none.
            StorageError: the lock file cannot be opened, or has no room for the note.
        """
        with storing(self._path):
            # through a link, another file would be emptied
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK, 0o600)
            try:
                _flock(descriptor, fcntl.F_OFD_SETLK)
            except (BlockingIOError, PermissionError):
                os.close(descriptor)
                return False
            except OSError as e:
                os.close(descriptor)
                raise (NoLocksError(f"{self._path.parent} has no locks: {e.strerror}") if e.errno in _NO_LOCKS else e) from e
            try:
                os.ftruncate(descriptor, 0)
                os.pwrite(descriptor, note.encode(), 0)
                os.fsync(descriptor)  # or other machines may read it from their file server half a minute later
            except OSError:
                os.close(descriptor)
                raise
        self._descriptor = descriptor
        return True

    @property
    def superseded(self) -> bool:
        """Whether another file stands at the lock's path by now, which somebody else may hold; not where there is none."""
        return os.path.lexists(self._path) and not self._in_place()

    def check(self) -> None:
        """Makes sure that the lock still keeps others out: the kernel holds it, but only who finds its file asks for it.

        Raises:
            StudyHeldError: its file is gone, or another stands in its place.
        """
        if not self._in_place():
            raise StudyHeldError(f"{self._path} was deleted, moved or replaced, so another may hold what stands there; this process ends")

    def _in_place(self) -> bool:
        """Whether its file stands where others look for it; a disk that does not say so for now is taken to."""
        try:
            return self._descriptor is None or os.path.samestat(os.stat(self._path, follow_symlinks=False), os.fstat(self._descriptor))
        except FileNotFoundError:
            return False
        except OSError:
            return True

    def release(self) -> None:
        """Gives the lock back; harmless when it is not held."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        self.release()


def holder(path: Path) -> str | None:
    """The note of whoever holds the lock at `path`, or None when nobody does.

    Only asks: it neither creates the file nor takes the lock, so it never gets in the way of `Lock.acquire`. What is no file, or a
    link, or may not be read, nobody holds: `Lock.acquire` says why it cannot be taken.

    Raises:
        NoLocksError: this file system has none.
    """
    try:
        descriptor = open_regular(path, follow=False)
    except OSError:
        return None
    try:
        if _flock(descriptor, fcntl.F_OFD_GETLK) == fcntl.F_UNLCK:
            return None
        return os.read(descriptor, 4096).decode(errors="replace")
    except OSError as e:
        raise NoLocksError(f"{path.parent} has no locks: {e.strerror}") from e
    finally:
        os.close(descriptor)


@contextmanager
def alone(path: Path, busy: str, remedy: str, *, say: Callable[[str], None]) -> Iterator[None]:
    """Holds the lock at a path, so that no second process does the same meanwhile; where there are no locks, it is told that one could.

    Args:
        path: of the lock's file, in a folder that is there.
        busy: what the one that holds it does.
        remedy: what to do then.
        say: told that there are no locks.

    Raises:
        UsageError: another holds it.
        StorageError: the disk refused.
    """
    with Lock(path) as lock:
        taken = True
        try:
            taken = lock.acquire(f"pid {os.getpid()} on {socket.gethostname()}")
        except NoLocksError as e:
            say(f"{e}; nothing keeps a second process from writing the same at the same time")
        if not taken:  # also where the file system cannot say by whom
            raise UsageError(f"{busy}, {holder(path) or 'which has just begun or ended'}; {remedy}")
        yield
