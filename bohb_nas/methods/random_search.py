"""Random search: every configuration is drawn at random and trained on the largest budget."""

from dataclasses import dataclass

from ConfigSpace import ConfigurationSpace

from bohb_nas.hyperband import Bracket, Rung
from bohb_nas.knowledge import NOTHING, Knowledge
from bohb_nas.methods._brackets import Brackets, refuse_history
from bohb_nas.records import Budgets
from bohb_nas.samplers.uniform import Uniform
from bohb_nas.space.encoding import Encoding


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Nothing can be chosen."""


def make(
    *, space: ConfigurationSpace, budgets: Budgets, seed: int, n_workers: int, options: Options, knowledge: Knowledge = NOTHING
) -> Brackets:
    """The optimizer: brackets of a single configuration at the top of the ladder, without end.

    Raises:
        KnowledgeError: it is given an earlier study, of which it can make no use.
    """
    del n_workers, options
    refuse_history("random_search", knowledge)
    top = Rung(index=len(budgets.rungs) - 1, budget=budgets.rungs[-1], size=1)
    sampler = Uniform(Encoding(space), knowledge=knowledge)
    return Brackets(sampler, [Bracket(s=0, rungs=(top,))], seed=seed, n_brackets=None, knowledge=knowledge)
