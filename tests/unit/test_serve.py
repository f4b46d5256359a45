"""The worker program while its training child is not ready yet."""

import asyncio
from typing import Any, cast

import pytest

from bohb_nas.engine.serve import _started
from bohb_nas.engine.training_process import StartError


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
