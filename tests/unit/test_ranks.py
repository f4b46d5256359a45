"""Rank correlation across budgets: against scipy, against published widths, and where nothing may be said."""

from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
from analysis_fakes import Run, make_study
from scipy import stats

from bohb_nas.analysis.observations import Observations, read
from bohb_nas.analysis.ranks import agreement, bonett_wright, shapes, table
from bohb_nas.records import Origin

NAMES = {1.0: "1s", 3.0: "3s", 9.0: "9s"}


def observations(budget: float, losses: dict[str, float], origin: Origin = Origin.RANDOM) -> Observations:
    return Observations(
        budget=budget,
        config_ids=tuple(losses),
        configs=tuple({} for _ in losses),
        losses=np.array(list(losses.values())),
        origins=(origin,) * len(losses),
        n_left_out=0,
        n_diverged=0,
    )


def test_figures_are_scipys() -> None:
    rng = np.random.default_rng(1)
    x = rng.normal(size=40)
    y = np.round(x + rng.normal(size=40), 1)  # with ties
    found = agreement(x, y)
    assert found is not None
    rho, tau = stats.spearmanr(x, y), stats.kendalltau(x, y)
    assert (found.spearman, found.p_value) == pytest.approx((rho.statistic, rho.pvalue))
    assert (found.kendall, found.kendall_p_value) == pytest.approx((tau.statistic, tau.pvalue))


def test_the_p_value_of_few_is_counted_over_all_orders() -> None:
    x, y = [1, 2, 3, 4, 5], [2, 1, 3, 5, 4]
    found = agreement(x, y)
    assert found is not None
    rhos = [1 - 6 * sum((a - b) ** 2 for a, b in zip(x, order, strict=True)) / 120 for order in permutations(range(1, 6))]
    assert found.spearman == pytest.approx(0.8)
    assert found.p_value == pytest.approx(2 * sum(rho >= 0.8 - 1e-9 for rho in rhos) / 120)


def test_the_permutations_of_more_are_drawn_by_the_seed() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, 20))
    assert agreement(x, y, seed=1) == agreement(x, y, seed=1)
    found = agreement(x, y, seed=1)
    assert found is not None
    assert found.p_value == pytest.approx(stats.spearmanr(x, y).pvalue, abs=0.02)


def test_the_permutations_of_a_table_are_drawn_by_its_seed() -> None:
    rng = np.random.default_rng(0)
    one, other = (observations(budget, {f"c{i}": float(x) for i, x in enumerate(rng.random(20))}) for budget in (1.0, 3.0))
    expected = agreement(one.losses, other.losses, seed=7)
    assert expected is not None
    assert table([one, other], NAMES, seed=7)[0]["p_value"] == expected.p_value
    assert table([one, other], NAMES, seed=8)[0]["p_value"] != expected.p_value


@pytest.mark.parametrize(("n", "low", "high"), [(9, -0.03, 0.94), (27, 0.40, 0.87)])
def test_the_interval_is_as_wide_as_that_of_bonett_and_wright(n: int, low: float, high: float) -> None:
    assert bonett_wright(0.7, n) == pytest.approx((low, high), abs=0.03)


def test_the_interval_by_hand() -> None:
    # artanh(.5) = .5493, standard error sqrt(1.125 / 25) = .2121, times 1.96 = .4158
    assert bonett_wright(0.5, 28) == pytest.approx((0.1328, 0.7467), abs=1e-3)
    assert bonett_wright(-0.5, 28) == pytest.approx((-0.7467, -0.1328), abs=1e-3)


def test_full_agreement_of_few_is_no_certainty() -> None:
    low, high = bonett_wright(1.0, 5)
    assert low < 0.5
    assert high == 1.0
    assert bonett_wright(-1.0, 5) == (-high, -low)


