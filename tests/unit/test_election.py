"""The process that stands by: one of a machine, and no other while it gets ready."""

import asyncio
import errno
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from bohb_nas.engine import election
from bohb_nas.engine.devices import host
from bohb_nas.engine.election import Candidate, stand_by
from bohb_nas.locks import Lock, holder
from bohb_nas.store.study_dir import StudyDir


@dataclass
class Process:
    """One that was started."""

    pid: int
    returncode: int | None = None

    def terminate(self) -> None:
        self.returncode = -15

    async def wait(self) -> int | None:
        return self.returncode


@pytest.fixture
def study(tmp_path: Path) -> StudyDir:
    study = StudyDir(tmp_path / "study")
    study.make()
    study.study_json.touch()
    return study


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[Process]:
    """What candidates start, which they may as often as they like."""
    processes: list[Process] = []

    async def start(*command: str, **options: object) -> Process:
        del command, options
        processes.append(Process(pid=10**6 + len(processes)))
        return processes[-1]

    monkeypatch.setattr(asyncio, "create_subprocess_exec", start)
    monkeypatch.setattr(election, "_STAGGER_S", 0.0)
    monkeypatch.setattr(election, "_REST_S", 0.0)
    return processes


def stand(candidate: Candidate, times: int) -> None:
    for _ in range(times):
        asyncio.run(candidate.stand())


def test_while_one_gets_ready_no_other_is_started(study: StudyDir, started: list[Process]) -> None:
    candidate = Candidate(study, say=print)
    stand(candidate, 3)
    assert len(started) == 1
    with Lock(study.standby_lock(host())) as lock:
        assert lock.acquire(json.dumps({"host": host(), "pid": started[0].pid}))
        stand(candidate, 3)
    assert len(started) == 1, "it stands by"
    with Lock(study.master_lock) as lock:
        assert lock.acquire(json.dumps({"host": host(), "pid": started[0].pid}))
        stand(candidate, 3)
    assert len(started) == 2, "it leads, so that another stands by"


def test_in_the_place_of_one_that_ended_another_is_started(study: StudyDir, started: list[Process]) -> None:
    candidate = Candidate(study, say=print)
    stand(candidate, 1)
    started[0].returncode = 1
    stand(candidate, 3)
    assert len(started) == 2


def test_where_the_study_is_gone_nobody_stands_by_and_nobody_leads(study: StudyDir, started: list[Process]) -> None:
    """Who led there would begin another study in its place."""
    candidate = Candidate(study, say=print)
    assert not stand_by(study, lambda: False, ready=study.study_json.unlink)
    stand(candidate, 3)
    assert started == []


def test_only_one_of_a_machine_loads_what_it_takes_to_lead(study: StudyDir) -> None:
    held: list[bool] = []
    study.done.touch()
    with Lock(study.standby_lock(host())) as lock:
        assert lock.acquire("{}")
        assert not stand_by(study, lambda: False, ready=lambda: held.append(True))
        assert held == []
    assert not stand_by(study, lambda: False, ready=lambda: held.append(holder(study.standby_lock(host())) is not None))
    assert held == [True], "others can see that it gets ready"


@pytest.fixture(params=[errno.EACCES, errno.ESTALE, errno.EIO])
def away(request: pytest.FixtureRequest, study: StudyDir, monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Has the study's file server refuse the next so many looks at what is in the study."""
    left, look = 0, os.stat

    def refuse(path: object, **how: object) -> os.stat_result:
        nonlocal left
        if isinstance(path, str | Path) and Path(path).is_relative_to(study.path) and left:
            left -= 1
            raise OSError(request.param, os.strerror(request.param))
        return look(path, **how)  # type: ignore[arg-type]

    def begin(looks: int) -> None:
        nonlocal left
        left = looks

    monkeypatch.setattr(os, "stat", refuse)
    return begin


def test_a_file_server_that_is_away_is_waited_for(study: StudyDir, started: list[Process], away: Callable[[int], None]) -> None:
    candidate = Candidate(study, say=print)
    away(10**6)
    stand(candidate, 3)
    assert started == [], "nothing is known, and nothing done"
    away(0)
    stand(candidate, 3)
    assert len(started) == 1
    away(10**6)
    asyncio.run(candidate.end())
    assert started[0].returncode == -15


def test_who_stands_by_leads_once_the_file_server_is_back(study: StudyDir, away: Callable[[int], None]) -> None:
    assert stand_by(study, lambda: False, ready=lambda: away(4))
