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

import bohb_nas
from bohb_nas.engine import beforehand, election, launch
from bohb_nas.engine.checkpoints import Checkpoints
from bohb_nas.engine.cluster import listening_ip
from bohb_nas.engine.dask_engine import DaskEngine
from bohb_nas.engine.devices import Device, check_kind
from bohb_nas.engine.drive import Drive, Outcome, Pace, Wish, replay
from bohb_nas.engine.election import Seat, choose_lock, leading
from bohb_nas.engine.local_workers import LocalWorkers
from bohb_nas.engine.plan import Request, plan
from bohb_nas.engine.view import Display, View
from bohb_nas.errors import StorageError, StudyError, StudyHeldError
from bohb_nas.files import write_atomic
from bohb_nas.knowledge import Knowledge
from bohb_nas.methods import Method
from bohb_nas.store.frozen import recall
from bohb_nas.store.journal import Event, Journal, State, fold, repair
from bohb_nas.store.notes import read_note
from bohb_nas.store.study_dir import StudyDir


def stand_by(path: Path, request: Request, display: Display, *, gone: Callable[[], bool]) -> tuple[Outcome, State] | None:
    """Waits, with everything checked and loaded, until nobody leads an existing study, and then leads it without workers of its own.

    Args:
        path: of the study.
        request: what may differ from it.
        display: told what people should know.
        gone: whether to give up: the worker that started this process has ended.

    Returns:
        What `lead` does; None where it was never this process's turn.

    Raises:
        UsageError, StorageError: see `lead`.
    """
    study = StudyDir(path.absolute())
    study.check_access()
    _existing(study, request, display, n_workers=1)
    if not election.stand_by(study, gone):
        return None
    return lead(path, request, [], display, checked=True, gone=gone)


def lead(
    path: Path,
    request: Request,
    devices: list[Device],
    display: Display,
    *,
    checked: bool = False,
    gone: Callable[[], bool] = lambda: False,
) -> tuple[Outcome, State]:
    """Runs the search that `request` describes in a study directory, or resumes it there.

    Args:
        path: of the study.
        request: what is searched, and how.
        devices: on which to keep workers.
        display: shows what happens.
        checked: whether data and worker have been looked at by this process already.
        gone: whether to stop at once, asked a few times a second.

    Raises:
        UsageError: what was asked cannot be done; nothing was written.
        StudyHeldError: somebody leads the study already.
        StorageError: the disk refused a write; everything recorded so far is kept.
    """
    study = StudyDir(path.absolute())
    with _opened(study, request, display, n_workers=max(1, len(devices)), checked=checked) as opened:
        meta, parts, knowledge, optimizer = opened.meta, opened.parts, opened.knowledge, opened.optimizer
        ip = listening_ip(meta["listen"])
        for device in devices:
            check_kind(study, device, required=meta["require_same_gpu"])
        state = fold(study.journal)
        if _finished(study, meta, state):
            return Outcome.FINISHED, state
        beforehand.check_told(knowledge, state)
        replay(optimizer, state)
        # Nothing was written so far: from here on the study is ours.
        launch.keep(study, {**meta, "worth": parts.worth, "lock": "lease" if opened.seat.number else "kernel"})
        if note := repair(study.journal):
            display.say(note)
        if state.trials:
            display.say(f"resuming {path}: {len(state.results)} evaluations finished, {len(state.pending)} to be taken up again")
        journal = Journal(study.journal, state, check=opened.seat.check)
        until = last_alive(study)
        study.scheduler_json.unlink(missing_ok=True)  # nobody is there: workers need not try
        journal.lead(Event(term=max(state.term + 1, opened.seat.number), time=time.time(), until=until))
        study.done.unlink(missing_ok=True)
        pace = Pace(state, in_seconds=parts.stop.in_seconds)
        with _signals() as wish, DaskEngine(study, term=state.term, ip=ip, needs_s=pace.needs_s, say=display.say) as engine:
            workers = LocalWorkers(study, devices, say=display.say)

            def tick() -> None:
                opened.seat.check()
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
                knowledge=knowledge,
                continue_promoted=continued,
                checkpoints=Checkpoints(
                    study,
                    state,
                    continue_promoted=continued,
                    promotable=getattr(optimizer, "promotable", None),
                    n_rungs=len(parts.budgets.rungs),
                ),
                clock=time.time,
                wish=lambda: Wish.STOP if gone() else wish(),
                notice=display.event,
                tick=tick,
            )
            try:
                with display.watch(View(study=study, meta=meta, state=state, n_workers=engine.n_workers, worth=parts.worth)):
                    outcome = loop.run()
            except (StorageError, StudyHeldError):
                raise  # the workers keep what they finish and wait for the next master
            except BaseException:
                workers.stop()
                raise
            if outcome is Outcome.FINISHED:
                opened.seat.check()
                write_atomic(study.done, json.dumps({"time": time.time(), "stop": meta["stop"]}) + "\n")
                workers.wait(5.0)
            workers.stop()
    return outcome, state


