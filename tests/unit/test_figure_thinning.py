"""What of long lines and of many marks is drawn: by hand."""

import itertools

import numpy as np
import pytest

from bohb_nas.report.figures._thinning import evenly, moved, side_by_side


def test_a_line_of_steps_keeps_the_points_at_which_it_moves() -> None:
    assert moved(np.array([0.0, 0.0, 1.0, 1.0, 1.0, 3.0, 3.0])).tolist() == [0, 2, 5, 6]
    assert moved(np.array([2.0])).tolist() == [0]


def test_a_long_line_of_steps_stays_within_a_thousandth_of_its_range() -> None:
    values = np.linspace(0.0, 50.0, 20_001)  # 400 steps to a range of 1
    kept = moved(values)
    assert len(kept) == pytest.approx(1000, abs=60)
    assert (kept[0], kept[-1]) == (0, 20_000)
    held = values[kept[np.searchsorted(kept, np.arange(20_001), side="right") - 1]]
    assert np.abs(held - values).max() <= 0.05 + 1e-12


def test_few_ticks_stand_where_they_are() -> None:
    at = np.array([3.0, 1.0, 1.0])
    assert side_by_side(at, log=False).tolist() == [3.0, 1.0, 1.0]


@pytest.mark.parametrize("log", [False, True])
def test_of_many_ticks_each_of_300_places_has_one(log: bool) -> None:
    scaled = np.random.default_rng(0).uniform(0.0, 1.0, 5000) ** 3  # crowded at the lower end
    scaled[:2] = 0.0, 1.0
    at = 10.0 ** (scaled * 4 - 3) if log else scaled
    drawn = side_by_side(at, log=log)
    places = (np.log10(drawn) + 3) / 4 if log else drawn
    assert (drawn.min(), drawn.max()) == pytest.approx((at.min(), at.max()))
    assert np.allclose(places * 299, np.round(places * 299), atol=1e-6)
    assert len(set(np.round(places * 299))) == len(drawn) <= 300
    assert all(np.abs(places - one).min() <= 0.5 / 299 + 1e-9 for one in scaled)


def test_ticks_that_a_logarithmic_axis_cannot_have_are_left_out() -> None:
    assert side_by_side(np.array([0.0, *[1.0] * 150, *[100.0] * 150]), log=True).tolist() == pytest.approx([1.0, 100.0])
    assert side_by_side(np.zeros(301), log=True).tolist() == []


def test_places_are_chosen_evenly_with_both_ends() -> None:
    assert evenly(3, 5).tolist() == [0, 1, 2]
    chosen = evenly(1001, 11).tolist()
    assert chosen == list(range(0, 1001, 100))
    assert {b - a for a, b in itertools.pairwise(evenly(10_000, 400).tolist())} == {25, 26}
