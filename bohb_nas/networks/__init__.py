"""CATALOGUE of network families: each file offers `space()` and `network(config)`; none needs torch.

`space()` is a ConfigurationSpace of architecture alone; `network(config)` is the network as `bohb_nas.layers`, for a configuration in which
every name of that space has a value of its kind. A configuration says its family by the name `family`.
"""

import functools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, get_args

from ConfigSpace import ConfigurationSpace
from ConfigSpace.hyperparameters import CategoricalHyperparameter, Hyperparameter, IntegerHyperparameter, OrdinalHyperparameter

from bohb_nas import refs
from bohb_nas.entries import as_number, is_number
from bohb_nas.errors import OptionError, RefError
from bohb_nas.layers import Layer, arithmetic
from bohb_nas.records import Value
from bohb_nas.space.encoding import listed, plain

PUBLISHED = "zela2018"
"""The family of a configuration that names none."""

Describe = Callable[[Mapping[str, Value]], Layer]


@dataclass(frozen=True, slots=True)
class Family:
    """A family of the catalogue."""

    name: str
    hyperparameters: Mapping[str, Hyperparameter[Any, Any]]
    defaults: Mapping[str, Value]
    """Of every name; a configuration may leave names out."""
    describe: Describe

    def complete(self, config: Mapping[str, Value]) -> dict[str, Value]:
        """The family's part of a configuration, missing names at their defaults.

        Raises:
            OptionError: a value that is not of its hyperparameter's kind; values beyond the bounds of the space are accepted.
        """
        said = {
            name: _checked(name, config[name], hyperparameter) for name, hyperparameter in self.hyperparameters.items() if name in config
        }
        return {**self.defaults, **said}


@functools.cache
def names() -> tuple[str, ...]:
    """The families of the catalogue."""
    return tuple(refs.names("network"))


@functools.cache
def family(name: str) -> Family:
    """A family of the catalogue.

    Raises:
        OptionError: there is none of this name.
    """
    if name not in names():
        raise OptionError(f"family is {name!r}; accepted are {', '.join(names())}")
    module = refs.load_module("network", name)
    hyperparameters = dict(module.space())
    defaults = {n: plain(hyperparameter.default_value) for n, hyperparameter in hyperparameters.items()}
    return Family(name, hyperparameters, defaults | getattr(module, "DEFAULTS", {}), module.network)


def family_space(name: str) -> ConfigurationSpace:
    """The architecture of a family of the catalogue, anew."""
    space: ConfigurationSpace = refs.load_module("network", name).space()
    return space


def network(config: Mapping[str, Value], *, reference: str | None = None) -> Layer:
    """The network of a configuration, without its head.

    Args:
        config: names that are not of the architecture are ignored.
        reference: FILE.py that offers `network(config)`, or module:attribute, in place of the catalogue.

    Raises:
        OptionError: a family, a value or a network that is not accepted.
        RefError: the reference leads to no such function.
    """
    if reference is not None:
        return _own(reference, config)
    for name in names():
        family(name).complete(config)  # whether used in this configuration or not
    chosen = family(str(config.get("family", PUBLISHED)))
    complete = chosen.complete(config)
    try:
        return chosen.describe(complete)
    except OverflowError as e:
        raise OptionError(f"a width of the family {chosen.name} is beyond every number: {complete}; accepted are smaller widths") from e


def accepted() -> frozenset[str]:
    """The names that families read."""
    return frozenset({"family"}.union(*(family(name).hyperparameters for name in names())))


def size(
    config: Mapping[str, Value], *, image_shape: tuple[int, int, int] = (32, 32, 3), n_classes: int = 10, reference: str | None = None
) -> dict[str, float]:
    """What a configuration's network costs, as `bohb_nas.layers.arithmetic.size` says.

    Args:
        config: names that are not of the architecture are ignored.
        image_shape: height, width, channels.
        n_classes: outputs.
        reference: as for `network`.
    """
    return arithmetic.size(network(config, reference=reference), image_shape=image_shape, n_classes=n_classes)


def _own(reference: str, config: Mapping[str, Value]) -> Layer:
    """The network that a user's function describes."""
    named = refs.load_module("network", reference)
    describe = getattr(named, "network", named)
    if not callable(describe):
        raise RefError(f"{reference!r} has no function network(config); define one that returns layers of bohb_nas.layers")
    try:
        described = describe(dict(config))
    except OptionError:
        raise
    except (Exception, SystemExit) as e:  # whatever a user's function does is that function's error
        raise OptionError(f"network() of {reference} fails for {dict(config)}: {type(e).__name__}: {e}; correct it") from e
    if not isinstance(described, get_args(Layer)):
        raise OptionError(f"network() of {reference} returned {type(described).__name__}; accepted is a layer of bohb_nas.layers")
    return described  # type: ignore[no-any-return]


def _checked(name: str, value: object, hyperparameter: Hyperparameter[Any, Any]) -> Value:
    """The value, if it means something, as the kind that the hyperparameter has."""
    if isinstance(hyperparameter, CategoricalHyperparameter | OrdinalHyperparameter):
        choices = listed(hyperparameter)
        if value not in choices:
            raise OptionError(f"{name} is {value!r}; accepted are {', '.join(map(str, choices))}")
        return value
    real = as_number(value)
    number = float(real) if is_number(real) else math.nan
    if isinstance(hyperparameter, IntegerHyperparameter):
        good, said = number >= 1 and number.is_integer(), "a whole number from 1"
    elif getattr(hyperparameter, "log", False):
        good, said = 0 < number < math.inf, "a number above 0"
    else:
        good, said = 0 <= number <= 1, "a number from 0 to 1"
    if not good:
        raise OptionError(f"{name} is {value!r}; accepted is {said}")
    return int(number) if isinstance(hyperparameter, IntegerHyperparameter) else number
