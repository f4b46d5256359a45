"""Which workers a master starts, ends and waits for, and what is said when none lives any more."""

import errno
import json
import os
import signal
import subprocess
import sys
import time
import tracemalloc
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from bohb_nas.engine import local_workers
from bohb_nas.engine.devices import Device, host, own
from bohb_nas.engine.local_workers import MAX_RESTARTS, LocalWorkers, _Place
from bohb_nas.errors import BohbNasError, StorageError, end_text
from bohb_nas.locks import Lock
from bohb_nas.store.study_dir import StudyDir


@pytest.fixture
def given_up(tmp_path: Path) -> LocalWorkers:
    """The only worker has ended as often as it may, with something in its log."""
    study = StudyDir(tmp_path / "study")
    study.make()
    workers = LocalWorkers(study, [], say=print)
    ended = subprocess.Popen([sys.executable, "-c", "raise SystemExit(3)"])
    ended.wait()
    device = Device(name="cpu0", environment={})
    workers._places = [_Place(device=device, process=ended, since=time.monotonic(), starts=MAX_RESTARTS + 1)]
    study.worker_log(host(), device.name).write_text("no such thing as a device")
    return workers


def test_the_last_words_of_the_workers_are_passed_on(given_up: LocalWorkers) -> None:
    with pytest.raises(BohbNasError, match=r"all workers have ended; .*exit code 3(.|\n)*no such thing as a device") as said:
        given_up.check([])
    assert not isinstance(said.value, StorageError)
    assert sorted(path.suffix for path in given_up._study.workers.iterdir()) == [".log"]


def test_how_a_process_ended_is_said_also_of_a_signal_without_a_name() -> None:
    said = ["exit code 0", "exit code 3", "signal SIGKILL, often out of memory", "signal SIGTERM", "signal 40"]
    assert [end_text(code) for code in (0, 3, -9, -15, -40)] == said


def test_of_a_long_log_no_more_is_read_than_its_end(given_up: LocalWorkers) -> None:
    log = given_up._study.worker_log(host(), "cpu0")
    with log.open("r+b") as stream:
        stream.truncate(32 * 2**20)
        stream.seek(0, os.SEEK_END)
        stream.write("the last words, \x1b[1münd\x1b[0m more".encode())
    tracemalloc.start()
    with pytest.raises(BohbNasError, match=r"the last words, ünd more$"):
        given_up.check([])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**20


@pytest.mark.parametrize("begun", [True, False])
def test_workers_that_could_not_say_anything_on_a_full_disk_are_spoken_for(
    given_up: LocalWorkers, monkeypatch: pytest.MonkeyPatch, begun: bool
) -> None:
    def full(path: Path, data: bytes) -> int:
        if begun:
            path.touch()
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(StorageError, match=r"No space left on device; free space"):
        given_up.check([])
    assert sorted(path.suffix for path in given_up._study.workers.iterdir()) == [".log"]


ELSEWHERE = {"pid_space": "another boot or container"}


@pytest.mark.parametrize(
    ("about", "advice"),
    [
        ({"stand": False}, "(kill 4711)"),
        ({"stand": False, **ELSEWHERE}, "end it (in another container or machine called so)"),
        ({}, "trains there; when it has ended"),
    ],
)
def test_who_holds_a_device_and_does_not_join_is_named_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, about: dict[str, Any], advice: str
) -> None:
    """As a worker does that outlived its master and whose study was renamed since; or else `bohb-nas train`, which is left alone."""
    study, device, said, clock = StudyDir(tmp_path / "study"), Device(name="cpu0", environment={}), list[str](), [1000.0]
    study.make()
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    with Lock(study.worker_lock(host(), "cpu0")) as lock, Lock(study.worker_lock(host(), "a")) as another:
        assert lock.acquire(json.dumps({"host": host(), "device": "cpu0", "pid": 4711, **about}))
        assert another.acquire(json.dumps({"host": host(), "device": "a", "pid": 815}))
        workers = LocalWorkers(study, [device], say=said.append)
        for clock[0], joined in [(1029.0, []), (1031.0, [f"{host()}-cpu0"]), (1060.0, []), (1062.0, [])]:
            workers.check(joined)
        assert said == [], "it was there in between"
        for clock[0] in (1090.0, 1092.0, 2000.0):
            workers.check([f"{host()}-cpu1", "elsewhere-cpu0"])
        (text,) = said
        assert "pid 4711" in text
        assert "cpu0" in text
        assert advice in text
        assert ("kill" in text) is (about == {"stand": False})


