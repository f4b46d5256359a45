"""What a master does before it begins a term; whole searches are in tests/cluster."""

import errno
import json
import os
import shutil
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from study_fakes import planned

from bohb_nas import make_optimizer
from bohb_nas.engine import launch
from bohb_nas.engine import lead as lead_module
from bohb_nas.engine.cluster import Address
from bohb_nas.engine.devices import Device
from bohb_nas.engine.lead import _check_term, _ip, lead
from bohb_nas.engine.plan import Request
from bohb_nas.engine.standby import stand_by
from bohb_nas.engine.view import Display
from bohb_nas.errors import BohbNasError, DeviceError, JournalError, StorageError, StudyError, StudyHeldError, UsageError
from bohb_nas.records import Budgets, Result, Status, Trial
from bohb_nas.search_spaces import toy
from bohb_nas.store import journal as journal_module
from bohb_nas.store.journal import Event, Journal, fold
from bohb_nas.store.study_dir import StudyDir


@pytest.fixture
def study(tmp_path: Path) -> StudyDir:
    return planned(tmp_path / "study", Request(space="toy", worker="toy", method="random_search", trials=5))


def test_a_study_whose_keys_were_lost_is_led_with_new_ones(study: StudyDir) -> None:
    shutil.rmtree(study.tls)
    finished, _ = lead(study.path, Request(), [], Display(), elected=True, gone=lambda: True)
    assert not finished
    assert study.tls.stat().st_mode & 0o777 == 0o700


def test_a_study_whose_folders_were_lost_is_led_with_new_ones(study: StudyDir) -> None:
    folders = (study.inputs, study.results, study.running, study.workers, study.trials, study.tls)
    for folder in folders:
        shutil.rmtree(folder)
    lead(study.path, Request(), [], Display(), elected=True, gone=lambda: True)
    assert [folder.name for folder in folders if not folder.is_dir()] == []


def test_a_study_whose_key_cannot_be_read_is_not_led_at_all(study: StudyDir) -> None:
    (study.tls / "key.pem").unlink()
    (study.tls / "key.pem").mkdir()
    with pytest.raises(IsADirectoryError, match=r"key\.pem"):
        lead(study.path, Request(), [], Display(), elected=True, gone=lambda: True)
    assert not study.journal.exists(), "every attempt would begin a term"


class Heard(Display):
    def __init__(self) -> None:
        self.lines: list[str] = []
        self.ticks = 0

    def say(self, text: str) -> None:
        self.lines.append(text)

    def tick(self) -> None:
        self.ticks += 1


def after(n: int, **acts: Callable[[], object]) -> Callable[[], bool]:
    """Whether a master is to stop at once: when it has asked n times; at the look of a name something happens."""
    looks = 0

    def gone() -> bool:
        nonlocal looks
        looks += 1
        acts.get(f"at_{looks}", lambda: None)()
        return looks > n

    return gone


def asked(study: StudyDir, **other: Any) -> None:
    """Leaves what a master leaves that was killed after it had asked for a trial, or for what no master of this study asks for."""
    trial = make_optimizer("random_search", space=toy.space(), budgets=Budgets(**study.read_meta()["budgets"])).ask()
    assert isinstance(trial, Trial)
    trial = replace(trial, **other)
    journal = Journal(study.journal, fold(study.journal))
    journal.write(Event(term=3, time=100.0))
    journal.write(Event(term=3, time=101.0, trial=trial, reason="first"))
    study.scheduler_json.write_text(json.dumps({"term": 3, "time": 150.0}))


def test_a_study_that_has_ended_is_led_again_under_another_rule_alone(study: StudyDir) -> None:
    Journal(study.journal, fold(study.journal)).write(Event(term=1, time=0.0))
    study.finish(study.read_meta(), 5.0)
    before, heard = study.journal.read_bytes(), Heard()
    assert lead(study.path, Request(), [], heard, elected=True, gone=after(0))[0]
    assert (study.journal.read_bytes(), heard.lines, study.done.exists()) == (before, [], True)
    assert not lead(study.path, Request(trials=9), [], heard, elected=True, gone=after(0))[0]
    assert not study.done.exists(), "workers would leave"
    assert study.read_meta()["stop"]["trials"] == 9


def test_a_master_takes_up_what_the_one_before_left(study: StudyDir) -> None:
    asked(study)
    with study.journal.open("a") as stream:
        stream.write('{"event":"te')
    heard = Heard()
    finished, state = lead(study.path, Request(), [], heard, elected=True, gone=after(1))
    assert (finished, len(state.pending), heard.ticks) == (False, 1, 1)
    assert "journal.jsonl.torn-" in heard.lines[0]
    assert heard.lines[1:] == [f"resuming {study.path}: 0 evaluations finished, 1 to be taken up again"]
    began = json.loads(study.journal.read_text().splitlines()[-1])
    assert (began["event"], began["term"], began["until"]) == ("lead", 4, 150.0)
    assert study.read_meta()["lock"] == "kernel"


