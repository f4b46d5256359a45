"""Ctrl-C while a command is still being imported, or is about to begin: one line, exit code 1, whatever the moment."""

import configparser
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from study_fakes import META

from bohb_nas.cli import cli
from bohb_nas.store.study_dir import StudyDir

INTERRUPTED = """
import sys
class CtrlC:
    def find_spec(self, name, path, target=None):
        if name == {name!r}:
            raise KeyboardInterrupt
sys.meta_path.insert(0, CtrlC())
from bohb_nas.__main__ import main
sys.argv[1:] = {arguments!r}
main()
"""


@pytest.mark.parametrize("name", ["bohb_nas.cli", "click", "bohb_nas.store.study_dir", "bohb_nas.analysis.study", "scipy"])
def test_ctrl_c_during_imports_is_one_line(tmp_path: Path, name: str) -> None:
    study = StudyDir(tmp_path / "study")
    study.make()
    study.write_meta(META)
    program = INTERRUPTED.format(name=name, arguments=["analyze", str(study.path)])
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "\nAborted!\n")


def test_the_entry_point_imports_next_to_nothing_before_it_heeds_ctrl_c() -> None:
    about = configparser.ConfigParser()
    about.read(Path(__file__).parents[2] / "setup.cfg")
    assert about["options.entry_points"]["console_scripts"].strip() == "bohb-nas = bohb_nas.__main__:main"
    program = "import sys; before = set(sys.modules); import bohb_nas.__main__; print(*set(sys.modules) - before)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert not {name for name in done.stdout.split() if name.startswith(("click", "bohb_nas."))} - {"bohb_nas.__main__"}


@pytest.mark.parametrize(
    ("there", "said"),
    [
        (False, "\nAborted! st: there is no study yet; the same command starts one\n"),
        (True, "\nAborted! st: nothing that was finished is lost; the same command resumes it\n"),
    ],
)
def test_a_search_that_is_stopped_before_it_begins_says_what_there_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, there: bool, said: str
) -> None:
    def lead(*_: Any, **__: Any) -> None:
        if there:
            StudyDir(tmp_path / "st").make()
            StudyDir(tmp_path / "st").write_meta(META)
        raise KeyboardInterrupt

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("bohb_nas.engine.lead.lead", lead)
    done = CliRunner().invoke(cli, ["run", "st", "--space", "toy", "--worker", "toy"])
    assert (done.exit_code, done.stdout, done.stderr) == (1, "", said)
