"""What a configuration means: names of the built-in spaces, or any subset of them, read into a network and a recipe."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, cast, get_args

from ConfigSpace import ConfigurationSpace

from bohb_nas import entries, networks
from bohb_nas.errors import OptionError
from bohb_nas.layers import Layer
from bohb_nas.records import Value
from bohb_nas.search_spaces._augmentation import add_augmentation
from bohb_nas.search_spaces._training import add_training
from bohb_nas.space.encoding import plain
from bohb_nas.training import policy_recipe, schedules
from bohb_nas.training.policies import Policy

Optimizer = Literal["sgd", "adamw", "muon"]
Mixing = Literal["none", "mixup", "cutmix"]
Flip = Literal["off", "on", "alternating"]

_CHOICES = {
    "optimizer": get_args(Optimizer),
    "schedule": get_args(schedules.Shape),
    "average": ("off", "on"),
    "crop": ("off", "on"),
    "flip": get_args(Flip),
    "cutout": ("off", "on"),
    "erasing": ("off", "on"),
    "mixing": get_args(Mixing),
    "policy": policy_recipe.CHOICES,
}
_JOINT = ConfigurationSpace()
add_training(_JOINT)
add_augmentation(_JOINT)
_DEFAULTS: Mapping[str, Value] = {
    **{name: plain(hyperparameter.default_value) for name, hyperparameter in _JOINT.items()},
    "erasing": "off",
    "erasing_probability": 0.5,
}
"""What a missing hyperparameter is: as the joint space has it, and random erasing, which it has not, is off."""
REFERENCE_BATCH = 128
"""Images of a batch that the rates of the joint space are for."""
_POSITIVE = frozenset({"learning_rate", "sgd_learning_rate", "adamw_learning_rate", "muon_learning_rate", "average_span"})
_BELOW_ONE = frozenset({"momentum", "warm_up"})
_UNBOUNDED = frozenset(
    {"weight_decay", "sgd_weight_decay", "adamw_weight_decay", "muon_weight_decay", "alpha", "mixup_alpha", "cutmix_alpha"}
    | policy_recipe.ODDS.keys()
)
"""Numbers from 0; every one that is named nowhere here is from 0 to 1."""
_PLAIN = ("learning_rate", "weight_decay", "momentum", "alpha", "length")
"""Names of `zela2018`; the first three serve every optimizer. Under a network of the user's own they are that network's."""

ACCEPTED = tuple(sorted(_DEFAULTS.keys() | set(_PLAIN)))
"""Every name that a space for this worker may use beside those of the network."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How a network is trained."""

    batch_size: int
    optimizer: Optimizer
    learning_rate: float
    """At the peak of the schedule, of the batches that are trained."""
    momentum: float
    """Nesterov's of SGD and of Muon, or beta1 of AdamW."""
    beta2: float
    """Of AdamW."""
    weight_decay: float
    """Added to the gradient by SGD, decoupled in AdamW and Muon."""
    label_smoothing: float
    schedule: schedules.Shape | None
    """Of the learning rate; None leaves it to the worker."""
    warm_up: float
    """Fraction of the budget spent rising."""
    average_span: float
    """Fraction of the budget after which a step weighs 1 / e in the averaged weights; 0 averages nothing."""
    crop_padding: float
    """Zeros around the image before the random crop, as a fraction of its height; 0 is no crop."""
    flip: Flip
    """Never, half of the time at random, or every other time that an image is seen."""
    cutout_length: float
    """Side of the erased square as a fraction of the image's height; 0 is no cutout."""
    erasing_probability: float
    """Of a rectangle of random shape being erased."""
    mixing: Mixing
    mixing_alpha: float
    """The shares are Beta(alpha, alpha)."""
    policy: Policy
    """After crop and flip, before normalisation."""


