"""Which lock an existing study is led under once it lets other machines in; what is told of one that is led, and of one that has ended."""

import json
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from study_fakes import trial

from bohb_nas.engine import launch, opening
from bohb_nas.engine.election import leading
from bohb_nas.engine.opening import Made, open_study, prepare
from bohb_nas.engine.plan import Request, plan
from bohb_nas.engine.view import Display
from bohb_nas.errors import StudyError, StudyHeldError
from bohb_nas.store import mounts
from bohb_nas.store.journal import Event, Journal, fold
from bohb_nas.store.study_dir import StudyDir


class Heard(Display):
    """Keeps what is said."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, text: str) -> None:
        self.said.append(text)


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StudyDir:
    """Made for one machine, on a file system whose locks stay on the machine that took them."""
    study = StudyDir(tmp_path / "study")
    study.make()
    meta = plan(Request(space="toy", worker="toy", method="random_search", trials=5))
    launch.create(study, {**meta, "lock": "kernel"}, launch.new_space(meta))
    monkeypatch.setattr(launch, "_ask_worker", lambda meta, space: [])
    mount = mounts.Mount(point="/scratch", kind="nfs4", options=frozenset({"rw", "nolock"}))
    monkeypatch.setattr(mounts, "of", lambda path: mount)
    return study


def test_a_study_that_lets_other_machines_in_gets_a_lease_where_its_lock_does_not_reach_them(study: StudyDir) -> None:
    heard = Heard()
    assert prepare(study.path, Request(listen="host"), heard)
    assert study.leases.is_dir()
    assert (study.read_meta()["listen"], study.read_meta()["lock"]) == ("host", "lease")
    assert heard.said[0].startswith("/scratch (nfs4) is mounted with nolock; ")


def test_a_worker_s_own_place_to_listen_counts_as_well(study: StudyDir) -> None:
    with open_study(study, Request(), Heard(), n_workers=1, listen="host") as (_, seat):
        assert seat.number == 1


@pytest.mark.parametrize("request_", [Request(), Request(listen="loopback"), Request(listen="host", lock="kernel")])
def test_a_lock_that_is_enough_or_asked_for_stays(study: StudyDir, request_: Request) -> None:
    assert prepare(study.path, request_, Heard())
    assert not study.leases.exists()
    assert study.read_meta()["lock"] == "kernel"


def test_what_is_refused_does_not_change_the_lock(study: StudyDir) -> None:
    with pytest.raises(StudyError, match="another search"):
        prepare(study.path, Request(listen="host", seed=7), Heard())
    assert not study.leases.exists()


def test_a_led_study_is_joined_by_workers_of_the_same_search_alone(study: StudyDir) -> None:
    with leading(study):
        for same in (Request(), Request(method="random_search", trials=5), Request(trials=9)):
            with pytest.raises(StudyHeldError, match="joins it"), open_study(study, same, Heard(), n_workers=1):
                pass
        other = 'another search:\n  method: the study has "random_search", asked is "asha"'
        with pytest.raises(StudyError, match=other), open_study(study, Request(method="asha"), Heard(), n_workers=1):
            pass


def test_who_comes_too_late_for_a_new_study_is_told_that_it_is_another_search(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study, new = StudyDir(tmp_path / "study"), opening._new
    monkeypatch.setattr(launch, "_ask_worker", lambda meta, space: [])
    with ExitStack() as rival:

        def overtaken(*arguments: Any, **named: Any) -> Made:
            made = new(*arguments, **named)
            study.make()
            meta = plan(Request(space="toy", worker="toy", method="random_search", trials=5))
            launch.create(study, meta, launch.new_space(meta))
            rival.enter_context(leading(study))
            return made

        monkeypatch.setattr(opening, "_new", overtaken)
        asked = Request(space="toy", worker="toy", method="asha", trials=5)
        with pytest.raises(StudyError, match="belongs to another search"), open_study(study, asked, Heard(), n_workers=1):
            pass


def test_a_study_with_leases_does_not_go_back_to_a_lock(study: StudyDir) -> None:
    study.leases.mkdir()
    with pytest.raises(StudyError, match=r"--lock kernel: the masters of .* use leases"):
        prepare(study.path, Request(lock="kernel"), Heard())
    assert prepare(study.path, Request(lock="lease"), Heard())
    assert study.leases.is_dir()


def test_a_lease_that_was_asked_for_needs_no_reason(study: StudyDir) -> None:
    heard = Heard()
    assert prepare(study.path, Request(lock="lease"), heard)
    assert study.leases.is_dir()
    assert study.read_meta()["lock"] == "lease"
    assert not [text for text in heard.said if "lease" in text]


def ended(study: StudyDir, **more: Any) -> None:
    """Leaves what a master leaves that has finished."""
    meta = study.read_meta()
    Journal(study.journal, fold(study.journal)).write(Event(term=1, time=0.0))
    study.done.write_text(json.dumps({"stop": meta["stop"], "rank_probe": meta["rank_probe"], **more}))


def test_what_has_ended_is_not_begun_again_under_the_same_rule(study: StudyDir) -> None:
    ended(study)
    assert not prepare(study.path, Request(), Heard())
    assert study.done.exists()
    assert prepare(study.path, Request(trials=9), Heard())
    assert not study.done.exists(), "workers would take it for the end under today's rule"
    assert study.read_meta()["stop"]["trials"] == 9


def test_an_end_under_another_rule_or_before_all_has_a_result_is_none(study: StudyDir) -> None:
    meta = study.read_meta()
    assert not opening.finished(study, meta, fold(study.journal)), "it never ended"
    ended(study)
    state = fold(study.journal)
    assert opening.finished(study, meta, state)
    assert not opening.finished(study, {**meta, "rank_probe": 5}, state)
    assert not opening.finished(study, {**meta, "stop": {**meta["stop"], "trials": 6}}, state)
    Journal(study.journal, state).write(Event(term=1, time=0.0, trial=trial(0), reason="first"))
    assert not opening.finished(study, meta, state), "a trial is under way"


def test_what_would_change_a_study_that_is_led_is_refused_by_its_name(study: StudyDir) -> None:
    with leading(study):
        assert prepare(study.path, Request(trials=5), Heard()), "its workers may join"
        with pytest.raises(StudyHeldError, match="its stop cannot change meanwhile"):
            prepare(study.path, Request(trials=6), Heard())


@pytest.mark.parametrize(
    ("method", "n_workers", "rank_probe", "said"),
    [
        ("autohas", 3, 0, ["autohas: one worker searches, and the other 2 will have nothing to do; --workers 1 is enough"]),
        ("autohas", 1, 0, []),
        ("autohas", 3, 4, []),
        ("bohb", 3, 0, []),
    ],
)
def test_workers_that_will_have_nothing_to_do_are_told(method: str, n_workers: int, rank_probe: int, said: list[str]) -> None:
    meta = plan(Request(method=method, budget_min=1.0, budget_max=9.0)) | {"rank_probe": rank_probe}
    parts = launch.build(meta, launch.new_space(meta))
    remarks = opening._remarks(meta, parts, n_workers)
    assert [line for line in remarks if "--workers" in line] == said
