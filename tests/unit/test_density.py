"""The mixture beside a plain one of scipy's truncated normals, and by sums and integrals over whole spaces."""

import math

import numpy as np
import pytest
from ConfigSpace import (
    Categorical,
    ConfigurationSpace,
    EqualsCondition,
    Float,
    GreaterThanCondition,
    Integer,
    LessThanCondition,
)
from density_fakes import MANY, NAN, SPACES, Config, Plain, columns_of, fitted, log_density, sampled
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from space_fakes import all_configs, edges_by_hand, everything, finite, points_of, spaces

from bohb_nas.samplers.density import mixture
from bohb_nas.space.axes import Axes
from bohb_nas.space.encoding import Encoding


@pytest.mark.parametrize("n", [0, 1, 2, 5, 40])
@pytest.mark.parametrize("name", SPACES)
def test_densities_are_those_of_a_plain_mixture(name: str, n: int) -> None:
    space = SPACES[name]()
    data, others = sampled(space, n), sampled(space, 12, first=1000)
    weights = np.random.default_rng(n).uniform(0.1, 3, size=n).tolist()
    plain = Plain(space, data, weights, prior_weight=0.7, floor=0.03, mutations=4.0)
    found = fitted(space, data, weights=weights, prior_weight=0.7, floor=0.03, mutations=4.0)
    configs = [*data[:3], *others]
    assert log_density(found, points_of(space, configs)) == pytest.approx([plain.log_density(c) for c in configs], rel=1e-7, abs=1e-7)


@settings(deadline=None, derandomize=True, database=None)
@given(spaces(), st.integers(0, 12), st.integers(0, 10_000), st.sampled_from([0.03, 0.3, 1e-3]), st.sampled_from([0.5, 4.0, MANY]))
def test_densities_are_those_of_a_plain_mixture_on_any_space(
    space: ConfigurationSpace, n: int, seed: int, floor: float, mutations: float
) -> None:
    data, others = sampled(space, n, first=seed), sampled(space, 5, first=seed + 50)
    weights = np.random.default_rng(seed).uniform(0, 3, size=n).tolist()
    plain = Plain(space, data, weights, prior_weight=1.0, floor=floor, mutations=mutations)
    found = fitted(space, data, weights=weights, floor=floor, mutations=mutations)
    configs = [*data, *others]
    assert log_density(found, points_of(space, configs)) == pytest.approx([plain.log_density(c) for c in configs], rel=1e-6, abs=1e-6)


@pytest.mark.parametrize("mutations", [0.1, 4.0, MANY])
@pytest.mark.parametrize("n", [0, 1, 2, 10, 60])
def test_a_finite_conditional_space_sums_to_one(n: int, mutations: float) -> None:
    space = finite()
    everyone = points_of(space, all_configs(space))
    assert len(everyone) == 8 + 3 * 8 + 3 * (3 + 1 + 6 + 18)  # of skip, pool and conv
    assert np.isnan(everyone).any(axis=1).mean() > 0.5
    found = fitted(space, sampled(space, n), weights=np.random.default_rng(n).random(n).tolist(), mutations=mutations)
    assert np.exp(log_density(found, everyone)).sum() == pytest.approx(1, rel=1e-12)


@settings(deadline=None, derandomize=True, database=None)
@given(spaces(continuous=False), st.integers(0, 8), st.integers(0, 10_000))
def test_any_finite_space_sums_to_one(space: ConfigurationSpace, n: int, seed: int) -> None:
    columns = columns_of(space)
    assume(np.prod([*columns.n_levels, *(len(a.edges) - 1 for a in Axes(Encoding(space)).axes if a.edges is not None)]) < 2000)
    found = fitted(space, sampled(space, n, first=seed), floor=[1e-3, 0.03, 0.5][seed % 3])
    assert np.exp(log_density(found, points_of(space, all_configs(space)))).sum() == pytest.approx(1, rel=1e-11)


def test_prior_alone_is_as_likely_as_the_space_says() -> None:
    """Of `finite`: op 6:3:1; depth log(v + 1/2) - log(v - 1/2) over log 9; kernel, norm even; groups over log 11."""
    space = finite()
    empty = fitted(space, [])
    configs: list[Config] = [
        {"op": "skip", "depth": 3},
        {"op": "pool", "depth": 2, "kernel": 1},
        {"op": "conv", "depth": 4, "kernel": 3, "norm": "group", "groups": 1, "size": "m"},
    ]
    expected = [
        0.1 * math.log(3.5 / 2.5) / math.log(9),
        0.3 * math.log(2.5 / 1.5) / math.log(9) / 3,
        0.6 * math.log(4.5 / 3.5) / math.log(9) / 3 / 2 * (math.log(3) / math.log(11)) / 3,
    ]
    assert np.exp(log_density(empty, points_of(space, configs))) == pytest.approx(expected, rel=1e-12)


def mixed() -> ConfigurationSpace:
    """Floats under a level, under a number and under a cell."""
    space = ConfigurationSpace()
    op, x, y, z = Categorical("op", ["a", "b"], weights=[3, 1]), *(Float(name, (0.0, 1.0)) for name in "xyz")
    depth = Integer("depth", (1, 3), log=True)
    space.add(op, x, y, z, depth)
    space.add(EqualsCondition(y, op, "b"), GreaterThanCondition(depth, x, 0.4), LessThanCondition(z, depth, 2))
    return space


def on(low: float, high: float, n: int = 120) -> tuple[np.ndarray, np.ndarray]:
    """Points and weights of Gauss and Legendre."""
    x, w = np.polynomial.legendre.leggauss(n)
    return (low + high) / 2 + x * (high - low) / 2, w * (high - low) / 2


