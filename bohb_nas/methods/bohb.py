"""This project's BOHB: the published method with its two density defects corrected."""

from ConfigSpace import ConfigurationSpace

from bohb_nas.methods import bohb_2018
from bohb_nas.methods._brackets import Brackets, Options
from bohb_nas.records import Budgets

__all__ = ["Options", "make"]


def make(*, space: ConfigurationSpace, budgets: Budgets, seed: int, n_workers: int, options: Options) -> Brackets:
    """The optimizer."""
    published = bohb_2018.Options(n_brackets=options.n_brackets)
    return bohb_2018.make(space=space, budgets=budgets, seed=seed, n_workers=n_workers, options=published)
