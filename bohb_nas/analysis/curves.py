"""Marginals in the hyperparameters' own units: a curve for each of them, a map for some pairs."""

from collections.abc import Sequence

import numpy as np

from bohb_nas.analysis.active import Active, coverage, overlap, where_active
from bohb_nas.analysis.boxes import Block, Leaves
from bohb_nas.analysis.findings import Curve, PairMap
from bohb_nas.analysis.layout import Condition, Layout, Region
from bohb_nas.analysis.sample import Sample
from bohb_nas.analysis.shares import SPREAD
from bohb_nas.arrays import Floats, Ints
from bohb_nas.space.axes import middles

_N_POINTS = 64
"""Of the curve over a continuum."""
_N_MAP = 24
"""Of a map over a continuum."""


def curve(active: Sequence[Active], layout: Layout, column: int, sample: Sample) -> Curve:
    """The marginal of a column where it is active."""
    edges = _edges(layout, column, _N_POINTS)
    heights = np.array([one.marginal(column, edges) for one in active])
    chosen, points, places = _points(layout, column, edges)
    heights = heights[:, chosen]
    # over the trees before they are losses, of which a sum may be too large for a float
    mean, low, high = (sample.to_losses(each) for each in (heights.mean(axis=0), *np.percentile(heights, SPREAD, axis=0)))
    return Curve(
        at=layout.box.values(column, points),
        place=places.tolist(),
        mean=mean.tolist(),
        low=low.tolist(),
        high=high.tolist(),
    )


def pair_map(forest: Sequence[Leaves], layout: Layout, columns: tuple[int, int], sample: Sample) -> PairMap | None:
    """The joint marginal of two columns, over the values with which both can be active; None where there is one such value of either."""
    edges = [_edges(layout, j, _N_MAP) for j in columns]
    chance = _chance(layout, columns, edges)
    means = np.mean([_joint(leaves, layout, columns, edges) for leaves in forest], axis=0)
    found = [_points(layout, j, e) for j, e in zip(columns, edges, strict=True)]
    means, chance = (grid[np.ix_(found[0][0], found[1][0])] for grid in (means, chance))
    rows, across = chance.max(axis=1) > 0, chance.max(axis=0) > 0
    if rows.sum() < 2 or across.sum() < 2 or not (chance[np.ix_(rows, across)] > 0).all():
        return None
    at = [layout.box.values(j, points[kept]) for j, (_, points, _), kept in zip(columns, found, (rows, across), strict=True)]
    return PairMap(at=at, mean=sample.to_losses(means[np.ix_(rows, across)] / chance[np.ix_(rows, across)]).tolist())


def _edges(layout: Layout, column: int, n: int) -> Floats:
    own = layout.edges[column]
    return np.linspace(0.0, 1.0, n + 1) if own is None else own


def _points(layout: Layout, column: int, edges: Floats) -> tuple[Ints, Floats, Floats]:
    """Which intervals are shown, in what order; the points of the box there; their places on the side, or the numbers of levels."""
    if layout.edges[column] is None:
        places = middles(edges)
        values = layout.box.values(column, places)
        chosen = np.array([i for i, value in enumerate(values) if i == 0 or value != values[i - 1]])
        return chosen, places[chosen], places[chosen]
    ranks = layout.ranks(column)
    cells = np.arange(len(ranks), dtype=np.float64)
    return ranks, cells, middles(edges) if layout.box.is_number(column) else cells


def _chance(layout: Layout, columns: tuple[int, int], edges: Sequence[Floats]) -> Floats:
    """(k, l) how likely both columns are active with their values in each cell of a grid, as a share of the cell."""
    region, axes = _both(layout, columns)
    return np.asarray(sum(_product(region, r, axes, columns, edges) for r in range(len(region.lo))) + np.zeros([len(e) - 1 for e in edges]))


def _joint(leaves: Leaves, layout: Layout, columns: tuple[int, int], edges: Sequence[Floats]) -> Floats:
    """(k, l) the mean over each cell of a grid of the function where both are active and 0 elsewhere."""
    blocks = [next(block for block in leaves.blocks if j in block.columns) for j in columns]
    mass = leaves.values * leaves.volumes
    if blocks[0] is not blocks[1]:
        one, other = (_along(leaves, layout, j, e) for j, e in zip(columns, edges, strict=True))
        return np.asarray(one.T @ (mass[:, None] * other))
    return _within(blocks[0], mass, layout, columns, edges)


