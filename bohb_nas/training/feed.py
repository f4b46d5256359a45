"""Batches ready for their steps, augmented for several steps at a time while the device still has the steps before to do."""

from collections import deque

import torch
from torch import Tensor

from bohb_nas.errors import first_line, out_of_memory
from bohb_nas.training.augment import before_alternating
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
        """Steps whose images are augmented together: at first as many as suit the device, fewer once memory did not suffice."""
        self._drawn: deque[Tensor] = deque()
        """Positions of steps whose images are not augmented yet."""
        self._ready: deque[tuple[Tensor, Batch]] = deque()

    def __next__(self) -> Batch:
        """The batch of the next step."""
        self.fill()
        return self._ready.popleft()[1]

    def fill(self) -> None:
        """Has the batch of the next step ready: before the device is waited for, which then has the work to do meanwhile.

        Recorded steps, which keep the memory of all that they compute, are recorded no longer where that leaves no room for a batch.

        Raises:
            RuntimeError, MemoryError: memory does not suffice for the images of a single step.
        """
        if self._ready:
            return
        self._drawn.extend(next(self._batches) for _ in range(self._ahead - len(self._drawn)))
        try:
            self._prepare()
        except (RuntimeError, MemoryError) as e:
            if not out_of_memory(e) or not self._learner.recording.replays:
                raise
            why = first_line(e)
        else:
            return
        self._learner.recording.end(why)  # here, where the exception no longer holds the tensors
        self._prepare()

    def _prepare(self) -> None:
        batches, self._ahead = self._learner.compute.fitting(lambda n: self._learner.prepare(list(self._drawn)[:n]), self._ahead)
        self._ready.extend((self._drawn.popleft(), batch) for batch in batches)

    def rest(self) -> tuple[Tensor, int]:
        """Positions of the epoch that no step has had, int64 [m], and how many of the first of them are augmented already."""
        prepared = [positions for positions, _ in self._ready]
        return torch.cat([*prepared, *self._drawn, self._batches.rest]), sum(map(len, prepared))

    def end(self) -> int:
        """Takes back that images were seen which no step has had, as none follows; for how many steps they were augmented together."""
        if self._learner.seen is not None:
            rest, n_prepared = self.rest()
            self._learner.seen = before_alternating(self._learner.seen, rest[:n_prepared])
        self._ready.clear()
        return self._ahead
