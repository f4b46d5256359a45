"""Bandwidths, exploration, features and weights by hand; kernels at the ends, in ties and in far tails."""

import math
from typing import Any

import numpy as np
import pytest
from ConfigSpace import (
    Categorical,
    ConfigurationSpace,
    Float,
    Integer,
    OrdinalHyperparameter,
)
from density_fakes import MANY, NAN, SPACES, Config, Plain, columns_of, fitted, log_density, sampled
from scipy import stats
from space_fakes import all_configs, finite, points_of

from bohb_nas.samplers.density import log_sum_exp, mixture, neighbour_gaps
from bohb_nas.space.encoding import Encoding


@pytest.mark.parametrize(
    ("n", "mutations", "expected"),
    [(0, MANY, 0.8), (3, MANY, 0.5), (1000, MANY, 0.05), (3, 4.0, 0.4), (1000, 4.0, 0.05), (3, 0.1, 0.02), (1000, 0.1, 0.02)],
)
def test_exploration_by_hand(n: int, mutations: float, expected: float) -> None:
    """Three levels in each of ten columns: 3 / (3 + n) within [0.05, 0.8], and together at most `mutations`."""
    columns = columns_of(ConfigurationSpace({f"c{j}": [*"abc"] for j in range(10)}))
    found = mixture(columns, np.zeros((n, 10)), np.ones(n), prior_weight=1.0, floor=0.03, mutations=mutations)
    assert found.exploration == pytest.approx([expected] * 10)


@pytest.mark.parametrize(
    "hyperparameter",
    [OrdinalHyperparameter("n", list(range(10))), Integer("n", (1, 100)), Float("n", (0.0, 1.0)), Integer("n", (-100, 100))],
)
def test_the_mirror_image_is_as_likely(hyperparameter: Any) -> None:
    """Kernels alone, whose far tails the prior component would hide."""
    space = ConfigurationSpace()
    space.add(hyperparameter)
    columns = columns_of(space)
    places = np.array([[0.045], [0.245], [0.455], [0.545], [0.755], [0.955]])
    features = columns.features(places)
    kernels = features @ columns.kernels(places, np.full(places.shape, 0.03), np.empty(0))
    assert kernels == pytest.approx(kernels[::-1, ::-1], rel=1e-9)
    assert (np.diff(kernels[0]) < -1).all(), "the farther the less likely, to the end"


@pytest.mark.parametrize(
    ("places", "expected"),
    [
        ([0.5], [0.5]),
        ([0.2], [0.8]),
        ([0.0], [1.0]),
        ([1.0], [1.0]),
        ([0.0, 1.0], [1.0, 1.0]),
        ([0.25, 0.75], [0.5, 0.5]),
        ([0.75, 0.25], [0.5, 0.5]),
        ([0.9, 0.1, 0.2], [0.7, 0.1, 0.7]),  # 0.1 lies 0.1 above 0 and 0.1 below 0.2
        ([0.5, 0.5, 0.5], [0.5, 0.03, 0.5]),  # of equals the first comes first
        ([0.98, 0.99, 1.0, 0.97], [0.03, 0.03, 0.03, 0.97]),
        ([NAN, 0.2, NAN, 0.6], [1.0, 0.4, 1.0, 0.4]),
        ([NAN, NAN], [1.0, 1.0]),
        ([NAN, 0.3], [1.0, 0.7]),
    ],
)
def test_bandwidths_by_hand(places: list[float], expected: list[float]) -> None:
    data = np.array([places, places[::-1]]).T
    found = neighbour_gaps(data, floor=0.03)
    assert found[:, 0] == pytest.approx(expected)
    if len(set(places)) == len(places):
        assert found[:, 1] == pytest.approx(expected[::-1])


def test_bandwidths_of_equals_do_not_hang_on_the_sorting_algorithm() -> None:
    """The first of equals has the gap below it, the last one that above; quicksort would give them to any."""
    data = np.full((200, 1), 0.25)
    data[::2] = 0.5
    found = neighbour_gaps(data, floor=0.01)[:, 0]
    assert np.flatnonzero(found > 0.01).tolist() == [0, 1, 198, 199]
    assert found[[0, 1, 198, 199]] == pytest.approx([0.25, 0.25, 0.5, 0.25])


@pytest.mark.parametrize(
    ("n", "floor", "expected"), [(1, 0.03, 0.25), (2, 0.03, 1 / 9), (9, 0.03, 0.03), (9, 1e-9, 0.01), (400, 1e-9, 1e-4)]
)
def test_the_smallest_bandwidth_falls_with_the_number_of_data(n: int, floor: float, expected: float) -> None:
    data = np.full((n, 1), 1 - 1e-12)
    found = mixture(columns_of(ConfigurationSpace({"x": (0.0, 1.0)})), data, np.ones(n), prior_weight=1.0, floor=floor, mutations=MANY)
    assert found.bandwidths[1:-1] == pytest.approx(np.full((max(0, n - 2), 1), expected))
    assert found.bandwidths.min() == pytest.approx(expected if n > 1 else 1.0)


