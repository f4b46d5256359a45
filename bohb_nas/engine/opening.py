"""Opens a study, new or existing, under its lock: everything is checked before anything is written."""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import bohb_nas
from bohb_nas import refs
from bohb_nas.durations import format_duration
from bohb_nas.engine import beforehand, launch, presets, typed_budgets
from bohb_nas.engine.cluster import listening_ip
from bohb_nas.engine.election import Seat, choose_lock, leading
from bohb_nas.engine.plan import Request, plan
from bohb_nas.engine.replaying import replay
from bohb_nas.engine.view import Display
from bohb_nas.errors import StudyError, StudyHeldError
from bohb_nas.knowledge import Knowledge
from bohb_nas.methods import Method
from bohb_nas.one_shot_settings import SEARCHES
from bohb_nas.store.frozen import recall
from bohb_nas.store.journal import State, fold
from bohb_nas.store.meta import path_kept
from bohb_nas.store.notes import read_note
from bohb_nas.store.study_dir import StudyDir


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """A study that may be led."""

    meta: dict[str, Any]
    parts: launch.Parts
    knowledge: Knowledge
    optimizer: Method
    """Fresh: nothing is replayed."""


@contextmanager
def open_study(
    study: StudyDir,
    request: Request,
    display: Display,
    *,
    n_workers: int,
    checked: bool = False,
    leads: bool = True,
    listen: str | None = None,
) -> Iterator[tuple[Made, Seat]]:
    """Holds the study's lock around a new or resumed study, checked before anything is written.

    Args:
        study: the study.
        request: what is asked of it.
        display: told what people should know.
        n_workers: how many will work at once on this machine.
        checked: whether data and worker have been looked at by this process already.
        leads: whether this machine leads it, so that it has to have where to listen.
        listen: where this machine listens, if that is not what the study says for all.

    Yields:
        The study, and the seat of this process, which leads it.

    Raises:
        StudyHeldError: somebody else leads it.
        StudyError: it is another search, led or not.
    """
    path_kept(str(study.path))
    made = None
    if not study.exists():
        made = _new(study, request, display, n_workers=n_workers)
        if leads:
            listening_ip(made.meta["listen"])
        study.make()
        if made.meta["lock"] == "lease":
            study.leases.mkdir(mode=0o700, exist_ok=True)
    else:
        study.check_access()
        _change_lock(study, request, listen=listen or request.listen, say=display.say)
    lasts_s = made.meta["lease_s"] if made is not None else request.lease_s or study.read_meta().get("lease_s")
    with ExitStack() as stack:
        try:
            seat = stack.enter_context(leading(study, lasts_s=lasts_s, say=display.say))
        except StudyHeldError:
            if study.exists():  # or its leader is still making it
                launch.reopen(study, replace(request, accept_changed_inputs=True))
            raise
        if made is not None and not study.exists():
            launch.create(study, made.meta, made.parts.space, made.knowledge)
        else:
            made = existing(study, request, display, n_workers=n_workers, checked=checked)
        if request.lease_s is not None and not seat.number:
            display.say(
                f"--lease-time {format_duration(request.lease_s)} has no effect: masters of this study keep each other out by the kernel's "
                "lock; a lease needs --lock lease"
            )
        yield made, seat


def _change_lock(study: StudyDir, request: Request, *, listen: str | None, say: Callable[[str], None]) -> None:
    """Puts leases in the place of a study's lock, while nobody leads: where asked, or where machines are let in that it does not reach.

    Raises:
        StudyHeldError: somebody does.
        StudyError: it has leases already, and the lock is asked for; or it cannot be resumed as asked.
    """
    if study.leases.is_dir():
        if request.lock == "kernel":
            raise StudyError(f"--lock kernel: the masters of {study.path} use leases, and a stopped one might come back; leave --lock out")
        return
    asked, why = request.lock, None
    if listen is not None and study.read_meta().get("listen", "loopback") == "loopback":
        asked, why = choose_lock(study, said=request.lock, listen=listen)
    if asked != "lease":
        return
    launch.check_folder(launch.reopen(study, request)[0])  # or what is refused would have changed the study
    with leading(study):
        study.leases.mkdir(mode=0o700, exist_ok=True)
        study.write_meta({**study.read_meta(), "lock": "lease"})
    if why is not None:
        say(f"{why}; masters of this study keep each other out by a lease from now on")


def _new(study: StudyDir, request: Request, display: Display, *, n_workers: int) -> Made:
    meta = plan(request)
    meta["lock"], why = choose_lock(study, said=request.lock, listen=meta["listen"])
    if why is not None:
        display.say(f"{why}; masters of this study keep each other out by a lease")
    space = launch.new_space(meta)
    parts = launch.build(meta, space)
    typed_budgets.check_limit(meta["hard_limit_s"], parts.budgets)
    known, notes = beforehand.gather(meta, space, own=study.path)
    checked, data = launch.check(meta, space, trains_here=n_workers > 0)
    if data is not None:
        meta["data_fingerprint"] = data.fingerprint
    known = beforehand.with_size(known, meta, study=study, data=data)
    known, found = beforehand.check_constraints(known, space, bounded=request.sizes_bounded)
    optimizer = _optimizer(meta, parts, known, n_workers=n_workers)  # may refuse what is known
    for note in [*checked, *notes, *found, *_remarks(meta, parts, n_workers)]:
        display.say(note)
    return Made(meta=meta, parts=parts, knowledge=known, optimizer=optimizer)


