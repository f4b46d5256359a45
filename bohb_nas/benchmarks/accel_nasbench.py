"""Accel-NASBench: 5,138 networks trained on ImageNet with a proxy schedule; loss 100 - top-1 accuracy in %, costs real seconds.

A pool without fidelities: a configuration stands for the nearest of the pool (levels of an ordinal equally far apart, from 0
to 1), and the ladder has one rung. Median and mean cost are over 5,000 uniform configurations.
"""

import csv
from collections.abc import Mapping

import numpy as np
from ConfigSpace import Categorical, ConfigurationSpace, OrdinalHyperparameter

from bohb_nas.benchmarks import Observation, Problem
from bohb_nas.benchmarks._data import data_file
from bohb_nas.benchmarks._laddered import Laddered, ladder
from bohb_nas.benchmarks._pool import Pool
from bohb_nas.records import Value

_BLOCKS = 7
_LAYERS = {5: (1, 2, 3, 4)}
"""Where they differ from 1 to 3."""
_STEPS = 6
"""Places are counted in sixths, so that they and their distances are whole numbers, exact in any order of summation."""
_RANDOM_SEED, _RANDOM_SIZE = 0, 5000


def instances() -> tuple[str, ...]:
    """ImageNet alone."""
    return ("imagenet",)


def problem(instance: str) -> Problem:
    """The networks: expansion, kernel, layers and squeeze-excite of seven blocks.

    Raises:
        ProblemError: no data.
    """
    levels = _levels()
    with data_file("accel_nasbench", "anb.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    places = {key: {level: i * _STEPS // (len(known) - 1) for i, level in enumerate(known)} for key, known in levels.items()}
    texts = {key: {str(level): place for level, place in known.items()} for key, known in places.items()}
    pool = Pool(np.array([[texts[key][row[key]] for key in levels] for row in rows], dtype=np.float64))
    losses = 100 - np.array([float(row["val_top1"]) for row in rows])
    seconds = np.array([float(row["train_time"]) for row in rows])
    space = ConfigurationSpace()
    for key, known in levels.items():
        space.add(Categorical(key, known) if key.endswith("_se") else OrdinalHyperparameter(key, known))

    def nearest(config: Mapping[str, Value]) -> int:
        return pool.nearest(np.array([known[config[key]] for key, known in places.items()], dtype=np.float64))

    def observe(config: Mapping[str, Value], rung: int, seed: int) -> Observation:
        row = nearest(config)
        return Observation(loss=float(losses[row]), cost=float(seconds[row]))

    rng = np.random.default_rng(_RANDOM_SEED)
    drawn = pool.nearest_rows(
        np.stack([rng.choice(list(known.values()), _RANDOM_SIZE) for known in places.values()], axis=1).astype(np.float64)
    )
    return Laddered(
        name="accel_nasbench/imagenet",
        space=space,
        budgets=ladder(1.0, 1, unit="training"),
        best=float(losses.min()),
        median=float(np.median(losses[drawn])),
        mean_cost=float(seconds[drawn].mean()),
        observe=observe,
        exact=lambda config: float(losses[nearest(config)]),
    )


def _levels() -> dict[str, list[Value]]:
    """Hyperparameter -> its values in order."""
    levels: dict[str, list[Value]] = {}
    for block in range(_BLOCKS):
        levels[f"block{block}_e"] = [1, 4, 6]
        levels[f"block{block}_k"] = [3, 5]
        levels[f"block{block}_l"] = list(_LAYERS.get(block, (1, 2, 3)))
        levels[f"block{block}_se"] = ["False", "True"]
    return levels
