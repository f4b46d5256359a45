"""Real processes: master, workers, training children, over a path that tempts every quoting mistake."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

PROGRAM = """
import json, os, pathlib, sys, time
trial = json.loads(pathlib.Path(os.environ["BOHB_NAS_TRIAL"]).read_text())
lr, budget, name = float(sys.argv[1]), float(sys.argv[2]), sys.argv[3]
assert trial["config"]["lr"] == lr and trial["budget"] == budget and name == "it's"
if trial["trial_id"] == "t00002":
    os.kill(os.getppid(), 9)
print("learning")
print(json.dumps({"loss": abs(lr - 0.01) + 0.1 / budget}))
"""


@pytest.fixture
def study(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / 'it\'s "the"\n study; $(touch pwned) & é'
    yield path
    subprocess.run(["pkill", "-f", str(tmp_path)], check=False)


def bohb(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "bohb_nas", *arguments], cwd=cwd, capture_output=True, text=True, check=False)


def told(study: Path) -> dict[str, Any]:
    events = map(json.loads, (study / "journal.jsonl").read_text().splitlines())
    return {e["result"]["trial_id"]: e["result"] for e in events if e["event"] == "tell"}


def test_a_command_is_searched_and_a_trial_that_kills_its_process_costs_only_itself(study: Path) -> None:
    program = study.parent / "my train.py"
    program.write_text(PROGRAM)
    command = f"{sys.executable} 'my train.py' {{lr}} {{budget}} \"it's\""
    stop = ["--trials", "6", "--method", "random_search", "--budget-max", "3", "--budget-min", "1", "--budget-unit", "epochs"]
    done = bohb("run", str(study), "--space", "toy", "--command", command, *stop, cwd=study.parent)
    assert done.returncode == 0, done.stderr
    results = told(study)
    assert {i: r["status"] for i, r in results.items()} == {f"t0000{k}": "crashed" if k == 2 else "ok" for k in range(6)}
    assert "SIGKILL" in results["t00002"]["message"]
    assert not (study.parent / "pwned").exists()
    assert "learning" in (study / "trials/t00001/0/log.txt").read_text()

    status = json.loads(bohb("status", str(study), "--json", cwd=study.parent).stdout)
    assert (status["evaluations"], status["running"], status["done"]) == (6, 0, True)
    assert status["by_status"] == {"ok": 5, "crashed": 1}
    best = json.loads(bohb("best", str(study), "--json", cwd=study.parent).stdout)
    assert best["loss"] == min(r["loss"] for r in results.values() if r["loss"] is not None)
    assert set(best) >= {"trial_id", "config_id", "config", "budget", "loss", "origin", "checkpoint"}

    more = bohb("run", str(study), "--trials", "8", cwd=study.parent)
    assert more.returncode == 0, more.stderr
    assert len(told(study)) == 8
    assert {i: r for i, r in told(study).items() if i in results} == results
    assert (study.stat().st_mode & 0o777, (study / "tls/key.pem").stat().st_mode & 0o777) == (0o700, 0o600)


def test_a_method_and_a_worker_of_ones_own(study: Path) -> None:
    method, worker = study.parent / "method.py", study.parent / "worker.py"
    method.write_text("from bohb_nas.methods.random_search import Options, make\n__all__ = ['Options', 'make']\n")
    worker.write_text(
        "from bohb_nas import Result, Status\n"
        "def train(trial, workdir):\n"
        "    details = {'long': 'x' * (9 * 2**20 if trial.trial_id == 't00001' else 10)}\n"
        "    config = {'lr': 0.1, 'deep': 5} if trial.trial_id == 't00002' else None\n"
        "    return Result(trial_id=trial.trial_id, status=Status.OK, loss=1.0, train_s=0.0, details=details, config=config)\n"
    )
    command = ["--space", "toy", "--method", str(method), "--worker", str(worker), "--trials", "3"]
    done = bohb("run", str(study), *command, cwd=study.parent)
    assert done.returncode == 0, done.stderr
    assert [r["status"] for r in told(study).values()] == ["ok", "crashed", "ok"]
    assert "accepted are 8388608" in told(study)["t00001"]["message"]
    assert told(study)["t00002"]["config"] is None
    assert "deep" in told(study)["t00002"]["details"]["config_left_out"]
    assert {p.name for p in (study / "inputs").iterdir()} == {"method-method.py", "worker-worker.py"}


def start(study: Path, *arguments: str) -> subprocess.Popen[str]:
    search = ["--space", "toy", "--worker", "toy", "--method", "hyperband", "--budget-min", "1", "--budget-max", "9", "--brackets", "9"]
    slowly = ["--worker-option", "seconds_per_budget=0.4"]
    return subprocess.Popen(
        [sys.executable, "-m", "bohb_nas", "run", str(study), *search, *slowly, *arguments],
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def wait_until_asked(study: Path, n: int) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        journal = study / "journal.jsonl"
        if journal.exists() and journal.read_text().count('"event":"ask"') >= n:
            return
        time.sleep(0.02)
    raise AssertionError("the search did not start")


def test_ctrl_c_once_lets_the_running_trial_end_and_says_how_to_resume(study: Path) -> None:
    master = start(study)
    wait_until_asked(study, 2)
    master.send_signal(signal.SIGINT)
    out, err = master.communicate(timeout=60)
    assert master.returncode == 1, err
    asks = (study / "journal.jsonl").read_text().count('"event":"ask"')
    assert len(told(study)) == asks
    assert "Ctrl-C again stops at once" in out + err
    assert "The same command resumes it" in out
    assert not list((study / "running").iterdir())
    assert not _living(study)


def test_ctrl_c_twice_stops_at_once_and_the_trial_is_done_after_the_resume(study: Path) -> None:
    master = start(study, "--budget-min", "9")
    wait_until_asked(study, 1)
    master.send_signal(signal.SIGINT)
    time.sleep(0.3)
    master.send_signal(signal.SIGINT)
    master.communicate(timeout=60)
    assert told(study) == {}
    assert not _living(study)
    resumed = bohb("run", str(study), "--trials", "1", cwd=study.parent)
    assert resumed.returncode == 0, resumed.stderr
    assert list(told(study)) == ["t00000"]


def _living(study: Path) -> list[str]:
    shown = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    return [line for line in shown.splitlines() if re.search(r"bohb_nas(\.engine\.child| worker)", line) and str(study.parent) in line]


def test_the_environment_of_a_worker_names_its_device_and_no_other(study: Path) -> None:
    worker = study.parent / "device.py"
    worker.write_text(
        "import os\nfrom bohb_nas import Result, Status\n"
        "def train(trial, workdir):\n"
        "    seen = {k: os.environ.get(k) for k in ('CUDA_VISIBLE_DEVICES', 'OMP_NUM_THREADS')}\n"
        "    return Result(trial_id=trial.trial_id, status=Status.OK, loss=1.0, train_s=0.0, details=seen)\n"
    )
    tool = study.parent / "nvidia-smi"
    tool.write_text("#!/bin/sh\necho 0, GPU-aaaa\necho 1, GPU-bbbb\n")
    tool.chmod(0o755)
    environment = {**os.environ, "PATH": f"{study.parent}:{os.environ['PATH']}"}
    environment.pop("CUDA_VISIBLE_DEVICES", None)
    command = [sys.executable, "-m", "bohb_nas", "run", str(study), "--space", "toy", "--worker", str(worker), "--trials", "12"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    devices = {(r["details"]["engine"]["device"], r["details"]["CUDA_VISIBLE_DEVICES"]) for r in told(study).values()}
    assert devices <= {("GPU-aaaa", "GPU-aaaa"), ("GPU-bbbb", "GPU-bbbb")}
    too_many = subprocess.run([*command, "--workers", "3"], env=environment, capture_output=True, text=True, check=False)
    assert too_many.returncode == 2
    assert "one worker per GPU" in too_many.stderr


def test_a_mix_of_gpus_is_refused_where_that_was_asked_for_and_recorded_where_not(study: Path) -> None:
    """Two machines with one GPU each, as nvidia-smi shows them."""
    environments = {}
    for model in ("NVIDIA A", "NVIDIA B"):
        folder = study.parent / model
        folder.mkdir()
        tool = folder / "nvidia-smi"
        tool.write_text(f"#!/bin/sh\necho '0, GPU-{model[-1]}, {model}, 81920'\n")
        tool.chmod(0o755)
        environments[model] = {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}"}
        environments[model].pop("CUDA_VISIBLE_DEVICES", None)

    def search(model: str, *more: str) -> subprocess.CompletedProcess[str]:
        arguments = ["run", str(study), "--space", "toy", "--worker", "toy", "--budget-max", "9", *more]
        return subprocess.run(
            [sys.executable, "-m", "bohb_nas", *arguments], env=environments[model], capture_output=True, text=True, check=False
        )

    first = search("NVIDIA A", "--require-same-gpu", "--trials", "1")
    assert first.returncode == 0, first.stderr
    before = (study / "journal.jsonl").read_bytes()
    mixed = search("NVIDIA B", "--trials", "2")
    assert mixed.returncode == 2
    assert "GPU-B" in mixed.stderr
    assert "is NVIDIA B, the first worker had NVIDIA A" in mixed.stderr
    (study / "done").unlink()  # with which it would end at once
    joining = subprocess.run(
        [sys.executable, "-m", "bohb_nas", "worker", str(study)], env=environments["NVIDIA B"], capture_output=True, text=True, check=False
    )
    assert (joining.returncode, "the first worker had NVIDIA A" in joining.stderr) == (2, True)
    assert (study / "journal.jsonl").read_bytes() == before
    allowed = search("NVIDIA B", "--trials", "2", "--mixed-gpus")
    assert allowed.returncode == 0, allowed.stderr
    engines = [r["details"]["engine"] for r in told(study).values()]
    assert [(e["model"], e["memory_gib"], e["n_devices"]) for e in engines] == [("NVIDIA A", 80.0, 1), ("NVIDIA B", 80.0, 1)]
