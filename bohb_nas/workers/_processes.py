"""One command under a time limit, and the certainty that nothing of it runs afterwards.

The command leads its own session and process group. Descendants that leave the group are found by what they inherit:
an entry of their environment that no other process has (one that clears its environment *and* leaves the group escapes).
"""

import math
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

from bohb_nas import standstill

_SCANS_S = 5.0
"""How long killed processes get to vanish."""
_LOOK_S = 0.2
"""Between two looks at whether to leave."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a command ended."""

    code: int
    """Exit code; minus the signal that killed it."""
    timed_out: bool
    asked: bool
    """Whether it ran when it was to leave, and got SIGTERM for that."""
    seconds: float
    """From start to end, without those in which this process stood still."""


def run(
    command: Sequence[str],
    *,
    env: Mapping[str, str],
    mark: str,
    cwd: Path,
    errors: int,
    output: Callable[[bytes], None],
    limit_s: float | None,
    grace_s: float,
    leave: Callable[[], bool] | None = None,
) -> Ended:
    """Runs a command to its end, to its limit, or until it is to leave.

    Args:
        command: program (a path) and arguments.
        env: its environment.
        mark: the name in `env` whose value no other command has.
        cwd: where it runs.
        errors: the file descriptor that its standard error goes to.
        output: gets its standard output in pieces.
        limit_s: after so many seconds its group gets SIGTERM; None for never.
        grace_s: so many seconds later everything gets SIGKILL.
        leave: once it is true the group gets SIGTERM before the limit; None for never.
    """
    began = standstill.now()
    process = subprocess.Popen(
        [sys.executable, "-I", "-S", str(Path(__file__).with_name("_launch.py")), str(os.getpid()), *command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=errors,
        env=env,
        cwd=cwd,
        start_new_session=True,
    )
    with process:
        pipe = cast("IO[bytes]", process.stdout).fileno()
        os.set_blocking(pipe, False)
        try:
            until = began + (math.inf if limit_s is None else limit_s)
            ended = _watch(process.pid, pipe, output, until, leave)
            timed_out = not ended and standstill.now() >= until
            if not ended:
                os.killpg(process.pid, signal.SIGTERM)
                _watch(process.pid, pipe, output, standstill.now() + grace_s)
        finally:  # the leader is not reaped yet, so its group's number is still its own
            seconds = standstill.now() - began
            os.killpg(process.pid, signal.SIGKILL)
            kill_marked(mark, env[mark])
        while data := _read(pipe):
            output(data)
    return Ended(code=process.returncode, timed_out=timed_out, asked=not ended and not timed_out, seconds=seconds)


def kill_marked(name: str, value: str) -> int:
    """Kills every process whose environment has this entry and returns how many there were."""
    entry = os.fsencode(f"{name}={value}")
    killed: set[int] = set()
    until = time.monotonic() + _SCANS_S
    while (found := {pid for pid in _pids() if _kill_if(pid, entry)}) and time.monotonic() < until:
        killed |= found
        time.sleep(0.01)  # a process may fork while it is killed: look until none is left
    return len(killed)


def _pids() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdecimal() and int(name) != os.getpid()]


def _kill_if(pid: int, entry: bytes) -> bool:
    """Kills a process if its environment has the entry. The descriptor holds the process itself: its number may be reused."""
    try:
        descriptor = os.pidfd_open(pid)
    except OSError:
        return False
    try:
        with suppress(OSError):  # gone, or somebody else's
            if entry in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"):
                signal.pidfd_send_signal(descriptor, signal.SIGKILL)
                return True
        return False
    finally:
        os.close(descriptor)


def _watch(pid: int, pipe: int, output: Callable[[bytes], None], until: float, leave: Callable[[], bool] | None = None) -> bool:
    """Passes output on until the process ends, the time has come or it is to leave; says whether it ended."""
    longest_s = 3600.0 if leave is None else _LOOK_S
    end = os.pidfd_open(pid)
    try:
        with selectors.DefaultSelector() as selector:
            selector.register(end, selectors.EVENT_READ)
            selector.register(pipe, selectors.EVENT_READ)
            while (left_s := until - standstill.now()) > 0 and not (leave and leave()):
                ready = {key.fd for key, _ in selector.select(min(left_s, longest_s))}
                if pipe in ready:
                    if data := _read(pipe):
                        output(data)
                    else:
                        selector.unregister(pipe)
                if end in ready:
                    return True
        return False
    finally:
        os.close(end)


def _read(pipe: int) -> bytes:
    """What the pipe holds, empty at its end or when there is nothing more for now."""
    try:
        return os.read(pipe, 65536)
    except BlockingIOError:
        return b""
