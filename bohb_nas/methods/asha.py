"""ASHA: asynchronous successive halving over configurations drawn at random (Li et al. 2020, MLSys)."""

from dataclasses import dataclass

from ConfigSpace import ConfigurationSpace

from bohb_nas.knowledge import NOTHING, Knowledge
from bohb_nas.methods._brackets import refuse_history
from bohb_nas.methods._ladder import Ladder
from bohb_nas.records import Budgets
from bohb_nas.samplers.uniform import Uniform
from bohb_nas.space.encoding import Encoding


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Nothing can be chosen."""


def make(
    *, space: ConfigurationSpace, budgets: Budgets, seed: int, n_workers: int, options: Options, knowledge: Knowledge = NOTHING
) -> Ladder:
    """The optimizer: every configuration starts at the cheapest budget; the number of workers changes nothing."""
    del n_workers, options
    refuse_history("asha", knowledge)
    return Ladder(Uniform(Encoding(space), knowledge=knowledge), budgets, seed=seed, delayed=False, knowledge=knowledge)
