"""Observations in the box of a space: each configuration once, losses of a size that can be squared, or why there are too few."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from bohb_nas.analysis.cells import Box
from bohb_nas.arrays import Floats
from bohb_nas.durations import counted
from bohb_nas.records import Value

LEAST = 10
"""Different configurations below which nothing is said."""
ROUNDING = 1e-9
"""Losses of a sample that differ by no more, and means of them, are equal but for their last digits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """Configurations and their losses."""

    points: Floats
    """(n, d) of the box."""
    losses: Floats
    """(n,) of mean 0 and variance 1."""
    size: float
    """The largest loss, sign aside; what follows is in units of it, because 1e300 has no square."""
    mean: float
    deviation: float

    @property
    def n(self) -> int:
        """How many."""
        return len(self.losses)

    def to_losses(self, values: Floats) -> Floats:
        """The study's losses behind those of mean 0 and variance 1, of any shape."""
        return np.asarray((self.mean + self.deviation * values) * self.size)


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """Observations that nothing can be said from."""

    n: int
    reason: str


def sample(box: Box, configs: Sequence[Mapping[str, Value]], losses: Floats) -> Sample | Refused:
    """N configurations with finite losses (n,); equal configurations become one, with the mean of their losses."""
    if not box.names:
        return Refused(n=len(losses), reason="every hyperparameter of the space has one value")
    if not len(losses):
        return Refused(n=0, reason=f"no configuration; at least {LEAST} different ones are needed")
    points = box.points(configs)
    _, first, which = np.unique(np.nan_to_num(points, nan=-1.0), axis=0, return_index=True, return_inverse=True)
    points = points[first]
    size = float(np.abs(losses).max(initial=0.0)) or 1.0
    own = np.bincount(which.ravel(), weights=losses / size, minlength=len(points)) / np.bincount(which.ravel(), minlength=len(points))
    mean, deviation = float(own.mean()), float(own.std())
    if len(points) < LEAST:
        return Refused(n=len(points), reason=f"{counted(len(points), 'different configuration')}; at least {LEAST} are needed")
    if own.max() == own.min() or not deviation > 0:
        return Refused(n=len(points), reason="all losses are equal")
    return Sample(points=points, losses=(own - mean) / deviation, size=size, mean=mean, deviation=deviation)