def test_a_disk_that_takes_no_line_of_a_new_term_leaves_until_when_the_master_before_led(
    study: StudyDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked(study)

    def full(path: Path, line: str) -> None:
        raise StorageError("no space left")

    with monkeypatch.context() as patched:
        patched.setattr(journal_module, "append_line", full)
        with pytest.raises(StorageError, match="no space left"):
            lead(study.path, Request(), [], Display(), elected=True, gone=after(0))
    lead(study.path, Request(), [], Display(), elected=True, gone=after(0))
    assert json.loads(study.journal.read_text().splitlines()[-1])["until"] == 150.0


def test_a_master_says_all_the_time_that_it_lives(study: StudyDir) -> None:
    asked(study)
    alive = list[bool]()
    address = study.scheduler_json

    def forget() -> None:
        os.utime(address, (0.0, 0.0))

    lead(
        study.path,
        Request(),
        [],
        Display(),
        elected=True,
        gone=after(3, at_2=forget, at_3=lambda: alive.append(address.stat().st_mtime > 0)),
    )
    assert alive == [True]


def test_a_journal_of_another_search_is_not_taken_up(study: StudyDir) -> None:
    asked(study, rung=0, budget=1.0)
    before = study.journal.read_bytes()
    with pytest.raises(JournalError, match=r"trial t00000 .* cannot be replayed: this search would have asked"):
        lead(study.path, Request(), [], Display(), elected=True, gone=after(0))
    assert study.journal.read_bytes() == before


def test_the_term_of_a_master_that_leads_by_a_lease_is_the_lease_s_number_at_least(study: StudyDir) -> None:
    study.leases.mkdir()
    (study.leases / "000006.json").write_text("{}")
    os.utime(study.leases / "000006.json", (0.0, 0.0))
    assert lead(study.path, Request(), [], Display(), elected=True, gone=after(0))[1].term == 7
    assert study.read_meta()["lock"] == "lease"


@pytest.mark.parametrize(
    ("happens", "error", "said"),
    [
        (lambda study: study.master_lock.unlink(), StudyHeldError, "was deleted, moved or replaced"),
        (lambda study: study.leases.mkdir(), StudyHeldError, "another master leads"),
        (lambda study: os.stat(study.path / "lost"), StorageError, "does not answer: .*No such file.*everything recorded so far is kept"),
    ],
)
def test_a_master_that_loses_its_seat_or_its_disk_ends(
    study: StudyDir, happens: Callable[[StudyDir], object], error: type[Exception], said: str
) -> None:
    asked(study)
    with pytest.raises(error, match=said):
        lead(study.path, Request(), [], Display(), elected=True, gone=after(20, at_2=lambda: happens(study)))
    assert not study.scheduler_json.exists(), "workers look for the next one"


class Kept:
    """In the place of the workers on this machine: they cannot be started, and it is noted whether they are ended."""

    failure: Exception
    ended: bool

    def __init__(self, *about: object, **more: object) -> None:
        Kept.ended = False

    def check(self, joined: object) -> None:
        raise self.failure

    def stop(self) -> None:
        Kept.ended = True


@pytest.mark.parametrize(
    ("failure", "error", "ended"),
    [
        (BohbNasError("all workers have ended"), BohbNasError, True),
        (StorageError("cannot write a log"), StorageError, False),
        (OSError(errno.EIO, "a folder cannot be listed"), StorageError, False),
    ],
)
def test_workers_that_cannot_be_started_end_a_master_as_those_that_end_later_do(
    study: StudyDir, monkeypatch: pytest.MonkeyPatch, failure: Exception, error: type[Exception], ended: bool
) -> None:
    """Those that live keep what they finish where the disk refuses, and wait for the next master."""
    monkeypatch.setattr(lead_module, "LocalWorkers", Kept)
    monkeypatch.setattr(Kept, "failure", failure, raising=False)
    with pytest.raises(error, match=str(failure.args[-1])):
        lead(study.path, Request(), [], Display(), elected=True, gone=after(0))
    assert Kept.ended is ended


def test_ctrl_c_waits_for_what_is_in_training_and_a_second_one_does_not(study: StudyDir) -> None:
    asked(study)
    signals = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)
    before, heard = [signal.getsignal(number) for number in signals], Heard()
    kinds = {"at_1": signal.SIGUSR1, "at_2": signal.SIGINT, "at_3": signal.SIGUSR2, "at_5": signal.SIGINT}
    acts = {look: lambda number=number: os.kill(os.getpid(), number) for look, number in kinds.items()}
    finished, _ = lead(study.path, Request(), [], heard, elected=True, gone=after(20, **acts))
    assert (finished, heard.ticks) == (False, 4)
    assert heard.lines[1:] == ["ending: waiting for 1 running trial; Ctrl-C again stops at once"]
    assert [signal.getsignal(number) for number in signals] == before


