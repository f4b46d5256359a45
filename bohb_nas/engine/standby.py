"""Stands by to lead a study: first it finds out whether that is its turn, then it loads what leading takes, which takes a second."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from bohb_nas.engine import election
from bohb_nas.engine.view import Display
from bohb_nas.store.study_dir import StudyDir


def stand_by(path: Path, said: Mapping[str, Any], display: Display, *, gone: Callable[[], bool]) -> bool:
    """Waits, with everything checked and loaded, until nobody leads an existing study, and then leads it without workers of its own.

    Args:
        path: of the study.
        said: what may differ from it, by the names of a `Request`.
        display: told what people should know.
        gone: whether to give up: the worker that started this process has ended.

    Returns:
        Whether it led; not where it was never this process's turn.

    Raises:
        UsageError, StorageError: see `lead`.
    """
    study = StudyDir(path.absolute())
    study.check_access()

    def ready() -> None:
        import bohb_nas.engine.lead  # noqa: F401 - now, while somebody leads: the package may be another when nobody does
        from bohb_nas.engine.opening import existing
        from bohb_nas.engine.plan import Request

        existing(study, Request(**said), display, n_workers=1)

    if not election.stand_by(study, gone, ready=ready):
        return False
    from bohb_nas.engine.lead import lead
    from bohb_nas.engine.plan import Request

    lead(path, Request(**{**said, "listen": None}), [], display, elected=True, listen=said.get("listen"), gone=gone)
    return True
