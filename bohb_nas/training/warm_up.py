"""Steps before the clock starts: the device's first-time costs, and how long a step takes.

They are done on a copy of the network with random streams of its own, so that there is nothing to roll back.
"""

from bohb_nas.training.clock import TrainingClock
from bohb_nas.training.learner import Learner, Streams

_PROBES = (1 / 16, 1 / 16, 1 / 4)
"""Shares of a batch tried first; the first pays what only a first step costs."""


def step_seconds(learner: Learner, clock: TrainingClock, *, longest: float) -> float:
    """Seconds of one training step.

    Small batches come first, so that a monstrous network is recognised at a fraction of its cost.

    Args:
        learner: left untouched.
        clock: times the steps.
        longest: seconds of the longest step that is of use; beyond it the extrapolation from the small batches is
            returned and no whole batch is tried.
    """
    twin = learner.twin(Streams.seeded(0, learner.compute.device))
    batch_size = learner.recipe.batch_size
    positions = learner.data.train[:batch_size].repeat(-(-batch_size // len(learner.data.train)))[:batch_size]

    def timed(n_images: int) -> float:
        started = clock.now()
        twin.step(positions[:n_images], 0.0)
        return clock.now() - started

    sizes = [max(2, round(batch_size * share)) for share in _PROBES]
    seconds = [timed(n) for n in sizes]
    slope = max(0.0, (seconds[2] - seconds[1]) / (sizes[2] - sizes[1]))
    predicted = max(seconds[1:]) + slope * (batch_size - sizes[2])
    if predicted > 2 * longest:
        return predicted
    return min(timed(batch_size), timed(batch_size))