def test_a_disk_that_takes_no_folder_is_said_in_a_line(study: StudyDir, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(study: StudyDir) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(StudyDir, "make_folders", refuse)
    with pytest.raises(StorageError, match="No space left on device; free space"):
        lead(study.path, Request(), [], Display(), elected=True, gone=after(0))


def test_a_device_of_another_model_is_refused_before_anything_is_written(study: StudyDir) -> None:
    study.device_json.write_text('{"model": "Fast 9"}')
    device = Device(name="cpu0", environment={}, model="Slow 1")
    with pytest.raises(DeviceError, match="is Slow 1, the first worker had Fast 9"):
        lead(study.path, Request(require_same_gpu=True), [device], Display(), elected=True)
    assert not study.journal.exists()


def test_who_stands_by_asks_the_worker_before_its_turn_and_then_leads_where_it_was_told_to_listen(
    study: StudyDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, places = list[str](), list[str]()

    def listening(where: str) -> str:
        places.append(where)
        return "127.0.0.1"

    def ask(meta: dict[str, Any], space: object, **named: object) -> list[str]:
        asked.append(meta["worker"])
        return []

    monkeypatch.setattr(launch, "_ask_worker", ask)
    monkeypatch.setattr(lead_module, "listening_ip", listening)
    assert not stand_by(study.path, {"listen": "ib0"}, Display(), gone=after(0))
    assert (asked, places) == (["toy"], [])
    assert stand_by(study.path, {"listen": "ib0"}, Display(), gone=after(1))
    assert (asked, places) == (["toy"] * 2, ["ib0"])
    assert study.read_meta()["listen"] == "loopback", "where others listen, the study says"
    study.path.chmod(0o770)
    with pytest.raises(StudyError, match="may be written by others"):
        stand_by(study.path, {}, Display(), gone=after(0))


def test_a_machine_that_lacks_the_interface_of_the_others_leads_where_they_know_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def listening(where: str) -> str:
        if where == "ib0":
            raise UsageError("--listen 'ib0': accepted are loopback, host")
        return f"address of {where}"

    monkeypatch.setattr(lead_module, "listening_ip", listening)
    heard = Heard()
    assert [_ip(where, elected=True, display=heard) for where in ("eth0", "ib0")] == ["address of eth0", "address of host"]
    assert heard.lines == ["--listen 'ib0': accepted are loopback, host; listening at the address by which other machines know this one"]
    with pytest.raises(UsageError, match="ib0"):
        _ip("ib0", elected=False, display=heard)


@pytest.mark.parametrize(("method", "first"), [("random_search", "3s"), ("hyperband", "1s")])
def test_a_search_whose_time_is_over_before_its_first_trial_says_so(tmp_path: Path, method: str, first: str) -> None:
    """The time is just that of the first trial, and the start has taken some of it."""
    request = Request(space="toy", worker="toy", method=method, budget_min=1.0, budget_max=3.0, total_s=float(first[0]))
    study = planned(tmp_path / "study", request)
    heard = Heard()
    finished, state = lead(study.path, Request(), [], heard, elected=True)
    assert (finished, state.n_asked) == (True, 0)
    assert heard.lines[-1] == f"no trial could end in --total-time {first}; the same command with more time goes on"
    assert json.loads(study.done.read_text())["stop"]["total_s"] == float(first[0])


def test_of_a_search_that_is_stopped_or_has_trained_it_is_not_said_that_its_time_was_too_short(tmp_path: Path) -> None:
    request = Request(space="toy", worker="toy", method="random_search", budget_min=1.0, budget_max=3.0, total_s=3.0)
    stopped, heard = planned(tmp_path / "stopped", replace(request, rank_probe=2)), Heard()
    assert not lead(stopped.path, Request(), [], heard, elected=True, gone=after(0))[0]
    assert heard.lines == []
    study = planned(tmp_path / "study", request)
    asked(study)
    result = Result(trial_id="t00000", status=Status.OK, loss=0.5, train_s=3.0, metrics={"new_s": 3.0})
    Journal(study.journal, fold(study.journal)).write(Event(term=3, time=103.0, result=result))
    assert lead(study.path, Request(), [], heard, elected=True)[0]
    assert heard.lines == [f"resuming {study.path}: 1 evaluation finished, 0 to be taken up again"]


def test_what_a_rank_probe_lacks_at_the_end_is_said(tmp_path: Path) -> None:
    request = Request(space="toy", worker="toy", method="hyperband", budget_min=1.0, budget_max=3.0, total_s=1.0, rank_probe=2)
    heard = Heard()
    assert lead(planned(tmp_path / "study", request).path, Request(), [], heard, elected=True)[0]
    left = "rank probe: 4 trials of 4 not trained: --total-time or --trials ended the study before; give more and run it again"
    assert heard.lines[-2:] == [left, "no trial could end in --total-time 1s; the same command with more time goes on"]


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
