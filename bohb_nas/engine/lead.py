"""Leads a study from its lock to its end: repair, replay, scheduler, workers, loop."""

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from ConfigSpace import ConfigurationSpace

import bohb_nas
from bohb_nas.engine import launch
from bohb_nas.engine.checkpoints import Checkpoints
from bohb_nas.engine.dask_engine import DaskEngine
from bohb_nas.engine.devices import Device, host
from bohb_nas.engine.drive import Drive, Outcome, Wish, replay
from bohb_nas.engine.local_workers import LocalWorkers
from bohb_nas.engine.plan import Request, plan
from bohb_nas.errors import StorageError, StudyError, StudyHeldError
from bohb_nas.files import Lock, write_atomic
from bohb_nas.store.journal import Event, Journal, State, fold, repair
from bohb_nas.store.study_dir import StudyDir


@dataclass(slots=True, kw_only=True)
class View:
    """What a display may show of a running study."""

    study: StudyDir
    meta: dict[str, Any]
    state: State
    n_workers: Callable[[], int]
    worth: float | None
    """Sum of the budgets after which the search ends, where that is known."""


class Display:
    """What shows a running study to people; this one shows nothing."""

    def say(self, text: str) -> None:
        """A sentence for people."""

    @contextmanager
    def watch(self, view: View) -> Iterator[None]:
        """Shows a study while the block runs."""
        yield

    def event(self, event: Event) -> None:
        """A new line of the journal."""

    def tick(self) -> None:
        """Time has passed."""


def lead(path: Path, request: Request, devices: list[Device], display: Display) -> tuple[Outcome, State]:
    """Runs the search that `request` describes in a study directory, or resumes it there.

    Raises:
        UsageError: what was asked cannot be done; nothing was written.
        StudyHeldError: somebody leads the study already.
        StorageError: the disk refused a write; everything recorded so far is kept.
    """
    study = StudyDir(path.absolute())
    with _opened(study, request, display) as (meta, parts):
        state = fold(study.journal)
        if _finished(study, meta, state):
            return Outcome.FINISHED, state
        optimizer = bohb_nas.make_optimizer(
            meta["method"],
            space=parts.space,
            budgets=parts.budgets,
            seed=meta["seed"],
            n_workers=max(1, len(devices)),
            options=parts.method_options,
        )
        replay(optimizer, state)
        # Nothing was written so far: from here on the study is ours.
        launch.keep(study, {**meta, "worth": parts.worth})
        if note := repair(study.journal):
            display.say(note)
        if state.trials:
            display.say(f"resuming {path}: {len(state.results)} evaluations finished, {len(state.pending)} to be taken up again")
        journal = Journal(study.journal, state)
        journal.write(Event(term=state.term + 1, time=time.time(), until=_last_alive(study)))
        study.done.unlink(missing_ok=True)
        with _signals() as wish, DaskEngine(study, term=state.term, say=display.say) as engine:
            workers = LocalWorkers(study, devices, say=display.say)

            def tick() -> None:
                with suppress(OSError):  # only tells a later master how long this one lived
                    os.utime(study.scheduler_json)
                workers.check()
                display.tick()

            continued = meta["promote"] == "continue"
            loop = Drive(
                optimizer=optimizer,
                engine=engine,
                journal=journal,
                stop=parts.stop,
                budgets=parts.budgets,
                continue_promoted=continued,
                checkpoints=Checkpoints(
                    study,
                    state,
                    continue_promoted=continued,
                    promotable=getattr(optimizer, "promotable", None),
                    n_rungs=len(parts.budgets.rungs),
                ),
                clock=time.time,
                wish=wish,
                notice=display.event,
                tick=tick,
            )
            try:
                with display.watch(View(study=study, meta=meta, state=state, n_workers=engine.n_workers, worth=parts.worth)):
                    outcome = loop.run()
            except StorageError:
                raise  # the workers keep what they finish and wait for the next master
            except BaseException:
                workers.stop()
                raise
            if outcome is Outcome.FINISHED:
                write_atomic(study.done, json.dumps({"time": time.time(), "stop": meta["stop"]}) + "\n")
                workers.wait(5.0)
            workers.stop()
    return outcome, state


def _finished(study: StudyDir, meta: dict[str, Any], state: State) -> bool:
    """Whether the study has ended under the stop rule that holds now."""
    if state.pending or not study.done.exists():
        return False
    try:
        return bool(json.loads(study.done.read_text())["stop"] == meta["stop"])
    except (ValueError, KeyError, TypeError):
        return False


def _last_alive(study: StudyDir) -> float | None:
    """When the master before us was last known to live: it touches its address a few times a second."""
    return study.scheduler_json.stat().st_mtime if study.scheduler_json.exists() else None


@contextmanager
def _opened(study: StudyDir, request: Request, display: Display) -> Iterator[tuple[dict[str, Any], launch.Parts]]:
    """Holds the study's lock around a new or resumed study, checked before anything is written."""
    fresh = not study.exists()
    if fresh:
        meta = plan(request)
        space = launch.new_space(meta)
        parts = launch.build(meta, space)
        meta["data_fingerprint"] = _check(meta, space, display)
        study.make()
    else:
        study.check_access()
    with _leading(study):
        if fresh and not study.exists():
            launch.create(study, meta, space)
        else:
            meta, space = launch.reopen(study, request)
            parts = launch.build(meta, space)
            _check(meta, space, display)
        yield meta, parts


def _check(meta: dict[str, Any], space: ConfigurationSpace, display: Display) -> str | None:
    notes, fingerprint = launch.check(meta, space)
    for note in notes:
        display.say(note)
    return fingerprint


@contextmanager
def _leading(study: StudyDir) -> Iterator[None]:
    lock = Lock(study.master_lock)
    try:
        taken = lock.acquire(json.dumps({"host": host(), "pid": os.getpid(), "since": time.time()}))
    except StorageError as e:
        raise StudyError(str(e)) from e
    if not taken:
        master = study.master() or {}
        raise StudyHeldError(
            f"{study.path} is led by a living master (pid {master.get('pid', '?')} on {master.get('host', '?')}); "
            f"`bohb-nas worker {study.path}` joins it, `bohb-nas status {study.path}` shows it"
        )
    with lock:
        yield


@contextmanager
def _signals() -> Iterator[Callable[[], Wish]]:
    """Ctrl-C once: drain; twice, or SIGTERM: stop."""
    wishes = [Wish.GO_ON]

    def interrupt(number: int, frame: FrameType | None) -> None:
        del frame
        wishes[0] = Wish.DRAIN if number == signal.SIGINT and wishes[0] is Wish.GO_ON else Wish.STOP

    earlier = {n: signal.signal(n, interrupt) for n in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: wishes[0]
    finally:
        for number, handler in earlier.items():
            signal.signal(number, handler)
