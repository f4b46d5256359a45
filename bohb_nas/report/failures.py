"""The latest trials that failed: how, what they said, and how their logs end."""

from typing import Any

from bohb_nas.records import Status
from bohb_nas.report.logs import newest, tail
from bohb_nas.store.holders import worker_name
from bohb_nas.store.journal import State
from bohb_nas.store.notes import first_line
from bohb_nas.store.stays import stay
from bohb_nas.store.study_dir import StudyDir

_N_TRIALS, _N_LINES = 3, 5


def failures(study: StudyDir, state: State) -> list[dict[str, Any]]:
    """The latest trials whose status is not ok, latest first, with the last lines of their logs."""
    found: list[dict[str, Any]] = []
    for trial_id, result in reversed(state.results.items()):
        if len(found) == _N_TRIALS:
            break
        if result.status is not Status.OK:
            where = stay(result)
            log = newest(study, trial_id, where.attempt if where is not None else None)
            found.append(
                {
                    "trial_id": trial_id,
                    "status": result.status,
                    "budget": state.trials[trial_id].budget,
                    "worker": worker_name(*where.place) if where is not None else None,
                    "attempt": log.attempt if log is not None else None,
                    "message": first_line(result.message),
                    "log": [line[:300] for line in tail(log.path, _N_LINES)] if log is not None else [],
                }
            )
    return found
