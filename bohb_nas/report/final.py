"""What `bohb-nas train` is to train, and the summary of what it found."""

import json
import statistics
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from bohb_nas.errors import UsageError
from bohb_nas.records import Budgets, Value
from bohb_nas.report.status import best
from bohb_nas.store.journal import fold
from bohb_nas.store.study_dir import StudyDir


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A configuration with all that its training needs."""

    config: dict[str, Value]
    dataset: str
    data_dir: Path | None
    budget: float
    """Seconds."""
    schedule: Literal["cosine", "restarts"]
    rung: int
    """The highest rung of the study within the budget."""
    policy_file: Path | None
    """Of the study, as it was at its start."""
    folder: Path
    """Where its models go by default."""
    network: str | None = None
    """Reference of a `network(config)`, in place of the families of the catalogue."""


def read_source(source: Path, *, budget: float | None, dataset: str | None, data_dir: Path | None) -> Source:
    """Reads the incumbent of a study, or a file with one configuration (or what `bohb-nas best --json` printed).

    Raises:
        UsageError: nothing to train, or what is needed was not said.
    """
    if source.is_dir():
        return _incumbent(StudyDir(source.absolute()), budget=budget, dataset=dataset, data_dir=data_dir)
    try:
        content = json.loads(source.read_text())
    except ValueError as e:
        raise UsageError(
            f"{source} is not JSON: {e}; accepted is an object of hyperparameters, or what `bohb-nas best DIR --json` prints"
        ) from e
    config = content.get("config", content) if isinstance(content, dict) else None
    if not isinstance(config, dict) or not config:
        raise UsageError(
            f"{source} holds no configuration; accepted is an object of hyperparameters, or what `bohb-nas best DIR --json` prints"
        )
    if budget is None or dataset is None:
        raise UsageError("a configuration file says neither how long nor on what to train; add --budget and --dataset")
    return Source(
        config=config, dataset=dataset, data_dir=data_dir, budget=budget, schedule="cosine", rung=0, policy_file=None, folder=Path.cwd()
    )


def _incumbent(study: StudyDir, *, budget: float | None, dataset: str | None, data_dir: Path | None) -> Source:
    study.check_access()
    meta = study.read_meta()
    found = best(study, fold(study.journal))
    if meta["worker"] != "image_classifier":
        raise UsageError(f"the study's worker is {meta['worker']}; `bohb-nas train` trains what image_classifier found")
    if found is None:
        raise UsageError(f"no evaluation of {study.path} has succeeded yet; nothing to train")
    options = meta["worker_options"]
    rungs = Budgets(**meta["budgets"]).rungs
    seconds = rungs[-1] if budget is None else budget
    stored_dir = Path(options["data_dir"]) if options.get("data_dir") else None
    return Source(
        config=found["config"],
        dataset=dataset if dataset is not None else options["dataset"],
        data_dir=data_dir if data_dir is not None else stored_dir,
        budget=seconds,
        schedule=options.get("schedule", "cosine"),
        rung=max((k for k, b in enumerate(rungs) if b <= seconds), default=0),
        policy_file=study.inputs / f"policy-{Path(options['policy_file']).name}" if options.get("policy_file") else None,
        folder=study.path,
        network=options.get("network"),
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
