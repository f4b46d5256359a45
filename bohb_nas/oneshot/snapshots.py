"""The last good states of a search in memory, for the case that it diverges."""

import copy
from typing import Self

from bohb_nas.oneshot.search import Search
from bohb_nas.training.finite import finite


class Snapshot:
    """What a search was at one moment, sharing nothing with it.

    Args:
        search: between two steps.
    """

    def __init__(self, search: Search) -> None:
        self.steps = search.steps
        self._tensors = {name: tensor.detach().clone() for name, tensor in search.tensors().items()}
        self._state = copy.deepcopy(search.state())

    def give(self, search: Search) -> Self:
        """Puts the search where it was; may be done again."""
        search.restore(self._tensors, copy.deepcopy(self._state))
        return self


class Snapshots:
    """The last two, so that there is an older one where the newest was taken on the way to ruin.

    Args:
        search: sound, at its beginning or where it goes on.
        every: steps from one to the next.
    """

    def __init__(self, search: Search, *, every: int) -> None:
        self._search, self._every = search, every
        self._taken = [Snapshot(search)]
        self._used = False
        """Whether the search was put back to the newest before."""

    def follow(self) -> None:
        """Takes one when it is time and the search is sound; called after a step that went well."""
        if self._search.steps - self._taken[-1].steps >= self._every and sound(self._search):
            self._taken = [self._taken[-1], Snapshot(self._search)]
            self._used = False

    def go_back(self) -> int:
        """Puts the search where it was well, further back the second time, and says after how many steps that was."""
        if self._used:
            self._taken = self._taken[:1]
        self._used = True
        return self._taken[-1].give(self._search).steps


def sound(search: Search) -> bool:
    """Whether all its numbers are finite; waits for each device once."""
    return finite(search.tensors().values())
