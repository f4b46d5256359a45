"""This project's BOHB: densities of good and bad configurations on every rung, on one ladder without barriers."""

from dataclasses import dataclass

from ConfigSpace import ConfigurationSpace

from bohb_nas.entries import check_option
from bohb_nas.knowledge import NOTHING, Knowledge
from bohb_nas.methods._ladder import Ladder
from bohb_nas.records import Budgets
from bohb_nas.samplers.multi_rung import MultiRung, Settings
from bohb_nas.space.encoding import Encoding


@dataclass(frozen=True, slots=True, kw_only=True)
class Options(Settings):
    """The settings of the model, and of the ladder.

    Raises:
        OptionError: a value is not accepted.
    """

    delayed: bool = True
    """Whether promotion waits until a rung has seen enough; false is ASHA's rule."""

    def __post_init__(self) -> None:
        Settings.__post_init__(self)  # super() knows the class as it was before it got slots
        check_option("delayed", self.delayed, type(self.delayed) is bool, "true or false")


def make(
    *, space: ConfigurationSpace, budgets: Budgets, seed: int, n_workers: int, options: Options, knowledge: Knowledge = NOTHING
) -> Ladder:
    """The optimizer; the number of workers changes nothing, running trials do."""
    del n_workers
    sampler = MultiRung(Encoding(space), n_rungs=len(budgets.rungs), seed=seed, settings=options, knowledge=knowledge)
    return Ladder(sampler, budgets, seed=seed, delayed=options.delayed, knowledge=knowledge)
