"""How far one budget ranks configurations like another: Spearman and Kendall, with interval, p-value and what selection does to them.

Promotion keeps the best of a cheaper budget, and among those ranks agree less than among all: the figure of promoted configurations lies
nearer to 0 than that of all. Only configurations that were trained at every budget whatever their losses (probes) give one without that.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from bohb_nas.analysis.findings import RankCorrelation, Shape
from bohb_nas.analysis.observations import Observations, Told, mean
from bohb_nas.arrays import Floats
from bohb_nas.durations import counted
from bohb_nas.records import Origin

FEWEST = 4
"""Configurations below which no figure is given: fewer have no interval."""
_PERMUTED_BELOW = 30
_N_PERMUTATIONS = 9999
Z = 1.959963984540054
"""The 97.5th percentile of the standard normal distribution."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """How far two orders agree."""

    spearman: float
    interval: tuple[float, float]
    """95 %."""
    p_value: float
    kendall: float
    kendall_p_value: float


def agreement(x: ArrayLike, y: ArrayLike, *, seed: int = 0) -> Agreement | None:
    """Spearman's rho and Kendall's tau-b of n pairs, (n,) and (n,); None where they say nothing: n < 4, or one side without differences.

    Spearman's p-value is that of permutations for n < 30, all of them where there are at most 9999, else of Student's t.
    """
    a, b = stats.rankdata(np.asarray(x, dtype=np.float64)), stats.rankdata(np.asarray(y, dtype=np.float64))
    if a.size < FEWEST or np.ptp(a) == 0 or np.ptp(b) == 0:
        return None
    rho = _pearson(a, b)
    kendall = stats.kendalltau(a, b)
    if a.size < _PERMUTED_BELOW:
        p_value = stats.permutation_test(
            (a,),
            lambda permuted, axis: _pearson(permuted, b),
            permutation_type="pairings",
            n_resamples=_N_PERMUTATIONS,
            vectorized=True,
            rng=np.random.default_rng(seed),
        ).pvalue
    else:
        p_value = stats.spearmanr(a, b).pvalue
    return Agreement(
        spearman=float(rho),
        interval=bonett_wright(float(rho), a.size),
        p_value=float(p_value),
        kendall=float(kendall.statistic),
        kendall_p_value=float(kendall.pvalue),
    )


def _pearson(a: Floats, b: Floats) -> Floats:
    """Pearson's correlation along the last axis, (..., n) and (n,) -> (...)."""
    a, b = a - a.mean(axis=-1, keepdims=True), b - b.mean()
    found: Floats = np.clip((a @ b) / np.sqrt((a**2).sum(axis=-1) * (b**2).sum()), -1.0, 1.0)
    return found


def bonett_wright(rho: float, n: int) -> tuple[float, float]:
    """The 95 % interval of Spearman's rho of n > 3 pairs: tanh(artanh rho -+ z sqrt((1 + rho^2 / 2) / (n - 3))).

    Source: Bonett and Wright 2000 (Psychometrika 65, 23-28), equation 4. Where the orders agree in full, artanh has no value: the limit
    towards 0 is then that of orders in which two neighbours are exchanged, whose rho is 1 - 12 / (n^3 - n).
    """
    most = 1 - 12 / (n**3 - n)
    inner = min(max(rho, -most), most)
    half = Z * math.sqrt((1 + inner**2 / 2) / (n - 3))
    low = math.tanh(math.atanh(inner) - half) if rho >= -most else -1.0
    high = math.tanh(math.atanh(inner) + half) if rho <= most else 1.0
    return low, high


def table(by_budget: Sequence[Observations], names: Mapping[float, str], *, seed: int = 0) -> list[RankCorrelation]:
    """The agreement of every pair of budgets, cheapest first.

    Args:
        by_budget: observations at each, cheapest first.
        names: of the budgets, for people.
        seed: of the permutations.
    """
    return [_pair(low, high, names, seed=seed) for k, low in enumerate(by_budget) for high in by_budget[k + 1 :]]


def _pair(low: Observations, high: Observations, names: Mapping[float, str], *, seed: int) -> RankCorrelation:
    place = {config_id: k for k, config_id in enumerate(low.config_ids)}
    common = [(place[config_id], k) for k, config_id in enumerate(high.config_ids) if config_id in place]
    x, y = low.losses[[a for a, _ in common]], high.losses[[b for _, b in common]]
    found = agreement(x, y, seed=seed)
    note = None
    if len(common) < FEWEST:
        note = f"too few: {counted(len(common), 'configuration')} with a loss at both, {FEWEST} are needed"
    elif found is None:
        same = names[low.budget] if np.ptp(stats.rankdata(x)) == 0 else names[high.budget]
        note = f"nothing to rank: all {len(common)} in common have one loss at {same}"
    elif n_promoted := sum(high.origins[b] is Origin.PROMOTED for _, b in common):
        were = "was" if n_promoted == 1 else "were"
        note = (
            f"{n_promoted} of the {len(common)} {were} promoted for their losses, out of {len(low)} at {names[low.budget]}; "
            "among all configurations ranks usually agree better"
        )
    return RankCorrelation(
        low=low.budget,
        high=high.budget,
        n=len(common),
        spearman=found.spearman if found is not None else None,
        interval=list(found.interval) if found is not None else None,
        p_value=found.p_value if found is not None else None,
        kendall=found.kendall if found is not None else None,
        kendall_p_value=found.kendall_p_value if found is not None else None,
        note=note,
    )


def shapes(told: Sequence[Told]) -> list[Shape]:
    """The losses by budget of every configuration that has one at several, in the order of their first trials."""
    losses: dict[str, dict[float, list[float]]] = {}
    origins: dict[str, str] = {}
    for one in told:
        origins.setdefault(one.trial.config_id, str(one.trial.origin))
        if one.result.loss is not None:
            losses.setdefault(one.trial.config_id, {}).setdefault(one.trial.budget, []).append(one.result.loss)
    return [
        Shape(config_id=i, origin=origins[i], losses=[[budget, mean(losses[i][budget])] for budget in sorted(losses[i])])
        for i in origins
        if len(losses.get(i, ())) > 1
    ]
