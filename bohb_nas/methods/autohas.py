"""AutoHAS (Dong et al. 2020): the worker trains shared weights and a controller beside them; what it finds is then trained by itself."""

from dataclasses import dataclass

from bohb_nas.methods._one_shot import check_common, make
from bohb_nas.one_shot_settings import AutoHas

__all__ = ["Options", "make"]


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
