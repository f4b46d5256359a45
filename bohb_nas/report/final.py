"""What `bohb-nas train` is to train, and the summary of what it found."""

import os
import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bohb_nas import refs
from bohb_nas.entries import refuse_own
from bohb_nas.errors import UsageError
from bohb_nas.files import load_json
from bohb_nas.records import Budgets, Origin, Value
from bohb_nas.report.status import best
from bohb_nas.store.journal import fold
from bohb_nas.store.meta import IMAGE_WORKERS
from bohb_nas.store.study_dir import StudyDir


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A configuration with all that its training needs."""

    config: dict[str, Value]
    budget: float
    """Seconds."""
    rung: int
    """The highest rung of the study within the budget."""
    folder: Path
    """Where its models go by default."""
    fingerprint: str | None = None
    """Of the study's data set, where that is what is trained on."""
    skip_unreadable: bool = False
    """Whether the study leaves unreadable images out of the data set, where that is what is trained on."""
    options: dict[str, Any]
    """Of the image classifier: the study's, its files as they were at its start, under those that were typed."""


def read_source(
    source: Path, *, budget: float | None, dataset: str | None, data_dir: Path | None, options: Mapping[str, Any] | None = None
) -> Source:
    """Reads the incumbent of a study, or a file with one configuration (or what `bohb-nas best --json` printed).

    The study's network and data set find from then on what they import, wherever this process was started.

    Args:
        source: directory of a study, or a JSON file.
        budget: seconds; None takes the study's dearest, or that of a baseline which is the incumbent, where that is dearer.
        dataset: reference of a data set; None takes the study's.
        data_dir: where published files lie; None takes the study's.
        options: of the image classifier, which win over the study's.

    Raises:
        UsageError: nothing to train, or what is needed was not said.
    """
    typed = {name: _in_full(name, value) for name, value in (options or {}).items()}
    refuse_own("--worker-option", typed, "dataset", "data_dir")
    typed |= {"dataset": dataset} if dataset is not None else {}
    typed |= {"data_dir": str(data_dir)} if data_dir is not None else {}
    if source.is_dir():
        return _incumbent(StudyDir(source.absolute()), budget=budget, typed=typed)
    accepted = "accepted is an object of hyperparameters, or what `bohb-nas best DIR --json` prints"
    try:
        content = load_json(source.read_text(encoding="utf-8-sig"))
    except OSError as e:
        raise UsageError(f"{source} cannot be read: {e.strerror}; {accepted}") from e
    except (ValueError, RecursionError) as e:
        raise UsageError(f"{source} is not JSON: {e}; {accepted}") from e
    config = content.get("config", content) if isinstance(content, dict) else None
    if not isinstance(config, dict) or not config:
        raise UsageError(f"{source} holds no configuration; {accepted}")
    if budget is None or "dataset" not in typed:
        raise UsageError("a configuration file says neither how long nor on what to train; add --budget and --dataset")
    return Source(config=config, budget=budget, rung=0, folder=Path.cwd(), options=typed)


def _in_full(name: str, value: Any) -> Any:
    """The value of a worker option, a ~ in the path of a file written out."""
    return os.path.expanduser(value) if name in ("network", "policy_file") and isinstance(value, str) else value


def _incumbent(study: StudyDir, *, budget: float | None, typed: Mapping[str, Any]) -> Source:
    study.check_access()
    meta = study.read_meta()
    found = best(study, fold(study.journal))
    if meta["worker"] not in IMAGE_WORKERS:
        known = " or ".join(sorted(IMAGE_WORKERS))
        raise UsageError(f"the study's worker is {meta['worker']}; `bohb-nas train` trains what {known} found")
    if found is None:
        raise UsageError(f"no evaluation of {study.path} has succeeded yet; nothing to train")
    stored = {name: value for name, value in meta["worker_options"].items() if name != "search"}
    for name in ("network", "dataset"):
        if stored.get(name) and name not in typed:
            refs.let_import(stored[name], start=meta["cwd"])
    for kind, name in (("policy", "policy_file"), ("network", "network")):
        if stored.get(name) and (copy := study.copy_of(stored[name], kind)).is_file():
            stored[name] = str(copy)
    budgets = Budgets(**meta["budgets"])
    longer = found["budget"] if found["origin"] is Origin.BASELINE else 0.0  # which may be trained for longer than the search ever does
    seconds = max(budgets.rungs[-1], longer) if budget is None else budget
    other_data = bool({"dataset", "data_dir"} & typed.keys())
    return Source(
        config=found["config"],
        budget=seconds,
        rung=budgets.rung_within(seconds),
        folder=study.path,
        fingerprint=None if other_data else meta.get("data_fingerprint"),
        skip_unreadable=meta.get("skip_unreadable", False) and not other_data,
        # what the search has trained is not turned away where the device is busier than it was then
        options={**stored, "min_steps": 1, **typed},
    )


def summary(rows: list[dict[str, Any]], *, dataset: str, budget: float) -> dict[str, Any]:
    """Mean and standard deviation of the test error over the seeds that ended well."""
    errors = [r["test_error"] for r in rows if r["test_error"] is not None]
    return {
        "dataset": dataset,
        "budget": budget,
        "rows": rows,
        "n_seeds": len(errors),
        "test_error_mean": statistics.fmean(errors) if errors else None,
        "test_error_sd": statistics.stdev(errors) if len(errors) > 1 else None,
        "params": rows[0]["params"],
        "flops": rows[0]["flops"],
    }
