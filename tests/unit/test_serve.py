"""The worker program from its start to its end, and where its study or its lock has made room for another."""

import asyncio
import json
import os
import signal
from collections.abc import Generator
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
from study_fakes import make_study, trial

from bohb_nas import standstill
from bohb_nas.engine import serve, service
from bohb_nas.engine.cluster import Address
from bohb_nas.engine.devices import Device, host
from bohb_nas.engine.election import leading
from bohb_nas.engine.serve import _started
from bohb_nas.engine.service import Leaving, Service, Terms
from bohb_nas.errors import DeviceBusyError, DeviceError, StartError, StudyError, UsageError
from bohb_nas.locks import Lock, holder
from bohb_nas.records import Result, Status, Trial
from bohb_nas.store.study_dir import StudyDir


def serving(study: StudyDir, trainer: object, *, say: Any = print, **told: Any) -> Service:
    """The service of a trainer, of which nobody takes the place but as `told`."""
    calm = {"replaced": lambda: False, "ousted": lambda: False, "gone": lambda: False}
    return Service(study, cast(Any, trainer), Leaving(), None, Terms(wait_s=60.0, stand=False), name="here-cpu0", say=say, **calm | told)


class Starting:
    """A trainer whose start takes as long as a future."""

    def __init__(self) -> None:
        self.end: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.given_up = False

    async def start(self) -> None:
        try:
            await self.end
        finally:
            self.given_up = self.end.cancelled()


def started(*, end: str) -> tuple[bool, Starting]:
    async def play() -> tuple[bool, Starting]:
        trainer, stopped = Starting(), asyncio.Event()
        waiting = asyncio.ensure_future(_started(cast(Any, trainer), stopped))
        await asyncio.sleep(0)
        match end:
            case "stopped":
                stopped.set()
            case "ready":
                trainer.end.set_result(None)
            case "refused":
                trainer.end.set_exception(StartError("no data"))
        return await waiting, trainer

    return asyncio.run(play())


def test_a_stop_gives_a_start_up() -> None:
    ready, trainer = started(end="stopped")
    assert not ready
    assert trainer.given_up


def test_a_start_that_succeeds() -> None:
    ready, trainer = started(end="ready")
    assert ready
    assert not trainer.given_up


def test_a_start_that_fails_says_why() -> None:
    with pytest.raises(StartError, match="no data"):
        started(end="refused")


