"""Total effects: how much a function varies along lines through the box, each along one side.

The total effect of a hyperparameter is E[Var(f | all others)] (Homma, Saltelli 1996): the variance along a line through a point drawn at
random, on average. Which leaves a line meets, and over which length, is exact; the average is over some lines, so it is an estimate.
"""

import numpy as np
from numpy.typing import NDArray

from bohb_nas.analysis.boxes import Block, Leaves
from bohb_nas.arrays import Bools, Floats, Ints


def totals(leaves: Leaves, points: Floats, values: Floats) -> Floats:
    """Variances of all effects with each column, (functions, d).

    Args:
        leaves: of a tree.
        points: (n, d) of the box, through which lines go.
        values: (functions, leaves) of functions with these leaves.
    """
    misses = [_misses(block, points) for block in leaves.blocks]
    missing = np.zeros((len(leaves.volumes), len(points)), dtype=np.int16)
    missing[leaves.volumes <= 0] = 2
    absent: list[Bools] = []
    for block, (count, _) in zip(leaves.blocks, misses, strict=True):
        first = np.flatnonzero(np.diff(block.leaf, prepend=-1))
        out = ~np.logical_or.reduceat(count == 0, first, axis=0) if len(first) else np.empty((0, len(points)), dtype=np.bool_)
        missing[block.leaf[first]] += out
        absent.append(np.repeat(out, np.diff(np.append(first, len(block.leaf))), axis=0))
    found = np.zeros((len(values), points.shape[1]))
    for block, (count, own), out in zip(leaves.blocks, misses, absent, strict=True):
        for i, (boxes, beside) in enumerate(own):
            leaf = block.leaf[boxes]
            met = ((count[boxes] == beside) & (missing[leaf] == out[boxes])).astype(np.float32)
            lengths = (block.hi - block.lo)[boxes, i]
            seen = values[:, leaf]
            sums = np.concatenate([seen * lengths, seen**2 * lengths]).astype(np.float32) @ met
            mean, square = sums[: len(values)], sums[len(values) :]
            found[:, block.columns[i]] = np.maximum(square - mean**2, 0.0).mean(axis=1)
    return found


def _misses(block: Block, points: Floats) -> tuple[NDArray[np.int8], list[tuple[Ints, Bools]]]:
    """On how many sides each box misses each point, (p, n); and per column the boxes that restrict it, and whether they miss there."""
    count = np.zeros((len(block.leaf), len(points)), dtype=np.int8)
    own = []
    for i, j in enumerate(block.columns):
        boxes = np.flatnonzero(block.hi[:, i] - block.lo[:, i] < 1)
        beside = (points[:, j] < block.lo[boxes, i, None]) | (points[:, j] >= block.hi[boxes, i, None])
        count[boxes] += beside
        own.append((boxes, beside))
    return count, own
