"""Hyperband: brackets of successive halving over configurations drawn at random (Li et al. 2018, JMLR 18(185))."""

from ConfigSpace import ConfigurationSpace

from bohb_nas import hyperband
from bohb_nas.methods._brackets import Brackets, Options
from bohb_nas.records import Budgets
from bohb_nas.samplers.uniform import Uniform
from bohb_nas.space.encoding import Encoding

__all__ = ["Options", "make"]


def make(*, space: ConfigurationSpace, budgets: Budgets, seed: int, n_workers: int, options: Options) -> Brackets:
    """The optimizer; the number of workers changes nothing."""
    del n_workers
    return Brackets(Uniform(Encoding(space)), hyperband.brackets(budgets), seed=seed, n_brackets=options.n_brackets)
