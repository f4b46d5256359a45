"""What knowledge brings `bohb` on the virtual clock: a configuration to try first, priors, earlier studies; right and wrong.

What is tried first, and the centre of the good prior, is the best of a random search of 1,000 configurations scored
without noise at the largest budget; the centre of the wrong prior is its worst. The confidence is 0.5. Earlier studies
are `bohb` with other seeds and noise, as long as the search itself: of the same problem, of a sibling (another data set
of its family), or of the problem with its losses negated, which sought the worst. Each seed has configurations and
earlier studies of its own, and is paired with the search that knows nothing. Problems whose data are not there
(BOHB_NAS_DATA) are named and left out. About 11 minutes.

    python bench/knowledge.py [--seeds 10] [--problem NAME ...]
"""

# ruff: noqa: E402 - the number of BLAS threads is read when numpy is first imported
import argparse
import os

for threads in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[threads] = "1"

import time
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from bohb_nas.benchmarks import Observation, Problem, load_problem
from bohb_nas.errors import ProblemError
from bohb_nas.knowledge import NOTHING, Belief, Knowledge
from bohb_nas.methods import Method, make_optimizer
from bohb_nas.records import Evaluation, Idle, Result, Trial, Value
from bohb_nas.simulation.clock import simulate
from bohb_nas.simulation.statistics import holm, normalised_regret, time_to_reach, value_at, wilcoxon
from bohb_nas.space.encoding import Encoding
from bohb_nas.space.legality import restricted

PROBLEMS = ("counting_ones/16+16", "hartmann/6-moderate", "condnet/noisy", "lcbench/189906", "rbv2_xgboost/16", "nb301_v0/cifar10")
SIBLINGS = {"lcbench/189906": "lcbench/167168", "rbv2_xgboost/16": "rbv2_xgboost/12"}
VARIANTS = ("nothing", "good initial", "good prior", "wrong prior", "earlier study", "sibling's study", "misleading study")
CHECKPOINTS = (2.0, 5.0, 10.0, 20.0)
"""In mean costs of a full training; the last is the horizon."""
TARGET = 2
"""The checkpoint whose regret without knowledge is the target of the time to reach it."""
N_WORKERS = 4
CONFIDENCE = 0.5
N_DRAWS = 1000
EARLIER = 1000
"""Added to the seed of a search for that of its earlier studies."""


class Negated:
    """A problem in which good is bad."""

    def __init__(self, problem: Problem) -> None:
        self._problem = problem
        self.name, self.space, self.budgets, self.mean_cost = problem.name, problem.space, problem.budgets, problem.mean_cost
        self.best, self.median, self.cost_unit = -problem.median, -problem.best, problem.cost_unit

    def evaluate(self, config: Mapping[str, Value], budget: float, *, seed: int) -> Observation:
        seen = self._problem.evaluate(config, budget, seed=seed)
        return seen if seen.loss is None else replace(seen, loss=-seen.loss)

    def truth(self, config: Mapping[str, Value]) -> float:
        return -self._problem.truth(config)


class Recorded:
    """An optimizer that keeps what it was told."""

    def __init__(self, optimizer: Method) -> None:
        self._optimizer = optimizer
        self._asked: dict[str, Trial] = {}
        self.evaluations: list[Evaluation] = []

    def ask(self) -> Trial | Idle:
        trial = self._optimizer.ask()
        if isinstance(trial, Trial):
            self._asked[trial.trial_id] = trial
        return trial

    def tell(self, result: Result) -> None:
        self._optimizer.tell(result)
        self.evaluations.append(Evaluation(trial=self._asked[result.trial_id], result=result))


def earlier_study(problem: Problem, *, of: Problem, seed: int) -> Knowledge:
    """What a finished study of a problem tells a search on another."""
    optimizer = Recorded(make_optimizer("bohb", space=of.space, budgets=of.budgets, seed=seed, n_workers=N_WORKERS))
    simulate(optimizer, of, n_workers=N_WORKERS, horizon=CHECKPOINTS[-1] * of.mean_cost, seed=seed)
    history = []
    for n, e in enumerate(optimizer.evaluations):
        trial = replace(
            e.trial, trial_id=f"w0-{n:05d}", config_id=f"w0-{e.trial.config_id}", config=restricted(problem.space, e.trial.config)
        )
        history.append(Evaluation(trial=trial, result=replace(e.result, trial_id=trial.trial_id)))
    return Knowledge(history=tuple(history))


