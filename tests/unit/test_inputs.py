"""Copies of the user's files, and whether these have changed since."""

import errno
import hashlib
import os
from pathlib import Path
from typing import Any

import pytest

from bohb_nas.errors import StorageError
from bohb_nas.store.inputs import changed_inputs, store_inputs
from bohb_nas.store.study_dir import StudyDir


def meta(*, policy_file: str | None = None, **said: Any) -> dict[str, Any]:
    return {"space": "toy", "worker": "toy", "method": "bohb", "worker_options": {"policy_file": policy_file}, **said}


def test_what_is_named_like_a_file_of_the_package_is_not_the_users(
    study: StudyDir, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The package's priors and policies have names without a folder; a user's have their whole path."""
    monkeypatch.chdir(tmp_path)
    mine = tmp_path / "mine.json"
    mine.write_text("{}")
    assert store_inputs(study, meta(prior="mine.json", policy_file="mine.json")) == {}
    assert list(study.inputs.iterdir()) == []
    digest = hashlib.sha256(b"{}").hexdigest()
    assert store_inputs(study, meta(prior=str(mine), policy_file=str(mine), initial=str(tmp_path / "absent.json"))) == {str(mine): digest}
    assert {path.name: path.read_text() for path in study.inputs.iterdir()} == {"prior-mine.json": "{}", "policy-mine.json": "{}"}


def test_a_copy_that_cannot_be_written_is_said(study: StudyDir, tmp_path: Path) -> None:
    (tmp_path / "mine.py").touch()
    study.inputs.rmdir()
    with pytest.raises(StorageError, match=r"cannot write .*inputs/worker-mine\.py: No such file or directory; put its folder back"):
        store_inputs(study, meta(worker=str(tmp_path / "mine.py")))


def test_a_name_may_be_as_long_as_a_file_system_allows(study: StudyDir, tmp_path: Path) -> None:
    """255 bytes, with what the copy's has before it."""
    mine = tmp_path / ("多" * 82 + ".py")
    mine.write_text("space = 1\n")
    store_inputs(study, meta(space=str(mine)))
    assert [(len(path.name.encode()), path.read_text()) for path in study.inputs.iterdir()] == [(255, "space = 1\n")]


def test_what_cannot_be_read_is_not_copied(study: StudyDir, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path) -> bytes:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    (tmp_path / "mine.py").touch()
    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(StorageError, match=r"cannot copy .*mine\.py to .*inputs: Input/output error; restore access to it"):
        store_inputs(study, meta(worker=str(tmp_path / "mine.py")))


def test_a_full_disk_leaves_the_copy_of_before(study: StudyDir, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mine = tmp_path / "mine.py"
    mine.write_text("old")
    store_inputs(study, meta(worker=str(mine)))
    mine.write_text("new and longer")

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError, match="No space left"):
        store_inputs(study, meta(worker=str(mine)))
    assert [(path.name, path.read_text()) for path in study.inputs.iterdir()] == [("worker-mine.py", "old")]


def test_what_can_be_opened_and_not_read_has_changed_in_its_way() -> None:
    assert changed_inputs({"inputs": {"/proc/self/mem": "0"}}) == ["/proc/self/mem (cannot be read: Input/output error)"]
