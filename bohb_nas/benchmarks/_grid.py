"""Families that are full tables of final values, several repetitions each, without a fidelity or a cost of their own.

The budget is how many of the stored repetitions are averaged, and so is the cost: cheaper means noisier, and nothing else.
The order in which repetitions are taken is shuffled once per seed; the noise-free value is the mean of all.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from ConfigSpace import Categorical, ConfigurationSpace, OrdinalHyperparameter
from ConfigSpace.hyperparameters import Hyperparameter

from bohb_nas.benchmarks import Observation, Problem
from bohb_nas.benchmarks._data import data_file, data_files, read_json
from bohb_nas.benchmarks._laddered import Laddered, ladder
from bohb_nas.records import Value


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """A family of tables of one space."""

    folder: str
    """Under `benchmarks/`; also the family's name."""
    whole: float | None = None
    """What a perfect value is worth where more is better: the loss is `whole` minus value. None: the value is the loss."""
    averaged: tuple[int, ...]
    """How many repetitions, by rung; the last is all."""

    def instances(self) -> tuple[str, ...]:
        """The tables of the folder.

        Raises:
            ProblemError: no data.
        """
        return data_files(self.folder)

    def problem(self, instance: str) -> Problem:
        """A table. Best and median are those of the whole table.

        Raises:
            ProblemError: no data.
        """
        with np.load(data_file(self.folder, f"{instance}.npz")) as stored:
            values = stored["y"].astype(np.float64)
        table = values.reshape(-1, values.shape[-1])  # [cells, repetitions]
        if self.whole is not None:
            table = self.whole - table
        listed = read_json(self.folder, "space.json")
        space = ConfigurationSpace()
        space.add(*(_hyperparameter(key, choices) for key, choices in listed.items()))
        strides = np.cumprod([1, *reversed(values.shape[1:-1])])[::-1].tolist()
        offsets = [(key, {choice: i * stride for i, choice in enumerate(listed[key])}) for key, stride in zip(listed, strides, strict=True)]
        means = np.nanmean(table, axis=1)

        def cell(config: Mapping[str, Value]) -> int:
            return sum([places[config[key]] for key, places in offsets])

        def observe(config: Mapping[str, Value], rung: int, seed: int) -> Observation:
            row = table[cell(config)].tolist()
            n = self.averaged[rung]
            seen = [row[i] for i in _order(seed, len(row)) if row[i] == row[i]][:n]  # a missing repetition is unequal to itself
            return Observation(loss=sum(seen) / len(seen), cost=float(n))

        return Laddered(
            name=f"{self.folder}/{instance}",
            space=space,
            budgets=ladder(float(self.averaged[-1]), len(self.averaged), unit="repetitions"),
            best=float(means.min()),
            median=float(np.median(means)),
            mean_cost=float(self.averaged[-1]),
            cost_unit="repetitions",
            observe=observe,
            exact=lambda config: float(means[cell(config)]),
        )


@cache
def _order(seed: int, n: int) -> tuple[int, ...]:
    """In which order a run takes the repetitions."""
    return tuple(np.random.default_rng(seed).permutation(n).tolist())


def _hyperparameter(name: str, choices: list[Value]) -> Hyperparameter[Any, Any]:
    if isinstance(choices[0], str):
        return Categorical(name, choices)
    if any(isinstance(choice, float) for choice in choices):
        return OrdinalHyperparameter(name, [float(choice) for choice in choices])
    return OrdinalHyperparameter(name, choices)
