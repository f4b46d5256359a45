"""AutoHAS (Dong et al. 2020): the worker trains shared weights and a controller beside them; what it finds is then trained by itself."""

from dataclasses import dataclass

from ConfigSpace import ConfigurationSpace

from bohb_nas.methods._one_shot import OneShot, check_common
from bohb_nas.one_shot_settings import AutoHas
from bohb_nas.records import Budgets


@dataclass(frozen=True, slots=True, kw_only=True)
class Options(AutoHas):
    """How the worker searches, for how long, and what follows.

    Raises:
        OptionError: a value that is not accepted.
    """

    search_s: float | None = None
    """Seconds of the search; None is the dearest budget."""
    retrain: bool = True
    """Whether what was found is trained by itself, for the dearest budget."""

    def __post_init__(self) -> None:
        AutoHas.__post_init__(self)  # super() without arguments does not know a class with slots
        check_common(self.search_s, self.retrain)


def make(*, space: ConfigurationSpace, budgets: Budgets, seed: int, n_workers: int, options: Options) -> OneShot:
    """The optimizer: the search, which is one trial of one worker, and what follows.

    Raises:
        OptionError: budgets are no seconds.
    """
    del n_workers
    return OneShot(space, budgets, seed=seed, search_s=options.search_s, retrain=options.retrain)
