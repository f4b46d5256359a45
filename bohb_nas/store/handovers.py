"""What interrupted attempts at a trial leave for the next one, in the folders of the attempts."""

import shutil
from contextlib import suppress
from itertools import takewhile
from pathlib import Path

from bohb_nas.files import is_aside
from bohb_nas.store.notes import read_note, whole
from bohb_nas.store.study_dir import StudyDir


def left(attempt: Path) -> Path:
    """Says that a worker left an attempt in good order: what it had trained, if that can be used, lies beside it."""
    return attempt / "left.json"


def was_left(study: StudyDir, trial_id: str) -> bool:
    """Whether the newest attempt at a trial was left in good order."""
    attempts = study.attempts(trial_id)
    return bool(attempts) and left(attempts[-1]).exists()


def cuts(study: StudyDir, trial_id: str) -> int:
    """How many workers had to leave a trial of which nothing could be handed over: each began it anew."""
    return sum(left(a).exists() for a in study.attempts(trial_id)) if newest(study, trial_id) is None else 0


def _killed(attempt: Path) -> Path:
    """There where the worker of an attempt was killed."""
    return attempt / "killed"


def mark_killed(study: StudyDir, trial_id: str) -> None:
    """Keeps that the worker of an attempt was killed, from the heartbeat of a trial that nobody trains: any other takes its own away."""
    n = whole(read_note(study.heartbeat(trial_id)), "attempt")
    attempt = study.trials / trial_id / str(n)
    with suppress(OSError):  # at the next look, perhaps
        if n is not None and attempt.is_dir() and not left(attempt).exists():
            _killed(attempt).touch()


def kills(study: StudyDir, trial_id: str) -> int:
    """How many workers were killed at a trial, under whatever masters, since one left something to go on from."""
    return sum(_killed(a).exists() for a in takewhile(lambda a: not _filled(a / "handover"), reversed(study.attempts(trial_id))))


def newest(study: StudyDir, trial_id: str) -> Path | None:
    """What the latest interrupted attempt left to go on from; a folder that was made and never filled is nothing."""
    return next((a / "handover" for a in reversed(study.attempts(trial_id)) if _filled(a / "handover")), None)


def _filled(folder: Path) -> bool:
    return folder.is_dir() and any(folder.iterdir())


def drop(study: StudyDir, trial_id: str) -> None:
    """Deletes what interrupted attempts at a trial left, and what one was writing when it was killed."""
    for attempt in study.attempts(trial_id):
        for folder in [attempt / "handover", *filter(is_aside, attempt.iterdir())]:
            shutil.rmtree(folder, ignore_errors=True)
