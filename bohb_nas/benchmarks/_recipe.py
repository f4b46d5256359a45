"""The training recipe that the conditional problems search: optimizer, its rates, weight decay, augmentation.

The best learning rate depends on the depth of the network, and strong augmentation pays late.
"""

import math
from collections.abc import Mapping
from typing import NamedTuple, cast

from ConfigSpace import Categorical, ConfigurationSpace, EqualsCondition, Float, Integer

from bohb_nas.records import Value

AUGMENTATION_COST = {"none": 1.0, "cutout": 1.02, "mixup": 1.1, "randaug": 1.25}
"""How many times longer an epoch takes."""

_AUGMENTATION_LOSS = {"none": 0.04, "cutout": 0.02, "mixup": 0.01, "randaug": 0.0}


class Judged(NamedTuple):
    """What a recipe is worth."""

    loss: float
    """Above that of the best recipe, which has 0."""
    slow_rate: float
    """How late it pays for its learning rate, in [0, 1]."""
    slow_augmentation: float
    """How late it pays for its augmentation, in [0, 1]."""


def add_recipe(space: ConfigurationSpace) -> None:
    """Adds the 10 hyperparameters, 6 of them conditional."""
    optimizer = Categorical("optimizer", ["sgd", "adam"])
    augmentation = Categorical("augmentation", list(AUGMENTATION_COST))
    momentum = Float("momentum", (0.0, 0.99))
    one_minus_beta2 = Float("one_minus_beta2", (1e-4, 1e-1), log=True)
    cutout_length = Integer("cutout_length", (1, 16))
    mixup_alpha = Float("mixup_alpha", (0.05, 2.0), log=True)
    randaug_n, randaug_m = Integer("randaug_n", (1, 3)), Integer("randaug_m", (1, 10))
    space.add(optimizer, Float("lr", (1e-5, 1.0), log=True), Float("weight_decay", (1e-6, 1e-2), log=True), augmentation)
    space.add(momentum, one_minus_beta2, cutout_length, mixup_alpha, randaug_n, randaug_m)
    space.add(
        EqualsCondition(momentum, optimizer, "sgd"),
        EqualsCondition(one_minus_beta2, optimizer, "adam"),
        EqualsCondition(cutout_length, augmentation, "cutout"),
        EqualsCondition(mixup_alpha, augmentation, "mixup"),
        EqualsCondition(randaug_n, augmentation, "randaug"),
        EqualsCondition(randaug_m, augmentation, "randaug"),
    )


def place(value: float, low: float, high: float) -> float:
    """Where a value lies between two others on a logarithmic scale: 0 at `low`, 1 at `high`."""
    return math.log(value / low) / math.log(high / low)


def judge(values: Mapping[str, Value], depth: int) -> Judged:
    """What the recipe in a configuration is worth for a network of a depth.

    Raises:
        KeyError: an active hyperparameter is missing.
    """
    config = cast(Mapping[str, float], values)
    rate = place(config["lr"], 1e-5, 1.0)
    if values["optimizer"] == "sgd":
        best_rate = 0.8 - 0.04 * (depth - 3)
        loss = 0.05 * (config["momentum"] - 0.9) ** 2
    else:
        best_rate = 0.4 - 0.04 * (depth - 3)
        loss = 0.01 + 0.02 * (place(config["one_minus_beta2"], 1e-4, 1e-1) - 1 / 3) ** 2
    augmentation = str(values["augmentation"])
    loss += 0.25 * (rate - best_rate) ** 2 + _AUGMENTATION_LOSS[augmentation]
    loss += 0.05 * (place(config["weight_decay"], 1e-6, 1e-2) - (0.65 if augmentation == "none" else 0.55)) ** 2
    slow = 0.0
    match augmentation:
        case "cutout":
            loss += 0.03 * ((config["cutout_length"] - 8) / 16) ** 2
            slow = 0.3 * config["cutout_length"] / 16
        case "mixup":
            strength = place(config["mixup_alpha"], 0.05, 2.0)
            loss += 0.04 * (strength - 0.6) ** 2
            slow = 0.6 * strength
        case "randaug":
            n, m = config["randaug_n"], config["randaug_m"]
            loss += 0.03 * (((m - 7) / 10) ** 2 + ((n - 2) / 3) ** 2)
            slow = n * m / 30
    return Judged(loss, min(max(0.5 + (best_rate - rate) / 0.6, 0.0), 1.0), slow)
