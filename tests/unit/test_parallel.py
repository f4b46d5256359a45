"""Pieces of work done in processes side by side."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import psutil
import pytest

from bohb_nas.analysis.study import find
from bohb_nas.errors import BohbNasError
from bohb_nas.parallel import as_they_end, run
from bohb_nas.store.study_dir import StudyDir

GOLDEN = Path(__file__).parents[1] / "golden" / "study-format-1"


def test_what_tasks_return_comes_in_their_order() -> None:
    assert run([partial(pow, 2, exponent) for exponent in range(5)], jobs=2) == [1, 2, 4, 8, 16]


def test_one_job_stays_in_this_process() -> None:
    assert run([os.getpid, os.getpid], jobs=1) == [os.getpid()] * 2
    assert os.getpid() not in run([os.getpid, os.getpid], jobs=2)


def test_an_error_of_a_task_comes_through() -> None:
    with pytest.raises(ValueError, match="invalid literal"):
        run([partial(int, "1"), partial(int, "one")], jobs=2)


def test_a_killed_process_is_told() -> None:
    def die() -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    with pytest.raises(BohbNasError, match=r"^one of the 2 processes was ended from outside.*fewer --jobs"):
        run([die, die], jobs=2)


WAITS = """
import os, sys, time
from functools import partial
from pathlib import Path
from bohb_nas import parallel

def work(folder, number):
    Path(folder, str(os.getpid())).touch()
    time.sleep(90)

parallel.run([partial(work, sys.argv[1], n) for n in range(2)], jobs=2)
"""


def alive(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def test_no_process_outlives_one_that_was_killed(tmp_path: Path) -> None:
    killed, deadline = subprocess.Popen([sys.executable, "-c", WAITS, str(tmp_path)]), time.monotonic() + 60
    while len(pids := [int(path.name) for path in tmp_path.iterdir()]) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    killed.kill()
    killed.wait()
    while any(map(alive, pids)):
        assert time.monotonic() < deadline, "processes of a killed one are still there"
        time.sleep(0.01)


def test_an_error_ends_what_is_still_at_work(tmp_path: Path) -> None:
    def waits() -> None:
        (tmp_path / str(os.getpid())).touch()
        time.sleep(90)

    def fails() -> None:
        while not list(tmp_path.iterdir()):
            time.sleep(0.01)
        raise ValueError("no number")

    with pytest.raises(ValueError, match="no number"):
        run([fails, waits], jobs=2)
    assert not any(alive(int(path.name)) for path in tmp_path.iterdir())


def test_results_come_as_they_end(tmp_path: Path) -> None:
    def last() -> str:
        while not (tmp_path / "go").exists():
            time.sleep(0.01)
        return "last"

    found: Iterator[tuple[int, str]] = as_they_end([last, partial(str, "first")], jobs=2)
    assert next(found) == (1, "first")
    (tmp_path / "go").touch()
    assert list(found) == [(0, "last")]


def test_processes_compute_on_one_thread_unless_told_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setenv("MKL_NUM_THREADS", "3")
    monkeypatch.setenv("PYTHONSAFEPATH", "")
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "PYTHONSAFEPATH")
    assert run([partial(os.getenv, name) for name in names], jobs=2) == ["1", "3", "1"]


def test_a_study_says_the_same_to_two_processes(tmp_path: Path) -> None:
    study = StudyDir(Path(shutil.copytree(GOLDEN, tmp_path / "study")))
    assert find(study, jobs=2) == find(study, jobs=1)
