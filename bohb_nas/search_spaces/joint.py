"""Architecture, optimizer, regularisation and augmentation together, conditional: the space searched by default.

A configuration chooses a family of networks and has the hyperparameters of that family alone. What differs from `zela2018`: small
networks are likelier, half of each family have fewer than a million parameters, so that budgets of seconds have something to choose
from; widths are multiples of 8; hyperparameters exist only where they act; momenta are searched as log(1 - m); lengths are fractions of
the image's side (8x8 digits and 32x32 photographs alike); every augmentation can be turned off.
"""

from collections.abc import Mapping

from ConfigSpace import ConfigurationSpace

from bohb_nas.networks import size
from bohb_nas.search_spaces._augmentation import add_augmentation
from bohb_nas.search_spaces._families import add_families, catalogue
from bohb_nas.search_spaces._training import add_training

__all__ = ["size", "space"]


def space(families: Mapping[str, ConfigurationSpace] | None = None) -> ConfigurationSpace:
    """The joint space; its default is a small hand-designed network under a usual recipe.

    Args:
        families: the architecture of each family of networks; None is those of the catalogue.
    """
    joint = ConfigurationSpace()
    add_families(joint, catalogue() if families is None else families)
    add_training(joint)
    add_augmentation(joint)
    return joint
