"""Hyperband: brackets of successive halving over configurations drawn at random (Li et al. 2018, JMLR 18(185))."""

from dataclasses import dataclass

from ConfigSpace import ConfigurationSpace

from bohb_nas import hyperband
from bohb_nas.methods._brackets import Brackets, check_n_brackets
from bohb_nas.records import Budgets
from bohb_nas.samplers.uniform import Uniform
from bohb_nas.space.encoding import Encoding


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What can be chosen.

    Raises:
        OptionError: a value is out of its range.
    """

    n_brackets: int | None = None
    """Brackets to open; None for no end."""

    def __post_init__(self) -> None:
        check_n_brackets(self.n_brackets)


def make(*, space: ConfigurationSpace, budgets: Budgets, seed: int, n_workers: int, options: Options) -> Brackets:
    """The optimizer; the number of workers changes nothing."""
    del n_workers
    return Brackets(Uniform(Encoding(space)), hyperband.brackets(budgets), seed=seed, n_brackets=options.n_brackets)
