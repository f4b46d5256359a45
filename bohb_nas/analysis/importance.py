"""The importance of hyperparameters and of pairs, as findings."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bohb_nas.analysis.active import Active, where_active
from bohb_nas.analysis.boxes import Leaves
from bohb_nas.analysis.curves import curve, pair_map
from bohb_nas.analysis.findings import Pair, Parameter
from bohb_nas.analysis.layout import Layout
from bohb_nas.analysis.sample import Sample
from bohb_nas.analysis.shares import SPREAD, Shares
from bohb_nas.arrays import Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """A decomposed forest."""

    sample: Sample
    layout: Layout
    leaves: Sequence[Leaves]
    found: Shares
    threshold: float | None
    """The share that chance reaches; None where that is not known."""
    total: Floats
    """(d,) shares of total effects."""


def parameters(view: View, *, curves: bool) -> list[Parameter]:
    """Every hyperparameter with a choice, by falling `with_parents`."""
    main, grouped = view.found.main.mean(axis=0), view.found.with_parents.mean(axis=0)
    low, high = np.percentile(view.found.with_parents, SPREAD, axis=0)
    totals = np.maximum(view.total, np.maximum(main, grouped))
    told, seen = [], dict[int, list[Active]]()
    for j in np.argsort(-grouped, kind="stable").tolist():
        condition = view.layout.condition_of.get(j)
        first = j if condition is None else int(condition.children[0])
        if first not in seen:
            seen[first] = [where_active(one, view.layout, first) for one in view.leaves]
        active = seen[first]
        told.append(
            Parameter(
                name=view.layout.box.names[j],
                main=float(main[j]),
                with_parents=float(grouped[j]),
                total=float(totals[j]),
                p_active=active[0].p,
                n_active=int((~np.isnan(view.sample.points[:, j])).sum()),
                when_active=_when_active(active, j),
                spread=[float(low[j]), float(high[j])],
                claimed=view.threshold is not None and bool(grouped[j] > view.threshold),
                curve=curve(active, view.layout, j, view.sample) if curves and active[0].p > 0 else None,
            )
        )
    return told


def pairs(view: View, *, n_maps: int) -> list[Pair]:
    """Every pair by falling share, the strongest with maps."""
    assert view.found.pairs is not None
    d = view.layout.d
    one, other = np.triu_indices(d, k=1)
    found = view.found.pairs[:, one, other]
    share = found.mean(axis=0)
    low, high = np.percentile(found, SPREAD, axis=0)
    names, told, maps = view.layout.box.names, [], 0
    for i in np.argsort(-share, kind="stable").tolist():
        columns = int(one[i]), int(other[i])
        drawn = pair_map(view.leaves, view.layout, columns, view.sample) if maps < n_maps and share[i] > 0 else None
        maps += drawn is not None
        told.append(Pair(names=[names[j] for j in columns], share=float(share[i]), spread=[float(low[i]), float(high[i])], map=drawn))
    return told


def _when_active(active: Sequence[Active], column: int) -> float | None:
    """The mean share of the main effect where a column is active; None where no tree has a variance there."""
    found = [one.main(column) / variance for one in active if one.p > 0 and (variance := one.variance()) > 0]
    return float(np.mean(found)) if found else None
