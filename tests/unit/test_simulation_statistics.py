"""The statistics, against Demšar 2006, statsmodels, scipy and examples worked out by hand."""

import itertools
import math

import numpy as np
import pytest
from scipy import integrate, stats
from statsmodels.stats.multitest import multipletests

from bohb_nas.simulation import statistics

# Demšar 2006, table 6: AUC of C4.5, C4.5+m, C4.5+cf and C4.5+m+cf on 14 data sets (the tie of `voting` broken as there)
AUC = np.array(
    [
        [0.763, 0.599, 0.954, 0.628, 0.882, 0.936, 0.661, 0.583, 0.775, 1.000, 0.940, 0.619, 0.972, 0.957],
        [0.768, 0.591, 0.971, 0.661, 0.888, 0.931, 0.668, 0.583, 0.838, 1.000, 0.962, 0.666, 0.981, 0.978],
        [0.771, 0.590, 0.968, 0.654, 0.886, 0.916, 0.609, 0.563, 0.866, 1.000, 0.965, 0.614, 0.975, 0.946],
        [0.798, 0.569, 0.967, 0.657, 0.898, 0.931, 0.685, 0.625, 0.875, 1.000, 0.962, 0.669, 0.9749, 0.970],
    ]
)


def test_mean_ranks_are_those_of_the_paper() -> None:
    assert statistics.ranks(1 - AUC).mean(axis=1) == pytest.approx([3.143, 2.000, 2.893, 1.964], abs=5e-4)


def test_friedmans_statistic_is_that_of_the_paper_corrected_for_ties() -> None:
    # 9.28 in the paper, which divides by nothing; ties of 2, 2, 4 and 2 make 1 - (3 * 6 + 60) / (14 * 4 * 15)
    statistic, p = statistics.friedman(1 - AUC)
    assert statistic == pytest.approx(9.28 / (1 - 78 / 840), abs=0.01)
    assert p == pytest.approx(stats.chi2.sf(statistic, 3))


@pytest.mark.parametrize(
    ("methods", "problems", "expected"),
    [(4, 14, 1.25), (7, 20, 2.01), (2, 100, 1.960 / math.sqrt(100))],
)
def test_critical_differences(methods: int, problems: int, expected: float) -> None:
    # the first in the paper; the second by its table 5, q = 2.949; two methods: the normal quantile, sqrt(2 * 3 / 600) = 1/10
    assert statistics.critical_difference(methods, problems) == pytest.approx(expected, abs=5e-3)


def test_groups_that_are_not_told_apart_are_those_of_the_paper() -> None:
    # at alpha .10 C4.5 is worse than C4.5+m and C4.5+m+cf, and C4.5+cf belongs to both groups; at .05 nobody is told apart
    mean_ranks = [3.143, 2.000, 2.893, 1.964]
    assert statistics.cliques(mean_ranks, 1.12) == [(3, 1, 2), (2, 0)]
    assert statistics.cliques(mean_ranks, 1.25) == [(3, 1, 2, 0)]
    assert statistics.cliques(mean_ranks, 0.01) == []


def test_wilcoxon_agrees_with_the_paper_that_c45_m_is_better() -> None:
    # p. 8 of the paper: min(R+, R-) = 12 with 14 data sets, critical value 21 at alpha .05
    assert statistics.wilcoxon(AUC[1] - AUC[0]) < 0.05
    assert statistics.wilcoxon(AUC[1] - AUC[0], alternative="less") > 0.95


def test_wilcoxon_of_no_difference_and_of_nothing() -> None:
    assert statistics.wilcoxon([0.0, 0.0, 0.0]) == 1.0
    assert math.isnan(statistics.wilcoxon([math.nan]))
    assert statistics.wilcoxon([0.1, math.nan, 0.2, 0.3, 0.4, 0.5]) == 2 / 2**5


