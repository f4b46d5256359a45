"""Worker programs on this machine, one per device, that live on when their master is killed."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bohb_nas.engine.devices import Device, host
from bohb_nas.errors import BohbNasError
from bohb_nas.files import holder
from bohb_nas.store.study_dir import StudyDir

MAX_RESTARTS = 3
"""A worker that ends so often, each time within `_SETTLED_S`, is not started again."""
_SETTLED_S = 600.0


@dataclass(slots=True)
class _Started:
    """A worker program that was started here."""

    device: Device
    process: subprocess.Popen[bytes]
    since: float
    restarts: int = 0


class LocalWorkers:
    """Keeps a worker on every device; counts those that outlived an earlier master."""

    def __init__(self, study: StudyDir, devices: list[Device], *, say: Callable[[str], None], wait_s: float = 120.0) -> None:
        self._study = study
        self._say = say
        self._wait_s = wait_s
        free = [d for d in devices if holder(study.worker_lock(host(), d.name)) is None]
        self._started = [_Started(d, self._start(d), time.monotonic()) for d in free]

    def _start(self, device: Device) -> subprocess.Popen[bytes]:
        log = os.open(self._study.worker_log(host(), device.name), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            return subprocess.Popen(
                [
                    *(sys.executable, "-m", "bohb_nas", "worker", str(self._study.path)),
                    *("--device", device.name, "--wait", f"{self._wait_s:g}s", "--no-lead"),
                ],
                env={**os.environ, **device.environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        finally:
            os.close(log)

    def check(self) -> None:
        """Starts workers that have ended again.

        Raises:
            BohbNasError: every worker that was started here has ended too often, and nobody else works.
        """
        for worker in self._started:
            if worker.process.poll() is None:
                continue
            if time.monotonic() - worker.since > _SETTLED_S:
                worker.restarts = 0
            if worker.restarts < MAX_RESTARTS and holder(self._study.worker_lock(host(), worker.device.name)) is None:
                worker.restarts += 1
                self._say(f"worker {worker.device.name} ended ({_exit(worker.process.returncode)}) and is started again")
                worker.process, worker.since = self._start(worker.device), time.monotonic()
        if self._started and all(w.process.poll() is not None for w in self._started) and not any(self._study.living_workers()):
            last = self._started[0]
            log = self._study.worker_log(host(), last.device.name)
            code = _exit(last.process.returncode)
            raise BohbNasError(f"all workers have ended; the last words of {last.device.name} ({code}, {log}):\n{_tail(log)}")

    def stop(self, *, patience_s: float) -> None:
        """Ends the workers of this study that a `run` on this machine started, also an earlier one; their trials are asked again.

        Those that somebody else started stand for election when nobody leads, and stay.
        """
        pids = {int(w["pid"]) for w in self._study.living_workers() if w.get("host") == host() and w.get("stand") is False}
        for pid in pids:
            _signal(pid, signal.SIGTERM)
        self.wait(patience_s)
        for worker in self._started:
            if worker.process.poll() is None:
                worker.process.kill()

    def wait(self, patience_s: float) -> None:
        """Gives the workers time to leave by themselves."""
        deadline = time.monotonic() + patience_s
        while any(w.process.poll() is None for w in self._started) and time.monotonic() < deadline:
            time.sleep(0.05)


def _signal(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


def _exit(code: int) -> str:
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"


def _tail(path: Path) -> str:
    return path.read_bytes()[-1500:].decode(errors="replace") if path.exists() else "(no log)"
