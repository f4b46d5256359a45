"""The product box of a space, on which an importance is defined, under the measure of its search distribution.

Every hyperparameter has a side of length 1 on which equal lengths are equally likely, whatever the others are: a continuum, or cells,
one per level or integer. A point of the box has a place on every side, those of inactive hyperparameters included; what is active there
follows from the places of the parents. Clauses that forbid combinations are ignored: the box is whole.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from ConfigSpace import ConfigurationSpace
from ConfigSpace.conditions import Condition as Literal
from ConfigSpace.conditions import Conjunction, InCondition
from ConfigSpace.hyperparameters import (
    BetaFloatHyperparameter,
    BetaIntegerHyperparameter,
    Hyperparameter,
    IntegerHyperparameter,
    NormalFloatHyperparameter,
    NormalIntegerHyperparameter,
    UniformIntegerHyperparameter,
)

from bohb_nas.arrays import Bools, Floats, Ints
from bohb_nas.errors import AnalysisError
from bohb_nas.records import Value
from bohb_nas.space.axes import Axes, Axis, cell, middles, scaled, unscaled
from bohb_nas.space.encoding import Encoding

_MOST_GROUPS = 2**20
"""How many combinations of its ancestors' values a condition may distinguish."""
_N_TABULATED = 4097
"""Places at which the distribution of a hyperparameter that is not uniform is tabulated."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One hyperparameter's side of the box."""

    chances: Floats | None
    """(k,) how likely each cell is; None for a continuum."""
    is_levels: bool
    """Whether its cells have no order: of a categorical."""
    rising: tuple[Floats, Floats] | None = None
    """Places on the axis of the space, and how likely a smaller one is; None where that is the place itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Activity:
    """When some hyperparameters are active: the same ones, for the same reason."""

    children: Ints
    """(c,) columns."""
    ancestors: Ints
    """(a,) columns that decide on it, directly or through another's activity."""
    groups: tuple[Ints, ...]
    """Per ancestor (cells,), which of its cells make the same difference."""
    cuts: tuple[Floats, ...]
    """Per ancestor (cells + 1,), the ends of these cells on the axis of the space; empty where cells are those of its side."""
    table: Bools
    """(groups of the first ancestor, of the second, …): whether they are active."""


class Box:
    """The box of one space."""

    names: tuple[str, ...]
    """(d,) hyperparameters with a choice to make, parents first."""
    sides: tuple[Side, ...]
    activities: tuple[Activity, ...]
    """Parents first; a column that is in none is always active."""

    def __init__(self, space: ConfigurationSpace) -> None:
        self._encoding = Encoding(space)
        self._axes = Axes(self._encoding)
        self.names = self._encoding.names
        self.hyperparameters = [self._encoding.hyperparameter(j) for j in range(len(self.names))]
        self.sides = tuple(_side(h, axis) for h, axis in zip(self.hyperparameters, self._axes.axes, strict=True))
        self.activities = self._activities(space)

    def points(self, configs: Sequence[Mapping[str, Value]]) -> Floats:
        """Where n configurations lie, (n, d): the number of the cell, or the place in a continuum; NaN is inactive.

        Raises:
            SpaceError: a configuration is not of the space.
        """
        places = self._axes.points(self._encoding.encode(configs))
        places[~self._axes.active(places)] = np.nan
        for j, (side, axis) in enumerate(zip(self.sides, self._axes.axes, strict=True)):
            known = ~np.isnan(places[:, j])
            if axis.edges is not None:
                places[known, j] = cell(axis.edges, places[known, j])
            elif side.rising is not None:
                places[known, j] = np.interp(places[known, j], *side.rising)
        return places

    def values(self, column: int, points: Floats) -> list[Value]:
        """The values of a hyperparameter at cells or places, (k,)."""
        axis, rising = self._axes.axes[column], self.sides[column].rising
        rows = np.full((len(points), len(self.names)), np.nan)
        if axis.edges is not None:
            rows[:, column] = middles(axis.edges)[points.astype(np.int64)]
        else:
            rows[:, column] = points if rising is None else np.interp(points, rising[1], rising[0])
        return [self._encoding.value(column, entry) for entry in self._axes.rows(rows)[:, column]]

    def is_number(self, column: int) -> bool:
        """Whether its values are numbers of a range, not levels."""
        return not hasattr(self.hyperparameters[column], "choices") and not hasattr(self.hyperparameters[column], "sequence")

    def _activities(self, space: ConfigurationSpace) -> tuple[Activity, ...]:
        found: dict[tuple[object, ...], tuple[list[int], list[int], list[tuple[Ints, Floats, Floats]], Bools]] = {}
        for j, name in enumerate(self.names):
            literals = _literals(space, name)
            if not literals:
                continue
            ancestors = [i for i, other in enumerate(self.names) if other in {one.parent.name for one in literals}]
            groups = [self._groups(i, [one for one in literals if one.parent.name == self.names[i]]) for i in ancestors]
            table = self._table(j, ancestors, [places for _, _, places in groups])
            key = (tuple(ancestors), *(g.tobytes() for g, _, _ in groups), *(c.tobytes() for _, c, _ in groups), table.tobytes())
            found.setdefault(key, ([], ancestors, groups, table))[0].append(j)
        return tuple(
            Activity(
                children=np.array(children, dtype=np.int64),
                ancestors=np.array(ancestors, dtype=np.int64),
                groups=tuple(g for g, _, _ in groups),
                cuts=tuple(c for _, c, _ in groups),
                table=table,
            )
            for children, ancestors, groups, table in found.values()
        )

    def _groups(self, column: int, literals: Sequence[Literal]) -> tuple[Ints, Floats, Floats]:
        """The group of each of a parent's cells, the cells' ends where it is a continuum, a place on its axis for each group."""
        axis = self._axes.axes[column]
        if axis.levels is not None:
            cuts, places = np.empty(0), np.arange(len(axis.levels), dtype=np.float64)
        elif axis.edges is not None:
            cuts, places = np.empty(0), middles(axis.edges)
        else:
            cuts = _cuts(self.hyperparameters[column], literals)
            places = middles(cuts)
        rows = np.full((len(places), len(self.names)), np.nan)
        rows[:, column] = places
        values = [self._encoding.value(column, entry) for entry in self._axes.rows(rows)[:, column]]
        said = [tuple(bool(one.satisfied_by_value({one.parent.name: value})) for one in literals) for value in values]
        groups = {answers: i for i, answers in enumerate(dict.fromkeys(said))}
        first = [said.index(answers) for answers in groups]
        return np.array([groups[answers] for answers in said], dtype=np.int64), cuts, places[first]

    def _table(self, column: int, ancestors: Sequence[int], grids: Sequence[Floats]) -> Bools:
        shape = tuple(len(grid) for grid in grids)
        if np.prod(shape, dtype=np.float64) > _MOST_GROUPS:
            raise AnalysisError(
                f"{self.names[column]} depends on {len(ancestors)} hyperparameters in {np.prod(shape, dtype=np.float64):.0f} ways; "
                f"accepted are {_MOST_GROUPS}: leave it out, or make its conditions simpler"
            )
        places = np.full((int(np.prod(shape, dtype=np.int64)), len(self.names)), np.nan)
        for i, grid in zip(ancestors, np.meshgrid(*grids, indexing="ij"), strict=True):
            places[:, i] = grid.ravel()
        return np.asarray(self._axes.active(places)[:, column].reshape(shape))


