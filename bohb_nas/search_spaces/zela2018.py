"""The 17 hyperparameters of Zela, Klein, Falkner and Hutter (2018): architecture, training and augmentation, all active."""

from ConfigSpace import ConfigurationSpace, Float, Integer

from bohb_nas.networks import size, zela2018

__all__ = ["size", "space"]


def space() -> ConfigurationSpace:
    """The published space: names, ranges and scales as in the authors' release.

    `length` is the side of the cutout in pixels of a 32x32 image. `death_rate` acts only where a group has one branch.
    """
    published = zela2018.space()
    published.add(
        Float("learning_rate", (1e-3, 1.0), default=0.1, log=True),
        Integer("batch_size", (32, 128), default=64, log=True),
        Float("weight_decay", (1e-5, 1e-3), default=1e-4, log=True),
        Float("momentum", (1e-3, 0.99), default=0.9),
        Float("alpha", (0.0, 1.0), default=0.2),
        Integer("length", (0, 20), default=16),
    )
    return published
