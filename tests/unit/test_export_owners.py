"""Whose export something is: every study goes on with its own and with no other's, whatever their paths are."""

from pathlib import Path

import pytest
from click.testing import CliRunner
from click.testing import Result as Shown
from test_exchange_hpbandster import make_study

from bohb_nas.cli import cli
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


@pytest.mark.filterwarnings("ignore")
def test_every_study_has_an_experiment_of_its_own_in_mlflow(tmp_path: Path) -> None:
    pytest.importorskip("mlflow", reason="MLflow is not installed: pip install bohb-nas[mlflow]")
    from mlflow.tracking import MlflowClient

    (tmp_path / DEEP).mkdir(parents=True)
    one, other, to = make_study(tmp_path / DEEP / "one"), make_study(tmp_path / DEEP / "other"), tmp_path / "runs.db"
    for study in (one, other, one):
        assert export(study, "mlflow", to).exit_code == 0
    client = MlflowClient(tracking_uri=f"sqlite:///{to}")
    n_runs = [len(client.search_runs([e.experiment_id])) for e in client.search_experiments() if e.name != "Default"]
    assert n_runs == [7, 7]
