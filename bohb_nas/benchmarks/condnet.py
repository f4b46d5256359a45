"""CondNet: a synthetic joint search over architecture, training and augmentation, with conditions and a known optimum.

19 hyperparameters, 13 of them conditional; epochs 1, 3, 9, 27, 81; costs in seconds. With z = epochs / 81:

    y(x, z) = 0.05 + f_arch(x) + f_recipe(x) + 0.5 lam (0.2 + 0.8 slow(x)) (z^-0.5 - 1) / 8 + sigma z^-0.5 eps

The last term but one is what training shorter adds, more to networks and recipes that pay late; it is 0 at z = 1. The
optimum is 0.05: depth 3, (conv3 64, sep 64, sep 128), sgd with lr 0.1 and momentum 0.9, weight decay 10^-3.8, RandAugment
with n = 2, m = 7.

=========  ====  =====  =====================================================================================
instance   lam   sigma
=========  ====  =====  =====================================================================================
noisy      1     0.003
exact      1     0
easy       0.5   0.003  low budgets mislead less
oom        1     0.003  more than 216 channels over all layers end out of memory at every budget, after one
                        second: 30 % of random configurations, the optimum above among them
=========  ====  =====  =====================================================================================
"""

from collections.abc import Mapping
from functools import partial
from typing import NamedTuple, cast

from ConfigSpace import Categorical, ConfigurationSpace, InCondition, Integer

from bohb_nas.benchmarks import Observation, Problem
from bohb_nas.benchmarks._laddered import Laddered, ladder, noise
from bohb_nas.benchmarks._recipe import AUGMENTATION_COST, add_recipe, judge, place
from bohb_nas.records import Status, Value

_EPOCHS = (1, 3, 9, 27, 81)
_DEPTH_LOSS = (0.12, 0.05, 0.0, 0.02)
_BEST_WIDTH = (0.5, 0.5, 0.75, 0.75)
_FIRST_LOSS = {"conv3": 0.0, "conv5": 0.01, "sep": 0.015, "skip": 0.05}
_LATER_LOSS = {"conv3": 0.01, "conv5": 0.02, "sep": 0.0, "skip": 0.05}
_COST = {"conv3": 1.0, "conv5": 2.6, "sep": 0.35, "skip": 0.0}


class _Instance(NamedTuple):
    lam: float
    sigma: float
    width_limit: float
    """Channels over all layers above which the memory does not suffice."""
    best: float
    median: float
    """Over the random configurations that fit."""
    mean_cost: float


# median and mean cost are those of 20,000 configurations, `Encoding.sample(0)` to `Encoding.sample(19999)`, the cost of those
# that fail included; the best of oom is that of widths 57, 57 and 102, found by trying all
_INSTANCES = {
    "noisy": _Instance(1.0, 0.003, float("inf"), 0.05, 0.2248, 357.5),
    "exact": _Instance(1.0, 0.0, float("inf"), 0.05, 0.2248, 357.5),
    "easy": _Instance(0.5, 0.003, float("inf"), 0.05, 0.2248, 357.5),
    "oom": _Instance(1.0, 0.003, 216.0, 0.0506118, 0.2336, 116.4),
}


def instances() -> tuple[str, ...]:
    """The variants of the module's table."""
    return tuple(_INSTANCES)


def problem(instance: str) -> Problem:
    """One of the variants."""
    it = _INSTANCES[instance]
    return Laddered(
        name=f"condnet/{instance}",
        space=_space(),
        budgets=ladder(81.0, len(_EPOCHS), unit="epochs"),
        best=it.best,
        median=it.median,
        mean_cost=it.mean_cost,
        observe=partial(_observe, it),
        exact=_exact,
    )


def _space() -> ConfigurationSpace:
    space = ConfigurationSpace()
    depth = Integer("depth", (1, 4))
    space.add(depth)
    for i in range(1, 5):
        op = Categorical(f"op_{i}", ["conv3", "conv5", "sep", "skip"])
        width = Integer(f"width_{i}", (16, 256), log=True)
        space.add(op, width)
        if i > 1:
            space.add(InCondition(op, depth, list(range(i, 5))))
        space.add(InCondition(width, op, ["conv3", "conv5", "sep"]))
    add_recipe(space)
    return space


class _Network(NamedTuple):
    loss: float
    """Above the best network's, which has 0."""
    width: float
    """Channels over all layers."""
    cost: float
    """Of an epoch, relative to the network without layers."""


def _network(values: Mapping[str, Value]) -> _Network:
    config = cast(Mapping[str, float], values)
    depth = int(config["depth"])
    loss, total, cost = _DEPTH_LOSS[depth - 1], 0.0, 1.0
    for i in range(depth):
        op = str(values[f"op_{i + 1}"])
        loss += _LATER_LOSS[op] if i else _FIRST_LOSS[op]
        if op != "skip":
            width = config[f"width_{i + 1}"]
            loss += 0.06 * (place(width, 16.0, 256.0) - _BEST_WIDTH[i]) ** 2
            total += width
            cost += _COST[op] * (width / 64) ** 2
    return _Network(loss, total, cost)


def _observe(it: _Instance, config: Mapping[str, Value], rung: int, seed: int) -> Observation:
    network, recipe = _network(config), judge(config, int(config["depth"]))
    if network.width > it.width_limit:
        return Observation(loss=None, cost=1.0, status=Status.OUT_OF_MEMORY)
    z = _EPOCHS[rung] / 81
    slow = 0.35 * (int(config["depth"]) - 1) / 3 + 0.35 * recipe.slow_rate + 0.30 * recipe.slow_augmentation
    loss = 0.05 + network.loss + recipe.loss + 0.5 * it.lam * (0.2 + 0.8 * slow) * (z**-0.5 - 1) / 8
    if it.sigma:
        loss += it.sigma * z**-0.5 * float(noise(seed, config, _EPOCHS[rung]).standard_normal())
    return Observation(loss=loss, cost=1 + 40.5 * z * network.cost * AUGMENTATION_COST[str(config["augmentation"])])


def _exact(config: Mapping[str, Value]) -> float:
    """Of a network that does not fit: what it would reach if it did; no search can end with it."""
    return 0.05 + _network(config).loss + judge(config, int(config["depth"])).loss
