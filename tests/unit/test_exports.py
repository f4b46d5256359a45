"""A study for other programs: metrics read by Prometheus' own parser, runs read by TensorBoard's own reader."""

import json
import os
import re
import stat
import struct
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from prometheus_client.parser import text_string_to_metric_families
from study_fakes import META, beat, make_study, result, trial, write_log
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams import api_pb2, metadata

from bohb_nas.cli import cli
from bohb_nas.cli_watch import export
from bohb_nas.locks import Lock
from bohb_nas.records import Origin
from bohb_nas.report.exports import _event_file, formats, make
from bohb_nas.report.exports.tensorboard import FILE
from bohb_nas.report.status import Watch, status
from bohb_nas.store.journal import Event
from bohb_nas.store.study_dir import StudyDir

NOW = time.time()


@pytest.fixture
def study(tmp_path: Path) -> StudyDir:
    return make_study(tmp_path / "study", now=NOW)


def exported(study: StudyDir, name: str, to: Path) -> str:
    """Exports a study, and returns what was said of it."""
    shown = CliRunner().invoke(cli, ["export", str(study.path), "--format", name, "--to", str(to)])
    assert shown.exit_code == 0, shown.output
    assert str(to) in shown.stderr
    return shown.stderr


def metrics(path: Path) -> dict[str, dict[tuple[tuple[str, str], ...], float]]:
    """Every sample by name and labels beside `study`, as Prometheus reads them."""
    found: dict[str, dict[tuple[tuple[str, str], ...], float]] = {}
    for family in text_string_to_metric_families(path.read_text()):
        assert family.documentation
        assert family.type in ("counter", "gauge")
        for sample in family.samples:
            labels = tuple(sorted((k, v) for k, v in sample.labels.items() if k != "study"))
            assert labels not in found.setdefault(sample.name, {})
            assert sample.timestamp is None, "the textfile collector refuses them"
            found[sample.name][labels] = sample.value
    return found


def test_the_metrics_by_hand(study: StudyDir, tmp_path: Path) -> None:
    beat(study, "t3", host="far", device="g0", pid=9, since=time.time() - 20)
    study.scheduler_json.write_text("{}")
    lock = Lock(study.master_lock)
    with lock:
        assert lock.acquire(json.dumps({"host": "near", "pid": 5, "since": time.time()}))
        exported(study, "prometheus", tmp_path / "x.prom")
    found = metrics(tmp_path / "x.prom")
    assert found["bohb_nas_evaluations_total"] == {
        (("budget", "1"), ("status", "ok")): 1.0,
        (("budget", "1"), ("status", "crashed")): 1.0,
        (("budget", "3"), ("status", "ok")): 1.0,
    }
    assert found["bohb_nas_incumbent_loss"] == {(("budget", "3"),): 0.25}
    assert found["bohb_nas_best_loss"] == {(("budget", "1"),): 0.5, (("budget", "3"),): 0.25}
    assert found["bohb_nas_workers"] == {(("model", "Fast 9"),): 1.0}
    single = {name: samples[()] for name, samples in found.items() if list(samples) == [()]}
    named = ("trials_running", "trials_waiting", "workers_busy", "master_up", "done", "led_seconds_total", "train_ratio")
    assert [single[f"bohb_nas_{name}"] for name in named] == [2, 1, 1, 1, 0, pytest.approx(1200), pytest.approx(3 / 1200)]
    assert 0 <= single["bohb_nas_master_heartbeat_age_seconds"] < 60
    assert abs(single["bohb_nas_updated_timestamp_seconds"] - time.time()) < 60
    assert set(found["bohb_nas_evaluations_per_hour"]) == {(("window", "last_hour"),), (("window", "overall"),)}
    assert found["bohb_nas_device_hours_per_hour"][("window", "last_hour"),] > 0


def test_a_study_that_has_begun_nothing_has_metrics_too(tmp_path: Path) -> None:
    study = StudyDir(tmp_path / "study")
    study.make()
    study.write_meta(META)
    exported(study, "prometheus", tmp_path / "x.prom")
    found = metrics(tmp_path / "x.prom")
    assert found["bohb_nas_master_up"] == {(): 0.0}
    assert "bohb_nas_incumbent_loss" not in found
    assert "bohb_nas_evaluations_total" not in found


def test_any_path_is_a_label(tmp_path: Path) -> None:
    for name in ('a "quoted" one', "back\\slash", "two\nlines", "ünï {x=1}", os.fsdecode(b"no \xff utf-8")):
        study = make_study(tmp_path / name, now=NOW)
        make("prometheus", Watch(study), tmp_path / "x.prom").update()
        samples = [s for family in text_string_to_metric_families((tmp_path / "x.prom").read_text()) for s in family.samples]
        assert {s.labels["study"] for s in samples} == {os.fsencode(study.path).decode(errors="replace")}


