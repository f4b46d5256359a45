"""Which lock an existing study is led under once it lets other machines in; what is told of one that is led, and of one that has ended."""

import json
import sys
import time
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from study_fakes import planned, take_locks_away, trial

from bohb_nas import make_optimizer
from bohb_nas.engine import launch, opening, presets
from bohb_nas.engine.election import leading
from bohb_nas.engine.opening import Made, open_study, prepare
from bohb_nas.engine.plan import Request, plan
from bohb_nas.engine.view import Display
from bohb_nas.errors import JournalError, StudyError, StudyHeldError, UsageError
from bohb_nas.records import Budgets
from bohb_nas.search_spaces import toy
from bohb_nas.store import holders, mounts
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
    study = planned(tmp_path / "study", Request(space="toy", worker="toy", method="random_search", trials=5), lock="kernel")
    monkeypatch.setattr(launch, "_ask_worker", lambda meta, space, **named: [])
    mount = mounts.Mount(point="/scratch", kind="nfs4", options=frozenset({"rw", "nolock"}))
    monkeypatch.setattr(mounts, "of", lambda path: mount)
    return study


def test_a_study_that_lets_other_machines_in_gets_a_lease_where_its_lock_does_not_reach_them(study: StudyDir) -> None:
    heard = Heard()
    assert prepare(study.path, Request(listen="host"), heard)
    assert study.leases.stat().st_mode & 0o777 == 0o700
    assert (study.read_meta()["listen"], study.read_meta()["lock"]) == ("host", "lease")
    assert heard.said[0].startswith("/scratch (nfs4) is mounted with nolock; ")


def test_a_worker_s_own_place_to_listen_counts_as_well(study: StudyDir) -> None:
    with open_study(study, Request(), Heard(), n_workers=1, listen="host") as (_, seat):
        assert seat.number == 1


@pytest.mark.parametrize("request_", [Request(), Request(listen="loopback"), Request(listen="host", lock="kernel")])
def test_a_lock_that_is_enough_or_asked_for_stays(study: StudyDir, request_: Request) -> None:
    for request in (request_, replace(request_, lock=None)):
        assert prepare(study.path, request, Heard())
        assert not study.leases.exists()
        assert study.read_meta()["lock"] == "kernel"


def test_the_lock_of_a_study_that_is_led_does_not_change(study: StudyDir) -> None:
    """Who leads by the lock would know nothing of a lease, so that two could lead."""
    with leading(study):
        for asked in (Request(listen="host"), Request(lock="lease")):
            with pytest.raises(StudyHeldError, match="joins it"), open_study(study, asked, Heard(), n_workers=1):
                pass
            assert not study.leases.exists()


def test_a_study_that_others_may_write_to_is_not_opened(study: StudyDir) -> None:
    study.path.chmod(0o770)
    with pytest.raises(StudyError, match="may be written by others"):
        prepare(study.path, Request(), Heard())


def test_of_a_new_study_it_is_said_why_it_has_a_lease(study: StudyDir) -> None:
    heard, new = Heard(), StudyDir(study.path.with_name("new"))
    assert prepare(new.path, Request(space="toy", worker="toy", trials=5, listen="host"), heard)
    assert new.leases.is_dir()
    assert heard.said[0].startswith("/scratch (nfs4) is mounted with nolock; ")
    assert heard.said[0].endswith("keep each other out by a lease")


