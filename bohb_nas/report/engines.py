"""What the engine wrote into results: where and when each was trained, read with suspicion."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from bohb_nas.records import Result
from bohb_nas.store import notes


@dataclass(frozen=True, slots=True, kw_only=True)
class Stay:
    """The time that one trial had a device."""

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
    """The new part."""

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
    return Stay(
        host=host,
        device=device,
        began=began,
        ended=ended,
        idle_s=notes.number(note, "idle_s"),
        model=notes.text(note, "model"),
        attempt=notes.whole(note, "attempt"),
        trained_s=max(0.0, result.metrics.get("new_s", result.train_s)),  # of a continued trial, train_s counts what was before too
    )


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
