"""What a one-shot search is to the worker around it: steps, what it has found, and a state that can be kept."""

from collections.abc import Mapping
from typing import Any, Protocol

from ConfigSpace import ConfigurationSpace
from torch import Tensor

from bohb_nas.one_shot_settings import AutoHas, Settings
from bohb_nas.oneshot.autohas import AutoHasSearch
from bohb_nas.oneshot.dha import DhaSearch
from bohb_nas.oneshot.supply import Material
from bohb_nas.records import Value
from bohb_nas.training.networks import Network
from bohb_nas.training.validation import Score


class Search(Protocol):
    """Shared weights, and what is learnt about configurations by them.

    It draws its randomness from its seed, the number of its steps and of its disturbances alone: two of the same state do the same.
    """

    @property
    def steps(self) -> int:
        """Of the shared weights so far."""
        ...

    def step(self, u: float, rest: float) -> float:
        """One alternation.

        Args:
            u: fraction of the budget that is used when it is over, as predicted; 1 in the last one. It falls only where `restore` and
                `disturb` have put the search back, and not even then where the budget is one of seconds.
            rest: steps of the whole search that are still to come, this one included, as predicted; 1 in the last one.

        Returns:
            The training loss; not finite when it has diverged.
        """
        ...

    def found(self) -> dict[str, Value]:
        """The configuration as it would be decoded now: the active hyperparameters, legal in the space."""
        ...

    def judge(self, allowance_s: float) -> Score:
        """The validation error of the found configuration with the shared weights.

        Args:
            allowance_s: seconds that this may take.
        """
        ...

    def told(self) -> dict[str, Any]:
        """JSON for the details of the result: probabilities, entropy, what is held fixed and why."""
        ...

    def point(self) -> dict[str, float]:
        """Figures for a point of the curve."""
        ...

    def state(self) -> dict[str, Any]:
        """JSON that with `tensors` is everything needed to go on as if it had never been interrupted."""
        ...

    def tensors(self) -> dict[str, Tensor]:
        """The same of numbers in bulk: all finite while it is sound, and no two in the same memory. The next step may change them."""
        ...

    def restore(self, tensors: Mapping[str, Tensor], state: Mapping[str, Any]) -> None:
        """Puts it where the one was that had this state, earlier or later than its own; keeps no tensor that was handed in.

        Args:
            tensors: on any device.
            state: of the same search: settings, space, data, seed.

        Raises:
            BohbNasError, AttributeError, KeyError, OverflowError, TypeError, ValueError, RuntimeError: it is none of such a search; what it
                is now is not said.
        """
        ...

    def disturb(self, n: int) -> None:
        """Takes another random stream from here on, the n-th: what went wrong is not repeated. Part of the state."""
        ...

    def model(self) -> Network | None:
        """A trained network that is ready for use, if the search yields one."""
        ...


def begin(settings: Settings, material: Material) -> Search:
    """The search of the settings, at its beginning.

    Raises:
        OptionError: it cannot search the space.
    """
    return AutoHasSearch(settings, material) if isinstance(settings, AutoHas) else DhaSearch(settings, material)


def check(settings: Settings, space: ConfigurationSpace) -> list[str]:
    """Says before a study begins whether the search of the settings has something to search in a space.

    Returns:
        What it does not decide, a line each with the reason.

    Raises:
        OptionError: it has nothing.
    """
    return AutoHasSearch.check(settings, space) if isinstance(settings, AutoHas) else DhaSearch.check(space)
