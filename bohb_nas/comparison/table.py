"""The table of a comparison: test errors over seeds beside what they cost, and differences seed by seed."""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text
from scipy import stats

from bohb_nas.comparison.arrangement import Arrangement
from bohb_nas.comparison.cells import Cell
from bohb_nas.comparison.entrants import REFERENCE, Entrant
from bohb_nas.durations import counted, format_duration
from bohb_nas.files import csv_text, dump_json, write_atomic
from bohb_nas.report.digits import percent
from bohb_nas.report.terminal import columns

LEVEL = 0.95
"""Of the intervals."""
_ROUNDING = 1e-12
"""Differences of errors that are no further apart are one: those of one image more or less are, of however many."""
_NUMBERS = ("test error", "+- sd", "n", "validation", "search s", "retraining s", "total s", "over", "M params", "ready", f"- {REFERENCE}")


def figures(arrangement: Arrangement, cells: Sequence[Cell], *, interrupted: bool) -> dict[str, Any]:
    """All that is known, as JSON: a row for each method, best test error first, then best validation error."""
    rows = [_row(arrangement, entrant, cells) for entrant in arrangement.entrants()]
    rows.sort(key=lambda row: tuple(math.inf if row[k] is None else row[k] for k in ("test_error_mean", "validation_error_mean")))
    return {
        "arrangement": asdict(arrangement),
        "interrupted": interrupted,
        "rows": rows,
        "cells": [_cell(cell, arrangement.time_s) for cell in cells],
        "failed": [{"method": c.method, "seed": c.seed, "message": c.failure} for c in cells if c.failure is not None],
    }


def _row(arrangement: Arrangement, entrant: Entrant, cells: Sequence[Cell]) -> dict[str, Any]:
    own = _finished(cells, entrant.name)
    tested = _test_errors(own)
    accounts = [c.account for c in own]
    total_s = _mean([a.total_s for a in accounts])
    return {
        "method": entrant.name,
        "title": entrant.title,
        "test_error_mean": _mean([*tested.values()]),
        "test_error_sd": statistics.stdev(tested.values()) if len(tested) > 1 else None,
        "n": len(tested),
        "n_finished": len(own),
        "validation_error_mean": _mean([c.best.result.loss for c in own if c.best is not None and c.best.result.loss is not None]),
        "search_s": _mean([a.search_s for a in accounts]),
        "retrain_s": _mean([a.retrain_s for a in accounts]),
        "total_s": total_s,
        "over_s": None if total_s is None else total_s - arrangement.time_s,
        "n_estimated": sum(a.n_estimated for a in accounts),
        "params": _mean([float(p) for c in own if (p := _params(c)) is not None]),
        "ready_to_use": None if not own else all(a.retrain_s == 0 for a in accounts),
        "difference": None if entrant.name == REFERENCE else difference(tested, _test_errors(_finished(cells, REFERENCE))),
    }


def _finished(cells: Sequence[Cell], method: str) -> list[Cell]:
    return [c for c in cells if c.method == method and c.finished and c.failure is None]


def _test_errors(cells: Sequence[Cell]) -> dict[int, float]:
    """By seed, of those tested."""
    return {c.seed: float(c.test["test_error"]) for c in cells if c.test is not None}


def difference(own: Mapping[int, float], others: Mapping[int, float]) -> dict[str, Any] | None:
    """The mean over common seeds of own - others, with the interval of the paired t-test; None without a common seed.

    The interval is mean +- t(1 - 0.05 / 2, n - 1) sd / sqrt(n) of the differences; one seed has none, nor have seeds that differ alike.
    """
    pairs = [own[seed] - others[seed] for seed in sorted(own.keys() & others.keys())]
    if not pairs:
        return None
    mean, n, low, high = statistics.fmean(pairs), len(pairs), None, None
    if n > 1 and max(pairs) - min(pairs) > _ROUNDING:
        half = float(stats.t.ppf((1 + LEVEL) / 2, n - 1)) * statistics.stdev(pairs) / math.sqrt(n)
        low, high = mean - half, mean + half
    return {"mean": mean, "low": low, "high": high, "n": n}


