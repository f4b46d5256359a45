"""Runs a one-shot search for a number of seconds, or of steps: the last step ends with the budget, and its fraction is 1."""

import math
import statistics
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from bohb_nas.oneshot.search import Search
from bohb_nas.oneshot.snapshots import Snapshot, Snapshots, sound
from bohb_nas.oneshot.standing import Standing
from bohb_nas.records import Status
from bohb_nas.training.clock import TrainingClock
from bohb_nas.training.loop import Length
from bohb_nas.training.outcome import Outcome
from bohb_nas.training.position import Leave, Point
from bohb_nas.training.validation import Score

_MARKS = [i / 20 for i in range(1, 20)]
"""Fractions of the budget at which the curve has a point, besides its end."""
_CLOSE = 1e-9
"""Fractions closer than this are the same."""
_TRIED = (0.0, 0.45, 0.45)
"""Fractions at which steps are tried before the clock starts: one that only trains, and two in the thick of the search."""
_EVERY = 50
"""Steps from one snapshot to the next."""
_RESTORATIONS = 3
"""After so many a search that diverges again is given up."""
_JUDGE_SHARE = 0.05
"""Of the budget, for the validation of what was found; not of its seconds."""


@dataclass(slots=True, kw_only=True)
class Searched(Outcome):
    """What became of a search."""

    restored: list[dict[str, Any]] = field(default_factory=list)
    """As in `Standing`."""


def run(
    search: Search,
    plan: Length,
    clock: TrainingClock,
    on_point: Callable[[Point], None],
    *,
    standing: Standing | None = None,
    leave: Leave[Standing] | None = None,
) -> Searched:
    """Searches from where the search stands to the end of the budget, then judges what was found.

    Args:
        search: at its beginning, or where an interrupted one was.
        plan: how long.
        clock: not started yet.
        on_point: told every new point of the curve as soon as it is there.
        standing: where an interrupted search of this plan stood.
        leave: how it is interrupted; without one it is not.
    """
    leave = leave or Leave()
    outcome = Searched(steps=search.steps)
    if standing is not None:
        clock.credit(standing.train_s)
        outcome.train_s, outcome.curve, outcome.restored = standing.train_s, list(standing.curve), list(standing.restored)
    began = clock.now()
    estimate = _step_seconds(search, clock, leave.asked)
    outcome.warmup_s = clock.now() - began
    longest = plan.budget_s / plan.min_steps if standing is None else math.inf  # who has begun is not turned away any more
    if leave.asked():
        outcome.preempt(plan.budget_s)
    elif estimate > longest and plan.max_steps is None:
        outcome.status = Status.TIMED_OUT
        outcome.message = (
            f"a step of the search takes {estimate:.3g} s: fewer than {plan.min_steps} fit into {plan.budget_s:.4g} s; "
            f"accepted are budgets from {plan.min_steps * estimate:.3g} s, and spaces of smaller networks or batches"
        )
    else:
        _Run(search, plan, clock, on_point, outcome, estimate, standing, leave).search()
    return outcome


def _step_seconds(search: Search, clock: TrainingClock, asked: Callable[[], bool]) -> float:
    """Seconds of a step; pays what only first steps cost, and leaves the search as it was."""
    before, seconds = Snapshot(search), list[float]()
    for u in _TRIED:
        if asked():
            break
        began = clock.now()
        search.step(u, 1 / (1 - u))
        seconds.append(clock.now() - began)
    before.give(search)
    return min(seconds[1:], default=0.0)


