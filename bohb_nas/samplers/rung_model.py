"""What one rung's results say of a point: how much likelier among the good than among the bad, and what it would cost.

Fitted when asked, from the results alone, so that a study that is taken up again has the same models. The good density
follows every result; the bad one and the costs, which move slowly, are fitted anew after every so many.
"""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from bohb_nas.arrays import Floats
from bohb_nas.entries import check_option, is_number
from bohb_nas.samplers.density import Columns, Mixture, mixture
from bohb_nas.samplers.results import N_KEPT, RungResults

_MOST_GOOD = N_KEPT - 1
_MOST_BAD = 80
_MOST_COSTS = 300
_BAD_STEPS = 40
_COST_STEPS = 10
_ORDINARY_SPREAD = 0.5
"""Standard deviation of the logarithm of costs up to which they are taken for alike (a factor of 1.65)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What can be chosen about the model of a rung.

    Raises:
        OptionError: a value is not accepted.
    """

    good_fraction: float = 0.15
    """Share of a rung's results that counts as good, at most 30 of them; above 0 and below 1."""
    bandwidth_floor: float = 0.03
    """Smallest bandwidth of a number on its axis from 0 to 1; above 0 and at most 1."""
    mutations: float = 4.0
    """About how many categoricals of a good observation a candidate changes at most; above 0."""
    prior_weight: float = 1.0
    """Of what is known beforehand, beside 1 for each observation; above 0."""
    distinct: bool = True
    """Whether good observations with equal losses count as one."""
    weighted: bool = True
    """Whether good observations weigh by how far they lie below the others."""

    def __post_init__(self) -> None:
        check_option(
            "good_fraction",
            self.good_fraction,
            is_number(self.good_fraction) and 0 < self.good_fraction < 1,
            "a number above 0 and below 1",
        )
        floor = self.bandwidth_floor
        check_option("bandwidth_floor", floor, is_number(floor) and 0 < floor <= 1, "a number above 0 and at most 1")
        check_option("mutations", self.mutations, is_number(self.mutations) and self.mutations > 0, "a number above 0")
        check_option("prior_weight", self.prior_weight, is_number(self.prior_weight) and self.prior_weight > 0, "a number above 0")
        check_option("distinct", self.distinct, type(self.distinct) is bool, "true or false")
        check_option("weighted", self.weighted, type(self.weighted) is bool, "true or false")


