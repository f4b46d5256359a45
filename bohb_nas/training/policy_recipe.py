"""The part of a configuration that names an augmentation policy."""

from collections.abc import Mapping

from bohb_nas.records import Value
from bohb_nas.training import policies
from bohb_nas.training.policies import GROUPS, Policy

CHOICES = ("none", "trivial", "rand", "auto_cifar10", "auto_svhn", "searched")
"""Values of `policy`; `none` is what a configuration without it means."""
ODDS = {f"searched_{group}": group for group in GROUPS}
"""Names of the odds of each group of operators: numbers from 0."""
WHOLE = {"rand_n": (1, 8), "rand_m": (0, policies.BINS - 1), "searched_n": (1, 8)}
"""Names of numbers that count something, with their bounds."""


def policy(name: str, config: Mapping[str, Value]) -> Policy:
    """The policy of a name out of `CHOICES`; the configuration has good values of every name that it reads."""
    match name:
        case "trivial":
            return policies.trivial()
        case "rand":
            return policies.rand(int(config["rand_n"]), float(config["rand_m"]))
        case "auto_cifar10":
            return policies.auto(policies.AUTO_CIFAR10)
        case "auto_svhn":
            return policies.auto(policies.AUTO_SVHN)
        case "searched":
            odds = {group: float(config[hyperparameter]) for hyperparameter, group in ODDS.items()}
            high = float(config["searched_high"])
            return policies.searched(odds, n=int(config["searched_n"]), low=high * float(config["searched_low"]), high=high)
        case _:
            return policies.NONE
