"""Counting ones (Falkner, Klein and Hutter 2018): many independent bits and probabilities, low budgets that tell the truth.

    f(x, b) = -(sum of the bits + sum over the probabilities p of Binomial(b, p) / b),    b = 9, 27, 81, 243, 729

Costs are samples b. An instance is BITS+PROBABILITIES; the optimum is minus their number, at all ones.
"""

from collections.abc import Mapping
from typing import cast

import numpy as np
from ConfigSpace import Categorical, ConfigurationSpace, Float

from bohb_nas.benchmarks import Observation, Problem
from bohb_nas.benchmarks._laddered import Laddered, ladder, noise
from bohb_nas.records import Value

_SAMPLES = (9, 27, 81, 243, 729)
_INSTANCES = {"4+4": (4, 4), "8+8": (8, 8), "16+16": (16, 16), "32+32": (32, 32)}


def instances() -> tuple[str, ...]:
    """BITS+PROBABILITIES."""
    return tuple(_INSTANCES)


def problem(instance: str) -> Problem:
    """Of so many bits and probabilities."""
    n_bits, n_probabilities = _INSTANCES[instance]
    bits = tuple(f"bit_{i}" for i in range(n_bits))
    probabilities = tuple(f"probability_{i}" for i in range(n_probabilities))
    space = ConfigurationSpace()
    space.add(*(Categorical(bit, [0, 1]) for bit in bits), *(Float(p, (0.0, 1.0)) for p in probabilities))

    def parts(values: Mapping[str, Value]) -> tuple[int, list[float]]:
        config = cast(Mapping[str, float], values)
        return int(sum([config[bit] for bit in bits])), [config[p] for p in probabilities]

    def observe(config: Mapping[str, Value], rung: int, seed: int) -> Observation:
        ones, chances = parts(config)
        b = _SAMPLES[rung]
        drawn = int(noise(seed, config, b).binomial(b, np.array(chances)).sum())
        return Observation(loss=-(ones + drawn / b), cost=float(b))

    def exact(config: Mapping[str, Value]) -> float:
        ones, chances = parts(config)
        return -(ones + sum(chances))

    d = n_bits + n_probabilities
    return Laddered(
        name=f"counting_ones/{instance}",
        space=space,
        budgets=ladder(729.0, len(_SAMPLES), unit="samples"),
        best=-float(d),
        median=-d / 2,  # the distribution over random configurations is symmetric about it
        mean_cost=729.0,
        cost_unit="samples",
        observe=observe,
        exact=exact,
    )
