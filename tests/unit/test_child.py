"""Whatever a worker does wrong comes back as a status with a reason."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from study_fakes import CLEANS_UP

from bohb_nas import leaving, spoilt
from bohb_nas.engine.child import END, check, make_worker, train
from bohb_nas.errors import DatasetError, RefError, StorageError
from bohb_nas.records import Origin, Result, Status, Trial
from bohb_nas.search_spaces.toy import space
from bohb_nas.space.files import space_to_json
from bohb_nas.store.notes import first_line

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
        (lambda: ok(loss=float("nan")), Status.DIVERGED, "the loss is nan"),
        (lambda: ok(loss=np.float32("-inf")), Status.DIVERGED, "the loss is -inf"),
        (lambda: ok(loss=None), Status.CRASHED, "loss is None"),
        (lambda: ok(loss="0.5"), Status.CRASHED, "loss is '0.5'"),
        (lambda: ok(train_s=-1.0), Status.CRASHED, "train_s is -1.0; accepted is a number of seconds from 0"),
        (lambda: ok(status="preempted", loss=None), Status.CRASHED, "status preempted but does not hand over"),
        (lambda: ok(trial_id="t1"), Status.CRASHED, "a result of 't1' for trial 't0'"),
        (ZeroDivisionError("by zero"), Status.CRASHED, "ZeroDivisionError: by zero"),
        (ValueError("x" * 5000 + " in the end"), Status.CRASHED, "x in the end"),
        (SystemExit("cannot read /data/foo.yaml"), Status.CRASHED, "SystemExit: cannot read /data/foo.yaml"),
        (SystemExit(), Status.CRASHED, "SystemExit"),
        (KeyboardInterrupt(), Status.CRASHED, "KeyboardInterrupt"),
        (GeneratorExit(), Status.CRASHED, "GeneratorExit"),
        (MemoryError("16 EiB"), Status.OUT_OF_MEMORY, "16 EiB"),
        (torch.OutOfMemoryError("16 EiB"), Status.OUT_OF_MEMORY, "out of memory: 16 EiB"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), Status.OUT_OF_MEMORY, "can't allocate memory"),
    ],
)
def test_misbehaviour_is_a_status_with_a_reason(tmp_path: Path, answer: Any, status: Status, said: str) -> None:
    result, _ = train(Worker(answer), TRIAL, tmp_path)
    assert result.status is status
    assert result.loss is None
    assert said in (result.message or "")


@pytest.mark.parametrize("what", ["z" * 5000, "z" * 5000 + "\nin the end", "\n".join(["a line of many"] * 1000)])
def test_a_long_message_keeps_what_was_raised_and_where(tmp_path: Path, what: str) -> None:
    result, _ = train(Worker(ValueError(what)), TRIAL, tmp_path)
    said = str(result.message)
    assert said.startswith("Traceback (most recent call last):\n")
    assert f'File "{__file__}"' in said
    assert f"ValueError: {what[:14]}" in said
    assert said.endswith(what[-10:] + "\n")
    assert len(said) < 4100
    assert first_line(said).startswith(f"ValueError: {what[:14]}" if "\n" not in what else what.splitlines()[-1])


def nested(depth: int) -> Any:
    found: Any = 1
    for _ in range(depth):
        found = [found]
    return found


@pytest.mark.parametrize(
    ("details", "said"),
    [
        ({"tree": nested(98)}, "nested more than 100 deep"),
        ({"tree": nested(3000)}, "recursion|depth limit"),  # by the writer; from Python 3.13 on, which goes deeper, by the reader
        ({"file": "caf\udce9.png"}, "surrogates not allowed"),
        ({"rate": float("nan")}, "not JSON compliant"),
        ({"a": object()}, "object is not JSON serializable"),
        ({"matrix": np.ones((2, 2))}, "ndarray is not JSON serializable"),
        ({"weights": torch.ones(2)}, "Tensor is not JSON serializable"),
        ({(1, 2): 3}, "keys must be"),
    ],
)
def test_a_loss_is_kept_whatever_its_details_are(tmp_path: Path, details: dict[str, Any], said: str) -> None:
    """A line of the journal has three objects around a detail, and its readers take a hundred in all."""
    result, spoilt = train(Worker(ok(details={"epochs": 3, **details})), TRIAL, tmp_path)
    assert (result.status, result.loss, spoilt) == (Status.OK, 0.5, False)
    assert result.details.keys() == {"epochs", "left_out"}
    (name,) = details
    assert re.search(f"cannot keep {re.escape(ascii(name))}: .*({said})", result.details["left_out"])


@pytest.mark.parametrize("name", ["caf\udce9", ("top", 5)])
def test_a_loss_is_kept_whatever_its_metrics_are_called(tmp_path: Path, name: Any) -> None:
    result, spoilt = train(Worker(ok(metrics={"top1": 0.75, name: 0.875}, details={"epochs": 3})), TRIAL, tmp_path)
    assert (result.status, result.loss, spoilt) == (Status.OK, 0.5, False)
    assert (result.metrics, result.details["epochs"]) == ({"top1": 0.75}, 3)
    assert result.details["left_out"].startswith(f"a study cannot keep {name!a}: ")


def test_scalars_of_other_libraries_in_details_become_numbers(tmp_path: Path) -> None:
    scalars = {"a": np.float32(0.5), "b": [np.int64(3)], "c": np.bool_(True), "d": torch.tensor(2), "e": np.array(1.5)}
    result, _ = train(Worker(ok(details=scalars)), TRIAL, tmp_path)
    assert json.dumps(result.details) == '{"a": 0.5, "b": [3], "c": true, "d": 2, "e": 1.5}'


def test_a_worker_s_own_message_may_name_files_that_are_not_utf_8(tmp_path: Path) -> None:
    said = Result(trial_id="t0", status=Status.TIMED_OUT, loss=None, train_s=1.0, message="late at caf\udce9.png", details={"epochs": 3})
    result, _ = train(Worker(said), TRIAL, tmp_path)
    assert (result.status, result.message, result.details) == (Status.TIMED_OUT, "late at caf\\udce9.png", {"epochs": 3})


def test_the_size_of_a_result_is_that_of_its_line_in_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = '{"trial_id":"t0","status":"ok","loss":0.5,"train_s":1.0,"metrics":{},"details":{"a":"éé"},"config":null,"message":null}'
    for room, status in ((0, Status.OK), (-1, Status.CRASHED)):
        monkeypatch.setattr("bohb_nas.engine.child.RESULT_LIMIT_BYTES", len(text) + 2 + room)  # each é has two bytes
        result, _ = train(Worker(ok(details={"a": "éé"})), TRIAL, tmp_path)
        assert result.status is status
    assert f"the result has {len(text) + 2} bytes as JSON" in str(result.message)


def test_details_as_deep_as_readers_take_pass(tmp_path: Path) -> None:
    result = ok(details={"tree": nested(97)})
    assert train(Worker(result), TRIAL, tmp_path) == (result, False)


@pytest.fixture
def asked() -> Iterator[None]:
    leaving.ask()
    yield
    leaving.reset()


def preempted() -> Result:
    return Result(trial_id="t0", status=Status.PREEMPTED, loss=None, train_s=0.5)


class HandsOver(Worker):
    hands_over = True


@pytest.mark.usefixtures("asked")
def test_who_hands_over_and_was_asked_may_leave(tmp_path: Path) -> None:
    assert train(HandsOver(preempted()), TRIAL, tmp_path) == (preempted(), False)


@pytest.mark.usefixtures("asked")
def test_who_does_not_hand_over_may_not_leave(tmp_path: Path) -> None:
    result, _ = train(Worker(preempted()), TRIAL, tmp_path)
    assert result.status is Status.CRASHED
    assert "give it an attribute hands_over" in str(result.message)


def test_who_was_not_asked_may_not_leave(tmp_path: Path) -> None:
    result, _ = train(HandsOver(preempted()), TRIAL, tmp_path)
    assert result.status is Status.CRASHED
    assert "without being asked to leave" in str(result.message)


LEAVER = """
import time
from pathlib import Path
from bohb_nas import Result, Status, leaving
hands_over = True
def train(trial, workdir):
    (workdir / "began").touch()
    until = time.monotonic() + trial.budget
    while time.monotonic() < until and not leaving.asked():
        time.sleep(0.01)
    left = leaving.asked()
    return Result(trial_id=trial.trial_id, status=Status.PREEMPTED if left else Status.OK, loss=None if left else 0.5, train_s=0.0)