def _cell(cell: Cell, time_s: float) -> dict[str, Any]:
    spent, best = cell.account, cell.best
    return {
        "method": cell.method,
        "seed": cell.seed,
        "finished": cell.finished,
        "n_trials": len(cell.told),
        "trial_id": None if best is None else best.trial.trial_id,
        "validation_error": None if best is None else best.result.loss,
        "test": None if cell.test is None else dict(cell.test),
        "search_s": spent.search_s,
        "retrain_s": spent.retrain_s,
        "total_s": spent.total_s,
        "over_s": spent.total_s - time_s if cell.finished else None,
        "n_estimated": spent.n_estimated,
    }


def _params(cell: Cell) -> float | None:
    """Of the network tested, or to be tested."""
    if cell.test is not None and (told := cell.test.get("params")) is not None:
        return float(told)
    return None if cell.best is None else cell.best.result.metrics.get("params")


def _mean(values: Sequence[float]) -> float | None:
    return statistics.fmean(values) if values else None


def write(folder: Path, found: Mapping[str, Any]) -> None:
    """Writes comparison.json and comparison.csv, a row for each method.

    Raises:
        StorageError: the disk refused.
    """
    write_atomic(folder / "comparison.json", dump_json(found) + "\n")
    rows = [_flat(row) for row in found["rows"]]
    write_atomic(folder / "comparison.csv", csv_text(list(rows[0]), rows))


def _flat(row: Mapping[str, Any]) -> dict[str, Any]:
    against = row["difference"] or dict.fromkeys(("mean", "low", "high", "n"))
    return {k: v for k, v in row.items() if k != "difference"} | {f"difference_{name}": value for name, value in against.items()}


def table(found: Mapping[str, Any]) -> RenderableType:
    """What `bohb-nas compare DIR` prints."""
    arranged = found["arrangement"]
    shown = columns(["method"], _NUMBERS, whole=True)
    for row in found["rows"]:
        shown.add_row(*_texts(row))
    head = (
        f"{arranged['dataset']}, space {arranged['space']}: {format_duration(arranged['time_s'])} of the device for each method and seed, "
        "search and retraining together"
    )
    return Group(Text(head), shown, *map(Text, _notes(found)))


def _texts(row: Mapping[str, Any]) -> list[str]:
    against = row["difference"]
    interval = "" if against is None or against["low"] is None else f" [{_points(against['low'])}, {_points(against['high'])}]"
    return [
        row["method"],
        percent(row["test_error_mean"]),
        percent(row["test_error_sd"]),
        str(row["n"]),
        percent(row["validation_error_mean"]),
        _number(row["search_s"]),
        _number(row["retrain_s"]),
        _number(row["total_s"]) + ("*" if row["n_estimated"] else ""),
        "" if row["over_s"] is None else f"{row['over_s']:+.1f}",
        "" if row["params"] is None else f"{row['params'] / 1e6:.4g}",
        {True: "yes", False: "no", None: ""}[row["ready_to_use"]],
        "" if against is None else _points(against["mean"]) + interval,
    ]


def _notes(found: Mapping[str, Any]) -> list[str]:
    """What has to be said under the table."""
    notes = [f"- {REFERENCE}: difference of test errors in points of per cent, seed by seed, with its 95 % interval"]
    if n := sum(row["n_estimated"] for row in found["rows"]):
        notes.append(f"* {counted(n, 'trial')} did not say how long they took; the engine's time counts, or that of training")
    notes += [f"{one['method']}, seed {one['seed']} failed: {one['message']}" for one in found["failed"]]
    over = {(one["method"], one["seed"]) for one in found["cells"] if one["finished"]}
    if any((one["method"], one["seed"]) not in over for one in found["failed"]):
        notes.append("the same command goes on with what failed before its search was over")
    if found["interrupted"]:
        notes.append("stopped; nothing finished is lost, and nothing was tested. The same command goes on")
    return notes


def _points(value: float) -> str:
    return f"{100 * value:+.2f}"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.1f}"
