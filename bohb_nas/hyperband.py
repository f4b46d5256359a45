"""Hyperband's arithmetic: how many configurations start on which rung, and which of them are promoted.

Two formulas for the size of bracket s are in use, with S the number of rungs:

* HpBandSter 0.7.4 starts floor(S / (s + 1)) · eta^s configurations: 27, 9, 6, 4 for four rungs and eta 3.
* Li et al. 2018 (JMLR 18(185), algorithm 1) start the ceiling of S / (s + 1) · eta^s: 27, 12, 6, 4.

This module uses the first one (decision record 0002).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from bohb_nas.records import Budgets

_SLACK = 1 + 1e-12
"""Lets 2.9999999999999996, the product of a rounded power, count as the 3 that it stands for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rung:
    """One step of a bracket."""

    index: int
    """Place on the ladder of budgets; 0 is the cheapest."""
    budget: float
    """In the unit of the ladder."""
    size: int
    """Configurations trained on this rung when none fails below it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bracket:
    """One successive halving."""

    s: int
    """The published index: promotions between the entry rung and the top of the ladder."""
    rungs: tuple[Rung, ...]
    """Entry rung first; the last one is the top of the ladder."""


def brackets(budgets: Budgets) -> tuple[Bracket, ...]:
    """One round of brackets, s = S - 1 … 0; a run repeats the round.

    For 400, 1200, 3600 and 10800 s and eta 3 the sizes are (27, 9, 3, 1), (9, 3, 1), (6, 2) and (4).
    """
    return tuple(_bracket(budgets, s) for s in reversed(range(len(budgets.rungs))))


def promotions(losses: Sequence[float | None], n: int) -> list[int]:
    """Places of the n lowest losses, best first; ties keep their order.

    Args:
        losses: one per configuration of a rung; None marks a failed one, which is never promoted.
        n: how many to promote; fewer come back when too many failed.
    """
    finished = [(loss, place) for place, loss in enumerate(losses) if loss is not None]
    return [place for _, place in sorted(finished)[:n]]


def worth(budgets: Budgets, n_brackets: int) -> float:
    """Total budget of the first n brackets, every evaluation paid in full, in the unit of the ladder."""
    costs = [sum(rung.size * rung.budget for rung in bracket.rungs) for bracket in brackets(budgets)]
    rounds, rest = divmod(n_brackets, len(costs))
    return rounds * sum(costs) + sum(costs[:rest])


def _bracket(budgets: Budgets, s: int) -> Bracket:
    ladder = budgets.rungs
    start = _floor(len(ladder) // (s + 1) * budgets.eta**s)
    entry = len(ladder) - 1 - s
    sizes = [max(1, _floor(start / budgets.eta**k)) for k in range(s + 1)]
    return Bracket(s=s, rungs=tuple(Rung(index=entry + k, budget=ladder[entry + k], size=size) for k, size in enumerate(sizes)))


def _floor(x: float) -> int:
    return math.floor(x * _SLACK)
