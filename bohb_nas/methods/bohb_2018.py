"""BOHB as published: Falkner, Klein & Hutter 2018, equal in distribution to HpBandSter 0.7.4.

Hyperband's brackets, and a kernel density model in place of most random configurations, defects of its densities included
unless `corrected_densities` is set. docs/method.md, section 3, compares the two point by point.
"""

from dataclasses import dataclass

from ConfigSpace import ConfigurationSpace

from bohb_nas import hyperband
from bohb_nas.knowledge import NOTHING, Knowledge
from bohb_nas.methods._brackets import Brackets, check_n_brackets, refuse_history
from bohb_nas.records import Budgets
from bohb_nas.samplers.tpe import Settings, Tpe


@dataclass(frozen=True, slots=True, kw_only=True)
class Options(Settings):
    """What can be chosen: the settings of the model, with HpBandSter's defaults, and the number of brackets.

    Raises:
        OptionError: a value is not accepted.
    """

    n_brackets: int | None = None
    """Brackets to open; None for no end."""

    def __post_init__(self) -> None:
        Settings.__post_init__(self)  # super() knows the class as it was before it got slots
        check_n_brackets(self.n_brackets)


def make(
    *, space: ConfigurationSpace, budgets: Budgets, seed: int, n_workers: int, options: Options, knowledge: Knowledge = NOTHING
) -> Brackets:
    """The optimizer; as in HpBandSter, running trials do not enter the model, so the number of workers changes nothing.

    Raises:
        KnowledgeError: it is given an earlier study, which the published method makes no use of.
    """
    del n_workers
    refuse_history("bohb_2018", knowledge)
    sampler = Tpe(space, seed=seed, settings=options, knowledge=knowledge)
    return Brackets(sampler, hyperband.brackets(budgets), seed=seed, n_brackets=options.n_brackets, refill=True, knowledge=knowledge)
