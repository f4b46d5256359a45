"""The worker program: owns one device, joins whoever leads the study, outlives its masters, and leaves in good order.

It is a small shell around `distributed.Worker`; the training itself belongs to a `Trainer`. When nobody leads, a program
that stands for election starts a master beside itself; the study's lock decides between several.
"""

import asyncio
import json
import math
import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from distributed import Worker

from bohb_nas.engine.cluster import Leader, answering_ip, configure, listening_ip, published, security
from bohb_nas.engine.devices import Device, check_kind, host, note_kind
from bohb_nas.engine.election import Candidate
from bohb_nas.engine.trainer import StartError, Trainer
from bohb_nas.errors import DeviceBusyError, NoLocksError
from bohb_nas.files import Lock, dump_json
from bohb_nas.records import Budgets, Trial
from bohb_nas.store.study_dir import StudyDir

_LOOK_S = 0.3
_TOUCH_S = 5.0
"""Between two touches of a worker's lock, which say to machines that its kernel's lock does not reach that it lives."""
_ROOM_S = 5.0
"""What is left of a time limit after handing over: to say so and to end."""
_ANSWER_S = 1.0
"""For the answer about a trial that was handed over to reach the master."""
_OVER = "the time of this worker is over"
_trainer: Trainer | None = None


async def train(payload: str) -> str:
    """What the master submits, by reference: trains the trial in `payload` and returns its result, both as JSON."""
    assert _trainer is not None
    result = await asyncio.shield(_trainer.train(Trial.from_json(json.loads(payload))))
    return dump_json(result.to_json())


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """On what terms a worker works."""

    wait_s: float
    """How long to stay without a master."""
    stand: bool
    """Whether to start a master when nobody leads."""
    until: float = math.inf
    """Seconds since the epoch at which this program is ended from outside."""
    grace_s: float = 20.0
    """For what is in training to be handed over."""
    listen: str | None = None
    """Where to listen, and where a master started here does; None where the study says."""


