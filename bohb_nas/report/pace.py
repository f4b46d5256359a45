"""How much is done in an hour: evaluations, and hours of devices, lately and over all."""

import time
from collections.abc import Iterable, Mapping
from typing import Any

from bohb_nas.records import Origin
from bohb_nas.store.journal import State
from bohb_nas.store.stays import Stay, stay

HOUR_S = 3600.0


def throughput(state: State, stays: Iterable[Stay], trials: Iterable[Mapping[str, Any]], *, since_last_s: float | None) -> dict[str, Any]:
    """Evaluations per hour and device hours per hour.

    Args:
        state: of the study.
        stays: of its finished trials.
        trials: in training.
        since_last_s: seconds that a master has led since the last line of the journal, at which time has stopped when nobody leads: None.

    Returns:
        `overall`: per hour under some master; `last_hour`: of the last hour, or since the start where that is later. Both hold `hours`
        (what they were counted over), `evaluations_per_hour` and `device_hours_per_hour`; the last two are null over no time.
    """
    elapsed = [t["elapsed_s"] for t in trials if t["elapsed_s"] is not None]
    end = state.last if state.last is not None else 0.0
    if since_last_s is not None:
        end = max(end, time.time())
    start = max(end - HOUR_S, state.events[0].time) if state.events else end
    late, late_s = 0, 0.0
    for event in reversed(state.events):
        if event.time < start:
            break
        if event.result is not None and state.origin(event) is not Origin.BASELINE:
            late += 1
            one = stay(event.result)
            late_s += max(0.0, min(one.ended, end) - max(one.began, start)) if one is not None else 0.0
    told = sum(t.origin is not Origin.BASELINE for t in map(state.trials.__getitem__, state.results))
    all_s = sum(one.held_s for one in stays) + sum(elapsed)
    late_s += sum(min(s, end - start) for s in elapsed)
    return {"overall": _per_hour(told, all_s, state.led_s + (since_last_s or 0.0)), "last_hour": _per_hour(late, late_s, end - start)}


def _per_hour(n: int, device_s: float, seconds: float) -> dict[str, float | None]:
    some = seconds > 0
    return {
        "hours": seconds / HOUR_S,
        "evaluations_per_hour": n / seconds * HOUR_S if some else None,
        "device_hours_per_hour": device_s / seconds if some else None,
    }
