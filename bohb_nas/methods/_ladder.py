"""Runs one shared ladder of rungs without barriers: asynchronous successive halving with delayed promotion.

A free worker always gets a trial: the best configuration that has earned the next rung, highest rung first, or else a
new one. Eager promotion is ASHA's (Li et al. 2020, MLSys, algorithm 2): whoever is in the top 1 / eta of its rung goes
up. Delayed promotion also asks that a rung has seen enough, and that no more than 1 in eta of it has gone up, since the
first to arrive would else be promoted for lack of rivals (Li et al. 2022, Hyper-Tune, section 4.3).
"""

import bisect
import heapq
import math
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np

from bohb_nas.knowledge import Knowledge
from bohb_nas.methods._brackets import check_result, given, never_asked, not_due
from bohb_nas.records import Budgets, Idle, Origin, Result, Trial, Value
from bohb_nas.samplers.uniform import Proposal


class Sampler(Protocol):
    """Proposes new configurations, says where they enter, and learns from what is asked and told."""

    def entry(self, rng: np.random.Generator) -> int:
        """The rung at which the next new configuration starts."""
        ...

    def propose(self, rng: np.random.Generator) -> Proposal:
        """A new configuration; all randomness comes from the generator."""
        ...

    def asked(self, number: int, config: Mapping[str, Value]) -> None:
        """The configuration of that number has begun, whatever the rung."""
        ...

    def observe(self, number: int, *, rung: int, loss: float | None, result: Result) -> None:
        """It has ended there; None is a failure, or a broken constraint."""
        ...


@dataclass(slots=True, kw_only=True)
class _Member:
    """A configuration on the ladder."""

    number: int
    config: Mapping[str, Value]
    seed: int
    bracket: int

    @property
    def config_id(self) -> str:
        return f"c{self.number:05d}"


@dataclass(slots=True)
class _Rung:
    """The results of a rung; of equals the one told first is the better."""

    n_told: int = 0
    """Results, failures too."""
    waiting: list[tuple[float, int, int]] = field(default_factory=list)
    """(loss, how many were told before, number) of those that have not gone up: a heap."""
    promoted: list[tuple[float, int]] = field(default_factory=list)
    """(loss, how many were told before) of those that have, best first."""

    def add(self, loss: float | None, number: int) -> None:
        if loss is not None:
            heapq.heappush(self.waiting, (loss, self.n_told, number))
        self.n_told += 1

    def rank(self) -> int:
        """How many are better than the best that waits: all of them have gone up, each when it was the best that waited."""
        return bisect.bisect_left(self.promoted, self.waiting[0][:2])

    def promote(self) -> None:
        """Lets the best that waits go up."""
        loss, before, _ = heapq.heappop(self.waiting)
        bisect.insort(self.promoted, (loss, before))


