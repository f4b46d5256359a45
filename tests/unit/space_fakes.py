"""Spaces that are made to be difficult, and all the configurations of a finite one."""

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from ConfigSpace import (
    AndConjunction,
    Categorical,
    ConfigurationSpace,
    Constant,
    EqualsCondition,
    Float,
    GreaterThanCondition,
    InCondition,
    Integer,
    LessThanCondition,
    NotEqualsCondition,
    OrConjunction,
    OrdinalHyperparameter,
)
from ConfigSpace.conditions import BinaryOpCondition, Condition, Conjunction
from ConfigSpace.exceptions import ActiveHyperparameterNotSetError, ForbiddenValueError
from ConfigSpace.hyperparameters import CategoricalHyperparameter, Hyperparameter, IntegerHyperparameter
from hypothesis import reject
from hypothesis import strategies as st
from numpy.typing import NDArray

from bohb_nas.records import Value
from bohb_nas.space.axes import Axes
from bohb_nas.space.encoding import Encoding


def everything() -> ConfigurationSpace:
    """Every kind of hyperparameter and of condition, on parents of every kind, active ones and inactive ones."""
    space = ConfigurationSpace()
    op = Categorical("op", ["conv", "pool", "skip"], weights=[6, 3, 1])
    depth, width = Integer("depth", (1, 8), default=2, log=True), Integer("width", (16, 4096), log=True)
    offset, steps = Integer("offset", (-3, 3)), Integer("steps", (10, 1010))
    size, rate = OrdinalHyperparameter("size", ["s", "m", "l", "xl"]), Float("rate", (1e-4, 1.0), log=True)
    fixed, only, one = Constant("fixed", 3), Categorical("only", ["x"]), OrdinalHyperparameter("one", ["y"])
    children = {
        name: Float(name, (0.0, 1.0))
        for name in (
            *("of_op", "not_of_op", "below_depth", "above_width", "in_offset", "above_steps", "below_size", "in_size", "above_rate"),
            *("of_fixed", "not_of_fixed", "of_only", "not_of_one", "both", "either", "nested"),
        )
    }
    inner, kind, cells = Integer("inner", (1, 5)), Categorical("kind", ["a", "b"]), Integer("cells", (1, 3))
    grandchildren = {name: Float(name, (0.0, 1.0)) for name in ("not_of_inner", "below_inner", "above_inner", "in_inner", "not_of_kind")}
    space.add(op, depth, width, offset, steps, size, rate, fixed, only, one, inner, kind, cells, *children.values())
    space.add(*grandchildren.values())
    space.add(
        EqualsCondition(children["of_op"], op, "conv"),
        NotEqualsCondition(children["not_of_op"], op, "conv"),
        LessThanCondition(children["below_depth"], depth, 3),
        GreaterThanCondition(children["above_width"], width, 300),
        InCondition(children["in_offset"], offset, [-3, 0, 3]),
        GreaterThanCondition(children["above_steps"], steps, 700),
        LessThanCondition(children["below_size"], size, "l"),
        InCondition(children["in_size"], size, ["s", "xl"]),
        GreaterThanCondition(children["above_rate"], rate, 0.01),
        EqualsCondition(children["of_fixed"], fixed, 3),
        NotEqualsCondition(children["not_of_fixed"], fixed, 3),
        EqualsCondition(children["of_only"], only, "x"),
        NotEqualsCondition(children["not_of_one"], one, "y"),
        AndConjunction(EqualsCondition(children["both"], op, "conv"), GreaterThanCondition(children["both"], depth, 2)),
        OrConjunction(EqualsCondition(children["either"], op, "skip"), LessThanCondition(children["either"], offset, 0)),
        OrConjunction(
            AndConjunction(EqualsCondition(children["nested"], op, "pool"), InCondition(children["nested"], size, ["m", "l"])),
            LessThanCondition(children["nested"], rate, 0.001),
        ),
        EqualsCondition(inner, op, "conv"),
        InCondition(kind, depth, [1, 2, 5]),
        NotEqualsCondition(cells, kind, "b"),
        NotEqualsCondition(grandchildren["not_of_inner"], inner, 2),
        LessThanCondition(grandchildren["below_inner"], inner, 3),
        GreaterThanCondition(grandchildren["above_inner"], inner, 3),
        InCondition(grandchildren["in_inner"], inner, [1, 5]),
        NotEqualsCondition(grandchildren["not_of_kind"], kind, "a"),
    )
    return space


