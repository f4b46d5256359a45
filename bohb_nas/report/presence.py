"""Who is there: the master, the workers, and the trials in training, by their locks and heartbeats.

A lock of another machine is not seen on every file system; what its holder touched lately then speaks for it.
"""

import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bohb_nas.entries import ID
from bohb_nas.errors import NoLocksError
from bohb_nas.records import Origin
from bohb_nas.store import holders, notes
from bohb_nas.store.journal import State
from bohb_nas.store.study_dir import StudyDir

LATELY_S = 60.0
"""A heart beats every second; a killed process leaves its file behind, and a shared directory may be shown as it was a minute ago."""
SILENT_S = 15.0
"""A master touches its address several times a second."""

Place = tuple[str, str]
"""Host and device."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Beat:
    """Who trains a trial."""

    host: str
    device: str
    pid: int | None
    attempt: int | None
    elapsed_s: float
    """Since its start, from a clock of its host to this machine's: at least 0."""
    age_s: float
    """Since its heart last beat."""

    @property
    def worker(self) -> str:
        """The worker's name."""
        return holders.worker_name(self.host, self.device)


def beats(study: StudyDir) -> dict[str, Beat]:
    """Trial id -> who trains it, of those whose heart beat lately."""
    found = {}
    for path in study.running.glob("*.json"):
        age_s, note = notes.age_s(path), notes.read_note(path)
        host, device, since = notes.text(note, "host"), notes.text(note, "device"), notes.number(note, "since")
        if host and device and since is not None and age_s is not None and age_s < LATELY_S and ID.fullmatch(path.stem):
            found[path.stem] = Beat(
                host=host,
                device=device,
                pid=notes.whole(note, "pid"),
                attempt=notes.whole(note, "attempt"),
                elapsed_s=max(0.0, time.time() - since),
                age_s=age_s,
            )
    return found


def running(state: State, beating: Mapping[str, Beat]) -> list[dict[str, Any]]:
    """The trials that were asked and not told, with who trains them; baselines only while somebody does."""
    beside = [t for i in beating if (t := state.trials.get(i)) is not None and t.origin is Origin.BASELINE and i not in state.results]
    return [
        {
            "trial_id": t.trial_id,
            "config_id": t.config_id,
            "budget": t.budget,
            "rung": t.rung,
            "origin": t.origin,
            "worker": beat.worker if (beat := beating.get(t.trial_id)) is not None else None,
            "elapsed_s": beat.elapsed_s if beat is not None else None,
            "heartbeat_age_s": beat.age_s if beat is not None else None,
            "attempt": beat.attempt if beat is not None else None,
        }
        for t in [*state.pending, *beside]
    ]


def master(study: StudyDir, state: State) -> dict[str, Any] | None:
    """Who leads (host, pid, since, term), for how long, and how long ago its heart beat; None when nobody does.

    `task`: what it does, the search or another command's work; only a search has an address. `silent`: it holds the lock, yet has not
    touched its address for `SILENT_S`: it is stopped, or its machine is out of reach.
    """
    try:
        note = holders.master(study, now=time.time)
    except NoLocksError:
        note = None
    age_s = notes.age_s(study.scheduler_json)
    if note is None:
        left = notes.read_note(study.master_lock)
        if age_s is None or age_s > SILENT_S or notes.text(left, "host") in (None, socket.gethostname()):
            return None
        note = left
    since, task = notes.number(note, "since"), notes.text(note, "task") or holders.SEARCH
    age_s = age_s if task == holders.SEARCH else None
    return {
        "host": notes.text(note, "host"),
        "pid": notes.whole(note, "pid"),
        "task": task,
        "since": since,
        "term": state.term,
        "leads_for_s": None if since is None else max(0.0, time.time() - since),
        "heartbeat_age_s": age_s,
        "silent": age_s is not None and age_s > SILENT_S,
    }


def since_last_s(state: State, master: Mapping[str, Any] | None) -> float | None:
    """Seconds that a master has led since the journal's last line; None when nobody leads the search."""
    if master is None or master["task"] != holders.SEARCH:
        return None
    since_s = 0.0 if state.last is None else time.time() - state.last
    leads_for_s = master["leads_for_s"]
    return max(0.0, since_s if leads_for_s is None else min(since_s, leads_for_s))


def workers(study: StudyDir, beating: Mapping[str, Beat], models: Mapping[Place, str]) -> list[dict[str, Any]]:
    """The living workers: host, device and its model where known, what each trains, how long it may stay.

    Args:
        study: theirs.
        beating: who trains which trial.
        models: of devices whose worker's own note does not say it.
    """
    try:
        living = list(holders.living_workers(study, now=time.time))
    except NoLocksError:
        living = []
    at = {(b.host, b.device): (i, b) for i, b in beating.items()}
    found = [_worker(note, at, models) for note in living]
    held, here = {(w["host"], w["device"]) for w in found}, socket.gethostname()
    for place, (_, beat) in at.items():
        if place not in held and beat.host != here:
            found.append(_worker({"host": beat.host, "device": beat.device, "pid": beat.pid}, at, models))
    return found


def _worker(note: Mapping[str, Any], at: Mapping[Place, tuple[str, Beat]], models: Mapping[Place, str]) -> dict[str, Any]:
    place = notes.text(note, "host") or "?", notes.text(note, "device") or "?"
    trial_id, beat = at.get(place, (None, None))
    if beat is not None and beat.pid != notes.whole(note, "pid"):
        trial_id, beat = None, None  # of the device's worker before this one
    until = notes.number(note, "until")
    return {
        "host": place[0],
        "device": place[1],
        "pid": notes.whole(note, "pid"),
        "since": notes.number(note, "since"),
        "stand": note.get("stand") is True,
        "model": notes.text(note, "model") or models.get(place),
        "memory_gib": notes.number(note, "memory_gib"),
        "until": until,
        "time_left_s": None if until is None else max(0.0, until - time.time()),
        "trial": trial_id,
        "elapsed_s": beat.elapsed_s if beat is not None else None,
    }
