"""How a forest sees the box of a space: levels put in an order, cells as equally spaced numbers, what is inactive as -1.

A tree splits levels at a threshold, so their order decides which sets of levels it can tell apart. They are ordered by their mean loss,
for which the best split of a regression tree is one at a threshold (Fisher 1958; Breiman et al. 1984, section 4.2.2).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bohb_nas.analysis.cells import Activity, Box
from bohb_nas.arrays import Bools, Floats, Ints

INACTIVE = -1.0
"""Below the place of any value, so that a split between it and the others leaves all of them on one side."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Region:
    """A set of places of some columns, as disjoint boxes."""

    lo: Floats
    """(r, a)."""
    hi: Floats

    @property
    def volume(self) -> float:
        """Its share of the box."""
        return float((self.hi - self.lo).prod(axis=1).sum())


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """Where in the box some columns are active."""

    children: Ints
    ancestors: Ints
    inside: Region
    """Over the ancestors, where they are active."""
    outside: Region


class Layout:
    """The box with its levels in an order."""

    def __init__(self, box: Box, points: Floats, losses: Floats) -> None:
        """Orders levels by the mean of losses (n,) at points (n, d) of the box; levels that nobody has stand as the mean of all."""
        self.box = box
        self.d = len(box.names)
        self.orders: list[Ints | None] = []
        """(d,) of levels: the level in each place of the order."""
        self.edges: list[Floats | None] = []
        """(d,) of cells: their ends on the side, in order."""
        for j, side in enumerate(box.sides):
            order = _order(points[:, j], losses, len(side.chances)) if side.chances is not None and side.is_levels else None
            self.orders.append(order)
            chances = side.chances if order is None or side.chances is None else side.chances[order]
            self.edges.append(None if chances is None else np.concatenate([[0.0], np.cumsum(chances)[:-1], [1.0]]))
        self.conditions = [self._condition(activity) for activity in box.activities]
        self.condition_of: dict[int, Condition] = {int(j): one for one in self.conditions for j in one.children}
        """By column; a column without one is always active."""
        self.conditional = np.isin(np.arange(self.d), list(self.condition_of))
        """(d,) which columns have one."""
        self.families = _families(self.d, self.conditions)
        """Columns that conditions tie together, each family in order; most have one member."""

    def features(self, points: Floats) -> NDArray[np.float32]:
        """Points of the box (n, d) as the forest's input (n, d)."""
        seen = points.copy()
        for j, edges in enumerate(self.edges):
            if edges is not None:
                known = ~np.isnan(points[:, j])
                seen[known, j] = _numbers(len(edges) - 1)[self.ranks(j)[points[known, j].astype(np.int64)]]
        return np.where(np.isnan(seen), INACTIVE, seen).astype(np.float32)

    def ranks(self, column: int) -> Ints:
        """(k,) where in the order each cell of a column stands."""
        edges, order = self.edges[column], self.orders[column]
        assert edges is not None
        return np.arange(len(edges) - 1) if order is None else np.argsort(order)

    def places(self, columns: Ints, thresholds: Floats) -> Floats:
        """Where on their sides thresholds (m,) of the forest's input, each of a column (m,), divide the box."""
        places = np.clip(thresholds, 0.0, 1.0)
        for j, edges in enumerate(self.edges):
            here = columns == j
            if edges is not None and here.any():
                numbers = _numbers(len(edges) - 1).astype(np.float32).astype(np.float64)
                places[here] = edges[np.searchsorted(numbers, thresholds[here], side="right")]
        return places

    def _condition(self, activity: Activity) -> Condition:
        sides: list[tuple[Ints, Floats]] = []
        for column, groups, cuts in zip(activity.ancestors.tolist(), activity.groups, activity.cuts, strict=True):
            order, edges = self.orders[column], self.edges[column]
            rising = self.box.sides[column].rising
            ends = edges if edges is not None else cuts if rising is None else np.interp(cuts, *rising)
            sides.append((groups if order is None else groups[order], ends))
        whole = activity.table
        return Condition(
            children=activity.children, ancestors=activity.ancestors, inside=_region(whole, sides), outside=_region(~whole, sides)
        )


def _families(d: int, conditions: Sequence[Condition]) -> list[Ints]:
    family = list(range(d))
    for condition in conditions:
        tied = {family[int(j)] for j in (*condition.children, *condition.ancestors)}
        family = [min(tied) if one in tied else one for one in family]
    return [np.flatnonzero(np.array(family) == one) for one in dict.fromkeys(family)]


def _numbers(k: int) -> Floats:
    """What k cells are to the forest, (k,)."""
    return (np.arange(k) + 0.5) / k


def _order(cells: Floats, losses: Floats, k: int) -> Ints:
    known = ~np.isnan(cells)
    own = cells[known].astype(np.int64)
    counts = np.bincount(own, minlength=k)
    sums = np.bincount(own, weights=losses[known], minlength=k)
    means = np.where(counts > 0, sums / np.maximum(counts, 1), losses.mean())
    return np.argsort(means, kind="stable")


def _region(table: Bools, sides: list[tuple[Ints, Floats]]) -> Region:
    boxes = list(_pieces(table, sides))
    return Region(
        lo=np.array([[lo for lo, _ in one] for one in boxes]).reshape(len(boxes), len(sides)),
        hi=np.array([[hi for _, hi in one] for one in boxes]).reshape(len(boxes), len(sides)),
    )


def _pieces(table: Bools, sides: list[tuple[Ints, Floats]]) -> Iterator[list[tuple[float, float]]]:
    """Disjoint boxes that make up where a table of groups is true: neighbours of which the same holds are one."""
    if not table.any():
        return
    if table.all():
        yield [(0.0, 1.0)] * len(sides)
        return
    (groups, ends), rest = sides[0], sides[1:]
    tables = [table[group] for group in groups]
    first = 0
    for last in range(1, len(tables) + 1):
        if last == len(tables) or not np.array_equal(tables[last], tables[first]):
            for piece in _pieces(np.asarray(tables[first]), rest):
                yield [(float(ends[first]), float(ends[last])), *piece]
            first = last
