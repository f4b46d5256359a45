"""What a master makes of trials that nobody trains; whole engines with workers are in tests/cluster."""

import os
from pathlib import Path

import pytest
from study_fakes import trial

from bohb_nas.engine.cluster import make_keys, publish
from bohb_nas.engine.dask_engine import MAX_CUTS, DaskEngine
from bohb_nas.engine.lead import last_alive
from bohb_nas.records import Status
from bohb_nas.store import handovers
from bohb_nas.store.journal import Event, State
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


def touched(path: Path, at: float) -> None:
    os.utime(path, (at, at))


def test_the_end_of_a_master_that_ends_in_good_order_is_kept(study: StudyDir) -> None:
    """The journal's last line is of 100 s, the address was last touched at 160 s: the 60 s between count towards --total-time."""
    make_keys(study)
    assert last_alive(study) is None
    with DaskEngine(study, term=1, needs_s=lambda _: None, say=print):
        touched(study.scheduler_json, 160.0)
        assert last_alive(study) == 160.0
    assert not study.scheduler_json.exists(), "nobody is there: workers need not try"
    assert last_alive(study) == 160.0
    state = State()
    for event in [Event(term=1, time=90.0), Event(term=1, time=100.0, trial=trial(0)), Event(term=2, time=5000.0, until=last_alive(study))]:
        state.apply(event)
    assert state.led_s == 10 + 60


def test_a_master_that_was_killed_after_one_that_ended_was_the_last_to_live(study: StudyDir) -> None:
    make_keys(study)
    with DaskEngine(study, term=1, needs_s=lambda _: None, say=print):
        touched(study.scheduler_json, 160.0)
    study.scheduler_json.write_text("{}")
    touched(study.scheduler_json, 170.0)
    assert last_alive(study) == 170.0


def test_a_master_that_was_superseded_leaves_its_successors_address(study: StudyDir) -> None:
    make_keys(study)
    with DaskEngine(study, term=1, needs_s=lambda _: None, say=print):
        publish(study, "tls://127.0.0.1:1", 2)
    assert study.scheduler_json.exists()
    assert not study.last_led.exists()


def test_a_trial_that_no_worker_has_the_time_for_is_given_up(study: StudyDir) -> None:
    cut(study, MAX_CUTS)
    engine = DaskEngine(study, term=1, needs_s=lambda _: None, say=print)
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
