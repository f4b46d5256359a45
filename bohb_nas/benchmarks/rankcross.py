"""RankCross: low budgets mislead. Neighbouring rungs agree in their ranking, the cheapest and the dearest hardly do.

Six floats and two categoricals of four choices; epochs 1, 3, 9, 27, 81, costs in epochs, no noise. With z = epochs / 81,

    y(x, z) = r(z) F(x) + sqrt(1 - r(z)^2) H(x),    r(z) = 1 - (1 - r_min) (ln(1/z) / ln 81)^q

F is a smooth bowl on a logarithmic scale, H a sum of waves; both have mean 0 and variance 1 and are uncorrelated on a
reference sample of 20,000 uniform configurations, so the Pearson correlation of a rung to the full budget is r(z) there.

==========  =====  =  ================================
instance    r_min  q
==========  =====  =  ================================
0 … 4       0      1  the seed of the functions
mild/0 …    0.3    1
hostile/0…  -0.3   1
late/0 …    0      2  only the lowest rungs are bad
==========  =====  =  ================================
"""

import math
from collections.abc import Mapping
from typing import cast

import numpy as np
from ConfigSpace import Categorical, ConfigurationSpace, Float
from numpy.typing import NDArray

from bohb_nas.arrays import Floats
from bohb_nas.benchmarks import Observation, Problem
from bohb_nas.benchmarks._laddered import Laddered, ladder
from bohb_nas.records import Value

_EPOCHS = (1, 3, 9, 27, 81)
_SEEDS = range(5)
_VARIANTS = {"": (0.0, 1.0), "mild/": (0.3, 1.0), "hostile/": (-0.3, 1.0), "late/": (0.0, 2.0)}
_D, _K, _M = 6, 2, 4
_FLOATS = tuple(f"x{i}" for i in range(_D))
_CATEGORICALS = tuple(f"c{i}" for i in range(_K))
_CHOICES = {"a": 0, "b": 1, "c": 2, "d": 3}
_REFERENCE_SEED, _REFERENCE_SIZE = 12345, 20_000


def instances() -> tuple[str, ...]:
    """Seeds, then the variants of the module's table for each seed."""
    return tuple(f"{variant}{seed}" for variant in _VARIANTS for seed in _SEEDS)


def problem(instance: str) -> Problem:
    """Of a seed, perhaps a variant."""
    variant, seed = instance[:-1], int(instance[-1])
    name, functions = f"rankcross/{instance}", _Functions(seed)
    r_min, q = _VARIANTS[variant]
    agreement = [1 - (1 - r_min) * (math.log(81 / epochs) / math.log(81)) ** q for epochs in _EPOCHS]
    space = ConfigurationSpace()
    space.add(*(Float(x, (0.0, 1.0)) for x in _FLOATS), *(Categorical(c, list(_CHOICES)) for c in _CATEGORICALS))

    def parts(config: Mapping[str, Value]) -> tuple[float, float]:
        x = np.array([[cast(float, config[x]) for x in _FLOATS]])
        c = np.array([[_CHOICES[str(config[c])] for c in _CATEGORICALS]])
        F, H = functions(x, c)
        return float(F[0]), float(H[0])

    def observe(config: Mapping[str, Value], rung: int, seed: int) -> Observation:
        F, H = parts(config)
        r = agreement[rung]
        return Observation(loss=r * F + math.sqrt(1 - r * r) * H, cost=float(_EPOCHS[rung]))

    return Laddered(
        name=name,
        space=space,
        budgets=ladder(81.0, len(_EPOCHS), unit="epochs"),
        best=functions.best,
        median=functions.median,
        mean_cost=81.0,
        cost_unit="epochs",
        observe=observe,
        exact=lambda config: parts(config)[0],
    )


def reference_sample() -> tuple[Floats, NDArray[np.int64]]:
    """The uniform configurations on which both functions are standardised: (20000, 6) floats and (20000, 2) choices."""
    rng = np.random.default_rng(_REFERENCE_SEED)
    return rng.random((_REFERENCE_SIZE, _D)), rng.integers(_M, size=(_REFERENCE_SIZE, _K))


class _Functions:
    """F and H of one seed, standardised: (n, 6) floats and (n, 2) choices -> two arrays (n,)."""

    def __init__(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self._centre = rng.uniform(0.2, 0.8, _D)
        self._W = rng.standard_normal((_D, _D)) / math.sqrt(_D)
        self._D = 10 ** rng.uniform(-1, 0, _D)
        self._C = rng.uniform(0, 0.25, (_K, _M))
        self._C[np.arange(_K), rng.integers(_M, size=_K)] = 0.0
        self._omega = 4 * rng.standard_normal((64, _D))
        self._phase = rng.uniform(0, 2 * math.pi, 64)
        self._G = 0.7 * rng.standard_normal((_K, _M))
        F, H = self._raw(*reference_sample())
        self._means, self._deviations = (F.mean(), H.mean()), (F.std(), H.std())
        F, H = self._standard(F, H)
        self._rho = float(np.mean(F * H))
        self.best = -float(self._means[0] / self._deviations[0])
        """F at the centre with the free categories, where the bowl is 0."""
        self.median = float(np.median(F))
        """Of F on the reference sample."""

    def __call__(self, x: Floats, c: NDArray[np.int64]) -> tuple[Floats, Floats]:
        F, H = self._standard(*self._raw(x, c))
        return F, (H - self._rho * F) / math.sqrt(1 - self._rho**2)

    def _standard(self, F: Floats, H: Floats) -> tuple[Floats, Floats]:
        return (F - self._means[0]) / self._deviations[0], (H - self._means[1]) / self._deviations[1]

    def _raw(self, x: Floats, c: NDArray[np.int64]) -> tuple[Floats, Floats]:
        bowl = ((x - self._centre) @ self._W.T) ** 2 @ self._D + self._C[0, c[:, 0]] + self._C[1, c[:, 1]]
        waves = np.cos(x @ self._omega.T + self._phase).sum(1) / 8 + self._G[0, c[:, 0]] + self._G[1, c[:, 1]]
        return np.log1p(8 * bowl), waves
