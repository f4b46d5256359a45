"""Batches ready for their steps, augmented for several steps at a time while the device still has the steps before to do."""

from collections import deque

import torch
from torch import Tensor

from bohb_nas.training.data import Batches
from bohb_nas.training.learner import Batch, Learner


class Feed:
    """Endless batches of a learner's training images.

    Args:
        learner: augments them.
        rest: positions of the epoch that has begun, int64 [m], which come first; None begins a new one.
    """

    def __init__(self, learner: Learner, rest: Tensor | None = None) -> None:
        self._learner = learner
        self._batches = Batches(learner.data.train, learner.recipe.batch_size, learner.streams.order, rest=rest)
        self._ahead = learner.ahead()
        self._ready: deque[tuple[Tensor, Batch]] = deque()

    def __next__(self) -> Batch:
        """The batch of the next step."""
        self.fill()
        return self._ready.popleft()[1]

    def fill(self) -> None:
        """Has the batch of the next step ready: before the device is waited for, which then has the work to do meanwhile."""
        if not self._ready:
            positions = [next(self._batches) for _ in range(self._ahead)]
            self._ready.extend(zip(positions, self._learner.prepare(positions), strict=True))

    def rest(self) -> tuple[Tensor, int]:
        """Positions of the epoch that no step has had, int64 [m], and how many of the first of them are augmented already."""
        prepared = [positions for positions, _ in self._ready]
        return torch.cat([*prepared, self._batches.rest]), sum(map(len, prepared))
