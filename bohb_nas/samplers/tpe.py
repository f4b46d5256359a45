"""BOHB's model: what is likelier among the good configurations than among the bad ones is proposed.

After HpBandSter 0.7.4 (`optimizers/config_generators/bohb.py`) and Falkner, Klein & Hutter 2018, section 4. The
mathematics is in `kde`; here is when there is a model, from which results, and which candidate is taken.
"""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from ConfigSpace import ConfigurationSpace
from ConfigSpace.exceptions import ForbiddenValueError

from bohb_nas.arrays import Floats
from bohb_nas.durations import counted
from bohb_nas.entries import check_option, is_number, is_whole
from bohb_nas.knowledge import NOTHING, Knowledge
from bohb_nas.records import Origin, Value
from bohb_nas.samplers import kde
from bohb_nas.samplers.uniform import Fresh, Proposal
from bohb_nas.space.encoding import Encoding


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What can be chosen about the model; the defaults are HpBandSter's.

    Raises:
        OptionError: a value is not accepted.
    """

    min_points_in_model: int | None = None
    """Fewest good configurations of a model; None, and anything below, means d + 1 for d hyperparameters."""
    top_n_percent: int = 15
    """Share of the results that counts as good, in percent; 1 to 99."""
    n_candidates: int = 64
    """Points drawn from the good density, of which the best is taken."""
    random_fraction: float = 1 / 3
    """Share of new configurations drawn at random although there is a model; 0 to 1."""
    bandwidth_factor: float = 3.0
    """Candidates are drawn with this many bandwidths."""
    min_bandwidth: float = 1e-3
    """Smallest bandwidth, of the unit interval or as the probability of another level."""
    corrected_densities: bool = False
    """Bandwidths of categoricals that never prefer an unseen level, levels counted in the space, no floor under the score."""

    def __post_init__(self) -> None:
        fewest, share, n = self.min_points_in_model, self.top_n_percent, self.n_candidates
        enough = fewest is None or is_whole(fewest, 1, 10_000)
        check_option("min_points_in_model", fewest, enough, "a whole number from 1 to 10000, or none")
        check_option("top_n_percent", share, is_whole(share, 1, 99), "a whole number from 1 to 99")
        check_option("n_candidates", n, is_whole(n, 1, 100_000), "a whole number from 1 to 100000")
        drawn, factor, smallest = self.random_fraction, self.bandwidth_factor, self.min_bandwidth
        check_option("random_fraction", drawn, is_number(drawn) and 0 <= drawn <= 1, "a number from 0 to 1")
        check_option("bandwidth_factor", factor, is_number(factor) and factor > 0, "a number above 0")
        check_option("min_bandwidth", smallest, is_number(smallest) and 0 < smallest < 0.5, "a number above 0 and below 0.5")
        check_option("corrected_densities", self.corrected_densities, type(self.corrected_densities) is bool, "true or false")


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """The good and the bad configurations of one budget; nothing is NaN."""

    good: Floats
    """(n_good, d)"""
    bad: Floats
    """(n_bad, d)"""
    good_bandwidths: Floats
    """(d,)"""
    bad_bandwidths: Floats
    """(d,)"""


class Tpe:
    """Proposes from the model of the largest budget that has enough results.

    Args:
        space: what to search; it is copied.
        seed: of the imputation; all other randomness comes with each call.
        settings: of the model.
        knowledge: what is known beforehand.
    """

    def __init__(self, space: ConfigurationSpace, *, seed: int, settings: Settings, knowledge: Knowledge = NOTHING) -> None:
        self._encoding = encoding = Encoding(space)
        self._knowledge = knowledge
        self._fresh = Fresh(encoding, knowledge=knowledge)
        self._seed = seed
        self._settings = settings
        self._levels = encoding.levels
        self._d = d = len(space)  # hyperparameters without a choice count, as in HpBandSter
        self._min_points = max(d + 1, settings.min_points_in_model or 0)
        self._n_needed = next(n for n in itertools.count(d + 1) if n - self._n_good(n) > d)
        self._observed: dict[float, _Observed] = {}
        self._model: tuple[tuple[float, int], Model] | None = None

    def observe(self, config: Mapping[str, Value], *, budget: float, loss: float | None) -> None:
        """Records a result; None is a failed one and counts as infinitely bad."""
        observed = self._observed.setdefault(budget, _Observed(len(self._levels)))
        observed.new.append(config)
        observed.losses.append(np.inf if loss is None else loss)

    def propose(self, rng: np.random.Generator) -> Proposal:
        """A configuration that depends on the generator and on the results, in their order, only."""
        enough = [budget for budget, observed in self._observed.items() if len(observed.losses) >= self._n_needed]
        if not enough:
            return self._fresh.draw(rng, reason=self._no_model())
        if rng.random() < self._settings.random_fraction:
            return self._fresh.draw(rng, reason="random fraction")
        budget = max(enough)
        row = self._best_candidate(rng, self._fitted(budget))
        if row is None:
            return self._fresh.draw(rng, reason="no candidate has a finite score and keeps the constraints")
        try:  # HpBandSter, too, looks at clauses before it removes what is inactive
            config = None if self._encoding.forbidden(row) else self._encoding.decode(row)
        except ForbiddenValueError:
            config = None
        if config is None:
            return self._fresh.draw(rng, reason="forbidden vector")
        n = len(self._observed[budget].losses)
        return Proposal(config=config, origin=Origin.MODEL, reason=f"model on budget {budget:g} from {n} results")

    def fit(self, rows: Floats, losses: Floats) -> Model:
        """The model of n results: rows (n, d), NaN where inactive; losses (n,), infinite where failed.

        The best `top_n_percent`, and at least d + 1, are good; of the others the next 100 - `top_n_percent`, and at least d + 1, are bad.
        Inactive entries are filled anew for every number of results, from the same set.
        """
        n = len(losses)
        n_good = self._n_good(n)
        n_bad = max(self._min_points, (100 - self._settings.top_n_percent) * n // 100)
        order = np.argsort(losses, kind="stable")
        # three numbers, so that it never shares a stream with the (seed, n) of a configuration
        rng = np.random.default_rng((self._seed, n, 1))
        good = kde.impute(rng, rows[order[:n_good]], self._levels)
        bad = kde.impute(rng, rows[order[n_good : n_good + n_bad]], self._levels)
        return Model(good=good, bad=bad, good_bandwidths=self._bandwidths(good), bad_bandwidths=self._bandwidths(bad))

    def _allowed(self, row: Floats) -> bool:
        """Whether no constraint forbids a candidate; what a clause of the space forbids is seen when it is decoded."""
        try:
            return self._knowledge.allowed(self._encoding.decode(row))
        except ForbiddenValueError:
            return True

    def _n_good(self, n: int) -> int:
        return max(self._min_points, self._settings.top_n_percent * n // 100)

    def _bandwidths(self, data: Floats) -> Floats:
        bandwidths, smallest = kde.normal_reference(data, d=self._d), self._settings.min_bandwidth
        if self._settings.corrected_densities:
            return kde.clip(bandwidths, self._levels, smallest=smallest)
        return np.maximum(bandwidths, smallest)

    def _fitted(self, budget: float) -> Model:
        observed = self._observed[budget]
        key = (budget, len(observed.losses))
        if self._model is None or self._model[0] != key:
            self._model = key, self.fit(observed.encoded(self._encoding), np.array(observed.losses))
        return self._model[1]

    def _best_candidate(self, rng: np.random.Generator, model: Model) -> Floats | None:
        candidates = kde.draw(
            rng,
            model.good,
            model.good_bandwidths,
            self._levels,
            n=self._settings.n_candidates,
            widen=self._settings.bandwidth_factor,
        )
        if self._knowledge.constraints:
            candidates = candidates[[self._allowed(row) for row in candidates]]
            if not len(candidates):
                return None
        corrected = self._settings.corrected_densities
        density = kde.log_density if corrected else kde.hpbandster_density
        good = density(candidates, model.good, model.good_bandwidths, self._levels)
        bad = density(candidates, model.bad, model.bad_bandwidths, self._levels)
        chosen = int(np.argmax(good - bad)) if corrected else hpbandster_choice(good, bad)
        return None if chosen is None else candidates[chosen]

    def _no_model(self) -> str:
        if not self._observed:
            return f"no model: no results, {self._n_needed} needed"
        n, budget = max((len(observed.losses), budget) for budget, observed in self._observed.items())
        return f"no model: {counted(n, 'result')} at budget {budget:g}, {self._n_needed} needed"


class _Observed:
    """The results of one budget; configurations become rows when a model is first fitted to them."""

    __slots__ = ("losses", "new", "rows")

    def __init__(self, d: int) -> None:
        self.losses: list[float] = []
        self.new: list[Mapping[str, Value]] = []
        self.rows: Floats = np.empty((0, d))

    def encoded(self, encoding: Encoding) -> Floats:
        if self.new:
            self.rows = np.vstack([self.rows, encoding.encode(self.new)])
            self.new.clear()
        return self.rows


def hpbandster_choice(good: Floats, bad: Floats) -> int | None:
    """The candidate that HpBandSter 0.7.4 takes, given its densities (m,); None when no score is finite.

    The lowest bad / good, both raised to at least 1e-32, wins; but the first candidate whose score is not finite while
    its good density is, is taken at once.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        # a NaN of the bad density becomes the floor, one of the good density stays: the order in its max() calls
        score = np.where(bad > 1e-32, bad, 1e-32) / np.where(good < 1e-32, 1e-32, good)
    at_once = ~np.isfinite(score) & np.isfinite(good)
    if at_once.any():
        return int(np.argmax(at_once))
    if not np.isfinite(score).any():
        return None
    return int(np.argmin(np.where(np.isfinite(score), score, np.inf)))
