"""A study searched by job arrays on a real SLURM, which requeues, preempts, warns and kills its tasks."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from slurm import Slurm, Task, slurm, wait_for

from bohb_nas.engine.cluster import listening_ip
from bohb_nas.errors import UsageError
from bohb_nas.store import holders
from bohb_nas.store.journal import fold
from bohb_nas.store.study_dir import StudyDir

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
N_TASKS = 4
SEARCH = [
    *("--space", "toy", "--worker", "toy", "--method", "random_search", "--budget-min", "1", "--budget-max", "9"),
    *("--worker-option", "seconds_per_budget=0.15"),
]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slurm]:
    with slurm(tmp_path_factory.mktemp("slurm"), cpus=N_TASKS) as started:
        yield started


@pytest.fixture
def study(cluster: Slurm, tmp_path: Path) -> Iterator[StudyDir]:
    yield StudyDir(tmp_path / "a study's % $(touch pwned) é")
    cluster.clear()


def listen() -> str:
    """Where masters can listen here; some test machines have nothing but loopback."""
    try:
        listening_ip("host")
    except UsageError:
        return "loopback"
    return "host"


def submit(cluster: Slurm, study: StudyDir, *arguments: str) -> str:
    """The number of the array."""
    command = [sys.executable, "-m", "bohb_nas", "submit", str(study.path), "--cluster", "slurm", "--array", str(N_TASKS)]
    more = ["--gpus-per-task", "0", "--cpus-per-task", "1", "--listen", listen(), *arguments]
    done = subprocess.run([*command, *more], env=cluster.environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    job = re.match(r"slurm job (\d+): 4 tasks", done.stdout)
    assert job is not None, done.stdout
    return job[1]


def count(study: StudyDir, event: str) -> int:
    return study.journal.read_text().count(f'"event":"{event}"') if study.journal.exists() else 0


def leader(cluster: Slurm, study: StudyDir) -> Task:
    """The task that leads."""
    wait_for(lambda: holders.master(study) is not None)
    variables = Path(f"/proc/{(holders.master(study) or {})['pid']}/environ").read_bytes().split(b"\0")
    job = next(v for v in variables if v.startswith(b"SLURM_JOB_ID=")).decode().partition("=")[2]
    return next(task for task in cluster.running() if task.job == job)


class Finished:
    """What is finished at some moment: it must neither change nor be trained again."""

    def __init__(self, study: StudyDir) -> None:
        self._study = study
        self._results = {p: p.read_bytes() for p in study.results.glob("*.json")}
        self._attempts = self._count()

    def _count(self) -> dict[str, int]:
        return {p.stem: len(self._study.attempts(p.stem)) for p in self._results}

    def check(self) -> None:
        assert {p: p.read_bytes() for p in self._results} == self._results
        assert self._count() == self._attempts


def check_done(study: StudyDir, n_trials: int, *, n_interrupted: int) -> None:
    """All evaluations are there once, and no more trials were begun again than were interrupted."""
    state = fold(study.journal)
    assert study.done.exists()
    assert (len(state.results), state.pending) == (n_trials, [])
    assert count(study, "ask") == count(study, "tell") == n_trials
    assert {r.status.value for r in state.results.values()} == {"ok"}
    assert {p.stem for p in study.results.glob("*.json")} == set(state.results)
    assert sum(len(study.attempts(i)) for i in state.results) <= n_trials + n_interrupted
    assert not (study.path.parent / "pwned").exists()


def test_an_array_searches_to_the_end_although_its_leader_is_requeued(cluster: Slurm, study: StudyDir) -> None:
    job = submit(cluster, study, *SEARCH, "--trials", "48")
    wait_for(lambda: count(study, "tell") >= 8)
    finished, terms, first = Finished(study), count(study, "lead"), leader(cluster, study)
    began = time.monotonic()
    cluster.requeue(first)
    wait_for(lambda: count(study, "lead") > terms)
    print(f"\na new master {time.monotonic() - began:.1f} s after the leader was requeued")
    cluster.release(first)
    wait_for(study.done.exists)
    wait_for(cluster.idle)
    assert cluster.states(job) == {"COMPLETED"}
    finished.check()
    check_done(study, 48, n_interrupted=1)
    logs = {log.name: log.read_text() for log in study.workers.glob("job-*.out")}
    assert sorted(logs) == [f"job-{job}_{k}.out" for k in range(N_TASKS)]
    assert all("the study is done" in log for log in logs.values())


def test_arrays_that_are_warned_preempted_and_killed_lose_nothing(cluster: Slurm, study: StudyDir, tmp_path: Path) -> None:
    soon = "--extra=--signal=B:USR1@75"  # SLURM looks at limits twice a minute and is early by one look: 15 to 45 s after the start
    warned = submit(cluster, study, *SEARCH, "--trials", "9999", "--time", "2m", soon)
    wait_for(lambda: cluster.states(warned) == {"COMPLETED"})
    assert not study.done.exists()
    logs = [log.read_text() for log in study.workers.glob(f"job-{warned}_*.out")]
    assert ["asked to leave by SIGUSR1" in log for log in logs] == [True] * N_TASKS
    finished = [Finished(study)]

    second = submit(cluster, study)
    told = count(study, "tell")
    wait_for(lambda: count(study, "tell") >= told + 4)
    finished.append(Finished(study))
    urgent = tmp_path / "urgent.sh"
    urgent.write_text("#!/bin/sh\n#SBATCH -p high\n#SBATCH -c 1\n#SBATCH -o /dev/null\nsleep 1\n")
    cluster.command("sbatch", str(urgent))
    wait_for(lambda: "PENDING" in cluster.states(second))
    told = count(study, "tell")
    wait_for(lambda: count(study, "tell") >= told + 4)

    finished.append(Finished(study))
    for process in [*holders.living_workers(study), holders.master(study) or {}]:
        os.kill(int(process["pid"]), signal.SIGKILL)
    wait_for(lambda: "RUNNING" not in cluster.states(second))
    cluster.command("scancel", second)  # what was preempted and waits
    wait_for(cluster.idle)
    assert not study.done.exists()
    finished.append(Finished(study))

    n_trials = count(study, "ask") + 16
    third = submit(cluster, study, "--trials", str(n_trials))
    wait_for(study.done.exists)
    wait_for(cluster.idle)
    assert cluster.states(third) == {"COMPLETED"}
    for moment in finished:
        moment.check()
    check_done(study, n_trials, n_interrupted=2 * N_TASKS + 1)
