"""Whose export something is: every study goes on with its own and with no other's, whatever their paths are."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner
from click.testing import Result as Shown
from test_exchange_hpbandster import make_study

from bohb_nas.cli import cli
from bohb_nas.errors import UsageError
from bohb_nas.report.exports import make
from bohb_nas.report.exports.mlflow import Runs
from bohb_nas.report.status import Watch
from bohb_nas.store.study_dir import StudyDir

DEEP = "/".join(["a folder with quite a long name of its own"] * 6)
"""More than 200 characters."""


def export(study: StudyDir, name: str, to: Path) -> Shown:
    return CliRunner().invoke(cli, ["export", str(study.path), "--format", name, "--to", str(to)])


@pytest.mark.parametrize("format_name", ["hpbandster", "tensorboard"])
@pytest.mark.parametrize(("one", "other"), [(f"{DEEP}/one", f"{DEEP}/other"), ("a  b", "a b"), ("a\tb", "a b"), ("a\tb", "a\x0bb")])
def test_a_study_goes_on_with_its_own_export_and_with_no_other_s(tmp_path: Path, format_name: str, one: str, other: str) -> None:
    (tmp_path / one).parent.mkdir(parents=True, exist_ok=True)
    mine, another, to = make_study(tmp_path / one), make_study(tmp_path / other), tmp_path / "out"
    for _ in range(2):
        shown = export(mine, format_name, to)
        assert shown.exit_code == 0, shown.stderr
    shown = export(another, format_name, to)
    assert shown.exit_code == 2
    assert "--to" in shown.stderr


@pytest.mark.parametrize("format_name", ["hpbandster", "tensorboard"])
def test_of_two_studies_that_begin_at_the_same_time_one_has_the_folder(tmp_path: Path, format_name: str) -> None:
    to = tmp_path / "out"
    mine, another = (make(format_name, Watch(make_study(tmp_path / name)), to) for name in ("one", "other"))
    mine.update()
    before = {path: path.read_bytes() for path in to.rglob("*") if path.is_file()}
    with pytest.raises(UsageError, match="--to"):
        another.update()
    assert {path: path.read_bytes() for path in to.rglob("*") if path.is_file()} == before
    mine.update()


class Client:
    """What of MLflow's client finds or makes an experiment."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def get_experiment_by_name(self, name: str) -> Any:
        return SimpleNamespace(experiment_id=self.names.index(name)) if name in self.names else None

    def create_experiment(self, name: str, artifact_location: str) -> int:
        del artifact_location
        self.names.append(name)
        return len(self.names) - 1


def test_every_study_has_an_experiment_of_its_own_in_mlflow(tmp_path: Path) -> None:
    client, found = Client(), []
    for path in (tmp_path / DEEP / "one", tmp_path / DEEP / "other", tmp_path / DEEP / "one"):
        runs = Runs(Watch(StudyDir(path)), tmp_path / "x.db", tracking=None, entities=None)
        runs._client = client
        found.append(runs._experiment())
    assert found == ["0", "1", "0"]
