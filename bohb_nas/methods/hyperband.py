"""Hyperband: brackets of successive halving over configurations drawn at random (Li et al. 2018, JMLR 18(185))."""

from ConfigSpace import ConfigurationSpace

from bohb_nas import hyperband
from bohb_nas.knowledge import NOTHING, Knowledge
from bohb_nas.methods._brackets import Brackets, Options, refuse_history
from bohb_nas.records import Budgets
from bohb_nas.samplers.uniform import Uniform
from bohb_nas.space.encoding import Encoding

__all__ = ["Options", "make"]


def make(
    *, space: ConfigurationSpace, budgets: Budgets, seed: int, n_workers: int, options: Options, knowledge: Knowledge = NOTHING
) -> Brackets:
    """The optimizer; the number of workers changes nothing.

    Raises:
        KnowledgeError: it is given an earlier study, of which it can make no use.
    """
    del n_workers
    refuse_history("hyperband", knowledge)
    sampler = Uniform(Encoding(space), knowledge=knowledge)
    return Brackets(sampler, hyperband.brackets(budgets), seed=seed, n_brackets=options.n_brackets, knowledge=knowledge)
