"""A search space of one's own: a file with a function `space()`.

bohb-nas check examples/my_space.py
"""

from ConfigSpace import Categorical, ConfigurationSpace, EqualsCondition, Float, Integer


def space() -> ConfigurationSpace:
    """A small neural network's hyperparameters; momentum exists only with sgd."""
    optimizer = Categorical("optimizer", ["adam", "sgd"])
    momentum = Float("momentum", (0.0, 0.99))
    mine = ConfigurationSpace(name="my_space")
    mine.add(Float("lr", (1e-4, 1e-1), log=True), Integer("width", (8, 128), log=True), optimizer, momentum)
    mine.add(EqualsCondition(momentum, optimizer, "sgd"))
    return mine
