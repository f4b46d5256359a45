"""The network of Zela, Klein, Falkner and Hutter (2018), with the published hyperparameters and widths of any number."""

from collections.abc import Mapping

from ConfigSpace import ConfigurationSpace, Float, Integer

from bohb_nas.layers import Layer
from bohb_nas.networks._multi_branch import GROUPS, described
from bohb_nas.records import Value

DEFAULTS = {"death_rate": 0.0}
"""A configuration that says nothing of ShakeDrop has none."""


def space() -> ConfigurationSpace:
    """The published architecture: names, ranges and scales as in the authors' release."""
    published = ConfigurationSpace()
    published.add(
        *(Integer(f"nr_residual_blocks_{g}", (1, 16), default=2, log=True) for g in GROUPS),
        Integer("initial_filters", (8, 32), default=16, log=True),
        Float("widen_factor_1", (0.5, 8.0), default=1.0, log=True),
        *(Float(f"widen_factor_{g}", (0.5, 4.0), default=2.0, log=True) for g in (2, 3)),
        *(Integer(f"res_branches_{g}", (1, 5), default=2) for g in GROUPS),
        Float("death_rate", (0.0, 1.0), default=0.5),
    )
    return published


def network(config: Mapping[str, Value]) -> Layer:
    """The network; widths follow each other: C1 = round(F0 w1), C2 = round(C1 w2), C3 = round(C2 w3), at least 1."""
    return described(config, lambda channels: max(1, round(channels)))
