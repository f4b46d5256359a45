"""Networks, built from configurations of the spaces that describe them."""

import torch

from bohb_nas.search_spaces._multi_branch import Architecture
from bohb_nas.training.networks.multi_branch import MultiBranch

__all__ = ["MultiBranch", "build"]


def build(architecture: Architecture, *, channels: int, n_classes: int, generator: torch.Generator) -> MultiBranch:
    """The network of an architecture with fresh weights, on the CPU.

    Args:
        architecture: read from a configuration by `bohb_nas.training.recipe.read`.
        channels: of the images.
        n_classes: outputs.
        generator: draws the weights.
    """
    return MultiBranch(architecture, channels=channels, n_classes=n_classes, generator=generator)
