"""Training for a number of seconds: the schedule ends at zero in the last step, and the last step ends with the budget."""

import math
import statistics
from collections.abc import Callable
from dataclasses import dataclass

from bohb_nas.records import Status
from bohb_nas.training import forms
from bohb_nas.training.clock import TrainingClock
from bohb_nas.training.compiling import Compiler
from bohb_nas.training.feed import Feed
from bohb_nas.training.finite import finite
from bohb_nas.training.learner import Learner
from bohb_nas.training.outcome import Fit
from bohb_nas.training.position import Leave, Point, Position
from bohb_nas.training.validation import Score, evaluate
from bohb_nas.training.warm_up import fitting_step_seconds

_VALIDATED = (1 / 27, 1 / 9, 1 / 3, 2 / 3)
"""Fractions of the budget at which the curve has a validation error, besides its end."""
_MARKS = sorted({i / 20 for i in range(1, 20)} | set(_VALIDATED))
"""Fractions of the budget at which the curve has a point."""
_CURVE_SHARE = 0.03
"""Of the budget, for all validations along the curve."""
_FINAL_SHARE = 0.05
"""Of the budget, for the last validation unless it is to be full."""
_FAR = 8
"""Times as long as a step may take: room for convolutions that save FLOPs, and for a device that was busy when its peak was measured."""
_BLOCK_S = 0.1
"""Seconds between two readings of the clock of a device that works asynchronously."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Length:
    """How long to train, or to search."""

    budget_s: float
    """Seconds of training."""
    min_steps: int = 8
    """A network that cannot take this many steps is not trained, a search not begun."""
    max_steps: int | None = None
    """Ends it after so many steps instead, a schedule with it: weights and loss repeat to the bit on a CPU."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan(Length):
    """How long to train, and at what rates."""

    schedule: Callable[[float], float]
    """Fraction of the budget used -> fraction of the peak learning rate; zero at 1."""
    floor_s: float | None = None
    """Seconds that a step takes at the device's peak, where known: what is far too slow there needs no trying."""
    full_validation: bool = False
    """Whether the last validation sees every held-out image, as with `max_steps`; the one with mirror images has to be short."""


def fit(
    learner: Learner,
    plan: Plan,
    clock: TrainingClock,
    on_point: Callable[[Point], None],
    *,
    compiler: Compiler | None = None,
    position: Position | None = None,
    leave: Leave[Position] | None = None,
) -> Fit:
    """Trains the learner's network, then validates it.

    Args:
        learner: its network and optimizer go on from where they are.
        plan: budget and schedule.
        clock: not started yet.
        on_point: told every new point of the learning curve as soon as it is there.
        compiler: compiles the network where that pays; without one its branches stay in the form that they have, too.
        position: where an interrupted training of this plan stood; the learner is that one's.
        leave: how it is interrupted; without one it is not.
    """
    result, leave = _begun(clock, position), leave or Leave()
    if leave.asked():
        result.preempt(plan.budget_s)
        return result
    started = clock.now()
    left_s = plan.budget_s - result.train_s
    longest = plan.budget_s / plan.min_steps if position is None else math.inf  # who has trained is not turned away any more
    if plan.max_steps is None and plan.floor_s is not None and plan.floor_s > _FAR * longest:
        return _too_slow(result, plan, plan.floor_s, " at the peak of the device")
    estimate = fitting_step_seconds(learner, clock, longest=longest, floor_s=plan.floor_s)
    result.warmup_s = clock.now() - started
    if plan.max_steps is None and estimate > longest:
        return _too_slow(result, plan, estimate)
    if compiler is not None and not leave.asked():
        result.form, estimate = forms.choose(learner, clock, budget_s=left_s, step_s=estimate)
    if compiler is not None and not leave.asked():
        result.compiled, estimate = compiler.speed_up(learner, clock, budget_s=left_s, step_s=estimate)
    result.warmup_s = clock.now() - started
    if leave.asked():
        result.preempt(plan.budget_s)
    else:
        _Run(learner, plan, clock, on_point, result, estimate, position, leave).train()
    return result


