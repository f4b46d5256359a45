"""A study as CSV and JSON, read back with Python's own readers."""

import csv
import json
import os
import stat
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from study_fakes import META, make_study, result, trial

from bohb_nas.cli import cli
from bohb_nas.records import Origin, Result, Status, Trial
from bohb_nas.report.exports import _table, make
from bohb_nas.report.status import Watch
from bohb_nas.store.journal import Event, Journal, State, fold
from bohb_nas.store.study_dir import StudyDir

NOW = 1_700_000_000.0
FIXED = [
    *("trial_id", "config_id", "origin", "status", "loss", "budget", "unit", "bracket", "rung", "seed", "resume_from", "asked", "told"),
    *("began", "ended", "train_s", "host", "device", "model", "violates", "message"),
]


def export(study: StudyDir, name: str, to: Path) -> None:
    shown = CliRunner().invoke(cli, ["export", str(study.path), "--format", name, "--to", str(to)])
    assert shown.exit_code == 0, shown.output
    assert str(to) in shown.stderr


def read_csv(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream, strict=True))


@pytest.fixture
def study(tmp_path: Path) -> StudyDir:
    return make_study(tmp_path / "study", now=NOW)


def test_every_finished_evaluation_is_a_row(study: StudyDir, tmp_path: Path) -> None:
    export(study, "csv", tmp_path / "x.csv")
    rows = read_csv(tmp_path / "x.csv")
    assert list(rows[0]) == [*FIXED, "config.momentum", "config.crop", "config.nesterov", "config.depth", "metric.new_s"]
    assert [(r["trial_id"], r["status"], r["loss"], r["budget"]) for r in rows] == [
        ("t0", "ok", "0.5", "1.0"),
        ("t1", "crashed", "", "1.0"),
        ("t2", "ok", "0.25", "3.0"),
    ]
    start = NOW - 1800
    assert [(float(r["asked"]), float(r["told"]), float(r["began"]), float(r["ended"])) for r in rows] == [
        (start, start + 300, start, start + 300),
        (start + 300, start + 600, start + 300, start + 600),
        (start + 600, start + 1200, start + 600, start + 1200),
    ]
    assert rows[1]["message"] == "out of luck\nmore"
    assert (rows[2]["host"], rows[2]["device"], rows[2]["model"]) == ("far", "g1", "Slow 1")
    assert (rows[2]["config.momentum"], rows[2]["config.crop"], rows[2]["config.nesterov"], rows[2]["config.depth"]) == (
        *("0.7", "on", "True"),
        "2",
    )


def test_json_keeps_the_types(study: StudyDir, tmp_path: Path) -> None:
    export(study, "json", tmp_path / "x.json")
    rows = json.loads((tmp_path / "x.json").read_text())
    assert [r["loss"] for r in rows] == [0.5, None, 0.25]
    assert rows[2]["config.nesterov"] is True
    assert rows[2]["config.depth"] == 2
    export(study, "csv", tmp_path / "x.csv")
    texts = read_csv(tmp_path / "x.csv")
    assert [list(row) for row in rows] == [list(row) for row in texts]
    assert [["" if v is None else str(v) for v in row.values()] for row in rows] == [list(row.values()) for row in texts]


def conditional(path: Path) -> StudyDir:
    """A space of three, in which one is inactive where `a` is "x", and texts that tempt a reader."""
    study = StudyDir(path)
    study.make()
    study.write_meta(META)
    study.space_json.write_text(json.dumps({"hyperparameters": [{"name": n} for n in ("never", "a", 'lr,"b"')]}))
    journal = Journal(study.journal, State())
    configs: list[dict[str, Any]] = [{"a": "x"}, {"a": 'y, "z"\nw', 'lr,"b"': 1e-300}, {"a": "é", 'lr,"b"': 0.1}]
    origins = [Origin.RANDOM, Origin.BASELINE, Origin.PROBE]
    for n, (config, origin) in enumerate(zip(configs, origins, strict=True)):
        asked = Trial(trial_id=f"t{n}", config_id=f"c{n}", config=config, budget=1.0, bracket=0, rung=0, seed=0, origin=origin)
        told = Result(trial_id=f"t{n}", status=Status.OK, loss=n / 3, train_s=1.0, details={"violates": ["size<=3", "b>=1"]} if n else {})
        journal.write(Event(term=0, time=n + 0.25, trial=asked))
        journal.write(Event(term=0, time=n + 0.5, result=told))
    return study


