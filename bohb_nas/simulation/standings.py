"""What a comparison says, as plain figures (JSON): per method, per problem, against a reference, and against random search."""

import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from bohb_nas.arrays import Bools, Floats
from bohb_nas.errors import UsageError
from bohb_nas.files import finite
from bohb_nas.simulation import statistics
from bohb_nas.simulation.curves import Comparison

BASELINE = "random_search"
"""What nothing may be worse than, and what speed-ups refer to."""
SETTLED = 5.0
"""From this checkpoint on: the ratio to the reference, the tests shown, and the safety table."""

_REFERENCES = ("bohb_2018", BASELINE)


def choose_reference(methods: Sequence[str], named: str | None) -> str:
    """What the others are tested against: the one named, else `bohb_2018`, else random search, else the first.

    Raises:
        UsageError: the one named has no runs.
    """
    if named is not None and named not in methods:
        raise UsageError(f"--reference {named!r}: there are no runs of it; accepted are {', '.join(methods)}")
    return named or next((m for m in _REFERENCES if m in methods), methods[0])


def standings(comparison: Comparison, *, reference: str | None = None) -> dict[str, Any]:
    """All figures of a comparison; None stands for what cannot be computed."""
    chosen = choose_reference(comparison.methods, reference)
    c, table = comparison, _Table(comparison)
    return {
        "conditions": asdict(c.conditions),
        "checkpoints": list(c.checkpoints),
        "problems": [c.problems[p] for p in table.shared],
        "problems_left_out": [p for k, p in enumerate(c.problems) if k not in table.shared],
        "problems_of_different_code": [p for p in c.problems if len({x.run.problem_code for k, x in c.curves.items() if k[1] == p}) > 1],
        "reference": chosen,
        "methods": [table.method(m) for m in range(len(c.methods))],
        "by_problem": [table.problem(m, p) for p in range(len(c.problems)) for m in range(len(c.methods)) if table.n[m, p]],
        "across": table.across(),
        "against_reference": [table.against(m, c.methods.index(chosen)) for m, name in enumerate(c.methods) if name != chosen],
        "safety": [table.safety(m, c.methods.index(BASELINE)) for m, name in enumerate(c.methods) if name != BASELINE]
        if BASELINE in c.methods
        else [],
    }


