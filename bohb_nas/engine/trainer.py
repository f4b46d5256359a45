"""One device's trainer: keeps a training child alive, hands it trials, and writes each result before it answers.

It belongs to the worker program, not to dask: when a master is lost, a trial in training goes on to its result file.
"""

import asyncio
import json
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from bohb_nas import standstill
from bohb_nas.engine import absence, heartbeat
from bohb_nas.engine.devices import Device, host
from bohb_nas.engine.training_process import TrainingProcess, hard_limit, options_of
from bohb_nas.errors import JournalError, StartError, StorageError, StudyError
from bohb_nas.files import Refusals, write_atomic
from bohb_nas.records import Evaluation, Result, Status, Trial
from bohb_nas.store import handovers
from bohb_nas.store.inputs import changed_inputs, remedy
from bohb_nas.store.notes import tail
from bohb_nas.store.study_dir import LOG, StudyDir

_LATE_S = 1.0
"""Between a scheduler's signal to one process of a job and to another."""
_TAIL_BYTES = 2000
_STARTED_WITH = ("inputs", "worker_options", "hard_limit_s")
"""What may change in the record of a study and decides how a trial is trained."""


class Trainer:
    """Trains one trial at a time in a child process.

    Args:
        study: whose trials they are.
        meta: its record; the worker may be another than the study's.
        device: where it trains.
        say: told of what goes wrong meanwhile.
        options: of the worker, in place of the study's.
        gone: whether the study is no longer there, so that a result has no place.
    """

    def __init__(
        self,
        study: StudyDir,
        meta: dict[str, Any],
        *,
        device: Device,
        say: Callable[[str], None],
        options: dict[str, Any] | None = None,
        gone: Callable[[], bool] = lambda: False,
    ) -> None:
        self._study = study
        self._meta = meta
        self._device = device
        self._say = say
        self._options = options
        self._gone = gone
        self._child: TrainingProcess | None = None
        self._record: dict[str, Any] = {}
        """The study's record when the child was started, with the worker that it has."""
        self._jobs: dict[str, asyncio.Task[Result]] = {}
        self._idle_since: float | None = None
        self._storing: set[str] = set()
        """Trials that are finished and not on the disk yet."""
        self._killed = False
        """Whether the last attempt's child ended by a SIGKILL that was not sent here."""
        self._leaving: str | None = None
        """Why nothing new is trained, once that is so."""
        self.hands_over = False
        """Whether the worker can stop in the middle of a trial so that another goes on from there; known once it has started."""
        self.unfit: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        """Why nothing can be trained here any more, once that is so."""

    def train(self, trial: Trial) -> "asyncio.Task[Result]":
        """Trains a trial, or joins its training when that is already under way."""
        job = self._jobs.get(trial.trial_id)
        if job is None or job.done():
            self._jobs = {i: j for i, j in self._jobs.items() if not j.done()}
            job = self._jobs[trial.trial_id] = asyncio.create_task(self._train(trial))
        return job

    @property
    def busy(self) -> bool:
        """Whether a trial is in training."""
        return any(not job.done() for job in self._jobs.values())

    async def hand_over(self, why: str, *, grace_s: float) -> bool:
        """Trains nothing new from here on, and has what is in training left to another, as far as that can be done in `grace_s` seconds.

        Returns:
            Whether nothing is in training any more.
        """
        self._leaving = why
        asked = self._child is not None and self._child.ask_to_leave()
        if asked or self._storing:
            with suppress(TimeoutError):
                await asyncio.wait_for(asyncio.shield(self.finish()), grace_s)
        return not self.busy

    async def finish(self) -> None:
        """Waits until nothing is in training any more."""
        await asyncio.gather(*self._jobs.values(), return_exceptions=True)

    async def start(self) -> None:
        """Starts the child and waits until it is ready for a trial; anew where the study's record says otherwise since.

        Raises:
            StartError: it cannot be made ready; the text says why.
        """
        if self._child is not None and self._child.living and not self._outdated():
            return
        await self._end_child()
        meta = self._study.read_meta()
        if changed := changed_inputs(meta):
            how = remedy(self._study, meta, accept="stop the run and resume it with --accept-changed-inputs")
            raise StartError(f"files of this study have changed while it ran: {', '.join(changed)}; {how}")
        meta["worker"] = self._meta["worker"]
        self._record = meta
        self._child = await TrainingProcess.start(meta, options_of(meta, self._options, space_json=self._study.space_json))
        self.hands_over = self._child.hands_over

    def _outdated(self) -> bool:
        """Whether whoever resumed the study changed what a child is started with since; not while its record cannot be read."""
        try:
            now = self._study.read_meta()
            return any(now.get(name) != self._record.get(name) for name in _STARTED_WITH)
        except (StudyError, JournalError):
            return False

    async def stop(self) -> None:
        """Ends whatever is in training at once and for good: it has no result, and is asked again elsewhere.

        What is finished and only waits for the disk is waited for.
        """
        for trial_id, job in self._jobs.items():
            if trial_id not in self._storing:
                job.cancel()
        await self.finish()
        await self._end_child()

    async def _end_child(self) -> None:
        child, self._child = self._child, None
        if child is not None:
            await child.end()

    async def _train(self, trial: Trial) -> Result:
        """Trains a trial; once more when its process was killed from outside, which need not be the trial's fault.

        Raises:
            StartError: nothing can be trained here, this trial or another.
        """
        killed = False
        try:
            while True:
                self._study.check_same(self._meta)
                if (known := self._study.read_result(trial, say=self._say)) is not None:
                    return known.result
                if self._leaving is not None:
                    return Result(trial_id=trial.trial_id, status=Status.PREEMPTED, loss=None, train_s=0.0, message=self._leaving)
                if (result := await self._train_once(trial, last=killed)) is not None:
                    return result
                killed = killed or self._killed
        except (OSError, StorageError, StudyError) as e:  # the study's disk: no trial's fault
            self._give_up(str(e))
            raise StartError(str(e)) from e
        except StartError as e:
            self._give_up(str(e))
            raise

    def _give_up(self, why: str) -> None:
        if not self.unfit.done():
            self.unfit.set_result(why)

    async def _train_once(self, trial: Trial, *, last: bool) -> Result | None:
        """One attempt at a trial; None where one more has to follow: its process alone was asked to leave, or killed for the first time."""
        workdir = self._study.new_attempt(trial.trial_id)
        handovers.sign(trial, workdir)
        handovers.link(self._study, trial, workdir)
        behind_s = handovers.behind_s(trial, workdir)
        heart, attempt = self._study.heartbeat(trial.trial_id), int(workdir.name)
        beat = heartbeat.beat(heart, trial_id=trial.trial_id, attempt=attempt, device=self._device, say=self._say)
        beating = asyncio.create_task(beat)
        try:
            await asyncio.sleep(0)  # the first beat: whoever is killed with its training is missed by it
            await self.start()
            began, stood_s = time.time(), standstill.stood_s()
            idle_s = began - self._idle_since if self._idle_since is not None else None
            result = await self._attempt(trial, workdir)
            if result.status in (Status.PREEMPTED, Status.CRASHED) and await self._leaves_soon():
                return self._left(result, workdir)
            if result.status is Status.PREEMPTED or (self._killed and not last):
                what = "alone was asked to leave" if result.status is Status.PREEMPTED else "was killed from outside"
                self._say(f"the training process of trial {trial.trial_id} {what}; it is tried once more")
                return None
            place = {"host": host(), "device": self._device.name, "attempt": attempt, **self._device.about()}
            times = {"began": began, "ended": time.time(), "idle_s": idle_s, "stood_s": standstill.stood_s() - stood_s}
            if behind_s and result.status in (Status.OK, Status.DIVERGED):  # else its seconds are those of what failed
                times["behind_s"] = behind_s
            result = replace(result, details={**result.details, "engine": place | times})
            self._storing.add(trial.trial_id)
            try:
                result = await self._store(Evaluation(trial=trial, result=result))
            finally:
                self._storing.discard(trial.trial_id)
            self._idle_since = time.time()
            handovers.drop(self._study, trial.trial_id)
            return result
        except asyncio.CancelledError:
            if self._leaving is not None:
                self._left(Result(trial_id=trial.trial_id, status=Status.PREEMPTED, loss=None, train_s=0.0), workdir)
            raise
        finally:
            beating.cancel()
            heartbeat.end(heart, attempt=attempt)

    async def _leaves_soon(self) -> bool:
        """Whether this program is to leave: the signal that says so may have ended what the trial had started, and come here later."""
        deadline = time.monotonic() + _LATE_S
        while self._leaving is None and time.monotonic() < deadline:
            await asyncio.sleep(0.05)
        return self._leaving is not None

    def _left(self, result: Result, workdir: Path) -> Result:
        """Records that a trial was left in good order, before its heart stops beating.

        One that crashed while this program leaves need not have crashed by itself: a cluster sends its signals to all processes of a job.
        """
        message = f"{self._leaving}; {result.train_s:.3g} s of it are trained"
        note = {"why": self._leaving, "train_s": result.train_s, "time": time.time()}
        try:
            write_atomic(handovers.left(workdir), json.dumps(note) + "\n")
        except StorageError as e:
            self._say(str(e))
        return Result(trial_id=result.trial_id, status=Status.PREEMPTED, loss=None, train_s=result.train_s, message=message)

    async def _attempt(self, trial: Trial, workdir: Path) -> Result:
        child = self._child
        assert child is not None
        began, self._killed = standstill.now(), False
        earlier = [str(attempt) for attempt in self._study.attempts(trial.trial_id)[:-1]]
        request = {"trial": trial.to_json(), "workdir": str(workdir), "earlier": earlier}
        limit_s = hard_limit(trial.budget, self._record)
        try:
            answer = await child.ask(request, limit_s=limit_s)
        except TimeoutError:
            await self._end_child()
            status, message = Status.TIMED_OUT, f"killed after {limit_s:g} s, the hard limit of a budget of {trial.budget:g}"
        except ValueError as e:
            await self._end_child()
            status, message = Status.CRASHED, f"the training process answered what is no answer: {e}"
        else:
            if answer is None:
                self._killed = child.killed
                said = tail(workdir / LOG, _TAIL_BYTES) or ""
                status, message = Status.CRASHED, f"the training process ended with {child.end_text}\n{said}"
                await self._end_child()
            elif "error" in answer:
                raise StartError(answer["error"])
            else:
                result = Result.from_json(answer["result"])
                ours = result.trial_id == trial.trial_id
                if answer.get("spoilt") or not ours:
                    await self._end_child()
                if ours:
                    return result
                status = Status.CRASHED
                message = f"the training process answered for trial {result.trial_id}; a program that a worker forks has to end by itself"
        return Result(trial_id=trial.trial_id, status=status, loss=None, train_s=standstill.now() - began, message=message)

    async def _store(self, evaluation: Evaluation) -> Result:
        """Writes the result file, however long the disk refuses: a finished evaluation is never lost. Each reason is said once.

        Raises:
            StudyError: another study stands in the place of the evaluation's, or it is gone.
        """
        refusals = Refusals(self._say)
        while True:
            self._study.check_same(self._meta)
            try:
                if self._study.write_result(evaluation):
                    return evaluation.result
                stored = self._study.read_result(evaluation.trial, say=self._say)
                if stored is not None:
                    return stored.result
            except StorageError as e:
                if self._gone():
                    raise StudyError(absence.text(self._study)) from e
                await asyncio.sleep(refusals.heed(e))
