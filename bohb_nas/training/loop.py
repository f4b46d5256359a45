"""Training for a number of seconds: the schedule ends at zero in the last step, and the last step ends with the budget."""

import math
import statistics
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from bohb_nas.records import Status
from bohb_nas.training import forms
from bohb_nas.training.clock import TrainingClock
from bohb_nas.training.compiling import Compiled, Compiler
from bohb_nas.training.data import batches
from bohb_nas.training.device import out_of_memory
from bohb_nas.training.forms import Chosen
from bohb_nas.training.learner import Batch, Learner
from bohb_nas.training.validation import Score, evaluate
from bohb_nas.training.warm_up import step_seconds

Point = dict[str, Any]
"""One point of a learning curve, as JSON: u and t (fraction and seconds of this training's budget), step, lr, train_loss and
train_error (means since the last point), images_per_s (since the start), and where validated valid_error and n_valid."""

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
class Plan:
    """How long to train, and at what rates."""

    budget_s: float
    """Seconds of training."""
    schedule: Callable[[float], float]
    """Fraction of the budget used -> fraction of the peak learning rate; zero at 1."""
    min_steps: int = 8
    """A network that cannot take this many steps is not trained."""
    floor_s: float = 0.0
    """Seconds that a step takes at the device's peak: what is far too slow there needs no trying."""
    max_steps: int | None = None
    """Ends the training after so many steps instead, the schedule with it: repeatable to the bit on a CPU."""
    full_validation: bool = False
    """Whether the last validation sees every held-out image, however long that takes; the one with mirror images has to be short."""


@dataclass(slots=True, kw_only=True)
class Fit:
    """What became of a training."""

    status: Status = Status.OK
    message: str | None = None
    valid: Score | None = None
    """None unless OK and there was something to validate on."""
    mirrored: Score | None = None
    """The same with every image judged together with its mirror image; None where training mirrors none, or time was short."""
    train_s: float = 0.0
    warmup_s: float = 0.0
    """All before the clock: first steps, and compiling."""
    form: Chosen | None = None
    """Of the branches, where it was to be chosen."""
    compiled: Compiled | None = None
    """What became of the network's compilation, if somebody was there to compile it."""
    valid_s: float = 0.0
    steps: int = 0
    step_s: float = 0.0
    """Median."""
    step_max_s: float = 0.0
    lr_last: float = 0.0
    train_loss: float = math.nan
    """Mean over the last stretch of the curve, augmentation included."""
    train_error: float = math.nan
    """Likewise."""
    curve: list[Point] = field(default_factory=list)


def fit(learner: Learner, plan: Plan, clock: TrainingClock, on_point: Callable[[Point], None], *, compiler: Compiler | None = None) -> Fit:
    """Trains the learner's network, then validates it.

    Args:
        learner: its network and optimizer go on from where they are.
        plan: budget and schedule.
        clock: not started yet.
        on_point: told every point of the learning curve as soon as it is there.
        compiler: compiles the network where that pays; without one its branches stay in the form that they have, too.
    """
    result = Fit()
    started = clock.now()
    longest = plan.budget_s / plan.min_steps
    hopeless = plan.max_steps is None and plan.floor_s > _FAR * longest
    estimate = plan.floor_s if hopeless else _step_seconds(learner, clock, longest=longest)
    result.warmup_s = clock.now() - started
    if estimate > longest and plan.max_steps is None:
        result.status = Status.TIMED_OUT
        where = " at the peak of the device" if hopeless else ""
        result.message = (
            f"a step takes at least {estimate:.3g} s{where}: fewer than {plan.min_steps} fit into {plan.budget_s:.4g} s; "
            "accepted are smaller networks, smaller batches or larger budgets"
        )
        return result
    if compiler is not None:
        result.form, estimate = forms.choose(learner, clock, budget_s=plan.budget_s, step_s=estimate)
        result.compiled, estimate = compiler.speed_up(learner, clock, budget_s=plan.budget_s, step_s=estimate)
        result.warmup_s = clock.now() - started
    _Run(learner, plan, clock, on_point, result, estimate).train()
    return result


def _step_seconds(learner: Learner, clock: TrainingClock, *, longest: float) -> float:
    """Seconds of a step, at the largest micro-batch for which memory suffices.

    Raises:
        RuntimeError, MemoryError: it does not suffice for the smallest.
    """
    while True:
        try:
            return step_seconds(learner, clock, longest=longest)
        except (RuntimeError, MemoryError) as e:
            if not (out_of_memory(e) and learner.halve_micro_batch()):
                raise
        learner.compute.release()  # here, where the exception no longer holds the tensors


def _prepared(learner: Learner) -> Iterator[Batch]:
    """Endless batches, augmented for several steps at a time while the device still has the steps before to do."""
    positions = batches(learner.data.train, learner.recipe.batch_size, learner.streams.order)
    ahead = learner.ahead()
    while True:
        yield from learner.prepare([next(positions) for _ in range(ahead)])


class _Run:
    """The state of one training between its steps."""

    def __init__(
        self, learner: Learner, plan: Plan, clock: TrainingClock, on_point: Callable[[Point], None], result: Fit, estimate: float
    ) -> None:
        self._learner, self._plan, self._clock, self._on_point, self._result = learner, plan, clock, on_point, result
        self._estimate = estimate
        """Seconds of a step, as recent steps predict it."""
        self._u = 0.0
        self._loss, self._error, self._images = 0.0, 0.0, 0
        """Sums since the last point of the curve."""
        self._step_times: list[float] = []
        self._marks = list(_MARKS)

    def train(self) -> None:
        """Blocks of steps, up to the step whose u is 1.

        A step before the last is begun only when both are predicted to fit, so the end misses the budget by less than the
        longest step.
        """
        result, learner = self._result, self._learner
        prepared = _prepared(learner)
        used_s = 0.0
        self._clock.start()
        while self._u < 1 and result.status is Status.OK:
            left, step_u = self._steps_left(used_s)
            n_steps = self._block(left)
            for taken in range(n_steps):
                self._u = 1.0 if left - taken == 1 else max(self._u, 1 - (left - taken - 1) * step_u)
                result.lr_last = self._plan.schedule(self._u) * learner.recipe.learning_rate
                learner.learn(next(prepared), result.lr_last)
                learner.follow(self._u)
            before_s, used_s = used_s, self._clock.seconds()
            self._account(n_steps, (used_s - before_s) / n_steps)
            if result.status is Status.OK and self._marks[0] <= self._u < 1:
                self._mark()
        self._clock.stop()
        self._finish()

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
            learner.outcome,
            learner.data.images,
            learner.data.labels,
            learner.data.valid,
            mean=learner.data.mean,
            deviation=learner.data.deviation,
            compute=learner.compute,
            clock=self._clock,
            allowance_s=allowance_s,
            mirrored=mirrored,
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
        result = self._result
        result.train_s = self._clock.seconds()
        result.step_s, result.step_max_s = statistics.median(self._step_times), max(self._step_times)
        if result.status is Status.OK:
            if len(self._learner.data.valid):
                self._judge()
            self._point(result.valid)

    def _judge(self) -> None:
        """The last validation, and where its share suffices for that as well the one with mirror images, which decides nothing."""
        result, began, share_s = self._result, self._clock.now(), _FINAL_SHARE * self._plan.budget_s
        result.valid = self._validate(math.inf if self._plan.full_validation else share_s)
        took_s = self._clock.now() - began
        whole = result.valid.n == len(self._learner.data.valid)
        if self._learner.recipe.flip != "off" and whole and 3 * took_s <= share_s:
            result.mirrored = self._validate(math.inf, mirrored=True)
