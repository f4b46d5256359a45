"""Draws follow the density, and are to the bit what their configurations are."""

import numpy as np
import pytest
from ConfigSpace import (
    Categorical,
    ConfigurationSpace,
)
from ConfigSpace.hyperparameters import FloatHyperparameter
from density_fakes import MANY, NAN, SPACES, columns_of, fitted, log_density, sampled
from scipy import stats
from space_fakes import all_configs, allowed, everything, finite, points_of

from bohb_nas import refs
from bohb_nas.samplers.density import mixture, neighbour_gaps
from bohb_nas.space.axes import Axes
from bohb_nas.space.encoding import Encoding


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
    drawn = drawn[allowed(encoding, axes.rows(drawn))]
    again = axes.points(encoding.encode([encoding.decode(row) for row in axes.rows(drawn)]))
    cells_and_levels = np.concatenate([found.columns.celled, found.columns.levelled])
    assert len(cells_and_levels)
    assert drawn[:, cells_and_levels].tobytes() == again[:, cells_and_levels].tobytes()
    floats = [j for j in range(len(encoding.names)) if isinstance(encoding.hyperparameter(j), FloatHyperparameter)]
    assert drawn[:, floats] == pytest.approx(again[:, floats], abs=1e-9, nan_ok=True)


def test_a_draw_depends_on_the_generator_alone() -> None:
    space = everything()
    found = fitted(space, sampled(space, 20))
    first, second, other = (found.draw(np.random.default_rng(seed), 48) for seed in (1, 1, 2))
    assert (first == second).all()
    assert not (first == other).all()
