import json
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch

from bohb_nas.errors import RecordError, UsageError
from bohb_nas.files import dump_json
from bohb_nas.records import Budgets, Evaluation, Origin, Result, Status, Trial

TRIAL: dict[str, Any] = {
    "trial_id": "t00001",
    "config_id": "c00001",
    "config": {"lr": 0.1, "layers": 3, "flip": True, "optimizer": "sgd"},
    "budget": 400.0,
    "bracket": 3,
    "rung": 0,
    "seed": 17,
    "origin": "random",
    "resume_from": None,
}
RESULT: dict[str, Any] = {
    "trial_id": "t00001",
    "status": "ok",
    "loss": 0.25,
    "train_s": 399.9,
    "metrics": {"params": 1e6},
    "details": {"device": {"name": "cpu"}},
    "config": None,
    "message": None,
}


@pytest.mark.parametrize(
    ("minimum", "maximum", "eta", "rungs"),
    [
        (400, 10800, 3, (400, 1200, 3600, 10800)),
        (1, 243, 3, (1, 3, 9, 27, 81, 243)),
        (3, 729, 3, (3, 9, 27, 81, 243, 729)),
        (1, 1000, 10, (1, 10, 100, 1000)),
        (5, 5, 3, (5,)),
        (1, 8, 3, (8 / 3, 8)),
        (1, 2.5, 2.5, (1, 2.5)),
    ],
)
def test_rungs_are_counted_exactly(minimum: float, maximum: float, eta: float, rungs: tuple[float, ...]) -> None:
    assert Budgets(min=minimum, max=maximum, eta=eta).rungs == pytest.approx(rungs)


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"min": 2, "max": 1}, "budget-min"),
        ({"min": 0}, "budget-min"),
        ({"eta": 1.9}, "eta 1.9"),
        ({"max": float("inf")}, "inf"),
        ({"eta": float("nan")}, "eta"),
        ({"eta": 1e308}, r"eta 1e\+308: accepted is a number of at least 2 and at most 1e\+09"),
        ({"min": 1e-30, "max": 1e30, "eta": 2.0}, "from 1e-30 to 1e.30 by 2 there are 200 budgets; accepted are at most 99"),
        ({"min": 1e-10, "max": 1e300, "eta": 1e9}, "from 1e-10 to 1e.300 are too far apart; give a larger budget-min"),
    ],
)
def test_impossible_ladders_are_refused(given: dict[str, float], named: str) -> None:
    with pytest.raises(UsageError, match=named):
        Budgets(**given)  # type: ignore[arg-type]


@pytest.mark.parametrize(("name", "value"), [("min", "1"), ("max", None), ("eta", "3")])
def test_a_budget_that_is_no_number_is_named(name: str, value: Any) -> None:
    with pytest.raises(UsageError, match=f"^budgets: {name} {value!r}; accepted is a finite number$"):
        Budgets(**{name: value})


@pytest.mark.parametrize("kind", [np.int64, np.float32, np.float64])
def test_budgets_of_numpy_are_plain_numbers(kind: Callable[[int], Any]) -> None:
    budgets = Budgets(min=kind(1), max=kind(9), eta=kind(3))
    assert json.loads(json.dumps(budgets.to_json())) == {"min": 1, "max": 9, "eta": 3, "unit": "s"}
    assert budgets.rungs == (1.0, 3.0, 9.0)


def test_records_survive_json_unchanged() -> None:
    assert json.loads(json.dumps(Trial.from_json(TRIAL).to_json())) == TRIAL
    assert json.loads(json.dumps(Result.from_json(RESULT).to_json())) == RESULT
    both = {"trial": TRIAL, "result": RESULT}
    assert json.loads(json.dumps(Evaluation.from_json(both).to_json())) == both
    assert Trial.from_json(TRIAL).origin is Origin.RANDOM
    assert Result.from_json(RESULT).status is Status.OK


