"""The comparison table: each network's error, mean and spread over seeds, beside what it costs."""

import itertools
import statistics
from collections.abc import Mapping, Sequence, Set
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from bohb_nas.baselines import Baseline, table
from bohb_nas.durations import format_duration, plain
from bohb_nas.records import Evaluation, Result, Status, Trial, stands_in
from bohb_nas.report.digits import percent
from bohb_nas.report.terminal import columns
from bohb_nas.store.journal import State
from bohb_nas.store.notes import last_line


def figures(state: State, chosen: Sequence[Baseline], trials: Sequence[Trial], *, dataset: str, budget: float) -> dict[str, Any]:
    """What is known of baselines: a row each, and the search's incumbent to compare them with.

    Args:
        state: of the study.
        chosen: the baselines.
        trials: of them, all seeds, and all attempts at each, one after the other.
        dataset: reference of what they were trained on.
        budget: of every trial.
    """
    rows = []
    for baseline in chosen:
        own = [t for t in trials if t.config == baseline.config and t.trial_id in state.results]
        again = {earlier.trial_id for earlier, later in itertools.pairwise(own) if earlier.seed == later.seed}
        row = _row([state.results[t.trial_id] for t in own], again=again)
        rows.append({"name": baseline.name, "title": baseline.title, "differs": baseline.differs, **row})
    return {"dataset": dataset, "budget": budget, "rows": rows, "incumbent": _incumbent(state.incumbent)}


def _row(told: Sequence[Result], *, again: Set[str]) -> dict[str, Any]:
    good = [r for r in told if r.status is Status.OK]
    errors = [r.loss for r in good if r.loss is not None]
    sizes = next((r.metrics for r in told if "params" in r.metrics), {})
    return {
        "n_seeds": len(errors),
        "error_mean": statistics.fmean(errors) if errors else None,
        "error_sd": statistics.stdev(errors) if len(errors) > 1 else None,
        "params": sizes.get("params"),
        "flops": sizes.get("flops"),
        "train_s": statistics.fmean(r.train_s for r in good) if good else None,
        "failed": [
            {"trial_id": r.trial_id, "status": str(r.status), "message": r.message, "retried": r.trial_id in again}
            for r in told
            if r.status is not Status.OK
        ],
    }


def _incumbent(found: Evaluation | None) -> dict[str, Any] | None:
    """Of the search; what stands in for it is none."""
    if found is None or stands_in(found.trial, found.result):
        return None
    known = {name: found.result.metrics.get(name) for name in ("params", "flops")}
    return {
        "trial_id": found.trial.trial_id,
        "budget": found.trial.budget,
        "loss": found.result.loss,
        "train_s": found.result.train_s,
        **known,
    }


def comparison(found: Mapping[str, Any]) -> RenderableType:
    """What `bohb-nas baselines DIR` prints."""
    shown = _columns("network", "validation error", "+- sd", "seeds", "M params", "MFLOPs", "seconds")
    for row in found["rows"]:
        shown.add_row(row["name"], percent(row["error_mean"]), percent(row["error_sd"]), str(row["n_seeds"]), *_cost(row))
    if (best := found["incumbent"]) is not None:
        shown.add_row(f"searched: {best['trial_id']}", percent(best["loss"]), "", "1", *_cost(best))
    lines: list[RenderableType] = [Text(f"{found['dataset']}, {format_duration(found['budget'])} of training each"), shown]
    if best is not None and best["budget"] != found["budget"]:
        lines.append(Text(f"the search's incumbent had {format_duration(best['budget'])}"))
    lines += [
        Text(f"{failed['trial_id']}: {failed['status']}: {last_line(failed['message'])}{' (tried again)' if failed['retried'] else ''}")
        for row in found["rows"]
        for failed in row["failed"]
    ]
    if any(not failed["retried"] for row in found["rows"] for failed in row["failed"]):
        lines.append(Text("the same command with --retry-failed trains what failed once more"))
    return Group(*lines)


def catalogue(chosen: Sequence[Baseline]) -> RenderableType:
    """What `bohb-nas baselines --list` prints."""
    shown = _columns("name", "M params", "MFLOPs")
    shown.add_column("network")
    for row in table(chosen):
        shown.add_row(row["name"], f"{row['params'] / 1e6:.4g}", f"{row['flops'] / 1e6:.5g}", row["title"])
    return shown


def _columns(first: str, *numbers: str) -> Table:
    shown = columns([first], numbers)
    shown.columns[0].no_wrap = True
    return shown


def _cost(row: Mapping[str, Any]) -> tuple[str, str, str]:
    params, flops, train_s = row["params"], row["flops"], row["train_s"]
    return (
        "" if params is None else f"{params / 1e6:.4g}",
        "" if flops is None else f"{flops / 1e6:.5g}",
        "" if train_s is None else plain(train_s),
    )