class Program:
    """A worker program that was started: it lives until it is given an exit code."""

    returncode: int | None = None

    def poll(self) -> int | None:
        return self.returncode

    def kill(self) -> None:
        self.returncode = -signal.SIGKILL


@pytest.fixture
def programs(monkeypatch: pytest.MonkeyPatch) -> list[Program]:
    """What is started in the place of workers."""
    started: list[Program] = []

    def start(workers: LocalWorkers, device: Device) -> Program:
        del workers, device
        started.append(Program())
        return started[-1]

    monkeypatch.setattr(LocalWorkers, "_start", start)
    return started


def kept(folder: Path, said: list[str], *names: str) -> LocalWorkers:
    study = StudyDir(folder / "study")
    study.make()
    workers = LocalWorkers(study, [Device(name=name, environment={}) for name in names], say=said.append)
    workers.check(())
    return workers


def test_a_worker_for_which_no_process_is_left_is_tried_as_often_as_one_that_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*command: object, **how: object) -> None:
        raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    monkeypatch.setattr(subprocess, "Popen", refuse)
    said: list[str] = []
    workers = kept(tmp_path, said, "cpu0")
    workers.check([])
    assert len(said) == 1, "not at once"
    monkeypatch.setattr(local_workers, "_AGAIN_S", 0.0)
    for _ in range(MAX_RESTARTS - 1):
        workers.check([])
    with pytest.raises(BohbNasError, match=r"all workers have ended; the last words of cpu0 \(could not be started,"):
        workers.check([])
    assert said == ["worker cpu0 cannot be started: Resource temporarily unavailable"] * (MAX_RESTARTS + 1)


def test_nothing_is_started_before_it_is_asked_for(tmp_path: Path, programs: list[Program]) -> None:
    """Whoever makes one may still fail otherwise."""
    workers = LocalWorkers(StudyDir(tmp_path / "study"), [Device(name="cpu0", environment={})], say=print)
    assert programs == []
    workers.check(())
    assert len(programs) == 1


def test_a_log_that_cannot_be_written_is_said_in_a_line(tmp_path: Path) -> None:
    study = StudyDir(tmp_path / "study")
    study.make()
    study.worker_log(host(), "cpu0").mkdir()
    workers = LocalWorkers(study, [Device(name="cpu0", environment={})], say=print)
    with pytest.raises(StorageError, match=r"cannot write .*-cpu0\.log: Is a directory; free space or restore access"):
        workers.check(())