def test_the_help_of_a_metric_is_the_same_in_every_file(study: StudyDir, tmp_path: Path) -> None:
    """The collector refuses several files that differ there."""
    other = make_study(tmp_path / "other", now=NOW)
    for one in (study, other):
        exported(one, "prometheus", tmp_path / f"{one.path.name}.prom")
    heads = [[line for line in (tmp_path / f"{n}.prom").read_text().splitlines() if line.startswith("#")] for n in ("study", "other")]
    assert heads[0] == heads[1] != []


def test_another_user_may_read_the_metrics_and_nothing_is_left_aside(study: StudyDir, tmp_path: Path) -> None:
    folder = tmp_path / "collector"
    folder.mkdir()
    before = os.umask(0o077)
    try:
        exported(study, "prometheus", folder / "x.prom")
    finally:
        os.umask(before)
    assert stat.S_IMODE((folder / "x.prom").stat().st_mode) == 0o644
    assert [p.name for p in folder.iterdir()] == ["x.prom"]


@pytest.mark.parametrize(
    ("name", "to", "said"),
    [
        ("prometheus", "x.txt", "the node exporter reads files that end in .prom; accepted is such a file, e.g. .*x.prom"),
        ("prometheus", "nowhere/x.prom", "nowhere is no folder"),
        ("prometheus", "folder.prom", "folder.prom is a folder; name a file in it"),
        ("tensorboard", "study/study.json", "lies in the study, whose own files nothing may replace"),
        ("tensorboard", "there", "is a file; TensorBoard reads folders"),
        ("csv2", "x", "--format 'csv2': accepted is one of .*prometheus"),
        ("_event_file", "x", "accepted is one of"),
        ("../status", "x", "accepted is one of"),
    ],
)
def test_what_cannot_be_written_is_refused(study: StudyDir, tmp_path: Path, name: str, to: str, said: str) -> None:
    (tmp_path / "there").write_text("")
    (tmp_path / "folder.prom").mkdir()
    shown = CliRunner().invoke(cli, ["export", str(study.path), "--format", name, "--to", str(tmp_path / to)])
    assert shown.exit_code == 2
    assert re.search(said, shown.stderr), shown.stderr


def test_what_shows_event_files_is_installed_with_the_project(study: StudyDir, tmp_path: Path) -> None:
    assert exported(study, "tensorboard", tmp_path / "runs").endswith(" shows them (pip install 'bohb-nas[tensorboard]')\n")


def test_the_help_names_every_format() -> None:
    words = next(option.help or "" for option in export.params if option.name == "format_")
    assert all(name in words for name in formats())


POINTS: list[dict[str, Any]] = [
    {"u": 0.5, "t": 10.0, "step": 50, "lr": 0.1, "train_loss": 2.0, "train_error": 0.5, "images_per_s": 900.0},
    {
        "u": 1.0,
        "t": 20.0,
        "step": 100,
        "lr": 0.0,
        "train_loss": 1.0,
        "train_error": 0.25,
        "images_per_s": 950.0,
        "valid_error": 0.3,
        "n_valid": 9,
    },
]


def write_curve(study: StudyDir, trial_id: str, attempt: int, text: str) -> None:
    write_log(study, trial_id, attempt, "").with_name("curve.jsonl").write_text(text)


def run(path: Path) -> Any:
    accumulator = EventAccumulator(str(path))
    accumulator.Reload()
    return accumulator


def scalars(path: Path) -> dict[str, list[tuple[int, float]]]:
    read = run(path)
    return {tag: [(event.step, event.value) for event in read.Scalars(tag)] for tag in read.Tags()["scalars"]}


def test_the_runs_of_trials_as_tensorboard_reads_them(study: StudyDir, tmp_path: Path) -> None:
    write_curve(study, "t2", 0, "".join(json.dumps(point) + "\n" for point in POINTS))
    exported(study, "tensorboard", tmp_path / "runs")
    assert scalars(tmp_path / "runs" / "rung-1" / "t2-0") == {
        "valid_error": [(100, pytest.approx(0.3))],
        "train_loss": [(50, 2.0), (100, 1.0)],
        "train_error": [(50, 0.5), (100, 0.25)],
        "lr": [(50, pytest.approx(0.1)), (100, 0.0)],
        "images_per_s": [(50, 900.0), (100, 950.0)],
        "loss": [(100, 0.25)],
        "train_s": [(100, 1.0)],
    }
    read = run(tmp_path / "runs" / "rung-1" / "t2-0")
    assert [event.wall_time - (NOW - 1800) for event in read.Scalars("lr")] == pytest.approx([610, 620]), "it began 600 s after the start"
    assert scalars(tmp_path / "runs" / "rung-0" / "t1-0") == {"train_s": [(0, 1.0)]}, "it failed, and left no curve"
    assert sorted(p.name for p in (tmp_path / "runs").glob("rung-*/*")) == ["t0-0", "t1-0", "t2-0"]


