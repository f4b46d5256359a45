"""What interrupted attempts at a trial leave."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from study_fakes import trial

from bohb_nas.store import handovers
from bohb_nas.store.study_dir import StudyDir


def handed(study: StudyDir) -> Path:
    """What one more attempt left to go on from."""
    folder = study.new_attempt("t0") / "handover"
    folder.mkdir()
    (folder / "state").touch()
    return folder


def test_whether_a_trial_was_left_in_good_order_its_newest_attempt_says(study: StudyDir) -> None:
    assert not handovers.was_left(study, "t0")
    handovers.left(study.new_attempt("t0")).touch()
    assert handovers.was_left(study, "t0")
    study.new_attempt("t0")
    assert not handovers.was_left(study, "t0"), "it was killed"


def test_a_kill_is_kept_of_the_attempt_that_the_heartbeat_names_unless_it_was_left_in_good_order(study: StudyDir) -> None:
    study.new_attempt("t0")
    handovers.left(study.new_attempt("t0")).touch()
    for attempt, kills in ((None, 0), ("0", 0), (7, 0), (1, 0), (0, 1), (0, 1)):
        study.heartbeat("t0").write_text(json.dumps({"attempt": attempt}))
        handovers.mark_killed(study, "t0")
        assert handovers.kills(study, trial(0)) == kills, attempt


def test_the_next_attempt_goes_on_from_the_newest_folder_that_was_filled(study: StudyDir) -> None:
    assert handovers.newest(study, trial(0)) is None
    handed(study)
    last = handed(study)
    (study.new_attempt("t0") / "handover").mkdir()
    assert handovers.newest(study, trial(0)) == last


@pytest.mark.parametrize("changed", [{"config": {"momentum": 0.25}}, {"budget": 3.0}])
def test_what_is_known_to_be_of_another_trial_of_the_same_name_does_not_count(study: StudyDir, changed: Mapping[str, Any]) -> None:
    """A journal that was restored from a backup gives names to trials that others had."""
    another = replace(trial(0), **changed)
    attempts = [study.new_attempt("t0") for _ in range(2)]
    handovers.left(attempts[0]).touch()
    study.heartbeat("t0").write_text(json.dumps({"attempt": 1}))
    handovers.mark_killed(study, "t0")
    for attempt in attempts:
        handovers.sign(trial(0), attempt)
    assert [(handovers.cuts(study, of), handovers.kills(study, of)) for of in (trial(0), another)] == [(1, 1), (0, 0)]
    last = handed(study)
    assert handovers.newest(study, another) == last, "an attempt of earlier versions does not say whose it is"
    handovers.sign(trial(0), last.parent)
    assert [handovers.newest(study, of) for of in (trial(0), another)] == [last, None]


@pytest.mark.parametrize("text", ["", "[", '{"trial_id": "t0"}', "null"])
def test_an_attempt_that_does_not_say_in_our_words_whose_it_is_counts(study: StudyDir, text: str) -> None:
    last = handed(study)
    (last.parent / "trial.json").write_text(text)
    assert handovers.newest(study, trial(0)) == last


def test_all_that_was_handed_over_is_deleted_and_what_was_half_written_too(study: StudyDir) -> None:
    handed(study)
    attempt = handed(study).parent
    for name in (".handover.5a.tmp", "checkpoint"):
        (attempt / name).mkdir()
        (attempt / name / "some").touch()
    handovers.drop(study, "t0")
    assert [[path.name for path in attempt.iterdir()] for attempt in study.attempts("t0")] == [[], ["checkpoint"]]


def test_a_trial_finds_what_it_continues_from_wherever_its_study_is_moved(study: StudyDir) -> None:
    kept = study.new_attempt("t7") / "checkpoint"
    kept.mkdir()
    (study.new_attempt("t1") / "handover").mkdir()
    (study.trials / "t1" / "0" / "handover" / "state.json").touch()
    attempt = study.new_attempt("t1")
    handovers.link(study, replace(trial(1), resume_from="t7"), attempt)
    found = {link.name: link.readlink() for link in attempt.iterdir()}
    assert found == {"interrupted": Path("../0/handover"), "resume": Path("../../t7/0/checkpoint")}
    fresh = study.new_attempt("t2")
    handovers.link(study, trial(2), fresh)
    assert list(fresh.iterdir()) == []
