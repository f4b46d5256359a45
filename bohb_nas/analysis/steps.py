"""Sums of step functions over a few sides of a box, as running sums of differences on the grid of their edges."""

import itertools

import numpy as np

from bohb_nas.arrays import Floats

_MOST_CELLS = 2**22
"""Of a grid; beyond it steps are compared with each other instead."""


def joint_variance(lo: Floats, hi: Floats, heights: Floats) -> float:
    """The mean, over all sides but the first, of the variance along the first.

    Args:
        lo: (p, a) where steps begin on each side.
        hi: (p, a) where they end.
        heights: (p,) their heights; where they overlap these add up.
    """
    edges = [np.unique(np.concatenate([[0.0, 1.0], lo[:, i], hi[:, i]])) for i in range(lo.shape[1])]
    shape = tuple(len(e) for e in edges)
    if np.prod(shape, dtype=np.float64) > _MOST_CELLS:
        return _by_overlaps(lo, hi, heights)
    ends = [(np.searchsorted(e, lo[:, i]), np.searchsorted(e, hi[:, i])) for i, e in enumerate(edges)]
    corners = list(itertools.product((0, 1), repeat=len(edges)))
    at = [np.ravel_multi_index([end[c] for end, c in zip(ends, corner, strict=True)], shape) for corner in corners]
    rises = [heights * (-1) ** sum(corner) for corner in corners]
    grid = np.bincount(np.concatenate(at), np.concatenate(rises), minlength=int(np.prod(shape))).reshape(shape)
    for axis in range(len(edges)):
        grid = grid.cumsum(axis=axis)
    own, *others = [np.append(np.diff(e), 0.0) for e in edges]
    variance = np.tensordot(own, grid**2, axes=(0, 0)) - np.tensordot(own, grid, axes=(0, 0)) ** 2
    for widths in others:
        variance = np.tensordot(widths, variance, axes=(0, 0))
    return float(max(variance, 0.0))


def _by_overlaps(lo: Floats, hi: Floats, heights: Floats) -> float:
    widths = hi - lo
    total = 0.0
    for one, (begin, end, height) in enumerate(zip(lo, hi, heights, strict=True)):
        shared = np.maximum(np.minimum(hi, end) - np.maximum(lo, begin), 0.0)
        own = shared[:, 0] - widths[:, 0] * widths[one, 0]
        total += float(height * (heights * own * shared[:, 1:].prod(axis=1)).sum())
    return max(total, 0.0)