class RungModel:
    """The results of a rung, and what is fitted to them.

    Args:
        columns: of the space.
        settings: of the model.
        stream: what its random numbers, which thin the bad observations, are drawn from.
    """

    def __init__(self, columns: Columns, *, settings: Settings, stream: tuple[int, ...]) -> None:
        self.results = RungResults(columns.d)
        self.passed: Floats = np.empty((0, columns.d))
        """Points (m, d) that a cheaper budget ruled out before they came here: bad, and counted in what the good are a share of."""
        self._columns, self._settings, self._stream = columns, settings, stream
        self._good: tuple[object, Mixture] | None = None
        self._bad: tuple[object, Mixture] | None = None
        self._cost: tuple[int, Floats, Floats] | None = None

    def good(self) -> Mixture:
        """The density of the good observations."""
        results = self.results
        n_good = self._n_good(len(results))
        best = results.best(n_good + 1)
        places = self._distinct(best[:n_good])
        border = float(results.losses[best[n_good]]) if len(best) > n_good else math.inf
        key = (places.tobytes(), border)
        if self._good is None or self._good[0] != key:
            weights = improvements(results.losses[places], border) if self._settings.weighted else np.ones(len(places))
            self._good = key, self._mixture(results.points[places], weights)
        return self._good[1]

    def bad(self, avoided: Floats) -> Mixture:
        """The density of the others, thinned to 80, and of points (m, d) that are to be avoided whatever their loss."""
        n = checkpoint(len(self.results), steps=_BAD_STEPS)
        key = (n, avoided.tobytes())
        if self._bad is None or self._bad[0] != key:
            places = np.argsort(self.results.losses[:n], kind="stable")[self._n_good(n) :]
            others = np.vstack([self.results.points[places], self.passed])
            if len(others) > _MOST_BAD:
                others = others[np.random.default_rng((*self._stream, n)).choice(len(others), size=_MOST_BAD, replace=False)]
            data = np.vstack([others, avoided])
            self._bad = key, self._mixture(data, np.ones(len(data)))
        return self._bad[1]

    def good_numbers(self) -> list[int]:
        """The configurations that count as good, best first; of equals the first."""
        return [self.results.numbers[i] for i in self._distinct(self.results.best(self._n_good(len(self.results))))]

    def log_costs(self, features: Floats) -> Floats:
        """The expected logarithm of training seconds at m points, less its mean, (m,): ridge regression on the features.

        Zero where costs are alike. What failed tells nothing: a crash is cheap whatever it would have cost. A simple model of low
        variance is what pays here (Guinet et al. 2020, arXiv:2011.11456).
        """
        n = checkpoint(len(self.results), steps=_COST_STEPS)
        if self._cost is None or self._cost[0] != n:
            told = np.flatnonzero(np.isfinite(self.results.losses[:n]))[-_MOST_COSTS:]
            costs = np.log(np.maximum(self.results.costs[told], 1e-9))
            self._cost = n, *_ridge(self._columns.features(self.results.points[told]), costs)
        _, middle, slope = self._cost
        return np.asarray((features - middle) @ slope)

    def _distinct(self, places: NDArray[np.int64]) -> NDArray[np.int64]:
        """The first of equal losses, of places (n,) in the order of their losses.

        What is equal to the last digit says one thing again: a plateau, or a table that gives its nearest row. Counted each by
        itself such results outweigh everything else, and the density contracts to where nothing new is to be found.
        """
        if not (self._settings.distinct and len(places)):
            return places
        losses = self.results.losses[places]
        return np.asarray(places[np.append(True, losses[1:] != losses[:-1])])

    def _n_good(self, n: int) -> int:
        """How many of the first n results are good; failures never are."""
        share = math.ceil(self._settings.good_fraction * (n + len(self.passed)) - 1e-9)
        return min(share, _MOST_GOOD, int(np.isfinite(self.results.losses[:n]).sum()))

    def _mixture(self, data: Floats, weights: Floats) -> Mixture:
        s = self._settings
        return mixture(self._columns, data, weights, prior_weight=s.prior_weight, floor=s.bandwidth_floor, mutations=s.mutations)


def improvements(losses: Floats, border: float) -> Floats:
    """Weights (n,) of mean 1, n <= 30: how far each loss lies below the border, at most 50 times the median of that.

    The largest loss stands for an infinite border; where half of the losses or more lie on the border all weigh alike.
    After the expected-improvement weights of Watanabe 2023 (arXiv:2304.11127, section 3.2).
    """
    if not len(losses):
        return np.empty(0)
    # A power of two changes no digit, and keeps differences of huge losses, and their sum, finite.
    gaps = (border if math.isfinite(border) else losses.max()) / 64 - losses / 64
    middle = float(np.median(gaps))
    if middle <= 0:
        return np.ones(len(losses))
    weights = np.minimum(gaps, 50 * middle)
    return np.asarray(weights / weights.mean())


@lru_cache(maxsize=4096)
def checkpoint(n: int, *, steps: int) -> int:
    """The last number of results up to n at which to fit anew: every one at first, then after each n / steps."""
    at = min(n, steps)
    while (following := at + max(1, at // steps)) <= n:
        at = following
    return at


def _ridge(x: Floats, y: Floats) -> tuple[Floats, Floats]:
    """Middle (p,) and slope (p,) of a ridge regression of y (n,) on x (n, p), penalty 1; slope zero where y hardly varies."""
    if not len(y) or y.std() < _ORDINARY_SPREAD:
        return np.zeros(x.shape[1]), np.zeros(x.shape[1])
    middle = x.mean(axis=0)
    centred = x - middle
    dual = np.linalg.solve(centred @ centred.T + np.eye(len(y)), y - y.mean())
    return middle, np.asarray(centred.T @ dual)
