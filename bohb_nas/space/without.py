"""A space without its hyperparameters that leave no choice, for programs that cannot do with them; and which ones others depend on."""

import copy
from typing import Any

from ConfigSpace import ConfigurationSpace
from ConfigSpace.forbidden import ForbiddenConjunction, ForbiddenRelation

from bohb_nas.space.encoding import n_values


def without_constants(space: ConfigurationSpace) -> tuple[ConfigurationSpace, frozenset[str]]:
    """The space without its one-valued hyperparameters, and their names.

    One that a condition or a clause speaks of stays: what that says would be lost.
    """
    space = copy.deepcopy(space)  # conditions and clauses know their places in one space
    spoken = spoken_of(space)
    gone = frozenset(name for name, one in space.items() if n_values(one) == 1 and name not in spoken)
    left = ConfigurationSpace(name=space.name)
    left.add(*(one for name, one in space.items() if name not in gone))
    left.add(*(condition for condition in space.conditions if condition.child.name not in gone))
    left.add(*space.forbidden_clauses)
    return left, gone


def spoken_of(space: ConfigurationSpace) -> frozenset[str]:
    """The hyperparameters whose values a condition or a forbidden clause looks at."""
    parents = {parent.name for name in space for parent in space.parents_of[name]}
    return frozenset(parents.union(*(names_in(clause) for clause in space.forbidden_clauses)))


def names_in(clause: Any) -> set[str]:
    """The hyperparameters that a forbidden clause speaks of."""
    match clause:
        case ForbiddenConjunction():
            return {name for component in clause.components for name in names_in(component)}
        case ForbiddenRelation():
            return {clause.left.name, clause.right.name}
        case _:
            return {clause.hyperparameter.name}
