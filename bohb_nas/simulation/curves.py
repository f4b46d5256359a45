"""The regret of stored runs, as arrays: one comparison for each of the conditions that the runs stood under."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from bohb_nas.arrays import Floats
from bohb_nas.simulation import statistics
from bohb_nas.simulation.results import Conditions, Finished, Key

CHECKPOINTS = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0)
"""In mean costs of a full training; those after the horizon are left out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """The regret of one run over time: a step function, 1 before its first incumbent."""

    times: Floats
    """(n,), in mean costs of a full training."""
    regrets: Floats
    """(n,), normalised, of the recommended incumbent."""
    strict_times: Floats
    strict_regrets: Floats
    """The same of incumbents that were trained in full."""
    run: Finished


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """All runs under the same conditions."""

    conditions: Conditions
    methods: tuple[str, ...]
    """Labels."""
    problems: tuple[str, ...]
    curves: Mapping[tuple[str, str, int], Curve]
    """(method, problem, seed) -> its curve."""

    @property
    def checkpoints(self) -> tuple[float, ...]:
        """Those within the horizon; the horizon itself when there is none, or when it lies between two."""
        inside = tuple(c for c in CHECKPOINTS if c <= self.conditions.horizon)
        return inside if inside and inside[-1] == self.conditions.horizon else (*inside, self.conditions.horizon)

    @property
    def seeds(self) -> tuple[int, ...]:
        """Of any run."""
        return tuple(sorted({seed for _, _, seed in self.curves}))

    def at(self, times: Sequence[float], *, strict: bool = False) -> Floats:
        """Regret at points in time: (M, P, S, C), NaN where a run is missing."""
        if strict:
            return self._table(lambda curve, _: statistics.value_at(curve.strict_times, curve.strict_regrets, times), len(times))
        return self._table(lambda curve, _: statistics.value_at(curve.times, curve.regrets, times), len(times))

    def areas(self) -> Floats:
        """Mean regret over log time from 1 to the horizon: (M, P, S)."""
        end = self.conditions.horizon
        return self._table(lambda curve, _: statistics.area_over_log_time(curve.times, curve.regrets, end=end))

    def times_to(self, targets: Sequence[float]) -> Floats:
        """When each run is first as good as its problem's target, (P,): (M, P, S), infinite when never."""
        return self._table(lambda curve, p: statistics.time_to_reach(curve.times, curve.regrets, targets[p]))

    def _table(self, value: Callable[[Curve, int], ArrayLike], *more: int) -> Floats:
        """What `value` makes of each curve and the number of its problem: (M, P, S, *more), NaN where a run is missing."""
        m, p, s = ({name: i for i, name in enumerate(names)} for names in (self.methods, self.problems, self.seeds))
        table = np.full((len(m), len(p), len(s), *more), np.nan)
        for (method, problem, seed), curve in self.curves.items():
            table[m[method], p[problem], s[seed]] = value(curve, p[problem])
        return table


def comparisons(runs: Mapping[Key, Finished], *, best: Mapping[str, float], methods: Sequence[str] = ()) -> list[Comparison]:
    """What can be compared, fewest workers first.

    Args:
        runs: what was stored.
        best: problem -> the best known loss.
        methods: labels in the order of the tables; the others follow by name.
    """
    found = []
    for conditions in sorted({key.conditions for key in runs}):
        here = {key: run for key, run in runs.items() if key.conditions == conditions}
        labels = {key.method for key in here}
        found.append(
            Comparison(
                conditions=conditions,
                methods=tuple(m for m in methods if m in labels) + tuple(sorted(labels - set(methods))),
                problems=tuple(sorted({key.problem for key in here})),
                curves={(k.method, k.problem, k.seed): _curve(run, best[k.problem]) for k, run in here.items()},
            )
        )
    return found


def best_known(runs: Iterable[Finished], *, beside: Iterable[Finished] = ()) -> dict[str, float]:
    """Problem -> the lowest noise-free loss at its largest budget that anything knows.

    Args:
        runs: what is compared.
        beside: other runs; they are heard of the problems that are compared as their code is there: of other code they say nothing.
    """
    compared, best = list(runs), dict[str, float]()
    codes = {(run.key.problem, run.problem_code) for run in compared}
    for run in [*compared, *(run for run in beside if (run.key.problem, run.problem_code) in codes)]:
        lowest = min([run.best, *(loss for _, loss, _ in run.recommended)])
        best[run.key.problem] = min(lowest, best.get(run.key.problem, lowest))
    return best


def _curve(run: Finished, best: float) -> Curve:
    table = np.array(run.recommended, dtype=np.float64).reshape(-1, 3)
    strict = np.array(run.strict, dtype=np.float64).reshape(-1, 3)
    return Curve(
        times=table[:, 0],
        regrets=statistics.normalised_regret(table[:, 1], best=best, median=run.median),
        strict_times=strict[:, 0],
        strict_regrets=statistics.normalised_regret(strict[:, 1], best=best, median=run.median),
        run=run,
    )
