import math
from pathlib import Path

import pytest
from ConfigSpace import Configuration

from bohb_nas.errors import OptionError
from bohb_nas.records import Origin, Status, Trial, Value
from bohb_nas.search_spaces import toy as toy_space
from bohb_nas.space.encoding import Encoding
from bohb_nas.workers import toy


def _trial(config: dict[str, Value], *, budget: float = 9.0, seed: int = 0) -> Trial:
    return Trial(trial_id="t", config_id="c", config=config, budget=budget, bracket=0, rung=0, seed=seed, origin=Origin.RANDOM)


@pytest.mark.parametrize(
    ("change", "floor"),
    [
        ({}, 0.02),
        ({"lr": 0.1}, 0.07),  # one decade off: 0.05
        ({"width": 10}, 0.024),  # two off: 4 x 0.001
        ({"momentum": 0.5}, 0.10),  # 0.5 x 0.4^2 = 0.08
        ({"optimizer": "adam"}, 0.05),
    ],
)
def test_the_floor_by_hand(change: dict[str, Value], floor: float) -> None:
    assert toy.floor({**toy_space.OPTIMUM, **change}) == pytest.approx(floor, abs=1e-12)


def test_the_curve_by_hand() -> None:
    assert toy.curve(toy_space.OPTIMUM, 3.0) == pytest.approx(0.02 + 0.98 / 2)
    assert toy.curve(toy_space.OPTIMUM, 0.0) == 1.0


def test_nothing_is_below_the_optimum() -> None:
    Configuration(toy_space.space(), values=toy_space.OPTIMUM)  # refuses what is not in the space
    encoding = Encoding(toy_space.space())
    sampled = [toy.floor(encoding.sample(seed)) for seed in range(500)]
    assert min(sampled) > toy.floor(toy_space.OPTIMUM)
    assert max(sampled) <= 1


def test_the_result_is_fixed_by_configuration_budget_and_seed(tmp_path: Path) -> None:
    worker = toy.make()
    first = worker.train(_trial(toy_space.OPTIMUM), tmp_path)
    assert (first.status, first.train_s) == (Status.OK, 9.0)
    assert first.loss is not None
    assert math.isclose(first.loss, toy.curve(toy_space.OPTIMUM, 9.0), abs_tol=0.005)
    assert toy.make().train(_trial(toy_space.OPTIMUM), tmp_path) == first
    assert worker.train(_trial(toy_space.OPTIMUM, seed=1), tmp_path).loss != first.loss


@pytest.mark.parametrize("seconds", [-1.0, math.inf, math.nan])
def test_a_sleep_that_cannot_be(seconds: float) -> None:
    with pytest.raises(OptionError, match="accepted"):
        toy.make(seconds_per_budget=seconds)
