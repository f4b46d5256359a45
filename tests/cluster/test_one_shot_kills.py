"""A one-shot search whose processes are all killed goes on from its last state, and ends as one that was left alone."""

import json
import os
import signal
from functools import partial
from pathlib import Path

import pytest
from whole_studies import all_details, check_whole, cleared, program, start, wait_until

from bohb_nas.store.study_dir import StudyDir

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
SMALL = """
from ConfigSpace import ConfigurationSpace, Constant
from bohb_nas.networks import size
from bohb_nas.search_spaces import cell

def space():
    whole = cell.space()
    small = ConfigurationSpace()
    fixed = {"cell_repeats": 1, "cell_channels": 8}
    small.add(*(Constant(name, fixed[name]) if name in fixed else one for name, one in whole.items()))
    small.add(*whole.conditions, *whole.forbidden_clauses)
    return small
"""
STEPS = {"dha": 300, "autohas": 24}


def command(study: Path, method: str, space: Path) -> list[str]:
    """A search of so many steps, at whatever speed, and nothing trained after it."""
    options = ["--worker-option", f"max_steps={STEPS[method]}", "--worker-option", "save_every_s=0.3", "--method-option", "retrain=false"]
    budget = ["--budget-min", "200s", "--budget-max", "200s", "--workers", "1"]
    return program("run", str(study), "--method", method, "--space", str(space), "--dataset", "digits", *budget, *options)


def newest(study: Path) -> Path | None:
    """The latest attempt that has left a state."""
    return next((a for a in reversed(StudyDir(study).attempts("t00000")) if any((a / "handover").glob("*"))), None)


def newer(study: Path, before: Path | None) -> bool:
    """Whether an attempt has left a state since."""
    return newest(study) not in (None, before)


def kill_everything(study: Path, master: int) -> None:
    """The master and the workers at one blow; a training child ends with its worker."""
    pids = [master, *(json.loads(lock.read_text())["pid"] for lock in (study / "workers").glob("*.lock"))]
    for pid in pids:
        os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize("method", ["dha", "autohas"])
def test_a_killed_search_goes_on_and_ends_as_an_undisturbed_one(method: str, tmp_path: Path) -> None:
    space = tmp_path / "small.py"
    space.write_text(SMALL)
    shot, whole = tmp_path / "shot", tmp_path / "whole"
    with cleared(shot, whole):
        for _ in range(2):
            before = newest(shot)
            running = start(command(shot, method, space), tmp_path / "shot.log")
            wait_until(partial(newer, shot, before), what="another state of the search")
            kill_everything(shot, running.pid)
            running.wait()
        assert start(command(shot, method, space), tmp_path / "shot.log").wait() == 0, (tmp_path / "shot.log").read_text()
        assert start(command(whole, method, space), tmp_path / "whole.log").wait() == 0, (tmp_path / "whole.log").read_text()
        one, other = (check_whole(study, trials=1).results["t00000"] for study in (shot, whole))
    assert all_details(shot)["interrupted"] == {"resumed": True, "reason": None}
    assert (one.config, one.loss, one.metrics["steps"]) == (other.config, other.loss, other.metrics["steps"])
    assert all_details(shot)["search"] == all_details(whole)["search"]
    models = [StudyDir(study).model("t00000") for study in (shot, whole)]
    if method == "dha":
        first, second = ((model / "model.safetensors").read_bytes() for model in models if model is not None)
        assert first == second
    else:
        assert models == [None, None]
