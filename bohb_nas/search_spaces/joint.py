"""Architecture, optimizer, regularisation and augmentation together, conditional: the space searched by default.

A configuration chooses a family of networks and has the hyperparameters of that family alone. What differs from `zela2018`: small
networks are likelier, half of each family have fewer than a million parameters, so that budgets of seconds have something to choose
from; widths are multiples of 8; hyperparameters exist only where they act; momenta are searched as log(1 - m); lengths are fractions of
the image's side (8x8 digits and 32x32 photographs alike); every augmentation can be turned off.
"""

from collections.abc import Mapping

from ConfigSpace import Categorical, ConfigurationSpace, EqualsCondition, Float, Integer

from bohb_nas.networks import size
from bohb_nas.search_spaces._families import add_families, catalogue

__all__ = ["size", "space"]


def space(families: Mapping[str, ConfigurationSpace] | None = None) -> ConfigurationSpace:
    """The joint space; its default is a small hand-designed network under a usual recipe.

    Args:
        families: the architecture of each family of networks; None is those of the catalogue.
    """
    joint = ConfigurationSpace()
    joint.add(
        Integer("batch_size", (16, 512), default=128, log=True),
        Float("label_smoothing", (0.0, 0.2), default=0.0),
    )
    add_families(joint, catalogue() if families is None else families)
    _add_optimizers(joint)
    _add_augmentation(joint)
    return joint


def _add_optimizers(joint: ConfigurationSpace) -> None:
    """Weight decay is each optimizer's own: SGD adds it to the gradient, AdamW takes it off the weights."""
    optimizer = Categorical("optimizer", ["sgd", "adamw"], default="sgd")
    sgd = [
        Float("sgd_learning_rate", (1e-3, 1.0), default=0.1, log=True),
        Float("sgd_one_minus_momentum", (0.005, 0.5), default=0.1, log=True),
        Float("sgd_weight_decay", (1e-5, 1e-2), default=5e-4, log=True),
    ]
    adamw = [
        Float("adamw_learning_rate", (1e-4, 3e-2), default=3e-3, log=True),
        Float("adamw_one_minus_beta1", (0.02, 0.5), default=0.1, log=True),
        Float("adamw_one_minus_beta2", (1e-3, 0.1), default=0.01, log=True),
        Float("adamw_weight_decay", (1e-4, 1.0), default=0.05, log=True),
    ]
    joint.add(optimizer, *sgd, *adamw)
    joint.add(*(EqualsCondition(child, optimizer, "sgd") for child in sgd))
    joint.add(*(EqualsCondition(child, optimizer, "adamw") for child in adamw))


def _add_augmentation(joint: ConfigurationSpace) -> None:
    crop = Categorical("crop", ["off", "on"], default="on")
    crop_padding = Float("crop_padding", (0.05, 0.3), default=0.125, log=True)
    cutout = Categorical("cutout", ["off", "on"], default="off")
    cutout_length = Float("cutout_length", (0.1, 0.7), default=0.5)
    mixing = Categorical("mixing", ["none", "mixup", "cutmix"], default="none")
    mixup_alpha = Float("mixup_alpha", (0.05, 2.0), default=0.2, log=True)
    cutmix_alpha = Float("cutmix_alpha", (0.05, 2.0), default=1.0, log=True)
    joint.add(Categorical("flip", ["off", "on"], default="on"))
    joint.add(crop, crop_padding, cutout, cutout_length, mixing, mixup_alpha, cutmix_alpha)
    joint.add(
        EqualsCondition(crop_padding, crop, "on"),
        EqualsCondition(cutout_length, cutout, "on"),
        EqualsCondition(mixup_alpha, mixing, "mixup"),
        EqualsCondition(cutmix_alpha, mixing, "cutmix"),
    )
