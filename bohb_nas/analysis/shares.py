"""The effects of a whole forest as shares of its trees' variance."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import qmc

from bohb_nas.analysis.boxes import Leaves
from bohb_nas.analysis.effects import Effects
from bohb_nas.analysis.layout import Layout
from bohb_nas.analysis.sample import ROUNDING
from bohb_nas.analysis.totals import totals
from bohb_nas.arrays import Floats

SPREAD = (5.0, 95.0)
"""Percentiles over the trees."""
_N_LINES = 128
"""Through each tree, for total effects: a power of 2."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shares:
    """Shares of the variance, tree by tree; t trees, those without any variance left out."""

    main: Floats
    """(t, d)."""
    with_parents: Floats
    """(t, d)."""
    pairs: Floats | None
    """(t, d, d); None where they were not asked for."""


def shares(effects: Sequence[Effects], layout: Layout, *, all_pairs: bool) -> Shares | None:
    """The shares of a forest's trees; None when no tree has a variance."""
    some = [one for one in effects if one.variance > 0]
    if not some:
        return None
    only: dict[int, list[int]] = {}
    for condition in layout.conditions:
        if len(condition.ancestors) == 1:
            only.setdefault(int(condition.ancestors[0]), []).extend(condition.children.tolist())
    main, grouped, pairs = [], [], []
    for one in some:
        family = one.main.copy()
        for parent, children in only.items():
            family[np.sort(children)] = one.with_parent(np.sort(children), parent)
        for condition in layout.conditions:
            if len(condition.ancestors) > 1:
                family[condition.children] = [one.with_ancestors(int(j), condition.ancestors) for j in condition.children]
        main.append(one.main / one.variance)
        grouped.append(family / one.variance)
        if all_pairs:
            pairs.append(one.pairs() / one.variance)
    return Shares(main=np.array(main), with_parents=np.array(grouped), pairs=np.array(pairs) if all_pairs else None)


def total_shares(forest: Sequence[Leaves], cutoffs: Sequence[float], d: int, *, seed: int) -> Floats:
    """(cutoffs, d) mean shares of total effects over the trees, each from lines of its own; of trees without a variance none."""
    sums, counts = np.zeros((len(cutoffs), d)), np.zeros((len(cutoffs), 1))
    for tree, leaves in enumerate(forest):
        points = qmc.Sobol(d, seed=np.random.default_rng([seed, tree])).random(_N_LINES)
        values = np.minimum(leaves.values, np.array(cutoffs)[:, None])
        values = values - (values @ leaves.volumes)[:, None]
        variance = (values**2 @ leaves.volumes)[:, None]
        varies = (variance > 0) & (np.ptp(values, axis=1, keepdims=True) > ROUNDING)
        sums += np.divide(totals(leaves, points, values), variance, out=np.zeros_like(sums), where=varies)
        counts += varies
    return sums / np.maximum(counts, 1)