class Ladder:
    """The optimizer of every method without barriers.

    Args:
        sampler: where new configurations come from.
        budgets: the ladder.
        seed: the n-th new configuration is drawn from the stream (seed, n); beside an earlier study, which may have had
            that seed, a number that stands for the study comes between.
        delayed: whether promotion waits until a rung has seen enough.
        knowledge: its initial configurations come first.
    """

    def __init__(self, sampler: Sampler, budgets: Budgets, *, seed: int, delayed: bool, knowledge: Knowledge) -> None:
        self.reason = "nothing was asked"
        """Why the last ask came out as it did."""
        self.explanation: Mapping[str, Any] | None = None
        """What led to the last ask, where it came from a model: JSON."""
        self._sampler = sampler
        self._budgets, self._top, self._eta = budgets.rungs, len(budgets.rungs) - 1, budgets.eta
        self._stream = (seed, _told(knowledge)) if knowledge.history else (seed,)
        self._delayed, self._knowledge = delayed, knowledge
        self._untried = [*knowledge.initial]
        self._rungs = [_Rung() for _ in self._budgets]
        self._members: list[_Member] = []
        self._pending: dict[str, tuple[_Member, int]] = {}
        self._done: set[str] = set()
        self._n_asked = 0

    def ask(self) -> Trial | Idle:
        """The next trial; there always is one. Its configuration is a copy, whatever becomes of it."""
        self.explanation = None
        promotion = self._promotion()
        if promotion is not None:
            rung, member = promotion
            self.reason = f"among the best 1 in {self._eta:g} of {self._rungs[rung].n_told} on budget {self._budgets[rung]:g}"
            trial = self._trial(member, rung + 1, Origin.PROMOTED)
        else:
            trial = self._new()
        self._take(trial)
        return replace(trial, config=dict(trial.config))

    def replay(self, trial: Trial) -> None:
        """Takes back a trial that was asked before an interruption: advances as `ask` does, without drawing anything.

        Raises:
            JournalError: another trial would have been asked next.
        """
        promotion = self._promotion()
        if promotion is not None:
            rung, member = promotion
            expected = self._trial(member, rung + 1, Origin.PROMOTED)
            fits = _place(trial) == _place(expected) and trial.origin is Origin.PROMOTED
        else:
            fits = _place(trial)[:2] == (f"t{self._n_asked:05d}", f"c{len(self._members):05d}") and trial.origin is not Origin.PROMOTED
            fits = fits and trial.rung <= self._top and trial.bracket == self._top - trial.rung
        if not fits or not math.isclose(trial.budget, self._budgets[trial.rung], rel_tol=1e-9):
            due = "a new configuration" if promotion is None else f"configuration {promotion[1].config_id} on rung {promotion[0] + 1}"
            raise not_due(trial, f"t{self._n_asked:05d} ({due})")
        self._take(trial)

    def tell(self, result: Result) -> None:
        """Takes in what became of an asked trial; the first result of a trial counts, later ones are ignored.

        Raises:
            RecordError: it is no result, or no such trial was asked.
        """
        check_result(result)
        if result.trial_id in self._done:
            return
        if result.trial_id not in self._pending:
            raise never_asked(result, self._n_asked)
        member, rung = self._pending.pop(result.trial_id)
        self._done.add(result.trial_id)
        loss = self._knowledge.loss(result)
        self._rungs[rung].add(loss, member.number)
        self._sampler.observe(member.number, rung=rung, loss=loss, result=result)

    def promotable(self) -> set[str]:
        """Configurations whose checkpoints may still be continued: those that wait below the top, and those in training.

        What is in training at the top may still have to read the checkpoint that it continues; what began there has none.
        """
        waiting = {self._members[number].config_id for rung in self._rungs[:-1] for _, _, number in rung.waiting}
        return waiting | {member.config_id for member, _ in self._pending.values() if member.bracket > 0}

    def _promotion(self) -> tuple[int, _Member] | None:
        """The rung and the member that goes up next."""
        for k in reversed(range(self._top)):
            rung = self._rungs[k]
            if not rung.waiting or (self._delayed and not self._ripe(k)):
                continue
            if rung.rank() < math.floor(rung.n_told / self._eta + 1e-9):
                return k, self._members[rung.waiting[0][2]]
        return None

    def _ripe(self, k: int) -> bool:
        """Whether rung k of 0 … K has seen enough to send one more up.

        That is n >= max(eta, eta^(K - k - 1)) results, of which n / (promoted + 1) >= eta once anything has gone up.
        """
        n, promoted = self._rungs[k].n_told, len(self._rungs[k].promoted)
        first = max(self._eta, self._eta ** (self._top - k - 1))
        return n >= first * (1 - 1e-9) and (promoted == 0 or n / (promoted + 1) >= self._eta * (1 - 1e-9))

    def _new(self) -> Trial:
        number = len(self._members)
        rng = np.random.default_rng((*self._stream, number))
        seed = int(rng.integers(2**31))
        rung = self._sampler.entry(rng)
        proposal = given(self._untried, of=self._knowledge) or self._sampler.propose(rng)
        self.reason, self.explanation = proposal.reason, proposal.explanation
        member = _Member(number=number, config=proposal.config, seed=seed, bracket=self._top - rung)
        return self._trial(member, rung, proposal.origin)

    def _trial(self, member: _Member, rung: int, origin: Origin) -> Trial:
        return Trial(
            trial_id=f"t{self._n_asked:05d}",
            config_id=member.config_id,
            config=member.config,
            budget=self._budgets[rung],
            bracket=member.bracket,
            rung=rung,
            seed=member.seed,
            origin=origin,
        )

    def _take(self, trial: Trial) -> None:
        number = int(trial.config_id[1:])
        if number == len(self._members):
            self._members.append(_Member(number=number, config=trial.config, seed=trial.seed, bracket=trial.bracket))
            if trial.origin is Origin.INITIAL and trial.config in self._untried:  # not by number: fewer may be allowed now
                self._untried.remove(trial.config)
        else:
            self._rungs[trial.rung - 1].promote()
        self._pending[trial.trial_id] = self._members[number], trial.rung
        self._n_asked += 1
        self._sampler.asked(number, trial.config)


def _place(trial: Trial) -> tuple[str, str, int, int]:
    return trial.trial_id, trial.config_id, trial.bracket, trial.rung


def _told(knowledge: Knowledge) -> int:
    """A number that stands for an earlier study's evaluations."""
    return zlib.crc32(repr([(e.trial.seed, e.trial.budget) for e in knowledge.history]).encode())