def finite() -> ConfigurationSpace:
    """A chain of conditions over weighted levels, cells on both scales and an ordinal: 116 configurations."""
    space = ConfigurationSpace()
    op, depth = Categorical("op", ["conv", "pool", "skip"], weights=[6, 3, 1]), Integer("depth", (1, 4), log=True)
    kernel, size = Integer("kernel", (1, 3)), OrdinalHyperparameter("size", ["s", "m", "l"])
    norm, groups = Categorical("norm", ["batch", "group"]), Integer("groups", (1, 5), log=True)
    space.add(op, depth, kernel, size, norm, groups)
    space.add(
        NotEqualsCondition(kernel, op, "skip"),
        AndConjunction(EqualsCondition(norm, op, "conv"), GreaterThanCondition(norm, depth, 2)),
        EqualsCondition(groups, norm, "group"),
        InCondition(size, depth, [1, 4]),
    )
    return space


@st.composite
def spaces(draw: st.DrawFn, *, continuous: bool = True) -> ConfigurationSpace:
    """Two to six hyperparameters, most of them under conditions on earlier ones.

    Conditions on several parents are joined alike in the whole space: ConfigSpace takes "a and b" for "a or b" if it meets both.
    """
    space = ConfigurationSpace()
    joined = draw(st.sampled_from([AndConjunction, OrConjunction]))
    earlier: list[Hyperparameter[Any, Any]] = []
    for n in range(draw(st.integers(2, 6))):
        hyperparameter = draw(_hyperparameter(f"h{n}", continuous=continuous))
        space.add(hyperparameter)
        parents = draw(st.lists(st.sampled_from(earlier), max_size=3, unique_by=lambda h: h.name)) if earlier else []
        conditions: list[Condition | Conjunction] = [draw(_condition(hyperparameter, parent)) for parent in parents]
        if len(conditions) == 3:
            conditions = [AndConjunction(*conditions[:2]), conditions[2]]
        if conditions:
            try:
                space.add(conditions[0] if len(conditions) == 1 else joined(*conditions))
            except ActiveHyperparameterNotSetError:  # ConfigSpace disagrees with itself on != where the default has no parent
                reject()
        earlier.append(hyperparameter)
    return space


@st.composite
def _hyperparameter(draw: st.DrawFn, name: str, *, continuous: bool) -> Hyperparameter[Any, Any]:
    kinds = ["categorical", "weighted", "ordinal", "integer", "log integer", "constant", "one choice"]
    match draw(st.sampled_from([*kinds, "float", "log float", "long integer", "long log integer"] if continuous else kinds)):
        case "categorical":
            return Categorical(name, ["a", "b", "c"][: draw(st.integers(2, 3))])
        case "weighted":
            return Categorical(name, ["a", "b", "c"], weights=draw(st.lists(st.integers(1, 9), min_size=3, max_size=3)))
        case "ordinal":
            return OrdinalHyperparameter(name, ["s", "m", "l", "xl"][: draw(st.integers(2, 4))])
        case "integer":
            return Integer(name, (-1, draw(st.integers(0, 3))))
        case "log integer":
            return Integer(name, (lower := draw(st.integers(1, 3)), lower + draw(st.integers(1, 4))), log=True)
        case "constant":
            return Constant(name, draw(st.sampled_from([3, "x", 0.5])))
        case "one choice":
            return Categorical(name, ["x"])
        case "float":
            return Float(name, (-0.3, 0.9))
        case "log float":
            return Float(name, (1e-5, 0.7), log=True)
        case "long integer":
            return Integer(name, (-70, draw(st.integers(60, 5000))))
        case _:
            return Integer(name, (3, draw(st.integers(200, 100_000))), log=True)


