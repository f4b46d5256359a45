"""What the incumbent's worker left is read with suspicion."""

import json
import os
import struct
from pathlib import Path
from typing import Any

import pytest
from analysis_fakes import Run, make_study

from bohb_nas.analysis.incumbent import describe, picture
from bohb_nas.analysis.observations import read
from bohb_nas.analysis.pace import rows
from bohb_nas.analysis.trajectory import incumbents, points
from bohb_nas.records import Origin, Status
from bohb_nas.store.journal import fold
from bohb_nas.store.study_dir import StudyDir

SIGNATURE = b"\x89PNG\r\n\x1a\n"


def png(width: int = 64, height: int = 32) -> bytes:
    """The beginning of a PNG of so many pixels."""
    return SIGNATURE + b"\0\0\0\rIHDR" + struct.pack(">II", width, height)


PNG = png()
NETWORK = {"layer": "chain", "layers": [], "shape": [3, 9, 9], "params": 0}


@pytest.fixture
def study(tmp_path: Path) -> StudyDir:
    return make_study(tmp_path / "s", [Run(config_id="a", metrics={"params": 3.0, "flops": 4.0})])


def attempt(study: StudyDir, n: int, **files: bytes) -> Path:
    folder = study.trials / "a-1-0" / str(n)
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        (folder / name.replace("_", ".")).write_bytes(data)
    return folder


def described(study: StudyDir) -> Any:
    (one,) = read(study).told
    return describe(study, one)


def test_network_curve_and_picture_are_those_of_the_newest_attempt_that_has_them(study: StudyDir) -> None:
    point = {"step": 10, "t": 1.5, "valid_error": 0.5, "note": "text", "good": True, "endless": None}
    attempt(study, 0, network_json=json.dumps({"network": {"layer": "old"}}).encode(), samples_png=PNG + b"old")
    attempt(study, 2, network_json=json.dumps({"network": NETWORK}).encode(), curve_jsonl=json.dumps(point).encode() + b'\n{"step":1')
    found = described(study)
    assert found["network"] == NETWORK
    assert found["curve"] == [{"step": 10.0, "seconds": 1.5, "valid_error": 0.5}]
    assert (found["params"], found["flops"], found["config"]["width"]) == (3.0, 4.0, 4)
    assert picture(study, "a-1-0") == PNG + b"old"


def test_without_files_there_is_nothing(study: StudyDir) -> None:
    found = described(study)
    assert (found["network"], found["curve"], picture(study, "a-1-0")) == (None, [], None)


@pytest.mark.parametrize(
    "data",
    [b"", b"GIF89a", SIGNATURE, PNG[:-1], PNG + bytes(3 * 2**20), png(0, 9), png(9, 0), png(4097, 1), png(1, 4097), png(2**31, 2**31)],
)
def test_what_is_no_small_png_is_no_picture(study: StudyDir, data: bytes) -> None:
    attempt(study, 0, samples_png=data)
    assert picture(study, "a-1-0") is None


def test_pipes_links_and_folders_are_not_read(study: StudyDir, tmp_path: Path) -> None:
    folder = attempt(study, 0)
    os.mkfifo(folder / "samples.png")
    (tmp_path / "secret.json").write_text(json.dumps({"network": NETWORK}))
    (folder / "network.json").symlink_to(tmp_path / "secret.json")
    (folder / "curve.jsonl").mkdir()
    found = described(study)
    assert (found["network"], found["curve"], picture(study, "a-1-0")) == (None, [], None)


def test_no_link_is_followed_to_what_is_not_the_studys(study: StudyDir, tmp_path: Path) -> None:
    foreign = tmp_path / "foreign" / "0"
    foreign.mkdir(parents=True)
    (foreign / "samples.png").write_bytes(PNG)
    (foreign / "network.json").write_text(json.dumps({"network": NETWORK}))
    (foreign / "curve.jsonl").write_text('{"step": 1}\n')
    (study.trials / "a-1-0").symlink_to(foreign.parent)
    found = described(study)
    assert (found["network"], found["curve"], picture(study, "a-1-0")) == (None, [], None)
    (study.trials / "a-1-0").unlink()
    attempt(study, 0, curve_jsonl=b'{"step": 7}\n')
    (study.trials / "a-1-0" / "1").symlink_to(foreign)
    found = described(study)
    assert (found["network"], found["curve"], picture(study, "a-1-0")) == (None, [{"step": 7.0}], None)


