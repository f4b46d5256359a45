"""The functional ANOVA of a piecewise constant function: variances of main effects and of interactions.

The box is a product of sides, so the decomposition is unique and its variances sum to that of the function (Hooker 2007; Hutter, Hoos,
Leyton-Brown 2014). What a leaf adds to a marginal is a product of steps, one for each side that it restricts: sums of steps are
running sums of differences, so that a marginal costs as much as there are steps. A side that a leaf does not restrict adds a constant,
which drops out of every effect with that side.
"""

import copy
import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from bohb_nas.analysis.boxes import Block, Leaves
from bohb_nas.analysis.sample import ROUNDING
from bohb_nas.analysis.steps import joint_variance
from bohb_nas.arrays import Floats, Ints

_BATCH = 256
"""Edges whose joint marginals with all others are worked out at a time."""
_LONG = 64
"""Entries of a row from which on it pays to sum rows one by one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Steps:
    """Where the boxes of a block begin and end on the sides that they restrict."""

    boxes: Ints
    """(s,)."""
    columns: Ints
    """(s,)."""
    edges: Ints
    """(s,) among the edges of all columns."""
    rises: Floats
    """(s,) of the density along the side, whose mean is 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Family:
    """Where a parent's children step together with it."""

    boxes: Ints
    """(s,)."""
    heights: Floats
    """(s,) of each step, for a mass of 1 in its box."""
    places: Ints
    """(2 s,) where steps begin on the parent's side, and where they end, in a grid of the children's edges and the parent's."""
    shape: tuple[int, int]
    """Of the grid."""


