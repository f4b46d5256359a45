"""The augmentation of the joint space: each kind can be off, and what describes it exists only where it is on.

The policies that AutoAugment found on CIFAR-10 and SVHN are no choices here, though the worker knows them: what was learned
from one data set says little of another, and the searched policy can weigh the same operators.
"""

from ConfigSpace import Categorical, ConfigurationSpace, EqualsCondition, Float, Integer


def add_augmentation(space: ConfigurationSpace) -> None:
    """Adds crop, flip, cutout, mixing and policy."""
    crop = Categorical("crop", ["off", "on"], default="on")
    crop_padding = Float("crop_padding", (0.05, 0.3), default=0.125, log=True)
    cutout = Categorical("cutout", ["off", "on"], default="off")
    cutout_length = Float("cutout_length", (0.1, 0.7), default=0.5)
    mixing = Categorical("mixing", ["none", "mixup", "cutmix"], default="none")
    mixup_alpha = Float("mixup_alpha", (0.05, 2.0), default=0.2, log=True)
    cutmix_alpha = Float("cutmix_alpha", (0.05, 2.0), default=1.0, log=True)
    space.add(Categorical("flip", ["off", "on", "alternating"], default="on"))
    space.add(crop, crop_padding, cutout, cutout_length, mixing, mixup_alpha, cutmix_alpha)
    space.add(
        EqualsCondition(crop_padding, crop, "on"),
        EqualsCondition(cutout_length, cutout, "on"),
        EqualsCondition(mixup_alpha, mixing, "mixup"),
        EqualsCondition(cutmix_alpha, mixing, "cutmix"),
    )
    _add_policy(space)


def _add_policy(space: ConfigurationSpace) -> None:
    """A searched policy says how likely each group of operators is against leaving an image alone, and between which magnitudes."""
    policy = Categorical("policy", ["none", "trivial", "rand", "searched"], default="none")
    rand = [Integer("rand_n", (1, 3), default=2), Integer("rand_m", (1, 30), default=9)]
    searched_n = Integer("searched_n", (1, 2), default=1)
    searched = [
        Float("searched_geometry", (0.05, 5.0), default=1.0, log=True),
        Float("searched_tone", (0.05, 5.0), default=1.0, log=True),
        Float("searched_inversion", (0.02, 2.0), default=0.2, log=True),
        Float("searched_detail", (0.05, 5.0), default=0.5, log=True),
        Float("searched_low", (0.0, 1.0), default=0.0),
        Float("searched_high", (0.1, 1.0), default=0.5),
    ]
    space.add(policy, *rand, searched_n, *searched)
    space.add(*(EqualsCondition(child, policy, "rand") for child in rand))
    space.add(EqualsCondition(searched_n, policy, "searched"), *(EqualsCondition(child, policy, "searched") for child in searched))
