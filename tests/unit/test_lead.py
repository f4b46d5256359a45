"""What a master does before it begins a term; whole searches are in tests/cluster."""

import shutil
from pathlib import Path

import pytest
from study_fakes import planned

from bohb_nas.engine.cluster import Address
from bohb_nas.engine.lead import _check_term, lead
from bohb_nas.engine.plan import Request
from bohb_nas.engine.view import Display
from bohb_nas.errors import StudyHeldError
from bohb_nas.store.study_dir import StudyDir


@pytest.fixture
def study(tmp_path: Path) -> StudyDir:
    return planned(tmp_path / "study", Request(space="toy", worker="toy", method="random_search", trials=5))


def test_a_study_whose_keys_were_lost_is_led_with_new_ones(study: StudyDir) -> None:
    shutil.rmtree(study.tls)
    finished, _ = lead(study.path, Request(), [], Display(), checked=True, gone=lambda: True)
    assert not finished
    assert study.tls.stat().st_mode & 0o777 == 0o700


def test_a_study_whose_folders_were_lost_is_led_with_new_ones(study: StudyDir) -> None:
    folders = (study.inputs, study.results, study.running, study.workers, study.trials, study.tls)
    for folder in folders:
        shutil.rmtree(folder)
    lead(study.path, Request(), [], Display(), checked=True, gone=lambda: True)
    assert [folder.name for folder in folders if not folder.is_dir()] == []


def test_a_study_whose_key_cannot_be_read_is_not_led_at_all(study: StudyDir) -> None:
    (study.tls / "key.pem").unlink()
    (study.tls / "key.pem").mkdir()
    with pytest.raises(IsADirectoryError, match=r"key\.pem"):
        lead(study.path, Request(), [], Display(), checked=True, gone=lambda: True)
    assert not study.journal.exists(), "every attempt would begin a term"


class Heard(Display):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        self.lines.append(text)


@pytest.mark.parametrize(("method", "first"), [("random_search", "3s"), ("hyperband", "1s")])
def test_a_search_whose_time_is_over_before_its_first_trial_says_so(tmp_path: Path, method: str, first: str) -> None:
    """The time is just that of the first trial, and the start has taken some of it."""
    request = Request(space="toy", worker="toy", method=method, budget_min=1.0, budget_max=3.0, total_s=float(first[0]))
    study = planned(tmp_path / "study", request)
    heard = Heard()
    finished, state = lead(study.path, Request(), [], heard, checked=True)
    assert (finished, state.n_asked) == (True, 0)
    assert heard.lines[-1] == f"no trial could end in --total-time {first}; the same command with more time goes on"


def test_a_master_ends_when_another_leads_in_a_later_term(study: StudyDir) -> None:
    _check_term(study, 3, leases=False)
    Address(study, "tls://127.0.0.1:1", 3)
    _check_term(study, 3, leases=False)
    Address(study, "tls://127.0.0.1:1", 4)
    for leases in (False, True):
        with pytest.raises(StudyHeldError, match="another master leads"):
            _check_term(study, 3, leases=leases)


def test_a_master_that_leads_by_a_lock_ends_when_another_leads_by_leases(study: StudyDir) -> None:
    study.leases.mkdir()
    _check_term(study, 3, leases=True)
    with pytest.raises(StudyHeldError, match="another master leads"):
        _check_term(study, 3, leases=False)
