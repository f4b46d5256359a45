"""What a master makes of trials that nobody trains; whole engines with workers are in tests/cluster."""

from pathlib import Path

import pytest
from study_fakes import trial

from bohb_nas.engine.dask_engine import MAX_CUTS, DaskEngine
from bohb_nas.records import Status
from bohb_nas.store import handovers
from bohb_nas.store.study_dir import StudyDir


def cut(study: StudyDir, times: int) -> None:
    """Workers that began the trial and had to leave it."""
    for _ in range(times):
        handovers.left(study.new_attempt("t0")).write_text("{}")


@pytest.fixture
def study(tmp_path: Path) -> StudyDir:
    study = StudyDir(tmp_path / "study")
    study.make()
    return study


def test_a_trial_that_no_worker_has_the_time_for_is_given_up(study: StudyDir) -> None:
    cut(study, MAX_CUTS)
    engine = DaskEngine(study, term=1, say=print)
    engine.adopt(trial(0))
    (result,) = engine.wait(0.0)
    assert result.status is Status.CRASHED
    assert result.message is not None
    assert "give workers more time" in result.message
    assert engine.wait(0.0) == []


def test_only_cuts_that_left_nothing_count(study: StudyDir) -> None:
    cut(study, MAX_CUTS)
    assert handovers.cuts(study, "t0") == MAX_CUTS
    study.new_attempt("t0")
    assert handovers.cuts(study, "t0") == MAX_CUTS, "a worker that was killed did not leave"
    handed = study.attempts("t0")[3] / "handover"
    handed.mkdir()
    (handed / "state.json").write_text("{}")
    assert handovers.cuts(study, "t0") == 0, "the next attempt goes on from there"
