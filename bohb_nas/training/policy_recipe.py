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
DEFAULTS: Mapping[str, float] = {
    "rand_n": 2,
    "rand_m": 9,
    "searched_n": 1,
    "searched_low": 0.0,
    "searched_high": 0.5,
    "searched_geometry": 1.0,
    "searched_tone": 1.0,
    "searched_inversion": 0.2,
    "searched_detail": 0.5,
}
"""Every hyperparameter of a policy, and what a missing one is."""


def policy(name: str, config: Mapping[str, Value]) -> Policy:
    """The policy of a name out of `CHOICES`; the values of the configuration are good."""
    full = {**DEFAULTS, **config}
    match name:
        case "trivial":
            return policies.trivial()
        case "rand":
            return policies.rand(int(full["rand_n"]), float(full["rand_m"]))
        case "auto_cifar10":
            return policies.auto(policies.AUTO_CIFAR10)
        case "auto_svhn":
            return policies.auto(policies.AUTO_SVHN)
        case "searched":
            odds = {group: float(full[hyperparameter]) for hyperparameter, group in ODDS.items()}
            high = float(full["searched_high"])
            return policies.searched(odds, n=int(full["searched_n"]), low=high * float(full["searched_low"]), high=high)
        case _:
            return policies.NONE
