"""Who may lead, and the process that stands by to: one of a machine, and no other while it gets ready."""

import asyncio
import errno
import json
import os
import random
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from study_fakes import take_locks_away

from bohb_nas.engine import election
from bohb_nas.engine.devices import host
from bohb_nas.engine.election import Candidate, choose_lock, leading, stand_by, worker_gone
from bohb_nas.errors import NoLocksError, StorageError, StudyHeldError
from bohb_nas.locks import Lock, holder
from bohb_nas.store import holders, mounts
from bohb_nas.store.lease import Lease
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
        stand(Candidate(study, say=print), 1)
    assert len(started) == 1, "it stands by, for every worker of the machine"
    with Lock(study.master_lock) as lock:
        assert lock.acquire(json.dumps({"host": "far", "pid": started[0].pid}))
        stand(candidate, 3)
    assert len(started) == 1, "who leads is another machine's"
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


@pytest.mark.parametrize(
    ("said", "listen", "kind", "chosen"),
    [
        (None, "host", "nfs4", "lease"),
        (None, "ib0", "nfs4", "lease"),
        (None, "loopback", "nfs4", "kernel"),
        (None, "host", "ext4", "kernel"),
        ("kernel", "host", "nfs4", "kernel"),
        ("lease", "loopback", "ext4", "lease"),
    ],
)
def test_a_lease_is_chosen_where_other_machines_are_let_in_that_a_lock_does_not_reach(
    study: StudyDir, monkeypatch: pytest.MonkeyPatch, said: str | None, listen: str, kind: str, chosen: str
) -> None:
    mount = mounts.Mount(point="/scratch", kind=kind, options=frozenset({"nolock"}))
    monkeypatch.setattr(mounts, "of", lambda path: mount)
    why = f"/scratch ({kind}) is mounted with nolock" if (said, chosen) == (None, "lease") else None
    assert choose_lock(study, said=said, listen=listen) == (chosen, why)


def test_who_leads_by_a_lease_leads_for_as_long_as_was_asked(study: StudyDir, monkeypatch: pytest.MonkeyPatch) -> None:
    study.leases.mkdir()
    with leading(study, lasts_s=120.0, task="baselines") as seat:
        assert isinstance(seat, Lease)
        assert holder(study.master_lock) is None, "a lock that is held as well would outlive the lease"
        assert holders.master(study, now=lambda: time.time() + 100.0) is not None
        assert holders.master(study, now=lambda: time.time() + 140.0) is None
        assert (holders.master(study) or {})["task"] == "baselines"
    assert holders.master(study) is None


@pytest.mark.parametrize(
    ("refusal", "said"),
    [
        (StorageError("no space left"), "no space left"),
        (PermissionError(errno.EACCES, "not yours"), "cannot write .*leases: not yours; free space or restore access"),
    ],
)
def test_a_lease_that_cannot_be_taken_is_said_in_a_line(
    study: StudyDir, monkeypatch: pytest.MonkeyPatch, refusal: Exception, said: str
) -> None:
    def acquire(lease: Lease, note: object) -> bool:
        raise refusal

    study.leases.mkdir()
    monkeypatch.setattr(Lease, "acquire", acquire)
    with pytest.raises(StorageError, match=said), leading(study):
        pass


