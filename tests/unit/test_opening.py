"""Which lock an existing study is led under once it lets other machines in; who is told what of a study that is led."""

from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from bohb_nas.engine import launch, opening, presets
from bohb_nas.engine.election import leading
from bohb_nas.engine.opening import Made, open_study, prepare
from bohb_nas.engine.plan import Request, plan
from bohb_nas.engine.view import Display
from bohb_nas.errors import StudyError, StudyHeldError
from bohb_nas.store import mounts
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


def in_project(folder: Path, **asked: Any) -> StudyDir:
    """A study that was started in `folder`, which is the current one."""
    (folder / "mine.py").write_text("from bohb_nas.search_spaces.toy import space\n")
    study = StudyDir(folder.parent / "study")
    study.make()
    meta = plan(Request(**{"space": "toy", "worker": "toy", "method": "random_search", "trials": 5, **asked}))
    launch.create(study, {**meta, "lock": "kernel"}, launch.new_space(meta))
    return study


@pytest.mark.parametrize(
    ("asked", "said"), [({}, False), ({"space": "mine.py"}, True), ({"worker": None, "command": "true"}, True), ({"worker": "a:b"}, True)]
)
def test_who_resumes_from_another_folder_is_told_where_files_are_looked_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: dict[str, Any], said: bool
) -> None:
    monkeypatch.setattr(launch, "_ask_worker", lambda meta, space: [])
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


def test_a_study_whose_folder_is_gone_is_told_how_to_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launch, "_ask_worker", lambda meta, space: [])
    first, moved = tmp_path / "first", tmp_path / "moved here"
    first.mkdir()
    monkeypatch.chdir(first)
    study = in_project(first, space="mine.py")
    first.rename(moved)
    for accept in (False, True):
        with pytest.raises(StudyError) as refused:
            prepare(study.path, Request(accept_changed_inputs=accept), Heard())
        assert str(refused.value) == (
            f"the folder where this study was started is gone: {first}; its commands and files are looked up there: restore it, or where "
            f"it was moved or copied, put a link in its place: ln -s NEW {first}"
        )
    first.symlink_to(moved)
    heard = Heard()
    assert prepare(study.path, Request(), heard)
    assert heard.said == [], "the current directory is the folder, by another name"


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
    monkeypatch.setattr(launch, "_ask_worker", lambda meta, space: [])
    for request in (Request(**{"space": "toy", "worker": "toy", "preset": "zela2018", **asked}), Request()):
        heard = Heard()
        assert prepare(tmp_path / "study", request, heard)
        assert heard.said == [f"of the preset zela2018 this study does not have: {', '.join(lacks)}"]


def test_a_study_may_lack_one_option_of_its_preset_or_nothing() -> None:
    assert presets.remarks(plan(Request(preset="zela2018"))) == []
    assert presets.remarks(plan(Request())) == []
    other = plan(Request(preset="zela2018", worker_options={"schedule": "cosine"}))
    assert presets.remarks(other) == ["of the preset zela2018 this study does not have: worker option schedule=restarts"]
