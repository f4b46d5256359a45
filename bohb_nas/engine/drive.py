"""The loop ask -> journal -> submit -> tell: one study, one optimizer, one engine.

Life of a trial: the optimizer is asked; the ask is on the disk before the trial leaves; an engine trains it and
hands back what its result file says; the tell is on the disk before the optimizer hears of it.
"""

import json
import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import Enum, auto
from typing import Protocol

from bohb_nas.engine.checkpoints import Checkpoints
from bohb_nas.engine.probes import Probes
from bohb_nas.errors import BohbNasError, KnowledgeError, RecordError, SpaceError
from bohb_nas.files import dump_json
from bohb_nas.knowledge import NOTHING, Knowledge, untold_text
from bohb_nas.methods import ask
from bohb_nas.records import ASIDE, Budgets, Idle, Optimizer, Origin, Result, Status, Trial, Value
from bohb_nas.store.journal import Event, Journal, State
from bohb_nas.store.notes import printable

HOPELESS = 20
"""When so many trials in a row have crashed, the search is given up."""


class Engine(Protocol):
    """Trains trials somewhere."""

    def free(self) -> int:
        """How many more trials could start at once."""
        ...

    def submit(self, trial: Trial) -> None:
        """Starts a trial that nobody trains."""
        ...

    def adopt(self, trial: Trial) -> None:
        """Takes charge of a trial that an earlier master submitted: finished, in training, or to be started again."""
        ...

    def wait(self, timeout_s: float) -> list[Result]:
        """What has finished, waiting at most so long for something to happen."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class StopRule:
    """When nothing new is asked any more. None: no such limit."""

    trials: int | None = None
    total_s: float | None = None
    """Seconds under a master, over all resumes; nothing is started that could not end in time."""
    worth: float | None = None
    """Sum of the budgets of all trials."""
    in_seconds: bool = True
    """Whether budgets are seconds, so that a trial can be too long for the time left."""

    def reached(self, state: State, *, now: float, budget: float) -> bool:
        """Whether a trial of `budget` may no longer be asked by the search."""
        return (
            (self.trials is not None and state.n_asked >= self.trials)
            or self.late(state, now=now, budget=budget)
            or (self.worth is not None and state.budget_asked + budget > self.worth * (1 + 1e-9))
        )

    def late(self, state: State, *, now: float, budget: float) -> bool:
        """Whether a trial of `budget`, of the search or beside it, could not end in time."""
        led_s = state.led_s + (now - state.last if state.last is not None else 0.0)
        return self.total_s is not None and led_s + (budget + _beside_s(state, budget) if self.in_seconds else 0.0) > self.total_s

    def needs_s(self, state: State, budget: float) -> float | None:
        """Seconds from the start of a trial of `budget` to its result, as far as can be told.

        Where budgets are no seconds: the longest of the latest trials of this budget, or of others in proportion; None before the first.
        """
        if self.in_seconds:
            return budget + _beside_s(state, budget)
        known = state.took_s.get(budget) or [seconds * budget / other for other, of_other in state.took_s.items() for seconds in of_other]
        return max(known, default=None)


def _beside_s(state: State, budget: float) -> float:
    """Seconds that a trial is expected to take beside those of its budget: starting, warm-up, validation.

    The median of the latest of this budget, or of all where there are none; 0 before the first.
    """
    known = state.beside_s.get(budget) or [seconds for of_budget in state.beside_s.values() for seconds in of_budget]
    return max(0.0, statistics.median(known or [0.0]))


class Wish(Enum):
    """What the person in front of the terminal wants."""

    GO_ON = auto()
    DRAIN = auto()
    """Start nothing new, let running trials end."""
    STOP = auto()
    """Leave at once."""


def _checked(trial: Trial) -> Trial:
    """A method's trial after a way through JSON, as everybody else will see it.

    Raises:
        BohbNasError: it breaks the contract.
    """
    try:
        return Trial.from_json(json.loads(dump_json(trial.to_json())))
    except (RecordError, TypeError, ValueError) as e:
        raise BohbNasError(f"the method asked for what is no trial: {e}") from e


@dataclass(slots=True, kw_only=True)
class Drive:
    """Everything that one run of the loop needs."""

    optimizer: Optimizer
    engine: Engine
    journal: Journal
    stop: StopRule
    budgets: Budgets
    continue_promoted: bool
    """Whether a promoted trial continues from its checkpoint; otherwise it starts afresh."""
    checkpoints: Checkpoints
    clock: Callable[[], float]
    wish: Callable[[], Wish]
    notice: Callable[[Event], None]
    """Told of every new event: the live display, the log."""
    tick: Callable[[], None]
    """Called a few times a second."""
    tick_s: float = 0.25
    knowledge: Knowledge = NOTHING
    """Its constraints say which trials are refused and which results do not count."""
    complete: Callable[[Mapping[str, Value]], object] = dict
    """Raises SpaceError for a configuration that is none of the study's space."""
    probes: Probes | None = None
    """Trained beside the search."""
    _n_crashed_in_a_row: int = 0

    def run(self) -> bool:
        """Runs until the stop rule, the optimizer or the person ends it.

        Returns:
            Whether it is finished: nothing is left to ask, no probe either, and all is told.
        """
        for trial in self.journal.state.pending:
            self.engine.adopt(trial)
        asking, waiting = True, False
        while True:
            if not self.journal.state.pending:  # time passes also while nobody is free to be asked for
                asking = asking and not self._over(self.budgets.rungs[0])
            wish = self.wish()
            if wish is Wish.STOP:
                return False
            asking_now = wish is Wish.GO_ON and (asking or self._probe(searching=False) is not None)
            if not self.journal.state.pending and not asking_now:
                self.checkpoints.sweep()
                return wish is Wish.GO_ON
            # Counted before looking at results: whoever is free now has stored what it finished, so it is told before
            # the next ask, as in an undisturbed run.
            free = self.engine.free() if asking_now else 0
            for result in self.engine.wait(0.0 if free > 0 and not waiting else self.tick_s):
                self._tell(result)
                waiting = False
            self.tick()
            if free > 0 and not waiting:
                asking, waiting = self._ask(free, searching=asking)

    def _over(self, budget: float) -> bool:
        """Whether the search may ask nothing more of a budget."""
        return self.stop.reached(self.journal.state, now=self.clock(), budget=budget)

    def _probe(self, *, searching: bool) -> Trial | None:
        """The trial of the rank probe that is due."""
        if self.probes is None:
            return None
        state, now = self.journal.state, self.clock()
        return self.probes.next(state, searching=searching, late=lambda budget: self.stop.late(state, now=now, budget=budget))

    def _ask(self, free: int, *, searching: bool) -> tuple[bool, bool]:
        """Fills at most `free` workers: with what is due of the probe, else with what the search asks while it goes on.

        Returns:
            Whether the search may ever ask anything new, and whether a result must come first.
        """
        state = self.journal.state
        for _ in range(min(free, self.engine.free())):
            if self.probes is not None and (probe := self._probe(searching=searching)) is not None:
                self._write(Event(term=state.term, time=self.clock(), trial=_checked(probe), reason=self.probes.reason(probe)))
                self.engine.submit(probe)
                continue
            if not searching or self._over(self.budgets.rungs[0]):
                return False, False
            asked = ask(self.optimizer)
            if asked is Idle.DONE:
                return False, False
            if isinstance(asked, Idle):
                if all(trial.origin in ASIDE for trial in state.pending):
                    raise BohbNasError("the method waits for a result although nothing is running; it can never go on")
                return True, True
            if self._over(asked.budget):
                return False, False
            trial = replace(_checked(asked), resume_from=self._source(asked))
            if not self.knowledge.allowed(trial.config) and not self._was_asked(trial):
                raise BohbNasError(
                    f"the method asked for {dict(trial.config)}, which breaks a constraint; it must keep to knowledge.allowed()"
                )
            reason, why = getattr(self.optimizer, "reason", None), getattr(self.optimizer, "explanation", None)
            self._write(Event(term=state.term, time=self.clock(), trial=trial, reason=reason, why=why))
            self.engine.submit(trial)
        return searching, False

    def _was_asked(self, trial: Trial) -> bool:
        """Whether it promotes what was allowed when it was drawn: its results count, whatever the user's size() says of it since."""
        known = (t.config for t in self.journal.state.trials.values() if t.config_id == trial.config_id)
        return trial.origin is Origin.PROMOTED and trial.config in known

    def _source(self, trial: Trial) -> str | None:
        """The trial of the same configuration at the highest lower budget, when it is to be continued."""
        if not self.continue_promoted or trial.origin is not Origin.PROMOTED:
            return None
        return self.checkpoints.newest(trial.config_id)

    def _tell(self, result: Result) -> None:
        if result.trial_id in self.journal.state.results:
            return
        result = self._judged(result)
        self._write(Event(term=self.journal.state.term, time=self.clock(), result=result))
        trial = self.journal.state.trials[result.trial_id]
        if trial.origin not in ASIDE:
            self.optimizer.tell(result)
        self.checkpoints.told(result.trial_id)
        self._check_hope(result)
        if trial.origin in ASIDE:
            return
        untold = self.knowledge.untold(trial.config, result)
        if untold:
            raise KnowledgeError(untold_text(untold, result.trial_id, result.metrics))

    def _judged(self, result: Result) -> Result:
        """The result with the constraints that it breaks in its details: the word is the engine's, not the worker's.

        A configuration that the space does not have is left out: nobody could train it, and it would be shown as the incumbent's.
        """
        try:
            if result.config is not None:
                self.complete(result.config)
        except SpaceError as e:
            result = replace(result, config=None, details={**result.details, "config_left_out": str(e)})
        broken = [str(constraint) for constraint in self.knowledge.broken(result)] if result.loss is not None else []
        if not broken and "violates" not in result.details:
            return result
        others = {name: value for name, value in result.details.items() if name != "violates"}
        return replace(result, details={**others, "violates": broken} if broken else others)

    def _check_hope(self, result: Result) -> None:
        """Gives up when trial after trial crashes: that is a mistake to correct, not a loss to learn from."""
        self._n_crashed_in_a_row = self._n_crashed_in_a_row + 1 if result.status is Status.CRASHED else 0
        if self._n_crashed_in_a_row >= HOPELESS:
            raise BohbNasError(
                f"{HOPELESS} trials in a row have crashed; correct what they say and run the same command again, or start a new study. "
                f"The last said:\n{printable(result.message or 'nothing')}"
            )

    def _write(self, event: Event) -> None:
        self.journal.write(event)
        self.notice(event)
