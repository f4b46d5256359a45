"""Sizes worked out by hand from floor(S / (s + 1)) · eta^s."""

import pytest

from bohb_nas.errors import UsageError
from bohb_nas.hyperband import brackets, promotions, worth
from bohb_nas.records import Budgets


def sizes(budgets: Budgets) -> list[tuple[int, ...]]:
    return [tuple(rung.size for rung in bracket.rungs) for bracket in brackets(budgets)]


@pytest.mark.parametrize(
    ("budgets", "expected"),
    [
        (Budgets(min=400, max=10800, eta=3), [(27, 9, 3, 1), (9, 3, 1), (6, 2), (4,)]),
        (Budgets(min=1, max=9, eta=3), [(9, 3, 1), (3, 1), (3,)]),
        (Budgets(min=1, max=16, eta=2), [(16, 8, 4, 2, 1), (8, 4, 2, 1), (4, 2, 1), (4, 2), (5,)]),
        (Budgets(min=4, max=25, eta=2.5), [(6, 2, 1), (2, 1), (3,)]),
        (Budgets(min=1, max=10, eta=10**0.5), [(10, 3, 1), (3, 1), (3,)]),
        (Budgets(min=1, max=25, eta=5**0.5), [(25, 11, 5, 2, 1), (11, 4, 2, 1), (5, 2, 1), (4, 1), (5,)]),  # 25 / eta^2 is 4.9999…
        (Budgets(min=5, max=5), [(1,)]),
    ],
)
def test_sizes(budgets: Budgets, expected: list[tuple[int, ...]]) -> None:
    assert sizes(budgets) == expected


def test_no_rung_is_lost_from_1_to_243() -> None:
    first = brackets(Budgets(min=1, max=243, eta=3))[0]
    assert [(r.index, r.budget, r.size) for r in first.rungs] == [(0, 1, 243), (1, 3, 81), (2, 9, 27), (3, 27, 9), (4, 81, 3), (5, 243, 1)]


def test_brackets_enter_the_ladder_below_the_top() -> None:
    round_of_four = brackets(Budgets(min=400, max=10800, eta=3))
    assert [b.s for b in round_of_four] == [3, 2, 1, 0]
    assert [(r.index, r.budget) for r in round_of_four[2].rungs] == [(2, 3600), (3, 10800)]


@pytest.mark.parametrize("eta", [2, 2.2, 2.7, 3, 3.3, 4])
def test_powers_that_round_down_lose_no_configuration(eta: float) -> None:
    top = 1000.0
    ladder = Budgets(min=top / eta**5, max=top, eta=eta)
    for bracket in brackets(ladder):
        assert bracket.rungs[-1].size >= 1
        assert bracket.rungs[0].size >= eta**bracket.s - 1
    if eta == int(eta):
        assert sizes(ladder)[0] == tuple(int(eta) ** k for k in (5, 4, 3, 2, 1, 0))


def test_worth() -> None:
    budgets = Budgets(min=400, max=10800, eta=3)
    one_round = 27 * 400 + 18 * 1200 + 12 * 3600 + 8 * 10800  # 45 h
    assert worth(budgets, 4) == one_round == 45 * 3600
    assert worth(budgets, 32) == 360 * 3600
    assert worth(budgets, 5) == one_round + 27 * 400 + 9 * 1200 + 3 * 3600 + 10800
    assert worth(budgets, 0) == 0


def test_promotions_take_the_lowest_and_never_a_failed_one() -> None:
    assert promotions([0.3, None, 0.1, 0.2], 2) == [2, 3]
    assert promotions([None, 0.5, None], 2) == [1]
    assert promotions([None, None], 1) == []
    assert promotions([0.1, 0.2], 0) == []


def test_promotions_break_ties_by_place() -> None:
    assert promotions([0.2, 0.1, 0.2, 0.1], 3) == [1, 3, 0]


def test_the_longest_ladder_of_the_largest_eta_has_sizes() -> None:
    assert len(brackets(Budgets(min=1e-290, max=10_000.0, eta=1000.0))) == 99
    with pytest.raises(UsageError, match="there are 100 budgets; accepted are at most 99"):
        Budgets(min=1e-293, max=10_000.0, eta=1000.0)
