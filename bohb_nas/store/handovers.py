"""What interrupted attempts at a trial leave for the next one, in the folders of the attempts."""

import shutil
from pathlib import Path

from bohb_nas.files import is_aside
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


def newest(study: StudyDir, trial_id: str) -> Path | None:
    """What the latest interrupted attempt left to go on from; a folder that was made and never filled is nothing."""
    found = [folder for a in study.attempts(trial_id) if (folder := a / "handover").is_dir() and any(folder.iterdir())]
    return found[-1] if found else None


def drop(study: StudyDir, trial_id: str) -> None:
    """Deletes what interrupted attempts at a trial left, and what one was writing when it was killed."""
    for attempt in study.attempts(trial_id):
        for folder in [attempt / "handover", *filter(is_aside, attempt.iterdir())]:
            shutil.rmtree(folder, ignore_errors=True)