def prepare(path: Path, request: Request, display: Display) -> bool:
    """Makes the study that `request` describes, or takes an existing one, and leaves leading it to its workers.

    Returns:
        Whether anything is left to do in it.

    Raises:
        UsageError: what was asked cannot be done; nothing was written.
        StudyHeldError: somebody leads the study, and what was asked would change it.
        StorageError: the disk refused a write.
    """
    study = StudyDir(path.absolute())
    try:
        with _opened(study, request, display, n_workers=1, checked=False) as opened:
            state = fold(study.journal)
            if _finished(study, opened.meta, state):
                return False
            beforehand.check_told(opened.knowledge, state)
            replay(opened.optimizer, state)
            launch.keep(study, {**opened.meta, "worth": opened.parts.worth})
            study.done.unlink(missing_ok=True)  # of an earlier stop rule: workers would take it for today's
    except StudyHeldError as e:
        asked, stored = launch.reopen(study, request)[0], study.read_meta()
        if changed := [name for name, value in asked.items() if stored.get(name) != value]:
            raise StudyHeldError(f"{e}; its {', '.join(changed)} cannot change meanwhile: ask for what it has, or stop the master") from e
    return True


def _finished(study: StudyDir, meta: dict[str, Any], state: State) -> bool:
    """Whether the study has ended under the stop rule that holds now."""
    if state.pending or not study.done.exists():
        return False
    return bool(read_note(study.done).get("stop") == meta["stop"])


def last_alive(study: StudyDir) -> float | None:
    """When the master before us was last known to live: it touches its address a few times a second."""
    return study.scheduler_json.stat().st_mtime if study.scheduler_json.exists() else None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Made:
    """A study that may be led."""

    meta: dict[str, Any]
    parts: launch.Parts
    knowledge: Knowledge
    optimizer: Method
    """Fresh: nothing is replayed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Opened(_Made):
    """A study that this process leads."""

    seat: Seat


@contextmanager
def _opened(study: StudyDir, request: Request, display: Display, *, n_workers: int, checked: bool) -> Iterator[_Opened]:
    """Holds the study's lock around a new or resumed study, checked before anything is written."""
    make = None
    if not study.exists():
        make = _new(study, request, display, n_workers=n_workers)
        study.make()
        if make.meta["lock"] == "lease":
            study.leases.mkdir(mode=0o700, exist_ok=True)
    else:
        study.check_access()
        if request.lock is not None:
            _change_lock(study, request.lock)
    with leading(study, lasts_s=request.lease_s, say=display.say) as seat:
        if make is not None and not study.exists():
            launch.create(study, make.meta, make.parts.space, make.knowledge)
        else:
            make = _existing(study, request, display, n_workers=n_workers, checked=checked)
        yield _Opened(meta=make.meta, parts=make.parts, knowledge=make.knowledge, optimizer=make.optimizer, seat=seat)


def _change_lock(study: StudyDir, asked: str) -> None:
    """Puts leases in the place of a study's lock, while nobody leads.

    Raises:
        StudyHeldError: somebody does.
        StudyError: it has leases already, and the lock is asked for.
    """
    if asked == "kernel" and study.leases.is_dir():
        raise StudyError(f"--lock kernel: the masters of {study.path} use leases, and a stopped one might come back; leave --lock out")
    if asked == "lease" and not study.leases.is_dir():
        with leading(study):
            study.leases.mkdir(mode=0o700, exist_ok=True)


def _new(study: StudyDir, request: Request, display: Display, *, n_workers: int) -> _Made:
    meta = plan(request)
    listening_ip(meta["listen"])
    meta["lock"], why = choose_lock(study, said=request.lock, listen=meta["listen"])
    if why is not None:
        display.say(f"{why}; masters of this study keep each other out by a lease")
    space = launch.new_space(meta)
    parts = launch.build(meta, space)
    known, notes = beforehand.gather(meta, space, own=study.path)
    checked, data = launch.check(meta, space)
    if data is not None:
        meta["data_fingerprint"] = data.fingerprint
    known = beforehand.with_size(known, meta, inputs=study.inputs, data=data)
    known, found = beforehand.check_constraints(known, space, bounded=request.sizes_bounded)
    for note in [*checked, *notes, *found]:
        display.say(note)
    return _Made(meta=meta, parts=parts, knowledge=known, optimizer=_optimizer(meta, parts, known, n_workers=n_workers))


def _existing(study: StudyDir, request: Request, display: Display, *, n_workers: int, checked: bool = False) -> _Made:
    meta, space = launch.reopen(study, request)
    parts = launch.build(meta, space)
    known = recall(study, meta.get("frozen") or {})
    notes, data = launch.check(meta, space, ask_worker=not checked)
    for note in notes if not checked else ():
        display.say(note)
    known = beforehand.with_size(known, meta, inputs=study.inputs, data=data)
    return _Made(meta=meta, parts=parts, knowledge=known, optimizer=_optimizer(meta, parts, known, n_workers=n_workers))


def _optimizer(meta: dict[str, Any], parts: launch.Parts, knowledge: Knowledge, *, n_workers: int) -> Method:
    return bohb_nas.make_optimizer(
        meta["method"],
        space=parts.space,
        budgets=parts.budgets,
        seed=meta["seed"],
        n_workers=n_workers,
        options=parts.method_options,
        knowledge=knowledge,
    )


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
