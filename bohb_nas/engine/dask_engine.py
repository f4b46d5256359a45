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
from types import TracebackType
from typing import Any, Self, TypeVar

from distributed import Client, Scheduler

from bohb_nas.engine import serve
from bohb_nas.engine.cluster import configure, publish, security
from bohb_nas.engine.devices import host
from bohb_nas.engine.trainer import StartError
from bohb_nas.files import dump_json
from bohb_nas.records import Result, Status, Trial
from bohb_nas.store.study_dir import StudyDir

STALE_S = 15.0
"""A heartbeat this old belongs to a worker that is gone."""

_SETTLE_S = 0.1
"""For the last timers of dask's streams, which run out within 10 ms and would complain of a loop that ended before them."""

MAX_DEATHS = 3
"""A trial whose worker program died so often is told as crashed."""

_T = TypeVar("_T")


class DaskEngine:
    """Trains trials on whatever workers join the study."""

    def __init__(self, study: StudyDir, *, term: int, say: Callable[[str], None]) -> None:
        self._study = study
        self._term = term
        self._say = say
        self._answers: queue.Queue[tuple[Trial, str | None, str]] = queue.Queue()
        self._in_flight: dict[str, Trial] = {}
        self._runs: dict[str, Future[None]] = {}
        self._orphans: dict[str, Trial] = {}
        self._deaths: dict[str, list[str]] = {}
        """What was said instead of an answer, by trial."""
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="scheduler", daemon=True)

    def __enter__(self) -> Self:
        configure()
        self._thread.start()
        self._call(self._open())
        publish(self._study, self._scheduler.address, self._term)
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        self._study.scheduler_json.unlink(missing_ok=True)
        self._call(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(timeout=10)
        self._loop.close()

    def n_workers(self) -> int:
        """How many workers have joined."""
        return len(self._scheduler.workers)

    def free(self) -> int:
        """How many joined workers have nothing to do."""
        return self.n_workers() - len(self._in_flight)

    def submit(self, trial: Trial) -> None:
        """Sends a trial to a worker."""
        self._in_flight[trial.trial_id] = trial
        self._runs[trial.trial_id] = asyncio.run_coroutine_threadsafe(self._run(trial), self._loop)

    def adopt(self, trial: Trial) -> None:
        """Takes charge of a trial of an earlier master; `wait` finds out what became of it."""
        self._orphans[trial.trial_id] = trial

    def wait(self, timeout_s: float) -> list[Result]:
        """Results that have arrived; waits at most `timeout_s` for the first."""
        results = self._look_after_orphans()
        try:
            while True:
                trial, answer, problem = self._answers.get(block=not results, timeout=timeout_s)
                del self._in_flight[trial.trial_id], self._runs[trial.trial_id]
                if answer is not None:
                    results.append(Result.from_json(json.loads(answer)))
                else:
                    self._orphans[trial.trial_id] = trial
                    if problem:
                        self._deaths.setdefault(trial.trial_id, []).append(problem)
                    results.extend(self._look_after_orphans())
                    timeout_s = 0.0
        except queue.Empty:
            return results

    def _look_after_orphans(self) -> list[Result]:
        """Tells finished orphans, leaves those in training alone, sends the others out again."""
        results = []
        for trial in list(self._orphans.values()):
            evaluation = self._study.read_result(trial)
            if evaluation is not None:
                results.append(evaluation.result)
            elif len(self._deaths.get(trial.trial_id, ())) >= MAX_DEATHS:
                message = f"lost {MAX_DEATHS} times while it was trained; last: {self._deaths[trial.trial_id][-1]}"
                results.append(Result(trial_id=trial.trial_id, status=Status.CRASHED, loss=None, train_s=0.0, message=message))
            elif self._in_training(trial) or self.free() < 1:
                continue
            else:
                self._say(f"trial {trial.trial_id} is started again: nobody trains it any more")
                self.submit(trial)
            del self._orphans[trial.trial_id]
        return results

    def _in_training(self, trial: Trial) -> bool:
        """Whether somebody trains the trial: a fresh heartbeat and, on this machine, the same worker still at its device."""
        path = self._study.heartbeat(trial.trial_id)
        try:
            age_s = time.time() - path.stat().st_mtime
            note = json.loads(path.read_text())
        except (FileNotFoundError, ValueError):
            return False
        if not isinstance(note, dict) or age_s >= STALE_S:
            return False
        return note.get("host") != host() or any(
            w.get("pid") == note.get("pid") and w.get("device") == note.get("device") for w in self._study.living_workers()
        )

    async def _run(self, trial: Trial) -> None:
        """Has one worker train a trial; puts its answer on the queue, or None and, when the worker was lost, how."""
        key = f"{trial.trial_id}-{self._term}-{time.time_ns()}"
        answer, problem = None, ""
        try:
            future = self._client.submit(serve.train, dump_json(trial.to_json()), key=key, resources={"trial": 1}, pure=False, retries=0)
            answer = await future
            future.release()
        except StartError as e:
            self._say(f"no answer for trial {trial.trial_id}: {str(e)[:1000]}")
        except Exception as e:  # noqa: BLE001 (a lost worker, a lost connection: all mean "no answer")
            problem = f"{type(e).__name__}: {str(e)[:300]}"
            self._say(f"no answer for trial {trial.trial_id}: {problem}")
        self._answers.put((trial, answer, problem))

    async def _open(self) -> None:
        credentials = security(self._study)
        self._scheduler = Scheduler(
            protocol="tls", host="127.0.0.1", port=0, security=credentials, dashboard=False, dashboard_address="127.0.0.1:0"
        )
        await self._scheduler
        self._client = await Client(self._scheduler.address, security=credentials, asynchronous=True, set_as_default=False)

    async def _close(self) -> None:
        await self._client.close(timeout=2)
        await self._scheduler.close()
        await asyncio.sleep(_SETTLE_S)

    def _call(self, work: Coroutine[Any, Any, _T]) -> _T:
        done: Future[_T] = asyncio.run_coroutine_threadsafe(work, self._loop)
        return done.result(timeout=60)
