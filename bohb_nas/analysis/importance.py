"""Asks for the importance of hyperparameters: at each budget, and over all budgets together."""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import numpy as np
from ConfigSpace import ConfigurationSpace
from numpy.typing import NDArray
from scipy import stats

from bohb_nas.analysis.findings import Importance
from bohb_nas.analysis.observations import Observations
from bohb_nas.records import Value

Floats = NDArray[np.float64]


class Explanation(Protocol):
    """What a forest says of some observations."""

    @property
    def importance(self) -> Importance:
        """As plain data."""
        ...

    def predict(self, configs: Sequence[Mapping[str, Value]]) -> Floats:
        """The loss of n configurations by each tree, (n_trees, n)."""
        ...


Explain = Callable[..., Explanation]
"""`bohb_nas.analysis.fanova.explain`: of a space, configurations, their losses (n,) and a `seed`."""


def explained(space: ConfigurationSpace, observations: Observations, explain: Explain, *, seed: int) -> Explanation | None:
    """What the observations at a budget say; None where there are none."""
    if not len(observations):
        return None
    return explain(space, observations.configs, observations.losses, seed=seed)


def over_budgets(space: ConfigurationSpace, by_budget: Sequence[Observations], explain: Explain, *, seed: int) -> Importance | None:
    """The importance over the observations of all budgets, each loss as its quantile among those of its budget; None with one budget.

    Losses of different budgets lie on different scales; their ranks do not.
    """
    there = [observations for observations in by_budget if len(observations)]
    if len(there) < 2:
        return None
    configs = [config for observations in there for config in observations.configs]
    return explain(space, configs, np.concatenate([quantiles(o.losses) for o in there]), seed=seed).importance


def quantiles(losses: Floats) -> Floats:
    """The rank of each of n losses as a share, (n,): (rank - 1/2) / n, ranks of equal ones shared."""
    found: Floats = (stats.rankdata(losses) - 0.5) / losses.size
    return found


def nothing(n: int, why: str) -> Importance:
    """The importance of observations of which nothing can be said."""
    return Importance(n=n, refused=why, oob_r2=None, threshold=None, parameters=[], pairs=[], good=None)
