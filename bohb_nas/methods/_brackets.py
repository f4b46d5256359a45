"""Runs brackets of successive halving as HpBandSter's master does.

Brackets follow each other from s = max to 0, over and over. A free worker takes the next trial of the oldest bracket
that has one, and opens the next bracket when none has: nobody waits while a rung of another bracket is finishing.
When all of a rung is told, its best OK configurations move up. A failed one never does, nor one that breaks a constraint.
When too few can move up, the next rung is smaller, and a rung without any OK result ends its bracket; or, as in HpBandSter,
the next rung is topped up with new configurations. What the user wants tried first are the first new configurations.
"""

import heapq
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from bohb_nas import hyperband
from bohb_nas.entries import check_option, whole
from bohb_nas.errors import JournalError, KnowledgeError, RecordError
from bohb_nas.hyperband import Bracket, Rung
from bohb_nas.knowledge import NOTHING, Knowledge
from bohb_nas.records import Idle, Origin, Result, Trial, Value
from bohb_nas.samplers.uniform import Proposal


class Sampler(Protocol):
    """Proposes new configurations and learns from results."""

    def propose(self, rng: np.random.Generator) -> Proposal:
        """A new configuration; all randomness comes from the generator."""
        ...

    def observe(self, config: Mapping[str, Value], *, budget: float, loss: float | None) -> None:
        """Takes in a result; None is a failed one."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What can be chosen of a method that is nothing but brackets.

    Raises:
        OptionError: a value is not accepted.
    """

    n_brackets: int | None = None
    """Brackets to open; None for no end."""

    def __post_init__(self) -> None:
        check_n_brackets(self.n_brackets)


def check_n_brackets(n_brackets: int | None) -> None:
    """Raises OptionError unless it is None or a whole number from 1."""
    check_option("n_brackets", n_brackets, n_brackets is None or whole(n_brackets, 1), "a whole number from 1, or none for no end")


def refuse_history(method: str, knowledge: Knowledge) -> None:
    """Raises KnowledgeError when a method that learns nothing from an earlier study is given one."""
    if knowledge.history:
        raise KnowledgeError(f"method {method} cannot learn from an earlier study; leave --warm-start out, or use --method bohb")


