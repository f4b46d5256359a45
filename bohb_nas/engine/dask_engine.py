"""The engine over dask.distributed: the scheduler lives in the master, workers join through the study directory.

dask only carries payloads and notices deaths. What a trial's result is, its result file says; who trains a trial, its
heartbeat says. So a lost scheduler, a lost answer or a task that dask would run twice costs nothing.
"""

import asyncio
import json
import queue
import threading
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from distributed import Client, Scheduler
from distributed.core import Status as WorkerStatus
from distributed.scheduler import WorkerState

from bohb_nas.engine import serve
from bohb_nas.engine.cluster import LOOPBACK, Address, configure, tried_security
from bohb_nas.engine.devices import host
from bohb_nas.engine.placement import fittest
from bohb_nas.errors import BohbNasError, StartError
from bohb_nas.files import dump_json
from bohb_nas.records import Result, Status, Trial
from bohb_nas.store import handovers, holders
from bohb_nas.store.notes import first_line, read_note
from bohb_nas.store.study_dir import StudyDir

STALE_S = 15.0
"""A heartbeat this old belongs to a worker that is gone."""

_LOOK_S = 0.25
_LAST_S = 0.5
_CALL_S = 60.0
_SETTLE_S = 0.1
"""For the last timers of dask's streams, which run out within 10 ms and would complain of a loop that ended before them."""

_PATIENCE = 3
"""Trials may wait for a worker with more time, up to so many for each that is free: among the next there may be shorter ones."""

MAX_DEATHS = 3
"""A trial whose worker program died so often under one master is told as crashed."""
MAX_CUTS = 10
"""So is one that so many workers had to leave, or were killed at under whatever masters, while nothing of it could be handed over."""

_T = TypeVar("_T")