class Effects:
    """The effects of one function of d columns."""

    variance: float
    main: Floats
    """(d,) variances of main effects."""

    def __init__(self, leaves: Leaves, d: int) -> None:
        self._d, self._blocks, self._volumes = d, leaves.blocks, leaves.volumes
        self._block_of = {int(j): i for i, block in enumerate(leaves.blocks) for j in block.columns}
        own = [np.nonzero(block.hi - block.lo < 1) for block in leaves.blocks]
        lo, hi = (np.concatenate([getattr(b, end)[at] for b, at in zip(leaves.blocks, own, strict=True)]) for end in ("lo", "hi"))
        columns = np.concatenate([block.columns[axes] for block, (_, axes) in zip(leaves.blocks, own, strict=True)])
        self._edges, self._first, begin, end = _edges(columns, lo, hi, d)
        self._widths = np.append(np.diff(self._edges), 0.0)
        self._widths[self._first[1:] - 1] = 0.0
        self._steps, first = [], 0
        for boxes, _ in own:
            part = slice(first, first := first + len(boxes))
            self._steps.append(
                _Steps(
                    boxes=np.tile(boxes, 2),
                    columns=np.tile(columns[part], 2),
                    edges=np.concatenate([begin[part], end[part]]),
                    rises=np.concatenate([height := 1 / (hi[part] - lo[part]), -height]),
                )
            )
        self._families: dict[tuple[int, bytes], _Family] = {}
        self._take(leaves.values)

    def _take(self, values: Floats) -> None:
        centred = values - values @ self._volumes
        self._mass = centred * self._volumes
        self.variance = float(centred**2 @ self._volumes) if np.ptp(values) > ROUNDING else 0.0
        edges = np.concatenate([steps.edges for steps in self._steps])
        rises = [steps.rises * self._mass_of(block)[steps.boxes] for block, steps in zip(self._blocks, self._steps, strict=True)]
        heights = np.bincount(edges, np.concatenate(rises), minlength=len(self._widths)).cumsum()
        mean = np.add.reduceat(heights * self._widths, self._first[:-1])
        self.main = np.maximum(np.add.reduceat(heights**2 * self._widths, self._first[:-1]) - mean**2, 0.0)

    def _mass_of(self, block: Block) -> Floats:
        """(p,) integrals of the function over the boxes of a block."""
        return self._mass[block.leaf] * block.share

    def valued(self, values: Floats) -> "Effects":
        """The effects of a function with the same leaves and other values (leaves,)."""
        other = copy.copy(self)
        other._take(values)
        return other

    def pairs(self) -> Floats:
        """(d, d) variances of all interactions of two columns, on both sides of a diagonal of zeros."""
        found = np.zeros((self._d, self._d))
        by_edge = self._by_edge()
        weighted = _scaled(by_edge, self._mass)
        for columns in _batches(self._first):
            own = self._range(columns)
            rises = (weighted[own] @ by_edge[own.start :].T.tocsr()).toarray()
            found[columns, columns[0] :] = self._interactions(rises, columns, np.arange(columns[0], self._d))
        found = np.triu(found, k=1)
        found += found.T
        for block, steps in zip(self._blocks, self._steps, strict=True):
            if len(block.columns) > 1:
                found[np.ix_(block.columns, block.columns)] = self._tied(block, steps)
        np.fill_diagonal(found, 0.0)
        return found

    def with_parent(self, children: Ints, parent: int) -> Floats:
        """(c,) variances of the main effects of the columns that one other alone ties to a condition, and of their interactions with it."""
        key = parent, children.tobytes()
        if key not in self._families:
            self._families[key] = self._family(children, parent)
        family = self._families[key]
        heights = family.heights * self._mass_of(self._blocks[self._block_of[parent]])[family.boxes]
        rises = np.bincount(family.places, np.concatenate([heights, -heights]), minlength=family.shape[0] * family.shape[1])
        joint = self._interactions(np.asarray(rises, dtype=np.float64).reshape(family.shape), children, np.array([parent]))
        return np.asarray(self.main[children] + joint[:, 0])

    def _family(self, children: Ints, parent: int) -> _Family:
        block, steps = self._blocks[self._block_of[parent]], self._steps[self._block_of[parent]]
        i, edges = int(np.searchsorted(block.columns, parent)), self._edges[self._range(np.array([parent]))]
        chosen = np.isin(steps.columns, children)
        boxes = steps.boxes[chosen]
        lo, hi = block.lo[boxes, i], block.hi[boxes, i]
        place = self._place(children)
        row = np.searchsorted(place, steps.edges[chosen]) * len(edges)
        places = np.concatenate([row + np.searchsorted(edges, ends) for ends in (lo, hi)])
        return _Family(boxes=boxes, heights=steps.rises[chosen] / (hi - lo), places=places, shape=(len(place), len(edges)))

    def with_ancestors(self, column: int, ancestors: Ints) -> float:
        """The variance of a column's main effect and of all its interactions with ancestors, among whatever number of them."""
        block = self._blocks[self._block_of[column]]
        axes = np.searchsorted(block.columns, [column, *ancestors])
        lo, hi = block.lo[:, axes], block.hi[:, axes]
        own = (hi[:, 0] - lo[:, 0]) < 1
        heights = self._mass_of(block)[own] / (hi - lo)[own].prod(axis=1)
        return joint_variance(lo[own], hi[own], heights)

    def _by_edge(self) -> sparse.csr_matrix:
        """(edges of all columns, leaves): by how much each leaf's restriction of a side, of mean 1, rises there."""
        pairs = list(zip(self._blocks, self._steps, strict=True))
        leaves = np.concatenate([block.leaf[steps.boxes] for block, steps in pairs])
        rises = np.concatenate([steps.rises * block.share[steps.boxes] for block, steps in pairs])
        edges = np.concatenate([steps.edges for _, steps in pairs])
        return sparse.csr_matrix((rises, (edges, leaves)), shape=(len(self._widths), len(self._volumes)))

    def _tied(self, block: Block, steps: _Steps) -> Floats:
        """(c, c) variances of the interactions of a block's columns, whose boxes do not restrict them independently."""
        place = self._place(block.columns)
        shape = len(place), len(block.leaf)
        by_edge = sparse.csr_matrix((steps.rises, (np.searchsorted(place, steps.edges), steps.boxes)), shape=shape)
        rises = (by_edge @ _scaled(by_edge, self._mass_of(block)).T.tocsr()).toarray()
        return self._interactions(rises, block.columns, block.columns)

    def _place(self, columns: Ints) -> Ints:
        """Where the edges of columns stand."""
        return np.concatenate([np.arange(self._first[j], self._first[j + 1]) for j in columns])

    def _range(self, columns: Ints) -> slice:
        """Where the edges of columns that follow each other stand."""
        return slice(int(self._first[columns[0]]), int(self._first[columns[-1] + 1]))

    def _interactions(self, rises: Floats, rows: Ints, columns: Ints) -> Floats:
        """(rows, columns) variances of interactions, from the rises of the joint marginals (edges of rows, edges of columns)."""
        heights = _summed_down(rises.cumsum(axis=1))
        (first, widths), (first_other, widths_other) = self._sides(rows), self._sides(columns)
        down, across = widths[:, None], widths_other[None]
        over_rows = np.add.reduceat(heights * down, first, axis=0)
        over_columns = np.add.reduceat(heights * across, first_other, axis=1)
        mean = np.add.reduceat(over_rows * across, first_other, axis=1)
        np.square(heights, out=heights)
        squares = np.add.reduceat(np.add.reduceat(heights * down, first, axis=0) * across, first_other, axis=1)
        along = np.add.reduceat(over_rows**2 * across, first_other, axis=1) + np.add.reduceat(over_columns**2 * down, first, axis=0)
        return np.asarray(np.maximum(squares - along + mean**2, 0.0))

    def _sides(self, columns: Ints) -> tuple[Ints, Floats]:
        """Where each column's edges begin among those of some columns; the width of what follows each edge."""
        counts = self._first[columns + 1] - self._first[columns]
        widths = np.concatenate([self._widths[self._first[j] : self._first[j + 1]] for j in columns])
        return np.cumsum(counts) - counts, widths


