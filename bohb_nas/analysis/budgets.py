"""What is known at each budget: how its trials ended, their losses, the importance of hyperparameters, and of whom that speaks."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol

import numpy as np
from ConfigSpace import ConfigurationSpace
from numpy.typing import NDArray
from scipy import stats

from bohb_nas.analysis.findings import Budget, Importance
from bohb_nas.analysis.observations import Observations, Told
from bohb_nas.records import Origin, Status, Value

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


def entry(observations: Observations, told: Sequence[Told], *, importance: Importance, names: Mapping[float, str]) -> Budget:
    """The entry of a budget.

    Args:
        observations: of the search there.
        told: all evaluations of the study, those beside the search included.
        importance: of them.
        names: of the budgets, for people.
    """
    here = [one for one in told if one.trial.budget == observations.budget]
    losses = [one.result.loss for one in here if one.result.loss is not None and not one.aside]
    return Budget(
        **importance,
        budget=observations.budget,
        n_told=len(here),
        n_failed=sum(one.result.status is not Status.OK for one in here),
        by_status=count(str(one.result.status) for one in here),
        by_origin=count(str(one.trial.origin) for one in here),
        losses=quartiles(np.array(losses)) if losses else None,
        n_promoted=n_promoted(observations),
        selected=_selected(observations, names),
    )


def n_promoted(observations: Observations) -> int:
    """How many came to their budget by promotion."""
    return sum(origin is Origin.PROMOTED for origin in observations.origins)


def _selected(observations: Observations, names: Mapping[float, str]) -> str | None:
    n = n_promoted(observations)
    if n == 0:
        return None
    return (
        f"{n} of {len(observations)} configurations came to {names[observations.budget]} by promotion, for their losses at cheaper "
        "budgets: what is said of this budget holds where those lie, not in the whole space"
    )


def quartiles(losses: Floats) -> list[float]:
    """[lowest, first quartile, median, third quartile, highest] of losses (n,), in the order of their size whatever that is."""
    largest = float(np.abs(losses).max()) or 1.0
    found: list[float] = (np.quantile(losses / largest, [0.0, 0.25, 0.5, 0.75, 1.0]) * largest).tolist()
    return [float(losses.min()), *found[1:-1], float(losses.max())]


def count(words: Iterable[str]) -> dict[str, int]:
    """How often each word is there."""
    return dict(Counter(words))


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