class DaskEngine:
    """Trains trials on whatever workers join the study.

    A submitted trial is in `_in_flight`, from when it is sent to a worker until that answers or is lost, or in `_unplaced`: it waits
    for a worker with the time for it, its worker was lost or left, or it is of an earlier master. Of the unplaced, `wait` tells those
    with a result, leaves alone those that somebody trains, and sends the others out again.

    Args:
        study: whose trials they are.
        term: of this master.
        ip: the address to listen at.
        needs_s: seconds that a trial is expected to take, or None; a worker with less time left gets it only if it hands over.
        say: told what people should know.
    """

    def __init__(
        self,
        study: StudyDir,
        *,
        term: int,
        needs_s: Callable[[Trial], float | None],
        say: Callable[[str], None],
        ip: str = LOOPBACK,
    ) -> None:
        self._study = study
        self._term = term
        self._ip = ip
        self._needs_s = needs_s
        self._say = say
        self._answers: queue.Queue[tuple[Trial, str | None, str]] = queue.Queue()
        self._in_flight: dict[str, str] = {}
        """Trial -> address of the worker that it was sent to."""
        self._retired: set[str] = set()
        """Addresses of workers that take nothing more."""
        self._runs: dict[str, Future[None]] = {}
        self._unplaced: dict[str, Trial] = {}
        """Trials by id that were sent to no worker, or whose worker gave no answer."""
        self._begun: dict[str, int] = {}
        """Attempts at a trial when it was sent out."""
        self._waiting: set[str] = set()
        """Trials of which it was said that no worker has the time for them."""
        self._lost: dict[str, str] = {}
        """What was said instead of an answer, by trial; no death yet: its training may go on without us."""
        self._deaths: dict[str, list[str]] = {}
        """The same, of trials that had to be started again."""

    def __enter__(self) -> Self:
        configure()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="scheduler", daemon=True)
        self._thread.start()
        try:
            self._call(self._open())
        except OSError as e:
            why = str(e) or f"no answer for {_CALL_S:g} s"
            raise BohbNasError(f"no master can listen at {self._ip}: {why}; run the same command again, or --listen elsewhere") from e
        self._address = Address(self._study, self._scheduler.address, self._term)
        return self

    def live(self) -> None:
        """Says that this master lives; to be called a few times a second."""
        self._address.live()

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        self._address.withdraw()
        with suppress(TimeoutError):  # what counts is on the disk
            self._call(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(timeout=10)
        if not self._thread.is_alive():  # else it is stuck in something that will not end
            self._loop.close()

    def joined(self) -> list[str]:
        """The names of the workers that have joined."""
        return [str(state.extra.get("worker")) for state in list(dict.values(self._scheduler.workers))]

    def free(self) -> int:
        """How many joined workers have nothing to do, beside those that trials without a worker wait for."""
        waiting = sum(not self._in_training(trial) for trial in self._unplaced.values())
        return max(0, min(len(self._free()), _PATIENCE * len(self._free()) - waiting))

    def submit(self, trial: Trial) -> None:
        """Sends a trial to a worker; where none has the time for it, it waits for one."""
        free = {address: {**state.extra, "behind_s": state.time_delay} for address, state in self._free().items()}
        address = fittest(free, needs_s=self._needs_s(trial), now=time.time())
        if address is None:
            if free and trial.trial_id not in self._waiting:
                self._waiting.add(trial.trial_id)
                self._say(f"trial {trial.trial_id} waits: no free worker ({len(free)}) has the time for it, nor can hand it over")
            self._unplaced[trial.trial_id] = trial
            return
        self._in_flight[trial.trial_id] = address
        self._begun[trial.trial_id] = len(self._study.attempts(trial.trial_id))
        self._runs[trial.trial_id] = asyncio.run_coroutine_threadsafe(self._run(trial, address), self._loop)

    def _free(self) -> dict[str, WorkerState]:
        joined = list(dict.items(self._scheduler.workers))  # at once: the scheduler's own thread changes it
        self._retired &= {address for address, _ in joined}  # one that has left may leave its address to another
        busy = {*self._in_flight.values(), *self._retired}
        return {address: state for address, state in joined if address not in busy and state.status is WorkerStatus.running}

    def adopt(self, trial: Trial) -> None:
        """Takes charge of a trial of an earlier master; `wait` finds out what became of it."""
        self._unplaced[trial.trial_id] = trial

    def wait(self, timeout_s: float) -> list[Result]:
        """Results that have arrived; waits at most `timeout_s` for the first."""
        results = self._look_after_unplaced()
        try:
            while True:
                trial, answer, problem = self._answers.get(block=not results, timeout=timeout_s)
                self._take(trial, answer, problem, results)
                if trial.trial_id in self._unplaced:
                    results.extend(self._look_after_unplaced())
                    timeout_s = 0.0
        except queue.Empty:
            return results

    def _take(self, trial: Trial, answer: str | None, problem: str, results: list[Result]) -> None:
        """Takes an answer in, or that there was none."""
        address = self._in_flight.pop(trial.trial_id)
        del self._runs[trial.trial_id]
        result = Result.from_json(json.loads(answer)) if answer is not None else None
        if result is not None and result.status is not Status.PREEMPTED:
            results.append(result)
            return
        self._unplaced[trial.trial_id] = trial
        if result is not None:  # the worker leaves: what it has trained lies in the trial's folder
            self._retired.add(address)
            self._say(f"trial {trial.trial_id} goes to another worker: {first_line(result.message)}")
        elif problem:
            self._lost[trial.trial_id] = problem

    def _look_after_unplaced(self) -> list[Result]:
        """Tells the finished of the unplaced, leaves those in training alone, sends the others out again."""
        results = []
        for trial in list(self._unplaced.values()):
            evaluation = self._study.read_result(trial, say=self._say)
            if evaluation is not None:
                results.append(evaluation.result)
            elif self._in_training(trial):
                continue
            else:
                self._count_death(trial)
                if (message := self._given_up(trial)) is not None:
                    results.append(Result(trial_id=trial.trial_id, status=Status.CRASHED, loss=None, train_s=0.0, message=message))
                    handovers.drop(self._study, trial.trial_id)
                elif not self._sent_out(trial):
                    continue
            del self._unplaced[trial.trial_id]
        return results

    def _count_death(self, trial: Trial) -> None:
        """Nobody trains a trial that was lost: its worker died, unless it had left in good order, or never begun."""
        handovers.mark_killed(self._study, trial.trial_id)
        problem = self._lost.pop(trial.trial_id, None)
        begun = len(self._study.attempts(trial.trial_id)) > self._begun.get(trial.trial_id, 0)
        if problem is not None and begun and not handovers.was_left(self._study, trial.trial_id):
            self._deaths.setdefault(trial.trial_id, []).append(problem)

    def _given_up(self, trial: Trial) -> str | None:
        """Why a trial is not sent out once more."""
        deaths = self._deaths.get(trial.trial_id, [])
        if len(deaths) >= MAX_DEATHS:
            return f"lost {MAX_DEATHS} times while it was trained; last: {deaths[-1]}"
        if handovers.cuts(self._study, trial) >= MAX_CUTS:
            return f"{MAX_CUTS} workers had to leave before it was trained, and nothing of it can be handed over; give workers more time"
        if handovers.kills(self._study, trial) >= MAX_CUTS:
            return f"{MAX_CUTS} workers were killed while they trained it, and left nothing to go on from; give them more memory or time"
        return None

    def _sent_out(self, trial: Trial) -> bool:
        """Sends an unplaced trial to a worker, if one has the time for it."""
        self.submit(trial)
        if trial.trial_id not in self._in_flight:
            return False
        if handovers.was_left(self._study, trial.trial_id):
            self._say(f"trial {trial.trial_id} is taken up again")
        elif self._study.attempts(trial.trial_id):
            self._say(f"trial {trial.trial_id} is started again: nobody trains it any more")
        return True

    def _in_training(self, trial: Trial) -> bool:
        """Whether somebody trains the trial: a fresh heartbeat and, where this machine has locks, the same worker at its device.

        Its age is taken from the file that this master itself touches several times a second: both times are the server's.
        """
        note = read_note(self._study.heartbeat(trial.trial_id))
        beaten = _touched(self._study.heartbeat(trial.trial_id))
        now = _touched(self._study.scheduler_json) or time.time()
        if not note or beaten is None or now - beaten >= STALE_S:
            return False
        return note.get("host") != host() or holders.may_live(self._study, note)

    async def _run(self, trial: Trial, address: str) -> None:
        """Has a worker train a trial; puts its answer on the queue, or None and, when the worker was lost, how."""
        key, answer, problem = f"{trial.trial_id}-{self._term}-{time.time_ns()}", None, ""
        payload = dump_json(trial.to_json())
        future = self._client.submit(serve.train, payload, key=key, workers=[address], resources={"trial": 1}, pure=False, retries=0)
        answered, gone = asyncio.ensure_future(future.result()), asyncio.ensure_future(self._departure(address))
        try:
            await asyncio.wait({answered, gone}, return_when=asyncio.FIRST_COMPLETED)
            if answered.done():
                answer = answered.result()
            else:
                problem = "its worker has gone"
        except StartError as e:
            self._say(f"no answer for trial {trial.trial_id}: {str(e)[:1000]}")
        except (Exception, asyncio.CancelledError) as e:  # noqa: BLE001 (a lost worker, a lost connection: all mean "no answer")
            problem = f"{type(e).__name__}: {str(e)[:300]}"
        finally:
            answered.cancel()
            gone.cancel()
            future.release()
        if problem and self._client.status not in ("closing", "closed"):  # else this master leaves, and cancels it by that
            self._say(f"no answer for trial {trial.trial_id}: {problem}")
        self._answers.put((trial, answer, problem))

    async def _departure(self, address: str) -> None:
        """Waits until a worker has gone, and a moment longer for its last answer: dask would wait for it to come back."""
        while address in self._scheduler.workers:
            await asyncio.sleep(_LOOK_S)
        await asyncio.sleep(_LAST_S)

    async def _open(self) -> None:
        credentials = tried_security(self._study)
        self._scheduler = Scheduler(
            protocol="tls", host=self._ip, port=0, security=credentials, dashboard=False, dashboard_address="127.0.0.1:0"
        )
        await self._scheduler
        self._client = await Client(self._scheduler.address, security=credentials, asynchronous=True, set_as_default=False)

    async def _close(self) -> None:
        await self._client.close(timeout=2)
        await self._scheduler.close()
        await asyncio.sleep(_SETTLE_S)

    def _call(self, work: Coroutine[Any, Any, _T]) -> _T:
        done: Future[_T] = asyncio.run_coroutine_threadsafe(work, self._loop)
        return done.result(timeout=_CALL_S)


def _touched(path: Path) -> float | None:
    try:
        return path.stat().st_mtime
    except OSError:
        return None
