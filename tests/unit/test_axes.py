"""Places on the axes by hand, there and back, and which of them exist as `decode` has it."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from ConfigSpace import (
    Categorical,
    ConfigurationSpace,
    Constant,
    EqualsCondition,
    Float,
    GreaterThanCondition,
    Integer,
    LessThanCondition,
    NotEqualsCondition,
    OrdinalHyperparameter,
)
from ConfigSpace.hyperparameters import Hyperparameter
from hypothesis import given, settings
from hypothesis import strategies as st
from space_fakes import allowed, any_row, everything, spaces

from bohb_nas import refs
from bohb_nas.records import Value
from bohb_nas.space.axes import MOST_CELLS, Axes, cell
from bohb_nas.space.encoding import Encoding
from bohb_nas.space.files import load_space

NAN = float("nan")


def one(hyperparameter: Hyperparameter[Any, Any]) -> tuple[Encoding, Axes]:
    space = ConfigurationSpace()
    space.add(hyperparameter)
    encoding = Encoding(space)
    return encoding, Axes(encoding)


def same(one: Mapping[str, Value], other: Mapping[str, Value]) -> bool:
    return one.keys() == other.keys() and all(
        value == (pytest.approx(other[name], rel=1e-9) if isinstance(value, float) else other[name]) for name, value in one.items()
    )


def value_at(encoding: Encoding, axes: Axes, *place: float) -> dict[str, Value]:
    return encoding.decode(axes.rows(np.array([place]))[0])


@pytest.mark.parametrize(("lower", "upper"), [(1, 4), (-3, 3), (0, 1), (0, 127), (10, 12)])
def test_values_of_a_linear_integer_are_equally_long(lower: int, upper: int) -> None:
    encoding, axes = one(Integer("n", (lower, upper)))
    k = upper - lower + 1
    assert axes.axes[0].levels is None
    assert axes.axes[0].edges == pytest.approx([i / k for i in range(k + 1)], abs=1e-15)
    assert axes.axes[0].edges is not None
    assert (axes.axes[0].edges[[0, -1]] == [0.0, 1.0]).all()
    rows = encoding.encode([{"n": v} for v in range(lower, upper + 1)])
    assert axes.points(rows)[:, 0] == pytest.approx([(i + 0.5) / k for i in range(k)])


@pytest.mark.parametrize(("lower", "upper"), [(1, 8), (2, 3), (1, 128), (16, 64)])
def test_values_of_a_logarithmic_integer_are_as_long_as_the_logarithm_says(lower: int, upper: int) -> None:
    _, axes = one(Integer("n", (lower, upper), log=True))
    whole = math.log(upper + 0.5) - math.log(lower - 0.5)
    expected = [(math.log(v + 0.5) - math.log(v - 0.5)) / whole for v in range(lower, upper + 1)]
    assert axes.axes[0].edges is not None
    assert np.diff(axes.axes[0].edges) == pytest.approx(expected, rel=1e-9)


def test_a_logarithmic_integer_by_hand() -> None:
    encoding, axes = one(Integer("n", (1, 8), log=True))  # on the axis from 1/2 to 17/2, v is where (1/2) 17^x rounds to v
    for x in np.linspace(0.0, 0.999, 1000):
        assert value_at(encoding, axes, x) == {"n": math.floor(0.5 * 17**x + 0.5)}
    assert value_at(encoding, axes, 1.0) == {"n": 8}
    # 1 lies between log 1/2 and log 3/2: the middle is half of log 3 / log 17
    assert axes.points(encoding.encode([{"n": 1}]))[0, 0] == pytest.approx(0.5 * math.log(3) / math.log(17))


@pytest.mark.parametrize(("upper", "with_cells"), [(MOST_CELLS - 1, True), (MOST_CELLS, False)])
@pytest.mark.parametrize("log", [False, True])
def test_an_integer_of_many_values_counts_as_a_number(upper: int, *, with_cells: bool, log: bool) -> None:
    lower = int(log)
    _, axes = one(Integer("n", (lower, upper + lower), log=log))
    assert (axes.axes[0].edges is not None) == with_cells
    assert axes.axes[0].levels is None


@pytest.mark.parametrize(("lower", "upper", "log"), [(10, 1010, False), (-500, 499, False), (1, 4096, True), (3, 10**9, True)])
def test_an_integer_of_many_values_lies_where_its_cell_would_be(lower: int, upper: int, *, log: bool) -> None:
    encoding, axes = one(Integer("n", (lower, upper), log=log))
    values = np.unique(np.concatenate([[lower, lower + 1, upper - 1, upper], np.linspace(lower, upper, 500).astype(int)]))
    points = axes.points(encoding.encode([{"n": int(v)} for v in values]))
    low, high = lower - 0.5, upper + 0.5
    expected = np.log(values / low) / np.log(high / low) if log else (values - low) / (high - low)
    assert points[:, 0] == pytest.approx(expected, rel=1e-9)
    decoded = [encoding.decode(row)["n"] for row in axes.rows(points)]
    assert decoded == values.tolist()
    for x in np.random.default_rng(0).random(200):
        raw = low * (high / low) ** x if log else low + x * (high - low)
        if abs(raw % 1 - 0.5) > 1e-3:  # elsewhere rounding errors decide
            assert value_at(encoding, axes, x)["n"] == round(raw)
    assert value_at(encoding, axes, 0.0) == {"n": lower}
    assert value_at(encoding, axes, 1.0) == {"n": upper}


def test_ordinals_and_levels() -> None:
    encoding, axes = one(OrdinalHyperparameter("size", ["s", "m", "l"]))
    assert axes.axes[0].edges == pytest.approx([0, 1 / 3, 2 / 3, 1])
    assert [value_at(encoding, axes, x)["size"] for x in (0.0, 0.33, 0.34, 0.66, 0.67, 1.0)] == ["s", "s", "m", "m", "l", "l"]
    encoding, axes = one(Categorical("op", ["a", "b", "c"], weights=[6, 3, 1]))
    assert axes.axes[0].edges is None
    assert axes.axes[0].levels == pytest.approx([0.6, 0.3, 0.1])
    assert axes.points(encoding.encode([{"op": "c"}])).tolist() == [[2.0]]
    _, axes = one(Float("rate", (1e-4, 1.0), log=True))
    assert (axes.axes[0].edges, axes.axes[0].levels) == (None, None)


def test_cells_by_hand() -> None:
    edges = np.array([0.0, 0.25, 0.5, 1.0])
    assert cell(edges, np.array([0.0, 0.1, 0.25, 0.49, 0.5, 0.99, 1.0])).tolist() == [0, 0, 1, 1, 2, 2, 2]


@pytest.mark.parametrize("name", [*refs.names("space"), None])
def test_there_and_back_on_every_space(name: str | None) -> None:
    encoding = Encoding(everything() if name is None else load_space(name))
    axes = Axes(encoding)
    configs = [encoding.sample(seed) for seed in range(200)]
    rows = encoding.encode(configs)
    points = axes.points(rows)
    assert (np.isnan(points) == np.isnan(rows)).all()
    there = ~np.isnan(points)
    assert ((points[there] >= 0) & (points <= np.maximum(1, encoding.levels))[there]).all()
    back = axes.rows(points)
    assert back == pytest.approx(rows, abs=1e-12, nan_ok=True)
    assert axes.points(back) == pytest.approx(points, abs=1e-12, nan_ok=True)
    assert (axes.active(points) == there).all()
    for config, row in zip(configs, back, strict=True):
        assert same(encoding.decode(row), config)


@settings(deadline=None, derandomize=True, database=None)
@given(spaces(), st.integers(0, 2**32 - 1))
def test_there_and_back_on_any_space(space: ConfigurationSpace, seed: int) -> None:
    encoding = Encoding(space)
    axes = Axes(encoding)
    config = encoding.sample(seed)
    row = encoding.encode([config])
    points = axes.points(row)
    assert (axes.active(points) == ~np.isnan(row)).all()
    assert same(encoding.decode(axes.rows(points)[0]), config)


def decoded_active(encoding: Encoding, rows: np.ndarray) -> np.ndarray:
    """Which hyperparameters `decode` gives a value."""
    return np.array([[name in config for name in encoding.names] for config in map(encoding.decode, rows)])


@pytest.mark.parametrize("name", [*refs.names("space"), None])
def test_what_exists_on_every_space_is_what_decoding_gives(name: str | None) -> None:
    space = everything() if name is None else load_space(name)
    encoding = Encoding(space)
    rng = np.random.default_rng(0)
    rows = np.array([any_row(encoding, rng) for _ in range(300)])
    rows = rows[allowed(encoding, rows)]
    assert len(rows) > 250
    active = decoded_active(encoding, rows)
    assert (encoding.active(rows) == active).all()
    points = np.where(encoding.levels > 0, rows, rng.random(rows.shape))
    assert (Axes(encoding).active(points) == decoded_active(encoding, Axes(encoding).rows(points))).all()
    if name is None:
        always_or_never = {"of_fixed", "not_of_fixed", "of_only", "not_of_one"}
        for j, column in enumerate(encoding.names):
            conditional = column not in always_or_never and column in space.conditional_hyperparameters
            assert (0 < active[:, j].mean() < 1) == conditional


@settings(deadline=None, derandomize=True, database=None, max_examples=300)
@given(spaces(), st.integers(0, 2**32 - 1))
def test_what_exists_on_any_space_is_what_decoding_gives(space: ConfigurationSpace, seed: int) -> None:
    encoding = Encoding(space)
    rng = np.random.default_rng(seed)
    rows = np.array([any_row(encoding, rng) for _ in range(5)])
    expected = decoded_active(encoding, rows)
    assert (encoding.active(rows) == expected).all()
    blanked = np.where(expected, rows, NAN)  # whatever stands in what does not exist
    assert (encoding.active(blanked) == expected).all()
    axes = Axes(encoding)
    points = np.where(encoding.levels > 0, rows, rng.random(rows.shape))
    expected = decoded_active(encoding, axes.rows(points))
    assert (axes.active(points) == expected).all()
    assert (axes.active(np.where(expected, points, NAN)) == expected).all()


def test_a_threshold_on_a_float_holds_for_the_value_that_is_decoded() -> None:
    space = ConfigurationSpace()
    rate, child = Float("rate", (0.0, 2.0)), Float("child", (0.0, 1.0))
    space.add(rate, child)
    space.add(GreaterThanCondition(child, rate, 1.0))
    encoding = Encoding(space)
    rows = np.full((2, 2), 0.5)
    rows[:, encoding.names.index("rate")] = 0.5 * (1 + 1e-15), 0.5 * (1 + 1e-9)  # the first one is decoded to 1
    assert [config["rate"] for config in map(encoding.decode, rows)] == [1.0, pytest.approx(1.0, abs=1e-8)]
    assert encoding.active(rows)[:, encoding.names.index("child")].tolist() == [False, True]


def test_children_by_hand() -> None:
    """What exists when the parent is fixed, missing, or itself inactive: ConfigSpace calls nothing unequal to something."""
    space = ConfigurationSpace()
    op, inner = Categorical("op", ["a", "b"]), Integer("inner", (1, 3))
    unequal, less, above, fixed = (Float(name, (0.0, 1.0)) for name in ("unequal", "less", "above", "of_fixed"))
    three = Constant("three", 3)
    space.add(op, inner, unequal, less, above, three, fixed)
    space.add(EqualsCondition(inner, op, "a"), NotEqualsCondition(unequal, inner, 1), LessThanCondition(less, inner, 3))
    space.add(GreaterThanCondition(above, inner, 1), EqualsCondition(fixed, three, 3))
    encoding = Encoding(space)
    axes = Axes(encoding)
    cases = {(0, 0.1): {"less"}, (0, 0.5): {"less", "above", "unequal"}, (0, 0.9): {"above", "unequal"}, (1, 0.1): {"unequal"}}
    for (level, place), expected in cases.items():
        point = np.full((1, len(encoding.names)), 0.5)
        point[0, encoding.names.index("op")], point[0, encoding.names.index("inner")] = level, place
        found = {name for name, there in zip(encoding.names, axes.active(point)[0], strict=True) if there}
        assert found == expected | {"op", "of_fixed"} | ({"inner"} if level == 0 else set())


def test_only_parents_have_children() -> None:
    encoding = Encoding(everything())
    parents = {name for j, name in enumerate(encoding.names) if encoding.has_children(j)}
    assert parents == {"op", "depth", "width", "offset", "steps", "size", "rate", "inner", "kind"}
    assert [encoding.hyperparameter(j).name for j in range(len(encoding.names))] == list(encoding.names)


def test_no_points_are_no_trouble() -> None:
    encoding = Encoding(everything())
    axes, none = Axes(encoding), np.empty((0, len(encoding.names)))
    assert axes.points(none).shape == axes.rows(none).shape == axes.active(none).shape == none.shape


def test_what_is_given_is_left_alone() -> None:
    encoding = Encoding(everything())
    axes = Axes(encoding)
    row = encoding.encode([encoding.sample(0)])
    before = row.copy()
    points = axes.points(row)
    after = points.copy()
    axes.rows(points)
    axes.active(points)
    assert np.array_equal(row, before, equal_nan=True)
    assert np.array_equal(points, after, equal_nan=True)
