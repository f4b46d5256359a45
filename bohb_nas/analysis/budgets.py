"""What is known at each budget: how many trials ended how, which losses they had, and whom its importance speaks of."""

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from bohb_nas.analysis.findings import Budget, Importance
from bohb_nas.analysis.observations import Observations, Told
from bohb_nas.records import Origin, Status

Floats = NDArray[np.float64]


def entry(budget: float, told: Sequence[Told], observations: Observations, importance: Importance, names: Mapping[float, str]) -> Budget:
    """The entry of a budget.

    Args:
        budget: which.
        told: all evaluations of the study, those beside the search included.
        observations: of the search at this budget.
        importance: of them.
        names: of the budgets, for people.
    """
    here = [one for one in told if one.trial.budget == budget]
    losses = [one.result.loss for one in here if one.result.loss is not None and not one.aside]
    return Budget(
        **importance,
        budget=budget,
        n_told=len(here),
        n_failed=sum(one.result.status is not Status.OK for one in here),
        by_status=count(str(one.result.status) for one in here),
        by_origin=count(str(one.trial.origin) for one in here),
        losses=quartiles(np.array(losses)) if losses else None,
        selected=_selected(observations, names),
    )


def _selected(observations: Observations, names: Mapping[float, str]) -> str | None:
    n = sum(origin is Origin.PROMOTED for origin in observations.origins)
    if n == 0:
        return None
    return (
        f"{n} of {len(observations)} configurations came to {names[observations.budget]} by promotion, for their losses at cheaper "
        "budgets: what is said of this budget holds where those lie, not in the whole space"
    )


def quartiles(losses: Floats) -> list[float]:
    """[lowest, first quartile, median, third quartile, highest] of losses (n,), in the order of their size whatever that is."""
    largest = float(np.abs(losses).max()) or 1.0
    found: list[float] = (np.quantile(losses / largest, [0.0, 0.25, 0.5, 0.75, 1.0]) * largest).tolist()
    return [float(losses.min()), *found[1:-1], float(losses.max())]


def count(words: object) -> dict[str, int]:
    """How often each word is there."""
    return dict(Counter(words))  # type: ignore[call-overload]
