import json
import os
from pathlib import Path

import pytest

from bohb_nas.errors import StorageError
from bohb_nas.locks import Lock, holder
from bohb_nas.reading import NOT_AS_MEANT, parse_json, read_regular
from bohb_nas.records import Origin, Trial
from bohb_nas.store import holders
from bohb_nas.store.notes import read_note
from bohb_nas.store.study_dir import StudyDir


def place(path: Path, kind: str) -> None:
    match kind:
        case "pipe":
            os.mkfifo(path)
        case "directory":
            path.mkdir()
        case "device":
            path.symlink_to("/dev/zero")
        case "circle":
            path.symlink_to(path)


@pytest.mark.parametrize("kind", ["pipe", "directory", "device", "circle"])
def test_what_is_no_file_is_refused_at_once(tmp_path: Path, kind: str) -> None:
    place(tmp_path / "it", kind)
    with pytest.raises(OSError) as refused:  # noqa: PT011 (its number says which)
        read_regular(tmp_path / "it", limit=100)
    assert refused.value.errno in NOT_AS_MEANT
    assert read_note(tmp_path / "it") == {}
    assert holder(tmp_path / "it") is None


def test_no_more_is_read_than_expected_and_no_link_followed_unmeant(tmp_path: Path) -> None:
    path, link = tmp_path / "file", tmp_path / "link"
    path.write_text("12345")
    link.symlink_to(path)
    assert read_regular(path, limit=5) == b"12345"
    assert read_regular(link, limit=5) == b"12345"
    with pytest.raises(OSError, match="larger than 4 bytes"):
        read_regular(path, limit=4)
    with pytest.raises(OSError, match="symbolic link"):
        read_regular(link, limit=5, follow=False)


def test_a_lock_is_never_taken_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "theirs").write_text("kept")
    (tmp_path / "lock").symlink_to(tmp_path / "theirs")
    with pytest.raises(StorageError, match="lock"):
        Lock(tmp_path / "lock").acquire("ours")
    assert (tmp_path / "theirs").read_text() == "kept"


@pytest.mark.parametrize(
    "text",
    ["NaN", "-Infinity", "1e400", '{"a": [1e999]}', '"\\ud800"', "[" * 101 + "]" * 101, "[" * 100_000, "", "{", "\ufeff1", "9" * 5000],
)
def test_what_could_not_be_written_again_is_not_taken_in(text: str) -> None:
    with pytest.raises((ValueError, RecursionError)):
        parse_json(text)


@pytest.mark.parametrize("value", [{"a": [1, 2.5, None, True, "\u00fc \U0001f600"]}, [[]] * 200, 1.7976931348623157e308])
def test_everything_else_is(value: object) -> None:
    assert parse_json(json.dumps(value)) == value
    assert parse_json(json.dumps(value, ensure_ascii=False).encode()) == value


def test_a_refused_result_is_named_and_a_failing_disk_is_no_refusal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study = StudyDir(tmp_path / "study")
    study.make()
    trial = Trial(trial_id="t0", config_id="c0", config={}, budget=1.0, bracket=0, rung=0, seed=0, origin=Origin.RANDOM)
    said: list[str] = []
    for kind in ("pipe", "directory", "device", "circle"):
        place(study.result("t0"), kind)
        assert study.read_result(trial, say=said.append) is None
    assert [f"refused-{n}" in text and str(study.result("t0")) in text for n, text in enumerate(said)] == [True] * 4

    study.result("t0").write_text("{}")

    def failing(*arguments: object, **more: object) -> bytes:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("bohb_nas.store.study_dir.read_regular", failing)
    with pytest.raises(StorageError, match="Input/output error"):
        study.read_result(trial)
    assert study.result("t0").exists(), "it may be whole"


@pytest.mark.parametrize("pid", [-1, 0, 1, True, 2**40, "7", None])
def test_a_worker_that_names_no_process_of_its_own_is_none(tmp_path: Path, pid: object) -> None:
    study = StudyDir(tmp_path / "study")
    study.make()
    with Lock(study.worker_lock("h", "d")) as lock:
        assert lock.acquire(json.dumps({"host": "h", "device": "d", "pid": pid}))
        assert list(holders.living_workers(study)) == []
