"""When a study is taken to be gone."""

import errno
import os
from pathlib import Path

import pytest
from study_fakes import make_study

from bohb_nas.engine.absence import Absence


class Clock:
    """Seconds that pass when told to."""

    s = 100.0

    def __call__(self) -> float:
        return self.s


def test_a_study_that_was_renamed_is_gone_after_a_while_and_one_that_comes_back_is_not(tmp_path: Path) -> None:
    study, clock = make_study(tmp_path / "study", now=2000.0), Clock()
    absence = Absence(study, patience_s=60.0, now=clock)
    assert not absence.lasts()
    os.rename(study.path, tmp_path / "renamed")
    seen = []
    for clock.s in (200.0, 259.0, 260.0):
        seen.append(absence.lasts())
    assert seen == [False, False, True]
    os.rename(tmp_path / "renamed", study.path)
    assert not absence.lasts()
    study.study_json.unlink()
    clock.s = 300.0
    assert not absence.lasts(), "it was there in between"
    clock.s = 360.0
    assert absence.lasts()


@pytest.mark.parametrize("number", [errno.EIO, errno.ESTALE, errno.EACCES])
def test_a_disk_that_does_not_answer_says_nothing_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    study, clock = make_study(tmp_path / "study", now=2000.0), Clock()
    absence = Absence(study, patience_s=60.0, now=clock)

    def refuse(path: Path) -> None:
        raise OSError(number, os.strerror(number), str(path))

    monkeypatch.setattr(os, "stat", refuse)
    for clock.s in (200.0, 300.0):
        assert not absence.lasts()