@st.composite
def _condition(draw: st.DrawFn, child: Hyperparameter[Any, Any], parent: Hyperparameter[Any, Any]) -> Condition:
    values = st.sampled_from([parent.to_value(entry) for entry in _some_vectors(parent)])
    kinds: list[type[BinaryOpCondition] | type[InCondition]] = [EqualsCondition, NotEqualsCondition, InCondition]
    if not isinstance(parent, CategoricalHyperparameter | Constant):
        kinds += [LessThanCondition, GreaterThanCondition]
    kind = draw(st.sampled_from(kinds))
    if issubclass(kind, InCondition):
        return InCondition(child, parent, draw(st.lists(values, min_size=1, max_size=3)))
    return kind(child, parent, draw(values))


def _some_vectors(hyperparameter: Hyperparameter[Any, Any]) -> list[float]:
    """ConfigSpace's vector values of up to five values."""
    match hyperparameter:
        case CategoricalHyperparameter():
            return [float(i) for i in range(len(hyperparameter.choices))]
        case OrdinalHyperparameter():
            return [float(i) for i in range(len(hyperparameter.sequence))]
        case Constant():
            return [0.0]
        case _:
            return [0.0, 0.21, 0.5, 0.77, 1.0]


def any_row(encoding: Encoding, rng: np.random.Generator) -> np.ndarray:
    """A row with every entry filled; some numbers on the values that conditions ask for, or a rounding error beside them."""
    row = rng.random(len(encoding.names))
    critical = np.array([0.0, 0.21, 0.5, 0.77, 1.0])[rng.integers(5, size=len(row))]
    beside = np.clip(critical * (1 + rng.integers(-4, 5, size=len(row)) * 2.0**-53), 0.0, 1.0)
    row = np.where(rng.random(len(row)) < 0.5, beside, row)
    return np.where(encoding.levels > 0, rng.integers(np.maximum(encoding.levels, 1)), row)


def all_configs(space: ConfigurationSpace) -> list[dict[str, Value]]:
    """Every configuration of a finite space, by decoding every filled row; found without what is tested."""
    encoding = Encoding(space)
    found = {tuple(config.items()): config for config in map(encoding.decode, _filled_rows(encoding))}
    return list(found.values())


def _filled_rows(encoding: Encoding) -> Iterator[np.ndarray]:
    entries: list[list[float]] = []
    for hyperparameter in map(encoding.hyperparameter, range(len(encoding.names))):
        match hyperparameter:
            case CategoricalHyperparameter():
                entries.append([float(i) for i in range(len(hyperparameter.choices))])
            case OrdinalHyperparameter():
                n = len(hyperparameter.sequence)
                entries.append([(i + 0.5) / n for i in range(n)])
            case IntegerHyperparameter():
                entries.append([float(hyperparameter.to_vector(v)) for v in range(hyperparameter.lower, hyperparameter.upper + 1)])
            case _:
                raise AssertionError("not finite")
    return map(np.array, itertools.product(*entries))


def points_of(space: ConfigurationSpace, configs: Sequence[Mapping[str, Value]]) -> np.ndarray:
    """(n, d) where configurations lie on the axes of their space."""
    encoding = Encoding(space)
    return Axes(encoding).points(encoding.encode(configs))


def edges_by_hand(lower: int, upper: int, *, log: bool) -> list[float]:
    """Of the cells of an integer: from lower - 1/2 to upper + 1/2, as a share of the whole."""
    ends = [lower - 0.5 + i for i in range(upper - lower + 2)]
    scale = [math.log(end) for end in ends] if log else ends
    return [(s - scale[0]) / (scale[-1] - scale[0]) for s in scale]


def allowed(encoding: Encoding, rows: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which rows of the encoding (n, d) break no forbidden clause, (n,)."""

    def breaks_none(row: NDArray[np.float64]) -> bool:
        try:
            encoding.decode(row)
        except ForbiddenValueError:
            return False
        return True

    return np.array([breaks_none(row) for row in rows])
