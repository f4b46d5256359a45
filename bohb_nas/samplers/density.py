"""Densities over conditional spaces as mixtures of product kernels: arrays in, arrays out.

Shapes: n data, m points, d columns. A point is a row on the axes of a space (`space.axes`), NaN where a hyperparameter is
inactive. The density is that of drawing a configuration parents first: a column that the parents switch on comes from
the datum's kernel, or, where the datum has nothing there, from what is known beforehand. So it sums to one over the
whole conditional space, and nothing is ever imputed.

================  ====================================================================================================
number            Gaussian cut off at 0 and 1 (TPE: Bergstra et al. 2011; truncation: Watanabe 2023, arXiv:2304.11127)
number in cells   the same, integrated over each cell
levels            1 - e on the datum's level and e times the prior probability on every level
================  ====================================================================================================
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr

from bohb_nas.arrays import Floats, Ints
from bohb_nas.samplers.kde import normal
from bohb_nas.space.axes import Axis, middles

_LEAST = 1e-300
"""Keeps the logarithm of an empty cell finite."""


class Columns:
    """The axes of a space, laid out for matrix products.

    A point becomes a row of features: x², x and 1 for each number, a one for the cell or level it lies in, and zeros
    throughout for a column that is inactive. Then the logarithm of every kernel at every point is one product.
    """

    def __init__(self, axes: Sequence[Axis]) -> None:
        self.d = len(axes)
        self.numbers: Ints = _where(axes, lambda a: a.levels is None and a.edges is None)
        self.celled: Ints = _where(axes, lambda a: a.edges is not None)
        self.levelled: Ints = _where(axes, lambda a: a.levels is not None)
        edges = [a.edges for a in axes if a.edges is not None]
        chances = [a.levels for a in axes if a.levels is not None]
        self.n_levels: Ints = np.array([len(c) for c in chances], dtype=np.int64)
        n_cells = np.array([len(e) - 1 for e in edges], dtype=np.int64)
        # Columns lie two apart on one line, so that one search finds the cell, or the level, of every column at once.
        self._edges = np.concatenate([e + 2 * i for i, e in enumerate(edges)]) if edges else np.empty(0)
        self._chances = np.concatenate(chances) if chances else np.empty(0)
        self._rising = np.concatenate([np.cumsum(c) + 2 * i for i, c in enumerate(chances)]) if chances else np.empty(0)
        self._middles = np.concatenate([middles(e) for e in edges]) if edges else np.empty(0)
        self._edge_owner = np.repeat(np.arange(len(edges)), n_cells + 1)
        self._cell_owner = np.repeat(np.arange(len(edges)), n_cells)
        self._level_owner = np.repeat(np.arange(len(chances)), self.n_levels)
        self._first_edge = np.cumsum(n_cells + 1) - n_cells - 1
        self._n_cells = n_cells
        self._inner = np.delete(np.arange(len(self._edges)), self._first_edge + n_cells)
        k = 3 * len(self.numbers)
        self._first_cell: Ints = k + np.cumsum(n_cells) - n_cells
        self._first_level: Ints = k + int(n_cells.sum()) + np.cumsum(self.n_levels) - self.n_levels
        self._cells = slice(k, k + int(n_cells.sum()))
        self._levels = slice(self._cells.stop, self._cells.stop + len(self._chances))
        self.n_features = self._levels.stop
        widths = self._edges[self._inner + 1] - self._edges[self._inner]
        self.prior: Floats = np.concatenate([np.zeros(k), np.log(widths), np.log(np.maximum(self._chances, _LEAST))])
        """(n_features,) the kernel of what is known beforehand: uniform, or as likely as the space says."""

    def features(self, points: Floats) -> Floats:
        """Points (m, d) as rows (m, n_features)."""
        k = len(self.numbers)
        rows = np.zeros((len(points), self.n_features))
        x = points[:, self.numbers]
        there = ~np.isnan(x)
        x = np.where(there, x, 0.0)
        rows[:, :k], rows[:, k : 2 * k], rows[:, 2 * k : 3 * k] = x * x, x, there
        here, which = np.nonzero(~np.isnan(points[:, self.celled]))
        rows[here, self._first_cell[which] + self._cell(points[here, self.celled[which]], which)] = 1.0
        here, which = np.nonzero(~np.isnan(points[:, self.levelled]))
        rows[here, self._first_level[which] + points[here, self.levelled[which]].astype(np.int64)] = 1.0
        return rows

    def kernels(self, data: Floats, bandwidths: Floats, exploration: Floats) -> Floats:
        """The kernels of data (n, d) as columns (n_features, n).

        Args:
            data: points; where one is NaN its kernel is what is known beforehand.
            bandwidths: (n, d), of numbers with or without cells.
            exploration: (columns of levels,), e of each.
        """
        n, k = len(data), len(self.numbers)
        table = np.repeat(self.prior[:, None], n, axis=1)
        x, h = data[:, self.numbers].T, bandwidths[:, self.numbers].T
        there = ~np.isnan(x)
        mass = ndtr((1 - x) / h) - ndtr(-x / h)
        table[:k] = np.where(there, -0.5 / h**2, 0.0)
        table[k : 2 * k] = np.where(there, x / h**2, 0.0)
        table[2 * k : 3 * k] = np.where(there, -0.5 * (x / h) ** 2 - np.log(h * np.sqrt(2 * np.pi) * mass), 0.0)
        if len(self.celled):
            x, h = data[:, self.celled].T, bandwidths[:, self.celled].T
            z = ((self._edges - 2 * self._edge_owner)[:, None] - x[self._edge_owner]) / h[self._edge_owner]
            beyond, above = ndtr(-np.abs(z)), z > 0  # masses of tails, whose differences keep their digits on either side
            left, right = self._inner, self._inner + 1
            difference = np.abs(beyond[left] - beyond[right])
            mass = np.where(above[left] == above[right], difference, 1 - beyond[left] - beyond[right])
            mass /= (ndtr((1 - x) / h) - ndtr(-x / h))[self._cell_owner]
            table[self._cells] = np.where(np.isnan(mass), table[self._cells], np.log(np.maximum(mass, _LEAST)))
        if len(self.levelled):
            codes = data[:, self.levelled]
            e = exploration[self._level_owner]
            other = np.log(np.maximum(e * self._chances, _LEAST))
            table[self._levels] = np.where(np.isnan(codes).T[self._level_owner], table[self._levels], other[:, None])
            here, which = np.nonzero(~np.isnan(codes))
            levels = self._first_level[which] + codes[here, which].astype(np.int64)
            table[levels, here] = np.log(1 - exploration[which] + exploration[which] * self._chances[levels - self._levels.start])
        return table

    def snap(self, points: Floats) -> None:
        """Moves the numbers in cells of points (m, d), all filled, to the middle of their cell."""
        which = np.arange(len(self.celled))
        cells = self._first_cell - self._cells.start + self._cell(points[:, self.celled], which)
        points[:, self.celled] = self._middles[cells]

    def fresh_levels(self, u: Floats) -> Floats:
        """Levels (m, columns of levels) as likely as the space says, from uniform numbers of that shape."""
        which = np.arange(len(self.levelled))
        i = np.searchsorted(self._rising, u + 2 * which, side="right") - (self._first_level - self._levels.start)
        return np.asarray(np.minimum(i, self.n_levels - 1), dtype=np.float64)

    def _cell(self, x: Floats, which: Ints) -> Ints:
        i = np.searchsorted(self._edges, x + 2 * which, side="right") - 1 - self._first_edge[which]
        return np.clip(i, 0, self._n_cells[which] - 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mixture:
    """A density: kernels at data, with weights, and one component of what is known beforehand."""

    columns: Columns
    data: Floats
    """(n, d)"""
    bandwidths: Floats
    """(n, d)"""
    exploration: Floats
    """(columns of levels,)"""
    log_weights: Floats
    """(n + 1,), the last one of the prior component; their exponentials add up to 1."""
    table: Floats
    """(n_features, n + 1)"""

    def log_density(self, features: Floats) -> Floats:
        """Logarithm of the density at m points given as features, (m,)."""
        return log_sum_exp(features @ self.table + self.log_weights)

    def draw(self, rng: np.random.Generator, m: int) -> Floats:
        """Points (m, d) with every column filled; which of them exist is for the space to say."""
        c, n = self.columns, len(self.data)
        which = rng.choice(n + 1, size=m, p=np.exp(self.log_weights))
        centres = np.vstack([self.data, np.full(c.d, np.nan)])[which]
        h = np.vstack([self.bandwidths, np.ones(c.d)])[which]
        u = rng.random((m, c.d))
        points = normal(u, centres, h)
        points = np.where(np.isnan(points), u, points)
        c.snap(points)
        levels = centres[:, c.levelled]
        anew = (rng.random(levels.shape) < self.exploration) | np.isnan(levels)
        points[:, c.levelled] = np.where(anew, c.fresh_levels(u[:, c.levelled]), levels)
        return points


def mixture(columns: Columns, data: Floats, weights: Floats, *, prior_weight: float, floor: float, mutations: float) -> Mixture:
    """The density of weighted data.

    Args:
        columns: of the space.
        data: points (n, d); n may be 0.
        weights: (n,), in any unit, mean 1 being usual.
        prior_weight: of the component of what is known beforehand, in the same unit.
        floor: smallest bandwidth of a number.
        mutations: the exploration of all columns of levels adds up to no more than this, so that a draw in many
            dimensions stays near its datum.
    """
    bandwidths = neighbour_gaps(data, floor=max(floor, 1 / min(100, len(data) + 1) ** 2))
    exploration = np.clip(columns.n_levels / (columns.n_levels + len(data)), 0.05, 0.8)
    exploration = np.minimum(exploration, np.maximum(mutations / max(1, len(columns.n_levels)), 0.02))
    total = np.append(weights, prior_weight)
    table = np.column_stack([columns.kernels(data, bandwidths, exploration), columns.prior])
    with np.errstate(divide="ignore"):
        log_weights = np.log(total / total.sum())
    return Mixture(columns=columns, data=data, bandwidths=bandwidths, exploration=exploration, log_weights=log_weights, table=table)


def neighbour_gaps(data: Floats, *, floor: float) -> Floats:
    """Bandwidths (n, d): the larger of the gaps to the neighbours in each column, 0 and 1 being neighbours too (Bergstra et al. 2011).

    They lie between `floor` and 1; a column's NaN count for nothing.
    """
    n, d = data.shape
    if not n:
        return np.empty((0, d))
    order = np.argsort(data, axis=0, kind="stable")  # NaN last; equals alike on every machine
    x = np.take_along_axis(data, order, axis=0)
    below = np.diff(x, axis=0, prepend=0.0)
    above = np.append(below[1:], np.full((1, d), np.nan), axis=0)
    above = np.where(np.isnan(above), 1.0 - x, above)
    gaps = np.empty_like(x)
    np.put_along_axis(gaps, order, np.maximum(below, above), axis=0)
    return np.clip(np.where(np.isnan(gaps), 1.0, gaps), floor, 1.0)


def _where(axes: Sequence[Axis], test: Callable[[Axis], bool]) -> Ints:
    return np.array([j for j, axis in enumerate(axes) if test(axis)], dtype=np.int64)


def log_sum_exp(rows: Floats) -> Floats:
    """Logarithm of the sum of exponentials of each row, (m, n) -> (m,)."""
    largest = rows.max(axis=1, keepdims=True)
    return np.asarray(np.log(np.exp(rows - largest).sum(axis=1)) + largest[:, 0])