def searched(problem: Problem, seed: int) -> tuple[dict[str, Value], dict[str, Value]]:
    """The best and the worst configuration of a long random search."""
    encoding = Encoding(problem.space)
    rng = np.random.default_rng((EARLIER, seed))
    configs = [encoding.sample(int(s)) for s in rng.integers(2**31, size=N_DRAWS)]
    losses = np.array([problem.truth(config) for config in configs])
    assert np.isfinite(losses).all()
    return configs[int(losses.argmin())], configs[int(losses.argmax())]


def prior(center: Mapping[str, Value]) -> Knowledge:
    """A belief in every active hyperparameter of a configuration."""
    return Knowledge(prior={name: Belief(center=value, confidence=CONFIDENCE) for name, value in center.items()})


def known(problem: Problem, sibling: Problem | None, seed: int) -> tuple[dict[str, Knowledge], list[float]]:
    """By variant what is known, and the regrets of the two centres."""
    good, wrong = searched(problem, seed)
    of = {"earlier study": problem, "sibling's study": sibling, "misleading study": Negated(problem)}
    knowledge = {"nothing": NOTHING, "good initial": Knowledge(initial=(good,)), "good prior": prior(good), "wrong prior": prior(wrong)}
    knowledge |= {name: earlier_study(problem, of=other, seed=EARLIER + seed) for name, other in of.items() if other is not None}
    centers = normalised_regret([problem.truth(good), problem.truth(wrong)], best=problem.best, median=problem.median)
    return knowledge, centers.tolist()


def regret(problem: Problem, knowledge: Knowledge, *, seed: int) -> tuple[list[float], list[float]]:
    """When the normalised regret of the recommended configuration changed, in mean costs, and what to."""
    optimizer = make_optimizer("bohb", space=problem.space, budgets=problem.budgets, seed=seed, n_workers=N_WORKERS, knowledge=knowledge)
    run = simulate(optimizer, problem, n_workers=N_WORKERS, horizon=CHECKPOINTS[-1] * problem.mean_cost, seed=seed)
    times = [incumbent.time / problem.mean_cost for incumbent in run.recommended]
    values = normalised_regret([incumbent.loss for incumbent in run.recommended], best=problem.best, median=problem.median)
    return times, values.tolist()