def _scaled(matrix: sparse.csr_matrix, factors: Floats) -> sparse.csr_matrix:
    """A matrix with its columns multiplied."""
    scaled = matrix.copy()
    scaled.data = matrix.data * factors[matrix.indices]
    return scaled


def _summed_down(grid: Floats) -> Floats:
    """The running sums down a grid, in its place: of long rows one after the other, which is four times as fast as numpy's own."""
    if grid.shape[1] < _LONG:
        return grid.cumsum(axis=0)
    for above, row in itertools.pairwise(grid):
        row += above
    return grid


def _batches(first: Ints) -> Iterator[Ints]:
    """Columns in order, as many at a time as have some hundreds of edges together."""
    d, start = len(first) - 1, 0
    while start < d:
        stop = max(start + 1, int(np.searchsorted(first, first[start] + _BATCH, side="right")) - 1)
        yield np.arange(start, min(stop, d))
        start = min(stop, d)


def _edges(columns: Ints, lo: Floats, hi: Floats, d: int) -> tuple[Floats, Ints, Ints, Ints]:
    """The edges of d columns in order, each column's from 0 to 1: all of them; where each column's begin; where each side's ends stand.

    Args:
        columns: (s,) of each restricted side.
        lo: (s,) where it begins.
        hi: (s,) where it ends.
        d: how many columns there are.
    """
    every = np.arange(d)
    values, of = np.concatenate([np.zeros(d), np.ones(d), lo, hi]), np.concatenate([every, every, columns, columns])
    order = np.lexsort((values, of))
    new = np.append(True, (np.diff(of[order]) > 0) | (np.diff(values[order]) > 0))
    place = np.empty(len(order), dtype=np.int64)
    place[order] = np.cumsum(new) - 1
    first = np.append(place[:d], new.sum())
    return values[order][new], first, place[2 * d : 2 * d + len(lo)], place[2 * d + len(lo) :]
