"""What tests of whole studies share: how one is started, looked at, and cleared away."""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bohb_nas.engine.dask_engine import MAX_DEATHS
from bohb_nas.store import holders
from bohb_nas.store.journal import State, fold
from bohb_nas.store.study_dir import StudyDir

_STARTED: list[subprocess.Popen[bytes]] = []
"""What a test has started; waited for at its end, whatever became of it."""
TOY = ["--space", "toy", "--worker", "toy", "--budget-min", "1", "--budget-max", "9"]


def program(*arguments: str) -> list[str]:
    """The command line of the project."""
    return [sys.executable, "-m", "bohb_nas", *arguments]


def search(study: Path, *arguments: str, slow: float = 0.0) -> list[str]:
    """A search over the toy space."""
    return program("run", str(study), *TOY, "--worker-option", f"seconds_per_budget={slow}", *arguments)


def start(command: list[str], log: Path) -> subprocess.Popen[bytes]:
    """Starts a program in a session of its own; what it says is appended to a file."""
    with log.open("ab") as stream:
        started = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=stream, stderr=stream, start_new_session=True)
    _STARTED.append(started)
    return started


def wait_until(condition: Callable[[], object], *, seconds: float = 120.0, what: str = "it") -> None:
    """Waits for something that has to happen."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not happen"
        time.sleep(0.02)


def lines(study: Path) -> list[dict[str, Any]]:
    """The journal as it stands; a line that is being written does not count."""
    path = study / "journal.jsonl"
    text = path.read_text() if path.exists() else ""
    return [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]


def count(study: Path, event: str) -> int:
    """Lines of a kind."""
    return sum(line["event"] == event for line in lines(study))


def master(study: Path) -> int | None:
    """The process that leads."""
    note = holders.master(StudyDir(study))
    return int(note["pid"]) if note is not None and "pid" in note else None


def check_whole(study: Path, *, trials: int) -> State:
    """Every trial was asked once, told once, and stored once, unless three workers were killed while they trained it: it never ended."""
    state = fold(study / "journal.jsonl")
    counted = [line for line in lines(study) if line["event"] == "tell"]
    told = Counter(line["result"]["trial_id"] for line in counted)
    assert (study / "done").exists()
    assert len(state.trials) == len(state.results) == trials
    assert [i for i, n in told.items() if n > 1] == []
    lost = {i for i, result in state.results.items() if (result.message or "").startswith(f"lost {MAX_DEATHS} times while it was trained")}
    assert {p.stem for p in (study / "results").glob("*.json")} == set(state.trials) - lost
    assert list((study / "results").glob("*refused*")) == []
    return state


def all_details(study: Path, trial_id: str = "t00000") -> dict[str, Any]:
    """What a worker said of a trial, of which a state keeps a part."""
    (told,) = (line["result"] for line in lines(study) if line["event"] == "tell" and line["result"]["trial_id"] == trial_id)
    return dict(told["details"])


def attempts(study: Path) -> dict[str, int]:
    """How often each trial was begun."""
    directory = StudyDir(study)
    return {p.name: len(directory.attempts(p.name)) for p in directory.trials.iterdir()}


@contextmanager
def cleared(*studies: Path) -> Iterator[None]:
    """Ends whatever still works for studies when the block ends."""
    try:
        yield
    finally:
        for study in studies:
            for process in Path("/proc").glob("[0-9]*"):
                try:
                    words = (process / "cmdline").read_bytes()
                except OSError:
                    continue
                if os.fsencode(str(study)) in words and int(process.name) != os.getpid():
                    _end(int(process.name))
        while _STARTED:
            _STARTED.pop().wait()


def _end(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return
