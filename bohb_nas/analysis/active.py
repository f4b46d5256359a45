"""What the trees say where hyperparameters are active: marginals there, and their share of the variance there."""

from dataclasses import dataclass

import numpy as np

from bohb_nas.analysis.boxes import Block, Leaves
from bohb_nas.analysis.layout import Condition, Layout, Region
from bohb_nas.analysis.sample import ROUNDING
from bohb_nas.arrays import Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class Active:
    """A tree, seen where the columns of one condition are active."""

    leaves: Leaves
    block: Block
    p: float
    """How likely they are active."""
    share: Floats
    """(p,) of its leaf's region: the part of a box where they are active."""
    weights: Floats
    """(leaves,) volumes of leaves there, summing to 1; 0 where they never are."""

    def variance(self) -> float:
        """Of the function there."""
        there = self.leaves.values[self.weights > 0]
        if not len(there) or np.ptp(there) <= ROUNDING:
            return 0.0
        mean = self.leaves.values @ self.weights
        return float((self.leaves.values - mean) ** 2 @ self.weights)

    def marginal(self, column: int, edges: Floats) -> Floats:
        """(k,) the mean of the function there, over each of k intervals of an active column."""
        lo, hi, mass = self._steps(column)
        rest = float(self.leaves.values @ self.weights) - mass.sum()
        return np.asarray(rest + (mass / (hi - lo)) @ coverage(lo, hi, edges))

    def main(self, column: int) -> float:
        """The variance of the column's marginal there."""
        lo, hi, mass = self._steps(column)
        edges = np.unique(np.concatenate([[0.0, 1.0], lo, hi]))
        rises = np.zeros(len(edges))
        np.add.at(rises, np.searchsorted(edges, lo), mass / (hi - lo))
        np.add.at(rises, np.searchsorted(edges, hi), -mass / (hi - lo))
        heights, widths = rises.cumsum()[:-1], np.diff(edges)
        return float((widths * (heights - widths @ heights) ** 2).sum())

    def _steps(self, column: int) -> tuple[Floats, Floats, Floats]:
        """Beginnings, ends and integrals of what boxes that restrict an active column add to its marginal."""
        i = int(np.searchsorted(self.block.columns, column))
        own = np.flatnonzero(self.block.hi[:, i] - self.block.lo[:, i] < 1)
        leaf = self.block.leaf[own]
        mass = self.leaves.values[leaf] * self.leaves.volumes[leaf] * self.share[own] / self.p
        return self.block.lo[own, i], self.block.hi[own, i], mass


def where_active(leaves: Leaves, layout: Layout, column: int) -> Active:
    """A tree where a column is active."""
    block = next(block for block in leaves.blocks if column in block.columns)
    condition = layout.condition_of.get(column)
    if condition is None:
        return Active(leaves=leaves, block=block, p=1.0, share=block.share, weights=leaves.volumes)
    p = condition.inside.volume
    share = block.share * _inside(block, condition)
    there = np.full(len(leaves.values), p)
    there[block.leaf] = 0.0
    np.add.at(there, block.leaf, share)
    return Active(leaves=leaves, block=block, p=p, share=share, weights=leaves.volumes * there / (p or 1.0))


def _inside(block: Block, condition: Condition) -> Floats:
    """(p,) the share of each box that lies inside a condition."""
    axes = np.searchsorted(block.columns, condition.ancestors)
    return np.asarray(overlap(block.lo[:, axes], block.hi[:, axes], condition.inside).sum(axis=1))


def overlap(lo: Floats, hi: Floats, region: Region) -> Floats:
    """(p, r) the share of boxes (p, a), (p, a) that lies in each box of a region."""
    shared = np.minimum(hi[:, None], region.hi) - np.maximum(lo[:, None], region.lo)
    return np.asarray((np.maximum(shared, 0.0) / (hi - lo)[:, None]).prod(axis=2))


def coverage(lo: Floats, hi: Floats, edges: Floats) -> Floats:
    """(p, k) the share of each of k intervals that is covered by sides (p,), (p,); of an empty one, whether its place is."""
    begin, end = edges[:-1], edges[1:]
    width = end - begin
    shared = np.maximum(np.minimum(hi[:, None], end) - np.maximum(lo[:, None], begin), 0.0)
    inside = (lo[:, None] <= begin) & (begin < hi[:, None])
    return np.where(width > 0, shared / np.where(width > 0, width, 1.0), inside)
