"""The statistics of a comparison: arrays in, numbers out.

Regret is normalised: 0 is the best known loss, 1 that of the median random configuration. M methods, P problems, S seeds,
C checkpoints; a missing run is NaN. Sources: Demšar 2006 (JMLR 7, 1-30) for ranks over problems, Friedman's test and the
critical difference; Holm 1979 for many tests.
"""

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from bohb_nas.arrays import Bools, Floats

ALPHA = 0.05
"""The level of every test."""
FEWEST_METHODS, FEWEST_PROBLEMS = 3, 2
"""Of Friedman's test."""
Alternative = Literal["two-sided", "greater", "less"]
_FEWEST = 8
"""Values that a bootstrap needs."""
_DECIMALS = 12
"""Of regrets: what differs by less differs by the order in which it was added up."""
_N_RESAMPLES = 10_000
_MOST_EXACT = 50
"""Pairs of which all signs are counted; of more the normal approximation is as good."""
_OFFSET = 0.01
"""Added to regrets before their ratio is taken, so that one of 0 has one."""


def normalised_regret(losses: ArrayLike, *, best: float, median: float) -> Floats:
    """clip((loss - best) / (median - best), 0, inf), of any shape."""
    clipped: Floats = np.clip((np.asarray(losses, dtype=np.float64) - best) / (median - best), 0.0, None)
    return clipped


def value_at(times: ArrayLike, values: ArrayLike, at: ArrayLike) -> Floats:
    """A step function, 1 until its first change, at points in time.

    Args:
        times: (n,), ascending: when it changes.
        values: (n,): what to.
        at: (C,), any order.

    Returns:
        (C,)
    """
    steps = np.concatenate([[1.0], np.asarray(values, dtype=np.float64)])
    found: Floats = steps[np.searchsorted(np.asarray(times, dtype=np.float64), np.asarray(at, dtype=np.float64), side="right")]
    return found


def area_over_log_time(times: ArrayLike, values: ArrayLike, *, end: float) -> float:
    """The mean of a step function over log(time) from 1 to `end`: its area divided by log(end)."""
    if not end > 1:
        return math.nan
    inside = np.asarray(times, dtype=np.float64)
    edges = np.concatenate([[1.0], inside[(inside > 1) & (inside < end)], [end]])
    heights = value_at(times, values, edges[:-1])
    return float(np.diff(np.log(edges)) @ heights / math.log(end))


def time_to_reach(times: ArrayLike, values: ArrayLike, target: float) -> float:
    """When a step function is first at or below a target; infinite when it never is."""
    reached = np.flatnonzero(np.asarray(values, dtype=np.float64) <= target)
    return float(np.asarray(times, dtype=np.float64)[reached[0]]) if reached.size else math.inf


def rounded(regrets: ArrayLike) -> Floats:
    """Regrets, or differences of them, of any shape: equal where only rounding tells them apart."""
    exact: Floats = np.asarray(regrets, dtype=np.float64)
    return exact.round(_DECIMALS)


def ranks(scores: ArrayLike) -> Floats:
    """Ranks of M methods, 1 the lowest score, ties shared: (M, ...) -> (M, ...); NaN where any method is missing."""
    found: Floats = stats.rankdata(np.asarray(scores, dtype=np.float64), axis=0, nan_policy="propagate")
    return found


def wilcoxon(differences: ArrayLike, *, alternative: Alternative = "two-sided") -> float:
    """The p-value of Wilcoxon's signed-rank test, (n,); 1 when all are 0, NaN when there are none.

    Pairs that do not differ are left out, as Wilcoxon did. Up to 50 others are tested exactly, with ties among them too, which scipy
    does for up to 13 alone and in half a second for these.
    """
    d = differing(differences)
    if d.size == 0:
        return math.nan if np.isnan(np.asarray(differences, dtype=np.float64)).all() else 1.0
    if d.size > _MOST_EXACT:
        return float(stats.wilcoxon(d, alternative=alternative).pvalue)
    doubled = (2 * stats.rankdata(np.abs(d))).astype(np.int64)  # shared ranks are halves
    chances, found = _chances_of_sums(doubled), int(doubled[d > 0].sum())
    below, above = float(chances[: found + 1].sum()), float(chances[found:].sum())
    return {"less": below, "greater": above, "two-sided": min(1.0, 2 * min(below, above))}[alternative]


def rank_biserial(differences: ArrayLike) -> float:
    """Which way Wilcoxon's signed-rank test goes, (n,): (W+ - W-) / (W+ + W-), the sums of the ranks above and below 0.

    The mean may lie on the other side, where one pair differs by far. 0 when all differences are 0, NaN when there are none.
    """
    d = differing(differences)
    if d.size == 0:
        return math.nan if np.isnan(np.asarray(differences, dtype=np.float64)).all() else 0.0
    ranked = stats.rankdata(np.abs(d))
    return float(np.sign(d) @ ranked / ranked.sum())


