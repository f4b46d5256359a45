"""A study to fill; and before any test's imports, on a machine without a GPU, Triton's interpreter for tensors of the processor."""

import os
from pathlib import Path

import pytest
import torch

from bohb_nas.store.study_dir import StudyDir

if not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"  # read as Triton is first imported


@pytest.fixture
def study(tmp_path: Path) -> StudyDir:
    """Made, and empty."""
    study = StudyDir(tmp_path / "study")
    study.make()
    return study
