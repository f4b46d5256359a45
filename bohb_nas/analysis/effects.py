"""The functional ANOVA of a piecewise constant function: variances of main effects and of interactions.

The box is a product of sides, so the decomposition is unique and its variances sum to that of the function (Hooker 2007; Hutter, Hoos,
Leyton-Brown 2014). What a leaf adds to a marginal is a product of steps, one for each side that it restricts: sums of steps are
running sums of differences, so that a marginal costs as much as there are steps. A side that a leaf does not restrict adds a constant,
which drops out of every effect with that side.
"""

import copy
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from bohb_nas.analysis.boxes import Block, Leaves
from bohb_nas.analysis.steps import joint_variance

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_BATCH = 256
"""Edges whose joint marginals with all others are worked out at a time."""


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


class Effects:
    """The effects of one function of d columns."""

    variance: float
    main: Floats
    """(d,) variances of main effects."""

    def __init__(self, leaves: Leaves, d: int) -> None:
        self._d, self._blocks, self._volumes = d, leaves.blocks, leaves.volumes
        self._block_of = {int(j): i for i, block in enumerate(leaves.blocks) for j in block.columns}
        self._edges = [np.unique(np.concatenate([[0.0, 1.0], *ends])) for ends in _ends(leaves.blocks, d)]
        self._first = np.concatenate([[0], np.cumsum([len(e) for e in self._edges])])
        self._widths = np.concatenate([np.append(np.diff(e), 0.0) for e in self._edges])
        self._steps = [self._steps_of(block) for block in leaves.blocks]
        self._take(leaves.values)

    def _take(self, values: Floats) -> None:
        centred = values - values @ self._volumes
        self._mass = centred * self._volumes
        self.variance = float(centred**2 @ self._volumes)
        rises = np.zeros(len(self._widths))
        for block, steps in zip(self._blocks, self._steps, strict=True):
            rises += np.bincount(steps.edges, steps.rises * self._mass_of(block)[steps.boxes], minlength=len(rises))
        heights = rises.cumsum()
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
            rises = (by_edge[own.start :] @ weighted[own].T.tocsr()).toarray()
            found[columns[0] :, columns] = self._interactions(rises, np.arange(columns[0], self._d), columns)
        found = np.tril(found, k=-1)
        found += found.T
        for block, steps in zip(self._blocks, self._steps, strict=True):
            if len(block.columns) > 1:
                found[np.ix_(block.columns, block.columns)] = self._tied(block, steps)
        np.fill_diagonal(found, 0.0)
        return found

    def with_parent(self, children: Ints, parent: int) -> Floats:
        """(c,) variances of the main effects of some columns and of their interactions with one that a condition ties them to."""
        block, steps = self._blocks[self._block_of[parent]], self._steps[self._block_of[parent]]
        i, n = int(np.searchsorted(block.columns, parent)), len(self._edges[parent])
        chosen = np.isin(steps.columns, children)
        boxes = steps.boxes[chosen]
        lo, hi = block.lo[boxes, i], block.hi[boxes, i]
        heights = steps.rises[chosen] * self._mass_of(block)[boxes] / (hi - lo)
        place = np.concatenate([np.arange(self._first[j], self._first[j + 1]) for j in children])
        row = np.searchsorted(place, steps.edges[chosen]) * n
        begin, end = (row + np.searchsorted(self._edges[parent], ends) for ends in (lo, hi))
        rises = np.bincount(np.append(begin, end), np.append(heights, -heights), minlength=len(place) * n).reshape(-1, n)
        return np.asarray(self.main[children] + self._interactions(np.asarray(rises), children, np.array([parent]))[:, 0])

    def with_ancestors(self, column: int, ancestors: Ints) -> float:
        """The variance of a column's main effect and of all its interactions with ancestors, among whatever number of them."""
        block = next(block for block in self._blocks if column in block.columns)
        axes = np.searchsorted(block.columns, [column, *ancestors])
        lo, hi = block.lo[:, axes], block.hi[:, axes]
        own = (hi[:, 0] - lo[:, 0]) < 1
        heights = self._mass_of(block)[own] / (hi - lo)[own].prod(axis=1)
        return joint_variance(lo[own], hi[own], heights)

    def _steps_of(self, block: Block) -> _Steps:
        parts = []
        for i, j in enumerate(block.columns):
            own = np.flatnonzero(block.hi[:, i] - block.lo[:, i] < 1)
            height = 1 / (block.hi[own, i] - block.lo[own, i])
            column = np.full(len(own), j)
            for ends, sign in ((block.lo, 1), (block.hi, -1)):
                parts.append((own, column, self._first[j] + np.searchsorted(self._edges[j], ends[own, i]), sign * height))
        boxes, columns, edges, rises = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
        return _Steps(boxes=boxes, columns=columns, edges=edges, rises=rises)

    def _by_edge(self) -> sparse.csr_matrix:
        """(edges of all columns, leaves): by how much each leaf's restriction of a side, of mean 1, rises there."""
        pairs = list(zip(self._blocks, self._steps, strict=True))
        leaves = np.concatenate([block.leaf[steps.boxes] for block, steps in pairs])
        rises = np.concatenate([steps.rises * block.share[steps.boxes] for block, steps in pairs])
        edges = np.concatenate([steps.edges for _, steps in pairs])
        return sparse.csr_matrix((rises, (edges, leaves)), shape=(len(self._widths), len(self._volumes)))

    def _tied(self, block: Block, steps: _Steps) -> Floats:
        """(c, c) variances of the interactions of a block's columns, whose boxes do not restrict them independently."""
        place = np.concatenate([np.arange(self._first[j], self._first[j + 1]) for j in block.columns])
        shape = len(place), len(block.leaf)
        by_edge = sparse.csr_matrix((steps.rises, (np.searchsorted(place, steps.edges), steps.boxes)), shape=shape)
        rises = (by_edge @ _scaled(by_edge, self._mass_of(block)).T.tocsr()).toarray()
        return self._interactions(rises, block.columns, block.columns)

    def _range(self, columns: Ints) -> slice:
        """Where the edges of columns that follow each other stand."""
        return slice(int(self._first[columns[0]]), int(self._first[columns[-1] + 1]))

    def _interactions(self, rises: Floats, rows: Ints, columns: Ints) -> Floats:
        """(rows, columns) variances of interactions, from the rises of the joint marginals (edges of rows, edges of columns)."""
        heights = rises.cumsum(axis=0).cumsum(axis=1)
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


def _batches(first: Ints) -> Iterator[Ints]:
    """Columns in order, as many at a time as have some hundreds of edges together."""
    d, start = len(first) - 1, 0
    while start < d:
        stop = max(start + 1, int(np.searchsorted(first, first[start] + _BATCH, side="right")) - 1)
        yield np.arange(start, min(stop, d))
        start = min(stop, d)


def _ends(blocks: Iterable[Block], d: int) -> list[list[Floats]]:
    """Per column, where boxes begin and end."""
    found: list[list[Floats]] = [[] for _ in range(d)]
    for block in blocks:
        for i, j in enumerate(block.columns):
            found[j] = [block.lo[:, i], block.hi[:, i]]
    return found
