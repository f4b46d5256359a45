"""Worker programs on this machine, one per device, that live on when their master is killed."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bohb_nas.engine.devices import Device, host, pid_space
from bohb_nas.errors import BohbNasError, end_text
from bohb_nas.files import storing
from bohb_nas.store import holders
from bohb_nas.store.notes import printable, tail
from bohb_nas.store.study_dir import StudyDir

MAX_RESTARTS = 3
"""How often a worker is started again on a device where none lives for `_SETTLED_S`."""
_SETTLED_S = 600.0
_AGAIN_S = 10.0
"""Before another attempt where no process was left."""
_LAST_WORDS = 65_536
"""Bytes of a disk without which programs end and cannot say why."""
_TAIL_BYTES = 1500
_JOINS_S = 30.0
"""For a worker that somebody else started, to join."""
_WAIT_S = 120.0
"""How long a worker stays without a master."""
_GRACE_S = 8.0
"""For what is in training to be handed over; less than `_PATIENCE_S`."""
_PATIENCE_S = 10.0
"""For workers that were told to end, before they are killed."""


@dataclass(slots=True)
class _Place:
    """A device that is to have a worker."""

    device: Device
    process: subprocess.Popen[bytes] | None = None
    """None: nobody, or one that an earlier master started."""
    since: float = 0.0
    starts: int = 0
    """Since a worker last lived for `_SETTLED_S`."""
    log_start: int = 0
    """Bytes of its log before the latest start, which are the words of earlier workers."""
    missed_since: float = 0.0
    """When somebody who was not started here held the device and had not joined; 0 while that is not so."""
    told: bool = False
    """Whether that was said."""

    @property
    def living(self) -> bool:
        """Whether a worker that was started here lives."""
        return self.process is not None and self.process.poll() is None


class LocalWorkers:
    """Keeps a worker on every device, from the first `check` on; counts those that outlived an earlier master."""

    def __init__(self, study: StudyDir, devices: list[Device], *, say: Callable[[str], None]) -> None:
        self._study = study
        self._say = say
        self._places = [_Place(device) for device in devices]

    def _start(self, device: Device) -> subprocess.Popen[bytes] | None:
        path = self._study.worker_log(host(), device.name)
        with storing(path):
            log = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            return subprocess.Popen(
                [
                    *(sys.executable, "-P", "-m", "bohb_nas", "worker", str(self._study.path)),
                    *("--device", device.name, "--wait", f"{_WAIT_S:g}s", "--no-lead", "--grace", f"{_GRACE_S:g}s"),
                ],
                env={**os.environ, **device.environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        except OSError as e:  # no process or memory is left: tried again, as often as one that ends
            self._say(f"worker {device.name} cannot be started: {e.strerror}")
            return None
        finally:
            os.close(log)

    def _log_bytes(self, device: Device) -> int:
        try:
            return self._study.worker_log(host(), device.name).stat().st_size
        except OSError:  # none yet
            return 0

    def check(self, joined: Iterable[str]) -> None:
        """Starts a worker on every device that has none, and names who holds one in vain.

        Args:
            joined: the names of the workers that this master has.

        Raises:
            BohbNasError: on every device workers have ended too often, and nobody else works.
            StorageError: likewise, and the disk is full, which they could not say any more; or it refuses a log.
        """
        vacant = [p for p in self._places if not p.living and not holders.device_taken(self._study, host(), p.device.name)]
        there = set(joined)
        for place in self._places:
            name = holders.worker_name(host(), place.device.name)
            self._heed_holder(place, missed=not (place.living or place in vacant or name in there))
        for place in vacant:
            if time.monotonic() - place.since > _SETTLED_S:
                place.starts = 0
            if place.starts > MAX_RESTARTS or (place.starts and place.process is None and time.monotonic() - place.since < _AGAIN_S):
                continue
            if place.process is not None:
                self._say(f"worker {place.device.name} ended ({end_text(place.process.returncode)}) and is started again")
            place.log_start = self._log_bytes(place.device)
            place.process, place.since = self._start(place.device), time.monotonic()
            place.starts += 1
        if (
            vacant == self._places != []
            and all(p.starts > MAX_RESTARTS and not p.living for p in vacant)
            and not any(holders.living_workers(self._study))
        ):
            last = vacant[0]
            log = self._study.worker_log(host(), last.device.name)
            code = end_text(last.process.returncode) if last.process is not None else "could not be started"
            _check_disk(log.with_suffix(".space"))
            said = tail(log, _TAIL_BYTES, start=last.log_start)
            words = "(no log)" if said is None else printable(said)
            raise BohbNasError(f"all workers have ended; the last words of {last.device.name} ({code}, {log}):\n{words}")

    def _heed_holder(self, place: _Place, *, missed: bool) -> None:
        """Says once who holds a device and has not joined for a while: another command, or a worker of the study under an earlier path."""
        now = time.monotonic()
        place.missed_since = (place.missed_since or now) if missed else 0.0
        if place.told or not missed or now - place.missed_since < _JOINS_S:
            return
        place.told, name = True, place.device.name
        held = (w for w in holders.living_workers(self._study) if (w.get("host"), w.get("device")) == (host(), name))
        holder = next(held, {"pid": "?", "stand": False, "host": host()})
        pid, waits = holder["pid"], "a worker is started in its place"
        if "stand" not in holder:  # which workers alone say of themselves
            self._say(f"device {name}: `bohb-nas train` or `baselines` (pid {pid}) trains there; when it has ended {waits}")
            return
        where = f"kill {pid}" if _is_ours(holder) else "in another container or machine called so"
        self._say(
            f"device {name}: the worker with pid {pid} holds it and has not joined for {_JOINS_S:g} s. Where it works for this study "
            f"under an earlier path, or is stuck, end it ({where}): {waits}"
        )

    def stop(self) -> None:
        """Ends the workers of this study that a `run` on this machine started, also an earlier one; their trials are asked again.

        Those that somebody else started stand for election when nobody leads, and stay; so do all where this run keeps none.
        """
        if not self._places:
            return
        living = [w for w in holders.living_workers(self._study) if _is_ours(w) and w.get("stand") is False]
        for worker in living:
            _signal(int(worker["pid"]), signal.SIGTERM)
        deadline = time.monotonic() + _PATIENCE_S
        while self._any_of(living) and time.monotonic() < deadline:
            time.sleep(0.05)
        for worker in self._any_of(living):
            _signal(int(worker["pid"]), signal.SIGKILL)
        for place in self._places:
            if place.process is not None and place.process.poll() is None:
                place.process.kill()

    def wait(self, patience_s: float) -> None:
        """Gives the workers time to leave by themselves."""
        deadline = time.monotonic() + patience_s
        while any(p.living for p in self._places) and time.monotonic() < deadline:
            time.sleep(0.05)

    def _any_of(self, workers: list[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
        """Those of the workers that still hold their device."""
        living = [w.get("pid") for w in holders.living_workers(self._study)]
        return [w for w in workers if w.get("pid") in living]


def _is_ours(worker: Mapping[str, Any]) -> bool:
    """Whether the number of a worker's process is that of the same process here; of an earlier version's only the host is known."""
    space = worker.get("pid_space")
    return worker.get("host") == host() if space is None else space == pid_space()


def _signal(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except (ProcessLookupError, PermissionError):
        return


def _check_disk(path: Path) -> None:
    """Makes sure that there is room for the last words of a program.

    Raises:
        StorageError: there is none.
    """
    with storing(path.parent):
        try:
            path.write_bytes(bytes(_LAST_WORDS))
        finally:
            path.unlink(missing_ok=True)
