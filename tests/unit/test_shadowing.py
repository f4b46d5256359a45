"""The programs that the package starts, in a folder with files that are named like modules of Python's own."""

import asyncio
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from ConfigSpace import ConfigurationSpace
from PIL import Image

import bohb_nas
from bohb_nas import parallel
from bohb_nas.datasets import _decode
from bohb_nas.engine.launch import _ask_worker
from bohb_nas.engine.training_process import TrainingProcess


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("bohb_nas", "json", "queue", "random"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('this is of the user')\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_images_are_decoded_there(folder: Path) -> None:
    Image.new("RGB", (2, 3)).save(folder / "0.png")
    shard = {"job": "headers", "parent": os.getpid(), "first": 0, "paths": [str(folder / "0.png")], "array": None}
    assert _decode._in_child(shard)[0][:3] == ["RGB", 3, 2]


def test_a_worker_is_asked_and_starts_there(folder: Path) -> None:
    meta = {"cwd": str(folder), "worker": "toy", "worker_options": {}}
    assert _ask_worker(meta, ConfigurationSpace({"lr": (0.01, 1.0)})) == []


def test_a_file_imports_what_lies_beside_it(folder: Path) -> None:
    (folder / "beside.py").write_text("LOSS = 0.5\n")
    (folder / "mine.py").write_text("import queue\n\nimport beside\n\n\ndef train(trial, workdir):\n    return beside.LOSS, queue.Queue\n")

    async def started() -> bool:
        child = await TrainingProcess.start({"cwd": str(folder), "worker": "mine.py", "worker_options": {}}, {})
        living = child.living
        await child.end()
        return living

    assert asyncio.run(started())


PARTS = """
from ConfigSpace import ConfigurationSpace
from beside import LOSS
from further import FACTOR
from bohb_nas import Result, Status

def space():
    return ConfigurationSpace({"lr": (0.01, 1.0)})

def train(trial, workdir):
    return Result(trial_id=trial.trial_id, status=Status.OK, loss=LOSS * FACTOR, train_s=0.0)
"""


def test_every_process_lets_a_file_import_its_neighbours_and_those_of_the_current_directory(folder: Path) -> None:
    """`bohb-nas check` in a process of its own, as the console script starts it: without the current directory; and a training child."""
    (folder / "parts").mkdir()
    (folder / "parts" / "beside.py").write_text("LOSS = 0.5\n")
    (folder / "further.py").write_text("FACTOR = 0.5\n")
    (folder / "parts" / "mine.py").write_text(PARTS)
    check = "import sys; from bohb_nas.cli import main; sys.argv[1:] = ['check', 'parts/mine.py', '--budget', '0.1s']; main()"
    done = subprocess.run([sys.executable, "-P", "-c", check], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    meta = {"cwd": str(folder), "worker": str(folder / "parts" / "mine.py"), "worker_options": {}}
    assert _ask_worker(meta, ConfigurationSpace({"lr": (0.01, 1.0)})) == []


@pytest.mark.usefixtures("folder")
def test_work_side_by_side_is_done_there() -> None:
    program = "from functools import partial; from bohb_nas import parallel; print(parallel.run([partial(int, '3')] * 2, jobs=2))"
    done = subprocess.run([sys.executable, "-P", "-c", program], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("[3, 3]\n", "")


@pytest.mark.usefixtures("folder")
def test_processes_started_there_find_pythons_own_modules(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYTHONSAFEPATH", raising=False)
    command = [sys.executable, "-c", "import random; print(random.Random(1).random() >= 0)"]
    with parallel.without_current_folder():
        assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "True\n"
    assert "PYTHONSAFEPATH" not in os.environ
    assert subprocess.run(command, capture_output=True, text=True, check=False).returncode == 1, "the folder is in the way"


def test_every_program_of_python_leaves_the_current_folder_out() -> None:
    """-P, or -I, which says more."""
    package = Path(bohb_nas.__file__).parent
    asked = [option for path in package.rglob("*.py") for option in re.findall(r"sys\.executable, \"(-\w+)\"", path.read_text())]
    assert len(asked) >= 8
    assert set(asked) == {"-P", "-I"}
