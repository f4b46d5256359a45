"""A worker's service: under one master after the other, until there is nothing more to do here, or no time for it."""

import asyncio
import math
import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from distributed import Worker

from bohb_nas.engine import absence
from bohb_nas.engine.cluster import Leader, answering_ip, listening_ip, published, security
from bohb_nas.engine.election import Candidate
from bohb_nas.engine.trainer import Trainer
from bohb_nas.errors import NoLocksError, StartError
from bohb_nas.records import Budgets
from bohb_nas.store import holders
from bohb_nas.store.study_dir import StudyDir

_LOOK_S = 0.3
_ROOM_S = 5.0
"""What is left of a time limit after handing over: to say so and to end."""
_ANSWER_S = 1.0
"""For the answer about a trial that was handed over to reach the master."""
DONE = "the study is done"
_OVER = "the time of this worker is over"
_OUSTED = "another worker for this device has taken its place"


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


class Leaving:
    """Why this program is to leave, once that is so; how urgently, the signals say."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.why = ""
        self.urgent = asyncio.Event()
        """Set when what cannot be handed over has to end as well."""

    def listen(self) -> None:
        """Listens to signals: SIGTERM, SIGINT and SIGHUP end the program, SIGUSR1 and SIGUSR2 only warn of that.

        A program that nohup started has no terminal to lose.
        """
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):
            if number is not signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:
                asyncio.get_running_loop().add_signal_handler(number, self._on_signal, number)

    def _on_signal(self, number: signal.Signals) -> None:
        self.ask(f"asked to leave by {number.name}", urgent=number not in (signal.SIGUSR1, signal.SIGUSR2))

    def ask(self, why: str, *, urgent: bool) -> None:
        """To leave; a second reason only adds urgency."""
        self.why = self.why or why
        self.asked.set()
        if urgent:
            self.urgent.set()


class Service:
    """A started worker's service under one master after the other."""

    def __init__(
        self,
        study: StudyDir,
        trainer: Trainer,
        leaving: Leaving,
        candidate: Candidate | None,
        terms: Terms,
        *,
        replaced: Callable[[], bool],
        ousted: Callable[[], bool],
        gone: Callable[[], bool],
        name: str,
        say: Callable[[str], None],
    ) -> None:
        self._study, self._trainer, self._leaving, self._candidate, self._terms = study, trainer, leaving, candidate, terms
        self._replaced = replaced
        """Whether another study has taken the place of this one, so that nothing more may be written there."""
        self._ousted = ousted
        """Whether somebody else's has taken the place of this worker's lock."""
        self._gone = gone
        """Whether there is no study any more where it was."""
        self._name = name
        self._say = say
        self._told_of = ""
        """Address of the master of which it was said that this machine cannot reach it."""
        self._why_not_joined = ""
        """Why the last attempt to join a master failed."""
        self._said_to_leave = False
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
        while not self._is_done():
            if self._candidate is not None:
                await self._candidate.stand()
            leader = self._leader()
            if self._replaced():  # looked at after the address, which then is that of this study's master
                self._say(f"another study has taken its place in {self._study.path}; leaving")
                return 0
            if self._gone():
                self._say(absence.text(self._study))
                return 0
            if self._trainer.busy or (leader is not None and self._reachable(leader) and await self._join(leader)):
                alone_since = time.monotonic()
            if self._trainer.unfit.done():
                raise StartError(self._trainer.unfit.result())
            if self._is_over():
                await self._leave()
                return 0
            if time.monotonic() - alone_since > self._terms.wait_s:
                self._say(f"{self._alone()}; leaving after {self._terms.wait_s:g} s")
                return 0
            await _first(self._leaving.asked.wait(), asyncio.sleep(_LOOK_S))
        self._say(DONE)
        return 0

    def _leader(self) -> Leader | None:
        """Who leads, as far as that can be told now: a lock server that is away for a while is no reason to end a training.

        An address counts if whoever holds the study's lock has said it: a copy of a study has that of the original's master, until its
        own one writes another.
        """
        try:
            held = holders.master(self._study)
        except (NoLocksError, OSError):
            return None
        leader = published(self._study.scheduler_json)
        if held is None or leader is None or (leader.host, leader.pid) != (held.get("host"), held.get("pid")):
            return None
        return leader

    def _is_done(self) -> bool:
        return os.path.exists(self._study.done)

    def _alone(self) -> str:
        """Why there is nobody to work for."""
        try:
            master = holders.master(self._study)
        except (NoLocksError, OSError) as e:
            return f"whether anybody leads this study cannot be told: {e}"
        if master is not None and master.get("task", holders.SEARCH) != holders.SEARCH:
            return holders.held(self._study, master)
        if master is not None:
            unsaid = f"this study is led, but its master has not said where; `bohb-nas status {self._study.quoted}` shows it"
            return self._why_not_joined or unsaid
        return f"nobody leads this study; `bohb-nas run {self._study.quoted}` leads it again"

    def _is_over(self) -> bool:
        """Whether to leave, handing over: because of a signal, of the time, or of another worker. Never where another study stands."""
        if self._replaced():
            return False
        if time.time() >= self._last_call:
            self._leaving.ask(_OVER, urgent=False)
        if self._ousted():
            self._leaving.ask(_OUSTED, urgent=True)
        return self._leaving.asked.is_set()

    def _reachable(self, leader: Leader) -> bool:
        """Whether a leader listens where this machine can try; otherwise that is said once."""
        if leader.reachable:
            return True
        self._why_not_joined = f"the master on {leader.host} listens on its own loopback alone"
        if self._told_of != leader.address:
            self._told_of = leader.address
            self._say(f"{self._why_not_joined}; end it there and start it with `bohb-nas run {self._study.quoted} --listen host`")
        return False

    async def _join(self, leader: Leader) -> bool:
        """Serves one master until it goes, is superseded, or this program leaves; False when nobody answers at its address."""
        try:
            worker = self._worker(leader)
            await worker
        except (OSError, TimeoutError, RuntimeError) as e:
            self._why_not_joined = f"the master on {leader.host} did not answer at {leader.address}: {type(e).__name__}: {str(e)[:200]}"
            return False
        try:
            await _first(
                worker.finished(),
                self._leaving.asked.wait(),
                _until(self._is_done, self._superseded(leader), self._is_over, self._replaced, self._gone),
                asyncio.shield(self._trainer.unfit),
                self._stand(),
            )
            if self._is_over():
                await self._leave()
        finally:
            with suppress(TimeoutError, OSError):
                await asyncio.wait_for(worker.close(timeout=1, executor_wait=False, nanny=False), 5)
        return True

    async def _stand(self) -> None:
        """Sees to it, for as long as it is waited for, that a process of this machine stands by."""
        while True:
            if self._candidate is not None:
                await self._candidate.stand()
            await asyncio.sleep(_LOOK_S)

    def _worker(self, leader: Leader) -> Worker:
        until = self._terms.until if math.isfinite(self._terms.until) else None
        return Worker(
            leader.address,
            host=listening_ip(self._terms.listen) if self._terms.listen is not None else answering_ip(leader),
            nthreads=1,
            name=f"{self._name}-{time.time_ns()}",  # a scheduler takes a name once, also of one that comes back
            resources={"trial": 1},
            security=security(self._study),
            protocol="tls",
            dashboard=False,
            dashboard_address="127.0.0.1:0",
            death_timeout=5,
            startup_information={"worker": _told(self._name), "until": _told(until), "hands_over": _told(self._trainer.hands_over)},
        )

    def _superseded(self, leader: Leader) -> Callable[[], bool]:
        def check() -> bool:
            now = published(self._study.scheduler_json)
            return (now is not None and now.term > leader.term) or (
                os.path.isdir(self._study.leases) and holders.master(self._study) is None
            )

        return check

    async def _leave(self) -> None:
        """Hands over what is in training; what cannot be handed over goes on until there is no time left."""
        if self._said_to_leave:
            return
        self._said_to_leave = True
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
