"""What is known at each budget: how its trials ended, their losses, the importance of hyperparameters, and of whom that speaks."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol

import numpy as np
from ConfigSpace import ConfigurationSpace
from scipy import stats

from bohb_nas.analysis.findings import Budget, Importance
from bohb_nas.analysis.observations import Observations, Told
from bohb_nas.arrays import Bools, Floats
from bohb_nas.records import Origin, Status, Value


class Explanation(Protocol):
    """What a forest says of some observations."""

    @property
    def importance(self) -> Importance:
        """As plain data."""
        ...

    def predict(self, configs: Sequence[Mapping[str, Value]]) -> Floats:
        """The loss of n configurations by each tree, (n_trees, n)."""
        ...


LEAST_COMMON = 3
"""Configurations that two budgets have in common, so that losses of one can be placed on the scale of the other."""

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
    losses = [loss for one in here if not one.aside and (loss := one.comparable_loss) is not None]
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
    """The importance over the configurations of all budgets, each with the mean of its places (`places`); None with one budget.

    Args:
        space: which was searched.
        by_budget: what is known, cheapest budget first.
        explain: makes a forest of it.
        seed: of the forest.
    """
    there = [observations for observations in by_budget if len(observations)]
    if len(there) < 2:
        return None
    found = places(there)
    if all(len(each) == 1 for each in found.values()):
        n = sum(map(len, there[1:]))
        why = f"no dearer budget has {LEAST_COMMON} configurations in common with a cheaper one: its {n} losses cannot be put on one scale"
        return nothing(len(there[0]), why)
    configs = {i: config for o in there for i, config in zip(o.config_ids, o.configs, strict=True)}
    means = np.array([np.mean(each) for each in found.values()])
    return explain(space, [configs[i] for i in found], means, seed=seed).importance


def places(by_budget: Sequence[Observations]) -> dict[str, list[float]]:
    """The losses of every configuration on one scale, in (0, 1): quantiles among the configurations of the cheapest budget.

    Losses of different budgets lie on different scales. Their quantiles within each budget do, too: who was promoted stands among the
    best, and would count as average there. So a dearer budget is tied to the next cheaper one by the configurations that have a loss at
    both: in the order of their losses at the dearer, they take the places that they have at the cheaper. The others are put between
    them by their losses. A budget with fewer than LEAST_COMMON such configurations is left out.

    Args:
        by_budget: what is known at one budget or more, cheapest first.

    Returns:
        By config id, a place for each budget at which the configuration has a loss.
    """
    cheapest = by_budget[0]
    below = dict(zip(cheapest.config_ids, quantiles(cheapest.losses).tolist(), strict=True))
    found = {i: [place] for i, place in below.items()}
    for observations in by_budget[1:]:
        common = np.array([i in below for i in observations.config_ids])
        if common.sum() < LEAST_COMMON:
            continue
        known = np.array([below[i] for i in observations.config_ids if i in below])
        below = dict(zip(observations.config_ids, _placed(observations.losses, common, known).tolist(), strict=True))
        for i, place in below.items():
            found.setdefault(i, []).append(place)
    return found


def _placed(losses: Floats, common: Bools, known: Floats) -> Floats:
    """The places of n losses (n,), from those (k,) that the k common configurations have elsewhere.

    What lies below or above all common ones is spread evenly over the rest of the scale on that side, in the order of losses.
    """
    losses = losses / (np.abs(losses).max() or 1.0)
    at, which = np.unique(losses[common], return_inverse=True)
    order = np.argsort(losses[common], kind="stable")
    place = np.bincount(which[order], weights=np.sort(known)) / np.bincount(which)
    found: Floats = np.interp(losses, at, place)
    under, over = losses < at[0], losses > at[-1]
    found[under] = place[0] * quantiles(losses[under])
    found[over] = place[-1] + (1 - place[-1]) * quantiles(losses[over])
    return found


def quantiles(losses: Floats) -> Floats:
    """The rank of each of n losses as a share, (n,): (rank - 1/2) / n, ranks of equal ones shared."""
    found: Floats = (stats.rankdata(losses) - 0.5) / losses.size
    return found


def nothing(n: int, why: str, oob_r2: float | None = None) -> Importance:
    """The importance of observations of which nothing can be said."""
    return Importance(n=n, refused=why, oob_r2=oob_r2, threshold=None, parameters=[], pairs=[], good=None)
