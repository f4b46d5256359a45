"""The space of the toy worker: four hyperparameters, one of them conditional, with a known optimum."""

from ConfigSpace import Categorical, ConfigurationSpace, EqualsCondition, Float, Integer

from bohb_nas.records import Value

OPTIMUM: dict[str, Value] = {"lr": 0.01, "width": 8, "optimizer": "sgd", "momentum": 0.9}
"""Where the toy worker's loss is lowest at every budget."""


def space() -> ConfigurationSpace:
    """Learning rate, width, optimizer, and momentum while the optimizer is sgd."""
    optimizer = Categorical("optimizer", ["sgd", "adam"], default="adam")
    momentum = Float("momentum", (0.0, 0.99), default=0.5)
    toy = ConfigurationSpace(name="toy")
    toy.add(Float("lr", (1e-4, 1.0), log=True), Integer("width", (1, 16), default=4), optimizer, momentum)
    toy.add(EqualsCondition(momentum, optimizer, "sgd"))
    return toy