def _side(hyperparameter: Hyperparameter[Any, Any], axis: Axis) -> Side:
    match hyperparameter:
        case BetaIntegerHyperparameter() | NormalIntegerHyperparameter():
            raise AnalysisError(
                f"{hyperparameter.name} is a {type(hyperparameter).__name__}, whose draws follow another distribution than ConfigSpace "
                "states: no importance can be given; accepted are uniform integers"
            )
        case BetaFloatHyperparameter() | NormalFloatHyperparameter():
            at = np.linspace(0.0, 1.0, _N_TABULATED)
            density = np.asarray(hyperparameter.pdf_vector(at), dtype=np.float64)
            below = np.concatenate([[0.0], np.cumsum(density[1:] + density[:-1])])
            return Side(chances=None, is_levels=False, rising=(at, below / below[-1]))
        case UniformIntegerHyperparameter(log=True) if axis.edges is not None:
            k = len(axis.edges) - 1
            return Side(chances=np.diff(_drawn_below(hyperparameter, hyperparameter.lower + np.arange(k + 1.0))), is_levels=False)
        case UniformIntegerHyperparameter(log=True):
            at = np.linspace(0.0, 1.0, _N_TABULATED)
            below = _drawn_below(hyperparameter, unscaled(hyperparameter, at) + 0.5)
            return Side(chances=None, is_levels=False, rising=(at, below / below[-1]))
        case _ if axis.levels is not None:
            return Side(chances=axis.levels / axis.levels.sum(), is_levels=True)
        case _:
            return Side(chances=None if axis.edges is None else np.diff(axis.edges), is_levels=False)


def _drawn_below(hyperparameter: UniformIntegerHyperparameter, values: Floats) -> Floats:
    """How likely ConfigSpace draws a logarithmic integer below values (n,), from the lowest to the highest + 1.

    It draws evenly on the logarithm of lower to upper, and cuts this range into equal parts, one for each value (`quantize_log`): it does
    not round, so that small values are drawn less often than the logarithm of what rounds to them says.
    """
    lower, upper = float(hyperparameter.lower), float(hyperparameter.upper)
    part = (upper - lower) / (upper - lower + 1)
    return np.asarray(np.log1p((values - lower) * part / lower) / np.log(upper / lower))


def _literals(space: ConfigurationSpace, name: str) -> list[Literal]:
    """The comparisons that decide whether a hyperparameter is active, those on its ancestors included."""
    own: list[Literal] = []
    for condition in space.parent_conditions_of[name]:
        own.extend(condition.dlcs if isinstance(condition, Conjunction) else [condition])
    parents = dict.fromkeys(literal.parent.name for literal in own)
    return own + [literal for parent in parents for literal in _literals(space, parent) if literal not in own]


def _cuts(hyperparameter: Hyperparameter[Any, Any], literals: Sequence[Literal]) -> Floats:
    """Where on its axis the answers of comparisons can change: (k + 1,) from 0 to 1."""
    values = [value for one in literals for value in (one.values if isinstance(one, InCondition) else [one.value])]
    if isinstance(hyperparameter, IntegerHyperparameter):
        around = np.array([end for value in values for end in (value - 0.5, value + 0.5)])
        places = scaled(hyperparameter, around)
    else:
        places = np.asarray(hyperparameter.to_vector(np.array(values, dtype=np.float64)), dtype=np.float64)
    return np.unique(np.concatenate([[0.0, 1.0], np.clip(places, 0.0, 1.0)]))
