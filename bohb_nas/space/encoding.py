"""Turns configurations into rows of numbers and back.

A row has one entry per hyperparameter that has a choice to make; constants and one-valued categoricals are left out.
NaN marks an inactive one.

============  ==================================================
float, int    ConfigSpace's own place in [0, 1] (log where asked)
ordinal       (i + 0.5) / k, the middle of the i-th of k cells
categorical   i, the number of the level
============  ==================================================
"""

import copy
import reprlib
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any, cast

import numpy as np
from ConfigSpace import ConfigurationSpace
from ConfigSpace.exceptions import ForbiddenValueError
from ConfigSpace.hyperparameters import (
    CategoricalHyperparameter,
    Constant,
    FloatHyperparameter,
    Hyperparameter,
    IntegerHyperparameter,
    NumericalHyperparameter,
    OrdinalHyperparameter,
)
from numpy.typing import NDArray

from bohb_nas.errors import SpaceError
from bohb_nas.records import Value

_MOST_LISTED = 12
"""Hyperparameters of a space up to which a text lists them all."""
_MOST_NAMED = 5
"""Names that a text repeats."""
_MOST_DRAWS = 1000
"""Until one is not forbidden."""
_NARROW = 1e-6
"""Of the largest value: a range that is no wider has too few values of 13 digits."""


