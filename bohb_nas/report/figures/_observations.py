"""The trials of findings as the observations that tables and tests rest on: `bohb_nas.analysis.observations` has the rules."""

from collections.abc import Iterable, Set

from bohb_nas.analysis.findings import Row
from bohb_nas.analysis.observations import Observations, Told, observe, worst_loss
from bohb_nas.records import NOT_DRAWN, Origin, Result, Status, Trial


def observed(trials: Iterable[Row], budget: float, origins: Set[Origin]) -> Observations:
    """What trials of some origins say at a budget: what diverged has the worst loss of all there, a repeated configuration its mean."""
    drawn = [_told(row) for row in trials if row["budget"] == budget and row["origin"] not in NOT_DRAWN]
    return observe([one for one in drawn if one.trial.origin in origins], budget, worst=worst_loss(drawn, budget))


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
