"""Multi-branch residual networks as in Zela et al. (2018), every width a multiple of 8."""

from collections.abc import Mapping

from ConfigSpace import ConfigurationSpace, EqualsCondition, Float, Integer, OrConjunction

from bohb_nas.layers import Layer
from bohb_nas.networks._multi_branch import GROUPS, described
from bohb_nas.networks._widths import multiple_of_8
from bohb_nas.records import Value


def space() -> ConfigurationSpace:
    """Depth, width and branches, each even in its logarithm: small networks are as likely as large ones.

    Shake-Shake 26 2x96d is inside. ShakeDrop acts where a group has one branch.
    """
    branched = ConfigurationSpace()
    branched.add(
        *(Integer(f"nr_residual_blocks_{g}", (1, 8), default=2, log=True) for g in GROUPS),
        Integer("initial_filters", (4, 32), default=16, log=True),
        Float("widen_factor_1", (0.5, 8.0), default=1.0, log=True),
        *(Float(f"widen_factor_{g}", (0.5, 4.0), default=2.0, log=True) for g in (2, 3)),
        *(Integer(f"res_branches_{g}", (1, 4), default=2, log=True) for g in GROUPS),
    )
    death_rate = Float("death_rate", (0.0, 0.9), default=0.2)
    branched.add(death_rate)
    branched.add(OrConjunction(*(EqualsCondition(death_rate, branched[f"res_branches_{g}"], 1) for g in GROUPS)))
    return branched


def network(config: Mapping[str, Value]) -> Layer:
    """The network; widths follow each other, each the multiple of 8 that is nearest to the one before times its factor."""
    return described(config, multiple_of_8)
