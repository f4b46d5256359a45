"""Holds importances of simulated studies to the true ones of noise-free problems. Two tables per problem, about ten minutes.

    python bench/true_importance.py [--problem NAME …] [--n N] [--seeds K]

True shares are Sobol' indices of the function itself under the box extension, by pick-freeze (Janon et al. 2014) over 4,096
scrambled Sobol' points; a closed index of a conditional hyperparameter and its ancestors, less that of the ancestors, is its share
with parents. On logarithmic integers these points are those of the axes, within .004 of what the search draws. They are compared with
what is found from random configurations at a budget (probes), and from what a search by `bohb` trained there, which are few and
selected at high budgets.
"""

import argparse
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from ConfigSpace import ConfigurationSpace
from numpy.typing import NDArray
from scipy.stats import qmc, spearmanr
from simulated_study import write

from bohb_nas.analysis.fanova import explain
from bohb_nas.benchmarks import Problem, load_problem
from bohb_nas.records import Origin, Status, Value
from bohb_nas.space.axes import Axes
from bohb_nas.space.encoding import Encoding
from bohb_nas.store.journal import fold

Floats = NDArray[np.float64]

PROBLEMS = ("condnet/exact", "jointnb301/cifar10")
_N_POINTS = 4096
_MATTERS = 0.02
"""The least true share that a ranking has to get right."""


class Truth:
    """The true shares of a problem's hyperparameters at each budget."""

    def __init__(self, problem: Problem) -> None:
        self._problem, self._encoding = problem, Encoding(problem.space)
        self._axes = Axes(self._encoding)
        d = len(self._encoding.names)
        points = qmc.Sobol(2 * d, seed=0).random(_N_POINTS)
        self._first, self._second = self._levels(points[:, :d]), self._levels(points[:, d:])
        self._of_first = self._losses(self._first)
        self._closed: dict[frozenset[str], Floats] = {frozenset(): np.zeros(len(problem.budgets.rungs))}

    def shares(self) -> dict[str, Floats]:
        """By hyperparameter, (budgets): its effects together with those it depends on, beside theirs alone."""
        ancestors = ancestors_of(self._problem.space)
        names = self._encoding.names
        return {
            n: self._index(frozenset({n, *ancestors[n]} & set(names))) - self._index(frozenset(ancestors[n] & set(names))) for n in names
        }

    def _levels(self, uniform: Floats) -> Floats:
        """Points on the axes: places stay, levels are drawn by their weights."""
        points = uniform.copy()
        for j, axis in enumerate(self._axes.axes):
            if axis.levels is not None:
                points[:, j] = np.searchsorted(np.cumsum(axis.levels)[:-1], uniform[:, j], side="right")
        return points

    def _losses(self, points: Floats) -> Floats:
        """(n, budgets); a point's inactive coordinates count for nothing."""
        configs = [self._encoding.decode(row) for row in self._axes.rows(points)]
        rungs = self._problem.budgets.rungs
        seen = [[self._problem.evaluate(config, budget, seed=0).loss for budget in rungs] for config in configs]
        return np.array(seen, dtype=np.float64)

    def _index(self, names: frozenset[str]) -> Floats:
        """The closed index of some hyperparameters, (budgets)."""
        if names not in self._closed:
            frozen = np.array([name in names for name in self._encoding.names])
            other = self._losses(np.where(frozen, self._first, self._second))
            mean = (self._of_first + other).mean(0) / 2
            of_squares = (self._of_first**2 + other**2).mean(0) / 2
            self._closed[names] = ((self._of_first * other).mean(0) - mean**2) / (of_squares - mean**2)
        return self._closed[names]


def ancestors_of(space: ConfigurationSpace) -> dict[str, set[str]]:
    """Every hyperparameter that one depends on, directly or not."""
    found: dict[str, set[str]] = {}
    for name in space:  # parents first
        parents = {parent.name for parent in space.parents_of[name]}
        found[name] = parents.union(*(found[parent] for parent in parents))
    return found


def compare(problem: Problem, *, n: int, seeds: Sequence[int]) -> None:
    """Prints the tables of a problem."""
    truth = Truth(problem).shares()
    print(f"\n{problem.name}: true shares with parents, cheapest to dearest budget")
    for name, shares in sorted(truth.items(), key=lambda item: -item[1].max()):
        if shares.max() >= _MATTERS:
            print(f"  {name:20} " + " ".join(f"{share:6.3f}" for share in shares))
    print(f"{'seed':>4} {'of':8} {'budget':>8} {'n':>6} {'OOB R2':>7} {'rank rho':>9} {'first 3':>8} {'max error':>10}")
    for seed in seeds:
        with tempfile.TemporaryDirectory() as folder:
            study = write(Path(folder) / "study", problem, method="bohb", n=n, seed=seed, n_probes=n // 2)
            evaluations = list(fold(study.journal).evaluations())
        for rung, budget in enumerate(problem.budgets.rungs):
            here = [e for e in evaluations if e.trial.budget == budget and e.result.status is Status.OK]
            for of, chosen in (
                ("probes", [e for e in here if e.trial.origin is Origin.PROBE]),
                ("search", [e for e in here if e.trial.origin is not Origin.PROBE]),
            ):
                losses = np.array([e.result.loss for e in chosen], dtype=np.float64)
                row(problem, {k: v[rung] for k, v in truth.items()}, [e.trial.config for e in chosen], losses, (seed, of, budget))


def row(
    problem: Problem, truth: Mapping[str, float], configs: Sequence[Mapping[str, Value]], losses: Floats, about: tuple[int, str, float]
) -> None:
    """Prints how near the importances of some observations come to the truth."""
    found = explain(problem.space, configs, losses, seed=0).importance
    head = f"{about[0]:4d} {about[1]:8} {about[2]:8g} {len(configs):6d}"
    if found["refused"] is not None:
        print(f"{head} refused: {found['refused']}")
        return
    shares = {p["name"]: p["with_parents"] for p in found["parameters"]}
    matter = [name for name, share in truth.items() if share >= _MATTERS]
    rho = spearmanr([truth[k] for k in matter], [shares.get(k, 0.0) for k in matter]).statistic
    first = len(set(ranked(truth)[:3]) & set(ranked(shares)[:3]))
    error = max(abs(truth[k] - shares.get(k, 0.0)) for k in truth)
    print(f"{head} {found['oob_r2'] or 0:7.2f} {rho:9.2f} {first:6d}/3 {error:10.3f}", flush=True)


def ranked(shares: Mapping[str, float]) -> list[str]:
    """Names by falling share."""
    return sorted(shares, key=lambda name: -shares[name])


def main() -> None:
    """Prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--problem", nargs="+", default=list(PROBLEMS), help="noise-free problems")
    parser.add_argument("--n", type=int, default=2000, help="evaluations of each search; half as many probes")
    parser.add_argument("--seeds", type=int, default=3)
    chosen = parser.parse_args()
    for name in chosen.problem:
        compare(load_problem(name), n=chosen.n, seeds=range(chosen.seeds))


if __name__ == "__main__":
    main()
