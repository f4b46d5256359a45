"""The model's picks against random ones: figures by hand, by another library, and by simulation."""

import numpy as np
import pytest
from statsmodels.stats.nonparametric import rank_compare_2indep

from bohb_nas.analysis.model import interval, picks, superiority
from bohb_nas.analysis.observations import Observations
from bohb_nas.records import Origin, median_loss


def entered(budget: float, model: list[float], random: list[float], promoted: list[float]) -> Observations:
    losses = [*model, *random, *promoted]
    origins = [Origin.MODEL] * len(model) + [Origin.RANDOM] * len(random) + [Origin.PROMOTED] * len(promoted)
    return Observations(
        budget=budget,
        config_ids=tuple(map(str, range(len(losses)))),
        configs=tuple({} for _ in losses),
        losses=np.array(losses),
        origins=tuple(origins),
        n_left_out=0,
        n_diverged=0,
    )


def test_superiority_by_hand() -> None:
    assert superiority([1, 2], [2, 3])[0] == 3.5 / 4  # three pairs lower, one tie
    assert superiority([1, 2], [3, 4])[0] == 1.0
    assert superiority([3, 4], [1, 2])[0] == 0.0


def test_the_interval_agrees_with_brunner_and_munzel_where_there_are_many() -> None:
    rng = np.random.default_rng(3)
    a, b = rng.normal(0.0, 1.0, 300), rng.normal(0.4, 1.0, 200)
    theta, _ = superiority(a, b)
    other = rank_compare_2indep(b, a, use_t=False)
    assert theta == pytest.approx(other.prob1)
    assert interval(theta, 300, 200) == pytest.approx(other.conf_int(alpha=0.05), abs=0.01)


def test_the_interval_covers_where_there_are_few() -> None:
    rng, inside = np.random.default_rng(0), 0
    for _ in range(600):
        theta, _ = superiority(rng.normal(0.0, 1.0, 12), rng.normal(1.0, 1.0, 8))
        low, high = interval(theta, 12, 8)
        inside += low <= 0.76025 <= high  # the normal distribution at 1 / sqrt(2)
    assert 0.93 < inside / 600 < 0.99


@pytest.mark.parametrize("theta", [0.0, 0.3, 1.0])
def test_the_interval_stays_within_0_and_1(theta: float) -> None:
    low, high = interval(theta, 6, 9)
    assert 0.0 <= low <= theta <= high <= 1.0
    assert high - low > 0.2
    assert interval(1 - theta, 6, 9) == pytest.approx((1 - high, 1 - low))


def test_only_what_entered_at_a_budget_is_compared() -> None:
    (found,) = picks([entered(1.0, [0.1, 0.2, 0.3, 0.4], [0.5, 0.6, 0.7, 0.8], [0.0] * 9)])
    assert (found["n_model"], found["n_random"], found["better"]) == (4, 4, 1.0)
    assert [found["median_model"], found["median_random"]] == pytest.approx([0.25, 0.65])
    assert found["p_value"] == pytest.approx(2 / 70)  # the two most extreme of 8 over 4 orders
    assert found["p_holm"] == found["p_value"]


def test_p_values_are_adjusted_over_the_budgets_that_were_tested() -> None:
    good = [0.1, 0.2, 0.3, 0.4], [0.5, 0.6, 0.7, 0.8]
    found = picks([entered(1.0, *good, []), entered(3.0, [0.1], [0.2] * 9, []), entered(9.0, *good, []), entered(27.0, [], [], [0.1])])
    assert [one["budget"] for one in found] == [1.0, 3.0, 9.0]
    assert [one["p_holm"] for one in found] == [pytest.approx(4 / 70), None, pytest.approx(4 / 70)]
    assert (found[1]["better"], found[1]["interval"], found[1]["median_model"]) == (None, None, 0.1)


def test_medians_do_not_overflow() -> None:
    assert median_loss([1.7e308, 1.5e308]) == pytest.approx(1.6e308)
    assert median_loss([]) is None
