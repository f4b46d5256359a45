"""What chance reaches: the largest effect that a forest finds in shuffled losses."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from bohb_nas.analysis.cells import Box
from bohb_nas.analysis.effects import Effects
from bohb_nas.analysis.forest import fit
from bohb_nas.analysis.shares import shares

Floats = NDArray[np.float64]

_N_TREES = 16
"""Of a forest on shuffled losses. Fewer trees vary more: the threshold is rather too high."""
_MOST_ROWS = 500
"""That such a forest is fitted to. Fewer show larger chance effects: the threshold is rather too high."""
LEAST_PERMUTATIONS = 19
_LEVEL = 0.05


def thresholds(box: Box, points: Floats, losses: Floats, cutoffs: Sequence[float], *, seed: int, n_permutations: int) -> Floats:
    """The share that the largest `with_parents` stays below in 95 of 100 shuffles, (cutoffs,).

    Of m shuffles it is the ceil(0.95 (m + 1))-th smallest, so that an effect of chance exceeds it with a probability of at most 5 %
    (Phipson, Smyth 2010): with 19 to 38 shuffles, the largest.

    Args:
        box: of the space.
        points: (n, d) observations in it.
        losses: (n,).
        cutoffs: where the function is cut off; infinity for the whole of it.
        seed: of shuffles and forests.
        n_permutations: m; from 19 on.
    """
    largest = np.zeros((n_permutations, len(cutoffs)))
    for shuffle in range(n_permutations):
        rng = np.random.default_rng([seed, shuffle])
        drawn = rng.permutation(len(losses))[:_MOST_ROWS]
        forest = fit(
            box, points[drawn], losses[rng.permutation(len(losses))[: len(drawn)]], seed=int(rng.integers(2**31)), n_trees=_N_TREES
        )
        leaves = forest.leaves()
        effects = [Effects(one, forest.layout.d) for one in leaves]
        for i, cutoff in enumerate(cutoffs):
            cut = (
                effects if cutoff == np.inf else [e.valued(np.minimum(one.values, cutoff)) for e, one in zip(effects, leaves, strict=True)]
            )
            found = shares(cut, forest.layout, all_pairs=False)
            largest[shuffle, i] = 0.0 if found is None else found.with_parents.mean(axis=0).max()
    rank = math.ceil((1 - _LEVEL) * (n_permutations + 1))
    return np.asarray(np.sort(largest, axis=0)[min(rank, n_permutations) - 1])
