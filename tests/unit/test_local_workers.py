"""What is said when no worker lives any more."""

import errno
import json
import os
import subprocess
import sys
import time
import tracemalloc
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
        stream.write("the last words, ünd more".encode())
    tracemalloc.start()
    with pytest.raises(BohbNasError, match=r"the last words, ünd more$"):
        given_up.check([])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**20


def test_workers_that_could_not_say_anything_on_a_full_disk_are_spoken_for(given_up: LocalWorkers, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, data: bytes) -> int:
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
    with Lock(study.worker_lock(host(), "cpu0")) as lock:
        assert lock.acquire(json.dumps({"host": host(), "device": "cpu0", "pid": 4711, **about}))
        workers = LocalWorkers(study, [device], say=said.append)
        for clock[0], joined in [(1029.0, []), (1031.0, [f"{host()}-cpu0-17"]), (1060.0, []), (1062.0, [])]:
            workers.check(joined)
        assert said == [], "it was there in between"
        for clock[0] in (1091.0, 1092.0, 2000.0):
            workers.check([f"{host()}-cpu1-17", "elsewhere-cpu0-17"])
        (text,) = said
        assert "pid 4711" in text
        assert "cpu0" in text
        assert advice in text
        assert ("kill" in text) is (about == {"stand": False})


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
