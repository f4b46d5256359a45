"""A study to fill."""

from pathlib import Path

import pytest

from bohb_nas.store.study_dir import StudyDir


@pytest.fixture
def study(tmp_path: Path) -> StudyDir:
    """Made, and empty."""
    study = StudyDir(tmp_path / "study")
    study.make()
    return study