def test_who_stands_by_leads_once_nobody_else_does_and_not_when_its_worker_has_ended(
    study: StudyDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[float] = []
    with Lock(study.master_lock) as lock:
        assert lock.acquire("{}")

        def sleep(seconds: float) -> None:
            looks.append(seconds)
            if len(looks) == 3:
                lock.release()

        monkeypatch.setattr(time, "sleep", sleep)
        assert not stand_by(study, lambda: len(looks) == 2)
        assert stand_by(study, lambda: False)
    assert len(looks) == 3
    assert holder(study.standby_lock(host())) is None


def test_a_file_server_is_not_asked_as_often_as_a_disk_of_this_machine(study: StudyDir, monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[float] = []
    monkeypatch.setattr(time, "sleep", looks.append)
    with Lock(study.master_lock) as lock:
        assert lock.acquire("{}")
        for kind in ("ext4", "nfs4"):
            mount = mounts.Mount(point="/scratch", kind=kind, options=frozenset())
            monkeypatch.setattr(mounts, "of", lambda path, mount=mount: mount)
            n = len(looks) + 1
            assert not stand_by(study, lambda n=n: len(looks) == n)  # type: ignore[misc]
    monkeypatch.setattr(mounts, "of", lambda path: mounts.Mount(point="/", kind="ext4", options=frozenset()))
    study.leases.mkdir()
    with leading(study):
        assert not stand_by(study, lambda: len(looks) == 3)
    local_s, shared_s, leased_s = looks
    assert shared_s == leased_s == 10 * local_s, "leases are for studies that several machines see"


def test_a_process_that_cannot_lead_is_not_started_over_and_over(
    study: StudyDir, started: list[Process], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [1000.0]
    monkeypatch.setattr(election, "_REST_S", 5.0)
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    candidate = Candidate(study, say=print)
    for clock[0], n in [(1000.0, 1), (1004.9, 1), (1005.0, 2)]:
        stand(candidate, 1)
        assert len(started) == n
        started[-1].returncode = 1


def test_workers_that_begin_at_once_look_first_whether_another_has_started_one(
    study: StudyDir, started: list[Process], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [1000.0]
    monkeypatch.setattr(election, "_STAGGER_S", 0.5)
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(random, "uniform", lambda least, most: most)
    candidate = Candidate(study, say=print)
    for clock[0], n in [(1000.0, 0), (1000.4, 0), (1000.5, 1)]:
        stand(candidate, 1)
        assert len(started) == n


def test_who_cannot_see_whether_another_stands_by_counts_on_its_own(
    study: StudyDir, started: list[Process], monkeypatch: pytest.MonkeyPatch
) -> None:
    def blind(path: Path) -> str | None:
        raise NoLocksError("no locks here")

    monkeypatch.setattr(election, "holder", blind)
    candidate = Candidate(study, say=print)
    stand(candidate, 3)
    assert len(started) == 1


def test_a_machine_without_room_for_another_process_says_so_and_tries_again(
    study: StudyDir, started: list[Process], monkeypatch: pytest.MonkeyPatch
) -> None:
    start, said = asyncio.create_subprocess_exec, list[str]()

    async def refused(*command: str, **options: object) -> Process:
        raise BlockingIOError("Resource temporarily unavailable")

    monkeypatch.setattr(asyncio, "create_subprocess_exec", refused)
    candidate = Candidate(study, say=said.append)
    stand(candidate, 1)
    assert said == ["no process can be started that stands by to lead: Resource temporarily unavailable"]
    monkeypatch.setattr(asyncio, "create_subprocess_exec", start)
    stand(candidate, 1)
    assert len(started) == 1


@pytest.mark.parametrize(("listen", "told"), [(None, []), ("host", ["--listen", "host"])])
def test_a_master_that_a_worker_starts_listens_where_the_worker_was_told_to(
    study: StudyDir, monkeypatch: pytest.MonkeyPatch, listen: str | None, told: list[str]
) -> None:
    """Its input ends with the worker, its output is none of the worker's, and signals to the worker's group are not its own."""
    commands: list[tuple[str, ...]] = []

    async def start(*command: str, **options: object) -> Process:
        pipes = (options["stdin"], options["stdout"])
        assert (*pipes, options["start_new_session"]) == (asyncio.subprocess.PIPE, asyncio.subprocess.DEVNULL, True)
        commands.append(command)
        return Process(pid=10**6)

    monkeypatch.setattr(asyncio, "create_subprocess_exec", start)
    monkeypatch.setattr(election, "_STAGGER_S", 0.0)
    stand(Candidate(study, say=print, listen=listen), 1)
    assert [command[command.index("run") :] for command in commands] == [("run", str(study.path), "--workers", "0", "--standby", *told)]


class Living(Process):
    """One that ends when it is killed; when it is told to, or by itself, only where that is said."""

    heeds, finishes = True, False

    def terminate(self) -> None:
        self.returncode = -15 if self.heeds else None

    killed = False

    def kill(self) -> None:
        self.killed = True

    async def wait(self) -> None:
        while self.returncode is None:
            await asyncio.sleep(0.0)
            self.returncode = 0 if self.finishes else -9 if self.killed else None


@pytest.mark.parametrize(
    ("done", "heeds", "finishes", "code"), [(False, True, True, -15), (True, True, True, 0), (False, False, False, -9)]
)
def test_what_stands_by_ends_with_its_worker_and_a_master_that_has_finished_the_study_may_say_so(
    study: StudyDir, monkeypatch: pytest.MonkeyPatch, done: bool, heeds: bool, finishes: bool, code: int
) -> None:
    monkeypatch.setattr(election, "_END_S", 0.05)
    candidate, process, ended = Candidate(study, say=print), Living(pid=10**6), Living(pid=10**6 + 1, returncode=3)
    process.heeds, process.finishes = heeds, finishes
    candidate._started = [process, ended]  # type: ignore[list-item]
    if done:
        study.done.touch()
    asyncio.run(candidate.end())
    assert (process.returncode, ended.returncode) == (code, 3)


def test_without_locks_each_worker_has_a_process_of_its_own_that_stands_by(
    tmp_path: Path, started: list[Process], monkeypatch: pytest.MonkeyPatch
) -> None:
    study = StudyDir(tmp_path / "scratch" / "study")
    study.path.parent.mkdir()
    study.make()
    study.study_json.touch()
    study.leases.mkdir()
    take_locks_away(study.path.parent, monkeypatch)
    candidate, another = Candidate(study, say=print), Candidate(study, say=print)
    stand(candidate, 3)
    assert len(started) == 1
    stand(another, 3)
    assert len(started) == 2
    assert stand_by(study, lambda: False)
    said: list[str] = []
    study.leases.rmdir()
    with leading(study, say=said.append) as seat:
        assert isinstance(seat, Lease)
    assert study.leases.stat().st_mode & 0o777 == 0o700
    assert len(said) == 1
    assert said[0].endswith(f"masters of this study keep each other out by a lease in {study.leases}")


def test_a_process_that_stands_by_knows_that_its_worker_has_ended() -> None:
    kept, (reading, writing) = os.dup(0), os.pipe()
    try:
        os.dup2(reading, 0)
        assert not worker_gone()
        os.close(writing)
        assert worker_gone()
    finally:
        os.dup2(kept, 0)
        os.close(kept)
        os.close(reading)


def test_who_is_refused_is_told_who_leads(study: StudyDir) -> None:
    began = time.time()
    with leading(study):
        note = holders.master(study) or {}
        assert (note["host"], note["pid"], note["task"]) == (host(), os.getpid(), "search")
        assert began <= note["since"] <= time.time()
        told = f"{study.path} is led by a living master (pid {os.getpid()} on {host()}); "
        with pytest.raises(StudyHeldError, match=re.escape(told)), leading(study):
            pass


def test_nobody_is_sent_to_join_baselines(study: StudyDir) -> None:
    told = f"baselines are trained in {study.path} by pid {os.getpid()} on {host()}; wait until they end, or stop them"
    with leading(study, task="baselines"), pytest.raises(StudyHeldError, match=re.escape(told)) as refused, leading(study):
        pass
    assert "bohb-nas worker" not in str(refused.value)


@pytest.mark.parametrize("note", ["", "{}"])
def test_of_a_master_that_says_nothing_of_itself_it_is_said_that_it_leads(study: StudyDir, note: str) -> None:
    with Lock(study.master_lock) as lock:
        assert lock.acquire(note)
        with pytest.raises(StudyHeldError, match=r"\(pid \? on \?\)"), leading(study):
            pass


def test_a_disk_without_room_for_a_lock_is_no_misuse(study: StudyDir, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int, data: bytes, offset: int) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(StorageError, match=r"cannot write .*master\.lock: No space left on device; free space") as refused, leading(study):
        pass
    assert refused.value.exit_code == 1


def test_who_is_refused_by_a_master_that_ends_meanwhile_is_refused(study: StudyDir, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(holders, "master", lambda study: None)
    with leading(study), pytest.raises(StudyHeldError, match=r"\(pid \? on \?\)"), leading(study):
        pass


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
