import json
import math
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from ConfigSpace import Configuration

from bohb_nas import leaving
from bohb_nas.errors import OptionError
from bohb_nas.records import Origin, Status, Trial, Value
from bohb_nas.search_spaces import toy as toy_space
from bohb_nas.space.encoding import Encoding
from bohb_nas.workers import toy


@pytest.fixture(autouse=True)
def unasked() -> Iterator[None]:
    yield
    leaving.reset()


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


def _folder(tmp_path: Path, name: str, interrupted: Path | None = None) -> Path:
    (tmp_path / name).mkdir()
    if interrupted is not None:
        (tmp_path / name / "interrupted").symlink_to(interrupted)
    return tmp_path / name


def test_who_is_asked_leaves_and_the_next_attempt_sleeps_exactly_the_rest(tmp_path: Path) -> None:
    worker, trial = toy.make(seconds_per_budget=0.1), _trial(toy_space.OPTIMUM)
    timer = threading.Timer(0.3, leaving.ask)
    timer.start()
    first = worker.train(trial, _folder(tmp_path, "1"))
    timer.join()
    assert (first.status, first.loss) == (Status.PREEMPTED, None)
    assert 0 < first.train_s < trial.budget
    leaving.reset()
    second = worker.train(trial, _folder(tmp_path, "2", tmp_path / "1" / "handover"))
    assert second.details == {
        "earlier": first.train_s,
        "attempt_s": trial.budget - first.train_s,
        "interrupted": {"resumed": True, "reason": None},
    }
    whole = toy.make().train(trial, tmp_path)
    assert (second.status, second.loss, second.train_s, second.metrics) == (Status.OK, whole.loss, 9.0, whole.metrics)
    assert not (tmp_path / "2" / "handover").exists()


def test_who_leaves_again_hands_over_all_that_was_slept(tmp_path: Path) -> None:
    trial = _trial(toy_space.OPTIMUM)
    _folder(tmp_path, "1").joinpath("handover").mkdir()
    state = {"trial": trial.to_json(), "slept": 5.0}
    (tmp_path / "1" / "handover" / "state.json").write_text(json.dumps(state))
    leaving.ask()
    result = toy.make(seconds_per_budget=100.0).train(trial, _folder(tmp_path, "2", tmp_path / "1" / "handover"))
    assert result.status is Status.PREEMPTED
    assert 5.0 <= result.train_s < 6.0
    assert json.loads((tmp_path / "2" / "handover" / "state.json").read_text()) == {**state, "slept": result.train_s}


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        (None, "No such file"),
        ("{", "Expecting"),
        ("[]", "indices"),
        ('{"slept": 1.0}', "trial"),
        ('{"slept": "much"}', "could not convert"),
        ('{"slept": 1.0, "trial": {}}', "another trial"),
        (json.dumps({"slept": 9.0, "trial": _trial(toy_space.OPTIMUM).to_json()}), "slept 9 of 9"),
        (json.dumps({"slept": -1.0, "trial": _trial(toy_space.OPTIMUM).to_json()}), "slept -1 of 9"),
    ],
)
def test_what_cannot_be_continued_is_slept_anew_with_the_reason(tmp_path: Path, state: str | None, reason: str) -> None:
    handed = _folder(tmp_path, "handed")
    if state is None:
        handed.rmdir()
    else:
        (handed / "state.json").write_text(state)
    result = toy.make().train(_trial(toy_space.OPTIMUM), _folder(tmp_path, "next", handed))
    assert (result.status, result.details["earlier"], result.details["attempt_s"]) == (Status.OK, 0.0, 9.0)
    assert not result.details["interrupted"]["resumed"]
    assert reason in result.details["interrupted"]["reason"]
