"""How much each hyperparameter matters: the functional ANOVA of a random forest over a conditional space.

The forest is decomposed exactly, on the box extension: a function on the product of all hyperparameters' ranges, under the measure of the
search distribution, on which an inactive hyperparameter has no effect. See docs/analysis.md.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from ConfigSpace import ConfigurationSpace

from bohb_nas.analysis.budgets import nothing
from bohb_nas.analysis.cells import Box
from bohb_nas.analysis.effects import Effects
from bohb_nas.analysis.findings import GoodRegion, Importance
from bohb_nas.analysis.forest import Forest, fit
from bohb_nas.analysis.importance import View, pairs, parameters
from bohb_nas.analysis.sample import ROUNDING, Refused, Sample, sample
from bohb_nas.analysis.shares import shares, total_shares
from bohb_nas.analysis.uncertainty import LEAST_PERMUTATIONS, thresholds
from bohb_nas.arrays import Floats
from bohb_nas.errors import AnalysisError
from bohb_nas.records import Value

GOOD = 0.25
"""The share of observations that are good."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """The importance of hyperparameters, and the forest behind it."""

    importance: Importance
    forest: Forest | None = None
    """None where nothing is said; so of `sample`."""
    sample: Sample | None = None

    def predict(self, configs: Sequence[Mapping[str, Value]]) -> Floats:
        """(trees, n) the loss that each tree expects of n configurations.

        Raises:
            AnalysisError: the importance was refused: there is no forest that predicts anything.
        """
        if self.forest is None or self.sample is None:
            raise AnalysisError(f"no prediction without an importance: {self.importance['refused']}")
        return self.sample.to_losses(self.forest.predict(self.forest.layout.box.points(configs)))


def explain(
    space: ConfigurationSpace,
    configs: Sequence[Mapping[str, Value]],
    losses: Floats,
    *,
    seed: int = 0,
    n_trees: int = 64,
    n_permutations: int = LEAST_PERMUTATIONS,
    curves: bool = True,
    n_maps: int = 6,
) -> Explanation:
    """The importance of a space's hyperparameters for a loss.

    Args:
        space: which was searched.
        configs: n configurations of it, active hyperparameters only. Equal ones count as one, with the mean of their losses.
        losses: (n,) finite.
        seed: of forests and shuffles.
        n_trees: of the forest.
        n_permutations: shuffles behind the threshold, at least 19; with 0 there is no threshold, and nothing is claimed.
        curves: whether marginals are given.
        n_maps: of how many of the strongest pairs a joint marginal is given.

    Raises:
        SpaceError: a configuration is not of the space.
        AnalysisError: a loss is not finite; as many losses as configurations are needed; 1 to 18 shuffles.
    """
    _check(configs, losses, n_permutations)
    try:
        box = Box(space)
    except AnalysisError as e:
        return Explanation(importance=nothing(len(configs), str(e)))
    sampled = sample(box, configs, np.asarray(losses, dtype=np.float64))
    if isinstance(sampled, Refused):
        return Explanation(importance=nothing(sampled.n, sampled.reason))
    forest = fit(box, sampled.points, sampled.losses, seed=seed, n_trees=n_trees)
    oob_r2 = forest.oob_r2(sampled.points, sampled.losses)
    if not oob_r2 > 0:
        refused = f"the forest predicts no better than the mean does (out-of-bag R² {oob_r2:.2f})"
        return Explanation(importance=nothing(sampled.n, refused, oob_r2))
    leaves = forest.leaves()
    effects = [Effects(one, forest.layout.d) for one in leaves]
    found = shares(effects, forest.layout, all_pairs=True)
    assert found is not None, "trees that predict something have a variance"
    limit = float(np.quantile(sampled.losses, GOOD))
    limits = np.inf, limit
    near = shares([e.valued(np.minimum(one.values, limit)) for e, one in zip(effects, leaves, strict=True)], forest.layout, all_pairs=False)
    chance: Sequence[float | None] = (None, None)
    if n_permutations:
        grouped = np.array([np.zeros(forest.layout.d) if one is None else one.with_parents.mean(axis=0) for one in (found, near)])
        chance = thresholds(box, sampled.points, sampled.losses, limits, grouped, seed=seed, n_permutations=n_permutations).tolist()
    total = total_shares(leaves, limits, forest.layout.d, seed=seed)
    whole = View(sample=sampled, layout=forest.layout, leaves=leaves, found=found, threshold=chance[0], total=total[0])
    importance = Importance(
        n=sampled.n,
        refused=None,
        oob_r2=oob_r2,
        threshold=whole.threshold,
        parameters=parameters(whole, curves=curves),
        pairs=pairs(whole, n_maps=n_maps),
        good=None if near is None else _good(replace(whole, found=near, threshold=chance[1], total=total[1]), limit),
    )
    return Explanation(importance=importance, forest=forest, sample=sampled)


def _check(configs: Sequence[Mapping[str, Value]], losses: Floats, n_permutations: int) -> None:
    if len(configs) != len(losses):
        raise AnalysisError(f"{len(configs)} configurations and {len(losses)} losses: each configuration needs one loss")
    if not np.isfinite(losses).all():
        raise AnalysisError("a loss is not finite; leave out what failed")
    if 0 != n_permutations < LEAST_PERMUTATIONS:
        raise AnalysisError(
            f"{n_permutations} shuffles: accepted are 0, or {LEAST_PERMUTATIONS} and more: chance passes their threshold once in 20 times"
        )


def _good(view: View, limit: float) -> GoodRegion:
    """The importance for the loss cut off at a limit."""
    cut = replace(view, leaves=[replace(one, values=np.minimum(one.values, limit)) for one in view.leaves])
    n_below = int((view.sample.losses <= limit + ROUNDING).sum())
    return GoodRegion(
        cutoff=float(view.sample.to_losses(np.array(limit))),
        rule="first quartile of the losses",
        n_below=n_below,
        threshold=view.threshold,
        parameters=parameters(cut, curves=False),
    )
