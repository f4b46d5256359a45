"""Whether the model's picks are better than random ones: Mann-Whitney at each budget, among configurations that entered there."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike
from scipy import optimize, stats
from statsmodels.stats.multitest import multipletests

from bohb_nas.analysis.findings import Compared, ModelTest
from bohb_nas.analysis.observations import Observations
from bohb_nas.analysis.ranks import Z
from bohb_nas.records import Origin, median_loss

FEWEST = 4
"""Picks of either kind, below which nothing is tested."""
_EDGE = 1e-12
"""Where 0 and 1 solve the equation themselves, its other solution is looked for from here on."""


def picks(by_budget: Sequence[Observations]) -> list[ModelTest]:
    """The test of every budget at which a model's or a random pick entered, cheapest first; p-values are Holm-adjusted over all."""
    found = [_test(observations) for observations in by_budget if {Origin.MODEL, Origin.RANDOM} & {*observations.origins}]
    adjust(found)
    return found


def _test(observations: Observations) -> ModelTest:
    model, random = (observations.losses[[o is origin for o in observations.origins]] for origin in (Origin.MODEL, Origin.RANDOM))
    enough = min(len(model), len(random)) >= FEWEST
    better, p_value = superiority(model, random) if enough else (None, None)
    return ModelTest(
        budget=observations.budget,
        n_model=len(model),
        n_random=len(random),
        median_model=median_loss(model.tolist()),
        median_random=median_loss(random.tolist()),
        better=better,
        interval=list(interval(better, len(model), len(random))) if better is not None else None,
        p_value=p_value,
        p_holm=None,
    )


def superiority(one: ArrayLike, other: ArrayLike) -> tuple[float, float]:
    """How probable it is that a loss of the first, (m,), is lower than one of the second, (n,), a tie being half; and Mann-Whitney's p."""
    found, n_pairs = stats.mannwhitneyu(one, other), np.size(one) * np.size(other)
    return float((n_pairs - found.statistic) / n_pairs), float(found.pvalue)


def interval(theta: float, m: int, n: int) -> tuple[float, float]:
    """The 95 % interval of a probability of superiority from m and n values: a score interval, inside [0, 1] even for 0 and 1.

    Source: Newcombe 2006 (Statistics in Medicine 25, 559-573), method 5: (theta - t)^2 = z^2 V(t) with
    V(t) = t (1 - t) (1 + k ((1 - t) / (2 - t) + t / (1 + t))) / (m n) and k = (m + n) / 2 - 1.
    """

    def beyond(t: float) -> float:
        k = (m + n) / 2 - 1
        return (theta - t) ** 2 - Z**2 * t * (1 - t) * (1 + k * ((1 - t) / (2 - t) + t / (1 + t))) / (m * n)

    low = 0.0 if theta == 0 else float(optimize.brentq(beyond, 0.0, min(theta, 1 - _EDGE)))
    high = 1.0 if theta == 1 else float(optimize.brentq(beyond, max(theta, _EDGE), 1.0))
    return low, high


def adjust(rows: Sequence[ModelTest] | Sequence[Compared]) -> None:
    """Fills in Holm's adjustment (1979) of the p-values of those rows that have one."""
    known = [row for row in rows if row["p_value"] is not None]
    if known:
        for row, adjusted in zip(known, multipletests([row["p_value"] for row in known], method="holm")[1], strict=True):
            row["p_holm"] = float(adjusted)
