"""Architecture, optimizer, regularisation and augmentation together, conditional: the space searched by default.

The network is that of Zela et al. (2018). What differs from `zela2018`: small networks are likelier, so that budgets of
seconds have something to choose from; hyperparameters exist only where they act; momenta are searched as log(1 - m);
lengths are fractions of the image's side (8x8 digits and 32x32 photographs alike); every augmentation can be turned off.
"""

from ConfigSpace import ConfigurationSpace, EqualsCondition, Float, Integer, OrConjunction

from bohb_nas.search_spaces._augmentation import add_augmentation
from bohb_nas.search_spaces._multi_branch import GROUPS, size
from bohb_nas.search_spaces._training import add_training

__all__ = ["size", "space"]


def space() -> ConfigurationSpace:
    """The joint space; its default is a small hand-designed network under a usual recipe."""
    joint = ConfigurationSpace()
    _add_architecture(joint)
    add_training(joint)
    add_augmentation(joint)
    return joint


def _add_architecture(joint: ConfigurationSpace) -> None:
    """Depth, width and branches, each even in its logarithm: small networks are as likely as large ones.

    Half of the samples have fewer than 0.4 M parameters, one in twenty more than 20 M; Shake-Shake 26 2x96d is inside.
    """
    joint.add(
        *(Integer(f"nr_residual_blocks_{g}", (1, 8), default=2, log=True) for g in GROUPS),
        Integer("initial_filters", (4, 32), default=16, log=True),
        Float("widen_factor_1", (0.5, 8.0), default=1.0, log=True),
        *(Float(f"widen_factor_{g}", (0.5, 4.0), default=2.0, log=True) for g in (2, 3)),
        *(Integer(f"res_branches_{g}", (1, 4), default=2, log=True) for g in GROUPS),
    )
    death_rate = Float("death_rate", (0.0, 0.9), default=0.2)
    joint.add(death_rate)
    joint.add(OrConjunction(*(EqualsCondition(death_rate, joint[f"res_branches_{g}"], 1) for g in GROUPS)))
