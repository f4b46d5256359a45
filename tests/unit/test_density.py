"""The mixture beside a plain one of scipy's truncated normals, by sums and integrals over whole spaces, and by its draws."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

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
    OrdinalHyperparameter,
)
from ConfigSpace.hyperparameters import (
    CategoricalHyperparameter,
    FloatHyperparameter,
    IntegerHyperparameter,
)
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import stats
from space_fakes import all_configs, edges_by_hand, everything, finite, points_of, spaces

from bohb_nas import refs
from bohb_nas.records import Value
from bohb_nas.samplers.density import Columns, Mixture, log_sum_exp, mixture, neighbour_gaps
from bohb_nas.space.axes import Axes
from bohb_nas.space.encoding import Encoding, Kind
from bohb_nas.space.files import load_space

Config = Mapping[str, Value]
NAN = float("nan")
MANY = 1e9
"""Mutations without a limit."""


def columns_of(space: ConfigurationSpace) -> Columns:
    return Columns(Axes(Encoding(space)).axes)


def fitted(
    space: ConfigurationSpace,
    configs: Sequence[Config],
    *,
    weights: Sequence[float] | None = None,
    prior_weight: float = 1.0,
    floor: float = 0.03,
    mutations: float = MANY,
) -> Mixture:
    weighted = np.ones(len(configs)) if weights is None else np.array(weights, dtype=float)
    data = points_of(space, configs)
    return mixture(columns_of(space), data, weighted, prior_weight=prior_weight, floor=floor, mutations=mutations)


def log_density(found: Mixture, points: np.ndarray) -> np.ndarray:
    return found.log_density(found.columns.features(points))


def sampled(space: ConfigurationSpace, n: int, *, first: int = 0) -> list[dict[str, Value]]:
    return [Encoding(space).sample(seed) for seed in range(first, first + n)]


# ---- the same density once more: one configuration, one datum and one hyperparameter at a time, from their values


def tail(z: float, w: float) -> float:
    """Standard normal mass between z and w, whose digits survive in either tail."""
    return float(stats.norm.sf(z) - stats.norm.sf(w) if z > 0 else stats.norm.cdf(w) - stats.norm.cdf(z))


@dataclass(frozen=True)
class Plain:
    """A density by the book, in loops."""

    space: ConfigurationSpace
    configs: Sequence[Config]
    weights: Sequence[float]
    prior_weight: float
    floor: float
    mutations: float

    def log_density(self, config: Config) -> float:
        names = [name for name in config if self.space[name].size > 1]
        logs = [math.log(w) + sum(self._kernel(n, name, config) for name in names) for n, w in enumerate(self.weights) if w > 0]
        logs += [math.log(self.prior_weight) + sum(self._prior(name, config[name]) for name in names)]
        return float(np.logaddexp.reduce(logs)) - math.log(sum(self.weights) + self.prior_weight)

    def _prior(self, name: str, value: Value) -> float:
        match self.space[name]:
            case CategoricalHyperparameter() as h:
                return math.log(h.probabilities[list(h.choices).index(value)])
            case FloatHyperparameter():
                return 0.0
            case _ if (cell := self._cell(name, value)) is not None:
                return math.log(cell[1] - cell[0])
            case _:
                return 0.0

    def _kernel(self, n: int, name: str, config: Config) -> float:
        value, datum = config[name], self.configs[n].get(name)
        if datum is None:
            return self._prior(name, value)
        if isinstance(self.space[name], CategoricalHyperparameter):
            e = self._exploration(name)
            return math.log(e * math.exp(self._prior(name, value)) + (1 - e if value == datum else 0))
        m, h = self._place(name, datum), self._bandwidth(n, name)
        cell = self._cell(name, value)
        if cell is None:
            return float(stats.truncnorm(-m / h, (1 - m) / h, loc=m, scale=h).logpdf(self._place(name, value)))
        return math.log(max(tail((cell[0] - m) / h, (cell[1] - m) / h) / tail(-m / h, (1 - m) / h), 1e-300))

    def _exploration(self, name: str) -> float:
        n_columns = sum(isinstance(h, CategoricalHyperparameter) and len(h.choices) > 1 for h in self.space.values())
        c, n = int(self.space[name].size), len(self.configs)
        return min(min(max(c / (c + n), 0.05), 0.8), max(self.mutations / n_columns, 0.02))

    def _bandwidth(self, n: int, name: str) -> float:
        places = [(self._place(name, config[name]), i) for i, config in enumerate(self.configs) if name in config]
        ordered = sorted(places)
        at = ordered.index((self._place(name, self.configs[n][name]), n))
        line = [0.0, *(place for place, _ in ordered), 1.0]
        gap = max(line[at + 1] - line[at], line[at + 2] - line[at + 1])
        return min(max(gap, self.floor, 1 / min(100, len(self.configs) + 1) ** 2), 1.0)

    def _cell(self, name: str, value: Value) -> tuple[float, float] | None:
        match self.space[name]:
            case IntegerHyperparameter() as h if h.upper - h.lower < 128:
                assert isinstance(value, int)
                edges = edges_by_hand(int(h.lower), int(h.upper), log=h.log)
                return edges[value - int(h.lower)], edges[value - int(h.lower) + 1]
            case OrdinalHyperparameter() as h:
                i = list(h.sequence).index(value)
                return i / len(h.sequence), (i + 1) / len(h.sequence)
            case _:
                return None

    def _place(self, name: str, value: Value) -> float:
        if (cell := self._cell(name, value)) is not None:
            return (cell[0] + cell[1]) / 2
        h: Any = self.space[name]
        assert isinstance(value, int | float)
        half = 0.5 if isinstance(h, IntegerHyperparameter) else 0.0
        if h.log:
            return math.log(value / (h.lower - half)) / math.log((h.upper + half) / (h.lower - half))
        return float((value - h.lower + half) / (h.upper - h.lower + 2 * half))


SPACES = {"everything": everything, "finite": finite} | {n: (lambda n=n: load_space(n)) for n in refs.names("space")}


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


# ---- laws


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


# ---- draws


@pytest.mark.parametrize("n", [0, 1, 12])
def test_draws_follow_the_density_on_a_finite_conditional_space(n: int) -> None:
    space = finite()
    encoding = Encoding(space)
    axes = Axes(encoding)
    found = fitted(space, sampled(space, n), weights=np.random.default_rng(1).uniform(0.2, 3, n).tolist())
    drawn = found.draw(np.random.default_rng(7), 20_000)
    assert not np.isnan(drawn).any()
    configs = all_configs(space)
    places = {tuple(config.items()): i for i, config in enumerate(configs)}
    counts = np.bincount([places[tuple(encoding.decode(row).items())] for row in axes.rows(drawn)], minlength=len(configs))
    expected = 20_000 * np.exp(log_density(found, points_of(space, configs)))
    rare = expected < 20
    assert counts[rare].sum() == pytest.approx(expected[rare].sum(), abs=4 * np.sqrt(expected[rare].sum()) + 1e-9)
    observed, wanted = counts[~rare], expected[~rare]
    assert len(wanted) > 40
    assert stats.chisquare(observed, wanted * (observed.sum() / wanted.sum())).pvalue > 0.001


@pytest.mark.parametrize("places", [[0.3], [0.0, 1.0], [0.5, 0.5, 0.5], [0.02, 0.7, 0.71, 1.0]])
def test_draws_of_a_float_follow_the_truncated_normals(places: list[float]) -> None:
    space = ConfigurationSpace({"x": (0.0, 1.0)})
    weights = np.arange(1.0, len(places) + 1)
    found = mixture(columns_of(space), np.array(places)[:, None], weights, prior_weight=0.5, floor=0.03, mutations=MANY)
    h = neighbour_gaps(np.array(places)[:, None], floor=max(0.03, 1 / (len(places) + 1) ** 2))[:, 0]
    parts = [stats.truncnorm(-m / s, (1 - m) / s, loc=m, scale=s) for m, s in zip(places, h, strict=True)]
    share = np.append(weights, 0.5) / (weights.sum() + 0.5)

    def cdf(x: np.ndarray) -> np.ndarray:
        return np.asarray(sum(w * part.cdf(x) for w, part in zip(share, [*parts, stats.uniform], strict=True)))

    drawn = found.draw(np.random.default_rng(3), 5000)[:, 0]
    assert ((drawn >= 0) & (drawn <= 1)).all()
    assert stats.kstest(drawn, cdf).pvalue > 0.001
    x = np.linspace(0.001, 0.999, 500)
    slope = np.array([(cdf(p + 1e-6) - cdf(p - 1e-6)) / 2e-6 for p in x])
    assert np.exp(log_density(found, x[:, None])) == pytest.approx(slope, rel=1e-5)


def test_a_level_of_probability_zero_is_never_drawn() -> None:
    space = ConfigurationSpace()
    space.add(Categorical("c", ["a", "b", "d"], weights=[0, 1, 0]), Categorical("e", ["a", "b", "d"], weights=[1, 0, 3]))
    columns = columns_of(space)
    names = Encoding(space).names
    c, e = names.index("c"), names.index("e")
    drawn = fitted(space, []).draw(np.random.default_rng(0), 4000)
    assert set(drawn[:, c]) == {1.0}
    assert set(drawn[:, e]) == {0.0, 2.0}
    ends = columns.fresh_levels(np.array([[0.0, 0.0], [np.nextafter(1, 0)] * 2]))
    assert ends.tolist() == ([[1.0, 0.0], [1.0, 2.0]] if c < e else [[0.0, 1.0], [2.0, 1.0]])


@pytest.mark.parametrize("name", ["finite", *refs.names("space")])
def test_a_drawn_point_is_to_the_bit_that_of_its_configuration(name: str) -> None:
    """What was tried before is known by its bytes; floats, which the configuration rounds, are left out."""
    space = SPACES[name]()
    encoding = Encoding(space)
    axes = Axes(encoding)
    found = fitted(space, sampled(space, 10))
    drawn = found.draw(np.random.default_rng(0), 300)
    drawn = np.where(axes.active(drawn), drawn, NAN)
    again = axes.points(encoding.encode([encoding.decode(row) for row in axes.rows(drawn)]))
    cells_and_levels = np.concatenate([found.columns.celled, found.columns.levelled])
    assert len(cells_and_levels)
    assert drawn[:, cells_and_levels].tobytes() == again[:, cells_and_levels].tobytes()
    floats = [j for j in range(len(encoding.names)) if encoding.kinds[j] == Kind.FLOAT]
    assert drawn[:, floats] == pytest.approx(again[:, floats], abs=1e-9, nan_ok=True)


def test_a_draw_depends_on_the_generator_alone() -> None:
    space = everything()
    found = fitted(space, sampled(space, 20))
    first, second, other = (found.draw(np.random.default_rng(seed), 48) for seed in (1, 1, 2))
    assert (first == second).all()
    assert not (first == other).all()


# ---- bandwidths


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


# ---- corners


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
    rows = columns.features(np.array([[0.5, 0.75, 0.1, 1.0], [NAN, 0.25, 1.0, NAN], [1.0, NAN, NAN, 0.0], [NAN] * 4]))
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


def test_log_sum_exp_by_hand() -> None:
    rows = np.log(np.array([[1.0, 2.0, 3.0], [0.5, 0.25, 0.25]]))
    assert log_sum_exp(rows) == pytest.approx([math.log(6), 0.0], abs=1e-12)
    assert log_sum_exp(rows - 5000) == pytest.approx([math.log(6) - 5000, -5000.0])
    assert log_sum_exp(np.array([[-np.inf, 2.0]])) == pytest.approx([2.0])
