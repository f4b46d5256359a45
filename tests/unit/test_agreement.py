"""Kendall's tau beside scipy's; trust, say and entry by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from bohb_nas.samplers.agreement import entry_chances, kendall, say, trust

HUGE = float(np.finfo(np.float64).max)
LOSS = st.sampled_from([0.0, 0.1, 0.25, 0.5, 1.0, 7.0, -2.5, 1e-300, 5e-324, HUGE, -HUGE, float("inf")])
"""A failure is the largest finite number, or infinite."""


@settings(deadline=None, derandomize=True, database=None, max_examples=300)
@given(st.lists(st.tuples(LOSS, LOSS), max_size=30))
def test_tau_is_that_of_scipy(pairs: list[tuple[float, float]]) -> None:
    x, y = np.array([a for a, _ in pairs]), np.array([b for _, b in pairs])
    one_sided = len(set(x)) < 2 or len(set(y)) < 2
    assert kendall(x, y) == pytest.approx(0.0 if one_sided else stats.kendalltau(x, y).statistic, abs=1e-12)


def test_tau_by_hand() -> None:
    x = np.array([1.0, 2.0, 3.0, 4.0])
    assert kendall(x, x**3) == 1
    assert kendall(x, -x) == -1
    assert kendall(x, np.array([1.0, 2.0, 4.0, 3.0])) == pytest.approx(4 / 6)  # five pairs agree, one does not
    assert kendall(x, np.array([1.0, 1.0, 2.0, 2.0])) == pytest.approx(4 / np.sqrt(6 * 4))  # two pairs are tied on one side
    assert kendall(np.empty(0), np.empty(0)) == kendall(np.ones(1), np.ones(1)) == 0


def test_a_failure_is_worse_than_any_loss_and_as_bad_as_another() -> None:
    losses, failed = np.array([1.0, 2.0, 3.0, 4.0]), np.array([1.0, 2.0, np.inf, np.inf])
    # five pairs agree; the sixth is tied on one side: 5 / sqrt(6 * 5)
    assert kendall(losses, failed) == kendall(losses, np.nan_to_num(failed)) == pytest.approx(5 / np.sqrt(30))
    assert kendall(failed, failed) == 1
    assert kendall(np.full(3, np.inf), losses[:3]) == 0
    assert kendall(np.array([-HUGE, HUGE]), np.array([HUGE, -HUGE])) == -1


def test_tau_of_a_hundred_random_losses() -> None:
    rng = np.random.default_rng(0)
    x = rng.random(100)
    y = x + rng.normal(0, 0.5, 100)
    assert kendall(x, y) == pytest.approx(stats.kendalltau(x, y).statistic)


@pytest.mark.parametrize(
    ("tau", "n", "expected"),
    [(0.9, 0, 0.5), (0.6, 12, (7.2 + 4) / 20), (1.0, 8, 0.75), (-1.0, 8, -0.25), (0.5, 100, 0.5), (0.0, 4, 4 / 12)],
)
def test_trust_by_hand(tau: float, n: int, expected: float) -> None:
    assert trust(tau, n) == pytest.approx(expected)


def test_trust_lies_between_what_was_measured_and_what_is_assumed() -> None:
    assert 0.5 < trust(0.9, 4) < trust(0.9, 5) < 0.9
    assert trust(0.9, 10**6) == pytest.approx(0.9, abs=1e-5)


@pytest.mark.parametrize(("trusted", "expected"), [(1.0, 1.0), (0.5, 0.25), (0.11, 0.0121), (0.1, 0.0), (0.0, 0.0), (-0.8, 0.0)])
def test_say_by_hand(trusted: float, expected: float) -> None:
    assert say(trusted) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("trusts", "expected"),
    [
        ([1.0], [1.0]),
        ([0.0], [1.0]),  # the top, whatever is said of it
        ([0.5, 1.0], [0.8, 0.2]),  # (0.5 - 0.1) / 0.4 is 1, which is cut to 0.8
        ([-0.5, 1.0], [0.05, 0.95]),
        ([0.1, 0.3, 0.2, 1.0], [0.05, 0.95 * 0.5, 0.95 * 0.5 * 0.25, 0.95 * 0.5 * 0.75]),
        ([0.5, 0.5, 0.5, 1.0], [0.8, 0.16, 0.032, 0.008]),
    ],
)
def test_entry_chances_by_hand(trusts: list[float], expected: list[float]) -> None:
    assert entry_chances(trusts) == pytest.approx(expected)


@settings(deadline=None, derandomize=True, database=None)
@given(st.lists(st.floats(-1, 1), min_size=1, max_size=9))
def test_entry_chances_add_up_and_leave_no_rung_out(trusts: list[float]) -> None:
    before = list(trusts)
    chances = entry_chances(trusts)
    assert chances.sum() == pytest.approx(1)
    assert (chances > 0).all()
    assert trusts == before
