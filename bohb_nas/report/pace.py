"""How much is done in an hour: evaluations, and hours of devices, lately and over all."""

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from bohb_nas.durations import HOUR_S
from bohb_nas.records import Origin
from bohb_nas.store.journal import State
from bohb_nas.store.stays import Span, new_s, shared_s, stay


def throughput(
    state: State,
    device_s: float,
    held: Sequence[Span],
    trials: Iterable[Mapping[str, Any]],
    *,
    since_last_s: float | None,
) -> dict[str, Any]:
    """Evaluations per hour and device hours per hour, of the search and its probe: baselines are trained while nobody leads these.

    Args:
        state: of the study.
        device_s: seconds of devices, of all that is finished.
        held: when devices were had for what is finished.
        trials: in training.
        since_last_s: seconds that a master has led since the last line of the journal; None when nobody leads the search, so that time
            has stopped at its last line.

    Returns:
        `overall`: per hour in which somebody led or something was in training, from the first ask on, as an analysis has it; `last_hour`:
        of the last hour, or since the first ask where that is later. Both hold `hours` (what they were counted over),
        `evaluations_per_hour` and `device_hours_per_hour`; the last two are null over no time.
    """
    elapsed = [t["elapsed_s"] for t in trials if t["elapsed_s"] is not None and t["origin"] is not Origin.BASELINE]
    events = [event for event in state.events if state.origin(event) is not Origin.BASELINE]
    end = time.time() if since_last_s is not None else events[-1].time if events else 0.0
    start = max(end - HOUR_S, events[0].time) if events else end
    late, late_s = 0, 0.0
    for event in reversed(events):
        if event.time < start:
            break
        if event.result is not None:
            late += 1
            one = stay(event.result)
            began, ended = (one.began, one.ended) if one is not None else (event.time - new_s(event.result), event.time)
            late_s += max(0.0, min(ended, end) - max(began, start))
    told = sum(event.result is not None for event in events)
    late_s += sum(min(s, end - start) for s in elapsed)
    span_s = 0.0
    if state.events and state.last is not None:
        now, led_s = time.time(), since_last_s or 0.0
        gaps = [*state.gaps, (state.last, now - led_s)]
        span_s = state.span_s + led_s + shared_s(gaps, [*held, *((now - s, now) for s in elapsed)])
    return {"overall": _per_hour(told, device_s + sum(elapsed), span_s), "last_hour": _per_hour(late, late_s, end - start)}


def _per_hour(n: int, device_s: float, seconds: float) -> dict[str, float | None]:
    some = seconds > 0
    return {
        "hours": seconds / HOUR_S,
        "evaluations_per_hour": n / seconds * HOUR_S if some else None,
        "device_hours_per_hour": device_s / seconds if some else None,
    }
