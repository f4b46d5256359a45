"""Steps before the clock starts: the device's first-time costs, and how long a step takes.

They are done on a copy of the network with random streams of its own, so that there is nothing to roll back.
"""

from bohb_nas.training.clock import TrainingClock
from bohb_nas.training.learner import Learner, Streams

_FEW = 2
"""Images of the first steps."""
_PART = 1 / 8
"""Of a batch, tried before a whole one."""


def step_seconds(learner: Learner, clock: TrainingClock, *, longest: float) -> float:
    """Seconds of one training step.

    Few images come first, so that a monstrous network is recognised at a fraction of its cost.

    Args:
        learner: left untouched.
        clock: times the steps.
        longest: seconds of the longest step that is of use. Where a step is predicted to take more than twice as long,
            the prediction is returned and no whole batch is tried.
    """
    twin = learner.twin(Streams.seeded(0, learner.compute.device))
    batch_size = learner.recipe.batch_size
    positions = learner.data.train.repeat(-(-batch_size // len(learner.data.train)))[:batch_size]

    def timed(n_images: int) -> float:
        started = clock.now()
        twin.step(positions[:n_images], 0.0)
        return clock.now() - started

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
