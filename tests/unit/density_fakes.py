"""Densities of configurations, and the same once more: one configuration, one datum, one hyperparameter at a time, in loops."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from ConfigSpace import (
    ConfigurationSpace,
    OrdinalHyperparameter,
)
from ConfigSpace.hyperparameters import (
    CategoricalHyperparameter,
    FloatHyperparameter,
    IntegerHyperparameter,
)
from scipy import stats
from space_fakes import edges_by_hand, everything, finite, points_of

from bohb_nas import refs
from bohb_nas.records import Value
from bohb_nas.samplers.density import Columns, Mixture, mixture
from bohb_nas.space.axes import Axes
from bohb_nas.space.encoding import Encoding
from bohb_nas.space.files import load_space

Config = Mapping[str, Value]


NAN = float("nan")


MANY = 1e9
"""Mutations without a limit."""


def columns_of(space: ConfigurationSpace) -> Columns:
    return Columns(Axes(Encoding(space)).axes)


def fitted(
    space: ConfigurationSpace,
    configs: Sequence[Config],
    *,
    weights: Sequence[float] | None = None,
    prior_weight: float = 1.0,
    floor: float = 0.03,
    mutations: float = MANY,
) -> Mixture:
    weighted = np.ones(len(configs)) if weights is None else np.array(weights, dtype=float)
    data = points_of(space, configs)
    return mixture(columns_of(space), data, weighted, prior_weight=prior_weight, floor=floor, mutations=mutations)


def log_density(found: Mixture, points: np.ndarray) -> np.ndarray:
    return found.log_density(found.columns.features(points))


def sampled(space: ConfigurationSpace, n: int, *, first: int = 0) -> list[dict[str, Value]]:
    return [Encoding(space).sample(seed) for seed in range(first, first + n)]


def tail(z: float, w: float) -> float:
    """Standard normal mass between z and w, whose digits survive in either tail."""
    return float(stats.norm.sf(z) - stats.norm.sf(w) if z > 0 else stats.norm.cdf(w) - stats.norm.cdf(z))


@dataclass(frozen=True)
class Plain:
    """A density by the book, in loops."""

    space: ConfigurationSpace
    configs: Sequence[Config]
    weights: Sequence[float]
    prior_weight: float
    floor: float
    mutations: float
    bandwidths: dict[tuple[int, str], float] = field(default_factory=dict)
    """Those that are known by now: they are the same for whatever configuration is asked about."""

    def log_density(self, config: Config) -> float:
        names = [name for name in config if self.space[name].size > 1]
        logs = [math.log(w) + sum(self._kernel(n, name, config) for name in names) for n, w in enumerate(self.weights) if w > 0]
        logs += [math.log(self.prior_weight) + sum(self._prior(name, config[name]) for name in names)]
        return float(np.logaddexp.reduce(logs)) - math.log(sum(self.weights) + self.prior_weight)

    def _prior(self, name: str, value: Value) -> float:
        match self.space[name]:
            case CategoricalHyperparameter() as h:
                return math.log(h.probabilities[list(h.choices).index(value)])
            case FloatHyperparameter():
                return 0.0
            case _ if (cell := self._cell(name, value)) is not None:
                return math.log(cell[1] - cell[0])
            case _:
                return 0.0

    def _kernel(self, n: int, name: str, config: Config) -> float:
        value, datum = config[name], self.configs[n].get(name)
        if datum is None:
            return self._prior(name, value)
        if isinstance(self.space[name], CategoricalHyperparameter):
            e = self._exploration(name)
            return math.log(e * math.exp(self._prior(name, value)) + (1 - e if value == datum else 0))
        m, h = self._place(name, datum), self._bandwidth(n, name)
        cell = self._cell(name, value)
        if cell is None:
            return float(stats.truncnorm.logpdf(self._place(name, value), -m / h, (1 - m) / h, loc=m, scale=h))
        return math.log(max(tail((cell[0] - m) / h, (cell[1] - m) / h) / tail(-m / h, (1 - m) / h), 1e-300))

    def _exploration(self, name: str) -> float:
        n_columns = sum(isinstance(h, CategoricalHyperparameter) and len(h.choices) > 1 for h in self.space.values())
        c, n = int(self.space[name].size), len(self.configs)
        return min(min(max(c / (c + n), 0.05), 0.8), max(self.mutations / n_columns, 0.02))

    def _bandwidth(self, n: int, name: str) -> float:
        if (n, name) not in self.bandwidths:
            self.bandwidths[n, name] = self._bandwidth_by_hand(n, name)
        return self.bandwidths[n, name]

    def _bandwidth_by_hand(self, n: int, name: str) -> float:
        places = [(self._place(name, config[name]), i) for i, config in enumerate(self.configs) if name in config]
        ordered = sorted(places)
        at = ordered.index((self._place(name, self.configs[n][name]), n))
        line = [0.0, *(place for place, _ in ordered), 1.0]
        gap = max(line[at + 1] - line[at], line[at + 2] - line[at + 1])
        return min(max(gap, self.floor, 1 / min(100, len(self.configs) + 1) ** 2), 1.0)

    def _cell(self, name: str, value: Value) -> tuple[float, float] | None:
        match self.space[name]:
            case IntegerHyperparameter() as h if h.upper - h.lower < 128:
                assert isinstance(value, int)
                edges = edges_by_hand(int(h.lower), int(h.upper), log=h.log)
                return edges[value - int(h.lower)], edges[value - int(h.lower) + 1]
            case OrdinalHyperparameter() as h:
                i = list(h.sequence).index(value)
                return i / len(h.sequence), (i + 1) / len(h.sequence)
            case _:
                return None

    def _place(self, name: str, value: Value) -> float:
        if (cell := self._cell(name, value)) is not None:
            return (cell[0] + cell[1]) / 2
        h: Any = self.space[name]
        assert isinstance(value, int | float)
        half = 0.5 if isinstance(h, IntegerHyperparameter) else 0.0
        if h.log:
            return math.log(value / (h.lower - half)) / math.log((h.upper + half) / (h.lower - half))
        return float((value - h.lower + half) / (h.upper - h.lower + 2 * half))


SPACES = {"everything": everything, "finite": finite} | {n: (lambda n=n: load_space(n)) for n in refs.names("space")}
