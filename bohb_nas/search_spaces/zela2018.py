"""The 17 hyperparameters of Zela, Klein, Falkner and Hutter (2018): architecture, training and augmentation, all active."""

from ConfigSpace import ConfigurationSpace, Float, Integer

from bohb_nas.search_spaces._multi_branch import GROUPS, size

__all__ = ["size", "space"]


def space() -> ConfigurationSpace:
    """The published space: names, ranges and scales as in the authors' release.

    `length` is the side of the cutout in pixels of a 32x32 image. `death_rate` acts only where a group has one branch.
    """
    published = ConfigurationSpace()
    published.add(
        *(Integer(f"nr_residual_blocks_{g}", (1, 16), default=2, log=True) for g in GROUPS),
        Integer("initial_filters", (8, 32), default=16, log=True),
        Float("widen_factor_1", (0.5, 8.0), default=1.0, log=True),
        *(Float(f"widen_factor_{g}", (0.5, 4.0), default=2.0, log=True) for g in (2, 3)),
        *(Integer(f"res_branches_{g}", (1, 5), default=2) for g in GROUPS),
        Float("learning_rate", (1e-3, 1.0), default=0.1, log=True),
        Integer("batch_size", (32, 128), default=64, log=True),
        Float("weight_decay", (1e-5, 1e-3), default=1e-4, log=True),
        Float("momentum", (1e-3, 0.99), default=0.9),
        Float("alpha", (0.0, 1.0), default=0.2),
        Integer("length", (0, 20), default=16),
        Float("death_rate", (0.0, 1.0), default=0.5),
    )
    return published