class Encoding:
    """The rows of one space.

    Works on its own copy of the space, which is never changed but for its random state.
    """

    names: tuple[str, ...]
    """(d,) hyperparameters with a choice to make, in ConfigSpace's order: parents first."""
    levels: NDArray[np.int64]
    """(d,) how many choices of a categorical; 0 for a number: of floats, integers and ordinals."""

    def __init__(self, space: ConfigurationSpace) -> None:
        self._space = copy.deepcopy(space)
        self._hyperparameters = list(self._space.values())
        self._all_names = frozenset(self._space)
        self._conditions = [self._space.parent_conditions_of[h.name] for h in self._hyperparameters]
        self._parents = {i for i, h in enumerate(self._hyperparameters) if self._space.children_of[h.name]}
        self._columns = [i for i, h in enumerate(self._hyperparameters) if n_values(h) != 1]
        self._places = [{value: place for place, value in enumerate(listed(h))} or None for h in self._hyperparameters]
        self._integers: list[dict[Value, float]] = [{} for _ in self._hyperparameters]  # entries worked out before
        self.names = tuple(self._hyperparameters[i].name for i in self._columns)
        self.levels = np.array([_n_levels(self._hyperparameters[i]) for i in self._columns], dtype=np.int64)

    def encode(self, configs: Sequence[Mapping[str, Value]]) -> NDArray[np.float64]:
        """The rows of n configurations, (n, d).

        Raises:
            SpaceError: a value is none of its hyperparameter's, or no hyperparameter has that name.
        """
        rows = np.full((len(configs), len(self._columns)), np.nan)
        for n, config in enumerate(configs):
            if not config.keys() <= self._all_names:
                raise SpaceError(no_such(sorted(config.keys() - self._all_names), [*self._space]))
            for j, i in enumerate(self._columns):
                hyperparameter = self._hyperparameters[i]
                if hyperparameter.name in config:
                    rows[n, j] = self._to_entry(i, config[hyperparameter.name])
        return rows

    def decode(self, row: NDArray[np.float64]) -> dict[str, Value]:
        """The configuration at a row, (d,); entries of hyperparameters that come out inactive are ignored.

        Raises:
            ForbiddenValueError: of ConfigSpace; a clause forbids this combination.
        """
        entries = np.zeros(len(self._hyperparameters))
        entries[self._columns] = row
        vector = np.full(len(self._hyperparameters), np.nan)
        config: dict[str, Value] = {}
        for i, hyperparameter in enumerate(self._hyperparameters):
            if all(condition.satisfied_by_vector(vector) for condition in self._conditions[i]):
                value = _to_value(hyperparameter, entries[i])
                vector[i] = hyperparameter.to_vector(value)
                config[hyperparameter.name] = value
        self._space.check_configuration_vector_representation(vector)
        return config

    def hyperparameter(self, column: int) -> Hyperparameter[Any, Any]:
        """ConfigSpace's object behind a column."""
        return self._hyperparameters[self._columns[column]]

    def value(self, column: int, entry: float) -> Value:
        """The value that an entry of a column stands for."""
        return _to_value(self.hyperparameter(column), entry)

    def has_children(self, column: int) -> bool:
        """Whether another hyperparameter's existence depends on a column's."""
        return self._columns[column] in self._parents

    def forbidden(self, row: NDArray[np.float64]) -> bool:
        """Whether a clause forbids the values at a row, (d,), those of inactive hyperparameters included; no entry is NaN."""
        if not self._space.forbidden_clauses:
            return False
        entries = np.zeros((len(self._hyperparameters), 1))
        entries[self._columns, 0] = row
        vector = np.concatenate([_to_vectors(h, entry) for h, entry in zip(self._hyperparameters, entries, strict=True)])
        return any(clause.is_forbidden_vector(vector) for clause in self._space.forbidden_clauses)

    def active(self, rows: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Which entries of rows (n, d) exist, (n, d), whatever stands in those that do not.

        Agrees with `decode`; entries of integers and ordinals may lie anywhere in their cell.
        """
        vectors = np.full((len(self._hyperparameters), len(rows)), np.nan)
        active = np.zeros((len(self._hyperparameters), len(rows)), dtype=np.bool_)
        column = {i: j for j, i in enumerate(self._columns)}
        for i, hyperparameter in enumerate(self._hyperparameters):
            active[i] = True
            for condition in self._conditions[i]:
                active[i] &= condition.satisfied_by_vector_array(vectors)
            if i in self._parents:
                entries = rows[:, column[i]] if i in column else np.zeros(len(rows))
                vectors[i] = np.where(active[i], _to_vectors(hyperparameter, entries), np.nan)
        return active[self._columns].T

    def completed(self, row: NDArray[np.float64], random: np.random.RandomState) -> NDArray[np.float64]:
        """A row, (d,), in which what is active and missing is drawn from each hyperparameter's own distribution."""
        full = row.copy()
        while (missing := np.flatnonzero(np.isnan(full) & self.active(full[None])[0])).size:
            hyperparameter = self.hyperparameter(missing[0])
            full[missing[0]] = _entry(hyperparameter, hyperparameter.sample_vector(seed=random))
        return full

    def drawn_apart(self, n: int, random: np.random.RandomState) -> NDArray[np.float64]:
        """Rows, (n, d), of which each entry is drawn from its hyperparameter's own distribution, whatever conditions and clauses say."""
        columns = [np.ravel(self.hyperparameter(j).sample_vector(n, seed=random)) for j in range(len(self._columns))]
        return np.array([[_entry(self.hyperparameter(j), value) for value in column] for j, column in enumerate(columns)]).T

    def sample(self, seed: int) -> dict[str, Value]:
        """A configuration drawn by ConfigSpace from the space's prior; the same seed gives the same one.

        Raises:
            SpaceError: clauses forbid all of `_MOST_DRAWS` draws.
        """
        self._space.seed(seed)
        for _ in range(_MOST_DRAWS):
            try:
                return self._drawn()
            except ForbiddenValueError:  # ConfigSpace keeps to its clauses, but what it leaves out is drawn here without them
                continue
        raise SpaceError(
            f"{_MOST_DRAWS} configurations drawn with seed {seed}, and forbidden clauses forbid each; forbid less, or leave the values out"
        )

    def _drawn(self) -> dict[str, Value]:
        """The next configuration of the space's random state.

        Raises:
            ForbiddenValueError: of ConfigSpace; a clause forbids it.
        """
        vector = self._space.sample_configuration().get_array()
        row = np.array([_entry(self._hyperparameters[i], vector[i]) for i in self._columns])
        # ConfigSpace's draw leaves out what a != on an inactive parent makes active, which its check then misses
        return self.decode(self.completed(row, self._space.random))

    def _to_entry(self, i: int, value: Value) -> float:
        hyperparameter, places = self._hyperparameters[i], self._places[i]
        if places is not None and value in places:
            return _entry(hyperparameter, places[value])
        if (known := self._integers[i].get(value)) is not None:
            return known
        if places is not None or isinstance(value, str) or not hyperparameter.legal_value(value):
            raise SpaceError(f"{hyperparameter.name} = {value!r} is not in the space; accepted is {hyperparameter}")
        entry = float(hyperparameter.to_vector(value))
        if isinstance(hyperparameter, IntegerHyperparameter):
            self._integers[i][value] = entry
        return entry


def no_such(unknown: Sequence[str], known: Sequence[str]) -> str:
    """What to say of names that no hyperparameter has: which there are, or where those are many, which are near."""
    asked = unknown[:_MOST_NAMED]
    named = ", ".join(map(reprlib.repr, asked)) + (f" and {len(unknown) - len(asked)} more" if len(unknown) > len(asked) else "")
    if len(known) <= _MOST_LISTED:
        return f"no hyperparameter {named}; the space has {', '.join(known)}"
    by_letters = {name.casefold(): name for name in known}
    near = dict.fromkeys(by_letters[one] for name in asked for one in get_close_matches(name[:100].casefold(), by_letters))
    return f"no hyperparameter {named}; " + (f"near are {', '.join(near)}" if near else "none is near") + f", the space has {len(known)}"


def n_values(hyperparameter: Hyperparameter[Any, Any]) -> int:
    """How many values a hyperparameter can take; 0 stands for a continuum."""
    if isinstance(hyperparameter, IntegerHyperparameter):
        return int(hyperparameter.upper) - int(hyperparameter.lower) + 1
    return len(listed(hyperparameter))


def listed(hyperparameter: Hyperparameter[Any, Any]) -> list[Value]:
    """All values of a hyperparameter that is no number."""
    match hyperparameter:
        case CategoricalHyperparameter():
            return [cast(Value, plain(choice)) for choice in hyperparameter.choices]
        case OrdinalHyperparameter():
            return [cast(Value, plain(value)) for value in hyperparameter.sequence]
        case Constant():
            return [cast(Value, plain(hyperparameter.value))]
        case _:
            return []


def plain(value: Any) -> Any:
    """The value without numpy's type."""
    return value.item() if isinstance(value, np.generic) else value


def default_configuration(space: ConfigurationSpace) -> dict[str, Value]:
    """The space's default configuration, in plain values."""
    return {name: plain(value) for name, value in space.get_default_configuration().items()}


def _n_levels(hyperparameter: Hyperparameter[Any, Any]) -> int:
    match hyperparameter:
        case CategoricalHyperparameter():
            return len(hyperparameter.choices)
        case OrdinalHyperparameter() | NumericalHyperparameter():
            return 0
        case _:
            raise SpaceError(
                f"{hyperparameter.name} is a {type(hyperparameter).__name__}; accepted are floats, integers, ordinals, categoricals"
            )


def _entry(hyperparameter: Hyperparameter[Any, Any], vector_value: float) -> float:
    if isinstance(hyperparameter, OrdinalHyperparameter):
        return (float(vector_value) + 0.5) / len(hyperparameter.sequence)
    return float(vector_value)


def _to_vectors(hyperparameter: Hyperparameter[Any, Any], entries: NDArray[np.float64]) -> NDArray[np.float64]:
    """ConfigSpace's vector values of entries (n,), each of the value that is decoded from it; NaN stays."""
    known = ~np.isnan(entries)
    vectors = np.full(len(entries), np.nan)
    match hyperparameter:
        case CategoricalHyperparameter():
            return entries
        case OrdinalHyperparameter():
            k = len(hyperparameter.sequence)
            return np.minimum(np.floor(entries * k), k - 1)
        case Constant():
            vectors[known] = hyperparameter.to_vector(hyperparameter.value)
        case FloatHyperparameter():
            values = [_rounded(hyperparameter, value) for value in hyperparameter.to_value(entries[known])]
            vectors[known] = hyperparameter.to_vector(np.array(values, dtype=np.float64))
        case _:
            vectors[known] = hyperparameter.to_vector(hyperparameter.to_value(entries[known]))
    return vectors


def _to_value(hyperparameter: Hyperparameter[Any, Any], entry: float) -> Value:
    match hyperparameter:
        case CategoricalHyperparameter():
            return cast(Value, plain(hyperparameter.choices[int(entry)]))
        case OrdinalHyperparameter():
            k = len(hyperparameter.sequence)
            return cast(Value, plain(hyperparameter.sequence[min(int(entry * k), k - 1)]))
        case IntegerHyperparameter():
            return int(hyperparameter.to_value(entry))
        case Constant():
            return cast(Value, plain(hyperparameter.value))
        case FloatHyperparameter():
            return _rounded(hyperparameter, hyperparameter.to_value(entry))
        case _:
            raise TypeError(f"no value of a {type(hyperparameter).__name__}")


def _rounded(hyperparameter: FloatHyperparameter, value: float) -> float:
    """The value without its last digits, which the way back from the logarithm makes up and which can leave the range.

    Where they are what tells the values of a linear range apart, they stay.
    """
    lower, upper = float(hyperparameter.lower), float(hyperparameter.upper)
    narrow = not hyperparameter.log and upper - lower < _NARROW * max(abs(lower), abs(upper))
    return min(max(value if narrow else float(f"{value:.13g}"), lower), upper)
