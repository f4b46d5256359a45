"""The axes on which densities stand: a place for every value, such that equal lengths are equally likely beforehand.

But for integers on a logarithmic scale, of which ConfigSpace draws the smallest less often than their lengths here say.

An entry of an `Encoding` is ConfigSpace's own; there the first and last integer have half the room of the others, and
small integers on a logarithmic scale have more than theirs. Here

====================  ======================================================================================
float                 its place in [0, 1], as in the encoding
ordinal, k values     the i-th of k equal cells, as in the encoding
integer lower..upper  the cell from v - 1/2 to v + 1/2, on the scale (linear or logarithmic) of lower - 1/2 … upper + 1/2
categorical           the number of the level
====================  ======================================================================================

A point is a row on these axes; NaN marks an inactive hyperparameter.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from ConfigSpace.hyperparameters import CategoricalHyperparameter, Hyperparameter, IntegerHyperparameter
from numpy.typing import NDArray

from bohb_nas.arrays import Bools, Floats
from bohb_nas.space.encoding import Encoding

MOST_CELLS = 128
"""An integer with more values counts as a number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """One hyperparameter's axis: a number, a number in cells, or levels."""

    edges: Floats | None = None
    """(k + 1,) from 0 to 1 of the cells of a number with k values; None for a number without cells, and for levels."""
    levels: Floats | None = None
    """(k,) how likely each level of a categorical is beforehand; None for numbers."""


class Axes:
    """Between an encoding's rows and points on the axes."""

    axes: tuple[Axis, ...]
    """(d,) one per column of the encoding."""

    def __init__(self, encoding: Encoding) -> None:
        self._encoding = encoding
        self._hyperparameters = [encoding.hyperparameter(j) for j in range(len(encoding.names))]
        self._edges = [_edges(h) for h in self._hyperparameters]
        self.axes = tuple(_axis(h, edges) for h, edges in zip(self._hyperparameters, self._edges, strict=True))
        self._integers = {j: h for j, h in enumerate(self._hyperparameters) if isinstance(h, IntegerHyperparameter)}
        self._ordinals = {j: e for j, e in enumerate(self._edges) if e is not None and j not in self._integers}
        self._long = [j for j in self._integers if self._edges[j] is None]
        self._parents = [j for j in self._integers if encoding.has_children(j)]

    def points(self, rows: Floats) -> Floats:
        """Rows of the encoding (n, d) as points (n, d), a number in cells to the bit in the middle of its cell."""
        points = rows.copy()
        for j, edges in self._ordinals.items():
            known = ~np.isnan(rows[:, j])
            points[known, j] = middles(edges)[cell(edges, rows[known, j])]
        for j in self._integers:
            known = ~np.isnan(rows[:, j])
            points[known, j] = self._place(j, rows[known, j])
        return points

    def rows(self, points: Floats) -> Floats:
        """Points (n, d) as rows of the encoding (n, d)."""
        return self._rows(points, self._integers)

    def settled(self, points: Floats) -> Floats:
        """Points (n, d) whose integers without cells lie, to the bit, where `points` puts the values that they stand for."""
        settled = points.copy()
        for j in self._long:
            known = ~np.isnan(points[:, j])
            settled[known, j] = self._place(j, self._entry(j, points[known, j]))
        return settled

    def active(self, points: Floats) -> Bools:
        """Which coordinates of points (n, d) exist, (n, d), whatever stands in those that do not."""
        return self._encoding.active(self._rows(points, self._parents))

    def _rows(self, points: Floats, integers: Iterable[int]) -> Floats:
        """Points (n, d) with the columns of some integers as entries of the encoding."""
        rows = points.copy()
        for j in integers:
            known = ~np.isnan(points[:, j])
            rows[known, j] = self._entry(j, points[known, j])
        return rows

    def _place(self, j: int, entries: Floats) -> Floats:
        hyperparameter, edges = self._integers[j], self._edges[j]
        values = np.asarray(hyperparameter.to_value(entries), dtype=np.float64)
        if edges is None:
            return scaled(hyperparameter, values)
        return middles(edges)[(values - hyperparameter.lower).astype(np.int64)]

    def _entry(self, j: int, points: Floats) -> Floats:
        hyperparameter, edges = self._integers[j], self._edges[j]
        if edges is not None:
            values = hyperparameter.lower + cell(edges, points)
        else:
            values = np.clip(np.rint(unscaled(hyperparameter, points)), hyperparameter.lower, hyperparameter.upper)
        return np.asarray(hyperparameter.to_vector(values.astype(np.int64)), dtype=np.float64)


def middles(edges: Floats) -> Floats:
    """The middles (k,) of k cells."""
    return (edges[1:] + edges[:-1]) / 2


def cell(edges: Floats, points: Floats) -> NDArray[np.int64]:
    """Which of k cells points (n,) in [0, 1] lie in, (n,)."""
    return np.clip(np.searchsorted(edges, points, side="right") - 1, 0, len(edges) - 2)


def _edges(hyperparameter: Hyperparameter[Any, Any]) -> Floats | None:
    if isinstance(hyperparameter, IntegerHyperparameter):
        k = int(hyperparameter.upper) - int(hyperparameter.lower) + 1
        if k > MOST_CELLS:
            return None
        edges = scaled(hyperparameter, np.arange(k + 1, dtype=np.float64) + float(hyperparameter.lower) - 0.5)
        edges[0], edges[-1] = 0.0, 1.0
        return edges
    if hasattr(hyperparameter, "sequence"):
        return np.linspace(0.0, 1.0, len(hyperparameter.sequence) + 1)
    return None


def _axis(hyperparameter: Hyperparameter[Any, Any], edges: Floats | None) -> Axis:
    if isinstance(hyperparameter, CategoricalHyperparameter):
        return Axis(levels=np.asarray(hyperparameter.probabilities, dtype=np.float64))
    return Axis(edges=edges)


def scaled(hyperparameter: IntegerHyperparameter, values: Floats) -> Floats:
    """The places (n,) of an integer's values (n,) and of what lies half-way between two, on its scale."""
    low, high = hyperparameter.lower - 0.5, hyperparameter.upper + 0.5
    if getattr(hyperparameter, "log", False):
        return np.asarray(np.log(values / low) / np.log(high / low))
    return np.asarray((values - low) / (high - low))


def unscaled(hyperparameter: IntegerHyperparameter, points: Floats) -> Floats:
    """What lies at the places (n,) of an integer's scale: values, and what is between two."""
    low, high = hyperparameter.lower - 0.5, hyperparameter.upper + 0.5
    if getattr(hyperparameter, "log", False):
        return np.asarray(low * (high / low) ** points)
    return np.asarray(low + points * (high - low))
