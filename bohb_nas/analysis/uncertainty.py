"""What chance reaches: the largest effect that a forest finds in shuffled losses, or of hyperparameters whose values are shuffled."""

import math
from collections.abc import Sequence

import numpy as np

from bohb_nas.analysis.cells import Box
from bohb_nas.analysis.effects import Effects
from bohb_nas.analysis.forest import Forest, fit
from bohb_nas.analysis.shares import shares
from bohb_nas.arrays import Bools, Floats

_N_TREES = 16
"""Of a forest on what is shuffled. Fewer trees vary more: the threshold is rather too high."""
_MOST_ROWS = 500
"""That a forest on shuffled losses is fitted to. Fewer show larger chance effects: the threshold is rather too high."""
_FEW = 8
"""Hyperparameters up to which values are shuffled, too: each takes as many forests as all shuffles of the losses. See decision 0020."""
_LEAST = 0.02
"""A share of the variance that is not claimed by shuffled values: among few hyperparameters nobody needs to know it."""
_FEWER_ROWS = 200
"""That a forest on shuffled values is fitted to."""
LEAST_PERMUTATIONS = 19
_LEVEL = 0.05


def thresholds(
    box: Box, points: Floats, losses: Floats, cutoffs: Sequence[float], found: Floats, *, seed: int, n_permutations: int
) -> Floats:
    """The share above which an effect is more than chance, (cutoffs,): that of shuffled losses, among few hyperparameters also of values.

    Args:
        box: of the space.
        points: (n, d) observations in it.
        losses: (n,).
        cutoffs: where the function is cut off; infinity for the whole of it.
        found: (cutoffs, d) `with_parents` of the forest that is judged.
        seed: of shuffles and forests.
        n_permutations: shuffles; from 19 on.
    """
    chance = _of_losses(box, points, losses, cutoffs, seed=seed, n_permutations=n_permutations)
    open_ones = found <= chance[:, None]
    if len(box.names) > _FEW or not (open_ones & (found > _LEAST)).any():
        return chance
    # all of them, also those below what could be claimed: of several that do nothing chance helps the luckiest
    of_values = _of_values(box, points, losses, cutoffs, open_ones, seed=seed, n_permutations=n_permutations)
    return np.where(open_ones.any(axis=1), np.minimum(chance, np.maximum(of_values, _LEAST)), chance)


def _of_losses(box: Box, points: Floats, losses: Floats, cutoffs: Sequence[float], *, seed: int, n_permutations: int) -> Floats:
    """The share that the largest `with_parents` stays below in 95 of 100 shuffles of the losses, (cutoffs,)."""
    largest = np.zeros((n_permutations, len(cutoffs)))
    for shuffle in range(n_permutations):
        rng = np.random.default_rng([seed, shuffle])
        drawn = rng.permutation(len(losses))[:_MOST_ROWS]
        forest = fit(
            box, points[drawn], losses[rng.permutation(len(losses))[: len(drawn)]], seed=int(rng.integers(2**31)), n_trees=_N_TREES
        )
        largest[shuffle] = _effects(forest, cutoffs).max(axis=1)
    return _rarely_passed(largest)


def _of_values(
    box: Box, points: Floats, losses: Floats, cutoffs: Sequence[float], tested: Bools, *, seed: int, n_permutations: int
) -> Floats:
    """The share that the largest of the tested hyperparameters stays below in 95 of 100 shuffles of its values, (cutoffs,).

    A forest on shuffled losses shares out all of its variance, among few hyperparameters each a lot, although it predicts nothing. Here
    the others keep what they have to say; and effects are held against each other as shares of the loss's variance, not of the forest's:
    times the out-of-bag R². A hyperparameter takes along what depends on it. `tested` is (cutoffs, d).
    """
    drawn = np.random.default_rng([seed, n_permutations]).permutation(len(losses))[:_FEWER_ROWS]
    points, losses = points[drawn], losses[drawn]
    straight = fit(box, points, losses, seed=seed, n_trees=_N_TREES)
    largest = np.zeros((n_permutations, len(cutoffs)))
    for column in np.flatnonzero(tested.any(axis=0)).tolist():
        family = [column, *(child for c in straight.layout.conditions if column in c.ancestors for child in c.children.tolist())]
        active = np.flatnonzero(~np.isnan(points[:, column]))
        for shuffle in range(n_permutations):
            rng = np.random.default_rng([seed, shuffle, column])
            shuffled = points.copy()
            shuffled[np.ix_(active, family)] = points[np.ix_(rng.permutation(active), family)]
            forest = fit(box, shuffled, losses, seed=int(rng.integers(2**31)), n_trees=_N_TREES)
            explained = _effects(forest, cutoffs)[:, column] * _predicted(forest, shuffled, losses, cutoffs)
            largest[shuffle] = np.maximum(largest[shuffle], np.where(tested[:, column], explained, 0.0))
    predicted = _predicted(straight, points, losses, cutoffs)
    return np.asarray(np.divide(_rarely_passed(largest), predicted, out=np.full(len(cutoffs), np.inf), where=predicted > 0))


def _effects(forest: Forest, cutoffs: Sequence[float]) -> Floats:
    """(cutoffs, d) `with_parents`; zeros where no tree has a variance."""
    told, leaves = np.zeros((len(cutoffs), forest.layout.d)), forest.leaves()
    effects = [Effects(one, forest.layout.d) for one in leaves]
    for i, cutoff in enumerate(cutoffs):
        cut = effects if cutoff == np.inf else [e.valued(np.minimum(one.values, cutoff)) for e, one in zip(effects, leaves, strict=True)]
        found = shares(cut, forest.layout, all_pairs=False)
        if found is not None:
            told[i] = found.with_parents.mean(axis=0)
    return told


def _predicted(forest: Forest, points: Floats, losses: Floats, cutoffs: Sequence[float]) -> Floats:
    """(cutoffs,) the out-of-bag R², 0 where it is negative."""
    return np.array([max(0.0, forest.oob_r2(points, losses, cutoff=cutoff)) for cutoff in cutoffs])


def _rarely_passed(largest: Floats) -> Floats:
    """Of m shuffles, (m, cutoffs), the ceil(0.95 (m + 1))-th smallest, so that chance exceeds it with a probability of at most 5 %.

    With 19 to 38 shuffles that is the largest (Phipson, Smyth 2010).
    """
    rank = math.ceil((1 - _LEVEL) * (len(largest) + 1))
    return np.asarray(np.sort(largest, axis=0)[min(rank, len(largest)) - 1])
