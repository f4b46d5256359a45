"""Searches over one to three numbers on the virtual clock: `bohb` beside `bohb_2018`, `hyperband` and random search.

Eight functions of one, two and three floats, scaled so that the minimum is 0 and the median of the space is 1; a budget of
1, 3, 9 or 27 costs as much. A cheaper budget adds a smooth function that belongs to the seed, (mean squared distance to a random
point) * bias * log3(27 / budget) / 3, and every observation has noise of 0.02. With a bias of 0.5 cheap budgets mislead a
little, with 4 much. Means over the functions of the logarithm of (regret + .01), as a regret; and by how many functions
`bohb` is ahead.

Then the first three picks of the model beside an earlier study of the same function, as the regret that they have: by
chance the median is 1. About 5 minutes.

    python bench/few_dimensions.py [--seeds 20] [--workers 4]
"""

# ruff: noqa: E402 - the number of BLAS threads is read when numpy is first imported
import argparse
import os

for threads in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[threads] = "1"

import math
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np
from ConfigSpace import ConfigurationSpace
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.stats import qmc

from bohb_nas.benchmarks import Observation
from bohb_nas.knowledge import Knowledge
from bohb_nas.methods import make_optimizer
from bohb_nas.records import Budgets, Evaluation, Origin, Result, Status, Trial, Value
from bohb_nas.simulation.clock import simulate
from bohb_nas.simulation.statistics import value_at

BUDGETS = Budgets(min=1.0, max=27.0, eta=3.0, unit="units")
METHODS = ("bohb", "bohb_2018", "hyperband", "random_search")
CHECKPOINTS = (5.0, 10.0, 20.0)
"""In full trainings; the last is the horizon."""
BIASES = (0.5, 4.0)
NOISE = 0.02

Place = Sequence[float] | NDArray[np.float64]
Function = Callable[[Place], float]


def forrester(x: Place) -> float:
    """Forrester, Sobester, Keane 2008."""
    return float((6 * x[0] - 2) ** 2 * math.sin(12 * x[0] - 4))


def gramacy(x: Place) -> float:
    """Gramacy, Lee 2012, on [0.5, 2.5]."""
    u = 0.5 + 2 * x[0]
    return math.sin(10 * math.pi * u) / (2 * u) + (u - 1) ** 4


def branin(x: Place) -> float:
    """Dixon, Szego 1978, on [-5, 10] x [0, 15]."""
    u, v = 15 * x[0] - 5, 15 * x[1]
    return float((v - 5.1 / (4 * math.pi**2) * u**2 + 5 / math.pi * u - 6) ** 2 + 10 * (1 - 1 / (8 * math.pi)) * math.cos(u) + 10)


def valley(x: Place) -> float:
    """Narrow and askew."""
    return float(4 * abs(x[0] + x[1] - 1.1) + abs(x[0] - 0.8))


def waves(x: Place) -> float:
    """A bowl with ripples."""
    return sum(25 * (v - 0.37) ** 2 + 5 - 5 * math.cos(2 * math.pi * 10 * (v - 0.37) / 3) for v in x)


def corners(*places: float) -> Function:
    """The distance to a place, added up over dimensions."""
    return lambda x: sum(abs(a - b) for a, b in zip(x, places, strict=True))


FUNCTIONS: Mapping[str, tuple[int, Function]] = {
    "forrester": (1, forrester),
    "gramacy": (1, gramacy),
    "edge": (1, corners(0.97)),
    "branin": (2, branin),
    "valley": (2, valley),
    "waves": (2, waves),
    "corners 2": (2, corners(0.31, 0.72)),
    "corners 3": (3, corners(0.31, 0.72, 0.9)),
}


class Curve:
    """A function as a problem; its cheap budgets belong to a seed."""

    mean_cost = BUDGETS.max
    cost_unit = BUDGETS.unit

    def __init__(self, name: str, *, bias: float, seed: int) -> None:
        d, self._function = FUNCTIONS[name]
        self.name, self.space, self.budgets = name, ConfigurationSpace({f"x{i}": (0.0, 1.0) for i in range(d)}), BUDGETS
        self.best, self.median = 0.0, 1.0
        self._lowest, middle = levels(name)
        self._unit = middle - self._lowest
        self._bias, self._wrong = bias, np.random.default_rng((seed, 1)).random(d)

    def evaluate(self, config: Mapping[str, Value], budget: float, *, seed: int) -> Observation:
        distance = float(np.mean((self._place(config) - self._wrong) ** 2))
        key = zlib.crc32(repr((sorted(config.items()), budget, seed)).encode())
        noise = NOISE * np.random.default_rng(key).standard_normal()
        return Observation(loss=self.truth(config) + self._bias * distance * math.log(27 / budget, 3) / 3 + noise, cost=budget)

    def truth(self, config: Mapping[str, Value]) -> float:
        return (self._function(self._place(config)) - self._lowest) / self._unit

    def _place(self, config: Mapping[str, Value]) -> NDArray[np.float64]:
        return np.array([config[f"x{i}"] for i in range(len(config))], dtype=np.float64)