def examine(path: Path, request: Request, display: Display, *, n_workers: int) -> None:
    """Looks at a study, new or existing, as whoever leads it does before it is begun or resumed; writes nothing into it.

    Args:
        path: where it is or would be.
        request: what is asked of it.
        display: told what people should know.
        n_workers: how many would work at once on this machine.

    Raises:
        UsageError: it would be refused.
    """
    study = StudyDir(path.absolute())
    look = existing if study.exists() else _new
    look(study, request, display, n_workers=n_workers)


def existing(study: StudyDir, request: Request, display: Display, *, n_workers: int, checked: bool = False) -> Made:
    """What an existing study needs to be led; its lock need not be held, and nothing is written.

    Args:
        study: that exists.
        request: what may differ from it.
        display: told what people should know.
        n_workers: how many will work at once on this machine.
        checked: whether this process has asked the worker already.

    Raises:
        UsageError: the study cannot be led as asked.
    """
    meta, space = launch.reopen(study, request)
    launch.check_folder(meta)
    parts = launch.build(meta, space)
    typed_budgets.check_limit(meta.get("hard_limit_s"), parts.budgets)
    known = recall(study, meta.get("frozen") or {})
    notes, data = launch.check(meta, space, ask_worker=not checked, trains_here=n_workers > 0)
    for note in [*notes, *_remarks(meta, parts, n_workers)] if not checked else ():
        display.say(note)
    known = beforehand.with_size(known, meta, study=study, data=data)
    return Made(meta=meta, parts=parts, knowledge=known, optimizer=_optimizer(meta, parts, known, n_workers=n_workers))


def _remarks(meta: dict[str, Any], parts: launch.Parts, n_workers: int) -> list[str]:
    """What to say of the preset, of budgets, of the user's files, and where most workers will have nothing to do."""
    said = [*presets.remarks(meta), *typed_budgets.remarks(parts.budgets, meta.get("hard_limit_s"))]
    if (folder := _elsewhere(meta)) is not None:
        said.append(f"this study was started in {folder}: its commands and files are looked up there, not in the current directory")
    if meta["method"] in SEARCHES and n_workers > 1 and not meta["rank_probe"]:
        said.append(f"{meta['method']}: one worker searches, and the other {n_workers - 1} will have nothing to do; --workers 1 is enough")
    return said


def _elsewhere(meta: dict[str, Any]) -> str | None:
    """Where commands and files of the user's are looked up, if a study has some and that is not here: what a copied project trains with."""
    named = (*(meta[kind] for kind in ("space", "method", "worker")), str(meta["worker_options"].get("network")))
    folder, mine = meta["cwd"], meta["worker"] == "command" or any(":" in reference for reference in named) or meta.get("inputs")
    with suppress(OSError):  # of a current directory that is gone
        return folder if mine and not os.path.samefile(folder, ".") else None
    return folder if mine else None


def _optimizer(meta: dict[str, Any], parts: launch.Parts, knowledge: Knowledge, *, n_workers: int) -> Method:
    return bohb_nas.make_optimizer(
        meta["method"],
        space=parts.space,
        budgets=parts.budgets,
        seed=meta["seed"],
        n_workers=max(1, n_workers),
        options=parts.method_options,
        knowledge=knowledge,
    )


def take_back(study: StudyDir, made: Made, state: State) -> None:
    """Brings a fresh optimizer to where the journal's was; a user's method hears again all that its worker said.

    Raises:
        KnowledgeError: the worker does not return what a constraint is about.
        JournalError: the optimizer would not have asked what the journal says.
    """
    beforehand.check_told(made.knowledge, state)
    ours = made.meta["method"] in refs.names("method")
    replay(made.optimizer, state, journal=None if ours else study.journal)


def finished(study: StudyDir, meta: dict[str, Any], state: State) -> bool:
    """Whether the study has ended under the stop rule and the rank probe that hold now."""
    note = read_note(study.done)
    return bool(not state.pending and note.get("stop") == meta["stop"] and note.get("rank_probe", 0) == meta["rank_probe"])


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
        with open_study(study, request, display, n_workers=0, leads=False) as (made, _):
            state = fold(study.journal)
            if finished(study, made.meta, state):
                return False
            take_back(study, made, state)
            launch.keep(study, {**made.meta, "worth": made.parts.worth})
            study.done.unlink(missing_ok=True)  # of an earlier stop rule: workers would take it for today's
    except StudyHeldError as e:
        if not study.exists():  # its leader is still making it
            raise
        asked, stored = launch.reopen(study, request)[0], study.read_meta()
        if changed := [name for name, value in asked.items() if stored.get(name) != value]:
            raise StudyHeldError(f"{e}; its {', '.join(changed)} cannot change meanwhile: ask for what it has, or stop the master") from e
    return True
