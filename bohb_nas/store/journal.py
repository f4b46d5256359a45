"""The journal: one append-only file of JSON lines with one writer, the master, and its fold into a state.

Three kinds of line: `lead` when a master takes over (it starts a new term), `ask` before a trial is submitted,
`tell` when its result is known. Whatever dies, the state of a study is what its journal folds to. It has a few more than 300 lines,
since a line and what it does to the state are one contract.
"""

import gc
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from sys import intern
from typing import Any

from bohb_nas.entries import is_number
from bohb_nas.errors import JournalError, RecordError, StudyHeldError
from bohb_nas.files import append_line, dump_json
from bohb_nas.reading import parse_json
from bohb_nas.records import ASIDE, Evaluation, Origin, Result, Status, Trial, rank
from bohb_nas.store import stays
from bohb_nas.store.details import slim
from bohb_nas.store.lines import lines

_LATEST = 16
"""Trials of each budget from which the seconds beside training are learnt."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One line of a journal. `trial` belongs to an ask, `result` to a tell."""

    term: int
    time: float
    """Seconds since the epoch."""
    trial: Trial | None = None
    reason: str | None = None
    """Why the optimizer asked this."""
    why: Mapping[str, Any] | None = None
    """What a model's pick rests on: JSON."""
    result: Result | None = None
    until: float | None = None
    """Of a lead: when the master before was last known to live."""

    def to_line(self) -> str:
        """The line without its newline."""
        if self.trial is not None:
            body = {"event": "ask", "term": self.term, "trial": self.trial.to_json(), "reason": self.reason, "time": self.time}
            body |= {"why": dict(self.why)} if self.why is not None else {}
        elif self.result is not None:
            body = {"event": "tell", "term": self.term, "result": self.result.to_json(), "time": self.time}
        else:
            body = {"event": "lead", "term": self.term, "time": self.time} | ({"until": self.until} if self.until is not None else {})
        return dump_json(body)

    @staticmethod
    def from_line(line: bytes) -> "Event":
        """The inverse of `to_line`.

        Raises:
            RecordError, ValueError: the line is none of the three kinds.
        """
        body = parse_json(line)
        if not isinstance(body, dict) or type(body.get("term")) is not int or not is_number(body.get("time")):
            raise RecordError("no term or no time")
        term, time = body["term"], float(body["time"])
        match body.get("event"):
            case "lead":
                until = body.get("until")
                return Event(term=term, time=time, until=float(until) if until is not None and is_number(until) else None)
            case "ask":
                reason, why = body.get("reason"), body.get("why")
                return Event(
                    term=term,
                    time=time,
                    trial=Trial.from_json(body.get("trial")),
                    reason=intern(reason) if isinstance(reason, str) else None,
                    why=why if isinstance(why, dict) else None,
                )
            case "tell":
                return Event(term=term, time=time, result=Result.from_json(body.get("result")))
            case other:
                raise RecordError(f"unknown event {other!r}")


@dataclass(slots=True)
class State:
    """What a journal folds to."""

    term: int = 0
    trials: dict[str, Trial] = field(default_factory=dict)
    """Asked trials by id, in the order of asking."""
    results: dict[str, Result] = field(default_factory=dict)
    """Told results by trial id, in the order of telling: without the details that nobody reads here."""
    events: list[Event] = field(default_factory=list)
    """Every ask and tell that counts, in order; the results are those above."""
    n_asked: int = 0
    """Trials of the search that were asked: baselines and probes stand beside it, and so in the next three."""
    budget_asked: float = 0.0
    """Sum of their budgets."""
    led_s: float = 0.0
    """Seconds under some master, over all terms, up to `last`; `analysis.observations` puts every line on the same clock."""
    span_s: float = 0.0
    """Those from the first ask on: what came before is in no rate."""
    gaps: list[tuple[float, float]] = field(default_factory=list)
    """Begin and end of the spans after the first ask in which nobody led."""
    last: float | None = None
    """Time of the last line."""
    beside_s: dict[float, list[float]] = field(default_factory=dict)
    """Seconds at a device that were not of training: of each budget's latest trials that ended well under the master that asked."""
    took_s: dict[float, list[float]] = field(default_factory=dict)
    """Seconds that the same trials had a device; from ask to tell where a result does not say."""
    asked_under: dict[str, tuple[int, float]] = field(default_factory=dict)
    """Term and time of the ask, of trials that are not told yet."""
    incumbent: Evaluation | None = None
    """The lowest loss among OK trials that break no constraint, at the highest budget that has one; the earliest of equals.

    A baseline is the incumbent only as long as the search has none, and the loss of shared weights only as long as there is no
    ordinary evaluation; a probe never is.
    """
    _rank: tuple[bool, bool, float, float] | None = None
    """The incumbent's."""

    def apply(self, event: Event) -> bool:
        """Takes one event in.

        Returns:
            False when the event changes nothing: an ask of a superseded master, a second tell of one trial.

        Raises:
            JournalError: a tell of a trial that was never asked, or a second ask under one id.
        """
        if event.trial is not None:
            if not self._asked(event.term, event.trial):
                return False
            self.asked_under[event.trial.trial_id] = event.term, event.time
        if event.result is not None:
            if (result := slim(event.result)) is not event.result:
                event = replace(event, result=result)
            if not self._told(event.term, result):
                return False
            self._count_beside(result, event.term, event.time)
        if event.trial is None and event.result is None:
            self.term = max(self.term, event.term)
            self._pass(event.time, led_until=event.until)
        else:  # baselines are trained while nobody leads the search
            self._pass(event.time, led_until=None if self.origin(event) is Origin.BASELINE else event.time)
            self.events.append(event if event.why is None else replace(event, why=None))  # which is read from the file when asked for
        return True

    def origin(self, event: Event) -> Origin | None:
        """Of the trial that an event asks or tells."""
        trial = event.trial if event.result is None else self.trials.get(event.result.trial_id)
        return trial.origin if trial is not None else None

    def _pass(self, time: float, *, led_until: float | None) -> None:
        if self.last is not None:
            end = max(self.last, led_until or self.last)
            self.led_s += end - self.last
            if self.events:
                self.span_s += end - self.last
                self.gaps += [(end, time)] if end < time else []
        self.last = time

    def _count_beside(self, result: Result, term: int, time: float) -> None:
        """Nothing is learnt from a trial that outlived its master, which waited for nobody knows what, nor from waits or standstills."""
        asked_term, asked = self.asked_under.pop(result.trial_id)
        trial = self.trials[result.trial_id]
        if asked_term == term and result.status is Status.OK and trial.origin not in ASIDE:
            took_s = time - asked if (stay := stays.stay(result)) is None else min(stay.held_s - stay.stood_s, time - asked)
            for seconds, kept in ((took_s - stays.new_s(result), self.beside_s), (took_s, self.took_s)):
                of_budget = kept.setdefault(trial.budget, [])
                of_budget.append(seconds)
                del of_budget[:-_LATEST]

    def _asked(self, term: int, trial: Trial) -> bool:
        if term < self.term:
            return False
        if trial.trial_id in self.trials:
            raise JournalError(f"trial {trial.trial_id} was asked twice")
        self.trials[trial.trial_id] = trial
        if trial.origin not in ASIDE:
            self.n_asked += 1
            self.budget_asked += trial.budget
        return True

    def _told(self, term: int, result: Result) -> bool:
        if result.trial_id in self.results or term < self.term:  # the next master told it, from its result file
            return False
        if result.trial_id not in self.trials:
            raise JournalError(f"trial {result.trial_id} was told but never asked")
        self.results[result.trial_id] = result
        trial = self.trials[result.trial_id]
        own = rank(trial, result)
        if own is not None and (self._rank is None or own < self._rank):
            self.incumbent, self._rank = Evaluation(trial=trial, result=result), own
        return True

    @property
    def pending(self) -> list[Trial]:
        """Of the search and its probe, asked and not told, oldest first."""
        return [t for t in map(self.trials.__getitem__, self.asked_under) if t.origin is not Origin.BASELINE]

    def evaluations(self) -> Iterator[Evaluation]:
        """All finished evaluations in the order of telling."""
        return (Evaluation(trial=self.trials[i], result=r) for i, r in self.results.items())