LEVELS: dict[str, tuple[float, float]] = {}


def levels(name: str) -> tuple[float, float]:
    """The minimum of a function and its median over the unit cube."""
    if name not in LEVELS:
        d, function = FUNCTIONS[name]
        places = qmc.Sobol(d, seed=0).random(2**14)
        values = np.array([function(place) for place in places])
        best = minimize(lambda x: function(np.clip(x, 0, 1)), places[values.argmin()], method="Nelder-Mead", options={"xatol": 1e-8})
        LEVELS[name] = float(best.fun), float(np.median(values))
    return LEVELS[name]


def regrets(method: str, name: str, *, bias: float, seeds: int, workers: int) -> NDArray[np.float64]:
    """The mean regret over seeds at the checkpoints, (C,)."""
    found = []
    for seed in range(seeds):
        problem = Curve(name, bias=bias, seed=seed)
        optimizer = make_optimizer(method, space=problem.space, budgets=BUDGETS, seed=seed, n_workers=workers)
        run = simulate(optimizer, problem, n_workers=workers, horizon=CHECKPOINTS[-1] * problem.mean_cost, seed=seed)
        times = [incumbent.time / problem.mean_cost for incumbent in run.recommended]
        found.append(value_at(times, [incumbent.loss for incumbent in run.recommended], CHECKPOINTS))
    return np.asarray(np.mean(found, axis=0))


def searches(seeds: int, workers: int) -> None:
    """Prints a table for each bias."""
    for bias in BIASES:
        table = {
            method: np.array([regrets(method, name, bias=bias, seeds=seeds, workers=workers) for name in FUNCTIONS]) for method in METHODS
        }
        heads = [*(f"at {c:g}" for c in CHECKPOINTS), f"`bohb` is ahead at {CHECKPOINTS[-1]:g} on"]
        print(f"\nbias {bias:g}, {workers} worker(s), {seeds} seeds\n\n| method | {' | '.join(heads)} |")
        print(f"|{'---|' * (len(heads) + 1)}")
        for method, rows in table.items():
            means = np.exp(np.log(rows + 0.01).mean(axis=0)) - 0.01
            ahead = int((table["bohb"][:, -1] < rows[:, -1]).sum())
            print(f"| `{method}` | {' | '.join(f'{m:.4f}' for m in means)} | {'' if method == 'bohb' else f'{ahead} of {len(rows)}'} |")


def told(problem: Curve, n: int, seed: int, knowledge: Knowledge) -> list[tuple[Trial, Result]]:
    """What `bohb` asks one after another, and is told."""
    optimizer = make_optimizer("bohb", space=problem.space, budgets=BUDGETS, seed=seed, knowledge=knowledge)
    answers = []
    for _ in range(n):
        trial = optimizer.ask()
        assert isinstance(trial, Trial)
        seen = problem.evaluate(trial.config, trial.budget, seed=trial.seed)
        result = Result(trial_id=trial.trial_id, status=Status.OK, loss=seen.loss, train_s=seen.cost)
        optimizer.tell(result)
        answers.append((trial, result))
    return answers


def beside_earlier(seeds: int) -> None:
    """Prints the regret of first picks beside an earlier study."""
    print(f"\nfirst three picks beside an earlier study, median (quartiles) of their regret, {seeds} seeds\n\n| earlier trials |", end="")
    print(f" {' | '.join(FUNCTIONS)} |\n|{'---|' * (len(FUNCTIONS) + 1)}")
    for n in (20, 47, 150):
        cells = []
        for name in FUNCTIONS:
            picks = []
            for seed in range(seeds):
                problem = Curve(name, bias=BIASES[0], seed=seed)
                history = [
                    Evaluation(
                        trial=replace(trial, trial_id=f"w0-{trial.trial_id}", resume_from=None),
                        result=replace(result, trial_id=f"w0-{trial.trial_id}", details={"study": "earlier"}),
                    )
                    for trial, result in told(problem, n, 1000 + seed, Knowledge())
                ]
                first = told(problem, 6, seed, Knowledge(history=tuple(history)))
                picks += [problem.truth(trial.config) for trial, _ in first if trial.origin is Origin.MODEL][:3]
            low, middle, high = np.quantile(picks, [0.25, 0.5, 0.75])
            cells.append(f"{middle:.2f} ({low:.2f} to {high:.2f})")
        print(f"| {n} | {' | '.join(cells)} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--workers", type=int, default=4)
    options = parser.parse_args()
    beside_earlier(options.seeds)
    searches(options.seeds, options.workers)


if __name__ == "__main__":
    main()