def _chances_of_sums(ranks: NDArray[np.int64]) -> Floats:
    """How likely each sum, from 0 to that of all, is of ranks (n,) of which each counts with a chance of one half."""
    chances = np.zeros(int(ranks.sum()) + 1)
    chances[0] = 1.0
    for rank in ranks.tolist():
        chances[rank:] += chances[:-rank].copy()
        chances /= 2
    return chances


def differing(differences: ArrayLike) -> Floats:
    """Of the differences of n pairs, (n,), those that a signed-rank test is about: neither 0 nor NaN, and rounded."""
    d = rounded(differences)
    found: Floats = d[~np.isnan(d) & (d != 0)]
    return found


def holm(p_values: ArrayLike) -> Floats:
    """Holm's step-down correction of n p-values: (n,) -> (n,); NaN stays NaN and does not count."""
    p = np.asarray(p_values, dtype=np.float64)
    corrected = np.full(p.shape, np.nan)
    known = np.flatnonzero(~np.isnan(p))
    order = known[np.argsort(p[known], kind="stable")]
    corrected[order] = np.minimum(1.0, np.maximum.accumulate(p[order] * np.arange(order.size, 0, -1)))
    return corrected


def friedman(scores: ArrayLike) -> tuple[float, float]:
    """Friedman's chi-square over problems, and its p-value.

    Args:
        scores: (M, P); at least three methods and two problems, and a method that differs somewhere, else both are NaN.
    """
    table = np.asarray(scores, dtype=np.float64)
    if table.shape[0] < FEWEST_METHODS or table.shape[1] < FEWEST_PROBLEMS or np.all(table == table[:1]):
        return math.nan, math.nan
    found = stats.friedmanchisquare(*table)
    return float(found.statistic), float(found.pvalue)


def critical_difference(n_methods: int, n_problems: int) -> float:
    """Nemenyi's: mean ranks that differ by less are not told apart. q sqrt(M (M + 1) / (6 P)), Demšar 2006, section 3.2.2."""
    if n_methods < 2 or n_problems < 1:
        return math.nan
    q = float(stats.studentized_range.ppf(1 - ALPHA, n_methods, math.inf)) / math.sqrt(2)
    return q * math.sqrt(n_methods * (n_methods + 1) / (6 * n_problems))


def cliques(mean_ranks: ArrayLike, difference: float) -> list[tuple[int, ...]]:
    """The largest groups of methods, (M,), whose mean ranks lie within a critical difference; groups of one are left out.

    Returns:
        Indices, best first, of groups from best to worst.
    """
    r = np.asarray(mean_ranks, dtype=np.float64)
    order = np.argsort(r, kind="stable")
    groups: list[tuple[int, ...]] = []
    for k, first in enumerate(order):
        group = tuple(int(i) for i in order[k:] if r[i] - r[first] <= difference)
        if len(group) > 1 and not (groups and set(group) <= set(groups[-1])):
            groups.append(group)
    return groups


def bootstrap_mean(values: ArrayLike) -> tuple[float, float, float]:
    """The mean of n values, (n,), and the limits of its percentile bootstrap interval of 95 %.

    Limits are NaN when there are fewer than eight values, of which it would hold far less than it says (52 % of normal means for n = 2,
    75 % for 4, 89 % for 7), and when all are equal, which does not say how much they vary.
    """
    v = np.asarray(values, dtype=np.float64)
    v = v[~np.isnan(v)]
    mean = float(v.mean()) if v.size else math.nan
    if v.size < _FEWEST or np.ptp(v) == 0:
        return mean, math.nan, math.nan
    found = stats.bootstrap(
        (v,), np.mean, n_resamples=_N_RESAMPLES, confidence_level=0.95, method="percentile", rng=np.random.default_rng(0)
    )
    return mean, float(found.confidence_interval.low), float(found.confidence_interval.high)


def ratio(scores: ArrayLike, reference: ArrayLike) -> float:
    """The geometric mean of (r + 0.01) / (r_reference + 0.01), over all entries that both have; NaN when there are none."""
    logs = np.log(np.asarray(scores, dtype=np.float64) + _OFFSET) - np.log(np.asarray(reference, dtype=np.float64) + _OFFSET)
    logs = logs[~np.isnan(logs)]
    return math.exp(float(logs.mean())) if logs.size else math.nan


def smallest_p(n: int, *, alternative: Alternative) -> float:
    """The smallest p-value that Wilcoxon's test can give with n pairs that differ: 2^-n, doubled when it is two-sided."""
    return min(1.0, (2.0 if alternative == "two-sided" else 1.0) * 0.5**n)


def could_be_told(n_pairs: Sequence[int], n_differing: Sequence[int], *, alternative: Alternative) -> Bools:
    """Which of n of Wilcoxon's tests could come out significant after Holm's correction, (n,): if all went as far as they can.

    Args:
        n_pairs: (n,); what has none is no test.
        n_differing: (n,) pairs that differ.
        alternative: of each test.
    """
    least = [smallest_p(k, alternative=alternative) if n else math.nan for n, k in zip(n_pairs, n_differing, strict=True)]
    return holm(least) < ALPHA
