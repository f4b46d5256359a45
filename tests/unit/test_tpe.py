"""The published model by hand: how many results make it, which are good and bad, and how far candidates lie from the good."""

from typing import Any

import numpy as np
import pytest
from ConfigSpace import Categorical, ConfigurationSpace, Constant

from bohb_nas.records import Origin
from bohb_nas.samplers.tpe import Settings, Tpe


def unit() -> ConfigurationSpace:
    return ConfigurationSpace({"x": (0.0, 1.0)})


def model(space: ConfigurationSpace, **chosen: Any) -> Tpe:
    return Tpe(space, seed=0, settings=Settings(random_fraction=0.0, **chosen))


@pytest.mark.parametrize(("n", "n_good", "n_bad"), [(50, 7, 42), (100, 15, 85), (10, 2, 8), (5, 2, 3)])
def test_fifteen_percent_are_good_and_eighty_five_bad(n: int, n_good: int, n_bad: int) -> None:
    """Rounded down, and at least d + 1 = 2 each: of fifty the worst one is neither."""
    losses = np.random.default_rng(0).permutation(n) / n
    found = model(unit()).fit(losses[:, None], losses)
    assert found.good[:, 0].tolist() == [k / n for k in range(n_good)]
    assert found.bad[:, 0].tolist() == [k / n for k in range(n_good, n_good + n_bad)]


@pytest.mark.parametrize(("corrected", "expected"), [(False, 1.06 * 4.5 * 6 ** (-1 / 5)), (True, 9 / 10)])
def test_the_bandwidth_of_ten_levels_is_at_most_nine_tenths_where_it_is_corrected(expected: float, *, corrected: bool) -> None:
    """The first and the last level in turn: six good ones with a standard deviation of 4.5."""
    space = ConfigurationSpace({"c": Categorical("c", [*"abcdefghij"])})
    found = model(space, corrected_densities=corrected).fit(np.array([[0.0], [9.0]] * 20), np.arange(40.0))
    assert found.good_bandwidths == pytest.approx([expected])


@pytest.mark.parametrize(("n_constants", "start"), [(0, 4), (2, 8)])
def test_what_leaves_no_choice_counts_as_a_dimension(n_constants: int, start: int) -> None:
    """As in HpBandSter: a number and two constants are three dimensions, whose model needs 2 (3 + 1) results."""
    space = unit()
    space.add(*(Constant(f"c{i}", i) for i in range(n_constants)))
    tpe = model(space)
    for n in range(start):
        assert tpe.propose(np.random.default_rng(n)).origin is Origin.RANDOM
        tpe.observe({**{f"c{i}": i for i in range(n_constants)}, "x": n / 10}, budget=1.0, loss=float(n))
    assert tpe.propose(np.random.default_rng(start)).origin is Origin.MODEL


@pytest.mark.parametrize("factor", [1.0, 3.0])
def test_candidates_lie_as_many_bandwidths_from_the_good_as_is_chosen(factor: float) -> None:
    """Where the only candidate is taken; the six good ones are .49 and .51 in turn, their bandwidth 1.06 * .01 * 6^(-1 / 5)."""
    tpe = model(unit(), bandwidth_factor=factor, n_candidates=1)
    for n in range(40):
        tpe.observe({"x": 0.5 + (-1) ** n * (0.01 if n < 6 else 0.4)}, budget=1.0, loss=float(n))
    drawn = [float(tpe.propose(np.random.default_rng(i)).config["x"]) for i in range(400)]
    assert np.std(drawn) == pytest.approx(np.hypot(0.01, factor * 0.0074), rel=0.15)


def test_the_model_follows_every_result() -> None:
    tpe = model(unit())
    for n in range(20):
        tpe.observe({"x": 0.2 + n / 1000}, budget=1.0, loss=1.0 + n)
    assert float(tpe.propose(np.random.default_rng(0)).config["x"]) < 0.4
    for n in range(20):
        tpe.observe({"x": 0.8 + n / 1000}, budget=1.0, loss=-1.0 - n)
    assert float(tpe.propose(np.random.default_rng(0)).config["x"]) > 0.6
