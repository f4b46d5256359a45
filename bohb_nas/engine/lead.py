"""Leads a study from its lock to its end: repair, replay, scheduler, workers, loop."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

from bohb_nas.durations import counted, format_duration
from bohb_nas.engine import launch
from bohb_nas.engine.checkpoints import Checkpoints
from bohb_nas.engine.cluster import listening_ip, published
from bohb_nas.engine.dask_engine import DaskEngine
from bohb_nas.engine.devices import Device, check_kind, threads_spared
from bohb_nas.engine.drive import Drive, Wish
from bohb_nas.engine.election import Seat
from bohb_nas.engine.keys import make_keys
from bohb_nas.engine.local_workers import LocalWorkers
from bohb_nas.engine.opening import finished, open_study, take_back
from bohb_nas.engine.plan import Request
from bohb_nas.engine.probes import Probes
from bohb_nas.engine.view import Display, View
from bohb_nas.errors import StorageError, StudyHeldError, UsageError
from bohb_nas.files import storing
from bohb_nas.knowledge import Knowledge
from bohb_nas.one_shot_settings import SEARCHES
from bohb_nas.space.legality import complete
from bohb_nas.store import notes
from bohb_nas.store.journal import Event, Journal, State
from bohb_nas.store.lines import repair
from bohb_nas.store.meta import IMAGE_WORKERS
from bohb_nas.store.reading_ahead import Reading
from bohb_nas.store.study_dir import StudyDir


def lead(
    path: Path,
    request: Request,
    devices: list[Device],
    display: Display,
    *,
    elected: bool = False,
    listen: str | None = None,
    gone: Callable[[], bool] = lambda: False,
) -> tuple[bool, State]:
    """Runs the search that `request` describes in a study directory, or resumes it there.

    Args:
        path: of the study.
        request: what is searched, and how.
        devices: on which to keep workers.
        display: shows what happens.
        elected: whether this process stood by for an existing study: it has looked at data and worker, and others chose where to listen.
        listen: where this machine listens, if that is not what the study says for all.
        gone: whether to stop at once, asked a few times a second.

    Returns:
        Whether it is finished (see `Drive.run`), and its state.

    Raises:
        UsageError: what was asked cannot be done; nothing was written.
        StudyHeldError: somebody leads the study already.
        StorageError: the disk refused a write; everything recorded so far is kept.
    """
    study = StudyDir(path.absolute())
    early = Reading(study.journal)
    with open_study(study, request, display, n_workers=len(devices), checked=elected, listen=listen) as (made, seat):
        meta, parts, knowledge, optimizer = made.meta, made.parts, made.knowledge, made.optimizer
        ip = _ip(listen or meta["listen"], elected=elected, display=display)
        for device in devices:
            check_kind(study, device, required=meta["require_same_gpu"])
        size, state = early.folded()
        if finished(study, meta, state):
            return True, state
        take_back(study, made, state)
        # Nothing was written so far: from here on the study is ours.
        with storing(study.path):
            study.make_folders()  # where one was lost
        make_keys(study)  # where they were lost or are of an earlier version; first, since a study whose key cannot be read cannot be led
        launch.keep(study, {**meta, "worth": parts.worth, "lock": "lease" if seat.number else "kernel"})
        if note := threads_spared(devices):
            display.say(note)
        journal = take_over(study, state, seat, size=size, say=display.say)
        study.scheduler_json.unlink(missing_ok=True)  # nobody is there: workers need not try; till here it alone says `until`
        if state.trials:
            display.say(f"resuming {path}: {counted(len(state.results), 'evaluation')} finished, {len(state.pending)} to be taken up again")
        study.done.unlink(missing_ok=True)
        with (
            _signals() as wish,
            DaskEngine(
                study, term=state.term, ip=ip, needs_s=lambda trial: parts.stop.needs_s(state, trial.budget), say=display.say
            ) as engine,
        ):
            workers = LocalWorkers(study, devices, say=display.say)
            ending = False

            def tick() -> None:
                nonlocal ending
                if not ending and wish() is Wish.DRAIN:
                    ending = True
                    display.say(f"ending: waiting for {counted(len(state.pending), 'running trial')}; Ctrl-C again stops at once")
                seat.check()
                _check_term(study, state.term, leases=seat.number > 0)
                engine.live()
                workers.check(engine.joined())
                display.tick()

            continued = meta["promote"] == "continue"
            loop = Drive(
                optimizer=optimizer,
                engine=engine,
                journal=journal,
                stop=parts.stop,
                budgets=parts.budgets,
                knowledge=knowledge,
                complete=partial(complete, parts.space),
                probes=_probes(meta, parts, knowledge),
                continue_promoted=continued,
                checkpoints=Checkpoints(
                    study,
                    state,
                    continue_promoted=continued,
                    ours=meta["worker"] in IMAGE_WORKERS,
                    promotable=getattr(optimizer, "promotable", None),
                    n_rungs=len(parts.budgets.rungs),
                ),
                clock=time.time,
                wish=lambda: Wish.STOP if gone() else wish(),
                notice=display.event,
                tick=tick,
            )
            try:
                workers.check(())
                with display.watch(View(study=study, meta=meta, state=state, n_workers=lambda: len(engine.joined()), worth=parts.worth)):
                    over = loop.run()
            except (StorageError, StudyHeldError):
                raise  # the workers keep what they finish and wait for the next master
            except OSError as e:
                raise StorageError(
                    f"{study.path} does not answer: {e}; run the same command again: everything recorded so far is kept"
                ) from e
            except BaseException:
                workers.stop()
                raise
            if (why := getattr(optimizer, "given_up", None)) is not None:
                display.say(why)
            unmet = (getattr(optimizer, "left", None), None if loop.probes is None else loop.probes.left(state))
            for left in unmet if over else ():
                if left is not None:
                    display.say(f"{left}: --total-time or --trials ended the study before; give more and run it again")
            if over and not state.n_asked and meta["method"] not in SEARCHES and (total_s := parts.stop.total_s):
                display.say(f"no trial could end in --total-time {format_duration(total_s)}; the same command with more time goes on")
            if over:
                seat.check()
                study.finish(meta, time.time())
                workers.wait(5.0)
            workers.stop()
    return over, state


def _probes(meta: dict[str, Any], parts: launch.Parts, knowledge: Knowledge) -> Probes | None:
    if not meta["rank_probe"]:
        return None
    return Probes(parts.space, parts.budgets, seed=meta["seed"], n=meta["rank_probe"], allowed=knowledge.allowed)


def _ip(listen: str, *, elected: bool, display: Display) -> str:
    """The address to listen at; on a machine that was not there when it was chosen, the one by which others know it.

    Raises:
        UsageError: this machine has no such address.
    """
    try:
        return listening_ip(listen)
    except UsageError as e:
        if not elected:
            raise
        display.say(f"{e}; listening at the address by which other machines know this one")
        return listening_ip("host")


def _check_term(study: StudyDir, term: int, *, leases: bool) -> None:
    """Makes sure that nobody leads by a lock that this master cannot see.

    Raises:
        StudyHeldError: somebody does.
    """
    leader = published(study.scheduler_json)
    if (leader is not None and leader.term > term) or (not leases and os.path.isdir(study.leases)):
        raise StudyHeldError(f"another master leads {study.path} by now; this one ends")


def take_over(study: StudyDir, state: State, seat: Seat, *, size: int, say: Callable[[str], None]) -> Journal:
    """The journal in the hands of whoever holds the seat: mended, with the line that begins the new term.

    Args:
        study: whose journal it is.
        state: what it folds to.
        seat: by which it is written from here on.
        size: bytes of the file when it was folded, without a torn end.
        say: told of a torn end.

    Raises:
        StudyHeldError, StorageError: see `Journal.lead`.
    """
    if note := repair(study.journal):
        say(note)
    journal = Journal(study.journal, state, check=seat.check)
    journal.lead(Event(term=max(state.term + 1, seat.number), time=time.time(), until=last_alive(study, state.term)), size=size)
    return journal


def last_alive(study: StudyDir, term: int) -> float | None:
    """When the master of a term last said that it lived: in its address every few seconds, and at its end in what it leaves instead.

    Of another term nothing counts: the clock of that master's machine may have been another. The files' own times say nothing: a copy
    of the study has them anew, and so has one that is kept from being purged.
    """
    said = [notes.read_note(path) for path in (study.scheduler_json, study.last_led)]
    return next((notes.number(note, "time") for note in said if notes.whole(note, "term") == term), None)


@contextmanager
def _signals() -> Iterator[Callable[[], Wish]]:
    """Ctrl-C once: drain; twice, or SIGTERM: stop."""
    wishes = [Wish.GO_ON]

    def interrupt(number: int, frame: FrameType | None) -> None:
        del frame
        wishes[0] = Wish.DRAIN if number == signal.SIGINT and wishes[0] is Wish.GO_ON else Wish.STOP

    earlier = {n: signal.signal(n, interrupt) for n in (signal.SIGINT, signal.SIGTERM)}
    earlier |= {n: signal.signal(n, lambda number, frame: None) for n in (signal.SIGUSR1, signal.SIGUSR2)}  # warnings for workers
    try:
        yield lambda: wishes[0]
    finally:
        for number, handler in earlier.items():
            signal.signal(number, handler)
