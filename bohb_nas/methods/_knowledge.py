"""Makes what is known beforehand fit a space, or says why it does not."""

from dataclasses import replace

from ConfigSpace import ConfigurationSpace

from bohb_nas.errors import KnowledgeError, SpaceError
from bohb_nas.knowledge import Belief, Constraint, Knowledge
from bohb_nas.space.legality import complete, legal_value, restricted


def fitted(knowledge: Knowledge, space: ConfigurationSpace) -> Knowledge:
    """The knowledge with values as the space writes them, and constants filled in.

    Left out are initial configurations that may not be trained, and what the space does not know of an earlier study.

    Raises:
        KnowledgeError: an initial configuration or a belief does not fit the space, or nothing of the earlier study does; or a constraint
            is none.
    """
    for constraint in knowledge.constraints:
        if not isinstance(constraint, Constraint):
            raise KnowledgeError(f"constraint {constraint!r}: accepted is a Constraint, such as Constraint.parse('params<=5e6')")
    initial = []
    for number, config in enumerate(knowledge.initial, start=1):
        try:
            initial.append(complete(space, config))
        except SpaceError as e:
            raise KnowledgeError(f"initial configuration {number}: {e}") from e
    prior = {name: _fitted(name, belief, space) for name, belief in knowledge.prior.items()}
    known = [replace(e, trial=replace(e.trial, config=restricted(space, e.trial.config))) for e in knowledge.history]
    history = tuple(e for e in known if e.trial.config)
    if knowledge.history and not history:
        n = len(knowledge.history)
        raise KnowledgeError(f"history: nothing of its {n} evaluations is known to the space, which has {', '.join(space)}; leave it out")
    return replace(knowledge, initial=tuple(filter(knowledge.allowed, initial)), prior=prior, history=history)


def _fitted(name: str, belief: Belief, space: ConfigurationSpace) -> Belief:
    if name not in space:
        raise KnowledgeError(f"prior of {name!r}: the space has no such hyperparameter; it has {', '.join(space)}")
    try:
        return replace(belief, center=legal_value(space[name], belief.center))
    except SpaceError as e:
        raise KnowledgeError(f"prior of {name}: {e}") from e
