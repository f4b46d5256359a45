"""TaskSet (Metz et al. 2020): the optimizer of a text network, 8 hyperparameters; loss validation loss, checkpoints 2, 6, 17, 51.

A pool of 1,000 training runs per task; a configuration stands for the nearest of them in the unit cube of logarithms (of
1 - beta for the two betas). A run that has diverged by a checkpoint is `diverged` there. Costs are checkpoints.

Losses reach 10^18, so the noise-free loss is cut at the 90 % quantile of those runs that end, which is also that of a
diverged one: one bad incumbent must not outweigh all others in a mean. The median is over 5,000 uniform configurations.
"""

import math
from collections.abc import Mapping
from typing import cast

import numpy as np
from ConfigSpace import ConfigurationSpace, Float

from bohb_nas.benchmarks import Observation, Problem
from bohb_nas.benchmarks._data import data_file, data_files
from bohb_nas.benchmarks._laddered import Laddered, ladder
from bohb_nas.benchmarks._pool import Pool
from bohb_nas.records import Status, Value

_PREFIX = "FixedTextRNNClassification_imdb_"
_CHECKPOINTS = (2, 6, 17, 51)
_CUT = 0.9
_RANDOM_SEED, _RANDOM_SIZE = 0, 5000
_RANGES = {
    "learning_rate": (1e-8, 1e1),
    "one_minus_beta1": (1e-4, 1.0),
    "one_minus_beta2": (1e-6, 1.0),
    "epsilon": (1e-10, 1e3),
    "l1": (1e-8, 1e1),
    "l2": (1e-8, 1e1),
    "linear_decay": (1e-7, 1e-4),
    "exponential_decay": (1e-6, 1e-3),
}
"""In the order of the stored columns; as published."""


def instances() -> tuple[str, ...]:
    """The tasks: patch length, network, how its states are read, batch size."""
    return tuple(name.removeprefix(_PREFIX) for name in data_files("taskset"))


def problem(instance: str) -> Problem:
    """Of one task.

    Raises:
        ProblemError: no data.
    """
    with np.load(data_file("taskset", f"{_PREFIX}{instance}.npz")) as stored:
        hyperparameters, curves = stored["hp"], stored["valid"].astype(np.float64)[:, [c - 1 for c in _CHECKPOINTS]]  # [1000, 8], [1000, 4]
    hyperparameters[:, 1:3] = 1 - hyperparameters[:, 1:3]
    lows, scales = (np.array(x) for x in zip(*((math.log(lo), math.log(hi / lo)) for lo, hi in _RANGES.values()), strict=True))
    pool = Pool((np.log(hyperparameters) - lows) / scales)
    final = curves[:, -1]
    worst = float(np.nanquantile(final, _CUT))
    truths = np.where(np.isnan(final), worst, np.minimum(final, worst))
    space = ConfigurationSpace()
    space.add(*(Float(key, bounds, log=True) for key, bounds in _RANGES.items()))

    def row(config: Mapping[str, Value]) -> int:
        return pool.nearest((np.log([cast(float, config[key]) for key in _RANGES]) - lows) / scales)

    def observe(config: Mapping[str, Value], rung: int, seed: int) -> Observation:
        loss, cost = float(curves[row(config), rung]), float(_CHECKPOINTS[rung])
        if not math.isfinite(loss):
            return Observation(loss=None, cost=cost, status=Status.DIVERGED)
        return Observation(loss=loss, cost=cost)

    uniform = np.random.default_rng(_RANDOM_SEED).random((_RANDOM_SIZE, len(_RANGES)))
    return Laddered(
        name=f"taskset/{instance}",
        space=space,
        budgets=ladder(51.0, len(_CHECKPOINTS), unit="checkpoints"),
        best=float(truths.min()),
        median=float(np.median(truths[pool.nearest_rows(uniform)])),
        mean_cost=51.0,
        cost_unit="checkpoints",
        observe=observe,
        exact=lambda config: float(truths[row(config)]),
    )