class _Leaving:
    """Why this program is to leave, once that is so; how urgently, the signals say."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.why = ""
        self.urgent = asyncio.Event()
        """Set when what cannot be handed over has to end as well."""

    def on_signal(self, number: signal.Signals) -> None:
        """SIGTERM and SIGINT end the program; SIGUSR1 and SIGUSR2 only warn of that."""
        self.ask(f"asked to leave by {number.name}", urgent=number in (signal.SIGTERM, signal.SIGINT))

    def ask(self, why: str, *, urgent: bool) -> None:
        """To leave; a second reason only adds urgency."""
        self.why = self.why or why
        self.asked.set()
        if urgent:
            self.urgent.set()


async def serve(path: Path, *, device: Device, terms: Terms, say: Callable[[str], None]) -> int:
    """Works for a study until it is done, nobody led it for `terms.wait_s` seconds, its time is over, or a signal says to leave.

    Raises:
        DeviceBusyError: another worker owns the device.
        DeviceError: it is of another model than the study allows.
        StartError: the training child cannot start.
    """
    study = StudyDir(path.absolute())
    study.check_access()
    meta = study.read_meta()
    if terms.listen is not None:
        listening_ip(terms.listen)
    check_kind(study, device, required=meta.get("require_same_gpu", False))
    lock = _own(study, device, terms)
    configure()
    leaving = _Leaving()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2):
        loop.add_signal_handler(number, leaving.on_signal, number)
    trainer = Trainer(study, meta, device=device, say=say)
    global _trainer
    _trainer = trainer
    candidate = Candidate(study, listen=terms.listen) if terms.stand else None
    touching = asyncio.create_task(_touch(study.worker_lock(host(), device.name)))
    with lock:
        try:
            note_kind(study, device)
            if not await _started(trainer, leaving.asked):
                say(f"left: {leaving.why}")
                return 0
            return await _Service(study, trainer, leaving, candidate, terms, name=f"{host()}-{device.name}", say=say).run()
        finally:
            touching.cancel()
            try:
                await trainer.stop()
            finally:
                if candidate is not None:
                    await candidate.end()


def _own(study: StudyDir, device: Device, terms: Terms) -> Lock:
    """The lock of a device; in a folder of this machine where the study's has none.

    Raises:
        DeviceBusyError: another worker holds it.
    """
    note = {"host": host(), "device": device.name, "pid": os.getpid(), "since": time.time(), "stand": terms.stand, **device.about()}
    text = json.dumps({**note, "until": terms.until if math.isfinite(terms.until) else None})
    path = study.worker_lock(host(), device.name)
    lock = Lock(path)
    try:
        taken = lock.acquire(text)
    except NoLocksError:
        lock = Lock(study.local_lock(device.name))
        taken = lock.acquire(text)
        if taken:
            path.write_text(text)
    if not taken:
        raise DeviceBusyError(f"a worker of {study.path} on {host()} owns device {device.name} already; one worker per device")
    return lock


async def _touch(path: Path) -> None:
    while True:
        with suppress(OSError):  # a disk that refuses is said where results are written
            os.utime(path)
        await asyncio.sleep(_TOUCH_S)


async def _started(trainer: Trainer, asked: asyncio.Event) -> bool:
    """Starts the trainer, which may take minutes; False when that was given up because the program is to leave."""
    starting, stop = asyncio.ensure_future(trainer.start()), asyncio.ensure_future(asked.wait())
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


class _Service:
    """A started worker's service under one master after the other."""

    def __init__(
        self,
        study: StudyDir,
        trainer: Trainer,
        leaving: _Leaving,
        candidate: Candidate | None,
        terms: Terms,
        *,
        name: str,
        say: Callable[[str], None],
    ) -> None:
        self._study, self._trainer, self._leaving, self._candidate, self._terms = study, trainer, leaving, candidate, terms
        self._name = name
        self._say = say
        self._unreachable = ""
        self._last_call = self._when_to_leave()

    def _when_to_leave(self) -> float:
        """Seconds since the epoch at which to leave: with time to hand over, or when not even the cheapest trial could end.

        A budget that is no seconds says nothing of how long a trial takes.
        """
        budgets = Budgets(**self._study.read_meta()["budgets"])
        cheapest_s = 0.0 if self._trainer.hands_over or budgets.unit != "s" else budgets.rungs[0]
        return self._terms.until - max(self._terms.grace_s + _ROOM_S, cheapest_s)

    async def run(self) -> int:
        """Serves until there is nothing more to do here."""
        alone_since = time.monotonic()
        while not self._study.done.exists():
            leader = published(self._study.scheduler_json)
            if leader is not None and self._reachable(leader) and await self._join(leader):
                alone_since = time.monotonic()
            elif self._candidate is not None:
                await self._candidate.stand()
            if self._leaving.asked.is_set() or time.time() > self._last_call:
                self._leaving.ask(_OVER, urgent=True)
                self._say(f"left: {self._leaving.why}")
                return 0
            if time.monotonic() - alone_since > self._terms.wait_s:
                again = f"`bohb-nas run {self._study.path}` leads it again"
                self._say(f"nobody has led this study for {self._terms.wait_s:g} s; leaving. {again}")
                return 0
            await _first(self._leaving.asked.wait(), asyncio.sleep(_LOOK_S))
        self._say("the study is done")
        return 0

    def _reachable(self, leader: Leader) -> bool:
        """Whether a leader listens where this machine can try; otherwise that is said once."""
        if not leader.reachable and self._unreachable != leader.address:
            self._unreachable = leader.address
            again = f"`bohb-nas run {self._study.path} --listen host`"
            self._say(f"the master on {leader.host} listens on its own loopback alone; end it there and start it with {again}")
        return leader.reachable

    async def _join(self, leader: Leader) -> bool:
        """Serves one master until it goes, is superseded, or this program leaves; False when nobody answers at its address."""
        worker = self._worker(leader)
        try:
            await worker
        except (OSError, TimeoutError, RuntimeError):
            return False
        try:
            await _first(
                worker.finished(),
                self._leaving.asked.wait(),
                _until(self._study.done.exists, self._superseded(leader)),
                asyncio.shield(self._trainer.unfit),
                asyncio.sleep(self._last_call - time.time()) if math.isfinite(self._last_call) else asyncio.Event().wait(),
            )
            if time.time() >= self._last_call:
                self._leaving.ask(_OVER, urgent=False)
            if self._leaving.asked.is_set():
                await self._leave()
        finally:
            with suppress(TimeoutError):
                await asyncio.wait_for(worker.close(timeout=1, executor_wait=False, nanny=False), 5)
        await _first(self._trainer.finish(), self._leaving.asked.wait())
        if self._leaving.asked.is_set() and self._trainer.busy:
            await self._leave()
        if self._trainer.unfit.done():
            raise StartError(self._trainer.unfit.result())
        return True

    def _worker(self, leader: Leader) -> Worker:
        until = self._terms.until if math.isfinite(self._terms.until) else None
        return Worker(
            leader.address,
            host=listening_ip(self._terms.listen) if self._terms.listen is not None else answering_ip(leader),
            nthreads=1,
            name=f"{self._name}-{time.time_ns()}",
            resources={"trial": 1},
            security=security(self._study),
            protocol="tls",
            dashboard=False,
            dashboard_address="127.0.0.1:0",
            death_timeout=5,
            startup_information={"until": _told(until), "hands_over": _told(self._trainer.hands_over)},
        )

    def _superseded(self, leader: Leader) -> Callable[[], bool]:
        def check() -> bool:
            now = published(self._study.scheduler_json)
            return (now is not None and now.term > leader.term) or (self._study.leases.is_dir() and self._study.master() is None)

        return check

    async def _leave(self) -> None:
        """Hands over what is in training; what cannot be handed over goes on until there is no time left."""
        self._say(f"leaving: {self._leaving.why}")
        began_busy = self._trainer.busy
        if await self._trainer.hand_over(self._leaving.why, grace_s=self._terms.grace_s):
            if began_busy:
                await asyncio.sleep(_ANSWER_S)
            return
        if not self._trainer.hands_over:
            end = asyncio.sleep(self._terms.until - time.time()) if math.isfinite(self._terms.until) else asyncio.Event().wait()
            await _first(self._trainer.finish(), self._leaving.urgent.wait(), end)
            if not self._trainer.busy:
                await asyncio.sleep(_ANSWER_S)
                return
        await self._trainer.stop()


def _told(value: object) -> Callable[[Worker], object]:
    """What a worker tells the scheduler of itself when it joins, in the form that dask asks for."""

    def tell(worker: Worker) -> object:
        del worker
        return value

    return tell


async def _until(*conditions: Callable[[], bool]) -> None:
    while not any(condition() for condition in conditions):
        await asyncio.sleep(1.0)


async def _first(*waits: object) -> None:
    """Waits for the first of several and gives the others up."""
    tasks = [asyncio.ensure_future(w) for w in waits]  # type: ignore[call-overload]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()


__all__ = ["StartError", "Terms", "serve", "train"]