def test_a_worker_that_ends_is_started_again_three_times_and_anew_once_one_has_lived_for_ten_minutes(
    tmp_path: Path, programs: list[Program], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, said = [1000.0], list[str]()
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    workers = kept(tmp_path, said, "cpu0", "cpu1")
    assert len(programs) == 2
    for _ in range(5):
        programs[-1].returncode = 3
        workers.check(())
    assert len(programs) == 2 + 3
    for clock[0] in (1500.0, 1600.0):
        workers.check(())
    assert len(programs) == 5, "the last of them lived for no longer than ten minutes"
    clock[0] = 1600.5
    workers.check(())
    assert len(programs) == 6
    programs[-1].returncode = 3
    workers.check(())
    assert len(programs) == 7, "it counts from the beginning"
    assert said == ["worker cpu1 ended (exit code 3) and is started again"] * 5, "of cpu0's nothing, which lives and is slow to join"


def test_the_last_words_are_those_of_the_latest_start(tmp_path: Path, programs: list[Program]) -> None:
    workers = kept(tmp_path, [], "cpu0")
    log = StudyDir(tmp_path / "study").worker_log(host(), "cpu0")
    for n in (1, 2, 3):
        log.write_text("".join(f"words {k}\n" for k in range(1, n + 1)))
        programs[-1].returncode = 3
        workers.check(())
    log.write_text("words 1\nwords 2\nwords 3\nwords 4\n")
    programs[-1].returncode = 3
    with pytest.raises(BohbNasError, match=r"log\):\nwords 4\n$"):
        workers.check(())


@pytest.mark.parametrize("at_once", [False, True])
def test_all_is_given_up_when_the_third_worker_that_was_started_again_has_ended(
    tmp_path: Path, programs: list[Program], monkeypatch: pytest.MonkeyPatch, at_once: bool
) -> None:
    monkeypatch.setattr(Program, "returncode", 3 if at_once else None)
    workers = kept(tmp_path, [], "cpu0")
    for n in range(2 if at_once else 3):
        assert len(programs) == 1 + n
        programs[-1].returncode = 3
        workers.check(())
    programs[-1].returncode = 3
    with pytest.raises(BohbNasError, match=r"all workers have ended; the last words of cpu0 \(exit code 3"):
        workers.check(())
    assert len(programs) == 4


def test_one_device_without_a_worker_is_not_all(tmp_path: Path, programs: list[Program]) -> None:
    workers = kept(tmp_path, [], "cpu0", "cpu1")
    other = programs[1]
    programs[0].returncode = 3
    for _ in range(4):
        workers.check(())
        programs[-1].returncode = 3
    other.returncode = 3
    workers.check(())
    assert len(programs) == 2 + 3 + 1


def test_nothing_is_given_up_while_somebody_works(given_up: LocalWorkers, programs: list[Program]) -> None:
    study = given_up._study
    with Lock(study.worker_lock(host(), "cpu1")) as lock:
        assert lock.acquire(json.dumps({"host": host(), "device": "cpu1", "pid": os.getpid()}))
        given_up.check([])
    with Lock(study.worker_lock(host(), "cpu0")) as lock:
        assert lock.acquire("{}")
        given_up.check([])
    assert programs == []


def test_a_master_without_workers_of_its_own_gives_nothing_up_and_ends_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "kill", None)
    workers = kept(tmp_path, [])
    with Lock(workers._study.worker_lock(host(), "cpu0")) as lock:
        assert lock.acquire(json.dumps({"host": host(), "device": "cpu0", "pid": 4711, "stand": False}))
        workers.stop()
    workers.check(())


@pytest.mark.parametrize("heeds", [True, False])
def test_those_that_a_run_on_this_machine_started_are_ended_and_no_others(
    tmp_path: Path, programs: list[Program], monkeypatch: pytest.MonkeyPatch, heeds: bool
) -> None:
    """An earlier run's, too; who stands for election was started by somebody else."""
    monkeypatch.setattr(local_workers, "_PATIENCE_S", 10.0)
    workers, sent, clock = kept(tmp_path, [], "cpu0", "cpu1"), list[tuple[int, int]](), [0.0]
    programs[1].returncode = 0
    workers._places.append(_Place(Device(name="cpu7", environment={})))  # held by an earlier run's worker
    with ExitStack() as held:
        locks = {}
        for pid, place, device, about in [
            (4711, host(), "cpu7", {"stand": False}),
            (4712, host(), "cpu8", {"stand": True}),
            (4713, host(), "cpu9", {}),
            (4714, "far", "cpu7", {"stand": False}),
        ]:
            lock = locks[pid] = held.enter_context(Lock(workers._study.worker_lock(place, device)))
            assert lock.acquire(json.dumps({"host": place, "device": device, "pid": pid, **about}))

        def kill(pid: int, number: int) -> None:
            sent.append((pid, number))
            if heeds:
                locks[pid].release()
            else:
                raise ProcessLookupError if number == signal.SIGTERM else PermissionError

        def sleep(seconds: float) -> None:
            clock[0] += 1.0

        monkeypatch.setattr(os, "kill", kill)
        monkeypatch.setattr(time, "monotonic", lambda: clock[0])
        monkeypatch.setattr(time, "sleep", sleep)
        workers.stop()
    assert clock == [0.0 if heeds else 10.0]
    assert sent == [(4711, signal.SIGTERM)] + ([] if heeds else [(4711, signal.SIGKILL)])
    assert [program.returncode for program in programs] == [-signal.SIGKILL, 0], "one that had no lock yet"


