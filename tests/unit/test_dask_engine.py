"""What a master makes of trials that nobody trains; whole engines with workers are in tests/cluster."""

import asyncio
import errno
import json
import os
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dask.config
import pytest
from distributed.core import Status as WorkerStatus
from study_fakes import beat, take_locks_away, trial

from bohb_nas.engine import cluster
from bohb_nas.engine.cluster import Address
from bohb_nas.engine.dask_engine import MAX_CUTS, DaskEngine
from bohb_nas.engine.devices import host
from bohb_nas.engine.keys import make_keys
from bohb_nas.engine.lead import last_alive
from bohb_nas.errors import BohbNasError, StartError, StorageError
from bohb_nas.files import storing
from bohb_nas.locks import Lock
from bohb_nas.records import Result, Status
from bohb_nas.store import handovers, holders
from bohb_nas.store.journal import Event, State
from bohb_nas.store.study_dir import StudyDir


def cut(study: StudyDir, times: int) -> None:
    """Workers that began the trial and had to leave it."""
    for _ in range(times):
        handovers.left(study.new_attempt("t0")).write_text("{}")


def said(path: Path) -> float:
    """The time that a note gives."""
    return float(json.loads(path.read_text())["time"])


def touch(path: Path) -> None:
    """Gives a file the time of tomorrow, as a copy, or whoever keeps it from being purged."""
    os.utime(path, (time.time() + 86_400,) * 2)


def test_the_end_of_a_master_that_ends_in_good_order_is_kept(study: StudyDir) -> None:
    """The journal's last line is 60 s before the end: they count towards --total-time; days after which the study is copied do not."""
    make_keys(study)
    assert last_alive(study, 1) is None
    with DaskEngine(study, term=1, needs_s=lambda _: None, say=print):
        before_end = time.time()
    assert not study.scheduler_json.exists(), "nobody is there: workers need not try"
    end = said(study.last_led)
    assert before_end <= end <= time.time()
    touch(study.last_led)
    assert last_alive(study, 1) == end
    state = State()
    for event in [Event(term=1, time=end - 70), Event(term=1, time=end - 60, trial=trial(0)), Event(term=2, time=end + 5000, until=end)]:
        state.apply(event)
    assert state.led_s == 10 + 60


@pytest.mark.parametrize("ended", [160.0, 1e12])
def test_a_master_that_was_killed_after_one_that_ended_was_the_last_to_live(study: StudyDir, ended: float) -> None:
    """Whatever the clock of the one that ended said."""
    study.last_led.write_text(json.dumps({"term": 1, "time": ended}))
    Address(study, "tls://127.0.0.1:1", 2)
    alive = said(study.scheduler_json)
    touch(study.scheduler_json)
    assert last_alive(study, 2) == alive
    assert last_alive(study, 3) is None, "one that was killed before it had an address"


def test_a_scheduler_does_not_end_as_the_user_has_his_own_end(study: StudyDir) -> None:
    """Nor does a worker: both would be lost in the middle of a search."""
    make_keys(study)
    own = {
        "distributed.scheduler.idle-timeout": "1s",
        "distributed.worker.lifetime.duration": "1s",
        "distributed.scheduler.preload": ["absent"],
    }
    with dask.config.set(own), DaskEngine(study, term=1, needs_s=lambda _: None, say=print) as engine:
        assert engine._scheduler.idle_timeout is None
        assert dask.config.get("distributed.worker.lifetime.duration") is None


