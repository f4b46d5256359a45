"""A small study made by hand, for whatever looks at one: two budgets, three finished trials, one failed, two asked; and planned ones."""

import errno
import json
import os
import time
from pathlib import Path
from typing import Any

import pytest

from bohb_nas import locks
from bohb_nas.engine.launch import create, new_space
from bohb_nas.engine.plan import Request, plan
from bohb_nas.knowledge import NOTHING, Knowledge
from bohb_nas.records import Budgets, Origin, Result, Status, Trial, Value
from bohb_nas.store import local_folder
from bohb_nas.store.journal import Event, Journal, State
from bohb_nas.store.study_dir import FORMAT, StudyDir

CLEANS_UP = """
import time
def train(trial, workdir):
    try:
        (workdir / "began").touch()
        time.sleep(600)
    finally:
        (workdir / "cleaned").touch()
"""
"""A worker that trains for ten minutes and says when it begins and when it has ended, however."""

META: dict[str, Any] = {
    "format": FORMAT,
    "space": "joint",
    "method": "bohb",
    "method_options": {},
    "worker": "image_classifier",
    "worker_options": {"dataset": "digits"},
    "budgets": Budgets(min=1, max=3).to_json(),
    "seed": 3,
    "promote": "restart",
    "cwd": "/",
    "stop": {"brackets": 2, "trials": None, "total_s": None},
}


def trial(n: int, budget: float = 1.0) -> Trial:
    config: dict[str, Value] = {"momentum": 0.5 + n / 10, "crop": "on", "nesterov": n % 2 == 0, "depth": n}
    rung = 0 if budget == 1.0 else 1
    return Trial(trial_id=f"t{n}", config_id=f"c{n}", config=config, budget=budget, bracket=1, rung=rung, seed=0, origin=Origin.RANDOM)


def result(n: int, loss: float | None, *, message: str | None = "out of luck\nmore", **engine: Any) -> Result:
    return Result(
        trial_id=f"t{n}",
        status=Status.OK if loss is not None else Status.CRASHED,
        loss=loss,
        train_s=1.0,
        metrics={"new_s": 1.0},
        details={"engine": engine} if engine else {},
        message=message if loss is None else None,
    )


def make_study(path: Path, *, now: float) -> StudyDir:
    """The study: led since 1800 s ago, its journal's last line 600 s old."""
    study = StudyDir(path)
    study.make()
    study.write_meta(META)
    journal, start = Journal(study.journal, State()), now - 1800

    def place(began: float, ended: float, **more: Any) -> dict[str, Any]:
        return {"host": "far", "device": "g0", "began": start + began, "ended": start + ended, "idle_s": None, "attempt": 0, **more}

    for event in [
        Event(term=4, time=start),
        Event(term=4, time=start, trial=trial(0), reason="first"),
        Event(term=4, time=start + 300, result=result(0, 0.5, **place(0, 300, model="Fast 9"))),
        Event(term=4, time=start + 300, trial=trial(1), reason="second"),
        Event(term=4, time=start + 600, result=result(1, None, **place(300, 600, model="Fast 9"))),
        Event(term=4, time=start + 600, trial=trial(2, 3.0), reason="third"),
        Event(term=4, time=start + 1200, result=result(2, 0.25, **place(600, 1200, model="Slow 1", device="g1"))),
        Event(term=4, time=start + 1200, trial=trial(3), reason="fourth"),
        Event(term=4, time=start + 1200, trial=trial(4, 3.0), reason="fifth"),
    ]:
        journal.write(event)
    return study


def planned(path: Path, request: Request, known: Knowledge = NOTHING, **more: Any) -> StudyDir:
    """A study as it is typed, with what else its record is to say: nobody has led it yet."""
    study, meta = StudyDir(path), plan(request) | more
    study.make()
    create(study, meta, new_space(meta), known)
    return study


def take_locks_away(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes a folder a mount without locks, beside which this machine has another folder for temporary files."""
    local, flock = folder.with_name("local"), locks._flock
    local.mkdir()
    monkeypatch.setattr(local_folder, "LOCAL", (local,))

    def refuse(descriptor: int, command: int) -> int:
        if Path(os.readlink(f"/proc/self/fd/{descriptor}")).is_relative_to(folder):
            raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))
        return flock(descriptor, command)

    monkeypatch.setattr(locks, "_flock", refuse)


def beat(study: StudyDir, trial_id: str, *, age_s: float = 0.0, **note: Any) -> None:
    """A heartbeat of a trial, as old as said."""
    path = study.heartbeat(trial_id)
    path.write_text(json.dumps({"trial_id": trial_id, **note}))
    touched = time.time() - age_s
    os.utime(path, (touched, touched))


def write_log(study: StudyDir, trial_id: str, attempt: int, text: str) -> Path:
    """The log of an attempt."""
    folder = study.trials / trial_id / str(attempt)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "log.txt"
    path.write_text(text)
    return path
