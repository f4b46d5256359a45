"""Augmentation policies as data: which operators an image may meet, how likely, and how strongly.

A policy is a sequence of layers; each image meets, in every layer, one choice of it, independently of all other images.
The magnitudes are those of `training.operators`; an operator of `SIGNED` turns its magnitude round half of the time.
"""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

SIGNED = frozenset(
    {"shear_x", "shear_y", "translate_x", "translate_y", "rotate", "brightness", "colour", "contrast", "sharpness"},
)
LIMITS: Mapping[str, tuple[float, float]] = {
    "shear_x": (0, 2),
    "shear_y": (0, 2),
    "translate_x": (0, 1),
    "translate_y": (0, 1),
    "rotate": (0, 180),
    "brightness": (0, 1),
    "colour": (0, 1),
    "contrast": (0, 1),
    "sharpness": (0, 1),
    "posterize": (0, 8),
    "solarize": (0, 1),
}
"""Smallest and largest magnitude of every operator that has one."""
PLAIN = ("autocontrast", "equalize", "invert", "identity")
"""Operators without a magnitude."""
OPERATORS = (*LIMITS, *PLAIN)

Scale = Mapping[str, tuple[float, float]]
"""Operator -> its magnitude at level 0 and at level 1."""
_LENGTH = 150 / 331
NARROW: Scale = {
    "shear_x": (0, 0.3),
    "shear_y": (0, 0.3),
    "translate_x": (0, _LENGTH),
    "translate_y": (0, _LENGTH),
    "rotate": (0, 30),
    "brightness": (0, 0.9),
    "colour": (0, 0.9),
    "contrast": (0, 0.9),
    "sharpness": (0, 0.9),
    "posterize": (8, 4),
    "solarize": (1, 0),
}
"""Of AutoAugment and RandAugment (Cubuk et al. 2019; 2020), with torchvision's reading of it."""
WIDE: Scale = {
    "shear_x": (0, 0.99),
    "shear_y": (0, 0.99),
    "translate_x": (0, 1),
    "translate_y": (0, 1),
    "rotate": (0, 135),
    "brightness": (0, 0.99),
    "colour": (0, 0.99),
    "contrast": (0, 0.99),
    "sharpness": (0, 0.99),
    "posterize": (8, 2),
    "solarize": (1, 0),
}
"""Of TrivialAugment (Müller and Hutter 2021, wide); its 32 pixels are the whole side of the images that it was made for."""

BINS = 31
"""Levels of RandAugment and TrivialAugment: 0/30 to 30/30."""
_MENU = (*NARROW, "autocontrast", "equalize", "identity")
"""Operators of RandAugment and TrivialAugment, equally likely."""

GROUPS: Mapping[str, tuple[str, ...]] = {
    "geometry": ("shear_x", "shear_y", "translate_x", "translate_y", "rotate"),
    "tone": ("brightness", "colour", "contrast", "autocontrast", "equalize"),
    "inversion": ("solarize", "invert"),
    "detail": ("sharpness", "posterize"),
}
"""Operators that the searched policy weighs together: what suits one of a group tends to suit the others."""