def _begun(clock: TrainingClock, position: Position | None) -> Fit:
    """What there is of a training at its beginning; the clock counts on from there."""
    if position is None:
        return Fit()
    clock.credit(position.train_s)
    return Fit(train_s=position.train_s, valid_s=position.valid_s, steps=position.steps, curve=list(position.curve))


def _too_slow(result: Fit, plan: Plan, step_s: float, where: str = "") -> Fit:
    result.status = Status.TIMED_OUT
    result.message = (
        f"a step takes at least {step_s:.3g} s{where}: fewer than {plan.min_steps} fit into {plan.budget_s:.4g} s; "
        "accepted are smaller networks, smaller batches or larger budgets"
    )
    return result


class _Run:
    """The state of one training between its steps."""

    def __init__(
        self,
        learner: Learner,
        plan: Plan,
        clock: TrainingClock,
        on_point: Callable[[Point], None],
        result: Fit,
        estimate: float,
        position: Position | None,
        leave: Leave[Position],
    ) -> None:
        self._learner, self._plan, self._clock, self._on_point, self._result = learner, plan, clock, on_point, result
        self._estimate = estimate
        """Seconds of a step, as recent steps predict it."""
        self._leave = leave
        self._saved_at_s = result.train_s
        self._feed = Feed(learner, None if position is None else position.rest)
        self._u = 0.0 if position is None else position.u
        self._loss, self._error, self._images = (0.0, 0.0, 0) if position is None else position.sums
        """Sums since the last point of the curve."""
        self._step_times: list[float] = []
        last = result.curve[-1]["u"] if result.curve else 0.0
        self._marks = [mark for mark in _MARKS if mark > last] or [math.inf]

    def train(self) -> None:
        """Blocks of steps, up to the step whose u is 1.

        A step before the last is begun only when both are predicted to fit, so the end misses the budget by less than the
        longest step.
        """
        result, learner = self._result, self._learner
        used_s = result.train_s
        if self._images and self._marks[0] <= self._u:  # passed by the step after which the attempt before had to leave
            result.lr_last = self._plan.schedule(self._u) * learner.recipe.learning_rate
            self._mark()
        self._clock.start()
        while self._u < 1 and result.status is Status.OK:
            left, step_u = self._steps_left(used_s)
            n_steps = self._block(left)
            for taken in range(n_steps):
                self._u = 1.0 if left - taken == 1 else max(self._u, 1 - (left - taken - 1) * step_u)
                result.lr_last = self._plan.schedule(self._u) * learner.recipe.learning_rate
                learner.learn(next(self._feed), result.lr_last)
                learner.follow(self._u)
            if self._u < 1 and learner.compute.asynchronous:
                self._feed.fill()
            before_s, used_s = used_s, self._clock.seconds()
            self._account(n_steps, (used_s - before_s) / n_steps)
            if result.status is Status.OK and self._u < 1:
                self._pause(used_s)
        self._clock.stop()
        self._finish()

    def _pause(self, used_s: float) -> None:
        """What is due between two blocks; not on the training clock."""
        if self._leave.asked():
            self._learner.recording.end()
            self._save()
            self._result.preempt(self._plan.budget_s)
            return
        if self._marks[0] <= self._u:
            self._mark()
        if used_s - self._saved_at_s >= self._leave.every_s:
            self._save()
            self._clock.start()

    def _save(self) -> None:
        """Has this state kept, and stops the training clock."""
        self._clock.stop()
        result, began = self._result, self._clock.now()
        self._saved_at_s = result.train_s = self._clock.seconds()
        rest, n_prepared = self._feed.rest()
        self._leave.save(
            Position(
                train_s=result.train_s,
                valid_s=result.valid_s,
                steps=result.steps,
                u=self._u,
                sums=(self._loss, self._error, self._images),
                curve=list(result.curve),
                rest=rest,
                n_prepared=n_prepared,
            )
        )
        result.save_s += self._clock.now() - began

    def _steps_left(self, used_s: float) -> tuple[int, float]:
        """Steps still to take, and the fraction of the whole that one of them is."""
        if self._plan.max_steps is not None:
            return self._plan.max_steps - self._result.steps, 1 / self._plan.max_steps
        left = math.floor((self._plan.budget_s - used_s) / self._estimate + 1e-6)
        return max(1, left), self._estimate / self._plan.budget_s

    def _block(self, left: int) -> int:
        """Steps until the clock is read again: one where waiting costs nothing, elsewhere ever fewer towards the end."""
        if not self._learner.compute.asynchronous:
            return 1
        return max(1, min(int(_BLOCK_S / self._estimate), left // 4))

    def _account(self, n_steps: int, step_s: float) -> None:
        loss, error = self._learner.take_totals()
        self._result.steps += n_steps
        self._loss += loss
        self._error += error
        self._images += n_steps * self._learner.recipe.batch_size
        self._step_times.append(step_s)
        self._estimate += 0.2 * (step_s - self._estimate)
        if not math.isfinite(loss):
            self._result.status = Status.DIVERGED
            step, rate = self._result.steps, self._result.lr_last
            self._result.message = f"the training loss became {loss} by step {step}, at a learning rate of {rate:.3g}"

    def _mark(self) -> None:
        """A point of the curve at the mark just passed, validated if that is cheap; not on the training clock."""
        self._clock.stop()
        passed = [m for m in self._marks if m <= self._u]
        self._marks = self._marks[len(passed) :] or [math.inf]
        n_valid = len(self._learner.data.valid)
        forward_s = n_valid * self._estimate / (3 * self._learner.recipe.batch_size)
        affordable = self._result.valid_s + forward_s <= _CURVE_SHARE * self._plan.budget_s
        self._point(self._validate(math.inf) if n_valid and affordable and set(passed) & set(_VALIDATED) else None)
        self._clock.start()

    def _validate(self, allowance_s: float, *, mirrored: bool = False) -> Score:
        learner, started = self._learner, self._clock.now()
        score = evaluate(
            learner.outcome, learner.data, compute=learner.compute, clock=self._clock, allowance_s=allowance_s, mirrored=mirrored
        )
        self._result.valid_s += self._clock.now() - started
        return score

    def _point(self, score: Score | None) -> None:
        """Adds a point to the curve and starts the sums anew."""
        result, seconds = self._result, self._clock.seconds()
        result.train_loss, result.train_error = self._loss / self._images, self._error / self._images
        point: Point = {
            "u": self._u,
            "t": seconds,
            "step": result.steps,
            "lr": result.lr_last,
            "train_loss": result.train_loss,
            "train_error": result.train_error,
            "images_per_s": result.steps * self._learner.recipe.batch_size / seconds,
        }
        if score is not None:
            point |= {"valid_error": score.error, "n_valid": score.n}
        result.curve.append(point)
        self._on_point(point)
        self._loss, self._error, self._images = 0.0, 0.0, 0

    def _finish(self) -> None:
        """Judges the outcome, in the memory that the recorded steps held."""
        self._learner.recording.end()
        result = self._result
        result.ahead, result.train_s = self._feed.end(), self._clock.seconds()
        result.step_s, result.step_max_s = statistics.median(self._step_times), max(self._step_times)
        if result.status is Status.OK and not finite(self._learner.outcome.state_dict().values()):
            result.status = Status.DIVERGED  # by the last update, or without a trace in the loss: training uses no running statistics
            result.message = f"a weight or a running statistic is not finite after {result.steps} steps"
        if result.status is Status.OK:
            if len(self._learner.data.valid):
                self._judge()
            self._point(result.valid)

    def _judge(self) -> None:
        """The last validation, and where its share suffices for that as well the one with mirror images, which decides nothing."""
        result, began, share_s = self._result, self._clock.now(), _FINAL_SHARE * self._plan.budget_s
        unhurried = self._plan.full_validation or self._plan.max_steps is not None  # which images fit is never the same twice
        result.valid = self._validate(math.inf if unhurried else share_s)
        took_s = self._clock.now() - began
        whole = result.valid.n == len(self._learner.data.valid)
        if self._learner.recipe.flip != "off" and whole and 3 * took_s <= share_s:
            result.mirrored = self._validate(math.inf, mirrored=True)
