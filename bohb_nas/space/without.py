"""A space without its hyperparameters that leave no choice: for programs that cannot do with them."""

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
    spoken_of = {parent.name for name in space for parent in space.parents_of[name]}
    spoken_of |= {name for clause in space.forbidden_clauses for name in _names(clause)}
    gone = frozenset(name for name, one in space.items() if n_values(one) == 1 and name not in spoken_of)
    left = ConfigurationSpace(name=space.name)
    left.add(*(one for name, one in space.items() if name not in gone))
    left.add(*(condition for condition in space.conditions if condition.child.name not in gone))
    left.add(*space.forbidden_clauses)
    return left, gone


def _names(clause: Any) -> set[str]:
    match clause:
        case ForbiddenConjunction():
            return {name for component in clause.components for name in _names(component)}
        case ForbiddenRelation():
            return {clause.left.name, clause.right.name}
        case _:
            return {clause.hyperparameter.name}