def test_hyperparameters_as_tensorboards_plugin_reads_them(study: StudyDir, tmp_path: Path) -> None:
    exported(study, "tensorboard", tmp_path / "runs")
    for trial_id, good in (("t0", True), ("t1", False)):
        read = run(tmp_path / "runs" / "rung-0" / f"{trial_id}-0")
        content = read.SummaryMetadata(metadata.SESSION_START_INFO_TAG).plugin_data.content
        began = metadata.parse_session_start_info_plugin_data(content)
        n = int(trial_id[1:])
        kinds = {name: value.WhichOneof("kind") for name, value in began.hparams.items()}
        assert kinds == {"momentum": "number_value", "crop": "string_value", "nesterov": "bool_value", "depth": "number_value"}
        assert {name: getattr(began.hparams[name], kind) for name, kind in kinds.items()} == dict(trial(n).config)
        assert began.group_name == f"c{n}"
        ended = metadata.parse_session_end_info_plugin_data(read.SummaryMetadata(metadata.SESSION_END_INFO_TAG).plugin_data.content)
        assert ended.status == (api_pb2.STATUS_SUCCESS if good else api_pb2.STATUS_FAILURE)


def test_the_hyperparameters_of_a_search_in_the_worker_are_those_it_found(study: StudyDir, tmp_path: Path) -> None:
    asked, runs = replace(trial(7), origin=Origin.SEARCH), tmp_path / "runs"
    with study.journal.open("a") as stream:
        stream.write(Event(term=4, time=NOW, trial=asked).to_line() + "\n")
    write_curve(study, "t7", 0, json.dumps(POINTS[0]) + "\n")
    beat(study, "t7", host="far", attempt=0, since=NOW)
    exported(study, "tensorboard", runs)
    file = runs / "rung-0" / "t7-0"
    with pytest.raises(KeyError):  # nothing is found yet
        run(file).SummaryMetadata(metadata.SESSION_START_INFO_TAG)
    assert scalars(file)["train_loss"] == [(50, 2.0)]
    with study.journal.open("a") as stream:
        stream.write(Event(term=4, time=NOW, result=replace(result(7, 0.5), config={"momentum": 0.25, "crop": "off"})).to_line() + "\n")
    exported(study, "tensorboard", runs)
    content = run(file).SummaryMetadata(metadata.SESSION_START_INFO_TAG).plugin_data.content
    began = metadata.parse_session_start_info_plugin_data(content)
    assert (began.hparams["momentum"].number_value, began.hparams["crop"].string_value) == (0.25, "off")
    assert began.group_name == "c7"
    assert scalars(file)["loss"] == [(50, 0.5)]


def test_the_run_of_the_search(study: StudyDir, tmp_path: Path) -> None:
    with study.journal.open("a") as stream:
        for n, loss in ((3, 0.75), (4, 1e300)):
            stream.write(Event(term=4, time=NOW, result=result(n, loss)).to_line() + "\n")
    exported(study, "tensorboard", tmp_path / "runs")
    assert scalars(tmp_path / "runs" / "search") == {
        "failed": [(1, 0.0), (2, 1.0), (3, 1.0), (4, 1.0), (5, 1.0)],
        "loss/1s": [(1, 0.5), (4, 0.75)],
        "best_loss/1s": [(1, 0.5), (4, 0.5)],
        "loss/3s": [(3, 0.25), (5, float("inf"))],  # beyond single precision
        "best_loss/3s": [(3, 0.25), (5, 0.25)],
    }


