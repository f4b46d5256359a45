"""Texts of every alphabet where a locale cannot write them, and standard streams that are closed."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from study_fakes import make_study, write_log

from bohb_nas.simulation.code import fingerprint

ASCII = {**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
LATIN_1 = {**os.environ, "PYTHONIOENCODING": "latin-1"}
PROGRAM = [sys.executable, "-m", "bohb_nas"]


def answers(folder: Path, worker: str, config: dict[str, Any]) -> list[Any]:
    """What a training child in a locale of plain ASCII says of one trial."""
    (folder / "mine.py").write_text(f"from bohb_nas import Result, Status\ndef train(trial, workdir):\n{worker}", encoding="utf-8")
    trial = {"trial_id": "t0", "config_id": "c0", "config": config, "budget": 1.0, "bracket": 0, "rung": 0, "seed": 0, "origin": "random"}
    request = json.dumps({"trial": trial, "workdir": str(folder), "earlier": []}, ensure_ascii=False)
    command = [sys.executable, "-m", "bohb_nas.engine.child", str(os.getpid()), str(folder / "mine.py"), "{}"]
    done = subprocess.run(command, input=request.encode() + b"\n", capture_output=True, env=ASCII, check=False)
    return [json.loads(line.decode()) for line in done.stdout.splitlines()]


def test_a_training_that_ended_well_is_told_in_utf_8_whatever_the_locale_is(tmp_path: Path) -> None:
    worker = (
        "    print('é')\n"
        "    return Result(trial_id='t0', status=Status.OK, loss=0.5, train_s=1.0, details={'label': 'é', 'given': trial.config['kind']})\n"
    )
    _, told = answers(tmp_path, worker, {"kind": "ö"})
    assert told["result"]["status"] == "ok", told
    assert told["result"]["details"] == {"label": "é", "given": "ö"}
    assert (tmp_path / "log.txt").read_bytes() == b"\\xe9\n"


def test_a_crash_over_a_name_that_is_not_utf_8_costs_that_trial_only(tmp_path: Path) -> None:
    _, told = answers(tmp_path, "    raise ValueError('cannot read image caf\\udce9.png')\n", {})
    assert told["result"]["status"] == "crashed"
    assert "ValueError: cannot read image caf\\udce9.png" in told["result"]["message"]


@pytest.mark.parametrize(
    ("arguments", "environment", "said"),
    [
        (["status"], ASCII, b"2 waiting"),
        (["status"], LATIN_1, b"2 waiting"),
        (["logs", "t1"], LATIN_1, b"\\u635f\\u5931 \\u2026\n"),
    ],
)
def test_what_a_terminal_cannot_show_stands_there_as_an_escape(
    tmp_path: Path, arguments: list[str], environment: dict[str, str], said: bytes
) -> None:
    study = make_study(tmp_path / "study", now=time.time())
    write_log(study, "t1", 0, "损失 …\n")
    command = [*PROGRAM, arguments[0], str(study.path), *arguments[1:]]
    done = subprocess.run(command, capture_output=True, env=environment, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    assert said in done.stdout


def test_files_of_a_user_are_read_as_utf_8_whatever_the_locale_is(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text("word = 'é'\n", encoding="utf-8")
    program = (
        "import os, sys\nfrom pathlib import Path\nfrom bohb_nas.cli_submit import _read\n"
        "from bohb_nas.simulation.code import fingerprint\n"
        "path = Path(sys.argv[1])\nprint(fingerprint(path, within=()), os.fsencode(_read(path)))\n"
    )
    done = subprocess.run([sys.executable, "-c", program, str(path)], capture_output=True, text=True, env=ASCII, check=False)
    assert done.stdout == f"{fingerprint(path, within=())} {path.read_bytes()!r}\n", done.stderr


def test_the_program_has_one_name_however_it_is_started() -> None:
    done = subprocess.run([*PROGRAM, "--version"], capture_output=True, text=True, check=False)
    assert done.stdout.startswith("bohb-nas, version ")


def test_streams_that_are_closed_lead_nowhere(tmp_path: Path) -> None:
    program = (
        "import os, sys\nfrom bohb_nas import cli\nfrom bohb_nas.__main__ import main\nfrom bohb_nas.display import display\n"
        "def look():\n"
        "    display().say('é')\n"
        "    print('é', file=sys.stderr, flush=True)\n"
        "    with open('said', 'w') as said:\n"
        "        print(said.fileno() > 2, [os.readlink(f'/proc/self/fd/{n}') for n in range(3)], sys.stdin.read(), file=said)\n"
        "cli.main = look\nmain()\n"
    )
    command = ["sh", "-c", 'exec "$@" 0<&- 1>&- 2>&-', "sh", sys.executable, "-c", program]
    assert subprocess.run(command, cwd=tmp_path, check=False).returncode == 0
    assert (tmp_path / "said").read_text() == "True ['/dev/null', '/dev/null', '/dev/null'] \n"
