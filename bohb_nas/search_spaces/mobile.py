"""Networks of inverted residuals, with the optimizer, regularisation and augmentation of `joint`."""

from ConfigSpace import ConfigurationSpace

from bohb_nas.networks import family_space, size
from bohb_nas.search_spaces import joint

__all__ = ["size", "space"]


def space() -> ConfigurationSpace:
    """The joint space of this family alone."""
    return joint.space({"mobile": family_space("mobile")})
