"""Small candidates of a one-shot search, and a bank for them."""

from collections.abc import Mapping
from typing import cast

import torch
from torch import Tensor
from torch.func import functional_call

from bohb_nas import networks
from bohb_nas.layers import Layer
from bohb_nas.oneshot.bank import Bank, Candidate
from bohb_nas.records import Value
from bohb_nas.training.device import Compute
from bohb_nas.training.networks import Network

CPU = Compute(device=torch.device("cpu"), precision="fp32")
IMAGE_SHAPE, N_CLASSES = (8, 8, 3), 5
SMALL: Mapping[str, Mapping[str, Value]] = {
    "cell": {"family": "cell", "cell_repeats": 1, "cell_channels": 8.0, "cell_edge_0_1": "nor_conv_1x1", "cell_edge_0_3": "none"},
    "mobile": {"family": "mobile", "mobile_width_factor": 0.25, "mobile_blocks_1": 1, "mobile_drop_path": 0.2},
    "multi_branch": {"family": "multi_branch", "initial_filters": 8, "nr_residual_blocks_1": 1, "res_branches_2": 1, "death_rate": 0.3},
    "wrn": {"family": "wrn", "wrn_widen_factor": 0.5, "wrn_dropout": 0.1},
    "zela2018": {"initial_filters": 5, "nr_residual_blocks_1": 1, "widen_factor_1": 0.7, "widen_factor_3": 0.5},
}
"""A small configuration of each family."""
LARGE: Mapping[str, Mapping[str, Value]] = {
    "cell": {"family": "cell", "cell_repeats": 2, "cell_channels": 16.0},
    "mobile": {"family": "mobile", "mobile_width_factor": 0.5, "mobile_expansion_2": 6},
    "multi_branch": {"family": "multi_branch", "initial_filters": 16, "res_branches_1": 3},
    "wrn": {"family": "wrn", "wrn_blocks": 3},
    "zela2018": {"initial_filters": 8},
}
"""Deeper and wider ones."""


def layers(config: Mapping[str, Value]) -> Layer:
    return networks.network(config)


def bank(seed: int = 0) -> Bank:
    return Bank(image_shape=IMAGE_SHAPE, n_classes=N_CLASSES, seed=seed, device=torch.device("cpu"))


def ordinary(candidate: Candidate) -> Network:
    """A network with tensors of its own, equal to a candidate's."""
    network = Network(candidate.network.layers, image_shape=IMAGE_SHAPE, n_classes=N_CLASSES, generator=torch.Generator())
    left = network.load_state_dict({**candidate.weights(), **candidate.statistics()}, strict=False)
    assert not left.unexpected_keys
    assert all(name.endswith("num_batches_tracked") for name in left.missing_keys)
    return network


def at_rest(network: Network, weights: Mapping[str, Tensor], statistics: Mapping[str, Tensor], images: Tensor) -> Tensor:
    """What a network makes of images [n, C, H, W] by running statistics: logits [n, n_classes]."""
    return cast(Tensor, functional_call(network.eval(), {**weights, **statistics}, (images, None), tie_weights=False))


def batch(n: int = 6, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Images [n, C, H, W] and targets that are shares of classes [n, N_CLASSES]."""
    generator = torch.Generator().manual_seed(seed)
    height, width, channels = IMAGE_SHAPE
    targets = torch.rand(n, N_CLASSES, generator=generator)
    return torch.randn(n, channels, height, width, generator=generator), targets / targets.sum(1, keepdim=True)


def noise(candidate: Candidate, n: int = 6, seed: int = 1) -> Tensor:
    return candidate.network.noise(n, torch.Generator().manual_seed(seed))


def copied(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in tensors.items()}


def same(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> bool:
    """Whether names and all numbers are the same."""
    return one.keys() == other.keys() and all(torch.equal(tensor, other[name]) for name, tensor in one.items())