def test_a_column_for_every_hyperparameter_and_nothing_where_it_is_inactive(tmp_path: Path) -> None:
    study = conditional(tmp_path / "study")
    for name in ("csv", "json"):
        export(study, name, tmp_path / name)
    rows = read_csv(tmp_path / "csv")
    assert [n for n in rows[0] if n.startswith("config.")] == ["config.never", "config.a", 'config.lr,"b"']
    assert [tuple(r[n] for n in ("config.never", "config.a", 'config.lr,"b"')) for r in rows] == [
        ("", "x", ""),
        ("", 'y, "z"\nw', "1e-300"),
        ("", "é", "0.1"),
    ]
    assert [r["origin"] for r in rows] == ["random", "baseline", "probe"]
    assert [r["violates"] for r in rows] == ["", "size<=3; b>=1", "size<=3; b>=1"]
    assert [float(r["loss"]) for r in rows] == [0, 1 / 3, 2 / 3], "every digit"
    records = json.loads((tmp_path / "json").read_text())
    assert [r['config.lr,"b"'] for r in records] == [None, 1e-300, 0.1]


def test_what_a_worker_found_by_itself_is_the_configuration(tmp_path: Path) -> None:
    study = make_study(tmp_path / "study", now=NOW)
    journal = Journal(study.journal, fold(study.journal))
    told = Result(trial_id="t3", status=Status.OK, loss=0.1, train_s=1.0, config={"cell": 5})
    journal.write(Event(term=4, time=NOW, result=told))
    export(study, "json", tmp_path / "x")
    last = json.loads((tmp_path / "x").read_text())[-1]
    assert (last["config.cell"], last["config.momentum"]) == (5, None)


def test_a_study_without_evaluations_has_columns_and_no_rows(tmp_path: Path) -> None:
    study = StudyDir(tmp_path / "study")
    study.make()
    study.write_meta(META)
    export(study, "csv", tmp_path / "x.csv")
    assert (tmp_path / "x.csv").read_text() == ",".join(FIXED) + "\n"
    export(study, "json", tmp_path / "x.json")
    assert json.loads((tmp_path / "x.json").read_text()) == []


