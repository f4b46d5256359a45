"""A study as runs of MLflow, read back with MLflow's own client; skipped where MLflow is not installed."""

import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner
from study_fakes import make_study, result, trial

from bohb_nas.cli import cli
from bohb_nas.errors import NoLocksError
from bohb_nas.locks import Lock
from bohb_nas.records import Value
from bohb_nas.store.journal import Event, Journal, fold
from bohb_nas.store.study_dir import StudyDir

NOW = 1_700_000_000.0


def export(study: StudyDir, to: Path) -> Any:
    return CliRunner().invoke(cli, ["export", str(study.path), "--format", "mlflow", "--to", str(to)])


def test_without_mlflow_it_says_how_to_install_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("mlflow", "mlflow.tracking"):
        monkeypatch.setitem(sys.modules, name, None)
    shown = export(make_study(tmp_path / "study", now=NOW), tmp_path / "x.db")
    assert shown.exit_code == 2
    assert "pip install 'bohb-nas[mlflow]'" in shown.stderr
    assert not (tmp_path / "x.db").exists()


@pytest.mark.filterwarnings("ignore")
def test_every_evaluation_is_a_run_and_none_is_written_twice(tmp_path: Path) -> None:
    pytest.importorskip("mlflow", reason="MLflow is not installed: pip install bohb-nas[mlflow]")
    from mlflow.tracking import MlflowClient

    study, to = make_study(tmp_path / "study", now=NOW), tmp_path / "my runs.db"
    shown = export(study, to)
    assert shown.exit_code == 0
    assert f"`mlflow ui --backend-store-uri 'sqlite:///{to}'` shows them" in shown.stderr
    client = MlflowClient(tracking_uri=f"sqlite:///{to}")
    (experiment,) = [e for e in client.search_experiments() if e.name == str(study.path)]

    def runs() -> dict[str, Any]:
        return {r.data.tags["bohb_nas.trial_id"]: r for r in client.search_runs([experiment.experiment_id])}

    first = runs()
    assert set(first) == {"t0", "t1", "t2"}
    assert {i: r.info.status for i, r in first.items()} == {"t0": "FINISHED", "t1": "FAILED", "t2": "FINISHED"}
    assert first["t2"].data.metrics == {"loss": 0.25, "budget": 3.0, "train_s": 1.0, "metric.new_s": 1.0}
    assert "loss" not in first["t1"].data.metrics
    assert first["t2"].data.params == {"momentum": "0.7", "crop": "on", "nesterov": "True", "depth": "2"}
    tags = first["t1"].data.tags
    assert (tags["bohb_nas.status"], tags["bohb_nas.message"], tags["bohb_nas.origin"]) == ("crashed", "out of luck\nmore", "random")
    start = round((NOW - 1800) * 1000)
    assert (first["t2"].info.start_time, first["t2"].info.end_time) == (start + 600_000, start + 1_200_000)
    journal = Journal(study.journal, fold(study.journal))
    journal.write(Event(term=4, time=NOW, result=result(3, 0.125)))
    client.update_run(first["t2"].info.run_id, status="RUNNING")
    assert "4 runs" in export(study, to).stderr
    again = runs()
    assert len(client.search_runs([experiment.experiment_id])) == 4
    assert {i: r.info.run_id for i, r in again.items() if i in first} == {i: r.info.run_id for i, r in first.items()}
    assert {r.info.status for r in again.values()} == {"FINISHED", "FAILED"}
    assert not (tmp_path / "mlruns").exists()


@pytest.mark.filterwarnings("ignore")
def test_names_that_mlflow_takes_for_one_or_not_at_all_keep_their_values_under_one_name_in_every_run(tmp_path: Path) -> None:
    pytest.importorskip("mlflow", reason="MLflow is not installed: pip install bohb-nas[mlflow]")
    from mlflow.tracking import MlflowClient

    study, to = make_study(tmp_path / "study", now=NOW), tmp_path / "x.db"
    names = ["a*b", "a?b", "a_b", "/lr", "conv//k", "./y", "..", "a/b", "lr/", "."]
    study.space_json.write_text(json.dumps({"hyperparameters": [{"name": name} for name in names]}))
    journal = Journal(study.journal, fold(study.journal))
    configs: list[dict[str, Value]] = [{"a?b": 3}, {"a?b": 1, "a*b": 2}, {name: k for k, name in enumerate(names)}]
    for k, config in enumerate(configs):
        journal.write(Event(term=4, time=NOW, trial=replace(trial(9), trial_id=f"odd{k}", config=config)))
        odd = replace(
            result(9, 0.5), trial_id=f"odd{k}", metrics={"x<2": 4.0} if k == 1 else {"x=1": 1.0, "x<2": 2.0, "p//q": 5.0, "x=2": 6.0}
        )
        journal.write(Event(term=4, time=NOW, result=odd))
    shown = export(study, to)
    assert shown.exit_code == 0, shown.stderr
    client = MlflowClient(tracking_uri=f"sqlite:///{to}")
    found = client.search_runs([e.experiment_id for e in client.search_experiments()], filter_string="tags.`bohb_nas.trial_id` LIKE 'odd%'")
    params = {run.data.tags["bohb_nas.trial_id"]: run.data.params for run in found}
    assert params["odd0"] == {"a_b-2": "3"}
    assert params["odd1"] == {"a_b": "2", "a_b-2": "1"}
    told_as = ["a_b", "a_b-2", "a_b-3", "_lr", "conv__k", "__y", "__", "a/b", "lr_", "_"]
    assert params["odd2"] == {name: str(k) for k, name in enumerate(told_as)}
    metrics = {run.data.tags["bohb_nas.trial_id"]: run.data.metrics for run in found}
    told = {"metric.x_1": 1.0, "metric.x_2": 2.0, "metric.p__q": 5.0, "metric.x_2-2": 6.0}
    assert {k: v for k, v in metrics["odd2"].items() if "metric" in k} == told
    assert {k: v for k, v in metrics["odd1"].items() if "metric" in k} == {"metric.x_2": 4.0}


