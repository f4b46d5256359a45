"""The density beside statsmodels, which is HpBandSter's, and by its own laws."""

import itertools
import warnings
from typing import Any

import numpy as np
import pytest
from scipy import stats

from bohb_nas.samplers import kde

LEVELS = np.array([0, 3, 0, 4, 2])
VAR_TYPE = "cucuu"


def mixed_data(n: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    data = np.where(LEVELS > 0, rng.integers(np.maximum(LEVELS, 1), size=(n, len(LEVELS))), rng.random((n, len(LEVELS))))
    data[:4, 1:2] = [[0], [1], [2], [0]]  # statsmodels counts levels in the data: show it all of them
    data[:4, 3:] = [[0, 0], [1, 1], [2, 0], [3, 1]]
    return data


def grid(*levels: int) -> np.ndarray:
    return np.array(list(itertools.product(*map(range, levels))), dtype=float)


def statsmodels_kde(data: np.ndarray, bw: str | np.ndarray) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it announces a change of its random numbers, of which none are drawn here
        return pytest.importorskip("statsmodels.nonparametric.kernel_density").KDEMultivariate(data, VAR_TYPE, bw=bw)


def test_bandwidths_are_those_of_statsmodels() -> None:
    data = mixed_data(30)
    assert kde.normal_reference(data) == pytest.approx(statsmodels_kde(data, bw="normal_reference").bw, rel=1e-12)


def test_bandwidths_of_more_dimensions_than_columns_by_hand() -> None:
    """HpBandSter counts hyperparameters without a choice; 32 data of standard deviation 1 in 1 + 4 dimensions, and in 6 + 4."""
    data = np.repeat([[0.0], [2.0]], 16, axis=0)
    assert kde.normal_reference(data) == pytest.approx([1.06 / 2])
    assert kde.normal_reference(data, d=6) == pytest.approx([1.06 / np.sqrt(2)])


@pytest.mark.parametrize(("bandwidth", "expected"), [(0.5, [0.5, np.inf]), (0.0, [1.0, np.nan])])
def test_where_one_level_alone_was_seen_hpbandster_divides_by_zero(bandwidth: float, expected: list[float]) -> None:
    found = kde.hpbandster_density(np.array([[1.0], [0.0]]), np.ones((2, 1)), np.array([bandwidth]), np.array([3]))
    assert found == pytest.approx(expected, nan_ok=True)


@pytest.mark.parametrize("density", ["log", "hpbandster"])
def test_densities_are_those_of_statsmodels(density: str) -> None:
    data, points = mixed_data(30), mixed_data(50, seed=1)
    bandwidths = np.array([0.2, 0.5, 1e-3, 0.7, 0.45])
    found = (
        np.exp(kde.log_density(points, data, bandwidths, LEVELS))
        if density == "log"
        else kde.hpbandster_density(points, data, bandwidths, LEVELS)
    )
    expected = statsmodels_kde(data, bandwidths).pdf(points)
    assert (expected > 0).any()
    assert found == pytest.approx(expected, rel=1e-6, abs=1e-300)


def test_negative_densities_of_statsmodels_are_kept_for_comparison() -> None:
    data, points = mixed_data(30), mixed_data(50, seed=1)
    bandwidths = np.array([0.05, 1.3, 0.05, 1.1, 0.9])
    expected = statsmodels_kde(data, bandwidths).pdf(points)
    assert (expected < 0).any()
    assert kde.hpbandster_density(points, data, bandwidths, LEVELS) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("levels", [(3,), (2, 4), (3, 2, 5)])
def test_finite_space_sums_to_one(levels: tuple[int, ...]) -> None:
    rng = np.random.default_rng(2)
    data = rng.integers(levels, size=(7, len(levels))).astype(float)
    bandwidths = kde.clip(rng.random(len(levels)) * 2, np.array(levels), smallest=1e-3)
    assert np.exp(kde.log_density(grid(*levels), data, bandwidths, np.array(levels))).sum() == pytest.approx(1, rel=1e-12)


def test_mixed_density_integrates_to_one() -> None:
    data = np.array([[0.2, 0], [0.9, 2], [0.5, 2]])
    x = np.linspace(-1, 2, 6001)
    masses = []
    for level in range(3):
        points = np.column_stack([x, np.full(len(x), level)])
        masses.append(np.trapezoid(np.exp(kde.log_density(points, data, np.array([0.05, 0.4]), np.array([0, 3]))), x))
    assert sum(masses) == pytest.approx(1, rel=1e-9)


def test_one_datum_by_hand() -> None:
    found = kde.log_density(np.array([[0.7, 1], [0.7, 0]]), np.array([[0.5, 1]]), np.array([0.1, 0.3]), np.array([0, 4]))
    gaussian = np.exp(-2) / (0.1 * np.sqrt(2 * np.pi))  # two bandwidths away
    assert np.exp(found) == pytest.approx([gaussian * 0.7, gaussian * 0.1])


@pytest.mark.parametrize("seed", range(20))
def test_an_observed_level_is_never_less_likely_than_an_unseen_one(seed: int) -> None:
    """On 10 x 7 categoricals with 40 data HpBandSter's bandwidths are 1.3 to 2.1, and half of its densities negative."""
    rng = np.random.default_rng(seed)
    levels = np.full(10, 7)
    data = rng.integers(6, size=(40, 10)).astype(float)  # level 6 is never seen
    raw = kde.normal_reference(data)
    assert (raw > 6 / 7).any()
    bandwidths = kde.clip(raw, levels, smallest=1e-3)
    assert (bandwidths <= 6 / 7).all()
    for j in range(10):
        unseen = data.copy()
        unseen[:, j] = 6
        difference = kde.log_density(data, data, bandwidths, levels) - kde.log_density(unseen, data, bandwidths, levels)
        assert (difference >= -1e-9).all()


@pytest.mark.parametrize("n_levels", [2, 4])
def test_the_limit_makes_all_levels_equal(n_levels: int) -> None:
    levels = np.array([n_levels])
    bandwidths = kde.clip(np.array([2.0]), levels, smallest=1e-3)
    assert bandwidths == [1 - 1 / n_levels]
    assert np.exp(kde.log_density(grid(n_levels), np.zeros((5, 1)), bandwidths, levels)) == pytest.approx([1 / n_levels] * n_levels)


def test_a_constant_column_keeps_the_smallest_bandwidth() -> None:
    data = np.column_stack([np.full(9, 0.3), np.ones(9)])
    assert kde.clip(kde.normal_reference(data), np.array([0, 3]), smallest=1e-3).tolist() == [1e-3, 1e-3]


def test_far_points_keep_a_finite_log_density() -> None:
    data = np.zeros((4, 30))
    found = kde.log_density(np.ones((1, 30)), data, np.full(30, 1e-3), np.zeros(30, dtype=int))
    assert found == pytest.approx([30 * stats.norm.logpdf(1000) + 30 * np.log(1000)], rel=1e-9)


def test_candidates_follow_the_truncated_normal() -> None:
    drawn = kde.draw(np.random.default_rng(0), np.array([[0.1]]), np.array([0.2]), np.array([0]), n=2000, widen=3.0)[:, 0]
    expected = stats.truncnorm(-0.1 / 0.6, 0.9 / 0.6, loc=0.1, scale=0.6)
    assert stats.kstest(drawn, expected.cdf).pvalue > 0.01


def test_candidates_of_two_levels_have_one_of_them() -> None:
    drawn = kde.draw(np.random.default_rng(0), np.array([[1.0]]), np.array([0.5]), np.array([2]), n=100, widen=3.0)
    assert set(drawn[:, 0]) == {0.0, 1.0}


def test_the_least_quantile_is_the_end_however_far_it_lies() -> None:
    assert kde.normal(np.array([0.0]), np.array([0.5]), np.array([1e-3])) == [0.0]


def test_candidates_keep_their_level_as_often_as_they_should() -> None:
    drawn = kde.draw(np.random.default_rng(0), np.array([[2.0]]), np.array([0.6]), np.array([4]), n=4000, widen=3.0)[:, 0]
    counts = np.bincount(drawn.astype(int), minlength=4)
    assert stats.chisquare(counts, 4000 * np.array([0.15, 0.15, 0.55, 0.15])).pvalue > 0.01  # 0.4 kept, and a quarter of 0.6


def test_imputation_takes_values_of_the_same_column_and_set() -> None:
    nan = np.nan
    data = np.array([[nan, 0.1, 2.0], [0.7, nan, nan], [0.8, 0.2, 1.0], [nan, nan, 0.0]])
    filled = kde.impute(np.random.default_rng(0), data, np.array([0, 0, 3]))
    observed = ~np.isnan(data)
    assert (filled[observed] == data[observed]).all()
    for j in range(3):
        assert set(filled[:, j]) <= set(data[observed[:, j], j])


def test_imputation_covers_a_row_whose_only_gap_is_column_0() -> None:
    filled = kde.impute(np.random.default_rng(0), np.array([[np.nan, 0.5], [0.25, 0.75]]), np.array([0, 0]))
    assert filled.tolist() == [[0.25, 0.5], [0.25, 0.75]]


def test_the_next_donor_fills_what_is_left_alone() -> None:
    nan = np.nan
    data = np.array([[0.1, nan, 0.1], [nan, 0.9, 0.9], [nan, nan, nan]])
    filled = kde.impute(np.random.default_rng(0), data, np.array([0, 0, 0]))
    assert filled.tolist() == [[0.1, 0.9, 0.1], [0.1, 0.9, 0.9], [0.1, 0.9, 0.1]]


def test_what_was_filled_is_no_donor() -> None:
    """It has nothing of its own to give, and a gap would stay."""
    whole, gaps = np.array([[0.1, 0.2]]), [[np.nan, np.nan]] * 20 + [[0.3, np.nan]] * 20
    filled = kde.impute(np.random.default_rng(0), np.vstack([whole, gaps]), np.array([0, 0]))
    assert (filled[:, 1] == 0.2).all()


def test_one_donor_fills_all_the_gaps_that_it_can() -> None:
    pairs = np.column_stack([np.arange(1, 9) / 10] * 2)
    data = np.vstack([pairs, np.full((50, 2), np.nan)])
    filled = kde.impute(np.random.default_rng(0), data, np.array([0, 0]))
    assert (filled[:, 0] == filled[:, 1]).all()
    assert len(set(filled[8:, 0])) == 8


def test_a_column_that_nobody_has_is_filled_uniformly() -> None:
    filled = kde.impute(np.random.default_rng(0), np.full((3000, 2), np.nan), np.array([0, 5]))
    assert stats.kstest(filled[:, 0], "uniform").pvalue > 0.01
    assert set(filled[:, 1]) == {0.0, 1.0, 2.0, 3.0, 4.0}
    assert stats.chisquare(np.bincount(filled[:, 1].astype(int), minlength=5)).pvalue > 0.01
