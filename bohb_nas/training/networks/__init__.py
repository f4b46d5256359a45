"""Networks of torch, built from layers of `bohb_nas.layers`."""

import torch

from bohb_nas.layers import Layer
from bohb_nas.training.networks.merging import Form, apart, merge, together
from bohb_nas.training.networks.network import Network

__all__ = ["Form", "Network", "apart", "build", "merge", "together"]


def build(layers: Layer, *, image_shape: tuple[int, int, int], n_classes: int, generator: torch.Generator, form: Form = "apart") -> Network:
    """The network of layers with fresh weights, on the CPU.

    Args:
        layers: read from a configuration by `bohb_nas.training.recipe.read`.
        image_shape: height, width, channels.
        n_classes: outputs.
        generator: draws the weights.
        form: of the paths of Shake layers; weights, function and state dict are the same in each.

    Raises:
        OptionError: layers that do not fit each other.
    """
    return merge(Network(layers, image_shape=image_shape, n_classes=n_classes, generator=generator), form)
