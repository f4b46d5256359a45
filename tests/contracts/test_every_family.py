"""Every family of the catalogue keeps the contract."""

import itertools

import pytest

from bohb_nas import networks
from bohb_nas.layers.drawing import draw
from bohb_nas.space.encoding import Encoding
from bohb_nas.testing import Finding, check_space

SHAPES = ((1, 1, 1), (8, 8, 1), (33, 32, 3))


@pytest.mark.parametrize("name", networks.names())
def test_its_space_keeps_the_contract_of_spaces(name: str) -> None:
    assert [finding for finding in check_space(networks.family_space(name)) if finding.problem] == list[Finding]()


@pytest.mark.parametrize("name", networks.names())
def test_it_describes_a_network_for_images_of_any_size(name: str) -> None:
    encoding = Encoding(networks.family_space(name))
    for seed in range(20):
        config = {"family": name, **encoding.sample(seed)}
        sizes = [networks.size(config, image_shape=shape) for shape in SHAPES]
        assert all(0 < small["flops"] <= large["flops"] for small, large in itertools.pairwise(sizes))
        described = networks.network(config)
        assert described == networks.network(config), "a configuration has one network"
        assert draw(described, (3, 32, 32))["params"] < sizes[-1]["params"], "the head comes on top"


@pytest.mark.parametrize("name", networks.names())
def test_a_family_alone_is_a_network(name: str) -> None:
    assert networks.size({"family": name})["params"] > 0
