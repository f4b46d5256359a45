"""What is known before a search starts: configurations to try, beliefs, an earlier study, constraints.

Plain data with two questions that every method asks: may this configuration be trained at all, and what loss does this
result count as.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from bohb_nas.records import Evaluation, Result, Value


@dataclass(frozen=True, slots=True, kw_only=True)
class Belief:
    """Where a good value of one hyperparameter is expected."""

    center: Value
    confidence: float
    """Above 0 and below 1: 0.25 is a guess, 0.5 usual, 0.75 firm."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Constraint:
    """A bound on a metric: of a result, or of the size that a space tells before training."""

    metric: str
    relation: Literal["<=", ">="]
    bound: float

    def met_by(self, value: float) -> bool:
        """Whether a value keeps the bound."""
        return value <= self.bound if self.relation == "<=" else value >= self.bound

    def __str__(self) -> str:
        return f"{self.metric}{self.relation}{self.bound:g}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Knowledge:
    """Everything that a method may be told beforehand; the default is nothing."""

    initial: tuple[Mapping[str, Value], ...] = ()
    """Tried first, in this order: active hyperparameters only."""
    prior: Mapping[str, Belief] = field(default_factory=dict)
    """By hyperparameter."""
    history: tuple[Evaluation, ...] = ()
    """Of an earlier study; configurations may lack hyperparameters of this space and have others."""
    constraints: tuple[Constraint, ...] = ()
    size: Callable[[Mapping[str, Value]], Mapping[str, float]] | None = None
    """What a configuration will measure, told without training it."""

    def allowed(self, config: Mapping[str, Value]) -> bool:
        """Whether nothing that is known before training forbids to train a configuration."""
        if self.size is None or not self.constraints:
            return True
        known = self.size(config)
        return all(c.met_by(known[c.metric]) for c in self.constraints if c.metric in known)

    def loss(self, result: Result) -> float | None:
        """The loss that counts: None for a failed result and for one that breaks a constraint."""
        if any(c.metric in result.metrics and not c.met_by(result.metrics[c.metric]) for c in self.constraints):
            return None
        return result.loss


NOTHING = Knowledge()
