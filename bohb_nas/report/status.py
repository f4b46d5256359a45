"""The figures of a study, read from its directory without running anything of it."""

import json
import statistics
import time
from collections import Counter
from pathlib import Path
from typing import Any

from bohb_nas.records import ASIDE, Budgets, Evaluation, Status
from bohb_nas.store.journal import State, fold
from bohb_nas.store.study_dir import StudyDir

_LATELY_S = 60.0
"""A heart beats every second; a killed process leaves its file behind."""


def status(study: StudyDir) -> dict[str, Any]:
    """Counts, incumbent, workers and the use of time: what `bohb-nas status --json` prints.

    Raises:
        StudyError: there is no study, or its journal is damaged.
    """
    meta, state = study.read_meta(), fold(study.journal)
    evaluations = list(state.evaluations())
    searched = [e for e in evaluations if e.trial.origin not in ASIDE] or evaluations
    master, under_way = study.master(), running(study, state)
    return {
        "evaluations": len(state.results),
        "running": len(under_way),
        "done": study.done.exists(),
        "by_status": _count(e.result.status for e in evaluations),
        "by_origin": _count(t.origin for t in state.trials.values()),
        "by_budget": {f"{b:g}": rung(searched, b) for b in Budgets(**meta["budgets"]).rungs},
        "incumbent": best(study, state),
        "method": meta["method"],
        "space": meta["space"],
        "worker": meta["worker"],
        "budgets": meta["budgets"],
        "stop": meta["stop"],
        "constraints": meta.get("constraints") or [],
        "violating": sum(bool(e.result.violates) for e in evaluations),
        "promote": meta["promote"],
        "seed": meta["seed"],
        "master": master,
        "time_left_s": None if study.done.exists() else time_left_s(state, meta["stop"], worth=meta.get("worth")),
        "workers": [{**w, "trial": _trained_by(study, w)} for w in study.living_workers()],
        "trials_running": under_way,
        "use_of_time": use_of_time(searched),
        "speed": speed(searched),
        "last_reason": next((e.reason for e in reversed(state.events) if e.trial is not None), None),
    }


def best(study: StudyDir, state: State) -> dict[str, Any] | None:
    """The incumbent: what `bohb-nas best --json` prints; None while no evaluation was OK."""
    if state.incumbent is None:
        return None
    trial, result = state.incumbent.trial, state.incumbent.result
    checkpoint = study.checkpoint(trial.trial_id)
    return {
        "trial_id": trial.trial_id,
        "config_id": trial.config_id,
        "config": dict(result.config if result.config is not None else trial.config),
        "budget": trial.budget,
        "loss": result.loss,
        "origin": trial.origin,
        "checkpoint": str(checkpoint) if checkpoint is not None else None,
        "metrics": dict(result.metrics),
    }


def running(study: StudyDir, state: State) -> list[dict[str, Any]]:
    """The trials that were asked and not told, with who trains them; those beside the search only while somebody does."""
    beside = [t for i, t in state.trials.items() if t.origin in ASIDE and i not in state.results and _beats(study, i)]
    return [
        {
            "trial_id": t.trial_id,
            "config_id": t.config_id,
            "budget": t.budget,
            "rung": t.rung,
            "origin": t.origin,
            **_beat(study, t.trial_id),
        }
        for t in [*state.pending, *beside]
    ]


def use_of_time(evaluations: list[Evaluation]) -> dict[str, float] | None:
    """How the workers spent their time, over all evaluations that say so.

    None when none does, or when they say to have trained for longer than there was time (virtual seconds).

    Returns:
        `train_share`: training seconds over worker seconds, from each worker's first start to its last end; what lies between two
        workers, of a study that was left and resumed, is nobody's time;
        `idle_median_s`, `idle_p95_s`: gap between a trial's end and the next one's start on the same worker.
    """
    engines: list[dict[str, Any]] = []
    trained_s, gaps = 0.0, []
    for e in evaluations:
        engine = e.result.details.get("engine")
        if isinstance(engine, dict):
            engines.append(engine)
            trained_s += e.result.metrics.get("new_s", e.result.train_s)
            gaps += [engine["idle_s"]] if engine["idle_s"] is not None else []
    if not engines:
        return None
    worker_s = sum(max(e["ended"] for e in one) - one[0]["began"] for one in _workers(engines))
    if trained_s > 1.05 * worker_s:
        return None
    figures = {"train_s": trained_s, "worker_s": worker_s, "train_share": trained_s / worker_s if worker_s > 0 else 0.0}
    if len(gaps) > 1:
        figures |= {"idle_median_s": statistics.median(gaps), "idle_p95_s": statistics.quantiles(gaps, n=20, method="inclusive")[-1]}
    return figures


