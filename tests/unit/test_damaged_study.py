"""A study that lost a part, or may not be read or written any more: one line for each command, never a traceback."""

import errno
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from analysis_fakes import explain
from click.testing import CliRunner, Result

from bohb_nas.cli import cli
from bohb_nas.store.study_dir import StudyDir

GOLDEN = Path(__file__).parents[1] / "golden" / "study-format-1"
LOOKING = (
    ["analyze", "st", "--no-figures", "--no-report"],
    ["analyze", "st", "--json"],
    ["status", "st"],
    ["status", "st", "--json"],
    ["best", "st"],
    *(["export", "st", "--format", name, "--to", to] for name, to in [("csv", "x.csv"), ("json", "x.json"), ("hpbandster", "hp")]),
    ["export", "st", "--format", "prometheus", "--to", "x.prom"],
)


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StudyDir:
    monkeypatch.chdir(tmp_path)
    return StudyDir(Path(shutil.copytree(GOLDEN, tmp_path / "st")))


def command(*arguments: str) -> Result:
    return CliRunner().invoke(cli, arguments, catch_exceptions=False)


def one_line(done: Result, *said: str) -> None:
    assert done.exit_code in (1, 2)
    assert done.stdout == ""
    assert re.fullmatch(r"bohb-nas: .+\n", done.stderr)
    for words in said:
        assert words in done.stderr


@pytest.fixture
def forbidden(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Ends of paths that nobody may open, list or make."""
    ends: list[str] = []

    def guarded(does: Any) -> Any:
        def checked(path: Any, *more: Any, **named: Any) -> Any:
            if isinstance(path, str | os.PathLike) and any(os.fspath(path).endswith(end) for end in ends):
                raise PermissionError(errno.EACCES, "Permission denied", path)
            return does(path, *more, **named)

        return checked

    for name in ("open", "listdir", "scandir", "mkdir"):
        monkeypatch.setattr(os, name, guarded(getattr(os, name)))
    return ends


@pytest.mark.parametrize("arguments", [*LOOKING, ["run", "st"]])
@pytest.mark.parametrize("left", [None, b"", b'{"event":"lead","te'])
def test_a_study_that_is_done_and_has_no_journal_is_damaged(study: StudyDir, arguments: list[str], left: bytes | None) -> None:
    study.journal.unlink()
    if left is not None:
        study.journal.write_bytes(left)
    one_line(command(*arguments), f"{study.journal} is missing or has no whole line, yet the study is done", "restore it from a backup")


@pytest.mark.parametrize("arguments", [LOOKING[0], ["export", "st", "--format", "hpbandster", "--to", "hp"], ["run", "st"]])
@pytest.mark.parametrize("left", ["", "[]", "{}", '{"hyperparameters": [{"name": "lr"}]}', '{"hyperparameters": []}', "[" * 10**5])
def test_a_space_that_is_damaged_is_said(study: StudyDir, arguments: list[str], left: str) -> None:
    study.space_json.write_text(left)
    one_line(command(*arguments), f"{study.space_json} is damaged: ", "restore it from a backup")


def test_a_study_that_has_not_begun_has_none_yet(study: StudyDir) -> None:
    study.journal.unlink()
    study.done.unlink()
    assert command("status", "st").exit_code == 0


@pytest.mark.parametrize("arguments", LOOKING)
@pytest.mark.parametrize("end", ["/journal.jsonl", "/study.json"])
def test_what_may_not_be_read_is_said(study: StudyDir, forbidden: list[str], arguments: list[str], end: str) -> None:
    forbidden.append(end)
    one_line(command(*arguments), f"{study.path}{end} cannot be read: Permission denied; restore ")


def test_a_journal_whose_disk_fails_is_said(study: StudyDir) -> None:
    study.done.unlink()
    study.journal.unlink()
    study.journal.symlink_to("/proc/self/mem")  # which can be opened, and not be read from its beginning
    for arguments in LOOKING:
        one_line(command(*arguments), f"{study.journal} cannot be read: ", "restore ")


@pytest.mark.parametrize("folder", ["trials", "running", "workers", "results", "trained"])
def test_a_folder_that_may_not_be_looked_into_has_nothing_to_say(
    study: StudyDir, forbidden: list[str], monkeypatch: pytest.MonkeyPatch, folder: str
) -> None:
    monkeypatch.setattr("bohb_nas.analysis.fanova.explain", explain)  # forests see what the journal says, and no folder
    forbidden.append(f"/{folder}")
    for arguments in LOOKING:
        here = ["--jobs", "1"] if arguments[0] == "analyze" else []  # where the folder is forbidden
        assert command(*arguments, *here).exit_code == 0, arguments


@pytest.mark.parametrize(
    ("arguments", "end", "said"),
    [
        (
            ["analyze", "st", "--no-figures", "--no-report", "--csv", "out"],
            "out",
            "cannot write out: Permission denied; free space or restore access",
        ),
        (["analyze", "st", "--no-figures"], "/report", "cannot write {here}/st/report: Permission denied; free space or restore access"),
        (["export", "st", "--format", "csv", "--to", "x.csv"], ".tmp", "cannot write {here}/x.csv: Permission denied"),
        (["export", "st", "--format", "hpbandster", "--to", "out"], "/out", "cannot make {here}/out: Permission denied"),
        (["export", "st", "--format", "hpbandster", "--to", "hp"], "/hp", "{here}/hp: Permission denied"),
        (["export", "st", "--format", "tensorboard", "--to", "out"], "/out", "cannot make {here}/out: Permission denied"),
        (["import-hpbandster", "hp", "new"], "hp/results.json", "hp/results.json cannot be read: Permission denied"),
        (["import-hpbandster", "hp", "new"], "importing-{pid}", "cannot be made or is not writable: Permission denied"),
    ],
)
def test_a_place_without_rights_is_said(study: StudyDir, forbidden: list[str], arguments: list[str], end: str, said: str) -> None:
    command("export", "st", "--format", "hpbandster", "--to", "hp")
    forbidden.append(end.format(pid=os.getpid()))
    one_line(command(*arguments), said.format(here=study.path.parent))
    assert not Path("new").exists()


@pytest.mark.parametrize("arguments", [["status", "st"], ["best", "st", "--json"], ["--help"], ["--version"], ["run", "--help"]])
def test_a_full_disk_under_the_output_is_said(study: StudyDir, arguments: list[str]) -> None:
    with open("/dev/full", "w") as full:
        command = [sys.executable, "-m", "bohb_nas", *arguments]
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False, cwd=study.path.parent, env=environment)
    assert (done.returncode, done.stderr) == (
        1,
        "bohb-nas: cannot write the output: No space left on device; free space, then run the same command again\n",
    )