@pytest.mark.parametrize(("to", "said"), [("x.txt", "a name that ends in .db, e.g. .*x.db"), ("taken/x.db", "taken is no folder")])
def test_where_no_runs_can_be_written(tmp_path: Path, to: str, said: str) -> None:
    (tmp_path / "taken").write_text("")
    pytest.importorskip("mlflow", reason="MLflow is not installed: pip install bohb-nas[mlflow]")
    shown = export(make_study(tmp_path / "study", now=NOW), tmp_path / to)
    assert shown.exit_code == 2
    assert re.search(said, shown.stderr)


@pytest.mark.filterwarnings("ignore")
def test_a_disk_without_room_is_one_line(tmp_path: Path) -> None:
    """While MLflow makes its tables, of which 300 KiB are a part, and when it writes a run with half a MiB of values."""
    pytest.importorskip("mlflow", reason="MLflow is not installed: pip install bohb-nas[mlflow]")
    study, to = make_study(tmp_path / "study", now=NOW), tmp_path / "x.db"
    command = [sys.executable, "-W", "ignore", "-m", "bohb_nas", "export", str(study.path), "--format", "mlflow", "--to", str(to)]

    def refused(kib: int) -> str:
        done = subprocess.run(["bash", "-c", f'ulimit -f {kib}; "$@"', "-", *command], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout) == (1, "")
        return done.stderr

    shown = rf"bohb-nas: MLflow cannot write {to}: .*; what it has is kept, the same command goes on\n"
    assert re.fullmatch(shown, refused(300))
    to.unlink()
    assert "3 runs" in export(study, to).stderr
    large = replace(trial(9), config={f"p{k}": "x" * 500 for k in range(1000)})
    journal = Journal(study.journal, fold(study.journal))
    for event in (Event(term=4, time=NOW, trial=large), Event(term=4, time=NOW, result=result(9, 0.5))):
        journal.write(event)
    assert re.fullmatch(shown, refused(to.stat().st_size // 1024 + 50))


@pytest.mark.filterwarnings("ignore")
def test_an_export_waits_for_another_into_the_same_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("mlflow", reason="MLflow is not installed: pip install bohb-nas[mlflow]")
    to, waited = tmp_path / "x.db", list[bool]()
    other = Lock(tmp_path / "x.db.lock")
    assert other.acquire()

    def wait(_: float) -> None:
        waited.append(to.exists())
        other.release()

    monkeypatch.setattr("bohb_nas.report.exports.mlflow.time", SimpleNamespace(sleep=wait))
    assert "3 runs" in export(make_study(tmp_path / "study", now=NOW), to).stderr
    assert waited == [False]


@pytest.mark.filterwarnings("ignore")
def test_a_file_system_without_locks_keeps_no_export_from_writing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("mlflow", reason="MLflow is not installed: pip install bohb-nas[mlflow]")

    def refuse(lock: Lock, note: str = "") -> bool:
        raise NoLocksError("/data has no locks: Invalid argument")

    monkeypatch.setattr(Lock, "acquire", refuse)
    said = export(make_study(tmp_path / "study", now=NOW), tmp_path / "x.db").stderr
    assert "3 runs" in said
    assert "/data has no locks: Invalid argument, so that nothing keeps a second export from adding the same" in said


@pytest.mark.filterwarnings("ignore")
def test_a_run_is_written_with_three_calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("mlflow", reason="MLflow is not installed: pip install bohb-nas[mlflow]")
    from mlflow.tracking import MlflowClient

    calls = []

    def counting(name: str, call: Any) -> Any:
        def counted(*arguments: Any, **named: Any) -> Any:
            calls.append(name)
            return call(*arguments, **named)

        return counted

    for name in ("create_run", "log_batch", "log_param", "log_metric", "set_tag", "set_terminated", "update_run"):
        monkeypatch.setattr(MlflowClient, name, counting(name, getattr(MlflowClient, name)))
    assert export(make_study(tmp_path / "study", now=NOW), tmp_path / "new/x.db").exit_code == 0
    assert calls == ["create_run", "log_batch", "set_terminated"] * 3
