import math
from typing import get_args

import pytest

from bohb_nas.training.schedules import Shape, cosine, linear, named, restarts, trapezoid


def test_cosine_rises_falls_and_ends_at_zero() -> None:
    assert [cosine(u, warm_up=0.1) for u in (0.05, 0.1, 0.55, 1.0)] == pytest.approx([0.5, 1.0, 0.5, 0.0])
    assert cosine(1.0) == 0.0


def test_without_warm_up_it_starts_at_the_peak() -> None:
    assert cosine(0.0, warm_up=0.0) == 1.0


@pytest.mark.parametrize(("budget", "rung", "first"), [(400, 1, 400.0), (1200, 2, 400.0), (3600, 3, 3600 / 7), (10800, 4, 720.0)])
def test_restarts_are_the_published_cycles(budget: float, rung: int, first: float) -> None:
    """Zela et al. (2018): first cycles of 400, 400, 514.2857 (3600 / 7) and 720 s, each next one twice as long."""
    begin, length = 0.0, first
    for _ in range(rung):
        rates = [restarts((begin + x * length) / budget, cycles=rung) for x in (1e-6, 0.25, 0.5, 1 - 1e-6)]
        assert rates == pytest.approx([0.5 * (1 + math.cos(math.pi * x)) for x in (0, 0.25, 0.5, 1)], abs=1e-4)
        begin, length = begin + length, 2 * length
    assert begin == pytest.approx(budget, rel=1e-6)
    assert restarts(1.0, cycles=rung) == 0.0


def test_a_line_by_hand() -> None:
    assert [linear(u, warm_up=0.2) for u in (0.0, 0.1, 0.2, 0.6, 1.0)] == pytest.approx([0.0, 0.5, 1.0, 0.5, 0.0])
    assert linear(1.0) == 0.0


def test_a_trapezoid_by_hand() -> None:
    assert [trapezoid(u, warm_up=0.1) for u in (0.05, 0.1, 0.5, 0.8, 0.9, 1.0)] == pytest.approx([0.5, 1.0, 1.0, 1.0, 0.5, 0.0])
    assert trapezoid(0.95, warm_up=1.0) == pytest.approx(0.25), "the descent wins over an endless rise"
    assert trapezoid(1.0) == 0.0


def test_names() -> None:
    """At rung 2 restarts are of 1/7, 2/7 and 4/7 of the budget: at 2/7 the second is halfway down."""
    assert named("cosine", rung=2, warm_up=0.5)(0.25) == pytest.approx(0.5)
    assert named("cosine", rung=2, warm_up=0.5)(0.75) == pytest.approx(0.5)
    assert named("linear", rung=2, warm_up=0.2)(0.8) == pytest.approx(0.25)
    assert named("trapezoid", rung=2, warm_up=0.5)(0.4) == pytest.approx(0.8)
    assert named("restarts", rung=2, warm_up=0.5)(2 / 7) == pytest.approx(0.5)


def test_a_twentieth_of_the_budget_is_spent_rising_unless_it_is_told_otherwise() -> None:
    assert [shape(0.04) for shape in (cosine, linear, trapezoid)] == pytest.approx([0.8] * 3)
    assert [named(name, rung=0)(0.04) for name in get_args(Shape)] == pytest.approx([0.8] * 3)
