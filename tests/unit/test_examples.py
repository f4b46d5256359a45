"""The examples run as their docstrings say; seconds of training are few."""

import sys
from pathlib import Path

import pytest

from bohb_nas.space.files import load_space
from bohb_nas.testing import check_file, check_worker
from bohb_nas.workers import command

EXAMPLES = Path(__file__).parents[2] / "examples"
SPACE = str(EXAMPLES / "my_space.py")
PROGRAM = EXAMPLES / "command_worker" / "train.py"
ARGUMENTS = "--lr {lr} --width {width} --optimizer {optimizer} --momentum {momentum} --seconds {budget} --seed {seed}"


@pytest.mark.parametrize("file", ["my_space.py", "my_worker.py", "my_network.py"])
def test_a_file_of_ones_own(file: str) -> None:
    findings = check_file(str(EXAMPLES / file), space=SPACE, budget=0.1)
    assert [finding for finding in findings if finding.problem] == []


def test_the_command(tmp_path: Path) -> None:
    template = [sys.executable, str(PROGRAM), *ARGUMENTS.split()]
    command.check(load_space(SPACE), command=template)
    findings = check_worker(command.make(command=template), load_space(SPACE), workdir=tmp_path, budget=0.1)
    assert [finding for finding in findings if finding.problem] == []


def test_the_docstring_shows_the_command_that_is_tested() -> None:
    shown = PROGRAM.read_text().split('"""')[1].replace("\\\n", " ")
    assert ARGUMENTS in " ".join(shown.split())
