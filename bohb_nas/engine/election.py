"""Who leads a study: the holder of its lock or lease, or a master that a worker starts where nobody does."""

import asyncio
import json
import os
import random
import select
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Protocol

from bohb_nas.engine.devices import host
from bohb_nas.errors import NoLocksError, StudyHeldError
from bohb_nas.files import storing
from bohb_nas.locks import Lock, holder
from bohb_nas.store import holders, mounts
from bohb_nas.store.lease import LASTS_S, Lease
from bohb_nas.store.study_dir import StudyDir

_REST_S = 5.0
"""Between two starts of a process that stands by: one that cannot lead should not be started over and over."""
_STAGGER_S = 0.5
"""Within which the workers of a machine that begin at once look whether another has started one."""
_POLL_S = 0.1
_POLL_SHARED_S = 1.0
"""Every look costs a file server something."""
_END_S = 10.0


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
def leading(
    study: StudyDir, *, lasts_s: float | None = None, task: str = holders.SEARCH, say: Callable[[str], None] = lambda text: None
) -> Iterator[Seat]:
    """Holds the study's lock while the block runs, or its lease where it has one.

    Args:
        study: its folder exists.
        lasts_s: of a lease, unless it is renewed.
        task: what is done meanwhile, for those who look at the study.
        say: told when there are no locks, so that a lease has to do.

    Raises:
        StudyHeldError: somebody else does.
        StorageError: neither can be written.
    """
    note = {"host": host(), "pid": os.getpid(), "since": time.time(), "task": task}
    lock = Lock(study.master_lock)
    seat: Lock | Lease = lock
    try:
        taken = not study.leases.is_dir() and lock.acquire(json.dumps(note))
    except NoLocksError as e:
        say(f"{e}; masters of this study keep each other out by a lease in {study.leases}")
        with storing(study.leases):
            study.leases.mkdir(mode=0o700, exist_ok=True)
    if study.leases.is_dir():
        seat = lease = Lease(study.leases, lasts_s=lasts_s or LASTS_S)
        with storing(study.leases):
            taken = lease.acquire(note)
    if not taken:
        raise StudyHeldError(holders.held(study, holders.master(study) or {}))
    with seat:
        yield seat


def stand_by(study: StudyDir, gone: Callable[[], bool], *, ready: Callable[[], object] = lambda: None) -> bool:
    """Waits, ready to lead, until nobody leads; one process of a machine does so for a study.

    Args:
        study: to lead.
        gone: whether the worker that started this process has ended.
        ready: loads what it takes to lead, once this is the process that does so.

    Returns:
        Whether to lead now: not when the study is done or gone, the worker has ended, or another process of this machine stands by.
    """
    with Lock(study.standby_lock(host())) as lock:
        if not _taken(lock):
            return False
        ready()
        slowly = os.path.isdir(study.leases) or mounts.is_shared(mounts.of(study.path))
        while not os.path.exists(study.done) and not gone():
            with suppress(OSError):  # a disk that does not answer says of neither
                if not study.exists():  # nobody leads it, either
                    return False
                if holders.master(study) is None:
                    return True
            time.sleep(_POLL_SHARED_S if slowly else _POLL_S)
    return False


def _taken(lock: Lock) -> bool:
    try:
        return lock.acquire(json.dumps({"host": host(), "pid": os.getpid(), "since": time.time()}))
    except NoLocksError:  # then each worker of a machine has a process that stands by, which costs only memory
        return True


def worker_gone() -> bool:
    """Whether the worker that started this process has ended: it holds the other end of standard input, and writes nothing."""
    return bool(select.select([0], [], [], 0)[0])


class Candidate:
    """A worker's stand for election: keeps a process ready to lead beside it, or beside another worker of this machine.

    What is started here ends with this program.

    Args:
        study: to lead.
        say: told what people should know.
        listen: where the master listens; None where the study says.
    """

    def __init__(self, study: StudyDir, *, say: Callable[[str], None], listen: str | None = None) -> None:
        self._study = study
        self._say = say
        self._listen = listen
        self._started: list[asyncio.subprocess.Process] = []
        self._next = time.monotonic() + random.uniform(0.0, _STAGGER_S)

    async def stand(self) -> None:
        """Makes sure that a process of this machine stands by."""
        self._started = [p for p in self._started if p.returncode is None]
        if time.monotonic() < self._next or not self._is_vacant():
            return
        self._next = time.monotonic() + _REST_S
        command = [sys.executable, "-P", "-m", "bohb_nas", "run", str(self._study.path), "--workers", "0", "--standby"]
        command += ["--listen", self._listen] if self._listen is not None else []
        try:
            started = await asyncio.create_subprocess_exec(
                *command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.DEVNULL, start_new_session=True
            )
        except OSError as e:  # no process or memory left: later perhaps
            self._say(f"no process can be started that stands by to lead: {e}")
            return
        self._started.append(started)

    def _is_vacant(self) -> bool:
        """Whether a process is to be started; not while the disk does not say whether there is a study, or who stands by."""
        try:
            return self._study.exists() and not self._somebody_stands_by()
        except OSError:
            return False

    def _somebody_stands_by(self) -> bool:
        """Whether a process of this machine stands by, or one that was started here gets ready for it: it lives and does not lead."""
        try:
            if holder(self._study.standby_lock(host())) is not None:
                return True
            leader = holders.master(self._study) or {}
        except NoLocksError:
            return len(self._started) > 0
        leads = leader.get("pid") if leader.get("host") == host() else None
        return any(process.pid != leads for process in self._started)

    async def end(self) -> None:
        """Ends what was started here, and waits for it; a master that has just finished the study is left to say so."""
        for process in self._started:
            if process.returncode is None and not os.path.exists(self._study.done):
                process.terminate()
        for process in self._started:
            try:
                await asyncio.wait_for(process.wait(), _END_S)
            except TimeoutError:  # stopped, or waiting for a worker that does not get ready
                process.kill()
                await process.wait()
