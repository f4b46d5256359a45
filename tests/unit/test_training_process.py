"""A training child seen from outside: whether it starts, when it may be asked to leave, how it is ended, and how long a trial may take."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import psutil
import pytest
from study_fakes import CLEANS_UP, trial

from bohb_nas.engine import training_process
from bohb_nas.engine.plan import Request, plan
from bohb_nas.engine.training_process import TrainingProcess, hard_limit
from bohb_nas.errors import StartError

_T = TypeVar("_T")


@pytest.mark.parametrize(
    ("worker", "unit", "asked", "limit_s"),
    [
        ("toy", "s", None, 1.5 * 60 + 300),
        ("toy", "epochs", None, None),
        ("toy", "s", 50, 50.0),
        ("toy", "epochs", 50, 50.0),
        ("command", "s", 50, 110.0),
        ("command", "s", None, 390.0),
    ],
)
def test_a_command_ends_its_program_at_the_limit_before_it_is_ended_itself(
    worker: str, unit: str, asked: float | None, limit_s: float | None
) -> None:
    """It has a minute for that; without a limit a trial of 60 s has half as much again and five minutes."""
    meta: dict[str, Any] = {"worker": worker, "budgets": {"unit": unit}, "hard_limit_s": asked}
    assert hard_limit(60.0, meta) == limit_s


def started(folder: Path, code: str, use: Callable[[TrainingProcess], Awaitable[_T]]) -> _T:
    """What comes of the use of a training process whose worker is this code."""
    (folder / "mine.py").write_text(code)

    async def whole() -> _T:
        process = await TrainingProcess.start(plan(Request(space="toy", worker=str(folder / "mine.py"))), {})
        try:
            return await use(process)
        finally:
            await process.end()

    return asyncio.run(whole())


@pytest.mark.parametrize(
    ("code", "start_s", "said"),
    [
        ("raise ValueError('no such device')", 60.0, "ValueError: no such device"),
        ("import os\nos._exit(3)", 60.0, "the training process cannot start: it ended without a word"),
        ("import time\ntime.sleep(600)", 0.0, "the training process was not ready after 0 s"),
    ],
)
def test_a_process_that_cannot_start_says_why_and_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str, start_s: float, said: str
) -> None:
    pids, create = list[int](), asyncio.create_subprocess_exec

    async def noted(*command: str, **how: Any) -> asyncio.subprocess.Process:
        process = await create(*command, **how)
        pids.append(process.pid)
        return process

    async def use(process: TrainingProcess) -> None:
        raise AssertionError(f"it is ready: {process}")

    monkeypatch.setattr(asyncio, "create_subprocess_exec", noted)
    monkeypatch.setattr(training_process, "_START_S", start_s)
    with pytest.raises(StartError, match=said):
        started(tmp_path, code, use)
    (pid,) = pids
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def request(folder: Path) -> dict[str, Any]:
    return {"trial": trial(0).to_json(), "workdir": str(folder), "earlier": []}


async def until(path: Path) -> None:
    while not path.exists():
        await asyncio.sleep(0.01)


LEAVES = """
import time
from bohb_nas import Result, Status, leaving
hands_over = True
def train(trial, workdir):
    (workdir / "began").touch()
    while not leaving.asked():
        time.sleep(0.01)
    return Result(trial_id=trial.trial_id, status=Status.PREEMPTED, loss=None, train_s=0.0)
"""


def test_only_a_trial_in_training_that_can_be_handed_over_is_asked_to_leave(tmp_path: Path) -> None:
    """Whoever is told that it was asked waits for its end."""

    async def use(process: TrainingProcess) -> tuple[list[bool], dict[str, Any] | None]:
        assert process.hands_over
        asked = [process.ask_to_leave()]
        training = asyncio.ensure_future(process.ask(request(tmp_path), limit_s=None))
        await until(tmp_path / "began")
        for process.hands_over in (False, True):
            asked.append(process.ask_to_leave())
        answer = await training
        return [*asked, process.ask_to_leave()], answer

    asked, answer = started(tmp_path, LEAVES, use)
    assert asked == [False, False, True, False]
    assert answer is not None
    assert answer["result"]["status"] == "preempted"


def test_who_is_ended_in_the_middle_of_a_trial_may_clean_up(tmp_path: Path) -> None:
    async def use(process: TrainingProcess) -> dict[str, Any] | None:
        training = asyncio.ensure_future(process.ask(request(tmp_path), limit_s=None))
        await until(tmp_path / "began")
        await process.end()
        return await training

    assert started(tmp_path, CLEANS_UP, use) is None
    assert (tmp_path / "cleaned").exists()


@pytest.mark.parametrize(
    ("end", "killed", "text"), [("kill(os.getpid(), 9)", True, "signal SIGKILL, often out of memory"), ("_exit(9)", False, "exit code 9")]
)
def test_a_process_that_was_killed_is_told_from_one_that_ended(tmp_path: Path, end: str, killed: bool, text: str) -> None:
    """The trial of the former is tried once more."""

    async def use(process: TrainingProcess) -> tuple[object, bool, bool, str]:
        return await process.ask(request(tmp_path), limit_s=None), process.living, process.killed, process.end_text

    assert started(tmp_path, f"import os\ndef train(trial, workdir):\n    os.{end}\n", use) == (None, False, killed, text)


def lives(pid: int) -> bool:
    """Whether a process has not ended, if only nobody has asked how yet."""
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


LEAVES_A_PROGRAM = """
import os, subprocess, sys
from pathlib import Path
def train(trial, workdir):
    left = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(20)"])
    Path("LEFT").write_text(str(left.pid))
    os._exit(9)
"""


def test_what_a_process_leaves_ends_with_it_and_later_its_number_may_be_anothers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So to end it then sends nothing more."""
    sent, here = list[tuple[int, int]](), tmp_path / "left"

    async def use(process: TrainingProcess) -> list[tuple[int, int]]:
        assert await process.ask(request(tmp_path), limit_s=None) is None
        while lives(int(here.read_text())):
            await asyncio.sleep(0.01)
        for name in ("kill", "killpg"):
            monkeypatch.setattr(os, name, lambda *to: sent.append(to))
        await process.end()
        return sent

    assert started(tmp_path, LEAVES_A_PROGRAM.replace("LEFT", str(here)), use) == []