@pytest.mark.parametrize("signs", [(1, 1, 1, 1), (-1, 1, 1, 1, 1), (1, -1, 1, 1, 1, 1, 1, 1), (-1, -1, 1, 1, 1, 1, 1)])
@pytest.mark.parametrize("step", [0.0, 0.01])
def test_wilcoxon_is_exact_for_the_few_pairs_of_many_that_differ(signs: tuple[int, ...], step: float) -> None:
    d = [sign * (0.1 + step * k) for k, sign in enumerate(signs)]
    ranks = stats.rankdata(np.abs(d))
    sums = [np.dot(other, ranks) for other in itertools.product([-1, 1], repeat=len(d))]
    assert statistics.wilcoxon([0.0] * 16 + d) == pytest.approx(np.mean(np.abs(sums) >= abs(np.dot(signs, ranks)) - 1e-9))
    assert statistics.wilcoxon([0.0] * 16 + d, alternative="greater") == pytest.approx(np.mean(sums >= np.dot(signs, ranks) - 1e-9))


def test_wilcoxon_of_many_pairs_is_that_of_a_normal_distribution() -> None:
    # 60 pairs, the ranks 1 … 20 above and 21 … 60 below: their sum of 210 has a mean of n (n + 1) / 4 and this variance
    d = np.concatenate([np.arange(1.0, 21.0), -np.arange(21.0, 61.0)])
    below = stats.norm.cdf((210 - 60 * 61 / 4) / math.sqrt(60 * 61 * 121 / 24))
    found = [statistics.wilcoxon(d), statistics.wilcoxon(d, alternative="less"), statistics.wilcoxon(d, alternative="greater")]
    assert found == pytest.approx([2 * below, below, 1 - below], rel=1e-6)


def test_rank_biserial_is_the_difference_of_the_sums_of_ranks() -> None:
    # |d| has the ranks 1, 2.5, 2.5 and 4: (1 + 2.5) above, (2.5 + 4) below, of 10; their mean is above 0
    assert statistics.rank_biserial([0.1, 0.2, -0.2, -0.25, 0.0]) == pytest.approx((3.5 - 6.5) / 10)
    assert statistics.rank_biserial([1.0, -0.1, -0.2, -0.3]) == pytest.approx((4 - 6) / 10)
    assert statistics.rank_biserial([0.0, 0.1 + 0.2 - 0.3]) == 0.0
    assert math.isnan(statistics.rank_biserial([math.nan]))


def test_differences_that_rounding_makes_are_none() -> None:
    assert statistics.wilcoxon([0.1 + 0.2 - 0.3] * 5) == 1.0
    # ranks -1.5, 1.5 and 3: of all eight signs six give a sum of 3 or more on either side; 0.3 - 0.2 < 0.2 - 0.1 would give four
    assert statistics.wilcoxon([0.2 - 0.3, 0.2 - 0.1, 0.5]) == 6 / 8
    assert statistics.differing([0.1 + 0.2 - 0.3, math.nan, 0.0, -0.25]).tolist() == [-0.25]


@pytest.mark.parametrize("n", [1, 3, 5, 9])
def test_the_smallest_p_is_that_of_n_wins(n: int) -> None:
    wins = -np.arange(1.0, n + 1)
    assert statistics.smallest_p(n, alternative="two-sided") == pytest.approx(statistics.wilcoxon(wins))
    assert statistics.smallest_p(n, alternative="less") == pytest.approx(statistics.wilcoxon(wins, alternative="less"))


def test_holm_agrees_with_statsmodels() -> None:
    p = np.random.default_rng(0).beta(0.3, 2.0, size=25)
    assert statistics.holm(p) == pytest.approx(multipletests(p, method="holm")[1])


def test_holm_leaves_out_what_is_not_known() -> None:
    # by hand: 0.01 * 3, then max(0.03, 0.04 * 2), then max(0.08, 0.06)
    assert statistics.holm([0.04, math.nan, 0.01, 0.06]) == pytest.approx([0.08, math.nan, 0.03, 0.08], nan_ok=True)


