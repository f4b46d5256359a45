"""Whatever a worker does wrong comes back as a status with a reason."""

import json
from pathlib import Path
from typing import Any

import pytest

from bohb_nas.engine.child import check, make_worker, train
from bohb_nas.errors import DatasetError, RefError, StorageError
from bohb_nas.records import Origin, Result, Status, Trial
from bohb_nas.search_spaces.toy import space
from bohb_nas.space.files import space_to_json

TRIAL = Trial(trial_id="t0", config_id="c0", config={"x": 1.0}, budget=1.0, bracket=0, rung=0, seed=0, origin=Origin.RANDOM)


class Worker:
    def __init__(self, answer: Any) -> None:
        self.answer = answer

    def train(self, trial: Trial, workdir: Path) -> Result:
        del trial, workdir
        if isinstance(self.answer, BaseException):
            raise self.answer
        return self.answer() if callable(self.answer) else self.answer  # type: ignore[no-any-return]


def ok(**changed: Any) -> Result:
    return Result(**{"trial_id": "t0", "status": Status.OK, "loss": 0.5, "train_s": 1.0, **changed})


def test_a_proper_result_passes_unchanged(tmp_path: Path) -> None:
    result = ok(metrics={"a": 1.0}, details={"b": [1, {"c": None}]})
    assert train(Worker(result), TRIAL, tmp_path) == (result, False)


@pytest.mark.parametrize(
    ("answer", "status", "said"),
    [
        (None, Status.CRASHED, "returned NoneType"),
        ("0.5", Status.CRASHED, "returned str"),
        (0.5, Status.CRASHED, "returned float"),
        (lambda: ok(loss=float("nan")), Status.CRASHED, "loss is nan; accepted is a finite number"),
        (lambda: ok(loss=None), Status.CRASHED, "loss is None"),
        (lambda: ok(loss="0.5"), Status.CRASHED, "loss is '0.5'"),
        (lambda: ok(train_s=-1.0), Status.CRASHED, "train_s is -1.0; accepted is a number of seconds from 0"),
        (lambda: ok(trial_id="t1"), Status.CRASHED, "a result of 't1' for trial 't0'"),
        (lambda: ok(metrics={"a": float("inf")}), Status.CRASHED, "inf"),
        (lambda: ok(details={"a": object()}), Status.CRASHED, "not JSON serializable"),
        (ZeroDivisionError("by zero"), Status.CRASHED, "ZeroDivisionError: by zero"),
        (MemoryError("16 EiB"), Status.OUT_OF_MEMORY, "16 EiB"),
    ],
)
def test_misbehaviour_is_a_status_with_a_reason(tmp_path: Path, answer: Any, status: Status, said: str) -> None:
    result, _ = train(Worker(answer), TRIAL, tmp_path)
    assert result.status is status
    assert result.loss is None
    assert said in (result.message or "")


def test_an_exception_may_have_spoilt_the_process_an_answer_has_not(tmp_path: Path) -> None:
    assert train(Worker(RuntimeError("CUDA error: an illegal memory access was encountered")), TRIAL, tmp_path)[1]
    assert not train(Worker(None), TRIAL, tmp_path)[1]


@pytest.mark.parametrize("gone", [StorageError("disk full"), DatasetError("no such folder")])
def test_a_lost_disk_or_data_set_is_no_trials_fault(tmp_path: Path, gone: Exception) -> None:
    with pytest.raises(type(gone)):
        train(Worker(gone), TRIAL, tmp_path)


def test_a_module_with_train_is_a_worker(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text("def train(trial, workdir):\n    return 1\n")
    assert callable(make_worker(str(path), {}).train)
    with pytest.raises(RefError, match="takes no options"):
        make_worker(str(path), {"speed": 1})
    path.write_text("x = 1\n")
    with pytest.raises(RefError, match=r"no function train\(trial, workdir\)"):
        make_worker(str(path), {})


def test_a_worker_may_refuse_a_space(tmp_path: Path) -> None:
    text = space_to_json(space())
    assert json.loads(text)
    assert check("toy", {}, text) == {"checked": True}
    assert "width" in check("command", {"command": "true {widht}"}, text)["error"]