def test_of_endless_measures_the_first_are_kept(study: StudyDir) -> None:
    lines = [{f"measure_{10 * k + j}": 1.0 for j in range(10)} | {"t": k, "step": k} for k in range(50)]
    attempt(study, 0, curve_jsonl=b"".join(json.dumps(line).encode() + b"\n" for line in lines))
    curve = described(study)["curve"]
    assert [(point["step"], point["seconds"]) for point in curve] == [(float(k), float(k)) for k in range(50)]
    assert len({name for point in curve for name in point}) == 100


@pytest.mark.parametrize(
    "data", [b"no JSON", b"[1]", b'{"network": 3}', b'{"network": ' + b'{"a":' * 200 + b"1" + b"}" * 201, bytes(3 * 2**20)]
)
def test_a_network_that_is_none_is_left_out(study: StudyDir, data: bytes) -> None:
    attempt(study, 0, network_json=data)
    assert described(study)["network"] is None


def test_a_long_curve_is_thinned_out_and_keeps_its_end(study: StudyDir) -> None:
    attempt(study, 0, curve_jsonl=b"".join(json.dumps({"step": k, "t": k / 10}).encode() + b"\n" for k in range(1201)))
    curve = described(study)["curve"]
    assert len(curve) == 401
    assert (curve[0]["step"], curve[1]["step"], curve[-1]["step"]) == (0.0, 3.0, 1200.0)


def test_a_measure_of_few_steps_is_not_thinned_out_among_the_others(study: StudyDir) -> None:
    lines = [{"step": k, "train_error": 0.1} | ({"valid_error": 0.2} if k % 400 == 399 else {}) for k in range(40_000)]
    attempt(study, 0, curve_jsonl=b"".join(json.dumps(line).encode() + b"\n" for line in lines))
    curve = described(study)["curve"]
    assert [point["step"] for point in curve if "valid_error" in point] == [400.0 * k + 399 for k in range(100)]
    assert 250 < len(curve) <= 500
    assert [point["step"] for point in curve] == sorted(point["step"] for point in curve)


def test_a_curve_is_read_that_has_a_point_for_each_of_many_steps(study: StudyDir) -> None:
    attempt(study, 0, curve_jsonl=b"".join(b'{"step": %d, "train_loss": 0.%050d}\n' % (k, k) for k in range(20_000)))
    curve = described(study)["curve"]
    assert len(curve) == 500
    assert curve[-1]["step"] == 19_999.0


def test_incumbents_are_those_of_the_journal(tmp_path: Path) -> None:
    runs = [
        Run(config_id="h", loss=0.01, origin=Origin.BASELINE),
        Run(config_id="a", loss=0.5),
        Run(config_id="b", loss=0.6),
        Run(config_id="c", loss=0.1, details={"violates": ["params <= 1"]}),
        Run(config_id="a", loss=0.7, budget=3.0, origin=Origin.PROMOTED),
        Run(config_id="d", loss=0.4),
        Run(config_id="e", loss=Status.CRASHED, budget=9.0),
        Run(config_id="p", loss=0.0, budget=9.0, origin=Origin.PROBE),
        Run(config_id="b", loss=0.7, budget=3.0, origin=Origin.PROMOTED),
        Run(config_id="d", loss=0.3, budget=3.0, origin=Origin.PROMOTED),
    ]
    study = make_study(tmp_path / "s", runs)
    found = incumbents(read(study).told)
    assert [one.trial.trial_id for one in found] == ["h-1-0", "a-1-0", "a-3-0", "d-3-0"]
    best = fold(study.journal).incumbent
    assert best is not None
    assert best.trial == found[-1].trial
    assert [(point["trial_id"], point["loss"], point["origin"]) for point in points(found[2:])] == [
        ("a-3-0", 0.7, "promoted"),
        ("d-3-0", 0.3, "promoted"),
    ]
    told = read(study).told
    assert [point["trial_id"] for point in points(told) if point["violates"]] == ["c-1-0"]
    assert [row["trial_id"] for row in rows(told) if row["violates"]] == ["c-1-0"]


def test_a_probe_is_no_incumbent_while_the_search_has_none(tmp_path: Path) -> None:
    """Not even of a study in which nothing else ended well: `best` and `status` know none either."""
    runs = [
        Run(config_id="p", loss=0.2, budget=9.0, origin=Origin.PROBE),
        Run(config_id="a", loss=Status.CRASHED),
    ]
    study = make_study(tmp_path / "s", runs)
    assert incumbents(read(study).told) == []
    assert fold(study.journal).incumbent is None
