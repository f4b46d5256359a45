"""The search over time: its evaluations, and its incumbent whenever that changed (the paper's figure 1)."""

from collections.abc import Iterable

from bohb_nas.analysis.findings import Point
from bohb_nas.analysis.observations import Told
from bohb_nas.records import rank, shares_weights


def points(told: Iterable[Told]) -> list[Point]:
    """Every evaluation that ended well, in the order of telling; losses of shared weights are no such points."""
    return [_point(one, one.result.loss) for one in told if one.result.loss is not None and not shares_weights(one.trial, one.result)]


def incumbents(told: Iterable[Told]) -> list[Told]:
    """Those that were the incumbent when they were told: lowest loss at the highest budget so far, no constraint broken.

    A baseline is one only while the search has none, and the loss of shared weights only while there is no ordinary one; a probe never is.
    """
    found: list[Told] = []
    best: tuple[bool, bool, float, float] | None = None
    for one in told:
        own = rank(one.trial, one.result)
        if own is not None and (best is None or own < best):
            best = own
            found.append(one)
    return found


def _point(one: Told, loss: float) -> Point:
    return Point(
        time=one.told,
        budget=one.trial.budget,
        loss=loss,
        trial_id=one.trial.trial_id,
        origin=str(one.trial.origin),
        violates=bool(one.result.violates),
    )
