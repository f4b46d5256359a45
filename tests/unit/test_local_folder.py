"""The folder of this machine for locks."""

import os
import stat
import tempfile
from pathlib import Path

import pytest

from bohb_nas.errors import StudyError
from bohb_nas.store import local_folder
from bohb_nas.store.study_dir import StudyDir


def test_a_device_has_one_lock_of_its_machine_whatever_a_job_has_for_temporary_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine, jobs = tmp_path / "machine", [tmp_path / "job1", tmp_path / "job2"]
    for folder in jobs:
        folder.mkdir()
    monkeypatch.setattr(local_folder, "LOCAL", (machine,))

    def locks() -> list[Path]:
        found = []
        for folder in jobs:
            monkeypatch.setattr(tempfile, "tempdir", str(folder))
            found.append(StudyDir(tmp_path / "study").local_lock("g0"))
        return found

    assert [path.parents[1] for path in locks()] == jobs, "there is none for all"
    machine.mkdir()
    first, second = locks()
    assert first == second
    assert (first.parents[1], first.parent.stat().st_mode & 0o777) == (machine, 0o700)


@pytest.mark.parametrize("planted", ["link", "file", "writable"])
def test_what_somebody_else_may_have_planted_is_not_taken_for_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, planted: str) -> None:
    machine, job, mine = tmp_path / "machine", tmp_path / "job", tmp_path / "mine"
    for folder in (machine, job, mine):
        folder.mkdir(mode=0o700)
    place = machine / f"bohb-nas-{os.getuid()}"
    if planted == "link":
        place.symlink_to(mine)
    elif planted == "file":
        place.touch()
    else:
        place.mkdir()
        place.chmod(0o777)
    monkeypatch.setattr(local_folder, "LOCAL", (machine,))
    monkeypatch.setattr(tempfile, "tempdir", str(job))
    found = local_folder.local_folder()
    assert (found.parent, stat.S_IMODE(found.stat().st_mode)) == (job, 0o700)
    monkeypatch.setattr(tempfile, "tempdir", str(machine))
    with pytest.raises(StudyError, match="have what stands there removed"):
        local_folder.local_folder()
    assert list(mine.iterdir()) == []
    monkeypatch.setattr(local_folder, "LOCAL", (machine, mine))
    assert local_folder.local_folder().parent == mine, "which other jobs see, too"
