"""How the time of devices was used: hours by budget, throughput, idle time, and a row for everything that was told."""

from collections.abc import Mapping, Sequence
from typing import Any

from bohb_nas.analysis.findings import Pace, Row, RungHours
from bohb_nas.analysis.observations import Told, budgets_of
from bohb_nas.durations import HOUR_S
from bohb_nas.records import Origin
from bohb_nas.store import notes
from bohb_nas.store.stays import device_s, use


def hours(told: Sequence[Told]) -> list[RungHours]:
    """Device hours at each budget as they added up, cheapest first; baselines, which another command trains, are left out."""
    found = []
    counted = [one for one in told if one.trial.origin is not Origin.BASELINE]
    for budget in budgets_of(counted):
        here, total, sums = [one for one in counted if one.trial.budget == budget], 0.0, []
        for one in here:
            total += device_s(one.result, one.stay) / HOUR_S
            sums.append(total)
        found.append(RungHours(budget=budget, times=[one.told for one in here], hours=sums))
    return found


def pace(told: Sequence[Told], *, span_s: float, used_s: float) -> Pace:
    """Over the trials of the search and its probes.

    Args:
        told: all evaluations; baselines are left out.
        span_s: seconds from the first ask to the last line, without those that nobody led.
        used_s: the same with those of them in which something was in training.
    """
    counted = [one for one in told if one.trial.origin is not Origin.BASELINE]
    stays = [one.stay for one in counted if one.stay is not None]
    used: Mapping[str, Any] = use(stays) or {}
    return Pace(
        span_s=span_s,
        used_s=used_s,
        device_hours=sum(device_s(one.result, one.stay) for one in counted) / HOUR_S,
        evaluations_per_hour=len(counted) / used_s * HOUR_S if counted and used_s > 0 else None,
        n_workers=len({one.place for one in stays}),
        train_share=used.get("train_share"),
        idle_median_s=used.get("idle_median_s"),
    )


def rows(told: Sequence[Told]) -> list[Row]:
    """Everything that was told, in the order of telling."""
    return [_row(one) for one in told]


def _row(one: Told) -> Row:
    trial, result = one.trial, one.result
    return Row(
        trial_id=trial.trial_id,
        config_id=trial.config_id,
        config=dict(one.config),
        budget=trial.budget,
        bracket=trial.bracket,
        origin=str(trial.origin),
        status=str(result.status),
        loss=result.loss,
        asked=one.asked,
        told=one.told,
        train_s=result.train_s,
        params=result.metrics.get("params"),
        flops=result.metrics.get("flops"),
        device=one.device,
        violates=bool(result.violates),
        message=notes.first_line(result.message) if result.message is not None else None,
    )
