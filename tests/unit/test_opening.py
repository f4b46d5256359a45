"""Which lock an existing study is led under once it lets other machines in."""

from pathlib import Path

import pytest

from bohb_nas.engine import launch
from bohb_nas.engine.opening import open_study, prepare
from bohb_nas.engine.plan import Request, plan
from bohb_nas.engine.view import Display
from bohb_nas.errors import StudyError
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