class Brackets:
    """The optimizer of every method with synchronous brackets.

    Args:
        sampler: where new configurations come from.
        brackets: one round of brackets, repeated.
        seed: the n-th new configuration is drawn from the stream (seed, n).
        n_brackets: how many brackets to open; None for no end.
        refill: whether new configurations take the places of those that failed a rung below.
        knowledge: what to try first, and which results count; the sampler keeps to what is allowed.
    """

    def __init__(
        self,
        sampler: Sampler,
        brackets: Sequence[Bracket],
        *,
        seed: int,
        n_brackets: int | None,
        refill: bool = False,
        knowledge: Knowledge = NOTHING,
    ) -> None:
        self.reason = "nothing was asked"
        """Why the last ask came out as it did."""
        self._sampler = sampler
        self._round = tuple(brackets)
        self._seed = seed
        self._n_brackets = n_brackets
        self._refill = refill
        self._knowledge = knowledge
        self._untried = [*knowledge.initial]
        self._open: dict[int, _Running] = {}
        self._ready: list[int] = []  # a heap: the open brackets that have a trial to give, oldest first
        self._n_opened = 0
        self._n_asked = 0
        self._n_configs = 0
        self._pending: dict[str, _Pending] = {}
        self._done: set[str] = set()

    def ask(self) -> Trial | Idle:
        """The next trial, or why there is none. Its configuration is a copy, whatever becomes of it."""
        if not self._ready and self._n_brackets is not None and self._n_opened >= self._n_brackets:
            n = len(self._pending)
            self.reason = f"no trial until a result of the last brackets comes; running: {n}" if n else "all brackets are finished"
            return Idle.WAIT if self._pending else Idle.DONE
        place = self._next_place()
        config: Mapping[str, Value]
        if place.member is None:
            rng = np.random.default_rng((self._seed, self._n_configs))
            seed = int(rng.integers(2**31))
            proposal = self._initial() or self._sampler.propose(rng)
            config, origin, self.reason = proposal.config, proposal.origin, proposal.reason
        else:
            config, seed, origin = place.member.config, place.member.seed, Origin.PROMOTED
            self.reason = place.running.promoted
        trial = Trial(
            trial_id=place.trial_id,
            config_id=place.config_id,
            config=config,
            budget=place.rung.budget,
            bracket=place.running.bracket.s,
            rung=place.rung.index,
            seed=seed,
            origin=origin,
        )
        self._take(place, trial)
        return replace(trial, config=dict(trial.config))

    def replay(self, trial: Trial) -> None:
        """Takes back a trial that was asked before an interruption: advances as `ask` does, without drawing anything.

        Raises:
            JournalError: another trial would have been asked next.
        """
        place = self._next_place()
        s = place.running.bracket.s
        expected = (place.trial_id, place.config_id, s, place.rung.index)
        found = (trial.trial_id, trial.config_id, trial.bracket, trial.rung)
        if found != expected or not math.isclose(trial.budget, place.rung.budget, rel_tol=1e-9):
            raise JournalError(
                f"trial {trial.trial_id} (configuration {trial.config_id}, bracket {trial.bracket}, rung {trial.rung}, "
                f"budget {trial.budget:g}) cannot be replayed: this search would have asked {place.trial_id} "
                f"(configuration {place.config_id}, bracket {s}, rung {place.rung.index}, budget {place.rung.budget:g}); "
                "resume with the method, budgets and eta of the start"
            )
        self._take(place, trial)

    def tell(self, result: Result) -> None:
        """Takes in what became of an asked trial; the first result of a trial counts, later ones are ignored.

        Raises:
            RecordError: no such trial was asked.
        """
        if result.trial_id in self._done:
            return
        pending = self._pending.pop(result.trial_id, None)
        if pending is None:
            raise RecordError(
                f"result of trial {result.trial_id!r}, which was never asked; accepted are results of the {self._n_asked} asked trials"
            )
        self._done.add(result.trial_id)
        loss = self._knowledge.loss(result)
        self._sampler.observe(pending.config, budget=pending.budget, loss=loss)
        running = self._open[pending.bracket]
        match running.record(pending.position, loss):
            case "promoted":
                heapq.heappush(self._ready, pending.bracket)
            case "ended":
                del self._open[pending.bracket]

    def promotable(self) -> set[str]:
        """Configurations whose checkpoints may still be continued: the members of open brackets of more than one rung."""
        return {m.config_id for running in self._open.values() if len(running.bracket.rungs) > 1 for m in running.members}

    def _initial(self) -> Proposal | None:
        """The configuration that the user wants tried next, while there is one."""
        if not self._untried:
            return None
        n = len(self._knowledge.initial)
        number = n - len(self._untried) + 1
        return Proposal(config=dict(self._untried[0]), origin=Origin.INITIAL, reason=f"given at the start, {number} of {n}")

    def _next_place(self) -> "_Place":
        """Where the next trial belongs; opens a bracket when no open one has a trial to give."""
        if not self._ready:
            self._open[self._n_opened] = _Running(self._round[self._n_opened % len(self._round)], refill=self._refill)
            self._ready.append(self._n_opened)
            self._n_opened += 1
        running = self._open[self._ready[0]]
        member = running.members[running.n_asked] if running.n_asked < len(running.members) else None
        return _Place(
            running=running,
            rung=running.bracket.rungs[running.step],
            trial_id=f"t{self._n_asked:05d}",
            config_id=f"c{self._n_configs:05d}" if member is None else member.config_id,
            member=member,
        )

    def _take(self, place: "_Place", trial: Trial) -> None:
        running = place.running
        if place.member is None:
            running.members.append(_Member(config_id=trial.config_id, config=trial.config, seed=trial.seed))
            self._n_configs += 1
            if trial.origin is Origin.INITIAL and trial.config in self._untried:  # not by number: fewer may be allowed now
                self._untried.remove(trial.config)
        config = running.members[running.n_asked].config
        self._pending[trial.trial_id] = _Pending(bracket=self._ready[0], position=running.n_asked, config=config, budget=place.rung.budget)
        self._n_asked += 1
        running.n_asked += 1
        if running.n_asked == len(running.losses):
            heapq.heappop(self._ready)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Member:
    """A configuration in a bracket."""

    config_id: str
    config: Mapping[str, Value]
    seed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pending:
    """Where the result of an asked trial goes."""

    bracket: int
    position: int
    config: Mapping[str, Value]
    budget: float


class _Running:
    """A bracket at one of its rungs."""

    __slots__ = ("bracket", "losses", "members", "n_asked", "n_told", "promoted", "refill", "step")

    def __init__(self, bracket: Bracket, *, refill: bool) -> None:
        self.bracket = bracket
        self.refill = refill
        self.step = 0
        self.members: list[_Member] = []
        self.losses: list[float | None] = [None] * bracket.rungs[0].size
        self.n_asked = 0
        self.n_told = 0
        self.promoted = ""

    def record(self, position: int, loss: float | None) -> str:
        """Enters a loss; says whether the rung is still "open", was "promoted" from, or the bracket has "ended"."""
        self.losses[position] = loss
        self.n_told += 1
        if self.n_told < len(self.losses):
            return "open"
        if self.step + 1 == len(self.bracket.rungs):
            return "ended"
        # in the order of the rung, as HpBandSter trains them
        size = self.bracket.rungs[self.step + 1].size
        best = sorted(hyperband.promotions(self.losses, size))
        if not best and not self.refill:
            return "ended"
        self.promoted = f"among the best {len(best)} of {len(self.losses)} on budget {self.bracket.rungs[self.step].budget:g}"
        self.step += 1
        self.members = [self.members[i] for i in best]
        self.losses = [None] * (size if self.refill else len(best))
        self.n_asked = self.n_told = 0
        return "promoted"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """Where the next trial belongs."""

    running: _Running
    rung: Rung
    trial_id: str
    config_id: str
    member: _Member | None
    """None where a new configuration is due."""