"""


class Child:
    """A training child at the other end of its pipe."""

    def __init__(self, process: "subprocess.Popen[str]", folder: Path) -> None:
        self.process, self.folder = process, folder

    def hear(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        answer: dict[str, Any] = json.loads(self.process.stdout.readline())
        return answer

    def give(self, name: str, *, budget: float, earlier: Sequence[str] = ()) -> Path:
        """Asks for a trial, which had such earlier attempts, and returns its folder."""
        assert self.process.stdin is not None
        workdir = self.folder / name
        workdir.mkdir(exist_ok=True)
        trial = TRIAL.to_json() | {"budget": budget}
        self.process.stdin.write(
            json.dumps({"trial": trial, "workdir": str(workdir), "earlier": [str(self.folder / attempt) for attempt in earlier]}) + "\n"
        )
        self.process.stdin.flush()
        return workdir

    def signal(self) -> None:
        os.kill(self.process.pid, signal.SIGUSR1)

    def settle(self) -> None:
        """Waits until whatever was signalled has arrived: signals are handled before the answer to a later request."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps({"check": space_to_json(space())}) + "\n")
        self.process.stdin.flush()
        assert self.hear() == {"checked": True, "notes": []}


@contextmanager
def child(folder: Path, reference: str) -> Iterator[Child]:
    command = [sys.executable, "-m", "bohb_nas.engine.child", str(os.getpid()), reference, "{}"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield Child(process, folder)
        finally:
            process.kill()


def wait_for(path: Path) -> None:
    for _ in range(2000):
        if path.exists():
            return
        time.sleep(0.01)
    raise AssertionError(f"{path} never came")


def test_a_signal_reaches_the_trial_in_training_and_no_other(tmp_path: Path) -> None:
    (tmp_path / "leaver.py").write_text(LEAVER)
    with child(tmp_path, str(tmp_path / "leaver.py")) as leaver:
        assert leaver.hear() == {"ready": True, "hands_over": True}
        leaver.signal()
        leaver.settle()
        leaver.give("1", budget=0.05)
        assert leaver.hear()["result"]["status"] == "ok", "nothing was in training when the signal came"
        wait_for(leaver.give("2", budget=600.0) / "began")
        leaver.signal()
        leaver.signal()
        assert leaver.hear()["result"]["status"] == "preempted"
        leaver.signal()
        leaver.settle()
        leaver.give("3", budget=0.05)
        assert leaver.hear()["result"]["status"] == "ok", "neither what was asked of the last trial nor what came after it is left"


def test_a_signal_right_behind_a_request_is_not_lost(tmp_path: Path) -> None:
    (tmp_path / "leaver.py").write_text(LEAVER)
    with child(tmp_path, str(tmp_path / "leaver.py")) as leaver:
        leaver.hear()
        for n in range(20):
            leaver.give(str(n), budget=600.0)
            leaver.signal()
            assert leaver.hear()["result"]["status"] == "preempted"


STREAMS = {
    "none": "sys.stdout = sys.stderr = None",
    "only write": "sys.stdout = sys.stderr = Tee()",
    "refuses to flush": "sys.stdout = sys.stderr = Tee(); Tee.flush = lambda _: 1 / 0",
    "closed": "sys.stdout.close(); sys.stderr.close()",
    "detached": "sys.stdout = codecs.getwriter('utf-8')(sys.stdout.detach()); sys.stderr.detach()",
    "deleted": "del sys.stdout, sys.stderr",
    "wrapped": "sys.stdout = io.TextIOWrapper(sys.stdout.buffer, line_buffering=True)",
    "wrapped and kept": "Tee.kept = sys.stdout = io.TextIOWrapper(sys.stdout.buffer, line_buffering=True)",
    "made anew": "sys.stdout = os.fdopen(sys.stdout.fileno(), 'w', 1)",
    "without a descriptor": "sys.stdout.close(); os.close(1)",
}
"""How a worker can leave its standard output."""
PRINTS = """
import codecs, io, os, sys
from bohb_nas import Result, Status
class Tee:
    def write(self, text):
        return len(text)
def train(trial, workdir):
    print("first words of", workdir.name)
    print("a complaint of", workdir.name, file=sys.stderr)
    {}
    return Result(trial_id=trial.trial_id, status=Status.OK, loss=0.5, train_s=0.0)
"""


@pytest.mark.parametrize("way", STREAMS)
def test_what_a_worker_makes_of_its_output_costs_no_evaluation_and_no_later_log(tmp_path: Path, way: str) -> None:
    (tmp_path / "prints.py").write_text(PRINTS.replace("{}", STREAMS[way]))
    with child(tmp_path, str(tmp_path / "prints.py")) as prints:
        prints.hear()
        for name in ("1", "2", "3"):
            workdir = prints.give(name, budget=1.0)
            said = prints.hear()
            assert (said["result"]["status"], said["spoilt"]) == ("ok", False)
            lines = sorted((workdir / "log.txt").read_text().splitlines())
            assert lines == [f"a complaint of {name}", f"first words of {name}"]


def test_output_that_a_worker_replaces_as_it_is_imported_stays_its_own(tmp_path: Path) -> None:
    text = PRINTS.replace("return len(text)", "return sys.__stdout__.write(text.upper())").replace("{}", "pass")
    (tmp_path / "prints.py").write_text(f"{text}Tee.flush = lambda tee: sys.__stdout__.flush()\nsys.stdout = Tee()\n")
    with child(tmp_path, str(tmp_path / "prints.py")) as prints:
        prints.hear()
        for name in ("1", "2"):
            workdir = prints.give(name, budget=1.0)
            assert prints.hear()["result"]["status"] == "ok"
            assert f"FIRST WORDS OF {name}" in (workdir / "log.txt").read_text().splitlines()


def test_a_worker_that_takes_its_output_away_and_fails_has_its_traceback_in_the_log(tmp_path: Path) -> None:
    (tmp_path / "prints.py").write_text(PRINTS.replace("{}", "sys.stderr = None; raise ValueError('too wide')"))
    with child(tmp_path, str(tmp_path / "prints.py")) as prints:
        prints.hear()
        workdir = prints.give("1", budget=1.0)
        assert "ValueError: too wide" in prints.hear()["result"]["message"]
        assert "ValueError: too wide" in (workdir / "log.txt").read_text()


STARTER = """
import subprocess, sys
def train(trial, workdir):
    code = "import time; print('up', flush=True); time.sleep(600)"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as program:
        program.stdout.readline()
        (workdir / "program").write_text(str(program.pid))
        raise RuntimeError(program.wait())
"""


def test_a_signal_to_every_process_of_a_job_leaves_the_child_and_ends_what_it_started(tmp_path: Path) -> None:
    (tmp_path / "starter.py").write_text(STARTER)
    with child(tmp_path, str(tmp_path / "starter.py")) as starter:
        starter.hear()
        started = starter.give("1", budget=1.0) / "program"
        wait_for(started)
        for number in (signal.SIGTERM, signal.SIGTERM, signal.SIGUSR2, signal.SIGINT):
            starter.process.send_signal(number)
        while not started.read_text():
            time.sleep(0.01)
        os.kill(int(started.read_text()), signal.SIGTERM)
        result = starter.hear()["result"]
        assert result["status"] == "crashed"
        assert "RuntimeError: -15" in result["message"], "the program does not inherit that the signal passes"
        starter.process.send_signal(END)
        assert starter.process.wait(timeout=60) == 143


EXITS = """
import argparse, os
def train(trial, workdir):
    if workdir.name == "1":
        argparse.ArgumentParser(prog="mine").parse_args(["--lr"])
    pid = os.fork()
    if pid == 0:
        raise SystemExit(3) if workdir.name == "2" else ValueError("of the fork")
    raise RuntimeError(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""


def test_whoever_exits_has_crashed_and_says_why_in_its_log(tmp_path: Path) -> None:
    (tmp_path / "exits.py").write_text(EXITS)
    with child(tmp_path, str(tmp_path / "exits.py")) as exits:
        exits.hear()
        workdir = exits.give("1", budget=1.0)
        said = exits.hear()
        assert (said["result"]["status"], said["spoilt"]) == ("crashed", True)
        assert "SystemExit: 2" in said["result"]["message"]
        assert "mine: error: unrecognized arguments: --lr" in (workdir / "log.txt").read_text()


@pytest.mark.parametrize(("name", "code"), [("2", 3), ("3", 1)])
def test_a_process_that_a_worker_forked_answers_nothing(tmp_path: Path, name: str, code: int) -> None:
    (tmp_path / "exits.py").write_text(EXITS)
    with child(tmp_path, str(tmp_path / "exits.py")) as exits:
        exits.hear()
        exits.give(name, budget=1.0)
        assert f"RuntimeError: {code}" in exits.hear()["result"]["message"]


COPIES = """
import os
from bohb_nas import Result, Status
from bohb_nas.errors import StorageError
def train(trial, workdir):
    pid = os.fork()
    if pid == 0 and workdir.name == "full":
        raise StorageError("of the copy")
    code = 0 if pid == 0 else os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return Result(trial_id=trial.trial_id, status=Status.OK, loss=code, train_s=0.0, details={"pid": pid})
"""


@pytest.mark.parametrize(("name", "code"), [("returns", 0), ("full", 1)])
def test_a_copy_that_comes_back_from_its_training_answers_nothing(tmp_path: Path, name: str, code: int) -> None:
    (tmp_path / "copies.py").write_text(COPIES)
    with child(tmp_path, str(tmp_path / "copies.py")) as copies:
        copies.hear()
        for _ in range(2):
            copies.give(name, budget=1.0)
            result = copies.hear()["result"]
            assert result["details"]["pid"] > 0, "the parent's"
            assert result["loss"] == code


def test_a_child_that_is_told_to_end_ends_in_the_middle_of_a_trial(tmp_path: Path) -> None:
    (tmp_path / "waits.py").write_text(CLEANS_UP)
    with child(tmp_path, str(tmp_path / "waits.py")) as waits:
        waits.hear()
        workdir = waits.give("1", budget=1.0)
        wait_for(workdir / "began")
        waits.process.send_signal(END)
        assert waits.process.wait(timeout=60) == 143
        assert waits.process.stdout is not None
        assert waits.process.stdout.read() == ""
        assert (workdir / "cleaned").exists()


def test_what_a_full_disk_refuses_of_a_log_costs_no_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYTHONUNBUFFERED", raising=False)
    (tmp_path / "talker.py").write_text(
        "from bohb_nas import Result, Status\n"
        "def train(trial, workdir):\n"
        "    print('said, and not written yet')\n"
        "    if workdir.name == '2':\n"
        "        raise ValueError('no')\n"
        "    print(workdir.name, flush=workdir.name == '3')\n"
        "    return Result(trial_id=trial.trial_id, status=Status.OK, loss=0.25, train_s=1.0)\n"
    )
    with child(tmp_path, str(tmp_path / "talker.py")) as talker:
        talker.hear()
        for trial_id in "123":
            (tmp_path / trial_id).mkdir()
            (tmp_path / trial_id / "log.txt").symlink_to("/dev/full")
        talker.give("1", budget=1.0)
        said = talker.hear()["result"]
        assert said["loss"] == 0.25, said["message"]
        talker.give("2", budget=1.0)
        result = talker.hear()["result"]
        assert result["status"] == "crashed"
        assert "ValueError: no" in result["message"]
        talker.give("3", budget=1.0)
        assert "No space left on device; free space" in talker.hear()["error"], "no trial's fault: it is asked again"


def test_a_log_that_the_disk_refuses_is_no_trials_fault(tmp_path: Path) -> None:
    (tmp_path / "0" / "log.txt").mkdir(parents=True)  # a full disk refuses a new file, too
    (tmp_path / "never.py").write_text("def train(trial, workdir):\n    raise AssertionError\n")
    with child(tmp_path, str(tmp_path / "never.py")) as waits:
        waits.hear()
        waits.give("0", budget=1.0)
        assert f"cannot write {tmp_path}/0/log.txt: Is a directory" in waits.hear()["error"]


CLEARS = """
import threading
from bohb_nas import Result, Status
cleared = []
def kill_leftovers(workdir):
    cleared.append(workdir.name)
def train(trial, workdir):
    details = {"cleared": cleared, "threads": [thread.name for thread in threading.enumerate()]}
    return Result(trial_id=trial.trial_id, status=Status.OK, loss=0.5, train_s=0.0, details=details)
"""


def test_before_a_trial_what_its_earlier_attempts_left_running_is_ended(tmp_path: Path) -> None:
    (tmp_path / "clears.py").write_text(CLEARS)
    with child(tmp_path, str(tmp_path / "clears.py")) as clears:
        clears.hear()
        clears.give("2", budget=1.0, earlier=["0", "1"])
        details = clears.hear()["result"]["details"]
    assert details["cleared"] == ["0", "1"]
    assert "standstill" in details["threads"], "seconds in which it is suspended are no training"


def test_a_worker_without_the_attribute_does_not_hand_over(tmp_path: Path) -> None:
    (tmp_path / "stayer.py").write_text("print('{}')\ndef train(trial, workdir):\n    return None\n")
    with child(tmp_path, str(tmp_path / "stayer.py")) as stayer:
        assert stayer.hear() == {"ready": True, "hands_over": False}, "what it prints is no answer"


def test_an_exception_may_have_spoilt_the_process_an_answer_has_not(tmp_path: Path) -> None:
    assert train(Worker(RuntimeError("CUDA error: an illegal memory access was encountered")), TRIAL, tmp_path)[1]
    assert train(Worker(MemoryError("16 EiB")), TRIAL, tmp_path)[1]
    assert not train(Worker(None), TRIAL, tmp_path)[1]


def test_a_result_is_kept_of_a_process_that_may_be_spoilt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(spoilt, "_why", None)
    spoilt.note("a step could not be recorded")
    spoilt.note("the device takes no memory back")
    result, is_spoilt = train(Worker(ok()), TRIAL, tmp_path)
    assert (result.status, result.loss, is_spoilt) == (Status.OK, 0.5, True)
    assert capsys.readouterr().err == "a step could not be recorded; the next trial is trained by another process\n"


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
    assert check("toy", {}, text) == {"checked": True, "notes": []}
    assert "width" in check("command", {"command": "true {widht}"}, text)["error"]


@pytest.mark.parametrize(
    ("returned", "notes"), [("['lr stays at 1: why']", ["lr stays at 1: why"]), ("None", []), ("True", []), ("[3]", [])]
)
def test_what_a_worker_says_of_a_space_that_it_accepts_is_passed_on(returned: str, notes: list[str], tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(f"def train(trial, workdir):\n    return 1\ndef check(space):\n    return {returned}\n")
    assert check(str(path), {}, space_to_json(space())) == {"checked": True, "notes": notes}


@pytest.mark.parametrize("dies", ["raise ValueError('no depth in it')", "raise SystemExit('no depth in it')", "{}['no depth in it']"])
def test_a_check_that_fails_is_no_acceptance(dies: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(f"def train(trial, workdir):\n    return 1\ndef check(space):\n    {dies}\n")
    said = check(str(path), {}, space_to_json(space()))
    assert set(said) == {"error"}
    assert all(part in said["error"] for part in (f"worker {str(path)!r}", "check", "line 4", "no depth in it"))


def test_a_child_that_cannot_start_says_so_once(tmp_path: Path) -> None:
    """It is told to end while it ends, as whoever has read its answer does."""
    worker = tmp_path / "worker.py"
    worker.write_text(
        "import atexit, os, signal\nfrom bohb_nas.errors import OptionError\n"
        "atexit.register(os.kill, os.getpid(), signal.SIGRTMIN)\nraise OptionError('no such device')\n"
    )
    command = [sys.executable, "-m", "bohb_nas.engine.child", str(os.getpid()), str(worker), "{}"]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, "")
    assert "no such device" in json.loads(done.stdout)["error"]
