"""A worker program whose lock server is away, and one whose terminal is."""

import asyncio
import errno
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest

from bohb_nas import locks
from bohb_nas.engine.launch import create, new_space
from bohb_nas.engine.plan import Request, plan
from bohb_nas.engine.service import Leaving, Service, Terms
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
    study = StudyDir(tmp_path / "study")
    study.make()
    meta = plan(Request(space="toy", worker="toy"))
    create(study, meta, new_space(meta))
    study.master_lock.write_text("{}")

    def refuse(descriptor: int, command: int) -> int:
        del descriptor, command
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(locks, "_flock", refuse)
    return study


def test_the_command_that_leads_a_study_again_can_be_pasted(tmp_path: Path) -> None:
    study = StudyDir(tmp_path / "my study")
    study.make()
    meta = plan(Request(space="toy", worker="toy"))
    create(study, meta, new_space(meta))
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


def test_a_training_goes_on_while_it_cannot_be_told_who_leads(lockless: StudyDir) -> None:
    assert served(lockless, looks=3, wait_s=60.0) == (0, ["the study is done"])


def test_who_waits_in_vain_for_locks_says_so(lockless: StudyDir) -> None:
    code, (said,) = served(lockless, looks=0, wait_s=0.0)
    assert code == 0
    assert "whether anybody leads this study cannot be told" in said
    assert "No locks available" in said
