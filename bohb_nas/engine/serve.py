"""The worker program: owns one device, joins whoever leads the study, and outlives its masters.

It is a small shell around `distributed.Worker`; the training itself belongs to a `Trainer`. When nobody leads, a program
that stands for election starts a master beside itself; the study's lock decides between several.
"""

import asyncio
import json
import math
import os
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from distributed import Worker

from bohb_nas.engine.cluster import configure, published, security
from bohb_nas.engine.devices import host
from bohb_nas.engine.trainer import StartError, Trainer
from bohb_nas.errors import BohbNasError
from bohb_nas.files import Lock, dump_json
from bohb_nas.records import Trial
from bohb_nas.store.study_dir import StudyDir

_LOOK_S = 0.3
_REST_S = 5.0
"""Between two attempts to lead: a master that cannot lead should not be started over and over."""
_trainer: Trainer | None = None


async def train(payload: str) -> str:
    """What the master submits, by reference: trains the trial in `payload` and returns its result, both as JSON."""
    assert _trainer is not None
    result = await asyncio.shield(_trainer.train(Trial.from_json(json.loads(payload))))
    return dump_json(result.to_json())


class DeviceBusyError(BohbNasError):
    """Another worker of this study owns the device."""


async def serve(path: Path, *, device: str, wait_s: float, stand: bool, say: Callable[[str], None]) -> int:
    """Works for a study until it is done, nobody led it for `wait_s` seconds, or SIGTERM arrives.

    Args:
        path: of the study.
        device: the one to own.
        wait_s: how long to stay without a master.
        stand: whether to start a master when nobody leads.
        say: told what people should know.

    Raises:
        DeviceBusyError: another worker owns the device.
        StartError: the training child cannot start.
    """
    study = StudyDir(path.absolute())
    study.check_access()
    lock = Lock(study.worker_lock(host(), device))
    if not lock.acquire(json.dumps({"host": host(), "device": device, "pid": os.getpid(), "since": time.time(), "stand": stand})):
        raise DeviceBusyError(f"a worker of {path} on {host()} owns device {device} already; one worker per device")
    configure()
    trainer = Trainer(study, study.read_meta(), device=device, say=say)
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    global _trainer
    _trainer = trainer
    election = _Election(study) if stand else None
    with lock:
        try:
            if not await _started(trainer, stopped):
                say("stopped")
                return 0
            return await _serve(study, trainer, stopped, election, wait_s=wait_s, name=f"{host()}-{device}", say=say)
        finally:
            try:
                await trainer.stop()
            finally:
                if election is not None:
                    await election.end()


async def _started(trainer: Trainer, stopped: asyncio.Event) -> bool:
    """Starts the trainer, which may take minutes; False when that was given up because the program is to stop."""
    starting, stop = asyncio.ensure_future(trainer.start()), asyncio.ensure_future(stopped.wait())
    try:
        await asyncio.wait({starting, stop}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        stop.cancel()
        if not starting.done():
            starting.cancel()
            await asyncio.wait({starting})
    if starting.cancelled():
        return False
    starting.result()  # raises why it could not be started
    return True


class _Election:
    """Starts a master when nobody leads."""

    def __init__(self, study: StudyDir) -> None:
        self._study = study
        self._master: asyncio.subprocess.Process | None = None
        self._stood = -math.inf

    async def stand(self) -> None:
        """Makes sure that somebody leads, or is about to; one of several candidates gets the lock, the others' masters end."""
        running = self._master is not None and self._master.returncode is None
        rested = time.monotonic() - self._stood > _REST_S
        if not running and rested and self._study.master() is None:
            self._stood = time.monotonic()
            command = [sys.executable, "-m", "bohb_nas", "run", str(self._study.path), "--workers", "0"]
            self._master = await asyncio.create_subprocess_exec(*command, stdin=asyncio.subprocess.DEVNULL, stdout=2)

    async def end(self) -> None:
        """Ends the master that was started here, and waits for it."""
        if self._master is not None:
            if self._master.returncode is None and not self._study.done.exists():
                self._master.terminate()
            await self._master.wait()


async def _serve(
    study: StudyDir,
    trainer: Trainer,
    stopped: asyncio.Event,
    election: _Election | None,
    *,
    wait_s: float,
    name: str,
    say: Callable[[str], None],
) -> int:
    alone_since = time.monotonic()
    while not study.done.exists():
        address = published(study.scheduler_json)
        if address is not None and await _join(study, trainer, stopped, address=address, name=name):
            alone_since = time.monotonic()
        elif election is not None:
            await election.stand()
        if stopped.is_set():
            say("stopped")
            return 0
        if time.monotonic() - alone_since > wait_s:
            say(f"nobody has led this study for {wait_s:g} s; leaving. `bohb-nas run {study.path}` leads it again")
            return 0
        await _first(stopped.wait(), asyncio.sleep(_LOOK_S))
    say("the study is done")
    return 0


async def _join(study: StudyDir, trainer: Trainer, stopped: asyncio.Event, *, address: str, name: str) -> bool:
    """Serves one master until it goes; False when nobody answers at its address."""
    worker = Worker(
        address,
        host="127.0.0.1",
        nthreads=1,
        name=f"{name}-{time.time_ns()}",
        resources={"trial": 1},
        security=security(study),
        protocol="tls",
        dashboard=False,
        dashboard_address="127.0.0.1:0",
        death_timeout=5,
    )
    try:
        await worker
    except (OSError, TimeoutError, RuntimeError):
        return False
    try:
        await _first(worker.finished(), stopped.wait(), _until(study.done.exists), asyncio.shield(trainer.unfit))
        if stopped.is_set():
            await trainer.stop()
    finally:
        with suppress(TimeoutError):
            await asyncio.wait_for(worker.close(timeout=1, executor_wait=False, nanny=False), 5)
    await _first(trainer.finish(), stopped.wait())
    if trainer.unfit.done():
        raise StartError(trainer.unfit.result())
    return True


async def _until(condition: Callable[[], bool]) -> None:
    while not condition():
        await asyncio.sleep(1.0)


async def _first(*waits: object) -> None:
    """Waits for the first of several and gives the others up."""
    tasks = [asyncio.ensure_future(w) for w in waits]  # type: ignore[call-overload]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()


__all__ = ["DeviceBusyError", "StartError", "serve", "train"]
