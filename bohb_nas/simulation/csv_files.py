"""The figures of comparisons as CSV files: long tables, one row per method, problem and checkpoint."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bohb_nas.files import csv_text, write_atomic

Row = dict[str, Any]


def write(comparisons: Sequence[Mapping[str, Any]], folder: Path) -> list[Path]:
    """Writes methods.csv, problems.csv, tests.csv, tests_by_problem.csv and safety.csv.

    Raises:
        StorageError: the disk refused.
    """
    tables: dict[str, list[Row]] = {"methods": [], "problems": [], "tests": [], "tests_by_problem": [], "safety": []}
    for figures in comparisons:
        tables["methods"] += _along(figures, figures["methods"], ["mean_rank", "mean_rank_paired", "mean_regret", "mean_strict_regret"])
        tables["problems"] += _along(figures, figures["by_problem"], ["mean", "standard_error", "median", "q25", "q75", "p90"])
        for one in figures["against_reference"]:
            head = {**figures["conditions"], "method": one["method"], "reference": figures["reference"]}
            tables["tests"] += [{**head, **_flat(test), "ratio": one["ratio"]} for test in one["over_problems"]]
            tables["tests_by_problem"] += [{**head, **test} for test in one["by_problem"]]
        for row in figures["safety"]:
            worse = "; ".join(f"{w['problem']} at {w['checkpoint']:g}" for w in row["worse"])
            lists = {name: _joined(v) for name, v in row.items()}
            tables["safety"].append({**figures["conditions"], **lists, "worse": worse})
    written = []
    for name, rows in tables.items():
        if rows:
            path = folder / f"{name}.csv"
            write_atomic(path, csv_text(list(rows[0]), rows))
            written.append(path)
    return written


def _along(figures: Mapping[str, Any], rows: Sequence[Mapping[str, Any]], series: Sequence[str]) -> list[Row]:
    """A row for each checkpoint of each row; what is no series is repeated, and numbers the whole run."""
    found = []
    for row in rows:
        whole = {name: v for name, v in row.items() if name not in series}
        lists = {name: _joined(v) for name, v in whole.items()}
        for k, at in enumerate(figures["checkpoints"]):
            found.append({**figures["conditions"], **lists, "checkpoint": at, **{name: row[name][k] for name in series}})
    return found


def _flat(test: Mapping[str, Any]) -> Row:
    estimate, low, high = test["rank_difference"]
    rest = {name: v for name, v in test.items() if name != "rank_difference"}
    return {**rest, "rank_difference": estimate, "rank_difference_low": low, "rank_difference_high": high}


def _joined(value: Any) -> Any:
    return " ".join(map(str, value)) if isinstance(value, list) else value
