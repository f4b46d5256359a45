"""Steps before the clock starts: the device's first-time costs, and how long a step takes.

They are done on a copy of the network with random streams of its own, so that there is nothing to roll back.
"""

from contextlib import nullcontext

from torch import Tensor

from bohb_nas.training.clock import TrainingClock
from bohb_nas.training.learner import SMALLEST_MICRO_BATCH, Learner, Streams
from bohb_nas.training.recording import STEPS_BEFORE

_FEW = 2
"""Images of the first steps."""
_PART = 1 / 8
"""Of a batch, tried before a whole one."""
_SURELY = 1e4
"""Times as long as at the device's peak no step takes that is longer than starting its kernels."""
_TIMED = 5
"""Steps, of those that are as fast as they will be."""


def settled_seconds(learner: Learner, clock: TrainingClock) -> float:
    """Seconds of a step on images that are ready, replayed where the learner replays; it learns at a rate of zero meanwhile."""
    batch = learner.prepare([whole_batch(learner)])[0]
    for _ in range(STEPS_BEFORE + 1):
        learner.learn(batch, 0.0)
    began = clock.now()
    for _ in range(_TIMED):
        learner.learn(batch, 0.0)
    return (clock.now() - began) / _TIMED


def whole_batch(learner: Learner) -> Tensor:
    """Positions of as many images as a batch has."""
    n, train = learner.recipe.batch_size, learner.data.train
    return train.repeat(-(-n // len(train)))[:n]


def step_seconds(learner: Learner, clock: TrainingClock, *, longest: float, floor_s: float | None) -> float:
    """Seconds of one training step.

    Few images come first, so that a monstrous network is recognised at a fraction of its cost; but where every new number of images
    costs seconds by itself, a network that cannot be one is spared that.

    Args:
        learner: left untouched.
        clock: times the steps.
        longest: seconds of the longest step that is of use. Where a step is predicted to take more than twice as long,
            the prediction is returned and no whole batch is tried.
        floor_s: seconds of a step at the device's peak, where known.
    """
    twin = learner.twin(Streams.seeded(0, learner.compute.device))
    batch_size = learner.recipe.batch_size
    positions = whole_batch(learner)

    def timed(n_images: int) -> float:
        started = clock.now()
        with nullcontext() if n_images == batch_size else learner.compute.untried():
            twin.step(positions[:n_images], 0.0)
        return clock.now() - started

    if learner.compute.prepares_for_shapes and floor_s is not None and _SURELY * floor_s < longest:
        return min(timed(batch_size), timed(batch_size))
    timed(_FEW)  # pays what only a first step costs
    few = timed(_FEW)
    if few > longest and (few := min(few, timed(_FEW))) > longest:  # a second time in case that something else held up the first
        return few
    n_part = max(2 * _FEW, round(batch_size * _PART))
    for _ in range(2):  # likewise
        predicted = few + (timed(n_part) - few) * (batch_size - _FEW) / (n_part - _FEW)
        if predicted <= 2 * longest:
            return min(timed(batch_size), timed(batch_size))
    return predicted


def fitting_step_seconds(learner: Learner, clock: TrainingClock, *, longest: float, floor_s: float | None) -> float:
    """Seconds of a step, at the largest micro-batch for which memory suffices; arguments as for `step_seconds`.

    Raises:
        RuntimeError, MemoryError: it does not suffice for the smallest.
    """

    def taken(micro_batch: int) -> float:
        learner.micro_batch = micro_batch
        return step_seconds(learner, clock, longest=longest, floor_s=floor_s)

    return learner.compute.fitting(taken, learner.micro_batch, least=SMALLEST_MICRO_BATCH)[0]
