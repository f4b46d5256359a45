"""The search of `recipes.py`: `bohb-nas run` with one worker of one thread, and what its journal says afterwards."""

import json
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from recipes_arm import Job

from bohb_nas.durations import format_duration
from bohb_nas.errors import BohbNasError
from bohb_nas.store.journal import State, fold
from bohb_nas.store.stays import stay, use
from bohb_nas.store.study_dir import StudyDir

_LATEST = 0.8
"""Share of an arm's seconds after which a search that has not ended is stopped: the final training needs the rest."""
_STOP_S = 10.0
_CHOICES = ("family", "optimizer", "schedule", "average", "flip", "crop", "cutout", "mixing", "policy")


def search(
    job: Job, *, initial: str | Mapping[str, Mapping[str, Any]] | None, prior: Mapping[str, Any] | None, data_reference: str
) -> dict[str, Any]:
    """Searches, and returns the incumbent's configuration with the figures of the search.

    Args:
        job: the arm; a study that lies where its own goes is thrown away, for its seconds are not those of this run.
        initial: the first configurations: a file that ships, or by name; None for a search that knows nothing.
        prior: what these have in common, around which half of the random configurations are drawn.
        data_reference: of the data set.

    Raises:
        BohbNasError: no trial succeeded.
    """
    study = job.folder / f"{job.arm}-{job.seconds:g}-{job.seed}"
    shutil.rmtree(study, ignore_errors=True)
    low, high = (share * job.seconds for share in job.rungs)
    command = [sys.executable, "-m", "bohb_nas", "run", str(study), "--method", "bohb", "--space", "joint", "--workers", "1"]
    command += ["--dataset", data_reference, "--data-dir", str(job.data), "--seed", str(job.seed)]
    command += ["--budget-min", f"{low:g}s", "--budget-max", f"{high:g}s", "--total-time", f"{job.search_share * job.seconds:g}s"]
    command += ["--promote", "continue", "--worker-option", "n_threads=1", "--worker-option", "device=cpu"]
    # no full validation of the dearest: its 5,000 images take one thread up to a third as long as the training
    command += ["--worker-option", f"full_validation_from_s={job.seconds:g}"]
    if initial is not None:
        command += _first(study, initial)
    if prior is not None:
        file = study.with_name(f"{study.name}.prior")
        file.write_text(json.dumps({name: {"center": value, "confidence": "medium"} for name, value in prior.items()}))
        command += ["--prior", str(file)]
    began = time.monotonic()
    _run(command, at_most_s=_LATEST * job.seconds)
    took_s = time.monotonic() - began
    return {"took_s": took_s, **_figures(study)}


def _first(study: Path, initial: str | Mapping[str, Mapping[str, Any]]) -> list[str]:
    """The option with the first configurations, in a file beside the study unless they ship."""
    if isinstance(initial, str):
        return ["--initial", initial]
    file = study.with_name(f"{study.name}.initial")
    file.write_text(json.dumps([{"name": name, "config": dict(config)} for name, config in initial.items()]))
    return ["--initial", str(file)]


def _run(command: list[str], *, at_most_s: float) -> None:
    """Runs the search; one that does not end in time is told to stop, which keeps what it has."""
    process = subprocess.Popen(command)
    try:
        process.wait(at_most_s)
    except subprocess.TimeoutExpired:
        process.terminate()
        try:
            process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _figures(path: Path) -> dict[str, Any]:
    state = fold(StudyDir(path.absolute()).journal)
    best = state.incumbent
    if best is None:
        raise BohbNasError(f"no trial of {path} succeeded within the time of the search")
    config = dict(best.trial.config)
    used = use([one for e in state.evaluations() if (one := stay(e.result)) is not None]) or {}
    return {
        "config": config,
        "main_choices": {name: config[name] for name in _CHOICES if name in config},
        "incumbent": {
            "trial_id": best.trial.trial_id,
            "origin": str(best.trial.origin),
            "config_id": best.trial.config_id,
            "budget": best.trial.budget,
            "loss": best.result.loss,
            "warmup_s": best.result.metrics.get("warmup_s", 0.0),
            "entered_as": str(next(t.origin for t in state.trials.values() if t.config_id == best.trial.config_id)),
        },
        "trials": _trials(state),
        "train_share": used.get("train_share"),
        "idle_median_s": used.get("idle_median_s"),
    }


def _trials(state: State) -> list[dict[str, Any]]:
    """A line for each trial."""
    rows = []
    for trial in state.trials.values():
        result = state.results.get(trial.trial_id)
        measured = result.metrics if result is not None else {}
        rows.append(
            {
                "trial_id": trial.trial_id,
                "config_id": trial.config_id,
                "family": trial.config.get("family"),
                "origin": str(trial.origin),
                "budget": trial.budget,
                "status": None if result is None else str(result.status),
                "loss": None if result is None else result.loss,
                **{
                    name: measured[name]
                    for name in ("flops", "images_per_s", "warmup_s", "valid_s", "setup_s", "wall_s", "steps")
                    if name in measured
                },
            }
        )
    return rows


def describe(found: Mapping[str, Any]) -> list[str]:
    """What a search did, in lines for people."""
    rows, best = found["trials"], found["incumbent"]
    lines = []
    for budget in sorted({row["budget"] for row in rows}):
        told = [row for row in rows if row["budget"] == budget]
        losses = [row["loss"] for row in told if row["loss"] is not None]
        shown = f"best {min(losses):.2%}, median {statistics.median(losses):.2%}" if losses else "none succeeded"
        failed = sum(row["status"] not in ("ok", None) for row in told)
        lines.append(f"{format_duration(budget)}: {len(told)} trials, {failed} failed, {shown}")
    choices = ", ".join(f"{name}={value}" for name, value in found["main_choices"].items())
    lines.append(f"{len(rows)} trials in {found['took_s']:.0f} s; found {best['trial_id']} (entered as {best['entered_as']}): {choices}")
    return lines