def test_who_comes_when_the_study_is_done_takes_no_device_and_loads_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was searched with may be gone by then."""
    study = make_study(tmp_path / "study", now=2000.0)
    study.done.touch()
    said = list[str]()

    def taken(*what: object, **more: object) -> None:
        raise AssertionError("the device was taken")

    monkeypatch.setattr(serve, "own", taken)
    terms = Terms(wait_s=60.0, stand=False)
    assert asyncio.run(serve.serve(study.path, device=Device(name="cpu0", environment={}), terms=terms, say=said.append)) == 0
    assert said == ["the study is done"]


class Idle:
    """A trainer that has nothing to do."""

    hands_over = True
    busy = False

    def __init__(self) -> None:
        self.unfit: asyncio.Future[str] = asyncio.get_running_loop().create_future()


def test_a_worker_whose_study_made_room_for_another_leaves_and_does_not_join_that(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study = make_study(tmp_path / "study", now=2000.0)
    joined, said = [], list[str]()

    async def join(service: Service, leader: object) -> bool:
        del service
        joined.append(leader)
        assert len(joined) < 3, "it does not leave"
        return True

    monkeypatch.setattr(Service, "_join", join)

    async def play() -> int:
        service = serving(
            study,
            Idle(),
            replaced=lambda: len(joined) == 1,
            say=said.append,
        )
        return await service.run()

    with leading(study):
        Address(study, "tls://127.0.0.1:5", 1)
        assert asyncio.run(play()) == 0
    assert len(joined) == 1, "its own master, and no other"
    assert said == [f"another study has taken its place in {study.path}; leaving"]


class Training(Idle):
    """A trainer that tells why it was asked to hand over."""

    def __init__(self) -> None:
        super().__init__()
        self.why: str | None = None

    async def hand_over(self, why: str, *, grace_s: float) -> bool:
        del grace_s
        self.why = why
        return True


class Joined:
    """A worker under a master that goes half a second later."""

    def __init__(self) -> None:
        self.joined = self.left_alone = False

    def __await__(self) -> Generator[None]:
        self.joined = True
        yield

    async def finished(self) -> None:
        await asyncio.sleep(0.5)
        self.left_alone = True

    async def close(self, **how: object) -> None:
        del how


@pytest.mark.parametrize("what", ["study", "lock", "folder"])
def test_a_worker_that_is_replaced_leaves_its_master_and_hands_over_where_the_study_is_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    study = make_study(tmp_path / "study", now=2000.0)
    worker, said = Joined(), list[str]()
    monkeypatch.setattr(service, "_ANSWER_S", 0.0)
    monkeypatch.setattr(Service, "_worker", lambda self, leader: worker)

    async def play() -> str | None:
        trainer = Training()
        one = serving(
            study,
            trainer,
            replaced=lambda: worker.joined and what == "study",
            ousted=lambda: worker.joined and what != "folder",  # by another study's worker, too
            gone=lambda: worker.joined and what == "folder",
            say=said.append,
        )
        assert await one.run() == 0
        return trainer.why

    with leading(study):
        Address(study, "tls://127.0.0.1:5", 1)
        why = asyncio.run(play())
    assert not worker.left_alone
    if what == "study":
        assert why is None
        assert said == [f"another study has taken its place in {study.path}; leaving"]
    elif what == "folder":
        assert why is None
        assert [text.split(",")[0] for text in said] == [f"{study.path} is gone"]
    else:
        assert why == "another worker for this device has taken its place"
        assert said == [f"leaving: {why}"]


def test_a_worker_that_can_train_nothing_any_more_does_not_stay_with_its_master(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study, worker = make_study(tmp_path / "study", now=2000.0), Joined()
    monkeypatch.setattr(Service, "_worker", lambda self, leader: worker)

    async def play() -> None:
        trainer = Idle()
        asyncio.get_running_loop().call_later(0.1, trainer.unfit.set_result, "no device")
        one = serving(study, trainer)
        await one.run()

    with leading(study):
        Address(study, "tls://127.0.0.1:5", 1)
        with pytest.raises(StartError, match="no device"):
            asyncio.run(play())
    assert (worker.joined, worker.left_alone) == (True, False)


class Trains:
    """A trainer whose job is ended from outside."""

    def __init__(self) -> None:
        self.job: asyncio.Task[Result] | None = None
        self.end: asyncio.Future[Result] = asyncio.get_running_loop().create_future()

    def train(self, trial: Trial) -> "asyncio.Task[Result]":
        async def wait() -> Result:
            return await self.end

        self.job = asyncio.create_task(wait())
        return self.job


def answered(monkeypatch: pytest.MonkeyPatch, how: str) -> tuple[dict[str, Any] | None, bool]:
    """What a master is answered, None where its question was withdrawn, and whether the training goes on."""

    async def play() -> tuple[dict[str, Any] | None, bool]:
        trainer = Trains()
        monkeypatch.setattr(serve, "_trainer", trainer)
        asked = asyncio.create_task(serve.train(json.dumps(trial(0).to_json())))
        await asyncio.sleep(0.01)
        assert trainer.job is not None
        match how:
            case "ends":
                trainer.end.set_result(Result(trial_id="t0", status=Status.OK, loss=0.5, train_s=2.0))
            case "is stopped":
                trainer.job.cancel()
            case "is asked no more":
                asked.cancel()
        await asyncio.wait({asked})
        return None if asked.cancelled() else json.loads(asked.result()), not trainer.job.done()

    return asyncio.run(play())


def test_a_training_belongs_to_the_worker_and_not_to_who_asked_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    answer, goes_on = answered(monkeypatch, "ends")
    assert answer is not None
    assert (answer["trial_id"], answer["status"], answer["loss"], goes_on) == ("t0", "ok", 0.5, False)
    answer, goes_on = answered(monkeypatch, "is stopped")
    assert answer is not None
    assert (answer["trial_id"], answer["status"], answer["message"], goes_on) == ("t0", "preempted", "its worker had to leave", False)
    assert answered(monkeypatch, "is asked no more") == (None, True)


def test_a_worker_touches_its_lock_whatever_the_disk_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "here-cpu0.lock"
    monkeypatch.setattr(serve, "_TOUCH_S", 0.001)

    async def play() -> None:
        touching = asyncio.create_task(serve._touch(path))
        await asyncio.sleep(0.01)
        path.touch()
        os.utime(path, (0.0, 0.0))
        while path.stat().st_mtime == 0.0:
            await asyncio.sleep(0.001)
        touching.cancel()

    asyncio.run(play())


class Program:
    """What a worker program is made of, played: it notes what becomes of each part.

    Args:
        warned: whether a scheduler's warning comes while the trainer starts.
        fails: whether the trainer cannot be stopped.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, warned: bool = False, fails: bool = False) -> None:
        told = self.told = list[str]()

        class Starts:
            hands_over = True

            def __init__(self, study: StudyDir, meta: object, **more: object) -> None:
                self.unfit: asyncio.Future[str] = asyncio.get_running_loop().create_future()
                self.gone = more["gone"]

            async def start(self) -> None:
                if warned:
                    os.kill(os.getpid(), signal.SIGUSR1)
                    await asyncio.Event().wait()

            async def stop(self) -> None:
                told.append("trainer stopped")
                if fails:
                    raise OSError("no space left")

        class Stands:
            def __init__(self, study: StudyDir, *, say: object, listen: str | None) -> None:
                told.append(f"stands, {listen}")

            async def end(self) -> None:
                told.append("stands no more")

        async def run(one: Service) -> int:
            note = json.loads(holder(one._study.worker_lock(host(), "cpu7")) or "{}")
            told.append(f"serves as {one._name}, stand {note['stand']}, until {note['until']}, on {note['model']}")
            self.patience_s = one._gone.__self__._patience_s  # type: ignore[attr-defined]
            assert cast(Any, one._trainer).gone == one._gone, "training ends by the same absence as waiting"
            return 7

        monkeypatch.setattr(serve, "configure", lambda: told.append("dask set up"))
        monkeypatch.setattr(standstill, "watch", lambda: told.append("watches"))
        monkeypatch.setattr(serve, "Trainer", Starts)
        monkeypatch.setattr(serve, "Candidate", Stands)
        monkeypatch.setattr(Service, "run", run)