def test_a_worker_is_asked_once_and_for_machines_that_train(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever stands by has asked it when its turn comes."""
    asked: list[bool] = []

    def ask(meta: object, space: object, *, trains_here: bool) -> list[str]:
        asked.append(trains_here)
        return ["the worker was asked"]

    monkeypatch.setattr(launch, "_ask_worker", ask)
    study, said = StudyDir(tmp_path / "study"), list[list[str]]()
    request = Request(space="toy", worker="toy", method="asha", trials=5, preset="zela2018", lock="kernel")
    for n_workers, checked in ((0, False), (0, False), (1, False), (1, True)):
        heard = Heard()
        with open_study(study, request, heard, n_workers=n_workers, checked=checked):
            said.append(heard.said)
    assert asked == [False, False, True]
    assert said == [["the worker was asked", *presets.remarks(plan(request))]] * 3 + [[]]
    with open_study(StudyDir(tmp_path / "another"), request, Heard(), n_workers=1):
        assert asked.pop()


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


@pytest.mark.parametrize("leads", [True, False])
def test_who_comes_too_late_for_a_new_study_is_told_that_it_is_another_search(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, leads: bool
) -> None:
    study, new = StudyDir(tmp_path / "study"), opening._new
    monkeypatch.setattr(launch, "_ask_worker", lambda meta, space, **named: [])
    with ExitStack() as rival:

        def overtaken(*arguments: Any, **named: Any) -> Made:
            made = new(*arguments, **named)
            planned(study.path, Request(space="toy", worker="toy", method="random_search", trials=5))
            if leads:
                rival.enter_context(leading(study))
            return made

        monkeypatch.setattr(opening, "_new", overtaken)
        asked = Request(space="toy", worker="toy", method="asha", trials=5)
        with pytest.raises(StudyError, match="belongs to another search"), open_study(study, asked, Heard(), n_workers=1):
            pass
    assert study.read_meta()["method"] == "random_search"


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


def test_a_journal_of_another_search_is_not_left_to_workers(study: StudyDir) -> None:
    Journal(study.journal, fold(study.journal)).write(Event(term=1, time=0.0, trial=trial(0), reason="first"))
    study.done.touch()
    with pytest.raises(JournalError, match=r"trial t0 .* cannot be replayed: this search would have asked"):
        prepare(study.path, Request(trials=9), Heard())
    assert (study.done.exists(), study.read_meta()["stop"]["trials"]) == (True, 5)


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


def lasts(study: StudyDir) -> list[bool]:
    """Whether the lease that is held now lasts 500 s from now, and 700 s."""
    return [holders.master(study, now=lambda later=later: time.time() + later) is not None for later in (500.0, 700.0)]  # type: ignore[misc]


def test_a_study_that_is_led_by_leases_is_made_so_and_keeps_how_long_they_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launch, "_ask_worker", lambda meta, space, **named: [])
    study = StudyDir(tmp_path / "study")
    asked = Request(space="toy", worker="toy", trials=5, lock="lease", lease_s=600.0)
    for request in (asked, Request()):
        with open_study(study, request, Heard(), n_workers=1) as (made, _):
            assert lasts(study) == [True, False]
            assert made.meta["lock"] == "lease"
        assert study.leases.stat().st_mode & 0o777 == 0o700
    with open_study(StudyDir(tmp_path / "locked"), replace(asked, lock="kernel", lease_s=None), Heard(), n_workers=1):
        assert not (tmp_path / "locked" / study.leases.name).exists()


def test_where_a_master_cannot_listen_no_study_is_made_unless_others_lead_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launch, "_ask_worker", lambda meta, space, **named: [])
    request = Request(space="toy", worker="toy", trials=5, listen="ib-of-the-nodes", lock="kernel")
    with (
        pytest.raises(UsageError, match="--listen 'ib-of-the-nodes'"),
        open_study(StudyDir(tmp_path / "here"), request, Heard(), n_workers=1),
    ):
        pass
    assert list(tmp_path.iterdir()) == []
    assert prepare(tmp_path / "there", request, Heard())


def test_a_path_that_not_everybody_can_be_told_is_refused_first(tmp_path: Path) -> None:
    study = StudyDir(tmp_path / "study\udcff")
    with pytest.raises(UsageError, match="UTF-8"), open_study(study, Request(space="toy", worker="toy", trials=5), Heard(), n_workers=1):
        pass
    assert list(tmp_path.iterdir()) == []


def test_of_a_led_study_whose_files_have_changed_it_is_said_that_it_is_led(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is to be done of the files, its own master says."""
    monkeypatch.setattr(launch, "_ask_worker", lambda meta, space, **named: [])
    worker, study = tmp_path / "worker.py", StudyDir(tmp_path / "study")
    worker.write_text("def train(trial, workdir): ...\n")
    with open_study(study, Request(space="toy", worker=str(worker), trials=5), Heard(), n_workers=1):
        worker.write_text("# another\n")
        with pytest.raises(StudyHeldError, match="joins it"), open_study(study, Request(), Heard(), n_workers=1):
            pass


def test_where_there_are_no_locks_a_master_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launch, "_ask_worker", lambda meta, space, **named: [])
    heard, study = Heard(), StudyDir(tmp_path / "scratch" / "study")
    study.path.parent.mkdir()
    take_locks_away(study.path.parent, monkeypatch)
    with open_study(study, Request(space="toy", worker="toy", trials=5, lock="kernel"), heard, n_workers=1):
        assert study.leases.is_dir()
    assert [text for text in heard.said if text.endswith(f"keep each other out by a lease in {study.leases}")] != []


DATA = """
import numpy as np
from bohb_nas.datasets import Dataset
def load(data_dir):
    pixels, labels = np.zeros((40, 8, 8, 1), np.uint8), np.arange(40) % 2
    return Dataset(name="mine", classes=("even", "odd"), train_images=pixels, train_labels=labels, fingerprint="{}")
"""


