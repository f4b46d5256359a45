"""CATALOGUE of problems for optimizers: synthetic functions, and tables and surrogates of real training runs.

A file is a family and offers `instances() -> tuple[str, ...]` and `problem(instance: str) -> Problem`; a problem
is named FAMILY or FAMILY/INSTANCE, and FAMILY alone means its first instance.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, cast

from ConfigSpace import ConfigurationSpace

from bohb_nas import refs
from bohb_nas.errors import ProblemError, RefError
from bohb_nas.records import Budgets, Status, Value


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """What training a configuration at a budget would have shown and cost."""

    loss: float | None
    """As observed, with its noise; None unless the status is ok."""
    cost: float
    """From scratch, in the problem's unit of costs, above 0; never less than at a lower budget."""
    status: Status = Status.OK


class Problem(Protocol):
    """Something to minimise, with its costs. The same (configuration, budget, seed) gives the same observation."""

    name: str
    """FAMILY/INSTANCE."""
    space: ConfigurationSpace
    budgets: Budgets
    """The ladder."""
    best: float
    """The lowest noise-free loss at the largest budget that is known."""
    median: float
    """The median of it over random configurations."""
    mean_cost: float
    """The mean cost of random configurations at the largest budget: the unit of the time axis."""
    cost_unit: str
    """Of costs; to "s", seconds, alone those of an optimizer can be added."""

    def evaluate(self, config: Mapping[str, Value], budget: float, *, seed: int) -> Observation:
        """What training `config` (its active hyperparameters) at a rung's budget shows and costs."""
        ...

    def truth(self, config: Mapping[str, Value]) -> float:
        """The noise-free loss at the largest budget; never read by an optimizer."""
        ...


def load_problem(name: str) -> Problem:
    """The problem of a name such as `condnet` or `lcbench/167168`.

    Raises:
        RefError: no such family in the catalogue, the only place that is searched: stored runs are known by this name.
        ProblemError: no such instance, or its data are not there.
    """
    family, _, instance = name.partition("/")
    if family not in (known := refs.names("problem")):
        raise RefError(f"unknown problem {name!r}; known families: {', '.join(known)}; `bohb-nas list problems` lists their instances")
    module = refs.load_module("problem", family)
    if instance and instance not in module.instances():
        raise ProblemError(f"problem {name!r}: {family} has no instance {instance!r}; known: {', '.join(module.instances())}")
    return cast(Problem, module.problem(instance or module.instances()[0]))
