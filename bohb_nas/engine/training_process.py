"""The training child seen from the worker program: started, asked, told to leave, ended."""

import asyncio
import json
import math
import os
import signal
import sys
from collections.abc import Coroutine
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from bohb_nas import standstill
from bohb_nas.engine.child import END
from bohb_nas.errors import StartError, end_text
from bohb_nas.files import dump_json
from bohb_nas.store.meta import IMAGE_WORKERS, ONE_SHOT

_GRACE_S = 3.0
"""Between the signal to end and SIGKILL."""
_START_S = 900.0
"""Until a child is ready: it may have to import and to read a lot."""
_LATE_S = 0.2
"""For an answer that is in the pipe when its writer ends."""
_TEARDOWN_S = 5.0
"""For the exit code of one that closed its pipe: an interpreter full of libraries takes its time to end."""
_LINE_LIMIT = 2**24
_T = TypeVar("_T")


def options_of(meta: dict[str, Any], options: dict[str, Any] | None = None, *, space_json: Path | None = None) -> dict[str, Any]:
    """The options with which a child is started: those that train on one of our data sets are told which content the study began with,
    a worker that searches by itself where the study's frozen space lies, and a command the study's limit of a trial and unit of budgets.

    Args:
        meta: the study's record, with the worker that is started.
        options: in place of those that it names.
        space_json: the frozen space; None where there is none yet.
    """
    told: dict[str, Any] = meta["worker_options"] if options is None else options
    if meta["worker"] in IMAGE_WORKERS and "data_fingerprint" in meta:  # older studies do not say it
        told = {**told, "data_fingerprint": meta["data_fingerprint"]}
    if meta["worker"] == ONE_SHOT and space_json is not None:
        told = {**told, "space_file": str(space_json)}
    if meta["worker"] == "command":
        told = {**told, "unit": meta["budgets"]["unit"]}
        if (limit_s := meta.get("hard_limit_s")) is not None:  # or the one among the options, where older studies keep it
            told["hard_limit_s"] = limit_s
    return told


def hard_limit(budget: float, meta: dict[str, Any]) -> float | None:
    """Seconds after which a trial's process is killed: the limit asked for, or 1.5 x budget and 300 s for everything else.

    The worker `command` keeps the limit itself; here it gets a minute more. None where budgets are no seconds and no
    limit was asked for.
    """
    asked = meta.get("hard_limit_s")
    if asked is not None:
        return float(asked) + (60.0 if meta["worker"] == "command" else 0.0)
    return 1.5 * budget + 300.0 if meta["budgets"]["unit"] == "s" else None


class TrainingProcess:
    """A child that is ready for trials.

    Args:
        child: started, and ready.
        hands_over: whether its worker can stop in the middle of a trial so that another goes on from there.
    """

    def __init__(self, child: asyncio.subprocess.Process, *, hands_over: bool) -> None:
        self._child = child
        self._asked = False
        """Whether it has a trial: before, a signal would find it unprepared."""
        self.hands_over = hands_over
        self._cleared = asyncio.create_task(self._clear())

    async def _clear(self) -> None:
        """Ends what the process leaves of its group, at its own end: later its number may be that of somebody else's group."""
        await _ended(self._child)
        with suppress(ProcessLookupError):
            os.killpg(self._child.pid, signal.SIGKILL)

    @classmethod
    async def start(cls, meta: dict[str, Any], options: dict[str, Any]) -> "TrainingProcess":
        """Starts a child for the worker of a study and waits until it is ready.

        Raises:
            StartError: it cannot be made ready; the text says why.
        """
        child = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", "bohb_nas.engine.child", str(os.getpid())),
            *(meta["worker"], dump_json(options)),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            cwd=meta["cwd"],
            start_new_session=True,
            limit=_LINE_LIMIT,
        )
        started = cls(child, hands_over=False)
        try:
            answer = await _within(_START_S, _answer(child))
        except TimeoutError as e:
            await started.end()
            raise StartError(f"the training process was not ready after {_START_S:g} s") from e
        except asyncio.CancelledError:
            await started.end()
            raise
        if answer is None or "error" in answer:
            await started.end()
            raise StartError(f"the training process cannot start: {(answer or {}).get('error', 'it ended without a word')}")
        started.hands_over = answer.get("hands_over") is True
        return started

    @property
    def living(self) -> bool:
        """Whether it has not ended."""
        return self._child.returncode is None

    @property
    def killed(self) -> bool:
        """Whether it ended by a SIGKILL: the system was short of memory, or somebody sent it."""
        return self._child.returncode == -signal.SIGKILL

    @property
    def end_text(self) -> str:
        """How it ended, for people."""
        return "no exit code" if (code := self._child.returncode) is None else end_text(code)

    async def ask(self, request: dict[str, Any], *, limit_s: float | None) -> dict[str, Any] | None:
        """The answer to a request, or None where the process ended without one.

        Raises:
            TimeoutError: there was none after `limit_s` seconds in which this program did not stand still.
            ValueError: what it said is no JSON.
        """
        assert self._child.stdin is not None
        self._child.stdin.write(dump_json(request).encode() + b"\n")
        self._asked = True
        try:
            return await _within(limit_s, _answer(self._child))
        finally:
            self._asked = False

    def ask_to_leave(self) -> bool:
        """Asks for what is in training to be left to another; False where that is not possible."""
        if not (self._asked and self.hands_over and self.living):
            return False
        with suppress(ProcessLookupError):
            os.kill(self._child.pid, signal.SIGUSR1)
        return True

    async def end(self) -> None:
        """Ends it and its process group; a moment before it is killed, so that it can end what it started itself."""
        if self.living:
            with suppress(ProcessLookupError):
                os.kill(self._child.pid, END)  # child.terminate() would take the exit code from whoever waits for it
            with suppress(TimeoutError):
                await asyncio.wait_for(_ended(self._child), _GRACE_S)
        if self.living:
            with suppress(ProcessLookupError):
                os.killpg(self._child.pid, signal.SIGKILL)
        await asyncio.shield(self._cleared)


async def _within(limit_s: float | None, waited: Coroutine[Any, Any, _T]) -> _T:
    """What comes within so many seconds; those in which this program stood still are none, since all of its job stood still.

    Raises:
        TimeoutError: nothing came.
    """
    task = asyncio.ensure_future(waited)
    until = math.inf if limit_s is None else standstill.now() + limit_s
    try:
        while not task.done():
            left_s = until - standstill.now()
            if left_s <= 0:
                raise TimeoutError
            await asyncio.wait({task}, timeout=left_s)
        return task.result()
    finally:
        task.cancel()


async def _answer(child: asyncio.subprocess.Process) -> dict[str, Any] | None:
    """The child's next line, or None when it has ended without one (whoever else may hold its pipe open)."""
    assert child.stdout is not None
    line = asyncio.ensure_future(child.stdout.readline())
    end = asyncio.ensure_future(_ended(child))
    try:
        await asyncio.wait({line, end}, return_when=asyncio.FIRST_COMPLETED)
        if not (line.done() and line.result().endswith(b"\n")):
            await asyncio.wait({line, end}, timeout=_TEARDOWN_S if line.done() else _LATE_S)
        text = line.result() if line.done() else b""
    finally:
        line.cancel()
        end.cancel()
    body = json.loads(text) if text.endswith(b"\n") else None
    return body if isinstance(body, dict) else None


async def _ended(child: asyncio.subprocess.Process) -> None:
    while child.returncode is None:
        await asyncio.sleep(0.02)
