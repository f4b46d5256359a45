"""Pieces of work done in processes side by side."""

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from functools import partial
from pathlib import Path

import psutil
import pytest

from bohb_nas.analysis.study import find
from bohb_nas.errors import AnalysisError
from bohb_nas.parallel import run
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

    with pytest.raises(AnalysisError, match="--jobs 1"):
        run([die, die], jobs=2)


def test_tasks_are_done_here_where_no_process_can_be_started() -> None:
    program = (
        "from functools import partial; from bohb_nas.parallel import run; print(run([partial(pow, 2, 3), partial(pow, 3, 2)], jobs=2))"
    )
    alone = {**os.environ, "JOBLIB_MULTIPROCESSING": "0"}
    done = subprocess.run([sys.executable, "-c", program], env=alone, capture_output=True, text=True, check=False)
    assert (done.stdout, done.returncode) == ("[8, 9]\n", 0)


def test_a_process_without_a_task_left_ends_soon_after_the_one_that_asked_was_killed() -> None:
    program = """
import time
from functools import partial
from bohb_nas.parallel import run

run([partial(time.sleep, 600), partial(pow, 2, 3)], jobs=2)
"""
    asking = subprocess.Popen([sys.executable, "-c", program])
    asked = psutil.Process(asking.pid)
    deadline = time.monotonic() + 60
    while len(started := asked.children(recursive=True)) < 3 and time.monotonic() < deadline:  # two and what tracks their memory
        time.sleep(0.1)
    time.sleep(1)  # the short task is over
    asking.kill()
    asking.wait()
    gone, alive = psutil.wait_procs(started, timeout=60)
    assert (len(gone) >= 3, alive) == (True, [])


def test_processes_that_end_while_tasks_are_handed_out_are_no_news() -> None:
    """Twenty times at the end of their wait, a little later each time: some of them end just then."""
    program = """
import time
from functools import partial
from bohb_nas import parallel

parallel._IDLE_S = 0.1
for k in range(20):
    assert parallel.run([partial(pow, 2, n) for n in range(4)], jobs=2) == [1, 2, 4, 8]
    time.sleep(0.08 + 0.002 * k)
"""
    done = subprocess.run([sys.executable, "-W", "always", "-c", program], capture_output=True, text=True, check=False)
    assert (done.stderr, done.returncode) == ("", 0)


def test_one_thread_after_another_may_ask() -> None:
    found: list[list[int]] = []
    for exponent in (2, 3):
        asking = threading.Thread(target=lambda n=exponent: found.append(run([partial(pow, 2, n), partial(pow, 3, n)], jobs=2)))
        asking.start()
        asking.join()
    assert found == [[4, 9], [8, 27]]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_processes_end_with_the_one_that_asked(tmp_path: Path, number: int) -> None:
    program = """
import os, pathlib, time
from functools import partial
from bohb_nas.parallel import run

def work(folder):
    (folder / str(os.getpid())).touch()
    time.sleep(600)

run([partial(work, pathlib.Path.cwd())] * 2, jobs=2)
"""
    asking = subprocess.Popen([sys.executable, "-c", program], cwd=tmp_path, stderr=subprocess.PIPE)
    deadline = time.monotonic() + 60
    while len(list(tmp_path.iterdir())) < 2 and time.monotonic() < deadline:
        time.sleep(0.02)
    working = [psutil.Process(int(path.name)) for path in tmp_path.iterdir()]
    asking.send_signal(number)
    assert asking.wait() == -number
    gone, alive = psutil.wait_procs(working, timeout=60)
    for process in alive:
        process.kill()
    assert (len(gone), alive) == (2, [])
    assert asking.stderr is not None
    with asking.stderr:
        assert asking.stderr.read() == b"", "what tidies up after them"


def test_a_study_says_the_same_to_two_processes(tmp_path: Path) -> None:
    study = StudyDir(Path(shutil.copytree(GOLDEN, tmp_path / "study")))
    assert find(study, jobs=2) == find(study, jobs=1)