def test_runs_grow_with_the_study_whoever_writes_them_and_however_it_was_killed(study: StudyDir, tmp_path: Path) -> None:
    runs, line = tmp_path / "runs", "".join(json.dumps(point) + "\n" for point in POINTS)
    write_curve(study, "t3", 0, line)
    write_curve(study, "t3", 1, line[: line.index("\n") + 20])  # its second line is being written
    beat(study, "t3", host="far", attempt=1, since=NOW)
    watching = make("tensorboard", Watch(study), runs)
    watching.update()
    second = runs / "rung-0" / "t3-1"
    assert scalars(second)["train_loss"] == [(50, 2.0)]
    file = second / FILE
    inode, grown = file.stat().st_ino, file.read_bytes()
    write_curve(study, "t3", 1, line)
    watching.update()
    assert file.read_bytes().startswith(grown), "TensorBoard reads on from where it was"
    assert file.stat().st_ino == inode
    with study.journal.open("a") as stream:
        told = result(3, 0.125, host="far", device="g0", began=NOW, ended=NOW + 20, attempt=1)
        stream.write(Event(term=4, time=NOW, result=told).to_line() + "\n")
    watching.update()
    whole = {p: p.read_bytes() for p in runs.rglob(FILE)}
    assert scalars(second)["loss"] == [(100, 0.125)]
    assert "loss" not in scalars(runs / "rung-0" / "t3-0")
    for cut in range(0, len(whole[file]), 7):
        file.write_bytes(whole[file][:cut])
        exported(study, "tensorboard", runs)
        read = {p: p.read_bytes() for p in runs.rglob(FILE)}
        assert {p: data for p, data in read.items() if p != file} == {p: data for p, data in whole.items() if p != file}
        assert scalars(second) == {**scalars(second), "train_loss": [(50, 2.0), (100, 1.0)], "loss": [(100, 0.125)]}
        assert len(read[file]) == len(whole[file])


def test_a_curve_has_the_times_of_its_attempt_however_often_it_is_looked_at(study: StudyDir, tmp_path: Path) -> None:
    runs, lines = tmp_path / "runs", [json.dumps(point) + "\n" for point in POINTS[:2]]

    def times(attempt: int) -> list[float]:
        return [event.wall_time - NOW for event in run(runs / "rung-0" / f"t3-{attempt}").Scalars("train_loss")]

    write_curve(study, "t3", 0, lines[0])
    exported(study, "tensorboard", runs)
    assert not (runs / "rung-0" / "t3-0").exists(), "it was asked 600 s ago, and nobody says when it began"
    beat(study, "t3", host="far", attempt=0, since=NOW + 100)
    exported(study, "tensorboard", runs)
    assert times(0) == [110]
    write_curve(study, "t3", 0, "".join(lines))
    write_curve(study, "t3", 1, lines[0])
    beat(study, "t3", host="far", attempt=1, since=NOW + 200)
    exported(study, "tensorboard", runs)
    write_curve(study, "t3", 1, "".join(lines))
    with study.journal.open("a") as stream:
        told = result(3, 0.125, host="far", device="g0", began=NOW + 201, ended=NOW + 240, attempt=1)
        stream.write(Event(term=4, time=NOW + 241, result=told).to_line() + "\n")
    exported(study, "tensorboard", runs)
    assert times(0) == [110, 120]
    assert times(1) == [210, 220]


def test_two_exports_do_not_write_at_once_and_two_studies_not_in_one_place(study: StudyDir, tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    exported(study, "tensorboard", runs)
    before = {p: p.read_bytes() for p in runs.rglob(FILE)}
    (runs / "search" / FILE).unlink()
    with Lock(runs / "study.lock") as lock:
        assert lock.acquire(json.dumps({"study": str(study.path)}))
        exported(study, "tensorboard", runs)
    assert not (runs / "search" / FILE).exists()
    exported(study, "tensorboard", runs)
    assert {p: p.read_bytes() for p in runs.rglob(FILE)} == before
    other = make_study(tmp_path / "other", now=NOW)
    shown = CliRunner().invoke(cli, ["export", str(other.path), "--format", "tensorboard", "--to", str(runs)])
    assert shown.exit_code == 2
    assert f"holds the runs of study {study.path}; name another folder" in shown.stderr


def test_checksums_by_published_vectors() -> None:
    """CRC-32C of RFC 3720, B.4, masked as TFRecord does."""
    for data, crc in ((bytes(32), 0x8A9136AA), (b"\xff" * 32, 0x62A8AB43), (bytes(range(32)), 0x46DD794E)):
        assert _event_file.checksum(data) == ((crc >> 15 | crc << 17) + 0xA282EAD8) % 2**32
    written = _event_file.record(b"abc")
    assert struct.unpack_from("<Q", written) == (3,)
    assert len(written) == 8 + 4 + 3 + 4


@pytest.mark.parametrize("name", ["prometheus", "tensorboard"])
def test_watching_ends_when_the_study_is_done(study: StudyDir, tmp_path: Path, name: str) -> None:
    study.done.write_text("{}")
    to = tmp_path / ("x.prom" if name == "prometheus" else "runs")
    shown = CliRunner().invoke(cli, ["export", str(study.path), "--format", name, "--to", str(to), "--watch"])
    assert shown.exit_code == 0
    assert "brought up to date every 5 s" in shown.stderr
    assert to.exists()
    assert status(study)["done"]