def read_events(path: Path) -> Iterator[Event]:
    """The events of a journal, without its torn last line if it has one; an absent file has none.

    Raises:
        JournalError: the file cannot be read, or a line before the last is damaged; its number is named.
    """
    for nth, line in lines(path):
        try:
            event = Event.from_line(line)
        except (RecordError, ValueError, RecursionError) as e:
            raise JournalError(
                f"{path}, line {nth} is damaged ({str(e)[:300]}); nothing was changed. Restore the file from a backup: "
                "what was asked after this line depends on it"
            ) from e
        yield event


def fold(path: Path, *, heard: Callable[[State, Event], None] | None = None) -> State:
    """The state that a journal folds to.

    Args:
        path: of the journal.
        heard: called after every line that counts, with the state and what the line says, with all details of a result.

    Raises:
        JournalError: a line is damaged, or contradicts an earlier one; its number is named.
    """
    state = State()
    with _uncollected():
        for nth, event in enumerate(read_events(path), start=1):
            try:
                counts = state.apply(event)
            except JournalError as e:
                raise JournalError(f"{path}, line {nth}: {e}; nothing was changed. Restore the file from a backup") from e
            if counts and heard is not None:
                heard(state, event)
    return state


@contextmanager
def _uncollected() -> Iterator[None]:
    """Spares a fold the search for circles among hundreds of thousands of records, which have none: a fifth of its time."""
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()


class Journal:
    """The journal in the hands of its one writer; every line is on the disk before the call returns.

    Args:
        path: of the file.
        state: what it folds to.
        check: called before every line; raises where somebody else may be the writer by now.
    """

    def __init__(self, path: Path, state: State, *, check: Callable[[], None] = lambda: None) -> None:
        self._path = path
        self._check = check
        self.state = state

    def lead(self, event: Event, *, size: int) -> None:
        """Writes the line that begins a term, and makes sure that it follows what the state was folded from.

        Args:
            event: the line.
            size: bytes of the file when it was folded, without a torn end.

        Raises:
            StudyHeldError: an earlier master, stopped until now, wrote a last line that this one has not read.
        """
        self.write(event)
        with self._path.open("rb") as stream:
            stream.seek(size)
            written = stream.read()
        if written != event.to_line().encode() + b"\n":
            raise StudyHeldError(f"an earlier master wrote to {self._path} while this one took over; run the same command again")

    def write(self, event: Event) -> None:
        """Appends an event and takes it into the state.

        Raises:
            StorageError: the disk refused; state and file are as they were.
            StudyHeldError: somebody else may be the writer by now.
            JournalError: the event contradicts an earlier one; state and file are as they were.
        """
        if event.trial is not None and event.trial.trial_id in self.state.trials:
            raise JournalError(f"trial {event.trial.trial_id} was asked before; the method has used its id twice")
        if event.result is not None and event.result.trial_id not in self.state.trials:
            raise JournalError(f"trial {event.result.trial_id} was told but never asked")
        self._check()
        append_line(self._path, event.to_line())
        self.state.apply(event)