def run(study: StudyDir, terms: Terms, said: list[str], model: str = "Fast 9") -> int:
    return asyncio.run(serve.serve(study.path, device=Device(name="cpu7", environment={}, model=model), terms=terms, say=said.append))


def test_a_worker_ends_what_it_started_whatever_fails_meanwhile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study, program = make_study(tmp_path / "study", now=2000.0), Program(monkeypatch, fails=True)
    with pytest.raises(OSError, match="no space left"):
        run(study, Terms(wait_s=60.0, stand=True, until=5e9, listen="loopback"), [])
    served = f"serves as {host()}-cpu7, stand True, until 5000000000.0, on Fast 9"
    assert program.told == ["dask set up", "watches", "stands, loopback", served, "trainer stopped", "stands no more"]
    assert holder(study.worker_lock(host(), "cpu7")) is None


def test_while_a_worker_serves_it_touches_its_lock_and_knows_who_takes_its_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study, seen = make_study(tmp_path / "study", now=2000.0), list[object]()
    Program(monkeypatch)
    lock = study.worker_lock(host(), "cpu7")

    async def run(one: Service) -> int:
        os.utime(lock, (0.0, 0.0))
        for _ in range(1000):
            await asyncio.sleep(0.001)
        seen.append((one._study.path, lock.stat().st_mtime > 0.0, one._replaced(), one._ousted()))
        study.write_meta(study.read_meta() | {"created": 5.0})
        lock.unlink()
        lock.touch()
        seen.append((one._replaced(), one._ousted()))
        return 7

    monkeypatch.setattr(Service, "run", run)
    monkeypatch.setattr(serve, "_TOUCH_S", 0.001)
    monkeypatch.chdir(tmp_path)
    device = Device(name="cpu7", environment={})
    assert asyncio.run(serve.serve(Path("study"), device=device, terms=Terms(wait_s=60.0, stand=False), say=print)) == 7
    assert seen == [(study.path, True, False, False), (True, True)]


def test_a_study_that_others_may_write_to_is_not_worked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study, program = make_study(tmp_path / "study", now=2000.0), Program(monkeypatch)
    study.path.chmod(0o770)
    with pytest.raises(StudyError, match="may be written by others"):
        run(study, Terms(wait_s=60.0, stand=False), [])
    assert program.told == []


@pytest.mark.parametrize(("wait_s", "patience_s"), [(60.0, 900.0), (3600.0, 3600.0)])
def test_a_worker_without_an_end_says_so_and_misses_its_study_for_as_long_as_a_master(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wait_s: float, patience_s: float
) -> None:
    """But for a quarter of an hour at least."""
    study, program = make_study(tmp_path / "study", now=2000.0), Program(monkeypatch)
    assert run(study, Terms(wait_s=wait_s, stand=False), []) == 7
    assert program.told[2:] == [f"serves as {host()}-cpu7, stand False, until None, on Fast 9", "trainer stopped"]
    assert program.patience_s == patience_s


def test_a_worker_that_is_to_leave_while_it_starts_says_why_and_serves_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study, program, said = make_study(tmp_path / "study", now=2000.0), Program(monkeypatch, warned=True), list[str]()
    assert run(study, Terms(wait_s=60.0, stand=False), said) == 0
    assert said == ["left: asked to leave by SIGUSR1"]
    assert program.told[2:] == ["trainer stopped"]


def test_a_device_has_one_worker_that_may_be_of_one_model_and_listens_where_it_can(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study, program, terms = make_study(tmp_path / "study", now=2000.0), Program(monkeypatch), Terms(wait_s=60.0, stand=False)
    with Lock(study.worker_lock(host(), "cpu7")) as lock:
        assert lock.acquire("{}")
        with pytest.raises(DeviceBusyError):
            run(study, terms, [])
    with pytest.raises(UsageError, match="--listen 'ib-of-the-nodes'"):
        run(study, replace(terms, listen="ib-of-the-nodes"), [])
    assert program.told == []
    study.write_meta(study.read_meta() | {"require_same_gpu": True})
    assert run(study, terms, []) == 7
    with pytest.raises(DeviceError, match="Slow 1"):
        run(study, terms, [], model="Slow 1")
    assert [text for text in program.told if text.startswith("serves")] == program.told[2:3]
