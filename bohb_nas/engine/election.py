"""Who leads a study: the holder of its lock or lease, or a master that a worker starts where nobody does."""

import asyncio
import json
import math
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

from bohb_nas.engine.devices import host
from bohb_nas.errors import NoLocksError, StorageError, StudyError, StudyHeldError
from bohb_nas.files import Lock
from bohb_nas.store import mounts
from bohb_nas.store.lease import LASTS_S, Lease
from bohb_nas.store.study_dir import StudyDir

_REST_S = 5.0
"""Between two attempts to lead: a master that cannot lead should not be started over and over."""


class Seat(Protocol):
    """What whoever leads holds."""

    number: int
    """At least the term that begins; 0 where the lock does not count."""

    def check(self) -> None:
        """Raises StudyHeldError where somebody else may lead by now."""
        ...


def choose_lock(study: StudyDir, *, said: str | None, listen: str) -> tuple[str, str | None]:
    """How the masters of a new study keep each other out: "kernel" or "lease", and why it is a lease where nobody asked for one.

    Args:
        study: whose folder need not exist.
        said: what was asked for; None leaves it to the file system.
        listen: where masters listen; on loopback all are of one machine, on which the kernel's locks hold.
    """
    if said is not None:
        return said, None
    why = None if listen == "loopback" else mounts.only_local_locks(mounts.of(study.path))
    return ("kernel", None) if why is None else ("lease", why)


@contextmanager
def leading(study: StudyDir, *, lasts_s: float | None = None, say: Callable[[str], None] = lambda text: None) -> Iterator[Seat]:
    """Holds the study's lock while the block runs, or its lease where it has one.

    Args:
        study: its folder exists.
        lasts_s: of a lease, unless it is renewed.
        say: told when there are no locks, so that a lease has to do.

    Raises:
        StudyHeldError: somebody else does.
        StudyError: there can be neither.
    """
    note = {"host": host(), "pid": os.getpid(), "since": time.time()}
    lock = Lock(study.master_lock)
    seat: Lock | Lease = lock
    try:
        taken = not study.leases.is_dir() and lock.acquire(json.dumps(note))
    except NoLocksError as e:
        say(f"{e}; masters of this study keep each other out by a lease in {study.leases}")
        study.leases.mkdir(mode=0o700)
    except StorageError as e:
        raise StudyError(str(e)) from e
    if study.leases.is_dir():
        seat = lease = Lease(study.leases, lasts_s=lasts_s or LASTS_S)
        try:
            taken = lease.acquire(note)
        except (StorageError, OSError) as e:
            raise StudyError(f"the lease of {study.path} cannot be taken: {e}") from e
    if not taken:
        master = study.master() or {}
        raise StudyHeldError(
            f"{study.path} is led by a living master (pid {master.get('pid', '?')} on {master.get('host', '?')}); "
            f"`bohb-nas worker {study.path}` joins it, `bohb-nas status {study.path}` shows it"
        )
    with seat:
        yield seat


class Candidate:
    """A worker's stand for election: starts a master beside it when nobody leads.

    Args:
        study: to lead.
        listen: where the master listens; None where the study says.
    """

    def __init__(self, study: StudyDir, *, listen: str | None = None) -> None:
        self._study = study
        self._listen = listen
        self._master: asyncio.subprocess.Process | None = None
        self._stood = -math.inf

    async def stand(self) -> None:
        """Makes sure that somebody leads, or is about to; one of several candidates gets the lock, the others' masters end."""
        running = self._master is not None and self._master.returncode is None
        rested = time.monotonic() - self._stood > _REST_S
        if not running and rested and self._study.master() is None:
            self._stood = time.monotonic()
            command = [sys.executable, "-m", "bohb_nas", "run", str(self._study.path), "--workers", "0"]
            command += ["--listen", self._listen] if self._listen is not None else []
            self._master = await asyncio.create_subprocess_exec(*command, stdin=asyncio.subprocess.DEVNULL, stdout=2)

    async def end(self) -> None:
        """Ends the master that was started here, and waits for it."""
        if self._master is not None:
            if self._master.returncode is None and not self._study.done.exists():
                self._master.terminate()
            await self._master.wait()