class _Table:
    """Regret of every run at the checkpoints, and what is computed of it. Arrays are (M, P, S, C) or lack last axes."""

    def __init__(self, comparison: Comparison) -> None:
        self._c = comparison
        self._at = comparison.checkpoints
        self._r = comparison.at(self._at)
        self._areas = comparison.areas()
        self.n = (~np.isnan(self._r[..., 0])).sum(axis=2)
        """(M, P): seeds."""
        self.shared = [p for p in range(len(comparison.problems)) if self.n[:, p].min() > 0]
        """Problems that every method has run on: means over problems are over these."""
        self._means = statistics.rounded(_mean(self._r, axis=2))
        self._settled = [k for k, at in enumerate(self._at) if at >= SETTLED] or [len(self._at) - 1]
        self._speed_ups, self._never = self._speed_up()

    def method(self, m: int) -> dict[str, Any]:
        """Of a method over all shared problems."""
        c, name, shared = self._c, self._c.methods[m], self.shared
        runs = [curve.run for (method, _, _), curve in c.curves.items() if method == name]
        names = {c.problems[p] for p in shared}
        counted = [run for run in runs if run.key.problem in names]
        evaluations = sum(sum(run.evaluations) for run in counted)
        strict = _mean(_mean(c.at(self._at, strict=True)[m][shared], axis=1), axis=0)
        ups = self._speed_ups[m][shared]
        return {
            "method": name,
            "versions": sorted({run.version or run.bohb_nas for run in runs}),
            "codes": sorted({run.code for run in runs}),
            "n_seeds": [int(self.n[m][shared].min()), int(self.n[m][shared].max())] if shared else [0, 0],
            "mean_rank": _plain(_mean(statistics.ranks(self._means[:, shared]), axis=1)[m]),
            "mean_rank_paired": _plain(_mean(_mean(statistics.ranks(self._r[:, shared]), axis=2), axis=1)[m]),
            "mean_regret": _plain(_mean(self._means[m, shared], axis=0)),
            "mean_strict_regret": _plain(strict),
            "area": _plain(_mean(_mean(self._areas[m, shared], axis=1), axis=0)),
            "p90": _plain(_mean(np.array([_quantile(self._r[m, p, :, -1], 0.9) for p in shared]), axis=0)),
            "speed_up": _plain(float(np.median(ups)) if ups.size and not np.isnan(ups).any() else math.nan),
            "never_as_good": None if np.isnan(ups).any() else int(self._never[m][shared].sum()),
            "busy": sum(run.busy for run in counted) / len(counted) if counted else None,
            "failed": sum(run.failed for run in counted) / evaluations if evaluations else None,
            "cpu_ms": 1e3 * sum(run.cpu_s for run in counted) / evaluations if evaluations else None,
        }

    def problem(self, m: int, p: int) -> dict[str, Any]:
        """Of a method on a problem, over its seeds, at each checkpoint."""
        r = self._r[m, p][~np.isnan(self._r[m, p, :, 0])]
        q25, median, q75, q90 = np.quantile(r, [0.25, 0.5, 0.75, 0.9], axis=0)
        return {
            "problem": self._c.problems[p],
            "method": self._c.methods[m],
            "n_seeds": int(self.n[m, p]),
            "mean": _plain(r.mean(axis=0)),
            "standard_error": _plain(r.std(axis=0, ddof=1) / math.sqrt(len(r)) if len(r) > 1 else np.full(r.shape[1], np.nan)),
            "median": _plain(median),
            "q25": _plain(q25),
            "q75": _plain(q75),
            "p90": _plain(q90),
            "area": _plain(_mean(self._areas[m, p], axis=0)),
            "speed_up": _plain(self._speed_ups[m, p]),
        }

    def across(self) -> list[dict[str, Any]]:
        """Friedman's test and the critical difference at 10 costs and at the end."""
        places = sorted({k for k, at in enumerate(self._at) if at == 10.0} | {len(self._at) - 1})
        found = []
        for k in places if self.shared else []:
            scores = self._means[:, self.shared, k]
            statistic, p = statistics.friedman(scores)
            difference = statistics.critical_difference(*scores.shape)
            mean_ranks = statistics.ranks(scores).mean(axis=1)
            groups = [] if math.isnan(difference) else statistics.cliques(mean_ranks, difference)
            found.append(
                {
                    "checkpoint": self._at[k],
                    "n_problems": scores.shape[1],
                    "friedman": _plain(statistic),
                    "p": _plain(p),
                    "critical_difference": _plain(difference),
                    "mean_rank": dict(zip(self._c.methods, _plain(mean_ranks), strict=True)),
                    "not_told_apart": [[self._c.methods[i] for i in group] for group in groups],
                }
            )
        return found

    def against(self, m: int, reference: int) -> dict[str, Any]:
        """Of a method beside the reference: over problems at each checkpoint, and on each problem at the end."""
        shared, means = self.shared, self._means
        ranked = statistics.ranks(means[:, shared])
        tests = []
        for k, at in enumerate(self._at):
            mine, theirs = (
                float(means[m, shared, k].mean()) if shared else math.nan,
                means[reference, shared, k].mean() if shared else math.nan,
            )
            tests.append(
                {
                    "checkpoint": at,
                    "p": _plain(statistics.wilcoxon(means[m, shared, k] - means[reference, shared, k])),
                    "better_on": int((means[m, shared, k] < means[reference, shared, k]).sum()),
                    "n_problems": len(shared),
                    "rank_difference": _plain(list(statistics.bootstrap_mean(ranked[m, :, k] - ranked[reference, :, k]))),
                    "regret_reduction": _plain(1 - mine / float(theirs) if theirs else math.nan),
                }
            )
        here = [p for p in range(len(self._c.problems)) if self.n[m, p] and self.n[reference, p]]
        differences = self._r[m, here, :, -1] - self._r[reference, here, :, -1]
        p_values = np.array([statistics.wilcoxon(d) for d in differences])
        return {
            "method": self._c.methods[m],
            "ratio": _plain(statistics.ratio(means[m][shared][:, self._settled], means[reference][shared][:, self._settled])),
            "over_problems": tests,
            "by_problem": [
                {
                    "problem": self._c.problems[p],
                    "n_pairs": int((~np.isnan(d)).sum()),
                    "n_differing": len(statistics.differing(d)),
                    "difference": _plain(_mean(d, axis=0)),
                    "rank_biserial": _plain(statistics.rank_biserial(d)),
                    "p": x,
                    "p_holm": y,
                }
                for p, d, x, y in zip(here, differences, _plain(p_values), _plain(statistics.holm(p_values)), strict=True)
            ],
        }

    def safety(self, m: int, baseline: int) -> dict[str, Any]:
        """Where a method is significantly worse than random search from 5 costs on: one-sided, Holm over all these tests."""
        cells = [(p, k) for p in range(len(self._c.problems)) for k in self._settled if self.n[m, p] and self.n[baseline, p]]
        differences = [self._r[m, p, :, k] - self._r[baseline, p, :, k] for p, k in cells]
        p_values = [statistics.wilcoxon(d, alternative="greater") for d in differences]
        corrected = statistics.holm(p_values)
        n_pairs = [int((~np.isnan(d)).sum()) for d in differences]
        told = statistics.could_be_told(n_pairs, [len(statistics.differing(d)) for d in differences], alternative="greater")
        worse = [
            {
                "problem": self._c.problems[p],
                "checkpoint": self._at[k],
                "difference": _plain(_mean(d, axis=0)),
                "p_holm": float(corrected[i]),
            }
            for i, ((p, k), d) in enumerate(zip(cells, differences, strict=True))
            if corrected[i] < statistics.ALPHA
        ]
        return {
            "method": self._c.methods[m],
            "n_tests": sum(n > 0 for n in n_pairs),
            "n_pairs": [min(n_pairs, default=0), max(n_pairs, default=0)],
            "smallest_p": _plain(float(np.nanmin(corrected)) if cells and not np.isnan(corrected).all() else math.nan),
            "cannot_tell": sorted({self._c.problems[p] for (p, _), tells in zip(cells, told, strict=True) if not tells}),
            "worse": worse,
        }

    def _speed_up(self) -> tuple[Floats, Bools]:
        """The horizon over the median time to random search's final median regret; and where it is never reached.

        Returns:
            (M, P) each. Runs that never get there count with the horizon; where more than half of them do not, the speed-up is 1.
        """
        c = self._c
        if BASELINE not in c.methods:
            return np.full(self.n.shape, np.nan), np.zeros(self.n.shape, dtype=np.bool_)
        b = c.methods.index(BASELINE)
        targets = [_quantile(self._r[b, p, :, -1], 0.5) for p in range(len(c.problems))]
        times = c.times_to(targets)
        censored = np.minimum(times, c.conditions.horizon)
        medians = np.array([[_quantile(censored[m, p], 0.5) for p in range(len(c.problems))] for m in range(len(c.methods))])
        medians[:, np.isnan(targets)] = np.nan
        return c.conditions.horizon / medians, np.isinf(times).sum(axis=2) * 2 > self.n


def _mean(table: Floats, *, axis: int) -> Floats:
    """The mean along an axis of what is not NaN; NaN where nothing is."""
    known = ~np.isnan(table)
    n = known.sum(axis=axis)
    total: Floats = np.where(known, table, 0.0).sum(axis=axis)
    return np.where(n > 0, total / np.maximum(n, 1), np.nan)


def _quantile(values: Floats, q: float) -> float:
    known = values[~np.isnan(values)]
    return float(np.quantile(known, q)) if known.size else math.nan


def _plain(value: ArrayLike) -> Any:
    """Plain Python numbers; None for what is not finite."""
    return finite(np.asarray(value).tolist())