def test_ends_ties_and_tiny_bandwidths_stay_finite_and_right() -> None:
    space = ConfigurationSpace({"x": (0.0, 1.0), "y": (0.0, 1.0)})
    data: list[Config] = [{"x": 0.0, "y": 0.5}, {"x": 1.0, "y": 0.5}]
    data *= 60
    found = fitted(space, data, floor=1e-9)
    assert found.bandwidths.min() == 1e-4
    plain = Plain(space, data, [1.0] * 120, prior_weight=1.0, floor=1e-9, mutations=MANY)
    points: list[Config] = [{"x": x, "y": y} for x in (0.0, 5e-5, 0.3, 1.0) for y in (0.0, 0.5, 0.5003, 1.0)]
    got = log_density(found, points_of(space, points))
    assert got == pytest.approx([plain.log_density(p) for p in points], abs=1e-6)


def test_weights_by_hand() -> None:
    """Only their ratios count; a weight of nothing takes a datum away, but for its part in the bandwidths."""
    space = finite()
    data = sampled(space, 6)
    points = points_of(space, all_configs(space))
    weights = [1.0, 2.0, 0.0, 0.5, 3.0, 1.5]
    one = log_density(fitted(space, data, weights=weights, prior_weight=0.5), points)
    ten = log_density(fitted(space, data, weights=[10 * w for w in weights], prior_weight=5.0), points)
    assert one == pytest.approx(ten)
    parts = [fitted(space, data, weights=np.eye(6)[n].tolist(), prior_weight=1e-300) for n in range(6)]
    prior = log_density(fitted(space, []), points)
    expected = [w * np.exp(log_density(part, points)) for w, part in zip(weights, parts, strict=True)]
    assert np.exp(one) == pytest.approx((sum(expected) + 0.5 * np.exp(prior)) / 8.5, rel=1e-9)


def test_without_a_prior_component_the_kernels_are_all() -> None:
    space = ConfigurationSpace({"x": (0.0, 1.0)})
    found = fitted(space, [{"x": 0.5}], prior_weight=0.0)
    x = np.array([[0.1], [0.5], [0.9]])
    assert log_density(found, x) == pytest.approx(stats.truncnorm(-1, 1, loc=0.5, scale=0.5).logpdf(x[:, 0]))
    assert found.draw(np.random.default_rng(0), 50).shape == (50, 1)


def test_features_by_hand() -> None:
    """A number's square, itself and one; then a one for the cell, then for the level; nothing for what does not exist."""
    space = ConfigurationSpace()
    space.add(Float("a", (0.0, 1.0)), Integer("b", (1, 2)), OrdinalHyperparameter("c", ["s", "m", "l"]), Categorical("d", ["x", "y"]))
    assert Encoding(space).names == ("a", "b", "c", "d")
    columns = columns_of(space)
    rows = columns.features(np.array([[0.5, 0.5, 0.1, 1.0], [NAN, 0.25, 1.0, NAN], [1.0, NAN, NAN, 0.0], [NAN] * 4]))
    assert rows.tolist() == [
        [0.25, 0.5, 1.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 1.0],
        [0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0],
        [1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0],
        [0.0] * 10,
    ]
    assert columns.prior == pytest.approx(np.log([1, 1, 1, 0.5, 0.5, 1 / 3, 1 / 3, 1 / 3, 0.5, 0.5]))


@pytest.mark.parametrize("name", SPACES)
def test_features_of_what_does_not_exist_are_zero(name: str) -> None:
    space = SPACES[name]()
    columns = columns_of(space)
    points = points_of(space, sampled(space, 100))
    there = ~np.isnan(points)
    rows = columns.features(points)
    ones = there[:, columns.celled].sum(axis=1) + there[:, columns.levelled].sum(axis=1)
    k = len(columns.numbers)
    assert (rows[:, 3 * k :].sum(axis=1) == ones).all()
    assert (rows[:, 2 * k : 3 * k] == there[:, columns.numbers]).all()
    assert (rows[:, : 2 * k][~np.tile(there[:, columns.numbers], 2)] == 0).all()


def test_log_sum_exp_by_hand() -> None:
    rows = np.log(np.array([[1.0, 2.0, 3.0], [0.5, 0.25, 0.25]]))
    assert log_sum_exp(rows) == pytest.approx([math.log(6), 0.0], abs=1e-12)
    assert log_sum_exp(rows - 5000) == pytest.approx([math.log(6) - 5000, -5000.0])
    assert log_sum_exp(np.array([[-np.inf, 2.0]])) == pytest.approx([2.0])
