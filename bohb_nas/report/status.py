"""The figures of a study, read from its directory without running anything of it."""

import itertools
import statistics
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from bohb_nas.errors import KnowledgeError
from bohb_nas.files import finite
from bohb_nas.knowledge import Constraint, Knowledge, untold_text
from bohb_nas.records import ASIDE, Budgets, Evaluation, Origin, Status, comparable_loss, median_loss
from bohb_nas.report import presence
from bohb_nas.report.failures import failures
from bohb_nas.report.pace import throughput
from bohb_nas.store import notes
from bohb_nas.store.following import Follower
from bohb_nas.store.holders import SEARCH
from bohb_nas.store.journal import State
from bohb_nas.store.stays import Span, Stay, device_s, merged, stay, use
from bohb_nas.store.study_dir import StudyDir


def status(study: StudyDir) -> dict[str, Any]:
    """Counts, incumbent, workers and the use of time: what `bohb-nas status --json` prints.

    Raises:
        StudyError: there is no study, or its journal is damaged.
    """
    return Watch(study).figures()


class Watch:
    """The figures of a study that goes on, at the cost of what is new.

    The journal is read on from the last look, and what only finished evaluations decide is worked out again when there is another one.
    """

    def __init__(self, study: StudyDir) -> None:
        self.study = study
        self._follower = Follower(study.journal)
        self._state: State | None = None
        self._told: dict[str, Any] = {}
        self._evaluations: list[Evaluation] = []
        self._stays: list[Stay | None] = []
        """Of each evaluation."""
        self._device_s = 0.0
        """Of all evaluations but baselines, which are trained while nobody leads the search."""
        self._held: list[Span] = []
        """When devices were had for the same, in order and without overlap."""

    def look(self) -> State:
        """The state of the study now.

        Raises:
            JournalError: its journal is damaged.
        """
        return self._follower.look()

    def figures(self) -> dict[str, Any]:
        """What `status` returns, now.

        Raises:
            StudyError: there is no study, or its journal is damaged.
        """
        study, meta, state = self.study, self.study.read_meta(), self.look()
        if self._state is not state or len(self._evaluations) != len(state.results):
            self._count(state, Budgets(**meta["budgets"]))
        beating, done = presence.beats(study), study.done.exists()
        master, under_way = presence.master(study, state), presence.running(state, beating)
        led = master is not None and master["task"] == SEARCH
        ended = None if done or led else refused(meta, state)
        models = {one.place: one.model for one in self._stays if one is not None and one.model is not None}
        probe, since_last_s = rank_probe(meta, state), None if done else presence.since_last_s(state, master)
        waiting = [t["trial_id"] for t in under_way if t["worker"] is None]
        figures = {
            "evaluations": len(state.results),
            "running": len(under_way),
            "done": done,
            "refused": ended,
            "by_origin": _count(t.origin for t in state.trials.values()),
            **self._told,
            "incumbent": best(study, state),
            "method": meta["method"],
            "space": meta["space"],
            "worker": meta["worker"],
            "budgets": meta["budgets"],
            "stop": meta["stop"],
            "constraints": meta.get("constraints") or [],
            "promote": meta["promote"],
            "seed": meta["seed"],
            "rank_probe": probe,
            "master": master,
            "led_s": state.led_s,
            "time_left_s": None
            if done or ended is not None
            else time_left_s(state, meta["stop"], worth=meta.get("worth"), probe=probe, since_last_s=since_last_s or 0.0),
            "workers": presence.workers(study, beating, models),
            "trials_running": under_way,
            "queue": {"n": len(waiting), "trials": waiting[:10]},
            "throughput": throughput(state, self._device_s, self._held, under_way, since_last_s=since_last_s),
            "failures": failures(study, state),
            "last_reason": next((e.reason for e in reversed(state.events) if e.trial is not None), None),
        }
        return {name: finite(value) for name, value in figures.items()}

    def _count(self, state: State, budgets: Budgets) -> None:
        """Works out what only finished evaluations decide."""
        if self._state is not state:
            self._state, self._evaluations, self._stays, self._held = state, [], [], []
        new = [
            Evaluation(trial=state.trials[i], result=r) for i, r in itertools.islice(state.results.items(), len(self._evaluations), None)
        ]
        self._evaluations += new
        here = [stay(e.result) for e in new]
        self._stays += here
        held = (one.span for e, one in zip(new, here, strict=True) if one is not None and e.trial.origin is not Origin.BASELINE)
        self._held = merged([*self._held, *held])
        evaluations, stays = self._evaluations, self._stays
        alone = all(e.trial.origin is Origin.BASELINE for e in evaluations)
        searched = [e for e in evaluations if alone or e.trial.origin not in ASIDE]
        led = [alone or e.trial.origin is not Origin.BASELINE for e in evaluations]
        used = [one for one, counts in zip(stays, led, strict=True) if one is not None and counts]
        self._device_s = sum(
            device_s(e.result, one) for e, one in zip(evaluations, stays, strict=True) if e.trial.origin is not Origin.BASELINE
        )
        self._told = {
            "by_status": _count(e.result.status for e in evaluations),
            "by_budget": {f"{b:g}": rung(searched, b) for b in budgets.rungs},
            "by_model": _count(one.model for one in stays if one is not None and one.model is not None),
            "by_status_and_budget": _by_status_and_budget(evaluations),
            "violating": sum(bool(e.result.violates) for e in evaluations),
            "use_of_time": _sound(use(used)),
            "speed": _sound(speed(searched)),
        }


