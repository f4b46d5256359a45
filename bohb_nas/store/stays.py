"""What the engine wrote into results: where and when each was trained, read with suspicion."""

import statistics
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bohb_nas.records import Result
from bohb_nas.store import notes

Span = tuple[float, float]
"""Begin and end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stay:
    """The time that one trial had a device, in its last attempt."""

    host: str
    device: str
    began: float
    """Seconds since the epoch, by the clock of its host."""
    ended: float
    idle_s: float | None
    """Since the trial before on the same worker; None of a worker's first."""
    model: str | None
    """Of the device."""
    attempt: int | None
    trained_s: float
    """Of this time."""
    earlier_s: float
    """What earlier attempts, which were interrupted, had trained of it: on which device and when is not told here."""
    stood_s: float
    """Of this time, while its job was suspended; without what the worker counted as training."""

    @property
    def held_s(self) -> float:
        """How long devices were had for the trial, as far as is known: this time, and what earlier attempts had trained."""
        return self.ended - self.began + self.earlier_s

    @property
    def span(self) -> Span:
        """From when to when this time was; when earlier attempts were is not told."""
        return self.began, self.ended

    @property
    def place(self) -> tuple[str, str]:
        """Host and device."""
        return self.host, self.device


def stay(result: Result) -> Stay | None:
    """Where and when a result was trained, or None when it does not say so in order."""
    engine = result.details.get("engine")
    note: Mapping[str, Any] = engine if isinstance(engine, dict) else {}
    host, device = notes.text(note, "host"), notes.text(note, "device")
    began, ended = notes.number(note, "began"), notes.number(note, "ended")
    if host is None or device is None or began is None or ended is None or ended < began:
        return None
    all_s, attempt_s = new_s(result), notes.number(result.details, "attempt_s")
    trained_s = all_s if attempt_s is None else min(all_s, attempt_s)
    return Stay(
        host=host,
        device=device,
        began=began,
        ended=ended,
        idle_s=notes.number(note, "idle_s"),
        model=notes.text(note, "model"),
        attempt=notes.whole(note, "attempt"),
        trained_s=trained_s,
        earlier_s=all_s - trained_s,
        stood_s=min(notes.number(note, "stood_s") or 0.0, max(0.0, ended - began - trained_s)),
    )


def new_s(result: Result) -> float:
    """Seconds of training, in all attempts, that a result added: of a continued trial, `train_s` counts what was before too.

    What that was the engine notes as `behind_s`, for workers that do not measure `new_s`.
    """
    engine = result.details.get("engine")
    behind_s = notes.number(engine, "behind_s") if isinstance(engine, dict) else None
    return max(0.0, result.metrics.get("new_s", result.train_s - (behind_s or 0.0)))


def device_s(result: Result, one: Stay | None) -> float:
    """Seconds for which a trial had devices, by its stay; where its result tells of none, as an imported one, seconds of training."""
    return one.held_s if one is not None else new_s(result)


def merged(spans: Iterable[Span]) -> list[Span]:
    """What lies in one or more of the spans, in order and without overlap."""
    found: list[Span] = []
    for began, ended in sorted(spans):
        if found and began <= found[-1][1]:
            found[-1] = found[-1][0], max(found[-1][1], ended)
        else:
            found.append((began, ended))
    return found


def shared_s(some: Iterable[Span], others: Iterable[Span]) -> float:
    """Seconds that lie in one or more of some spans and in one or more of the others."""
    total, one, other = 0.0, deque(merged(some)), deque(merged(others))
    while one and other:
        total += max(0.0, min(one[0][1], other[0][1]) - max(one[0][0], other[0][0]))
        (one if one[0][1] < other[0][1] else other).popleft()
    return total


def of_workers(stays: Iterable[Stay]) -> list[list[Stay]]:
    """What each worker process did, in order: the first trial of one has no gap before it."""
    found: list[list[Stay]] = []
    places: dict[tuple[str, str], list[Stay]] = {}
    for one in sorted(stays, key=lambda one: one.began):
        if one.idle_s is None or one.place not in places:
            places[one.place] = []
            found.append(places[one.place])
        places[one.place].append(one)
    return found


def use(told: Sequence[Stay]) -> dict[str, float] | None:
    """How workers spent their time.

    None when nothing is told, or when they say to have trained for longer than there was time (virtual seconds).

    Returns:
        `train_s` over `worker_s` is `train_share`: from each worker's first start to its last end; what lies between two workers, of a
        study that was left and resumed, is nobody's time. `idle_median_s`, `idle_p95_s`: gap between a trial's end and the next one's
        start on the same worker.
    """
    if not told:
        return None
    trained_s, gaps = sum(one.trained_s for one in told), [one.idle_s for one in told if one.idle_s is not None]
    worker_s = sum(max(one.ended for one in each) - each[0].began for each in of_workers(told))
    if trained_s > 1.05 * worker_s:
        return None
    figures = {"train_s": trained_s, "worker_s": worker_s, "train_share": trained_s / worker_s if worker_s > 0 else 0.0}
    if len(gaps) > 1:
        figures |= {"idle_median_s": statistics.median(gaps), "idle_p95_s": statistics.quantiles(gaps, n=20, method="inclusive")[-1]}
    return figures
