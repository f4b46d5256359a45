"""The live display of a running search: a table in a terminal, a line per event where there is none."""

import time
from collections import Counter
from collections.abc import Mapping
from typing import Any

from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from bohb_nas.durations import budget_text, counted, format_duration, whole_seconds
from bohb_nas.records import ASIDE, Budgets
from bohb_nas.report import tables
from bohb_nas.report.presence import beats, running
from bohb_nas.report.status import best, rank_probe, rung, time_left_s
from bohb_nas.report.terminal import columns
from bohb_nas.store.journal import Event, State
from bohb_nas.store.notes import first_line
from bohb_nas.store.study_dir import StudyDir


def line(event: Event, state: State, unit: str) -> str:
    """One event as one line of a log."""
    if event.trial is not None:
        t = event.trial
        origin = f"{t.origin}" if not event.reason else f"{t.origin}: {event.reason}"
        return f"ask  {t.trial_id} {t.config_id} bracket {t.bracket} rung {t.rung} budget {budget_text(t.budget, unit)} ({origin})"
    if event.result is not None:
        r = event.result
        after = f" after {format_duration(r.train_s)}" if r.train_s else ""
        breaks = f", breaks {', '.join(r.violates)}" if r.violates else ""
        told = f"loss {r.loss:.5g}{breaks}{after}" if r.loss is not None else f"{r.status}{breaks}{after}: {first_line(r.message)}"
        leads = state.incumbent is not None and state.incumbent.trial.trial_id == r.trial_id
        return f"tell {r.trial_id} {told}" + ("  <- incumbent" if leads else "")
    return f"lead term {event.term}"


def screen(study: StudyDir, meta: Mapping[str, Any], state: State, *, n_workers: int, worth: float | None) -> RenderableType:
    """The whole display, in the process that leads: rungs, brackets, running trials, incumbent, picks, time left."""
    budgets = Budgets(**meta["budgets"])
    trials = running(state, beats(study))
    evaluations = [e for e in state.evaluations() if e.trial.origin not in ASIDE]
    by_budget = {f"{b:g}": rung(evaluations, b) for b in budgets.rungs}
    picks = Counter(trial.origin for trial in state.trials.values())
    since_last_s = max(0.0, time.time() - state.last) if state.last is not None else 0.0
    counts = f"{counted(len(state.results), 'evaluation')} · {counted(n_workers, 'worker')}"
    head = f"{meta['method']} · {counts} · led for {whole_seconds(state.led_s + since_last_s)}"
    probe = rank_probe(meta, state)
    if (left_s := time_left_s(state, meta["stop"], worth=worth, probe=probe, since_last_s=since_last_s)) is not None:
        head += f" · about {whole_seconds(left_s)} left"
    return Group(
        Text(head),
        tables.rungs(by_budget, budgets.unit, Counter(f"{t['budget']:g}" for t in trials)),
        Text(_brackets(state)),
        _running(trials, budgets.unit),
        Text("picks: " + (", ".join(f"{n} {word}" for word, n in picks.items()) or "none")),
        *([Text(tables.rank_probe(probe))] if probe is not None else []),
        tables.incumbent(
            best(study, state),
            budgets.unit,
            tables.loss_digits(by_budget),
            violating=any(r.violates for r in state.results.values()),
        ),
    )


def _brackets(state: State) -> str:
    counts: dict[int, dict[int, list[int]]] = {}
    for trial in (t for t in state.trials.values() if t.origin not in ASIDE):
        cell = counts.setdefault(trial.bracket, {}).setdefault(trial.rung, [0, 0])
        cell[0] += trial.trial_id in state.results
        cell[1] += 1
    parts = [
        f"s={s}: " + " ".join(f"{done}/{asked}" for _, (done, asked) in sorted(row.items()))
        for s, row in sorted(counts.items(), reverse=True)
    ]
    return "brackets (finished/asked by rung)  " + "   ".join(parts)


def _running(trials: list[dict[str, Any]], unit: str) -> Table:
    table = columns(["running", "worker", "elapsed / budget", ""])
    for trial in trials[:12]:
        elapsed = trial["elapsed_s"]
        shown = "waiting" if elapsed is None else f"{whole_seconds(elapsed)} / {budget_text(trial['budget'], unit)}"
        bar = ProgressBar(total=trial["budget"], completed=elapsed or 0.0, width=20)
        table.add_row(trial["trial_id"], trial["worker"] or "", shown, bar if unit == "s" else "")
    return table
