"""A study's directory, cleared of whoever works for it when the test ends."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from whole_studies import cleared


@pytest.fixture
def study(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "study"
    with cleared(path):
        yield path