def test_a_study_keeps_to_the_data_that_it_began_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launch, "_ask_worker", lambda meta, space, **named: [])
    study, data = StudyDir(tmp_path / "study"), tmp_path / "mine.py"
    data.write_text(DATA.format("before"))
    assert prepare(study.path, Request(dataset=str(data), trials=5), Heard())
    assert study.read_meta()["data_fingerprint"] == "before"
    data.write_text(DATA.format("after"))
    with pytest.raises(StudyError, match=r"data set .*mine\.py has changed since the study started"):
        prepare(study.path, Request(accept_changed_inputs=True), Heard())


SIZED = "from bohb_nas.search_spaces.toy import space\ndef size(config): return {{'params': {} * config['width']}}\n"


def test_an_accepted_size_holds_from_the_run_on_that_accepts_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launch, "_ask_worker", lambda meta, space, **named: [])
    study, file = StudyDir(tmp_path / "study"), tmp_path / "mine.py"

    def params(request: Request) -> float:
        with open_study(study, request, Heard(), n_workers=1) as (made, _):
            assert made.knowledge.size is not None
            return made.knowledge.size({"width": 7})["params"]

    file.write_text(SIZED.format(1))
    assert params(Request(space=str(file), worker="toy", trials=5, constraints=("params<=9",))) == 7
    file.write_text(SIZED.format(10))
    assert params(Request(accept_changed_inputs=True)) == 70
    assert (study.inputs / "space-mine.py").read_text() == SIZED.format(1), "whoever opens a study has not taken anything yet"
    file.write_text("no python")
    with pytest.raises(UsageError, match=r"mine\.py"):
        params(Request(accept_changed_inputs=True))
    file.unlink()
    assert params(Request(accept_changed_inputs=True)) == 7, "of a file that is gone the study's copy is asked"
    assert prepare(study.path, Request(accept_changed_inputs=True), Heard())
    assert params(Request()) == 7, "and from then on, without a word"
    file.write_text(SIZED.format(100))
    with pytest.raises(StudyError, match=r"mine\.py \(changed\)"):
        params(Request())
    assert params(Request(accept_changed_inputs=True)) == 700


