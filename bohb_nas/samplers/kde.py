"""Kernel density estimates over rows of numbers and levels: arrays in, arrays out.

Shapes: n data, m points, d columns. `levels` (d,) is 0 for a number in [0, 1] (Gaussian kernel) and c >= 2 for a
categorical with c levels, whose entries are 0 … c - 1 (kernel of Aitchison & Aitken 1976: 1 - h for the same level,
h / (c - 1) for each other one). The kernels multiply over the columns, as in BOHB (Falkner, Klein & Hutter 2018).
"""

import numpy as np
from scipy.special import ndtr, ndtri

from bohb_nas.arrays import Floats, Ints


def normal_reference(data: Floats, *, d: int | None = None) -> Floats:
    """Scott's rule per column, 1.06 · std · n^(-1 / (4 + d)); data (n, k) -> bandwidths (k,).

    It is applied to the codes of categoricals, too: so does statsmodels, hence HpBandSter. `d` is k unless said otherwise.
    """
    n, k = data.shape
    return np.asarray(1.06 * data.std(axis=0) * n ** (-1 / (4 + (k if d is None else d))))


def clip(bandwidths: Floats, levels: Ints, *, smallest: float) -> Floats:
    """Bandwidths (d,) of at least `smallest` and, for a categorical, at most (c - 1) / c.

    Above that limit the kernel would prefer the levels that were not observed; above 1 it would be negative.
    """
    largest = np.where(levels > 0, (levels - 1) / np.maximum(levels, 1), np.inf)
    return np.clip(bandwidths, smallest, largest)


def log_density(points: Floats, data: Floats, bandwidths: Floats, levels: Ints) -> Floats:
    """Log of the estimate at points (m, d) given data (n, d); returns (m,).

    The Gaussian kernels are not cut off at 0 and 1, as in HpBandSter. Bandwidths are those that `clip` returns.
    """
    number = levels == 0
    h = bandwidths[number]
    x, y = points[:, number] / h, data[:, number] / h
    c, h_levels = levels[~number], bandwidths[~number]
    same, other = np.log1p(-h_levels), np.log(h_levels / (c - 1))
    gain = np.repeat(same - other, c)

    # one product of matrices holds -(x - y)^2 / 2 but for x^2 / 2, and what each matching level is worth
    exponents = np.hstack([x, gain * _one_hot(points[:, ~number], c)]) @ np.hstack([y, _one_hot(data[:, ~number], c)]).T
    exponents -= (y**2).sum(axis=1) / 2
    largest = exponents.max(axis=1, keepdims=True)
    exponents -= largest
    log_sum = np.log(np.exp(exponents, out=exponents).sum(axis=1)) + largest[:, 0]
    constant = other.sum() - np.log(h * np.sqrt(2 * np.pi)).sum() - np.log(len(data))
    return np.asarray(log_sum - (x**2).sum(axis=1) / 2 + constant)


def hpbandster_density(points: Floats, data: Floats, bandwidths: Floats, levels: Ints) -> Floats:
    """The estimate as HpBandSter 0.7.4 computes it, (m,): signed, and not finite where its kernel divides by zero.

    Counts the levels of a categorical in the data instead of the space, takes bandwidths of any size, and multiplies
    densities instead of adding their logarithms.
    """
    number = levels == 0
    h = bandwidths[number]
    x, y = points[:, number] / h, data[:, number] / h
    squares = (x**2).sum(axis=1)[:, None] + (y**2).sum(axis=1) - 2 * x @ y.T
    product = np.exp(-np.maximum(squares, 0) / 2) / np.prod(h * np.sqrt(2 * np.pi))
    with np.errstate(divide="ignore", invalid="ignore"):
        for j in np.flatnonzero(~number):
            other = np.divide(bandwidths[j], len(np.unique(data[:, j])) - 1)
            product *= np.where(points[:, j, None] == data[:, j], 1 - bandwidths[j], other)
        return np.asarray(product.mean(axis=1))


def draw(rng: np.random.Generator, data: Floats, bandwidths: Floats, levels: Ints, *, n: int, widen: float) -> Floats:
    """N points around data drawn at random, (n, d).

    Numbers come from a normal distribution cut off at 0 and 1 with `widen` times the bandwidth; a categorical keeps its
    level with probability 1 - h and is else drawn from all levels.
    """
    centres = data[rng.integers(len(data), size=n)]
    numbers = normal(rng.random(centres.shape), centres, widen * bandwidths)
    keep = rng.random(centres.shape) < 1 - bandwidths
    codes = np.where(keep, centres, rng.integers(np.maximum(levels, 1), size=centres.shape))
    return np.where(levels > 0, codes, numbers)


def normal(u: Floats, centres: Floats, spread: Floats) -> Floats:
    """What lies at the quantiles u of normal distributions around centres that are cut off at 0 and 1; all broadcast to u's shape."""
    low, high = ndtr(-centres / spread), ndtr((1 - centres) / spread)
    return np.asarray(np.clip(centres + spread * ndtri(low + u * (high - low)), 0, 1))


def impute(rng: np.random.Generator, data: Floats, levels: Ints) -> Floats:
    """The data (n, d) with every NaN filled, as HpBandSter fills the entries of inactive hyperparameters.

    The first NaN of a row chooses a donor at random among the rows that have this column, and the donor fills all NaN
    of the row that it can; then the next NaN. A column that no row has is filled uniformly.
    """
    filled = data.copy()
    for j, c in enumerate(levels):
        rows = np.flatnonzero(np.isnan(filled[:, j]))
        if not rows.size:
            continue
        donors = np.flatnonzero(~np.isnan(data[:, j]))
        if donors.size:
            filled[rows] = np.where(np.isnan(filled[rows]), data[rng.choice(donors, size=rows.size)], filled[rows])
        else:
            filled[rows, j] = rng.integers(c, size=rows.size) if c else rng.random(rows.size)
    return filled


def _one_hot(codes: Floats, levels: Ints) -> Floats:
    """Codes (n, k) -> (n, sum of levels), one 1 per code."""
    hot = np.zeros((len(codes), int(levels.sum())))
    first = np.cumsum(levels) - levels
    hot[np.arange(len(codes))[:, None], codes.astype(np.int64) + first] = 1
    return hot
