"""Says that a trial is in training: a file that names who trains it and is touched every second, for as long as that is so."""

import asyncio
import json
import os
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from bohb_nas.engine.devices import Device, host
from bohb_nas.errors import StorageError
from bohb_nas.files import write_atomic
from bohb_nas.store.notes import read_note

_BEAT_S = 1.0


async def beat(path: Path, *, trial_id: str, attempt: int, device: Device, say: Callable[[str], None]) -> None:
    """Keeps the heartbeat of a trial, until it is cancelled.

    Args:
        path: of its file.
        trial_id: of the trial.
        attempt: number of the attempt.
        device: where it is trained.
        say: told why the file cannot be written, each reason once until that has changed.
    """
    note = {"trial_id": trial_id, "host": host(), "device": device.name, "pid": os.getpid(), "since": time.time(), "attempt": attempt}
    written, told = False, ""
    while True:
        try:
            if written and os.path.exists(path):
                os.utime(path)
            else:  # at first even where one stands: it is of somebody who trained this trial before
                write_atomic(path, json.dumps(note) + "\n")
                written = True
            told = ""
        except (StorageError, OSError) as e:
            if told != (told := str(e)):
                say(f"heartbeat of {trial_id}: {e}")
        await asyncio.sleep(_BEAT_S)


def end(path: Path, *, attempt: int) -> None:
    """Takes a heartbeat away, unless it is another's by now."""
    note = read_note(path)
    if (note.get("host"), note.get("pid"), note.get("attempt")) == (host(), os.getpid(), attempt):
        with suppress(OSError):
            path.unlink(missing_ok=True)
