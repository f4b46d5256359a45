"""Who leads a study where the kernel's locks do not reach every machine: numbered files, each renewed by its holder.

The holder of the highest number leads as long as its file is renewed; whoever finds it not renewed for `lasts_s` may put the
next number there, and a file is put under a name only once. So there is nothing to delete, and no moment in which two could
take the same number. A holder that was stopped finds out, before it writes, that it has not renewed for too long.
"""

import json
import math
import os
import threading
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from bohb_nas.errors import StudyHeldError
from bohb_nas.files import write_once
from bohb_nas.store.notes import read_note

LASTS_S = 60.0
"""As long as the attribute cache of NFS may hide a renewal."""
_MEASURED_S = 60.0
_OFFSETS: dict[Path, tuple[float, float]] = {}
"""Folder -> when its clock was compared with this machine's since its boot, which nobody sets, and by how much it is ahead."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """The newest lease of a study."""

    number: int
    path: Path
    note: dict[str, Any]

    def expired(self, now: float) -> bool:
        """Whether another may lead, at a time of the clock that stamps files."""
        lasts_s = self.note.get("lasts_s")
        try:
            return now - self.path.stat().st_mtime > (lasts_s if isinstance(lasts_s, int | float) else LASTS_S)
        except OSError:
            return True


def newest(folder: Path) -> Held | None:
    """The lease with the highest number, or None where there was none."""
    numbers = [int(p.stem) for p in folder.glob("*.json") if p.stem.isdecimal()] if os.path.isdir(folder) else []
    if not numbers:
        return None
    path = _file(folder, max(numbers))
    return Held(number=max(numbers), path=path, note=read_note(path))


def file_time(folder: Path) -> float:
    """What the clock that stamps the files of a folder says: that of its server, which need not be this machine's.

    By how much they differ is measured at most once a minute.
    """
    measured, offset = _OFFSETS.get(folder, (-math.inf, 0.0))
    if since_boot() - measured > _MEASURED_S:
        offset = _stamp(folder) - since_boot()
        _OFFSETS[folder] = since_boot(), offset
    return since_boot() + offset


def _stamp(folder: Path) -> float:
    """The time that a new file gets."""
    probe = folder / f".{uuid.uuid4().hex}.tmp"
    descriptor = os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        return os.fstat(descriptor).st_mtime
    finally:
        os.close(descriptor)
        probe.unlink(missing_ok=True)


def since_boot() -> float:
    """Seconds of a clock that goes on while this process, or its whole machine, sleeps; a virtual machine that is frozen stops it."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Lease:
    """The right to lead, for a time.

    Args:
        folder: of the study's leases.
        lasts_s: seconds after which it ends unless it is renewed.
        clock: seconds of a clock that goes on while this process is stopped.
    """

    def __init__(self, folder: Path, *, lasts_s: float = LASTS_S, clock: Callable[[], float] = since_boot) -> None:
        self._folder = folder
        self._lasts_s = lasts_s
        self._clock = clock
        self._renewed = clock()
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None
        self.number = 0
        """Of the lease that is held; it grows from one holder to the next."""
        self._note: dict[str, Any] = {}

    def acquire(self, note: dict[str, Any]) -> bool:
        """Takes the lease unless somebody holds it; renews it from a thread of its own.

        Returns:
            Whether it is ours now.

        Raises:
            StorageError: it cannot be written.
        """
        self._folder.mkdir(mode=0o700, exist_ok=True)
        last = newest(self._folder)
        if last is not None and not last.expired(_stamp(self._folder)):
            return False
        number, began = 1 if last is None else last.number + 1, self._clock()
        whole = {**note, "lasts_s": self._lasts_s}
        if not write_once(_file(self._folder, number), json.dumps(whole) + "\n"):
            return False
        self.number, self._renewed, self._note = number, began, whole
        self._thread = threading.Thread(target=self._renew, name="lease", daemon=True)
        self._thread.start()
        return True

    def check(self) -> None:
        """Makes sure that nobody else can have taken over.

        Raises:
            StudyHeldError: somebody has, or may have since the lease was last renewed.
        """
        silent_s = self._clock() - self._renewed
        if self._replaced():
            raise StudyHeldError(f"another study stands in the place of this one: its lease {self.number} in {self._folder} is another's")
        if _file(self._folder, self.number + 1).exists():
            raise StudyHeldError(f"another master has taken over: lease {self.number + 1} in {self._folder}; this one ends")
        if silent_s > self._lasts_s / 2:
            raise StudyHeldError(f"the lease in {self._folder} was not renewed for {silent_s:.0f} s, so another may lead; this master ends")

    def release(self) -> None:
        """Lets another lead at once; harmless when it is not held."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join()  # or it might renew what is given back here
        if self.number and not self._replaced():
            with suppress(OSError):  # else it runs out by itself
                os.utime(_file(self._folder, self.number), (0, 0))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        self.release()

    def _replaced(self) -> bool:
        """Whether a lease of another stands under the number of this one: in its folder's place is that of another study."""
        return read_note(_file(self._folder, self.number)) not in ({}, self._note)

    def _renew(self) -> None:
        path = _file(self._folder, self.number)
        while not self._ended.wait(min(1.0, self._lasts_s / 10)):
            began = self._clock()
            if began - self._renewed > self._lasts_s / 2:
                return  # too late: another may lead, and a renewal would only confuse
            if self._replaced():
                return
            with suppress(OSError):  # the disk may come back; until then the lease runs out
                os.utime(path)
                self._renewed = began


def _file(folder: Path, number: int) -> Path:
    return folder / f"{number:06d}.json"
