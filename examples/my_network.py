"""A family of networks of one's own: a file with `space()` and `network(config)`, here beside a family that is there already.

bohb-nas check examples/my_network.py
"""

from collections.abc import Mapping
from typing import Any

from ConfigSpace import ConfigurationSpace, Integer

from bohb_nas import networks
from bohb_nas.layers import Activation, Layer, Pool, chain, conv_norm
from bohb_nas.search_spaces import joint


def space() -> ConfigurationSpace:
    """The joint space with these families; each has hyperparameters of its own, which exist only under it."""
    plain = ConfigurationSpace()
    plain.add(Integer("plain_depth", (1, 4), default=2), Integer("plain_width", (1, 16), default=2, log=True))
    return joint.space({"plain": plain, "wrn": networks.family_space("wrn")})


def network(config: Mapping[str, Any]) -> Layer:
    """The layers before the head: convolutions, each with more channels than the one before, on images of half the sides."""
    if config["family"] != "plain":
        return networks.network(config)
    layers: list[Layer] = []
    for stage in range(1, config["plain_depth"] + 1):
        layers += [conv_norm(8 * stage * config["plain_width"]), Activation("relu"), Pool("max", 2, 2)]
    return chain(*layers)
