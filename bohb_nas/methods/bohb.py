"""This project's BOHB: the published method with its two density defects corrected."""

from dataclasses import dataclass

from ConfigSpace import ConfigurationSpace

from bohb_nas.methods import bohb_2018
from bohb_nas.methods._brackets import Brackets, check_n_brackets
from bohb_nas.records import Budgets


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
    """The optimizer."""
    published = bohb_2018.Options(n_brackets=options.n_brackets)
    return bohb_2018.make(space=space, budgets=budgets, seed=seed, n_workers=n_workers, options=published)
