"""Cells of NAS-Bench-201 that a processor can train: 8 to 16 channels and one or two cells a stage, else the space `cell`."""

from typing import Any

from ConfigSpace import ConfigurationSpace, Float, Integer
from ConfigSpace.hyperparameters import Hyperparameter

from bohb_nas.networks import size
from bohb_nas.search_spaces import cell

__all__ = ["size", "space"]


def space() -> ConfigurationSpace:
    """The space; its default has 8 channels, one cell a stage, and a 3x3 convolution on every edge."""
    small: dict[str, Hyperparameter[Any, Any]] = {
        "cell_repeats": Integer("cell_repeats", (1, 2), default=1),
        "cell_channels": Float("cell_channels", (8.0, 16.0), default=8.0, log=True),
    }
    whole, narrow = cell.space(), ConfigurationSpace()
    narrow.add(*(small.get(name, one) for name, one in whole.items()))
    narrow.add(*whole.conditions, *whole.forbidden_clauses)
    return narrow