class _Run:
    """One search between its steps."""

    def __init__(
        self,
        search: Search,
        plan: Length,
        clock: TrainingClock,
        on_point: Callable[[Point], None],
        outcome: Searched,
        estimate: float,
        standing: Standing | None,
        leave: Leave[Standing],
    ) -> None:
        self._search, self._plan, self._clock, self._on_point, self._outcome = search, plan, clock, on_point, outcome
        self._estimate = estimate
        """Seconds of a step, as recent steps predict it."""
        self._leave = leave
        self._used_s = self._saved_at_s = outcome.train_s
        self._u = 0.0 if standing is None else standing.u
        self._loss, self._n = (0.0, 0) if standing is None else standing.sums
        """Sum since the last point of the curve, and of how many steps."""
        self._step_times: list[float] = []
        last = outcome.curve[-1]["u"] if outcome.curve else 0.0
        self._marks = _beyond(last)
        self._good = Snapshots(search, every=_EVERY)

    def search(self) -> None:
        """Steps until the budget is used.

        A step before the last is begun only when both are predicted to fit, and none once the budget is used, so the end misses it by
        less than the longest step.
        """
        self._clock.start()
        while not self._over() and self._outcome.status is Status.OK:
            self._step()
            if not self._over() and self._outcome.status is Status.OK:
                self._pause()
        self._clock.stop()
        if self._outcome.status is Status.OK and self._used_s >= self._leave.every_s:
            self._save()  # judging and exporting may be killed, too
        self._finish()

    def _over(self) -> bool:
        if self._plan.max_steps is not None:
            return self._search.steps >= self._plan.max_steps
        return self._u >= 1 or self._used_s >= self._plan.budget_s

    def _step(self) -> None:
        left, share = self._steps_left()
        self._u = 1.0 if left == 1 else max(self._u, 1 - (left - 1) * share)
        began_s = self._clock.seconds()
        loss = self._search.step(self._u, left)
        self._used_s = self._clock.seconds()
        self._step_times.append(self._used_s - began_s)
        self._estimate += 0.2 * (self._step_times[-1] - self._estimate)
        if not math.isfinite(loss):
            self._go_back(loss)
        elif self._over() and not sound(self._search):  # its last update, after the loss, has spoilt it
            self._go_back(math.nan)
        else:
            self._loss, self._n = self._loss + loss, self._n + 1
            self._good.follow()

    def _steps_left(self) -> tuple[int, float]:
        """Steps still to take, and the fraction of the whole that one of them is."""
        if self._plan.max_steps is not None:
            return max(1, self._plan.max_steps - self._search.steps), 1 / self._plan.max_steps
        step_s = max(self._estimate, 1e-9)
        left = math.floor((self._plan.budget_s - self._used_s) / step_s + 1e-6)
        return max(1, left), step_s / self._plan.budget_s

    def _go_back(self, loss: float) -> None:
        """Puts a search that has diverged back to where it was well, on another path from there; or gives it up."""
        outcome, failed = self._outcome, self._search.steps
        if len(outcome.restored) >= _RESTORATIONS:
            outcome.status = Status.DIVERGED
            outcome.message = f"the training loss or the weights became {loss} by step {failed}, after {_RESTORATIONS} restorations"
            return
        back = self._good.go_back()
        outcome.restored.append({"step": failed, "u": self._u, "loss": str(loss), "to": back})
        self._search.disturb(len(outcome.restored))
        self._loss, self._n = 0.0, 0
        if self._plan.max_steps is not None:
            self._u = back / self._plan.max_steps

    def _pause(self) -> None:
        """What is due between two steps; not on the training clock."""
        asked = self._leave.asked()
        due = self._used_s - self._saved_at_s >= self._leave.every_s
        marked = self._marks[0] <= self._u + _CLOSE
        if not (asked or due or marked):
            return
        self._clock.stop()
        if marked:
            self._marks = _beyond(self._u)
            self._point(None)
        if asked or due:
            self._save()
        if asked and self._outcome.status is Status.OK:
            self._outcome.preempt(self._plan.budget_s)
        if self._outcome.status is Status.OK:
            self._clock.start()

    def _save(self) -> None:
        """Has this state kept; one that is not sound is put back before."""
        if not sound(self._search):
            self._go_back(math.nan)
        outcome, began = self._outcome, self._clock.now()
        if outcome.status is not Status.OK:
            return
        self._saved_at_s = outcome.train_s = self._clock.seconds()
        self._leave.save(
            Standing(
                train_s=outcome.train_s,
                u=self._u,
                sums=(self._loss, self._n),
                curve=list(outcome.curve),
                restored=list(outcome.restored),
            )
        )
        outcome.save_s += self._clock.now() - began

    def _point(self, score: Score | None) -> None:
        """Adds a point to the curve and starts the sums anew."""
        outcome = self._outcome
        point: Point = {"u": self._u, "t": self._clock.seconds(), "step": self._search.steps}
        if self._n:
            outcome.train_loss = point["train_loss"] = self._loss / self._n
        point |= {name: float(value) for name, value in self._search.point().items() if math.isfinite(value)}
        if score is not None:
            point |= {"valid_error": score.error, "n_valid": score.n}
        outcome.curve.append(point)
        self._on_point(point)
        self._loss, self._n = 0.0, 0

    def _finish(self) -> None:
        outcome = self._outcome
        outcome.train_s, outcome.steps = self._clock.seconds(), self._search.steps
        if self._step_times:
            outcome.step_s, outcome.step_max_s = statistics.median(self._step_times), max(self._step_times)
        if outcome.status is Status.OK:
            began = self._clock.now()
            counted = self._plan.max_steps is not None  # what fits into a share of seconds is never the same twice
            outcome.valid = self._search.judge(math.inf if counted else _JUDGE_SHARE * self._plan.budget_s)
            outcome.valid_s = self._clock.now() - began
            self._u = 1.0
            self._point(outcome.valid)


def _beyond(u: float) -> list[float]:
    """The marks that are still to come; there is always one."""
    return [mark for mark in _MARKS if mark > u + _CLOSE] or [math.inf]