def test_what_is_recorded_is_what_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The seed of a study, and the budget after which it ends: one round of four brackets from 1 to 27, whose worth is 15 * 27."""
    monkeypatch.setattr(launch, "_ask_worker", lambda meta, space, **named: [])
    study, first = StudyDir(tmp_path / "study"), list[object]()
    request = Request(space="toy", worker="toy", method="hyperband", budget_min=1.0, budget_max=27.0, brackets=4, seed=7)
    assert prepare(study.path, request, Heard())
    with open_study(study, Request(), Heard(), n_workers=1) as (made, _):
        first.append(made.optimizer.ask())
    for seed in (7, 8):
        first.append(make_optimizer("hyperband", space=toy.space(), budgets=Budgets(min=1, max=27), seed=seed).ask())
    assert (first[0] == first[1], first[0] == first[2]) == (True, False)
    assert study.read_meta()["worth"] == 405.0


def test_a_study_is_examined_and_not_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launch, "_ask_worker", lambda meta, space, **named: [])
    opening.examine(tmp_path / "study", Request(space="toy", worker="toy", trials=5), Heard(), n_workers=1)
    with pytest.raises(UsageError, match="--hard-limit"):
        opening.examine(tmp_path / "study", Request(space="toy", worker="toy", trials=5, hard_limit_s=1.0), Heard(), n_workers=1)
    assert list(tmp_path.iterdir()) == []


def test_who_prepares_a_study_that_another_is_just_making_is_told_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launch, "_ask_worker", lambda meta, space, **named: [])
    study = StudyDir(tmp_path / "study")
    study.make()
    with leading(study), pytest.raises(StudyHeldError, match="is led by a living master"):
        prepare(study.path, Request(space="toy", worker="toy", method="random_search", trials=5), Heard())


def in_project(folder: Path, **asked: Any) -> StudyDir:
    """A study that was started in `folder`, which is the current one."""
    (folder / "mine.py").write_text("from bohb_nas.search_spaces.toy import space\n")
    request = Request(**{"space": "toy", "worker": "toy", "method": "random_search", "trials": 5, **asked})
    return planned(folder.parent / "study", request, lock="kernel")


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({}, False),
        ({"space": "mine.py"}, True),
        ({"worker": None, "command": "true"}, True),
        ({"worker": "a:b"}, True),
        ({"space": "bohb_nas.search_spaces.toy:space"}, True),
    ],
)
def test_who_resumes_from_another_folder_is_told_where_files_are_looked_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: dict[str, Any], said: bool
) -> None:
    monkeypatch.setattr(launch, "_ask_worker", lambda meta, space, **named: [])
    first, other = tmp_path / "first", tmp_path / "other"
    first.mkdir()
    other.mkdir()
    monkeypatch.chdir(first)
    study = in_project(first, **asked)
    line = f"this study was started in {first}: its commands and files are looked up there, not in the current directory"
    for folder, lines in ((first, []), (other, [line] if said else [])):
        monkeypatch.chdir(folder)
        heard = Heard()
        assert prepare(study.path, Request(), heard)
        assert heard.said == lines


def test_a_method_is_that_of_where_the_study_was_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not that of a copy of the project, from which the study is resumed."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(launch, "_ask_worker", lambda meta, space, **named: [])
    first, copy, name = tmp_path / "first", tmp_path / "copy", f"method_{tmp_path.name}"
    for folder in (copy, first):
        folder.mkdir()
        (folder / f"{name}.py").write_text(
            "from bohb_nas.methods import random_search\nclass Mine:\n    Options = random_search.Options\n"
            f"    make = staticmethod(random_search.make)\n    PLACE = {folder.name!r}\n"
        )
    monkeypatch.chdir(first)
    study = in_project(first, method=f"{name}:Mine")
    monkeypatch.chdir(copy)
    heard = Heard()
    assert prepare(study.path, Request(), heard)
    assert sys.modules[name].Mine.PLACE == "first"
    assert heard.said == [f"this study was started in {first}: its commands and files are looked up there, not in the current directory"]


def test_a_study_whose_folder_is_gone_is_told_how_to_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launch, "_ask_worker", lambda meta, space, **named: [])
    first, moved = tmp_path / "first place", tmp_path / "moved here"
    first.mkdir()
    monkeypatch.chdir(first)
    study = in_project(first, space="mine.py")
    first.rename(moved)
    for asked in (Request(), Request(accept_changed_inputs=True), Request(accept_changed_inputs=True, lock="lease")):
        with pytest.raises(StudyError) as refused:
            prepare(study.path, asked, Heard())
        assert not study.leases.exists(), "what is refused changes nothing"
        assert str(refused.value) == (
            f"the folder where this study was started is gone: {first}; its commands and files are looked up there: restore it, or where "
            f"it was moved or copied, put a link in its place: ln -s NEW '{first}'"
        )
    first.symlink_to(moved)
    heard = Heard()
    assert prepare(study.path, Request(), heard)
    assert heard.said == [], "the current directory is the folder, by another name"


def test_of_a_led_study_whose_folder_is_gone_here_it_is_said_that_it_is_led(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launch, "_ask_worker", lambda meta, space, **named: [])
    first = tmp_path / "first"
    first.mkdir()
    monkeypatch.chdir(first)
    study = in_project(first, space="mine.py")
    first.rename(tmp_path / "moved")
    with leading(study), pytest.raises(StudyHeldError, match="joins it"), open_study(study, Request(), Heard(), n_workers=1):
        pass


@pytest.mark.parametrize(("lock", "said"), [(None, True), ("lease", False)])
def test_a_time_for_a_lease_has_no_effect_on_a_lock_of_the_kernel(study: StudyDir, lock: str | None, said: bool) -> None:
    heard = Heard()
    assert prepare(study.path, Request(lease_s=30.0, lock=lock), heard)
    line = "--lease-time 30s has no effect: masters of this study keep each other out by the kernel's lock; a lease needs --lock lease"
    assert heard.said == ([line] if said else [])


@pytest.mark.parametrize(
    ("asked", "lacks"),
    [
        ({"method": "bohb_2018", "brackets": 32}, ["space zela2018", "worker image_classifier with schedule=restarts"]),
        ({"method": "bohb_2018", "space": "zela2018", "trials": 4}, ["worker image_classifier with schedule=restarts", "brackets 32"]),
        ({"method": "asha"}, ["space zela2018", "method bohb_2018 with brackets 32", "worker image_classifier with schedule=restarts"]),
    ],
)
def test_what_a_study_lacks_of_its_preset_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: dict[str, Any], lacks: list[str]
) -> None:
    monkeypatch.setattr(launch, "_ask_worker", lambda meta, space, **named: [])
    for request in (Request(**{"space": "toy", "worker": "toy", "preset": "zela2018", **asked}), Request()):
        heard = Heard()
        assert prepare(tmp_path / "study", request, heard)
        assert heard.said == [f"of the preset zela2018 this study does not have: {', '.join(lacks)}"]


def test_a_study_may_lack_one_option_of_its_preset_or_nothing() -> None:
    assert presets.remarks(plan(Request(preset="zela2018"))) == []
    assert presets.remarks(plan(Request())) == []
    other = plan(Request(preset="zela2018", worker_options={"schedule": "cosine"}))
    assert presets.remarks(other) == ["of the preset zela2018 this study does not have: worker option schedule=restarts"]