def test_workers_get_a_while_to_leave_by_themselves(tmp_path: Path, programs: list[Program], monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]

    def sleep(seconds: float) -> None:
        clock[0] += 1.0
        if clock[0] == 4.0:
            programs[0].returncode = 0

    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(time, "sleep", sleep)
    workers = kept(tmp_path, [], "cpu0", "cpu1")
    programs[1].returncode = 0
    workers.wait(2.0)
    assert clock == [2.0]
    workers.wait(10.0)
    assert clock == [4.0]


def test_a_worker_that_is_started_gets_the_environment_of_its_device_and_outlives_its_master(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KEPT", "from the master")
    workers = kept(tmp_path, [])
    log, descriptors = workers._study.worker_log(host(), "cuda1"), len(os.listdir("/proc/self/fd"))
    code = (
        "import os; print(os.environ['KEPT'], os.environ['CUDA_VISIBLE_DEVICES'], os.getsid(0) == os.getpid(), flush=True); os.read(0, 1)"
    )
    popen = subprocess.Popen
    monkeypatch.setattr(subprocess, "Popen", lambda command, **how: popen([sys.executable, "-c", f"{code}; 1/0"], **how))
    for _ in range(2):
        process = workers._start(Device(name="cuda1", environment={"CUDA_VISIBLE_DEVICES": "1"}))
        assert process is not None
        with process:
            assert process.wait() == 1
    said = [line for line in log.read_text().splitlines() if line.startswith(("from", "Zero"))]
    assert said == ["from the master 1 True", "ZeroDivisionError: division by zero"] * 2, "the log of the one before is kept"
    assert log.stat().st_mode & 0o777 == 0o600
    assert len(os.listdir("/proc/self/fd")) == descriptors


def test_a_device_that_is_held_by_nobody_knows_whom_is_told_as_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock, said = [0.0], list[str]()
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    study = StudyDir(tmp_path / "study")
    study.make()
    with Lock(study.worker_lock(host(), "cpu0")) as lock:
        assert lock.acquire("{}")
        workers = kept(tmp_path, said, "cpu0")
        for clock[0] in (1.0, 31.0):
            workers.check(())
    (text,) = said
    assert text.startswith("device cpu0: the worker with pid ? holds it and has not joined for 30 s. ")


@pytest.fixture
def ended(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The numbers of processes that are sent signals, which end at once."""
    numbers: list[int] = []
    monkeypatch.setattr(local_workers, "_signal", lambda pid, number: numbers.append(pid))
    monkeypatch.setattr(local_workers, "_PATIENCE_S", 0.0)
    return numbers


@pytest.mark.parametrize(
    ("about", "signalled"),
    [
        ({"host": host()}, True),  # as earlier versions left it
        ({"host": "elsewhere"}, False),
        ({"host": host(), **ELSEWHERE}, False),
    ],
)
def test_only_a_process_of_this_very_machine_is_ended_by_its_number(
    tmp_path: Path, ended: list[int], about: dict[str, Any], signalled: bool
) -> None:
    """Containers may share a name, and have processes of the same numbers."""
    study = StudyDir(tmp_path / "study")
    study.make()
    with Lock(study.worker_lock(host(), "cpu0")) as lock:
        assert lock.acquire(json.dumps({"device": "cpu0", "pid": 4711, "stand": False, **about}))
        LocalWorkers(study, [Device(name="cpu0", environment={})], say=print).stop()
    assert (4711 in ended) is signalled


def test_a_worker_is_ended_also_where_the_machine_has_another_name_by_then(
    tmp_path: Path, ended: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    study = StudyDir(tmp_path / "study")
    study.make()
    with own(study, "cpu0", stand=False):
        workers = LocalWorkers(study, [Device(name="cpu0", environment={})], say=print)
        monkeypatch.setattr(local_workers, "host", lambda: "renamed")
        workers.stop()
    assert os.getpid() in ended
