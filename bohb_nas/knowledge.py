"""What is known before a search starts: configurations to try, beliefs, an earlier study, constraints.

Plain data with two questions that every method asks: may this configuration be trained at all, and what loss does this
result count as.
"""

import math
import re
import reprlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Self

from bohb_nas.entries import as_number, is_number
from bohb_nas.errors import KnowledgeError
from bohb_nas.records import Evaluation, Result, Value

_CONSTRAINT = re.compile(r"\s*([A-Za-z_][\w.-]*)\s*(<=|>=)\s*(\S+)\s*")
_NOT_FINITE = ("nan", "inf", "-inf")
"""What a result says of dropped metrics that were measured."""
_FACTORS = {"k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}


@dataclass(frozen=True, slots=True, kw_only=True)
class Belief:
    """Where a good value of one hyperparameter is expected.

    Raises:
        KnowledgeError: the confidence is none; of the words for one, files alone know what they mean.
    """

    center: Value
    confidence: float
    """Above 0 and below 1: 0.25 is a guess, 0.5 usual, 0.75 firm."""

    def __post_init__(self) -> None:
        if not is_number(confidence := as_number(self.confidence)) or not 0 < confidence < 1:
            raise KnowledgeError(f"confidence {reprlib.repr(self.confidence)}; accepted is a number above 0 and below 1")
        object.__setattr__(self, "confidence", float(confidence))


@dataclass(frozen=True, slots=True, kw_only=True)
class Constraint:
    """A bound on a metric: of a result, or of the size that a space tells before training."""

    metric: str
    """Such as `params`, or a name in the metrics of a result."""
    relation: Literal["<=", ">="]
    bound: float

    @classmethod
    def parse(cls, text: str) -> Self:
        """Reads METRIC<=NUMBER or METRIC>=NUMBER, such as `params<=5e6` or `params <= 5M`.

        Raises:
            KnowledgeError: the text is none.
        """
        found = _CONSTRAINT.fullmatch(text)
        if found is None:
            raise KnowledgeError(f"constraint {text!r}: accepted is METRIC<=NUMBER or METRIC>=NUMBER, such as 'params<=5e6'; quote it")
        relation: Literal["<=", ">="] = "<=" if found[2] == "<=" else ">="
        try:
            return cls(metric=found[1], relation=relation, bound=parse_number(found[3]))
        except KnowledgeError as e:
            raise KnowledgeError(f"constraint {text!r}: {e}") from e

    def met_by(self, value: float) -> bool:
        """Whether a value keeps the bound."""
        return value <= self.bound if self.relation == "<=" else value >= self.bound

    def __str__(self) -> str:
        return f"{self.metric}{self.relation}{number_text(self.bound)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Knowledge:
    """Everything that a method may be told beforehand; the default is nothing."""

    initial: tuple[Mapping[str, Value], ...] = ()
    """Tried first, in this order, as far as they are allowed: active hyperparameters only."""
    prior: Mapping[str, Belief] = field(default_factory=dict)
    """By hyperparameter."""
    history: tuple[Evaluation, ...] = ()
    """Of an earlier study; configurations may lack hyperparameters of this space, and have others and other values, which are left out."""
    constraints: tuple[Constraint, ...] = ()
    size: Callable[[Mapping[str, Value]], Mapping[str, float]] | None = None
    """What a configuration will measure, told without training it; it is given a copy."""

    def allowed(self, config: Mapping[str, Value]) -> bool:
        """Whether nothing that is known before training forbids to train a configuration."""
        if self.size is None or not self.constraints:
            return True
        return not self.unmet(self.size(dict(config)))

    def unmet(self, metrics: Mapping[str, float]) -> tuple[Constraint, ...]:
        """The constraints that metrics do not meet, as far as they are there."""
        return tuple(c for c in self.constraints if c.metric in metrics and not c.met_by(metrics[c.metric]))

    def broken(self, result: Result) -> tuple[Constraint, ...]:
        """The constraints that a result breaks, by the metrics that it has; NaN and infinity meet none."""
        return self.unmet({**result.metrics, **dict.fromkeys(_not_finite(result), math.nan)})

    def loss(self, result: Result) -> float | None:
        """The loss that counts: None for a failed result and for one that breaks a constraint."""
        return None if self.broken(result) else result.loss

    def untold(self, config: Mapping[str, Value], result: Result) -> tuple[str, ...]:
        """The metrics under a constraint that neither an OK result has nor the size of its configuration."""
        if result.loss is None or not self.constraints:
            return ()
        known = {*result.metrics, *_not_finite(result), *(self.size(dict(config)) if self.size is not None else ())}
        return tuple(c.metric for c in self.constraints if c.metric not in known)


NOTHING = Knowledge()


def untold_text(untold: Sequence[str], trial_id: str, metrics: Mapping[str, float]) -> str:
    """What to say of a result without a metric under a constraint."""
    return (
        f"constraint on {', '.join(untold)}: the worker does not return it (trial {trial_id}); it returns: {', '.join(metrics) or 'none'}. "
        "The evaluation is kept: start a new study with another constraint, and with --warm-start for what this one found"
    )


def _not_finite(result: Result) -> frozenset[str]:
    """The metrics of a result that were NaN or infinite."""
    dropped = result.details.get("metrics_dropped")
    return frozenset(name for name, value in dropped.items() if value in _NOT_FINITE) if isinstance(dropped, dict) else frozenset()


def parse_number(text: str) -> float:
    """Reads a number such as 5000000, 5e6 or 5M (k, M, G and T stand for 1e3, 1e6, 1e9 and 1e12).

    Raises:
        KnowledgeError: the text is no finite number.
    """
    factor = _FACTORS.get(text[-1:], 1.0)
    try:
        number = float(text[:-1] if factor != 1.0 else text) * factor
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise KnowledgeError(f"{text!r} is no bound; accepted is a finite number such as 5000000, 5e6 or 5M")
    return number


def number_text(number: float) -> str:
    """The shortest text that is read back as the same number."""
    short = f"{number:g}"
    if float(short) == number:
        return short
    return str(int(number)) if number.is_integer() and abs(number) < 2**53 else repr(number)