def read(config: Mapping[str, Value], *, network: str | None = None) -> tuple[Layer, Recipe]:
    """Translates a configuration.

    Missing names take the defaults of the joint space. The names of `zela2018` mean what they meant there: `alpha` is of
    mixup and 0 turns it off; `length` is the side of the cutout in pixels of a 32x32 image, so length / 32 of the side.

    Args:
        config: what is to be trained.
        network: reference of a `network(config)` in place of the families; the recipe then reads the names of the joint space alone, and
            all others are the network's.

    Returns:
        The network without its head, and how it is trained.

    Raises:
        OptionError: a name or a value that is not accepted.
    """
    if network is None and (unknown := sorted(set(config) - set(ACCEPTED) - networks.accepted())):
        known = ", ".join((*ACCEPTED, *sorted(networks.accepted())))
        raise OptionError(f"the image classifier knows no hyperparameter {', '.join(unknown)}; accepted are {known}")
    said = config if network is None else {name: value for name, value in config.items() if name not in _PLAIN}
    for name in (set(ACCEPTED) & said.keys()) - _CHOICES.keys():
        _check_number(name, said[name])
    optimizer = cast(Optimizer, _choice(said, "optimizer"))
    mixing = cast(Mixing, _choice(said, "mixing", "mixup" if "alpha" in said else "none"))
    alpha = _number(said, "alpha" if "alpha" in said else f"{mixing}_alpha") if mixing != "none" else 0.0
    cutout = _choice(said, "cutout", "on" if "length" in said else "off") == "on"
    return networks.network(config, reference=network), Recipe(
        batch_size=int(_number(said, "batch_size")),
        optimizer=optimizer,
        learning_rate=_learning_rate(said, optimizer),
        momentum=_momentum(said, optimizer),
        beta2=1 - _number(said, "adamw_one_minus_beta2"),
        weight_decay=_number(said, f"{optimizer}_weight_decay", "weight_decay"),
        label_smoothing=_number(said, "label_smoothing"),
        schedule=cast(schedules.Shape, _choice(said, "schedule")) if "schedule" in said else None,
        warm_up=_number(said, "warm_up"),
        average_span=_number(said, "average_span") if _choice(said, "average") == "on" else 0.0,
        crop_padding=_number(said, "crop_padding") if _choice(said, "crop") == "on" else 0.0,
        flip=cast(Flip, _choice(said, "flip")),
        cutout_length=_cutout_length(said) if cutout else 0.0,
        erasing_probability=_number(said, "erasing_probability") if _choice(said, "erasing") == "on" else 0.0,
        mixing=mixing if alpha > 0 else "none",
        mixing_alpha=alpha,
        policy=policy_recipe.policy(_choice(said, "policy"), {**_DEFAULTS, **said}),
    )


def _check_number(name: str, value: object) -> None:
    """Whether used in this configuration or not."""
    number = float(cast(float, value)) if entries.is_number(value) else math.nan
    if name == "batch_size":
        good, accepted = number >= 1 and number.is_integer(), "a whole number from 1"
    elif name in policy_recipe.WHOLE:
        low, high = policy_recipe.WHOLE[name]
        good, accepted = low <= number <= high and number.is_integer(), f"a whole number from {low} to {high}"
    elif name in _POSITIVE:
        good, accepted = 0 < number < math.inf, "a number above 0"
    elif name in _UNBOUNDED:
        good, accepted = 0 <= number < math.inf, "a number from 0"
    elif name == "length":
        good, accepted = 0 <= number <= 32, "a number of pixels from 0 to 32"
    elif name in _BELOW_ONE:
        good, accepted = 0 <= number < 1, "a number from 0 and below 1"
    elif "_one_minus_" in name:
        good, accepted = 0 < number <= 1, "a number above 0, at most 1"
    else:
        good, accepted = 0 <= number <= 1, "a number from 0 to 1"
    if not good:
        raise OptionError(f"{name} is {repr(value)[:200]}; accepted is {accepted}")


def _learning_rate(config: Mapping[str, Value], optimizer: Optimizer) -> float:
    """A rate of the joint space is that of batches of 128, so that it can be searched apart from the batch size.

    It grows with the size of the batch under SGD (Goyal et al. 2017, arXiv:1706.02677, section 2.1) and with its root under AdamW
    (Malladi et al. 2022, arXiv:2205.10287), and under Muon, whose updates are as little as AdamW's a matter of the gradient's size. The
    plain `learning_rate` of `zela2018` is the rate itself.
    """
    name = f"{optimizer}_learning_rate"
    rate = _number(config, name, "learning_rate")
    if name not in config and "learning_rate" in config:
        return rate
    ratio = _number(config, "batch_size") / REFERENCE_BATCH
    return rate * (ratio if optimizer == "sgd" else math.sqrt(ratio))


def _momentum(config: Mapping[str, Value], optimizer: Optimizer) -> float:
    if "momentum" in config:
        return float(config["momentum"])
    return 1 - _number(config, "adamw_one_minus_beta1" if optimizer == "adamw" else f"{optimizer}_one_minus_momentum")


def _cutout_length(config: Mapping[str, Value]) -> float:
    return float(config["length"]) / 32 if "length" in config else _number(config, "cutout_length")


def _number(config: Mapping[str, Value], name: str, plain: str | None = None) -> float:
    """The value of `name`, else of its `plain` synonym, else the default."""
    present = next((n for n in (name, plain) if n in config), None)
    return float(_DEFAULTS[name] if present is None else config[present])


def _choice(config: Mapping[str, Value], name: str, default: str | None = None) -> str:
    value = config.get(name, default or _DEFAULTS[name])
    if value not in _CHOICES[name]:
        raise OptionError(f"{name} is {value!r}; accepted are {', '.join(_CHOICES[name])}")
    return str(value)