def measure(name: str, n_seeds: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Regrets at the checkpoints and times to reach the target on one problem.

    Returns:
        (V, S, C) and (V, S); NaN for a variant that the problem does not have.
    """
    problem = load_problem(name)
    sibling = load_problem(SIBLINGS[name]) if name in SIBLINGS else None
    regrets = np.full((len(VARIANTS), n_seeds, len(CHECKPOINTS)), np.nan)
    steps: dict[tuple[int, int], tuple[list[float], list[float]]] = {}
    centers = []
    for seed in range(n_seeds):
        knowledge, of_centers = known(problem, sibling, seed)
        centers.append(of_centers)
        for v, variant in enumerate(VARIANTS):
            if variant in knowledge:
                steps[v, seed] = regret(problem, knowledge[variant], seed=seed)
                regrets[v, seed] = value_at(*steps[v, seed], CHECKPOINTS)
    target = float(regrets[0, :, TARGET].mean())
    reached = np.full(regrets.shape[:2], np.nan)
    for place, run in steps.items():
        reached[place] = time_to_reach(*run, target)
    good, wrong = np.mean(centers, axis=0)
    print(f"{problem.name}: regret of the good centre {good:.3f}, of the wrong one {wrong:.2f} (means over seeds)", flush=True)
    return regrets, reached


def row(problem: str, variant: str, regrets: NDArray[np.float64], marks: list[str], reached: NDArray[np.float64]) -> str:
    """A row of the table: mean and standard error over seeds of regrets (S, C), and the median time to reach the target (S,)."""
    mean, error = regrets.mean(axis=0), regrets.std(axis=0, ddof=1) / len(regrets) ** 0.5
    cells = [f"{m:.3f} ± {e:.3f}{mark}" for m, e, mark in zip(mean, error, marks, strict=True)]
    middle = float(np.median(reached))
    there = f"{middle:.1f}" if middle <= CHECKPOINTS[-1] else f"> {CHECKPOINTS[-1]:g}"
    return f"| {problem} | {variant} | {len(regrets)} | {' | '.join(cells)} | {there} |"


def table(names: list[str], regrets: NDArray[np.float64], reached: NDArray[np.float64]) -> None:
    """Prints one row for each problem and variant.

    Args:
        names: of P problems.
        regrets: (P, V, S, C)
        reached: (P, V, S)
    """
    heads = [f"regret at {c:g}" for c in CHECKPOINTS]
    print(f"\n| problem | known | n | {' | '.join(heads)} | reaches {CHECKPOINTS[TARGET]:g}'s at |\n|{'---|' * (len(heads) + 4)}")
    p_values = tests(regrets)
    for p, name in enumerate(names):
        for v, variant in enumerate(VARIANTS):
            if not np.isnan(regrets[p, v]).any():
                better = regrets[p, v].mean(axis=0) < regrets[p, 0].mean(axis=0)
                marks = [("" if not x < 0.05 else " \\*" if b else " !") for x, b in zip(p_values[p, v], better, strict=True)]
                print(row(name, variant, regrets[p, v], marks, reached[p, v]))


def tests(regrets: NDArray[np.float64]) -> NDArray[np.float64]:
    """P-values against knowing nothing, two-sided over paired seeds, corrected over problems: (P, V, S, C) -> (P, V, C)."""
    p_values = np.full((*regrets.shape[:2], regrets.shape[3]), np.nan)
    for p, v, c in np.ndindex(p_values.shape):
        p_values[p, v, c] = wilcoxon(regrets[p, v, :, c] - regrets[p, 0, :, c])
    for v, c in np.ndindex(p_values.shape[1:]):
        p_values[:, v, c] = holm(p_values[:, v, c])
    return p_values


def over_problems(regrets: NDArray[np.float64]) -> None:
    """Prints, for each variant, the mean over its problems beside that of knowing nothing there: (P, V, S, C)."""
    print(
        "\n| known | problems | n | " + " | ".join(f"difference at {c:g}" for c in CHECKPOINTS) + f" |\n|{'---|' * (len(CHECKPOINTS) + 3)}"
    )
    for v, variant in enumerate(VARIANTS[1:], start=1):
        there = ~np.isnan(regrets[:, v]).any(axis=(1, 2))
        if not there.any():
            continue
        without = regrets[there, 0].mean(axis=0)
        differences = regrets[there, v].mean(axis=0) - without
        cells = []
        for c in range(len(CHECKPOINTS)):
            mean, error = differences[:, c].mean(), differences[:, c].std(ddof=1) / len(differences) ** 0.5
            share, p = mean / without[:, c].mean(), wilcoxon(differences[:, c])
            cells.append(f"{mean:+.3f} ± {error:.3f} ({share:+.0%}, p = {p:.3f})")
        print(f"| {variant} | {there.sum()} | {len(differences)} | {' | '.join(cells)} |")


def main() -> None:
    """Prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--problem", action="append", help=f"default: {', '.join(PROBLEMS)}")
    said = parser.parse_args()
    if said.seeds < 2:
        parser.error(f"--seeds {said.seeds}: accepted is a whole number from 2, for standard errors")
    names, measured = [], []
    began = time.process_time()
    for name in said.problem or PROBLEMS:
        try:
            measured.append(measure(name, said.seeds))
        except ProblemError as e:
            print(f"skipped: {name}: {e}")
        else:
            names.append(name)
    if not names:
        return
    regrets, reached = np.array([m[0] for m in measured]), np.array([m[1] for m in measured])
    print(f"W = {N_WORKERS}; time in mean costs of a full training; mean normalised regret ± standard error over n paired seeds")
    print("better (*) and worse (!) than knowing nothing: Wilcoxon over seeds, two-sided, Holm over problems, alpha .05")
    print(f"last column: median time at which the mean regret of knowing nothing at {CHECKPOINTS[TARGET]:g} is reached")
    table(names, regrets, reached)
    over_problems(regrets)
    print(f"\n{time.process_time() - began:.0f} s of CPU")


if __name__ == "__main__":
    main()
