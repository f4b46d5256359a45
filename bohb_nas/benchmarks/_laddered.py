"""What the families share: a problem made of two functions, its ladder of budgets, and noise that belongs to its place."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b

import numpy as np
from ConfigSpace import ConfigurationSpace

from bohb_nas.benchmarks import Observation
from bohb_nas.errors import ProblemError
from bohb_nas.records import Budgets, Value

Observe = Callable[[Mapping[str, Value], int, int], Observation]
"""(configuration, rung, seed) -> what is seen."""

Truth = Callable[[Mapping[str, Value]], float]
"""Configuration -> its noise-free loss at the largest budget."""


@dataclass(slots=True, kw_only=True)
class Laddered:
    """A `Problem` whose curve is known at the rungs of its ladder and nowhere else."""

    name: str
    space: ConfigurationSpace
    budgets: Budgets
    best: float
    median: float
    mean_cost: float
    observe: Observe
    exact: Truth
    cost_unit: str = "s"
    _rungs: dict[float, int] = field(init=False)

    def __post_init__(self) -> None:
        self._rungs = {budget: rung for rung, budget in enumerate(self.budgets.rungs)}

    def evaluate(self, config: Mapping[str, Value], budget: float, *, seed: int) -> Observation:
        """What training `config` at a rung's budget shows and costs.

        Raises:
            ProblemError: the budget is none of the ladder, or the configuration none of the space.
        """
        rung = self._rungs.get(budget)
        if rung is None:
            rung = self._nearest(budget)
        try:
            return self.observe(config, rung, seed)
        except (KeyError, IndexError) as e:
            raise self._unknown(e) from e

    def truth(self, config: Mapping[str, Value]) -> float:
        """The noise-free loss at the largest budget.

        Raises:
            ProblemError: the configuration is none of the space.
        """
        try:
            return self.exact(config)
        except (KeyError, IndexError) as e:
            raise self._unknown(e) from e

    def _unknown(self, error: Exception) -> ProblemError:
        """What to raise when a configuration lacks a hyperparameter, has a strange one, or a strange value."""
        return ProblemError(
            f"problem {self.name}: configuration with or without {error}; accepted are active values of {', '.join(self.space)}"
        )

    def _nearest(self, budget: float) -> int:
        for known, rung in self._rungs.items():
            if abs(budget - known) <= 1e-6 * known:
                return rung
        ladder = ", ".join(f"{known:g}" for known in self._rungs)
        raise ProblemError(f"problem {self.name}: budget {budget:g} is none of its ladder; accepted are {ladder} {self.budgets.unit}")


def ladder(largest: float, n_rungs: int, *, unit: str) -> Budgets:
    """The budgets of eta 3 with so many rungs below and including `largest`."""
    return Budgets(min=largest / 3 ** (n_rungs - 1), max=largest, eta=3.0, unit=unit)


def noise(seed: int, config: Mapping[str, Value], budget: float) -> np.random.Generator:
    """A generator that is a pure function of its three arguments, the same on every machine.

    Seeded with the 64-bit BLAKE2b of their text, hyperparameters in the order of their names.
    """
    text = f"{seed} {sorted(config.items())!r} {budget!r}"
    return np.random.Generator(np.random.PCG64(int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "little")))
