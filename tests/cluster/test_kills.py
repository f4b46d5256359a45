"""Masters and workers are killed at random moments; nothing finished may be lost or done twice."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

SEARCH = ["--space", "toy", "--worker", "toy", "--method", "hyperband", "--budget-min", "1", "--budget-max", "9"]
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def command(study: Path, *, brackets: int, workers: int = 1) -> list[str]:
    slowly = ["--worker-option", "seconds_per_budget=0.1"]
    return [sys.executable, "-m", "bohb_nas", "run", str(study), *SEARCH, *slowly, "--brackets", str(brackets), "--workers", str(workers)]


def events(study: Path) -> list[dict[str, object]]:
    path = study / "journal.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def asked(study: Path) -> list[object]:
    return [e["trial"] for e in events(study) if e["event"] == "ask"]


def told(study: Path) -> list[str]:
    return [e["result"]["trial_id"] for e in events(study) if e["event"] == "tell"]  # type: ignore[index]


def finished_attempts(study: Path) -> dict[str, str]:
    """Content of each result file: it is written once, and never again."""
    return {p.name: p.read_text() for p in (study / "results").glob("*.json")}


def wait_for(condition: object, process: subprocess.Popen[bytes], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while process.poll() is None and time.monotonic() < deadline and not condition():  # type: ignore[operator]
        time.sleep(0.01)


def kill_workers(study: Path) -> int:
    killed = 0
    for path in (study / "workers").glob("*.lock"):
        pid = json.loads(path.read_text() or "{}").get("pid")
        try:
            os.kill(pid, signal.SIGKILL)
            killed += 1
        except (ProcessLookupError, TypeError):
            continue
    return killed


def search_under_fire(study: Path, *, brackets: int, workers: int, masters: int, worker_kills: int, seed: int) -> None:
    """Kills so many masters, and workers with some of them, then lets the same command end."""
    rng = random.Random(seed)
    with_workers = set(rng.sample(range(masters), worker_kills))
    results: dict[str, str] = {}
    for k in range(masters):
        n_before = len(events(study))
        master = subprocess.Popen(command(study, brackets=brackets, workers=workers), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        wait_for(lambda n=n_before: len(events(study)) > n, master)
        time.sleep(rng.uniform(0.0, 1.5))
        assert master.poll() is None, f"the study ended before kill {k}: make it longer"
        if k in with_workers:
            kill_workers(study)
            time.sleep(rng.uniform(0.0, 0.5))
        master.kill()
        master.communicate()
        now = finished_attempts(study)
        assert all(now[name] == content for name, content in results.items()), "a finished evaluation was lost or done again"
        results = now
    last = subprocess.run(command(study, brackets=brackets, workers=workers), capture_output=True, text=True, check=False)
    assert last.returncode == 0, last.stderr[-2000:]
    now = finished_attempts(study)
    assert all(now[name] == content for name, content in results.items())


def test_masters_and_workers_killed_with_one_worker_make_the_same_promotions(tmp_path: Path) -> None:
    undisturbed, under_fire = tmp_path / "undisturbed", tmp_path / "under fire"
    subprocess.run(command(undisturbed, brackets=12), check=True, capture_output=True)
    search_under_fire(under_fire, brackets=12, workers=1, masters=20, worker_kills=10, seed=20261123)
    assert asked(under_fire) == asked(undisturbed)
    assert told(under_fire) == told(undisturbed)
    assert len(set(told(under_fire))) == len(told(under_fire)) == len(asked(under_fire))


def test_killed_while_it_is_made_a_study_is_made_by_the_same_command(tmp_path: Path) -> None:
    study, rng = tmp_path / "study", random.Random(3)
    for _ in range(8):
        master = subprocess.Popen(command(study, brackets=1), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_for(study.exists, master)
        time.sleep(rng.uniform(0.0, 0.08))
        master.kill()
        master.wait()
        if (study / "study.json").exists():
            break
    (study / f".space.json.{'0' * 32}.tmp").write_text("half a sp")
    done = subprocess.run(command(study, brackets=1), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert len(told(study)) == len(asked(study)) == 13
