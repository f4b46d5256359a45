"""What an attempt at a trial goes on from: what interrupted ones left, in their folders, or a checkpoint.

Where a journal was restored from a backup, and the folders of attempts were not, a trial gets the name that another had. Attempts say
which trial they are at, and those at another count for nothing.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import suppress
from itertools import takewhile
from pathlib import Path

from bohb_nas.errors import RecordError, StorageError
from bohb_nas.files import dump_json, is_aside, write_atomic
from bohb_nas.reading import parse_json, read_regular
from bohb_nas.records import RESULT_LIMIT_BYTES, Trial
from bohb_nas.store.notes import read_note, whole
from bohb_nas.store.study_dir import TRIAL, StudyDir


def sign(trial: Trial, attempt: Path) -> None:
    """Keeps in an attempt which trial it is at."""
    with suppress(StorageError):  # it counts as well without, and the disk may have room by the time that there is a result
        write_atomic(attempt / TRIAL, dump_json(trial.to_json()))


def _of_another(attempt: Path, trial: Trial) -> bool:
    """Whether an attempt says that it is at another trial; those of earlier versions, and of a worker with such a file, do not say."""
    try:
        return Trial.from_json(parse_json(read_regular(attempt / TRIAL, limit=RESULT_LIMIT_BYTES, follow=False))) != trial
    except (OSError, RecordError, ValueError, RecursionError):
        return False


def _latest_first(study: StudyDir, trial: Trial) -> Iterator[Path]:
    """The attempts at a trial, but for those at another of its name."""
    return (a for a in reversed(study.attempts(trial.trial_id)) if not _of_another(a, trial))


def left(attempt: Path) -> Path:
    """Says that a worker left an attempt in good order: what it had trained, if that can be used, lies beside it."""
    return attempt / "left.json"


def was_left(study: StudyDir, trial_id: str) -> bool:
    """Whether the newest attempt at a trial was left in good order."""
    attempts = study.attempts(trial_id)
    return bool(attempts) and left(attempts[-1]).exists()


def cuts(study: StudyDir, trial: Trial) -> int:
    """How many workers had to leave a trial of which nothing could be handed over: each began it anew."""
    return sum(left(a).exists() for a in _latest_first(study, trial)) if newest(study, trial) is None else 0


def _killed(attempt: Path) -> Path:
    """There where the worker of an attempt was killed."""
    return attempt / "killed"


def mark_killed(study: StudyDir, trial_id: str) -> None:
    """Keeps that the worker of an attempt was killed, from the heartbeat of a trial that nobody trains: any other takes its own away."""
    n = whole(read_note(study.heartbeat(trial_id)), "attempt")
    attempt = study.trials / trial_id / str(n)
    with suppress(OSError):  # its folder is gone; or at the next look, perhaps
        if n is not None and not left(attempt).exists():
            _killed(attempt).touch()


def kills(study: StudyDir, trial: Trial) -> int:
    """How many workers were killed at a trial, under whatever masters, since one left something to go on from."""
    return sum(_killed(a).exists() for a in takewhile(lambda a: not _filled(a / "handover"), _latest_first(study, trial)))


def newest(study: StudyDir, trial: Trial) -> Path | None:
    """What the latest interrupted attempt left to go on from; a folder that was made and never filled is nothing."""
    return next((a / "handover" for a in _latest_first(study, trial) if _filled(a / "handover")), None)


def _filled(folder: Path) -> bool:
    return folder.is_dir() and any(folder.iterdir())


def drop(study: StudyDir, trial_id: str) -> None:
    """Deletes what interrupted attempts at a trial left, and what one was writing when it was killed."""
    for attempt in study.attempts(trial_id):
        for folder in [attempt / "handover", *filter(is_aside, attempt.iterdir())]:
            shutil.rmtree(folder, ignore_errors=True)


def link(study: StudyDir, trial: Trial, attempt: Path) -> None:
    """Lets a worker find what it continues from: a checkpoint as `resume`, an interrupted attempt as `interrupted`."""
    if (interrupted := newest(study, trial)) is not None:
        (attempt / "interrupted").symlink_to(os.path.relpath(interrupted, attempt))
    if trial.resume_from is not None and (source := study.checkpoint(trial.resume_from)) is not None:
        (attempt / "resume").symlink_to(os.path.relpath(source, attempt))


def behind_s(trial: Trial, attempt: Path) -> float:
    """Seconds of training behind the checkpoint that an attempt at a trial goes on from; 0 where it goes on from none."""
    if trial.resume_from is None or not (attempt / "resume").is_dir():
        return 0.0
    return StudyDir(attempt.parents[2]).trained_s(trial.resume_from)
