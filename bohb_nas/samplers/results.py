"""The results of one rung as arrays that grow, with its best kept in order."""

import bisect
import math

import numpy as np
from numpy.typing import NDArray

from bohb_nas.arrays import Floats

N_KEPT = 31
"""How many of the best are kept in order: the good ones of a model, and the first that is not."""


class RungResults:
    """Results of configurations, each known by its number, in the order of telling."""

    def __init__(self, d: int) -> None:
        self._points = np.empty((16, d))
        self._losses = np.empty(16)
        self._costs = np.empty(16)
        self._best: list[int] = []
        self.numbers: list[int] = []
        """(n,) the configurations."""
        self.loss_of: dict[int, float] = {}
        """By configuration."""
        self.n_ok = 0
        """Results with a loss."""

    def __len__(self) -> int:
        return len(self.numbers)

    @property
    def points(self) -> Floats:
        """(n, d) on the axes of the space."""
        return self._points[: len(self)]

    @property
    def losses(self) -> Floats:
        """(n,) infinite for a failure."""
        return self._losses[: len(self)]

    @property
    def costs(self) -> Floats:
        """(n,) training seconds."""
        return self._costs[: len(self)]

    def add(self, number: int, point: Floats, *, loss: float, cost: float) -> None:
        """Enters a result: its configuration, that one's point (d,), and what came of it."""
        n = len(self)
        if n == len(self._losses):
            self._points = np.vstack([self._points, np.empty_like(self._points)])
            self._losses = np.append(self._losses, np.empty_like(self._losses))
            self._costs = np.append(self._costs, np.empty_like(self._costs))
        self._points[n], self._losses[n], self._costs[n] = point, loss, cost
        self.numbers.append(number)
        self.loss_of[number] = loss
        self.n_ok += math.isfinite(loss)
        bisect.insort(self._best, n, key=lambda i: (self._losses[i], i))
        del self._best[N_KEPT:]

    def best(self, n: int) -> NDArray[np.int64]:
        """Places of the n lowest losses, at most N_KEPT, lowest first; the earliest of equals."""
        return np.array(self._best[:n], dtype=np.int64)