def _along(leaves: Leaves, layout: Layout, column: int, edges: Floats) -> Floats:
    """(leaves, k) the density of each leaf along a column, 1 for what it does not restrict, where the column is active."""
    active = where_active(leaves, layout, column)
    i = int(np.searchsorted(active.block.columns, column))
    lo, hi = active.block.lo[:, i], active.block.hi[:, i]
    density = np.full((len(leaves.values), len(edges) - 1), active.p)
    density[active.block.leaf] = 0.0
    np.add.at(density, active.block.leaf, (active.share / (hi - lo))[:, None] * coverage(lo, hi, edges))
    return density


def _within(block: Block, mass: Floats, layout: Layout, columns: tuple[int, int], edges: Sequence[Floats]) -> Floats:
    region, axes = _both(layout, columns)
    unrestricted = np.ones(len(mass), dtype=np.bool_)
    unrestricted[block.leaf] = False
    found = mass[unrestricted].sum() * _chance(layout, columns, edges)
    own = np.searchsorted(block.columns, columns)
    others = [i for i, j in enumerate(axes) if j not in columns]
    at = np.searchsorted(block.columns, axes[others])
    rest = Region(lo=region.lo[:, others], hi=region.hi[:, others])
    shares = overlap(block.lo[:, at], block.hi[:, at], rest)
    weights = mass[block.leaf] * block.share / (block.hi - block.lo)[:, own].prod(axis=1)
    for r in range(len(region.lo)):
        sides = []
        for i, j, e in zip(own, columns, edges, strict=True):
            lo, hi = _side(region, r, axes, j)
            sides.append(coverage(np.maximum(block.lo[:, i], lo), np.minimum(block.hi[:, i], hi), e))
        found += sides[0].T @ ((weights * shares[:, r])[:, None] * sides[1])
    return np.asarray(found)


def _both(layout: Layout, columns: tuple[int, int]) -> tuple[Region, Ints]:
    """Where two columns are active, and over which columns that region is."""
    one, other = (layout.condition_of.get(j) for j in columns)
    if one is None or other is None:
        known = one or other
        return (
            (Region(lo=np.zeros((1, 0)), hi=np.zeros((1, 0))), np.empty(0, np.int64)) if known is None else (known.inside, known.ancestors)
        )
    axes = np.union1d(one.ancestors, other.ancestors)
    lo, hi = _spread(one, axes)
    lo_other, hi_other = _spread(other, axes)
    lo = np.maximum(lo[:, None], lo_other).reshape(-1, len(axes))
    hi = np.minimum(hi[:, None], hi_other).reshape(-1, len(axes))
    there = (hi > lo).all(axis=1)
    return Region(lo=lo[there], hi=hi[there]), axes


def _spread(condition: Condition, axes: Ints) -> tuple[Floats, Floats]:
    """A condition's region over more axes."""
    lo, hi = np.zeros((len(condition.inside.lo), len(axes))), np.ones((len(condition.inside.lo), len(axes)))
    own = np.searchsorted(axes, condition.ancestors)
    lo[:, own], hi[:, own] = condition.inside.lo, condition.inside.hi
    return lo, hi


def _side(region: Region, r: int, axes: Ints, column: int) -> tuple[float, float]:
    i = np.flatnonzero(axes == column)
    return (float(region.lo[r, i[0]]), float(region.hi[r, i[0]])) if len(i) else (0.0, 1.0)


def _product(region: Region, r: int, axes: Ints, columns: tuple[int, int], edges: Sequence[Floats]) -> Floats:
    """(k, l) what one box of a region takes of each cell of a grid."""
    others = ~np.isin(axes, columns)
    rest = float((region.hi[r] - region.lo[r])[others].prod())
    sides = []
    for j, e in zip(columns, edges, strict=True):
        lo, hi = _side(region, r, axes, j)
        sides.append(coverage(np.array([lo]), np.array([hi]), e)[0])
    return np.asarray(rest * np.outer(sides[0], sides[1]))