def _sound(figures: dict[str, Any] | None) -> dict[str, Any] | None:
    """Figures that are numbers, or None: a worker may report anything."""
    return figures if figures is not None and finite(figures) == figures else None


def _by_status_and_budget(evaluations: list[Evaluation]) -> dict[str, dict[str, int]]:
    counts: dict[str, Counter[str]] = {}
    for e in evaluations:
        counts.setdefault(e.result.status, Counter())[f"{e.trial.budget:g}"] += 1
    return {word: dict(by_budget) for word, by_budget in counts.items()}


def best(study: StudyDir, state: State) -> dict[str, Any] | None:
    """The incumbent: what `bohb-nas best --json` prints; None while no evaluation was OK."""
    if state.incumbent is None:
        return None
    trial, result = state.incumbent.trial, state.incumbent.result
    checkpoint, model = study.checkpoint(trial.trial_id), study.model(trial.trial_id)
    return {
        "trial_id": trial.trial_id,
        "config_id": trial.config_id,
        "config": dict(state.incumbent.config),
        "budget": trial.budget,
        "loss": result.loss,
        "origin": trial.origin,
        "checkpoint": str(checkpoint) if checkpoint is not None else None,
        "model": str(model) if model is not None else None,
        "ready_to_use": result.ready_to_use,
        "metrics": dict(result.metrics),
    }


def refused(meta: Mapping[str, Any], state: State) -> str | None:
    """Why `run` would not go on with a study unless its space tells a metric under a constraint that its worker does not return.

    A search ends with the first result of that kind, so that nothing of it was asked after that; None for one that went on.
    """
    try:
        knowledge = Knowledge(constraints=tuple(Constraint.parse(text) for text in meta.get("constraints") or ()))
    except KnowledgeError:  # no words of ours; `run` reads what was frozen
        return None
    found = None
    for event in state.events if knowledge.constraints else ():
        if state.origin(event) in ASIDE:
            continue
        if event.trial is not None and found is not None:
            return None
        if event.result is not None and found is None and (untold := knowledge.untold({}, event.result)):
            found = untold_text(untold, event.result.trial_id, event.result.metrics)
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
    return {
        **medians,
        "bound": _count(bound for r in told if (bound := notes.text(r.details, "bound"))),
        "n": len(told),
    }


def rank_probe(meta: Mapping[str, Any], state: State) -> dict[str, Any] | None:
    """How far the rank probe is; None for a study without one.

    Returns:
        `configurations`, and of the `trials` that they make at all budgets: how many were `asked`, are `told`, have `failed`;
        `budget_left` is the sum of the budgets that are not told.
    """
    n, rungs = meta.get("rank_probe", 0), Budgets(**meta["budgets"]).rungs
    if not n:
        return None
    asked = [t for t in state.trials.values() if t.origin is Origin.PROBE]
    told = [t for t in asked if t.trial_id in state.results]
    return {
        "configurations": n,
        "trials": n * len(rungs),
        "asked": len(asked),
        "told": len(told),
        "failed": sum(state.results[t.trial_id].status is not Status.OK for t in told),
        "budget_left": n * sum(rungs) - sum(t.budget for t in told),
    }


def time_left_s(
    state: State, stop: dict[str, Any], *, worth: float | None, probe: Mapping[str, Any] | None = None, since_last_s: float = 0.0
) -> float | None:
    """Seconds until the stop rule is met, at the pace so far; None while nothing is known.

    Args:
        state: of the study.
        stop: its stop rule.
        worth: sum of the budgets after which it ends, where brackets decide.
        probe: its rank probe, as `rank_probe` has it.
        since_last_s: seconds that a master has led since the journal's last line: nothing is told in them, yet they count.
    """
    estimates = []
    told = [state.trials[i] for i in state.results if state.trials[i].origin not in ASIDE]
    if stop["total_s"] is not None:
        estimates.append(stop["total_s"] - state.led_s)
    if told:
        searched = sum(t.budget for t in told)
        probed = sum(t.budget for i in state.results if (t := state.trials[i]).origin is Origin.PROBE)
        left = probe["budget_left"] if probe is not None else 0.0
        if stop["trials"] is not None:
            estimates.append(((stop["trials"] - len(told)) * searched / len(told) + left) * state.led_s / (searched + probed))
        if worth is not None:
            estimates.append((worth - searched + left) * state.led_s / (searched + probed))
    return max(0.0, min(estimates) - since_last_s) if estimates else None


def _count(words: Iterable[str]) -> dict[str, int]:
    return dict(Counter(map(str, words)))


def rung(evaluations: list[Evaluation], budget: float) -> dict[str, Any]:
    """Counts of the evaluations at a budget, and their comparable losses."""
    here = [e for e in evaluations if e.trial.budget == budget]
    losses = [loss for e in here if (loss := comparable_loss(e.trial, e.result)) is not None]
    return {
        "evaluations": len(here),
        "failed": sum(e.result.status is not Status.OK for e in here),
        "best_loss": min(losses, default=None),
        "median_loss": median_loss(losses),
    }