def test_the_interval_covers() -> None:
    rng, rho = np.random.default_rng(0), 0.6
    pearson = 2 * np.sin(np.pi * rho / 6)  # of normal pairs whose Spearman correlation is rho
    inside = 0
    for _ in range(600):
        x = rng.normal(size=25)
        y = pearson * x + np.sqrt(1 - pearson**2) * rng.normal(size=25)
        low, high = bonett_wright(float(stats.spearmanr(x, y).statistic), 25)
        inside += low <= rho <= high
    assert inside / 600 == pytest.approx(0.95, abs=0.025)


@pytest.mark.parametrize(("x", "y"), [([1, 2, 3], [1, 2, 3]), ([1, 1, 1, 1], [1, 2, 3, 4]), ([1, 2, 3, 4], [5, 5, 5, 5])])
def test_nothing_is_said_of_too_few_or_of_no_differences(x: list[float], y: list[float]) -> None:
    assert agreement(x, y) is None


def test_enormous_losses_have_ranks() -> None:
    found = agreement([1e300, -1e300, 1.7e308, 0.0], [1.0, 0.0, 3.0, 0.5])
    assert found is not None
    assert found.spearman == pytest.approx(1.0)


def test_every_pair_of_budgets_over_the_configurations_that_both_have() -> None:
    low = observations(1.0, {"a": 4.0, "b": 3.0, "c": 2.0, "d": 1.0, "e": 0.0})
    middle = observations(3.0, {"d": 1.0, "c": 2.0, "b": 3.0, "a": 4.0}, Origin.PROMOTED)
    high = observations(9.0, {"a": 1.0}, Origin.PROMOTED)
    found = table([low, middle, high], NAMES)
    assert [(pair["low"], pair["high"], pair["n"]) for pair in found] == [(1.0, 3.0, 4), (1.0, 9.0, 1), (3.0, 9.0, 1)]
    assert found[0]["spearman"] == pytest.approx(1.0)
    assert found[0]["note"] is not None
    assert found[0]["note"].startswith("4 of the 4 were promoted for their losses, out of 5 at 1s")
    assert (found[1]["spearman"], found[1]["interval"], found[1]["p_value"], found[1]["kendall"]) == (None,) * 4
    assert found[1]["note"] == "too few: 1 configuration with a loss at both, 4 are needed"


def test_what_was_not_promoted_needs_no_note() -> None:
    both = {"a": 4.0, "b": 3.0, "c": 2.0, "d": 1.0}
    (pair,) = table([observations(1.0, both, Origin.PROBE), observations(3.0, both, Origin.PROBE)], NAMES)
    assert pair["note"] is None
    (pair,) = table([observations(1.0, both), observations(3.0, dict.fromkeys(both, 1.0))], NAMES)
    assert pair["note"] == "nothing to rank: all 4 in common have one loss at 3s"


def test_what_is_the_same_is_said_of_the_configurations_of_both_alone() -> None:
    low, high = {"a": 4.0, "b": 3.0, "c": 2.0, "d": 1.0}, {"a": 1.0, "b": 1.0, "c": 1.0, "d": 1.0, "e": 2.0}
    (pair,) = table([observations(1.0, low), observations(3.0, high)], NAMES)
    assert pair["note"] == "nothing to rank: all 4 in common have one loss at 3s"


def test_the_lower_budget_is_named_where_its_losses_do_not_differ() -> None:
    both = {"a": 4.0, "b": 3.0, "c": 2.0, "d": 1.0}
    (pair,) = table([observations(1.0, dict.fromkeys(both, 1.0)), observations(3.0, both)], NAMES)
    assert pair["note"] == "nothing to rank: all 4 in common have one loss at 1s"


def test_the_losses_of_several_seeds_at_a_budget_are_averaged_in_a_shape(tmp_path: Path) -> None:
    low, *high = Run(config_id="c", loss=0.5), *(Run(config_id="c", budget=3.0, loss=loss, seed=s) for s, loss in enumerate((0.1, 0.3)))
    (shape,) = shapes(read(make_study(tmp_path / "s", [low, *high])).told)
    assert shape["losses"] == [[1.0, 0.5], [3.0, pytest.approx(0.2)]]