Sub = tuple[str, float, int]
"""Operator, probability, magnitude as a tenth 0..9 of the narrow scale."""
AUTO_CIFAR10: Sequence[tuple[Sub, Sub]] = (
    (("invert", 0.1, 0), ("contrast", 0.2, 6)),
    (("rotate", 0.7, 2), ("translate_x", 0.3, 9)),
    (("sharpness", 0.8, 1), ("sharpness", 0.9, 3)),
    (("shear_y", 0.5, 8), ("translate_y", 0.7, 9)),
    (("autocontrast", 0.5, 0), ("equalize", 0.9, 0)),
    (("shear_y", 0.2, 7), ("posterize", 0.3, 7)),
    (("colour", 0.4, 3), ("brightness", 0.6, 7)),
    (("sharpness", 0.3, 9), ("brightness", 0.7, 9)),
    (("equalize", 0.6, 0), ("equalize", 0.5, 0)),
    (("contrast", 0.6, 7), ("sharpness", 0.6, 5)),
    (("colour", 0.7, 7), ("translate_x", 0.5, 8)),
    (("equalize", 0.3, 0), ("autocontrast", 0.4, 0)),
    (("translate_y", 0.4, 3), ("sharpness", 0.2, 6)),
    (("brightness", 0.9, 6), ("colour", 0.2, 8)),
    (("solarize", 0.5, 2), ("invert", 0.0, 0)),
    (("equalize", 0.2, 0), ("autocontrast", 0.6, 0)),
    (("equalize", 0.2, 0), ("equalize", 0.6, 0)),
    (("colour", 0.9, 9), ("equalize", 0.6, 0)),
    (("autocontrast", 0.8, 0), ("solarize", 0.2, 8)),
    (("brightness", 0.1, 3), ("colour", 0.7, 0)),
    (("solarize", 0.4, 5), ("autocontrast", 0.9, 0)),
    (("translate_y", 0.9, 9), ("translate_y", 0.7, 9)),
    (("autocontrast", 0.9, 0), ("solarize", 0.8, 3)),
    (("equalize", 0.8, 0), ("invert", 0.1, 0)),
    (("translate_y", 0.7, 9), ("autocontrast", 0.9, 0)),
)
"""Cubuk et al. (2019), appendix: found on CIFAR-10."""
AUTO_SVHN: Sequence[tuple[Sub, Sub]] = (
    (("shear_x", 0.9, 4), ("invert", 0.2, 0)),
    (("shear_y", 0.9, 8), ("invert", 0.7, 0)),
    (("equalize", 0.6, 0), ("solarize", 0.6, 6)),
    (("invert", 0.9, 0), ("equalize", 0.6, 0)),
    (("equalize", 0.6, 0), ("rotate", 0.9, 3)),
    (("shear_x", 0.9, 4), ("autocontrast", 0.8, 0)),
    (("shear_y", 0.9, 8), ("invert", 0.4, 0)),
    (("shear_y", 0.9, 5), ("solarize", 0.2, 6)),
    (("invert", 0.9, 0), ("autocontrast", 0.8, 0)),
    (("equalize", 0.6, 0), ("rotate", 0.9, 3)),
    (("shear_x", 0.9, 4), ("solarize", 0.3, 3)),
    (("shear_y", 0.8, 8), ("invert", 0.7, 0)),
    (("equalize", 0.9, 0), ("translate_y", 0.6, 6)),
    (("invert", 0.9, 0), ("equalize", 0.6, 0)),
    (("contrast", 0.3, 3), ("rotate", 0.8, 4)),
    (("invert", 0.8, 0), ("translate_y", 0.0, 2)),
    (("shear_y", 0.7, 6), ("solarize", 0.4, 8)),
    (("invert", 0.6, 0), ("rotate", 0.8, 4)),
    (("shear_y", 0.3, 7), ("translate_x", 0.9, 3)),
    (("shear_x", 0.1, 6), ("invert", 0.6, 0)),
    (("solarize", 0.7, 2), ("translate_y", 0.6, 7)),
    (("shear_y", 0.8, 4), ("invert", 0.8, 0)),
    (("shear_x", 0.7, 9), ("translate_y", 0.8, 3)),
    (("shear_y", 0.8, 5), ("autocontrast", 0.7, 0)),
    (("shear_x", 0.7, 2), ("invert", 0.1, 0)),
)
"""Cubuk et al. (2019), appendix: found on SVHN."""


@dataclass(frozen=True, slots=True)
class Operation:
    """An operator with the range of its magnitude."""

    operator: str
    low: float = 0.0
    """Magnitude at level 0."""
    high: float = 0.0
    """Magnitude at level 1."""


@dataclass(frozen=True, slots=True)
class Choice:
    """What may happen to an image in a layer."""

    probability: float
    operations: tuple[Operation, ...]
    """One after the other; none leaves the image as it is."""


@dataclass(frozen=True, slots=True)
class Layer:
    """Of these choices each image meets one; their probabilities sum to one."""

    choices: tuple[Choice, ...]
    bins: int | None = None
    """Levels are drawn from so many equidistant ones, or from all of [0, 1]."""


Policy = tuple[Layer, ...]
NONE: Policy = ()


def trivial() -> Policy:
    """TrivialAugment: one operator, at a level of its own."""
    return (Layer(tuple(Choice(1 / len(_MENU), (operation(o, WIDE, 0, 1),)) for o in _MENU), BINS),)


def rand(n: int, m: float) -> Policy:
    """RandAugment: n operators at level m of 0..30."""
    level = m / (BINS - 1)
    return (Layer(tuple(Choice(1 / len(_MENU), (operation(o, NARROW, level, level),)) for o in _MENU)),) * n


def auto(table: Sequence[tuple[Sub, Sub]]) -> Policy:
    """AutoAugment: one sub-policy of a table, each of its two operations with its probability."""
    choices = []
    for subs in table:
        for taken in itertools.product((True, False), repeat=2):
            probability = math.prod(p if take else 1 - p for (_, p, _), take in zip(subs, taken, strict=True)) / len(table)
            operations = [operation(o, NARROW, m / 9, m / 9) for (o, _, m), take in zip(subs, taken, strict=True) if take]
            if probability > 0:
                choices.append(Choice(probability, tuple(operations)))
    return (Layer(tuple(choices)),)


def searched(odds: Mapping[str, float], *, n: int, low: float, high: float) -> Policy:
    """The policy that a search finds.

    Args:
        odds: of each group of `GROUPS` against leaving the image alone; within a group all operators are equally likely.
        n: operators one after another.
        low: level in [0, 1] of the wide scale from which magnitudes are drawn.
        high: up to this one.
    """
    total = 1 + sum(odds.values())
    choices = [
        Choice(odds[group] / total / len(members), (operation(o, WIDE, low, high),)) for group, members in GROUPS.items() for o in members
    ]
    return (Layer((*choices, Choice(1 / total, ()))),) * n


def operation(operator: str, scale: Scale, low: float, high: float) -> Operation:
    """An operator between two levels of a scale."""
    if operator not in scale:
        return Operation(operator)
    zero, one = scale[operator]
    return Operation(operator, zero + (one - zero) * low, zero + (one - zero) * high)
