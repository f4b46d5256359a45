"""A search space as independent categorical decisions: drawn by probabilities, blended, decoded.

Probabilities are one vector per decision, whatever the others are; what is inactive is simply not decided. Conditions and
forbidden clauses are evaluated by ConfigSpace.
"""

import copy
import heapq
import itertools
import math
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any, cast

import numpy as np
from ConfigSpace import ConfigurationSpace

from bohb_nas.arrays import Floats
from bohb_nas.errors import OptionError
from bohb_nas.oneshot.bases import Decision, decision
from bohb_nas.records import Value
from bohb_nas.space.encoding import n_values, plain
from bohb_nas.space.without import names_in, spoken_of

__all__ = ["Decision", "Decisions", "Draw", "Probabilities"]

Probabilities = Mapping[str, Floats]
"""By the names of decisions: (n,) summing to 1."""

_MOST_DRAWS = 1000
"""Draws that clauses may forbid one after the other."""
_MOST_TRIED = 10_000
"""Assignments that decoding looks at."""
_ONE_VALUE = "it has one value"


Draw = Mapping[str, int]
"""What was decided: of the active decisions, by name, which of the values."""


class Decisions:
    """The decisions of one space."""

    decisions: tuple[Decision, ...]
    """(d,) parents first."""
    held: dict[str, tuple[Value, str]]
    """What is no decision: its value, and why."""

    def __init__(
        self,
        space: ConfigurationSpace,
        *,
        held: Mapping[str, str] | None = None,
        architecture: Collection[str] = (),
        n_bases: int = 5,
    ) -> None:
        """Reads a space; a copy of it is kept.

        Args:
            space: with conditions and forbidden clauses.
            held: why, by the names of hyperparameters that stay at their defaults; others than the space's are ignored.
            architecture: floats that are decided as one of their bases, as are those that conditions or clauses look at.
            n_bases: of each number, at least 2.

        Raises:
            OptionError: nothing is left to decide.
        """
        held = held or {}
        self._space = space = copy.deepcopy(space)
        self._hyperparameters = list(space.values())
        self._conditions = [space.parent_conditions_of[h.name] for h in self._hyperparameters]
        defaults = {h.name: cast(Value, plain(h.default_value)) for h in self._hyperparameters}
        fixed = {h.name: held.get(h.name, _ONE_VALUE) for h in self._hyperparameters if h.name in held or n_values(h) == 1}
        self.held = {name: (defaults[name], reason) for name, reason in fixed.items()}
        one_hot = spoken_of(space).union(architecture)
        self.decisions = tuple(
            decision(h, blendable=h.name not in one_hot, n_bases=n_bases) for h in self._hyperparameters if h.name not in self.held
        )
        if not self.decisions:
            raise OptionError(f"the space has nothing to decide: {self._why_not()}")
        self._decisions = {d.name: d for d in self.decisions}
        self._values: dict[tuple[str, int | None], Value] = {(name, None): value for name, value in defaults.items()}
        self._values |= {(d.name, i): value for d in self.decisions for i, value in enumerate(d.values)}
        self._entries = {key: float(space[key[0]].to_vector(value)) for key, value in self._values.items()}

    @property
    def sizes(self) -> dict[str, int]:
        """How many values, by the names of the decisions."""
        return {d.name: len(d.values) for d in self.decisions}

    def sample(self, probabilities: Probabilities, rng: np.random.Generator) -> Draw:
        """A legal draw; one that a clause forbids is drawn again as a whole.

        Raises:
            OptionError: clauses forbid a thousand in a row.
        """
        for _ in range(_MOST_DRAWS):
            vector, chosen = self._walk(lambda name: int(rng.choice(len(probabilities[name]), p=probabilities[name])))
            if self._forbidding(vector) is None:
                return _decided(chosen)
        raise OptionError(
            f"clauses of the space forbid each of {_MOST_DRAWS} draws in a row{self._held_told()}; "
            "write as conditions what the clauses say, or hold fewer hyperparameters fixed"
        )

    def config(self, draw: Draw) -> dict[str, Value]:
        """The configuration of a draw: all active hyperparameters, numbers at the bases drawn."""
        _, chosen = self._walk(draw.__getitem__)
        return {name: self._values[name, index] for name, index in chosen.items()}

    def blended(self, draw: Draw, probabilities: Probabilities, *, among: Collection[str] | None = None) -> dict[str, Value]:
        """The configuration of a draw with numbers, or those among some names, at the means of their bases, whichever were drawn."""
        names = draw if among is None else draw.keys() & set(among)
        numbers = {name: d.blend(probabilities[name]) for name in names if (d := self._decisions[name]).number}
        return self.config(draw) | numbers

    def decode(self, probabilities: Probabilities) -> dict[str, Value]:
        """The likeliest value of each decision, parents first, and numbers at the means of their bases.

        Of equally likely values it is the default, else the first. Where a clause forbids this it is the legal assignment whose
        values are likeliest: by the product over its decisions of p / max p, so that to have more of them costs nothing.

        Raises:
            OptionError: no legal assignment was found.
        """
        return self.blended(self._likeliest(probabilities), probabilities)

    def corners(self) -> Iterator[dict[str, Value]]:
        """The default configuration, then one decision changed at a time to each of its values: legal ones, whatever they activate at
        its default.

        A decision that is inactive by default is changed in the first of these configurations that has it; one that several changes
        together make active is left out.
        """
        first: dict[str, dict[str, int]] = {}  # changes that make a decision active
        for name, change in [("", {}), *((d.name, {d.name: i}) for d in self.decisions for i in range(len(d.values)))]:
            if name and (name not in first or self._values[name, change[name]] == self._values[name, None]):
                continue
            changes = first.get(name, {}) | change
            vector, chosen = self._walk(changes.get)
            if self._forbidding(vector) is None:
                for active in chosen:
                    first.setdefault(active, changes)
                yield {active: self._values[active, index] for active, index in chosen.items()}

    @staticmethod
    def log_probability(draw: Draw, probabilities: Probabilities) -> float:
        """Of a draw before clauses: the sum of log p over its decisions."""
        chosen = [float(probabilities[name][index]) for name, index in draw.items()]
        return sum(math.log(p) for p in chosen) if all(chosen) else -math.inf

    @staticmethod
    def score(draw: Draw, probabilities: Probabilities) -> dict[str, Floats]:
        """The gradient of `log_probability` with respect to the logits of p = softmax(logits): one-hot minus p, (n,) each.

        Inactive decisions are absent.
        """
        return {name: np.eye(len(probabilities[name]))[index] - probabilities[name] for name, index in draw.items()}

    def _walk(self, choose: Callable[[str], int | None]) -> tuple[Floats, dict[str, int | None]]:
        """ConfigSpace's vector of an assignment, and the index of every active hyperparameter's value; None is the default."""
        vector = np.full(len(self._hyperparameters), np.nan)
        chosen: dict[str, int | None] = {}
        for i, hyperparameter in enumerate(self._hyperparameters):
            if all(condition.satisfied_by_vector(vector) for condition in self._conditions[i]):
                name = hyperparameter.name
                chosen[name] = None if name in self.held else choose(name)
                vector[i] = self._entries[name, chosen[name]]
        return vector, chosen

    def _forbidding(self, vector: Floats) -> Any | None:
        return next((clause for clause in self._space.forbidden_clauses if clause.is_forbidden_vector(vector)), None)

    def _likeliest(self, probabilities: Probabilities) -> Draw:
        """Best-first search (Lawler 1972): whoever breaks a clause makes room for those that differ in what the clause depends on."""
        ranked = {d.name: _ranked(d, probabilities[d.name]) for d in self.decisions}
        tried = itertools.count()
        queue: list[tuple[float, int, dict[str, int]]] = [(0.0, next(tried), {})]
        for _ in range(_MOST_TRIED):
            if not queue:
                break
            cost, _, forced = heapq.heappop(queue)
            vector, chosen = self._walk(lambda name, forced=forced: forced.get(name, ranked[name][0]))  # type: ignore[misc]
            if (clause := self._forbidding(vector)) is None:
                return _decided(chosen)
            blamed = self._depends_on(names_in(clause))
            free = {name: index for name, index in _decided(chosen).items() if name in blamed and name not in forced}
            for name in reversed(free):
                before = dict(itertools.takewhile(lambda item, name=name: item[0] != name, free.items()))  # type: ignore[misc]
                for index in ranked[name][1:]:
                    price = _price(probabilities[name], index)
                    heapq.heappush(queue, (cost + price, next(tried), {**forced, **before, name: index}))
        raise OptionError(f"no assignment of the decisions was found that the clauses of the space allow{self._held_told()}")

    def _depends_on(self, names: set[str]) -> set[str]:
        """The names and all whose values say whether they are active."""
        parents = {parent.name for name in names for parent in self._space.parents_of[name]}
        return names if parents <= names else self._depends_on(names | parents)

    def _held_told(self) -> str:
        told = "; ".join(f"{name} = {value!r} ({reason})" for name, (value, reason) in self.held.items())
        return f"; held fixed: {told}" if told else ""

    def _why_not(self) -> str:
        has = "no hyperparameter has a choice that is left open" if self.held else "it has no hyperparameters"
        return f"{has}{self._held_told()}; it needs one of two values or more that is not held fixed"


def _decided(chosen: Mapping[str, int | None]) -> dict[str, int]:
    return {name: index for name, index in chosen.items() if index is not None}


def _ranked(one: Decision, probabilities: Floats) -> list[int]:
    """The indices of its values, likeliest first, of equal ones the default, then the lower."""
    return sorted(range(len(one.values)), key=lambda i: (-probabilities[i], i != one.default, i))


def _price(probabilities: Floats, index: int) -> float:
    """log(max p / p) of a value."""
    p = float(probabilities[index])
    return math.log(float(probabilities.max()) / p) if p > 0 else math.inf
