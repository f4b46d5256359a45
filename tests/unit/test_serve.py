"""The worker program while its training child is not ready yet, and where its study or its lock has made room for another."""

import asyncio
from collections.abc import Generator
from pathlib import Path
from typing import Any, cast

import pytest
from study_fakes import make_study

from bohb_nas.engine import serve, service
from bohb_nas.engine.cluster import publish
from bohb_nas.engine.devices import Device
from bohb_nas.engine.serve import _started
from bohb_nas.engine.service import Leaving, Service, Terms
from bohb_nas.errors import StartError
from bohb_nas.locks import Lock


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
        service = Service(
            study,
            cast(Any, Idle()),
            Leaving(),
            None,
            Terms(wait_s=60.0, stand=False),
            replaced=lambda: len(joined) == 1,
            ousted=lambda: False,
            gone=lambda: False,
            name="here-cpu0",
            say=said.append,
        )
        return await service.run()

    with Lock(study.master_lock) as lock:
        assert lock.acquire("{}")
        publish(study, "tls://127.0.0.1:5", 1)
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
        one = Service(
            study,
            cast(Any, trainer),
            Leaving(),
            None,
            Terms(wait_s=60.0, stand=False),
            replaced=lambda: worker.joined and what == "study",
            ousted=lambda: worker.joined and what != "folder",  # by another study's worker, too
            gone=lambda: worker.joined and what == "folder",
            name="here-cpu0",
            say=said.append,
        )
        assert await one.run() == 0
        return trainer.why

    with Lock(study.master_lock) as lock:
        assert lock.acquire("{}")
        publish(study, "tls://127.0.0.1:5", 1)
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