def test_normalised_regret() -> None:
    assert statistics.normalised_regret([1.0, 2.0, 3.0, 7.0], best=2.0, median=4.0).tolist() == [0.0, 0.0, 0.5, 2.5]


def test_value_of_a_step_function() -> None:
    times, values = [1.0, 3.0], [0.5, 0.2]
    assert statistics.value_at(times, values, [0.0, 0.99, 1.0, 2.0, 3.0, 9.0]).tolist() == [1.0, 1.0, 0.5, 0.5, 0.2, 0.2]
    assert statistics.value_at([], [], [5.0]).tolist() == [1.0]


def test_area_over_log_time_agrees_with_an_integral() -> None:
    times, values = [0.5, 2.0, 7.0, 30.0], [0.9, 0.5, 0.6, 0.1]
    area, _ = integrate.quad(
        lambda u: float(statistics.value_at(times, values, [math.exp(u)])[0]), 0, math.log(20), points=[math.log(2), math.log(7)]
    )
    assert statistics.area_over_log_time(times, values, end=20) == pytest.approx(area / math.log(20))
    assert statistics.area_over_log_time([], [], end=20) == 1.0
    assert math.isnan(statistics.area_over_log_time(times, values, end=1))


def test_time_to_reach() -> None:
    assert statistics.time_to_reach([1.0, 2.0, 3.0], [0.5, 0.3, 0.4], 0.4) == 2.0
    assert statistics.time_to_reach([1.0], [0.5], 0.4) == math.inf
    assert statistics.time_to_reach([], [], 0.4) == math.inf


def test_ranks_are_missing_where_a_method_is() -> None:
    scores = [[0.1, 0.3, 0.2], [0.2, math.nan, 0.2]]
    assert statistics.ranks(scores) == pytest.approx(np.array([[1, math.nan, 1.5], [2, math.nan, 1.5]]), nan_ok=True)


def test_ratio_is_a_geometric_mean() -> None:
    # (.09 + .01) / (.19 + .01) = 1/2 and (.39 + .01) / (.19 + .01) = 2
    assert statistics.ratio([0.09, 0.39], [0.19, 0.19]) == pytest.approx(1.0)
    assert statistics.ratio([0.09, math.nan], [0.19, 0.19]) == pytest.approx(0.5)
    assert math.isnan(statistics.ratio([math.nan], [0.1]))


def test_bootstrap_of_a_mean_is_near_the_t_interval() -> None:
    sample = np.random.default_rng(3).normal(size=200)
    low, high = stats.t.interval(0.95, 199, loc=sample.mean(), scale=stats.sem(sample))
    estimate, *limits = statistics.bootstrap_mean(sample)
    assert estimate == pytest.approx(sample.mean())
    assert limits == pytest.approx([low, high], abs=0.1 * (high - low))
    assert statistics.bootstrap_mean(sample) == (estimate, *limits), "the same values give the same interval"


def test_bootstrap_of_too_little() -> None:
    for values in ([2.0] * 20, [1.0, 2.0, 3.0], [2.0]):
        estimate, low, high = statistics.bootstrap_mean(values)
        assert (estimate, math.isnan(low), math.isnan(high)) == (2.0, True, True)
    assert math.isnan(statistics.bootstrap_mean([math.nan])[0])


@pytest.mark.parametrize("n", [7, 8])
def test_bootstrap_limits_need_eight_values(n: int) -> None:
    _, low, high = statistics.bootstrap_mean(np.arange(float(n)))
    assert [math.isnan(low), math.isnan(high)] == [n < 8] * 2


def test_too_few_for_friedman() -> None:
    assert all(map(math.isnan, statistics.friedman([[1.0, 2.0], [2.0, 1.0]])))
    assert all(map(math.isnan, statistics.friedman([[1.0], [2.0], [3.0]])))