def test_a_later_export_replaces_the_file_as_a_whole(study: StudyDir, tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        export(study, "csv", tmp_path / "x.csv")
        journal = Journal(study.journal, fold(study.journal))
        journal.write(Event(term=4, time=NOW, result=result(3, 0.125)))
        export(study, "csv", tmp_path / "x.csv")
    finally:
        os.umask(before)
    assert [r["trial_id"] for r in read_csv(tmp_path / "x.csv")] == ["t0", "t1", "t2", "t3"]
    assert stat.S_IMODE((tmp_path / "x.csv").stat().st_mode) == 0o644
    assert {p.name for p in tmp_path.iterdir()} == {"study", "x.csv"}


@pytest.mark.parametrize("name", ["csv", "json", "tensorboard"])
def test_folders_of_an_export_are_made(study: StudyDir, tmp_path: Path, name: str) -> None:
    shown = CliRunner().invoke(cli, ["export", str(study.path), "--format", name, "--to", str(tmp_path / "new/and/deep/x")])
    assert (shown.exit_code, (tmp_path / "new/and/deep/x").exists()) == (0, True), shown.stderr


@pytest.mark.parametrize(("to", "said"), [(".", "is a folder"), ("taken/x.csv", "taken is no folder")])
def test_where_no_file_can_be_written(study: StudyDir, tmp_path: Path, to: str, said: str) -> None:
    (tmp_path / "taken").write_text("")
    shown = CliRunner().invoke(cli, ["export", str(study.path), "--format", "csv", "--to", str(tmp_path / to)])
    assert shown.exit_code == 2
    assert said in shown.stderr


@pytest.mark.parametrize("name", ["journal.jsonl", "study.json", "space.json", "new.csv", "."])
def test_nothing_of_the_study_is_replaced(study: StudyDir, name: str) -> None:
    before = {path: path.read_bytes() for path in study.path.rglob("*") if path.is_file()}
    shown = CliRunner().invoke(cli, ["export", str(study.path), "--format", "csv", "--to", str(study.path / name)])
    assert shown.exit_code == 2
    assert "lies in the study" in shown.output
    assert {path: path.read_bytes() for path in study.path.rglob("*") if path.is_file()} == before


def test_standard_output_is_no_place_for_an_export(study: StudyDir, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    shown = CliRunner().invoke(cli, ["export", str(study.path), "--format", "csv", "--to", "-"])
    assert (shown.exit_code, shown.stdout, Path("-").exists()) == (2, "", False)
    assert "--to -: an export is put in its place when it is whole" in shown.stderr


def test_only_files_are_replaced(study: StudyDir, tmp_path: Path) -> None:
    (tmp_path / "theirs").write_text("kept")
    (tmp_path / "link").symlink_to(tmp_path / "theirs")
    os.mkfifo(tmp_path / "pipe")
    for name in ("link", "pipe"):
        shown = CliRunner().invoke(cli, ["export", str(study.path), "--format", "json", "--to", str(tmp_path / name)])
        assert shown.exit_code == 2
        assert "is a link, a pipe or a device" in shown.output
    assert (tmp_path / "theirs").read_text() == "kept"
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)


def test_a_damaged_space_is_named(study: StudyDir, tmp_path: Path) -> None:
    for text in ("[" * 5000, '{"hyperparameters": null}', '{"hyperparameters": 1e400}'):
        study.space_json.write_text(text)
        shown = CliRunner().invoke(cli, ["export", str(study.path), "--format", "csv", "--to", str(tmp_path / "x.csv")])
        assert shown.exit_code == 2
        assert "space.json is damaged" in shown.output
        assert not (tmp_path / "x.csv").exists()


def test_a_text_with_a_carriage_return_is_one_field(study: StudyDir, tmp_path: Path) -> None:
    journal = Journal(study.journal, fold(study.journal))
    journal.write(Event(term=4, time=NOW, trial=replace(trial(5), config={"crop": "o\rn"}), reason="sixth"))
    journal.write(Event(term=4, time=NOW, result=result(5, None, message="10 %\r100 %")))
    export(study, "csv", tmp_path / "x.csv")
    rows = read_csv(tmp_path / "x.csv")
    assert [row["config.crop"] for row in rows] == ["on", "on", "on", "o\rn"]
    assert [row["message"] for row in rows] == ["", "out of luck\nmore", "", "10 %\n100 %"], "as a terminal is shown it"
    assert (tmp_path / "x.csv").read_bytes().count(b"\r\n") == 5, "lines end as RFC 4180 says"


def test_pandas_reads_both_alike(study: StudyDir, tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    journal = Journal(study.journal, fold(study.journal))
    journal.write(Event(term=4, time=NOW, trial=replace(trial(5), config={"momentum": 0.1234567890123456789, "crop": "None"})))
    journal.write(Event(term=4, time=NOW, result=result(5, 0.75)))
    for name in ("csv", "json"):
        export(study, name, tmp_path / name)
    with (tmp_path / "json").open() as stream:
        frames = [pandas.read_csv(tmp_path / "csv", keep_default_na=False, na_values=[""]), pandas.DataFrame(json.load(stream))]
    for frame in frames:
        assert frame.groupby("budget")["loss"].min().to_dict() == {1.0: 0.5, 3.0: 0.25}
        assert frame["config.nesterov"].tolist()[:3] == [trial(n).config["nesterov"] for n in range(3)]
        assert frame["config.crop"].tolist() == ["on", "on", "on", "None"]
        assert frame["config.momentum"][3] == 0.1234567890123456789


@pytest.mark.parametrize("name", ["csv", "json"])
def test_what_a_program_logged_that_is_no_text_is_left_out(study: StudyDir, tmp_path: Path, name: str) -> None:
    """The end of a log in UTF-16, and one with colours: readers stop at a NUL, and a terminal would obey the rest."""
    journal = Journal(study.journal, fold(study.journal))
    journal.write(Event(term=4, time=NOW, result=result(3, None, message="no\n\x00l\x00o\tg\x1b[31m red\x07")))
    export(study, name, tmp_path / "x")
    rows = read_csv(tmp_path / "x") if name == "csv" else json.loads((tmp_path / "x").read_text())
    assert rows[-1]["message"] == "no\n\N{REPLACEMENT CHARACTER}l\N{REPLACEMENT CHARACTER}o\tg red\N{REPLACEMENT CHARACTER}"


@pytest.mark.parametrize("name", ["csv", "json"])
def test_a_file_is_written_again_for_another_evaluation_or_when_it_is_gone(
    study: StudyDir, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    to, written = tmp_path / f"x.{name}", list[Path]()

    def write(path: Path, text: str, *, mode: int) -> None:
        written.append(path)
        path.write_text(text)
        path.chmod(mode)

    monkeypatch.setattr(_table, "write_atomic", write)
    target = make(name, Watch(study), to)
    assert target.update() == target.update() == f"3 evaluations: {to}"
    assert written == [to]
    text = to.read_text()
    to.unlink()
    target.update()
    assert (to.read_text(), written) == (text, [to] * 2)
    Journal(study.journal, fold(study.journal)).write(Event(term=4, time=NOW, result=result(3, 0.125)))
    assert target.update() == f"4 evaluations: {to}"
    assert "0.125" in to.read_text()
    assert written == [to] * 3
