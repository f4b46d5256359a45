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
from bohb_nas.entries import check_option, is_whole
from bohb_nas.errors import JournalError, KnowledgeError, RecordError, UsageError
from bohb_nas.hyperband import Bracket, Rung
from bohb_nas.knowledge import NOTHING, Knowledge
from bohb_nas.records import Idle, Origin, Result, Trial, Value
from bohb_nas.samplers.uniform import Proposal

_MOST = 10_000_000
"""Configurations that a bracket may begin with, for each of which it keeps a place."""


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
    check_option("n_brackets", n_brackets, n_brackets is None or is_whole(n_brackets, 1), "a whole number from 1, or none for no end")


def refuse_history(method: str, knowledge: Knowledge) -> None:
    """Raises KnowledgeError when a method that learns nothing from an earlier study is given one."""
    if knowledge.history:
        raise KnowledgeError(f"method {method} cannot learn from an earlier study; leave --warm-start out, or use --method bohb")


def given(untried: Sequence[Mapping[str, Value]], *, of: Knowledge) -> Proposal | None:
    """The configuration that the user wants tried next, while there is one."""
    if not untried:
        return None
    n = len(of.initial)
    return Proposal(config=dict(untried[0]), origin=Origin.INITIAL, reason=f"given at the start, {n - len(untried) + 1} of {n}")


def check_result(told: object) -> None:
    """Refuses what a method is told, unless it is a result.

    Raises:
        RecordError: it is none.
    """
    if not isinstance(told, Result):
        raise RecordError(f"the method was told {repr(told)[:200]}; accepted is the Result of a trial that it asked for")


def never_asked(result: Result, n_asked: int) -> RecordError:
    """What to raise at the result of no asked trial."""
    return RecordError(f"result of trial {result.trial_id!r}, which was never asked; accepted are results of the {n_asked} asked trials")


def not_due(trial: Trial, due: str) -> JournalError:
    """What to raise at the replay of another trial than the one that is due."""
    return JournalError(
        f"trial {trial.trial_id} (configuration {trial.config_id}, bracket {trial.bracket}, rung {trial.rung}, budget {trial.budget:g}) "
        f"cannot be replayed: this search would have asked {due}; resume with the method, budgets and eta of the start"
    )


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
        if (n := max(bracket.rungs[0].size for bracket in brackets)) > _MOST:
            raise UsageError(
                f"a bracket on these budgets begins with {n:.3g} configurations; accepted are at most {_MOST:,}; "
                "give a larger budget-min or a smaller eta, or a method without brackets, such as bohb"
            )
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
        self._pending: dict[str, tuple[int, int]] = {}  # of a running trial: the bracket, and the place in its rung
        self._done: set[str] = set()

    def ask(self) -> Trial | Idle:
        """The next trial, or why there is none. Its configuration is a copy, whatever becomes of it."""
        if not self._ready and self._n_brackets is not None and self._n_opened >= self._n_brackets:
            n = len(self._pending)
            self.reason = f"no trial until a result of the last brackets comes; running: {n}" if n else "all brackets are finished"
            return Idle.WAIT if self._pending else Idle.DONE
        running, member, trial_id, config_id = self._next_place()
        config: Mapping[str, Value]
        if member is None:
            rng = np.random.default_rng((self._seed, self._n_configs))
            seed = int(rng.integers(2**31))
            proposal = given(self._untried, of=self._knowledge) or self._sampler.propose(rng)
            config, origin, self.reason = proposal.config, proposal.origin, proposal.reason
        else:
            config, seed, origin = member.config, member.seed, Origin.PROMOTED
            self.reason = running.promoted
        trial = Trial(
            trial_id=trial_id,
            config_id=config_id,
            config=config,
            budget=running.rung.budget,
            bracket=running.bracket.s,
            rung=running.rung.index,
            seed=seed,
            origin=origin,
        )
        self._take(trial)
        return replace(trial, config=dict(trial.config))

    def replay(self, trial: Trial) -> None:
        """Takes back a trial that was asked before an interruption: advances as `ask` does, without drawing anything.

        Raises:
            JournalError: another trial would have been asked next.
        """
        running, _, trial_id, config_id = self._next_place()
        s, rung = running.bracket.s, running.rung
        expected = (trial_id, config_id, s, rung.index)
        found = (trial.trial_id, trial.config_id, trial.bracket, trial.rung)
        if found != expected or not math.isclose(trial.budget, rung.budget, rel_tol=1e-9):
            due = f"configuration {config_id}, bracket {s}, rung {rung.index}, budget {rung.budget:g}"
            raise not_due(trial, f"{trial_id} ({due})")
        self._take(trial)

    def tell(self, result: Result) -> None:
        """Takes in what became of an asked trial; the first result of a trial counts, later ones are ignored.

        Raises:
            RecordError: it is no result, or no such trial was asked.
        """
        check_result(result)
        if result.trial_id in self._done:
            return
        pending = self._pending.pop(result.trial_id, None)
        if pending is None:
            raise never_asked(result, self._n_asked)
        self._done.add(result.trial_id)
        bracket, position = pending
        running, loss = self._open[bracket], self._knowledge.loss(result)
        self._sampler.observe(running.members[position].config, budget=running.rung.budget, loss=loss)
        match running.record(position, loss):
            case "promoted":
                heapq.heappush(self._ready, bracket)
            case "ended":
                del self._open[bracket]

    def promotable(self) -> set[str]:
        """Configurations whose checkpoints may still be continued: the members of open brackets of more than one rung."""
        return {m.config_id for running in self._open.values() if len(running.bracket.rungs) > 1 for m in running.members}

    def _next_place(self) -> "tuple[_Running, _Member | None, str, str]":
        """Bracket, member (None: a new one is due) and ids of the next trial; opens a bracket when no open one has one to give."""
        if not self._ready:
            self._open[self._n_opened] = _Running(self._round[self._n_opened % len(self._round)], refill=self._refill)
            self._ready.append(self._n_opened)
            self._n_opened += 1
        running = self._open[self._ready[0]]
        member = running.members[running.n_asked] if running.n_asked < len(running.members) else None
        return running, member, f"t{self._n_asked:05d}", f"c{self._n_configs:05d}" if member is None else member.config_id

    def _take(self, trial: Trial) -> None:
        running = self._open[self._ready[0]]
        if running.n_asked == len(running.members):
            running.members.append(_Member(config_id=trial.config_id, config=trial.config, seed=trial.seed))
            self._n_configs += 1
            if trial.origin is Origin.INITIAL and trial.config in self._untried:  # not by number: fewer may be allowed now
                self._untried.remove(trial.config)
        self._pending[trial.trial_id] = self._ready[0], running.n_asked
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

    @property
    def rung(self) -> Rung:
        """That of the step."""
        return self.bracket.rungs[self.step]

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
        self.promoted = f"among the best {len(best)} of {len(self.losses)} on budget {self.rung.budget:g}"
        self.step += 1
        self.members = [self.members[i] for i in best]
        self.losses = [None] * (size if self.refill else len(best))
        self.n_asked = self.n_told = 0
        return "promoted"
