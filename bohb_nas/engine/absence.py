"""Whether a study is gone from where it was: renamed or deleted, while somebody works for it."""

import os
from collections.abc import Callable

from bohb_nas import standstill
from bohb_nas.store.study_dir import StudyDir


class Absence:
    """How long a study has not been there. A disk that does not answer says nothing of that.

    Args:
        study: that was there.
        patience_s: how long until it is taken to be gone: what is mounted anew is away for a moment.
        now: seconds of a monotonic clock.
    """

    def __init__(self, study: StudyDir, *, patience_s: float, now: Callable[[], float] = standstill.now) -> None:
        self._study, self._patience_s, self._now = study, patience_s, now
        self._since: float | None = None
        """When it was first missed."""

    def lasts(self) -> bool:
        """Whether the study is gone; to be asked from time to time."""
        try:
            os.stat(self._study.study_json)
        except (FileNotFoundError, NotADirectoryError):
            self._since = self._now() if self._since is None else self._since
            return self._now() - self._since >= self._patience_s
        except OSError:
            pass
        self._since = None
        return False


def text(study: StudyDir) -> str:
    """What to say of a study that is gone."""
    return (
        f"{study.path} is gone, renamed or deleted: what is trained for it here is dropped; leaving. "
        "Where it was renamed, `bohb-nas run` or `bohb-nas worker` with its new path goes on with it"
    )
