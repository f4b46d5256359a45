"""Worker programs on this machine, one per device, that live on when their master is killed."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from bohb_nas.engine.devices import Device, host
from bohb_nas.errors import BohbNasError
from bohb_nas.files import holder
from bohb_nas.store.study_dir import StudyDir


class LocalWorkers:
    """Starts a worker on every device that has none; counts those that outlived an earlier master."""

    def __init__(self, study: StudyDir, devices: list[Device], *, wait_s: float = 120.0) -> None:
        self._study = study
        self._wait_s = wait_s
        self._started = {d.name: self._start(d) for d in devices if holder(study.worker_lock(host(), d.name)) is None}

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
        """Makes sure that somebody is left to work.

        Raises:
            BohbNasError: every worker that was started has ended, and none of an earlier master lives.
        """
        ended = {name: p.returncode for name, p in self._started.items() if p.poll() is not None}
        if self._started and len(ended) == len(self._started) and not any(self._study.living_workers()):
            name = next(iter(ended))
            log = self._study.worker_log(host(), name)
            raise BohbNasError(f"all workers have ended; the last words of {name} (exit code {ended[name]}, {log}):\n{_tail(log)}")

    def stop(self, *, patience_s: float) -> None:
        """Ends the workers of this study that a `run` on this machine started, also an earlier one; their trials are asked again.

        Those that somebody else started stand for election when nobody leads, and stay.
        """
        pids = {int(w["pid"]) for w in self._study.living_workers() if w.get("host") == host() and w.get("stand") is False}
        for pid in pids:
            _signal(pid, signal.SIGTERM)
        self.wait(patience_s)
        for process in self._started.values():
            if process.poll() is None:
                process.kill()

    def wait(self, patience_s: float) -> None:
        """Gives the workers time to leave by themselves."""
        deadline = time.monotonic() + patience_s
        while any(p.poll() is None for p in self._started.values()) and time.monotonic() < deadline:
            time.sleep(0.05)


def _signal(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


def _tail(path: Path) -> str:
    return path.read_bytes()[-1500:].decode(errors="replace") if path.exists() else "(no log)"
