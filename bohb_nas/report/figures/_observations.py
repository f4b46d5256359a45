"""The trials of findings as the observations that tables and tests rest on: `bohb_nas.analysis.observations` has the rules."""

from collections.abc import Iterable

from bohb_nas.analysis.findings import Row
from bohb_nas.analysis.observations import Observations, Told, observe
from bohb_nas.records import Origin, Result, Status, Trial


def observed(rows: Iterable[Row], budget: float) -> Observations:
    """What some trials say at a budget: what diverged has the worst loss there, a repeated configuration the mean of its losses."""
    return observe([_told(row) for row in rows if row["budget"] == budget], budget)


def _told(row: Row) -> Told:
    trial = Trial(
        trial_id=row["trial_id"],
        config_id=row["config_id"],
        config=row["config"],
        budget=row["budget"],
        bracket=row["bracket"],
        rung=0,  # no observation depends on it, nor on the seed
        seed=0,
        origin=Origin(row["origin"]),
    )
    result = Result(trial_id=row["trial_id"], status=Status(row["status"]), loss=row["loss"], train_s=row["train_s"])
    return Told(trial=trial, result=result, asked=row["asked"], told=row["told"], stay=None)
