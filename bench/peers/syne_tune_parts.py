"""What every version of Syne Tune needs alike: hyperparameters in its words, and a world of its own to draw in."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from ConfigSpace.hyperparameters import FloatHyperparameter, Hyperparameter, IntegerHyperparameter, OrdinalHyperparameter

from bohb_nas import refs

FLAT_SPACE = refs.load_module("method", str(Path(__file__).with_name("flat_space.py")))


class Apart:
    """Syne Tune's own state of numpy's global generator, from which it draws beside its own.

    Args:
        seed: of it.
    """

    def __init__(self, seed: int) -> None:
        self._random = np.random.RandomState(seed % 2**32).get_state()

    @contextmanager
    def __call__(self) -> Iterator[None]:
        """Lends Syne Tune its state; keeps its warnings to itself."""
        random = np.random.get_state()
        np.random.set_state(self._random)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                yield
        finally:
            self._random = np.random.get_state()
            np.random.set_state(random)


def domain(it: Hyperparameter[Any, Any], domains: Any) -> Any:
    """A hyperparameter of a flat space as one of Syne Tune's `domains`, its module of that name."""
    match it:
        case FloatHyperparameter():
            return (domains.loguniform if it.log else domains.uniform)(float(it.lower), float(it.upper))
        case IntegerHyperparameter():
            return (domains.lograndint if it.log else domains.randint)(int(it.lower), int(it.upper))
        case OrdinalHyperparameter():
            return domains.ordinal(list(range(len(it.sequence))))
        case _:
            return domains.choice(list(range(FLAT_SPACE.n_levels(it))))