@pytest.mark.parametrize("n", [0, 1, 4, 25])
def test_a_mixed_conditional_space_integrates_to_one(n: int) -> None:
    """By the branches of op, x and depth; on each the floats that exist are integrated."""
    space = mixed()
    found = fitted(space, sampled(space, n), floor=0.05)
    names = Encoding(space).names
    total = 0.0
    n_branches = 0
    for op in (0.0, 1.0):
        for low, high, depths in ((0.0, 0.4, [None]), (0.4, 1.0, [1, 2, 3])):
            for depth in depths:
                floats = {"x": on(low, high)} | ({"y": on(0, 1)} if op else {}) | ({"z": on(0, 1)} if depth == 1 else {})
                grid = np.meshgrid(*(nodes for nodes, _ in floats.values()), indexing="ij")
                weights = math.prod(np.meshgrid(*(w for _, w in floats.values()), indexing="ij"), start=np.ones(()))
                if grid[0].size > 2e5:  # three floats: one of the grids is coarser
                    floats["y"] = on(0, 1, 40)
                    floats["z"] = on(0, 1, 40)
                    grid = np.meshgrid(*(nodes for nodes, _ in floats.values()), indexing="ij")
                    weights = math.prod(np.meshgrid(*(w for _, w in floats.values()), indexing="ij"), start=np.ones(()))
                points = np.full((grid[0].size, len(names)), NAN)
                for name, nodes in zip(floats, grid, strict=True):
                    points[:, names.index(name)] = nodes.ravel()
                points[:, names.index("op")] = op
                if depth is not None:
                    edges = edges_by_hand(1, 3, log=True)
                    points[:, names.index("depth")] = (edges[depth - 1] + edges[depth]) / 2
                total += float(np.exp(log_density(found, points)) @ weights.ravel())
                n_branches += 1
    assert n_branches == 8
    assert total == pytest.approx(1, rel=1e-6)


def test_what_a_datum_lacks_is_as_likely_as_beforehand() -> None:
    """One datum without `slope`; beside it the prior component, of the same weight."""
    space = ConfigurationSpace()
    act, slope = Categorical("act", ["relu", "leaky"], weights=[1, 3]), Float("slope", (0.0, 1.0))
    space.add(act, slope)
    space.add(EqualsCondition(slope, act, "leaky"))
    found = fitted(space, [{"act": "relu"}])
    configs: list[Config] = [{"act": "relu"}, {"act": "leaky", "slope": 0.1}, {"act": "leaky", "slope": 0.9}]
    e = 2 / 3  # two levels, one datum
    relu = (0.25 + (1 - e) + e * 0.25) / 2
    assert np.exp(log_density(found, points_of(space, configs))) == pytest.approx([relu, 1 - relu, 1 - relu], rel=1e-12)


def test_an_observed_level_is_never_less_likely_than_an_unseen_one() -> None:
    """On ten categoricals with seven even levels, of which the last is never seen."""
    space = ConfigurationSpace({f"c{j}": [*"abcdefg"] for j in range(10)})
    for seed in range(10):
        data = np.random.default_rng(seed).integers(6, size=(40, 10)).astype(float)
        found = mixture(columns_of(space), data, np.ones(40), prior_weight=1.0, floor=0.03, mutations=MANY)
        for j in range(10):
            unseen = data.copy()
            unseen[:, j] = 6
            assert (log_density(found, data) >= log_density(found, unseen)).all()


@pytest.mark.parametrize("n", [1, 3, 100])
def test_observing_a_weighted_level_never_makes_it_less_likely(n: int) -> None:
    space = ConfigurationSpace()
    space.add(Categorical("c", ["a", "b", "d", "never"], weights=[90, 9, 1, 0]))
    before, after = fitted(space, []), fitted(space, [{"c": "d"}] * n)
    points = np.arange(4.0)[:, None]
    gain = log_density(after, points) - log_density(before, points)
    assert gain[2] > 0 > gain[0]
    assert gain[0] == pytest.approx(gain[1])
    e = min(max(4 / (4 + n), 0.05), 0.8)
    expected = [(0.9 + n * e * 0.9) / (n + 1), (0.09 + n * e * 0.09) / (n + 1), (0.01 + n * (1 - e + e * 0.01)) / (n + 1)]
    assert np.exp(log_density(after, points))[:3] == pytest.approx(expected)
    assert np.exp(log_density(after, points))[3] < 1e-200


def test_a_space_without_a_choice_and_no_points() -> None:
    columns = columns_of(ConfigurationSpace({"only": ["x"]}))
    found = mixture(columns, np.empty((3, 0)), np.ones(3), prior_weight=1.0, floor=0.03, mutations=MANY)
    assert log_density(found, np.empty((2, 0))) == pytest.approx([0.0, 0.0])
    assert found.draw(np.random.default_rng(0), 5).shape == (5, 0)
    several = fitted(everything(), sampled(everything(), 3))
    assert several.draw(np.random.default_rng(0), 0).shape == (0, several.columns.d)
    assert log_density(several, np.empty((0, several.columns.d))).shape == (0,)


def test_what_is_given_is_left_alone() -> None:
    space = finite()
    data, weights = points_of(space, sampled(space, 8)), np.arange(1.0, 9.0)
    before, weighed = data.copy(), weights.copy()
    found = mixture(columns_of(space), data, weights, prior_weight=1.0, floor=0.03, mutations=4.0)
    log_density(found, data)
    found.draw(np.random.default_rng(0), 50)
    assert np.array_equal(data, before, equal_nan=True)
    assert (weights == weighed).all()
