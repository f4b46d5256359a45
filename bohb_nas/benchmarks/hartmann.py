"""Multi-fidelity Hartmann functions of three and six floats (as in mf-prior-bench): a purely numeric guard.

With t = ln z / ln 100 at the fidelity z = 3, 11, 33, 100,

    y(x, z) = -sum_i (alpha_i - bias (1 - t)) exp(-sum_j A_ij (x_j - P_ij)^2) + |eps| noise (1 - t)

at a cost of 0.05 + 0.95 (z / 100)^2. `good` has bias 2.5 and noise 2, `moderate` 3 and 3. Optima: -3.86278 and -3.32237.
"""

import math
from collections.abc import Mapping
from typing import cast

import numpy as np
from ConfigSpace import ConfigurationSpace, Float

from bohb_nas.arrays import Floats
from bohb_nas.benchmarks import Observation, Problem
from bohb_nas.benchmarks._laddered import Laddered, ladder, noise
from bohb_nas.records import Value

_FIDELITIES = (3, 11, 33, 100)
_LEVELS = {"good": (2.5, 2.0), "moderate": (3.0, 3.0)}
_ALPHA = np.array([1.0, 1.2, 3.0, 3.2])
_A = {
    3: np.array([[3, 10, 30], [0.1, 10, 35], [3, 10, 30], [0.1, 10, 35]]),
    6: np.array([[10, 3, 17, 3.5, 1.7, 8], [0.05, 10, 17, 0.1, 8, 14], [3, 3.5, 1.7, 10, 17, 8], [17, 8, 0.05, 10, 0.1, 14]]),
}
_P = {
    3: 1e-4 * np.array([[3689, 1170, 2673], [4699, 4387, 7470], [1091, 8732, 5547], [381, 5743, 8828]]),
    6: 1e-4
    * np.array(
        [
            [1312, 1696, 5569, 124, 8283, 5886],
            [2329, 4135, 8307, 3736, 1004, 9991],
            [2348, 1451, 3522, 2883, 3047, 6650],
            [4047, 8828, 8732, 5743, 1091, 381],
        ]
    ),
}
_OPTIMUM = {3: (0.114614, 0.555649, 0.852547), 6: (0.20169, 0.150011, 0.476874, 0.275332, 0.311652, 0.6573)}
_MEDIAN_SEED, _MEDIAN_SIZE = 0, 20_000


def instances() -> tuple[str, ...]:
    """DIMENSIONS-LEVEL."""
    return tuple(f"{d}-{level}" for d in _A for level in _LEVELS)


def problem(instance: str) -> Problem:
    """Of 3 or 6 floats, with good or moderate low fidelities."""
    dimensions, _, level = instance.partition("-")
    d, (bias, spread) = int(dimensions), _LEVELS[level]
    floats = tuple(f"x{i}" for i in range(d))
    space = ConfigurationSpace()
    space.add(*(Float(x, (0.0, 1.0)) for x in floats))
    short = [1 - math.log(z) / math.log(100) for z in _FIDELITIES]

    def point(config: Mapping[str, Value]) -> Floats:
        return np.array([cast(float, config[x]) for x in floats])

    def observe(config: Mapping[str, Value], rung: int, seed: int) -> Observation:
        z = _FIDELITIES[rung]
        loss = float(_value(point(config), _ALPHA - bias * short[rung]))
        if short[rung]:
            loss += abs(float(noise(seed, config, z).standard_normal())) * spread * short[rung]
        return Observation(loss=loss, cost=0.05 + 0.95 * (z / 100) ** 2)

    uniform = np.random.default_rng(_MEDIAN_SEED).random((_MEDIAN_SIZE, d))
    return Laddered(
        name=f"hartmann/{instance}",
        space=space,
        budgets=ladder(100.0, len(_FIDELITIES), unit="fidelity"),
        best=float(_value(np.array(_OPTIMUM[d]), _ALPHA)),
        median=float(np.median(_value(uniform, _ALPHA))),
        mean_cost=1.0,
        cost_unit="full evaluations",
        observe=observe,
        exact=lambda config: float(_value(point(config), _ALPHA)),
    )


def _value(x: Floats, alpha: Floats) -> Floats:
    """At x, (..., d), with the weights of the four hills, (4,): (...,)."""
    d = x.shape[-1]
    hills: Floats = np.exp(-(_A[d] * (x[..., None, :] - _P[d]) ** 2).sum(-1))
    return -(hills @ alpha)