def _workers(engines: list[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """What each worker process did, in order: the first trial of one has no gap before it."""
    found: list[list[dict[str, Any]]] = []
    places: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for engine in sorted(engines, key=lambda engine: engine["began"]):
        place = engine["host"], engine["device"]
        if engine["idle_s"] is None or place not in places:
            places[place] = []
            found.append(places[place])
        places[place].append(engine)
    return found


def speed(evaluations: list[Evaluation]) -> dict[str, Any] | None:
    """How fast networks were trained, over all evaluations that say so; None when none does.

    Returns:
        Medians of `images_per_s`, of `mfu` (useful FLOPs over the device's peak) and of `efficiency` (the least time of a step
        over its real one); `bound`: how many trials compute, bytes and launches hold back; `n`.
    """
    told = [e.result for e in evaluations if {"images_per_s", "mfu", "efficiency"} <= e.result.metrics.keys()]
    if not told:
        return None
    medians = {name: statistics.median(r.metrics[name] for r in told) for name in ("images_per_s", "mfu", "efficiency")}
    return {**medians, "bound": _count(r.details["bound"] for r in told if "bound" in r.details), "n": len(told)}


def time_left_s(state: State, stop: dict[str, Any], *, worth: float | None) -> float | None:
    """Seconds until the stop rule is met, at the pace so far; None while nothing is known.

    Args:
        state: of the study.
        stop: its stop rule.
        worth: sum of the budgets after which it ends, where brackets decide.
    """
    estimates = []
    told = [state.trials[i] for i in state.results if state.trials[i].origin not in ASIDE]
    if stop["total_s"] is not None:
        estimates.append(stop["total_s"] - state.led_s)
    if stop["trials"] is not None and told:
        estimates.append((stop["trials"] - len(told)) * state.led_s / len(told))
    if worth is not None and told:
        budgets = sum(t.budget for t in told)
        estimates.append((worth - budgets) * state.led_s / budgets)
    return max(0.0, min(estimates)) if estimates else None


def _count(words: Any) -> dict[str, int]:
    return dict(Counter(str(w) for w in words))


def rung(evaluations: list[Evaluation], budget: float) -> dict[str, Any]:
    """Counts of the evaluations at a budget, and the losses of those that break no constraint."""
    here = [e for e in evaluations if e.trial.budget == budget]
    losses = [e.result.loss for e in here if e.result.loss is not None and not e.result.violates]
    return {
        "evaluations": len(here),
        "failed": sum(e.result.status is not Status.OK for e in here),
        "best_loss": min(losses, default=None),
        "median_loss": statistics.median(losses) if losses else None,
    }


def _beats(study: StudyDir, trial_id: str) -> bool:
    """Whether a trial's heart beat lately."""
    path = study.heartbeat(trial_id)
    return path.exists() and time.time() - path.stat().st_mtime < _LATELY_S


def _beat(study: StudyDir, trial_id: str) -> dict[str, Any]:
    note = _read(study.heartbeat(trial_id))
    if "since" not in note:
        return {"worker": None, "elapsed_s": None}
    return {"worker": f"{note.get('host')}-{note.get('device')}", "elapsed_s": time.time() - float(note["since"])}


def _trained_by(study: StudyDir, worker: dict[str, Any]) -> str | None:
    for path in study.running.glob("*.json"):
        note = _read(path)
        if note.get("pid") == worker.get("pid") and note.get("host") == worker.get("host"):
            return path.stem
    return None


def _read(path: Path) -> dict[str, Any]:
    try:
        note = json.loads(path.read_text())
    except (FileNotFoundError, ValueError):
        return {}
    return note if isinstance(note, dict) else {}
