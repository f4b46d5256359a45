"""When a worker program leaves and how, also where its lock server or its terminal is away."""

import asyncio
import errno
import json
import math
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from study_fakes import planned

from bohb_nas import locks
from bohb_nas.engine import service
from bohb_nas.engine.cluster import Address, Leader
from bohb_nas.engine.dask_engine import DaskEngine
from bohb_nas.engine.devices import host
from bohb_nas.engine.election import leading
from bohb_nas.engine.plan import Request
from bohb_nas.engine.service import Leaving, Service, Terms
from bohb_nas.errors import StartError
from bohb_nas.store.study_dir import StudyDir


class Training:
    """A trainer that is in the middle of a trial for so many looks, with which the study is done."""

    hands_over = False

    def __init__(self, study: StudyDir, *, looks: int) -> None:
        self.unfit: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._study = study
        self._left = looks

    @property
    def busy(self) -> bool:
        self._left -= 1
        if self._left == 0:
            self._study.done.touch()
        return self._left >= 0


@pytest.fixture
def lockless(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StudyDir:
    """A study that was led, on a file system that has no locks for a while."""
    study = planned(tmp_path / "study", Request(space="toy", worker="toy"))
    study.master_lock.write_text("{}")

    def refuse(descriptor: int, command: int) -> int:
        del descriptor, command
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(locks, "_flock", refuse)
    return study


def test_the_command_that_leads_a_study_again_can_be_pasted(tmp_path: Path) -> None:
    study = planned(tmp_path / "my study", Request(space="toy", worker="toy"))
    _, said = served(study, looks=0, wait_s=0.0)
    assert said == [f"nobody leads this study; `bohb-nas run '{study.path}'` leads it again; leaving after 0 s"]


def served(study: StudyDir, *, looks: int, wait_s: float, gone: Callable[[], bool] = lambda: False) -> tuple[int, list[str]]:
    async def play() -> tuple[int, list[str]]:
        said: list[str] = []
        trainer, terms = Training(study, looks=looks), Terms(wait_s=wait_s, stand=False)
        service = Service(
            study,
            cast(Any, trainer),
            Leaving(),
            None,
            terms,
            replaced=lambda: False,
            ousted=lambda: False,
            gone=gone,
            name="w",
            say=said.append,
        )
        return await service.run(), said

    return asyncio.run(play())


def test_who_trains_for_a_study_that_is_gone_says_so_and_leaves(lockless: StudyDir) -> None:
    """Its training is under way still."""
    code, (said,) = served(lockless, looks=3, wait_s=60.0, gone=lambda: True)
    assert code == 0
    assert said.startswith(f"{lockless.path} is gone, renamed or deleted")
    assert not lockless.done.exists()


def heard(number: signal.Signals) -> tuple[bool, bool]:
    """Whether a signal is taken as one to leave, and to leave urgently."""

    async def play() -> tuple[bool, bool]:
        leaving = Leaving()
        leaving.listen()
        os.kill(os.getpid(), number)
        for _ in range(10):
            await asyncio.sleep(0.01)
        assert leaving.why == (f"asked to leave by {number.name}" if leaving.asked.is_set() else "")
        return leaving.asked.is_set(), leaving.urgent.is_set()

    return asyncio.run(play())


def test_a_terminal_that_goes_away_ends_the_program_in_good_order() -> None:
    before = signal.signal(signal.SIGHUP, lambda number, frame: None)
    try:
        assert heard(signal.SIGHUP) == (True, True)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup leaves it
        assert heard(signal.SIGHUP) == (False, False)
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize(("name", "urgent"), [("SIGTERM", True), ("SIGINT", True), ("SIGUSR1", False), ("SIGUSR2", False)])
def test_warnings_are_less_urgent_than_orders(name: str, urgent: bool) -> None:
    number = signal.Signals[name]
    before = signal.getsignal(number)
    try:
        assert heard(number) == (True, urgent)
    finally:
        signal.signal(number, before)


def test_of_several_reasons_to_leave_the_first_is_said_and_the_most_urgent_counts() -> None:
    leaving = Leaving()
    leaving.ask("the time is over", urgent=False)
    assert (leaving.asked.is_set(), leaving.urgent.is_set()) == (True, False)
    leaving.ask("asked to leave by SIGTERM", urgent=True)
    leaving.ask("asked to leave by SIGUSR1", urgent=False)
    assert (leaving.why, leaving.urgent.is_set()) == ("the time is over", True)


def test_a_training_goes_on_while_it_cannot_be_told_who_leads(lockless: StudyDir, monkeypatch: pytest.MonkeyPatch) -> None:
    """For longer than a worker waits that has nothing to do: every look at the clock takes it a second on."""
    clock = SimpleNamespace(time=time.time, monotonic=iter(range(100)).__next__)
    monkeypatch.setattr(service, "time", clock)
    assert served(lockless, looks=3, wait_s=1.0) == (0, ["the study is done"])
    lockless.done.unlink()
    assert served(lockless, looks=0, wait_s=1.0)[1] != ["the study is done"]


def test_who_waits_in_vain_for_locks_says_so(lockless: StudyDir) -> None:
    code, (said,) = served(lockless, looks=0, wait_s=0.0)
    assert code == 0
    assert "whether anybody leads this study cannot be told" in said
    assert "No locks available" in said


class Asked:
    """A trainer in training; it tells what it was asked, and ends its trial when it is let finish, unless it never does.

    Args:
        busy: whether a trial is in training.
        hands_over: whether its worker does.
        finishes: whether the trial ends.
    """

    def __init__(self, *, busy: bool = True, hands_over: bool, finishes: bool = True) -> None:
        self.busy, self.hands_over, self._finishes = busy, hands_over, finishes
        self.unfit: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.asked: list[str] = []

    async def hand_over(self, why: str, *, grace_s: float) -> bool:
        self.asked.append(f"hand over: {why}, within {grace_s:g} s")
        self.busy = self.busy and not self.hands_over
        return not self.busy

    async def finish(self) -> None:
        self.asked.append("finish")
        if not self._finishes:
            await asyncio.Event().wait()
        self.busy = False

    async def stop(self) -> None:
        self.asked.append("stop")


@pytest.fixture
def study(tmp_path: Path) -> StudyDir:
    return planned(tmp_path / "study", Request(space="toy", worker="toy", budget_min=60.0, budget_max=540.0))


def of(study: StudyDir, trainer: Asked, terms: Terms, said: list[str]) -> tuple[Service, Leaving]:
    leaving = Leaving()
    made = Service(
        study,
        cast(Any, trainer),
        leaving,
        None,
        terms,
        replaced=lambda: False,
        ousted=lambda: False,
        gone=lambda: False,
        name="w",
        say=said.append,
    )
    return made, leaving


@pytest.mark.parametrize(
    ("trainer", "until_s", "urgent", "asked"),
    [
        ({"hands_over": True}, math.inf, False, []),
        ({"hands_over": False}, math.inf, False, ["finish"]),
        ({"hands_over": False, "finishes": False}, math.inf, True, ["finish", "stop"]),
        ({"hands_over": False, "finishes": False}, 0.1, False, ["finish", "stop"]),
        ({"hands_over": False, "busy": False}, math.inf, False, []),
    ],
)
def test_what_cannot_be_handed_over_goes_on_until_there_is_no_time_left(
    study: StudyDir, monkeypatch: pytest.MonkeyPatch, trainer: dict[str, bool], until_s: float, urgent: bool, asked: list[str]
) -> None:
    monkeypatch.setattr(service, "_ANSWER_S", 0.0)
    said: list[str] = []

    async def play() -> list[str]:
        training = Asked(**trainer)
        one, leaving = of(study, training, Terms(wait_s=60.0, stand=False, grace_s=7.0, until=time.time() + until_s), said)
        leaving.ask("asked to leave", urgent=urgent)
        for _ in range(2):
            await asyncio.wait_for(one._leave(), 30.0)
        return training.asked

    assert asyncio.run(play()) == ["hand over: asked to leave, within 7 s", *asked]
    assert said == ["leaving: asked to leave"], "once"


@pytest.mark.parametrize(("hands_over", "unit", "before_s"), [(True, "s", 25.0), (False, "s", 60.0), (False, "epochs", 25.0)])
def test_a_worker_leaves_while_there_is_time_to_hand_over_or_when_the_cheapest_trial_could_not_end(
    study: StudyDir, monkeypatch: pytest.MonkeyPatch, hands_over: bool, unit: str, before_s: float
) -> None:
    meta = study.read_meta()
    study.write_meta({**meta, "budgets": {**meta["budgets"], "unit": unit}})
    clock = [1000.0]
    monkeypatch.setattr(time, "time", lambda: clock[0])

    async def play() -> list[bool]:
        one, leaving = of(study, Asked(hands_over=hands_over), Terms(wait_s=60.0, stand=False, grace_s=20.0, until=5000.0), [])
        over = []
        for clock[0] in (5000.0 - before_s - 1.0, 5000.0 - before_s):
            over.append(one._is_over())
        assert (leaving.why, leaving.urgent.is_set()) == ("the time of this worker is over", False)
        return over

    assert asyncio.run(play()) == [False, True]


def test_who_cannot_reach_its_master_says_so_once_for_each(study: StudyDir) -> None:
    said: list[str] = []

    async def play() -> list[bool]:
        one, _ = of(study, Asked(hands_over=True), Terms(wait_s=60.0, stand=False), said)
        far = [Leader(address=f"tls://127.0.0.1:{port}", term=1, host="far") for port in (1, 2)]
        return [one._reachable(leader) for leader in (far[0], far[0], far[1], Leader(address="tls://10.0.0.7:1", term=1, host="far"))]

    assert asyncio.run(play()) == [False, False, False, True]
    line = (
        f"the master on far listens on its own loopback alone; end it there and start it with `bohb-nas run {study.quoted} --listen host`"
    )
    assert said == [line, line]


def test_who_joins_in_vain_says_at_last_what_answered(study: StudyDir, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(one: Service, leader: Leader) -> object:
        raise OSError(f"Timed out trying to connect to {leader.address}")

    monkeypatch.setattr(Service, "_worker", refused)
    said: list[str] = []

    async def play() -> int:
        one, _ = of(study, Asked(hands_over=True, busy=False), Terms(wait_s=0.0, stand=False), said)
        return await one.run()

    with leading(study):
        Address(study, "tls://127.0.0.1:5", 1)
        assert asyncio.run(play()) == 0
    assert said == [
        f"the master on {host()} did not answer at tls://127.0.0.1:5: OSError: Timed out trying to connect to tls://127.0.0.1:5; "
        "leaving after 0 s"
    ]


def test_an_address_that_a_master_left_behind_is_nobody_s(study: StudyDir) -> None:
    async def play() -> list[Leader | None]:
        one, _ = of(study, Asked(hands_over=True), Terms(wait_s=60.0, stand=False), [])
        Address(study, "tls://127.0.0.1:5", 1)
        before = one._leader()
        with leading(study):
            return [before, one._leader()]

    assert asyncio.run(play()) == [None, Leader(address="tls://127.0.0.1:5", term=1, host=host(), pid=os.getpid())]


@pytest.mark.parametrize("lease", [False, True])
def test_an_address_that_a_copy_of_a_study_has_from_the_original_is_nobody_s(study: StudyDir, lease: bool) -> None:
    """Somebody leads the copy already; the address counts again once it is its own."""

    async def play() -> list[str | None]:
        one, _ = of(study, Asked(hands_over=True), Terms(wait_s=60.0, stand=False), [])
        found = []
        for about in ({"pid": os.getpid() + 1, "host": host()}, {"pid": os.getpid(), "host": "elsewhere"}, {}):
            copied = {"address": "tls://127.0.0.1:4", "term": 3, "pid": os.getpid(), "host": host(), **about}
            study.scheduler_json.write_text(json.dumps(copied))
            found.append(one._leader())
        return [None if leader is None else leader.address for leader in found]

    if lease:
        study.leases.mkdir()
    with leading(study):
        assert asyncio.run(play()) == [None, None, "tls://127.0.0.1:4"]


def test_a_master_knows_the_workers_that_have_joined_by_the_names_that_people_see(study: StudyDir) -> None:
    async def play() -> list[list[str]]:
        one, _ = of(study, Asked(hands_over=True), Terms(wait_s=60.0, stand=False), [])
        leader, found = one._leader(), [engine.joined()]
        assert leader is not None
        for _ in range(2):
            async with one._worker(leader):
                found.append(engine.joined())
        return found

    with leading(study), DaskEngine(study, term=1, needs_s=lambda _: None, say=print) as engine:
        assert asyncio.run(play()) == [[], ["w"], ["w"]]


def test_a_master_is_superseded_by_a_later_term_or_where_its_lease_has_run_out(study: StudyDir) -> None:
    async def play() -> list[bool]:
        one, _ = of(study, Asked(hands_over=True), Terms(wait_s=60.0, stand=False), [])
        check = one._superseded(Leader(address="tls://127.0.0.1:5", term=2, host=host()))
        found = [check()]
        for term in (1, 2, 3, 2):
            Address(study, "tls://127.0.0.1:5", term)
            found.append(check())
        study.leases.mkdir()
        return [*found, check()]

    assert asyncio.run(play()) == [False, False, False, True, False, True]


def test_a_trainer_that_can_train_nothing_any_more_ends_its_worker(study: StudyDir) -> None:
    async def play() -> None:
        trainer = Asked(hands_over=True)
        trainer.unfit.set_result("no device")
        one, _ = of(study, trainer, Terms(wait_s=60.0, stand=False), [])
        with pytest.raises(StartError, match="no device"):
            await one.run()

    asyncio.run(play())


class Standing:
    """A candidate that counts how often it is to stand."""

    n = 0

    async def stand(self) -> None:
        self.n += 1


def alone(study: StudyDir) -> tuple[list[str], int]:
    """What a worker says that leaves as soon as it has looked once, and how often it saw to it that somebody stands by."""
    said, candidate = list[str](), Standing()

    async def play() -> None:
        trainer, terms = Asked(hands_over=True, busy=False), Terms(wait_s=0.0, stand=True)
        one, _ = of(study, trainer, terms, said)
        one._candidate = cast(Any, candidate)
        assert await one.run() == 0

    asyncio.run(play())
    return said, candidate.n


def test_who_could_not_reach_the_master_does_not_say_that_nobody_leads(study: StudyDir) -> None:
    """On another machine, and where something else than a search holds the study's lock."""
    with locks.Lock(study.master_lock) as lock:
        assert lock.acquire(json.dumps({"host": "far", "pid": 7}))
        (text,), _ = alone(study)
        assert text == f"this study is led, but its master has not said where; `bohb-nas status {study.quoted}` shows it; leaving after 0 s"
        study.scheduler_json.write_text(json.dumps({"address": "tls://127.0.0.1:5", "term": 1, "host": "far", "pid": 7}))
        said, n = alone(study)
        assert said[1:] == ["the master on far listens on its own loopback alone; leaving after 0 s"]
        assert n == 1
        study.scheduler_json.unlink()
    with locks.Lock(study.master_lock) as lock:
        assert lock.acquire(json.dumps({"host": "far", "pid": 7, "task": "baselines"}))
        (text,), _ = alone(study)
        assert text.startswith(f"baselines are trained in {study.path} by pid 7 on far; wait until they end, or stop them")