def test_a_master_says_anew_that_it_lives(study: StudyDir, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every tick by the time of the file; from time to time, or when somebody has deleted it, by the time in it."""
    make_keys(study)
    path = study.scheduler_json
    with DaskEngine(study, term=1, needs_s=lambda _: None, say=print) as engine:
        began = said(path)
        os.utime(path, (0, 0))
        engine.live()
        assert path.stat().st_mtime > 0
        assert said(path) == began
        monkeypatch.setattr(cluster, "_SAID_S", 0.0)
        engine.live()
        assert said(path) > began
        monkeypatch.undo()
        path.unlink()
        engine.live()
        assert path.exists()


def test_a_disk_that_refuses_an_address_does_not_end_its_master(study: StudyDir, monkeypatch: pytest.MonkeyPatch) -> None:
    make_keys(study)

    def full(path: Path, text: str) -> None:
        raise StorageError("no space left")

    with DaskEngine(study, term=1, needs_s=lambda _: None, say=print) as engine:
        study.scheduler_json.unlink()
        monkeypatch.setattr(cluster, "write_atomic", full)
        engine.live()
        monkeypatch.undo()
        engine.live()
        assert study.scheduler_json.exists(), "it has space again"


def test_a_master_ends_when_the_disk_stays_full(study: StudyDir, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its workers wait for room with what they have finished; a disk that does not answer may come back by itself."""
    make_keys(study)
    refusals = [errno.EIO, errno.EIO, errno.ENOSPC, errno.ENOSPC, errno.ENOSPC]

    def refuse(path: Path, text: str) -> None:
        with storing(path):
            raise OSError(refusals.pop(0), "refused")

    with DaskEngine(study, term=1, needs_s=lambda _: None, say=print) as engine:
        monkeypatch.setattr(cluster, "write_atomic", refuse)
        monkeypatch.setattr(cluster, "_SAID_S", 0.0)
        engine.live()
        engine.live()
        engine.live()
        engine.live()
        monkeypatch.setattr(cluster, "_FULL_S", 0.0)
        with pytest.raises(StorageError, match="refused; free space"):
            engine.live()
        monkeypatch.undo()


def test_a_master_that_was_superseded_leaves_its_successors_address(study: StudyDir) -> None:
    make_keys(study)
    with DaskEngine(study, term=1, needs_s=lambda _: None, say=print):
        Address(study, "tls://127.0.0.1:1", 2)
    assert study.scheduler_json.exists()
    assert not study.last_led.exists()


def test_a_disk_that_cannot_be_written_any_more_leaves_the_address_and_hides_nothing(
    study: StudyDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next master takes for the end what was last said."""
    make_keys(study)

    def refuse(old: Path, new: Path) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(new))

    def ends() -> None:
        with DaskEngine(study, term=1, needs_s=lambda _: None, say=print):
            monkeypatch.setattr(os, "replace", refuse)
            raise StorageError("why it ends")

    before = set(threading.enumerate())
    with pytest.raises(StorageError, match="why it ends"):
        ends()
    assert "scheduler" not in [thread.name for thread in set(threading.enumerate()) - before]
    assert last_alive(study, 1) == said(study.scheduler_json)


@pytest.mark.parametrize(("error", "why"), [(TimeoutError(), "no answer for 60 s"), (OSError(99, "Cannot assign"), "Cannot assign")])
def test_a_scheduler_that_cannot_start_is_said_in_a_line(
    study: StudyDir, monkeypatch: pytest.MonkeyPatch, error: OSError, why: str
) -> None:
    """The command line makes a line of the project's errors and of those that name a file; of others a traceback."""

    async def fails(engine: DaskEngine) -> None:
        raise error

    monkeypatch.setattr(DaskEngine, "_open", fails)
    with (
        pytest.raises(BohbNasError, match=rf"listen at 127\.0\.0\.1: .*{why}"),
        DaskEngine(study, term=1, needs_s=lambda _: None, say=print),
    ):
        pass


def test_that_there_is_no_place_for_temporary_files_is_no_matter_of_where_to_listen(
    study: StudyDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_keys(study)
    monkeypatch.setattr(tempfile, "tempdir", str(study.path / "absent"))
    with pytest.raises(BohbNasError, match=r"absent.*TMPDIR") as refusal, DaskEngine(study, term=1, needs_s=lambda _: None, say=print):
        pass
    assert "listen" not in str(refusal.value)


def test_a_scheduler_that_does_not_end_spoils_nothing(study: StudyDir, monkeypatch: pytest.MonkeyPatch) -> None:
    make_keys(study)
    close = DaskEngine._close

    async def late(engine: DaskEngine) -> None:
        await close(engine)
        raise TimeoutError

    monkeypatch.setattr(DaskEngine, "_close", late)
    with DaskEngine(study, term=1, needs_s=lambda _: None, say=print):
        pass
    assert study.last_led.exists()


def test_only_cuts_that_left_nothing_count(study: StudyDir) -> None:
    cut(study, MAX_CUTS)
    assert handovers.cuts(study, trial(0)) == MAX_CUTS
    study.new_attempt("t0")
    assert handovers.cuts(study, trial(0)) == MAX_CUTS, "a worker that was killed did not leave"
    handed = study.attempts("t0")[3] / "handover"
    handed.mkdir()
    (handed / "state.json").write_text("{}")
    assert handovers.cuts(study, trial(0)) == 0, "the next attempt goes on from there"


def in_training(study: StudyDir) -> bool:
    """Whether a master takes a trial, which it would give up otherwise, to be trained by somebody."""
    engine = DaskEngine(study, term=1, needs_s=lambda _: None, say=print)
    engine.adopt(trial(0))
    return engine.wait(0.0) == []


def test_what_another_machine_trains_is_told_by_its_heartbeat_and_the_clock_of_the_file_server(study: StudyDir) -> None:
    cut(study, MAX_CUTS)
    Address(study, "tls://127.0.0.1:1", 1)
    os.utime(study.scheduler_json, (time.time() - 3600.0,) * 2)  # as its clock, an hour behind, has it
    assert not in_training(study)
    beat(study, "t0", age_s=3600.0 + 10.0, host="far")
    assert in_training(study)
    beat(study, "t0", age_s=3600.0 + 16.0, host="far")
    assert not in_training(study), "its heart stands still"


def test_what_this_machine_trains_is_told_by_a_living_worker_of_the_same_device(study: StudyDir) -> None:
    cut(study, MAX_CUTS)
    beat(study, "t0", host=host(), device="g0", pid=os.getpid())
    assert not in_training(study), "no worker lives here"
    with Lock(study.worker_lock(host(), "g1")) as lock:
        assert lock.acquire(json.dumps({"host": host(), "device": "g1", "pid": os.getpid()}))
        assert not in_training(study), "the number of its process was given to the worker of another device"
        beat(study, "t0", host=host(), device="g1", pid=os.getpid())
        assert in_training(study)


def test_where_there_are_no_locks_a_heartbeat_is_trusted(study: StudyDir, monkeypatch: pytest.MonkeyPatch) -> None:
    """The lock of the device may be in a folder that this job does not see."""
    cut(study, MAX_CUTS)
    study.leases.mkdir()
    take_locks_away(study.path, monkeypatch)
    study.worker_lock(host(), "g0").write_text(json.dumps({"host": host(), "device": "g0", "pid": 7}))
    beat(study, "t0", host=host(), device="g0", pid=7)
    assert in_training(study)
    beat(study, "t0", host=host(), device="g0", pid=7, age_s=16.0)
    assert not in_training(study)


class Cluster:
    """In the place of a scheduler and its client: workers by address, and what becomes of the trials sent to them, one after the other."""

    address, status = "tls://127.0.0.1:1", "running"

    def __init__(self, *ends: Callable[[], Result]) -> None:
        self._ends = list(ends)
        self.workers: dict[str, SimpleNamespace] = {}
        self.behind_s = 0.0
        """By how much the clocks of workers that join are behind."""
        self.sent: list[tuple[str, str]] = []
        """Trials with the addresses they were sent to."""

    def join(self, address: str, **extra: Any) -> None:
        self.workers[address] = SimpleNamespace(status=WorkerStatus.running, extra=extra, time_delay=self.behind_s)

    def submit(self, function: object, payload: str, *, workers: list[str], **_: object) -> SimpleNamespace:
        self.sent.append((json.loads(payload)["trial_id"], *workers))
        end = self._ends.pop(0)

        async def result() -> str:
            return json.dumps(end().to_json())

        return SimpleNamespace(result=result, release=lambda: None)


Started = Callable[[Cluster], DaskEngine]


@pytest.fixture
def notices() -> list[str]:
    return []


@pytest.fixture
def started(study: StudyDir, notices: list[str], monkeypatch: pytest.MonkeyPatch) -> Started:
    """Makes an engine of a cluster; every trial is expected to take 100 s."""

    def made(nodes: Cluster) -> DaskEngine:
        async def opened(engine: DaskEngine) -> None:
            vars(engine).update(_scheduler=nodes, _client=nodes)

        async def closed(engine: DaskEngine) -> None:
            pass

        monkeypatch.setattr(DaskEngine, "_open", opened)
        monkeypatch.setattr(DaskEngine, "_close", closed)
        return DaskEngine(study, term=1, needs_s=lambda _: 100.0, say=notices.append)

    return made


def test_a_trial_that_no_worker_has_the_time_for_is_given_up(study: StudyDir, started: Started) -> None:
    cut(study, MAX_CUTS - 1)
    with started(Cluster()) as engine:
        engine.adopt(trial(0))
        assert engine.wait(0.0) == []
        cut(study, 1)
        (result,) = engine.wait(0.0)
        assert engine.wait(0.0) == []
    assert result.status is Status.CRASHED
    assert result.message is not None
    assert "give workers more time" in result.message


def adopted(study: StudyDir, started: Started, *, killed: bool) -> list[Result]:
    """What the next master makes of a trial whose worker ended with the one before: killed, or for what is wrong with its machine."""
    attempt = study.new_attempt("t0")
    if killed:
        beat(study, "t0", host=host(), device="g0", pid=7, attempt=int(attempt.name))
    else:
        study.heartbeat("t0").unlink(missing_ok=True)
    with started(Cluster()) as engine:
        engine.adopt(trial(0))
        return engine.wait(0.0) + engine.wait(0.0)


def test_a_trial_that_takes_its_whole_job_down_is_given_up_by_some_later_master(study: StudyDir, started: Started) -> None:
    make_keys(study)
    for _ in range(MAX_CUTS - 1):
        assert adopted(study, started, killed=True) == []
        assert adopted(study, started, killed=False) == [], "that counts for nothing"
    (result,) = adopted(study, started, killed=True)
    assert (result.trial_id, result.status) == ("t0", Status.CRASHED)
    assert result.message is not None
    assert result.message.startswith("10 workers were killed")


def test_a_trial_that_is_killed_again_and_again_but_gets_on_is_not_given_up(study: StudyDir, started: Started) -> None:
    make_keys(study)
    for n in range(2 * MAX_CUTS - 2):
        assert adopted(study, started, killed=True) == []
        if n == MAX_CUTS - 2:
            state = study.attempts("t0")[-1] / "handover" / "state.json"
            state.parent.mkdir()
            state.touch()
    assert adopted(study, started, killed=True) != []


def results(engine: DaskEngine) -> list[Result]:
    """The first that arrive."""
    return next(found for _ in range(20) if (found := engine.wait(1.0)))


def ok() -> Result:
    return Result(trial_id="t0", status=Status.OK, loss=0.5, train_s=1.0)


def test_a_trial_is_given_up_when_its_third_worker_died(study: StudyDir, started: Started) -> None:
    """After each death it waits for a worker, and is looked after all the while."""

    def dies() -> Result:
        (study.new_attempt("t0") / "handover").mkdir()
        nodes.workers.clear()
        raise OSError(f"gone with attempt {study.attempts('t0')[-1].name}")

    nodes, told = Cluster(dies, dies, dies), list[list[str | None]]()
    with started(nodes) as engine:
        engine.adopt(trial(0))
        for _ in range(3):
            nodes.join("a")
            found = [result for timeout_s in (10.0, 0.0, 0.0, 0.0) for result in engine.wait(timeout_s)]
            told.append([result.message for result in found])
    assert told == [[], [], ["lost 3 times while it was trained; last: OSError: gone with attempt 2"]]
    assert not list(study.trials.glob("*/*/handover")), "nobody goes on from there"


def test_a_worker_that_was_lost_before_it_began_or_after_it_left_or_is_unfit_has_not_died_of_the_trial(
    study: StudyDir, started: Started
) -> None:
    def lost() -> Result:
        raise OSError("connection lost")

    def left() -> Result:
        handovers.left(study.new_attempt("t0")).touch()
        return lost()

    def unfit() -> Result:
        study.new_attempt("t0")
        raise StartError("no such device")

    nodes = Cluster(lost, lost, lost, left, left, left, unfit, unfit, unfit, ok)
    nodes.join("a")
    with started(nodes) as engine:
        engine.adopt(trial(0))
        assert results(engine) == [ok()]


def test_what_another_machine_trains_is_left_alone(study: StudyDir, started: Started) -> None:
    nodes = Cluster()
    nodes.join("a")
    with started(nodes) as engine:
        for n in range(3):
            beat(study, f"t{n}", host="far")
            engine.adopt(trial(n))
        assert engine.wait(0.0) == []
        assert nodes.sent == []
        assert engine.free() == 1, "none of them waits for it"


def test_of_each_trial_on_this_machine_only_its_own_workers_lock_is_looked_at(
    study: StudyDir, started: Started, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a takeover there may be hundreds."""
    looks: list[Path] = []

    def held(path: Path) -> str:
        looks.append(path)
        return '{"pid": 7}'

    monkeypatch.setattr(holders, "holder", held)
    nodes = Cluster()
    nodes.join("a")
    with started(nodes) as engine:
        for n in range(20):
            beat(study, f"t{n}", host=host(), device=f"cpu{n}", pid=7)
            engine.adopt(trial(n))
        looks.clear()
        assert engine.wait(0.0) == []
        assert looks == [study.worker_lock(host(), f"cpu{n}") for n in range(20)]
        assert engine.free() == 1
        assert len(looks) == 40


def test_a_worker_that_leaves_gets_nothing_more_and_its_trial_goes_to_another(started: Started, notices: list[str]) -> None:
    left = Result(trial_id="t0", status=Status.PREEMPTED, loss=None, train_s=2.0, message="asked to leave\n\x1b[31mthe log ends")
    nodes = Cluster(lambda: left, ok)
    nodes.join("a")
    nodes.join("b")
    with started(nodes) as engine:
        engine.submit(trial(0))
        assert results(engine) == [ok()]
        assert engine.free() == 1
    assert [address for _, address in nodes.sent] == ["a", "b"]
    assert notices == ["trial t0 goes to another worker: asked to leave"]


def test_a_worker_gets_trials_at_the_address_of_one_that_left(started: Started) -> None:
    """As the system gives the same port again."""
    nodes = Cluster(lambda: Result(trial_id="t0", status=Status.PREEMPTED, loss=None, train_s=2.0), ok)
    nodes.join("a")
    free = []
    with started(nodes) as engine:
        engine.submit(trial(0))
        while "a" in engine._in_flight.values():
            assert engine.wait(0.1) == []
        free.append(engine.free())
        del nodes.workers["a"]
        free.append(engine.free())
        nodes.join("a")
        free.append(engine.free())
        assert results(engine) == [ok()]
    assert free == [0, 0, 1]


def test_a_worker_whose_clock_is_behind_has_the_time_that_it_has(started: Started, notices: list[str]) -> None:
    """Its clock is five minutes behind, and its time over in 150 s."""
    nodes = Cluster(ok)
    nodes.behind_s = 300.0
    nodes.join("a", until=time.time() - 300.0 + 150.0, hands_over=False)
    with started(nodes) as engine:
        engine.submit(trial(0))
        assert notices == []
        assert results(engine) == [ok()]


def test_up_to_three_trials_wait_for_each_free_worker_that_has_not_the_time_for_them(started: Started, notices: list[str]) -> None:
    nodes, free = Cluster(), []
    nodes.join("a", until=time.time() + 50.0, hands_over=False)
    with started(nodes) as engine:
        for n in range(3):
            free.append(engine.free())
            engine.submit(trial(n))
            assert engine.wait(0.0) == []
        free.append(engine.free())
    assert free == [1, 1, 1, 0]
    assert [line.split(":")[0] for line in notices] == ["trial t0 waits", "trial t1 waits", "trial t2 waits"]
    assert nodes.sent == []


def test_attempts_of_an_earlier_master_are_no_deaths_of_those_that_never_began(study: StudyDir, started: Started) -> None:
    def lost() -> Result:
        raise OSError("connection lost")

    study.new_attempt("t0")
    nodes = Cluster(lost, lost, lost, ok)
    nodes.join("a")
    with started(nodes) as engine:
        engine.submit(trial(0))
        assert results(engine) == [ok()]


def test_before_a_worker_has_joined_nothing_is_said_of_their_time(started: Started, notices: list[str]) -> None:
    nodes = Cluster(ok)
    with started(nodes) as engine:
        engine.submit(trial(0))
        assert engine.wait(0.0) == []
        assert notices == []
        nodes.join("a")
        assert results(engine) == [ok()]


def test_a_worker_that_is_closing_gets_no_trial(started: Started) -> None:
    nodes = Cluster()
    nodes.join("a")
    nodes.workers["a"].status = WorkerStatus.closing
    with started(nodes) as engine:
        assert engine.free() == 0
        engine.submit(trial(0))
        assert engine.wait(0.0) == []
    assert nodes.sent == []


@pytest.mark.parametrize(("departs", "told"), [(False, []), (True, ["no answer for trial t0: its worker has gone"])])
def test_a_master_that_leaves_says_nothing_of_the_trials_that_it_cancels_by_that(
    study: StudyDir, monkeypatch: pytest.MonkeyPatch, departs: bool, told: list[str]
) -> None:
    make_keys(study)
    said, waits = list[str](), threading.Event()

    async def departure(engine: DaskEngine, address: str) -> None:
        del engine, address
        waits.set()
        if not departs:
            await asyncio.Event().wait()

    monkeypatch.setattr(DaskEngine, "_departure", departure)
    with DaskEngine(study, term=1, needs_s=lambda _: None, say=said.append) as engine:
        run = asyncio.run_coroutine_threadsafe(engine._run(trial(0), "tls://127.0.0.1:5"), engine._loop)
        assert waits.wait(10)
        if departs:
            run.result(10)
    assert run.done(), "it was cancelled"
    assert said == told