@pytest.mark.parametrize(
    "broken",
    [
        {"trial_id": "../../etc/passwd"},
        {"trial_id": ""},
        {"trial_id": "x" * 65},
        {"trial_id": 7},
        {"config": [1]},
        {"config": {"a": None}},
        {"config": {"a": {"b": 1}}},
        {"config": {"a": float("nan")}},
        {"config": {"a": 10**400}},
        {"budget": 10**400},
        {"budget": 0},
        {"budget": "400"},
        {"budget": True},
        {"rung": -1},
        {"rung": 0.0},
        {"seed": True},
        {"origin": "heaven"},
        {"origin": None},
        {"resume_from": "a/b"},
        {"surplus": 1},
    ],
)
def test_a_trial_that_breaks_its_contract_is_refused(broken: dict[str, Any]) -> None:
    with pytest.raises(RecordError, match=next(iter(broken))):
        Trial.from_json({**TRIAL, **broken})


@pytest.mark.parametrize(
    "broken",
    [
        {"loss": None},
        {"loss": "0.25"},
        {"loss": True},
        {"status": "crashed"},
        {"status": "OK"},
        {"train_s": -1},
        {"train_s": None},
        {"trial_id": 3},
        {"trial_id": "../t0"},
        {"trial_id": None},
        {"metrics": 3},
        {"metrics": None},
        {"details": []},
        {"details": None},
        {"config": 3},
        {"message": 3},
    ],
)
def test_a_result_that_breaks_its_contract_is_refused(broken: dict[str, Any]) -> None:
    named = "loss" if broken.get("status") == "crashed" else next(iter(broken))
    with pytest.raises(RecordError, match=named):
        Result.from_json({**RESULT, **broken})


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"trial_id": 3}, "trial_id is 3; accepted is 1 to 64 letters, digits, - and _"),
        ({"trial_id": "a/b"}, "trial_id is 'a/b'; accepted is 1 to 64 letters, digits, - and _"),
        ({"metrics": None}, "metrics is None; accepted is an object: names and their values"),
        ({"metrics": [0.5]}, r"metrics is \[0\.5\]; accepted is an object: names and their values"),
        ({"details": None}, "details is None; accepted is an object: names and their values"),
    ],
)
def test_a_result_that_no_file_could_hold_is_refused_where_it_is_made(given: dict[str, Any], said: str) -> None:
    with pytest.raises(RecordError, match=f"^result: {said}$"):
        Result(**{"trial_id": "t0", "status": Status.OK, "loss": 0.5, "train_s": 1.0, **given})


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64, np.int64, np.uint8, Fraction])
def test_a_number_of_another_library_is_as_good_as_a_float(kind: Callable[[int], Any]) -> None:
    """2 is the same number in all of them, and "2.0" is what a float writes."""
    result = Result(trial_id="t", status=Status.OK, loss=kind(2), train_s=kind(2), metrics={"a": kind(2), "b": 3})
    assert [result.loss, result.train_s, result.metrics] == [2.0, 2.0, {"a": 2.0, "b": 3}]
    assert not {type(result.loss), type(result.train_s)} & {np.float32, Fraction}
    written = dump_json(result.to_json())
    assert '"loss":2.0' in written.replace(" ", "")
    assert '"metrics":{"a":2.0,"b":3}' in written.replace(" ", "")
    assert Result.from_json(json.loads(written)) == result


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"loss": torch.tensor(0.5)}, r"loss is tensor\(0\.5000\); accepted is a finite number when the status is ok: float\(loss\)$"),
        ({"train_s": torch.tensor(0.5)}, r"train_s is tensor\(0\.5000\); accepted is a number of seconds from 0: float\(train_s\)$"),
        ({"loss": np.bool_(True)}, r"accepted is a finite number when the status is ok"),
        ({"loss": Fraction(10**400)}, r"accepted is a finite number when the status is ok$"),
    ],
)
def test_what_can_be_made_a_number_is_refused_with_how(given: dict[str, Any], said: str) -> None:
    with pytest.raises(RecordError, match=said):
        Result(**{"trial_id": "t", "status": Status.OK, "loss": 0.5, "train_s": 1.0, **given})


