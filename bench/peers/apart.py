"""A random state of its own for a peer that draws from numpy's global generator."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np


class Apart:
    """A peer's own state of numpy's global generator.

    Args:
        seed: of it.
    """

    def __init__(self, seed: int) -> None:
        self._random = np.random.RandomState(seed % 2**32).get_state()

    @contextmanager
    def __call__(self) -> Iterator[None]:
        """Lends the peer its state, so that it finds it as it left it, and others find theirs; keeps its warnings to itself."""
        random = np.random.get_state()
        np.random.set_state(self._random)
        try:
            with warnings.catch_warnings(), np.errstate(all="ignore"):
                warnings.simplefilter("ignore")
                yield
        finally:
            self._random = np.random.get_state()
            np.random.set_state(random)