def test_a_metric_that_is_no_finite_number_is_dropped_and_named_for_the_loss_is_known() -> None:
    """A training of hours is not thrown away for a side figure; once every such metric was refused, and the trial crashed."""
    metrics: Any = {
        "a": 2,
        "b": np.float32("nan"),
        "c": np.float64("-inf"),
        "d": "fast",
        "e": None,
        "f": torch.tensor(2),
        "g": np.float32(3),
    }
    result = Result(trial_id="t", status=Status.OK, loss=0.5, train_s=1.0, metrics=metrics, details={"device": "none"})
    assert (result.status, result.loss, result.metrics) == (Status.OK, 0.5, {"a": 2, "g": 3.0})
    dropped = {"b": "nan", "c": "-inf", "d": "'fast'", "e": "None", "f": "tensor(2)"}
    assert result.details == {"device": "none", "metrics_dropped": dropped}
    assert Result.from_json(json.loads(dump_json(result.to_json()))) == result
    enormous: Any = Result.from_json({**RESULT, "metrics": {"a": 10**400}})
    assert (enormous.metrics, len(enormous.details["metrics_dropped"]["a"])) == ({}, 200)


@pytest.mark.parametrize("loss", [float("nan"), float("-inf"), np.float32("inf")])
def test_ok_with_a_loss_that_is_not_finite_is_diverged(loss: Any) -> None:
    ended: Any = {"trial_id": "t", "status": Status.OK, "loss": loss, "train_s": 1.0, "metrics": {"a": 2.0}}
    result = Result(**ended)
    assert (result.status, result.loss, result.message, result.metrics) == (Status.DIVERGED, None, f"the loss is {loss}", {"a": 2.0})
    assert Result(**ended, message="lr too high").message == "lr too high"
    assert Result.from_json(json.loads(dump_json(result.to_json()))) == result
    with pytest.raises(RecordError, match="accepted is null unless the status is ok"):
        Result(**{**ended, "status": Status.CRASHED})


def test_numbers_of_json_are_written_as_they_were_read() -> None:
    read = {**RESULT, "loss": 1, "train_s": 2, "metrics": {"a": 3, "b": 4.0}}
    assert dump_json(Result.from_json(read).to_json()) == dump_json(read)


def test_a_status_may_be_said_by_its_word() -> None:
    ended: Any = {"trial_id": "t00001", "train_s": 1.0}
    for word, loss in (("ok", 0.5), ("preempted", None)):
        assert Result(status=word, loss=loss, **ended).status is Status(word)  # type: ignore[arg-type]
    for wrong in ("OK", "finished", None, 0, ["ok"]):
        with pytest.raises(
            RecordError, match=r"result: status is .*; accepted is one of ok, diverged, out_of_memory, timed_out, preempted"
        ):
            Result(status=wrong, loss=None, **ended)  # type: ignore[arg-type]


@pytest.mark.parametrize("missing", ["trial_id", "config", "budget", "origin"])
def test_a_missing_field_is_named(missing: str) -> None:
    with pytest.raises(RecordError, match=missing):
        Trial.from_json({k: v for k, v in TRIAL.items() if k != missing})


@pytest.mark.parametrize(
    "value", [None, 3, "x", [], [TRIAL], {"trial": TRIAL}, {"trial": TRIAL, "result": {**RESULT, "trial_id": "t00002"}}]
)
def test_what_is_no_evaluation_is_refused(value: object) -> None:
    with pytest.raises(RecordError):
        Evaluation.from_json(value)


@pytest.mark.parametrize("unit", ["", " ", None])
def test_budgets_count_something(unit: Any) -> None:
    with pytest.raises(
        UsageError, match=rf"^budget unit {unit!r}: accepted is what budgets count, such as epochs; leave it out for seconds$"
    ):
        Budgets(unit=unit)
