"""An augmentation policy that learns from the training losses of the images that met it, after every step.

DHA (Zhou et al. 2022) raises the chances of what gave the highest training losses, as Adversarial AutoAugment (Zhang et al. 2020) does.
With operators among them that destroy an image this ends at those: no network ever gets their loss down. The bounded objective goes
after images that are a little harder than unchanged ones instead.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from ConfigSpace import ConfigurationSpace
from ConfigSpace.hyperparameters import UniformFloatHyperparameter
from numpy.typing import NDArray

from bohb_nas.arrays import Floats
from bohb_nas.one_shot_settings import Objective
from bohb_nas.records import Value
from bohb_nas.search_spaces._augmentation import add_augmentation
from bohb_nas.training.policies import GROUPS, WIDE, Choice, Layer, Policy, operation

FLOOR = 0.2
"""Share of the probability that is always even, so that every choice stays within reach."""
LEAST_REWARD = -3.0
"""Of an image, however hard it is."""
PULL = 0.5
"""Of the logits towards their start, as a share of `rate` in every step.

Steps are at most of about the size `rate`, so a logit goes no further than about 1 / PULL from its start, and noise alone takes it
sqrt(rate / (2 PULL)) away: 0.1 with a rate of 0.01, however long a search is.
"""
_MEMORY = 0.99
"""Of the running mean of squared gradients."""
_UNCHANGED_MEMORY = 0.95
"""Of the running mean loss of unchanged images, per step."""
_EPSILON = 1e-12


class OnlinePolicy:
    """One choice of a pool for every image, with probabilities (1 - FLOOR) softmax(logits) + FLOOR / n.

    Args:
        pool: what may happen to an image; the first leaves it as it is. The softmax starts at their probabilities.
        objective: what is gone after.
        rate: usual change of a logit in one step.
        rho: of `bounded`: the loss that is gone after, in mean losses of unchanged images.
        n_classes: of the images. A destroyed one has the loss of guessing, log n, and is worse to `bounded` than the easiest once
            exp(aim) < (n + 1) / 2; before, when unchanged images are as hard, it would be what is gone after, and nothing is learned.
            None learns from the beginning.

    Raises:
        ValueError: a pool of one, one that does not begin with the identity, or one with a choice that never happens.
    """

    def __init__(self, pool: Sequence[Choice], *, objective: Objective, rate: float, rho: float, n_classes: int | None = None) -> None:
        if len(pool) < 2 or pool[0].operations or not all(choice.probability > 0 for choice in pool):
            raise ValueError(
                f"a pool of {len(pool)}; accepted are two or more, each of a probability above 0, the first without operations"
            )
        self._pool, self._objective, self._rate, self._rho = tuple(pool), objective, rate, rho
        self._hardest = math.inf if n_classes is None else math.log((n_classes + 1) / 2)
        self._start = np.log([choice.probability for choice in pool])
        self._logits = self._start.copy()
        self._steps, self._square = 0, np.zeros(len(pool))
        self._unchanged = np.zeros(2)
        """Fading sum of the losses of unchanged images, and their number."""
        self.skipped = 0
        """Steps with a loss that is no finite number; they changed nothing."""

    @property
    def probabilities(self) -> Floats:
        """Of the pool, [n]; they sum to one."""
        return probabilities(self._logits, FLOOR)

    @property
    def entropy(self) -> float:
        """Of the probabilities, as a share of that of even ones."""
        p = self.probabilities
        return float(-(p * np.log(np.maximum(p, _EPSILON))).sum() / math.log(len(p)))

    @property
    def unchanged_loss(self) -> float | None:
        """Running mean training loss of unchanged images; None before the first."""
        total, number = self._unchanged
        return float(total / number) if number else None

    def policy(self) -> Policy:
        """The policy of now: one layer, the pool with the probabilities of now."""
        return (Layer(tuple(Choice(float(p), choice.operations) for p, choice in zip(self.probabilities, self._pool, strict=True))),)

    def update(self, chosen: NDArray[np.int64], losses: Floats) -> None:
        """Learns from a batch of the policy as it is.

        Args:
            chosen: which of the pool each image met, [N].
            losses: training loss of each, [N].
        """
        losses = np.asarray(losses, dtype=np.float64)
        if not np.isfinite(losses).all():
            self.skipped += 1
            return
        unchanged = losses[chosen == 0]
        self._unchanged = _UNCHANGED_MEMORY * self._unchanged + np.array([unchanged.sum(), len(unchanged)])
        rewards = self._rewards(losses)
        if rewards is not None:
            self._climb(score_gradient(self._logits, FLOOR, chosen, rewards))

    def _rewards(self, losses: Floats) -> Floats | None:
        """Of each image, [N]; None where there is nothing to be learned."""
        match self._objective:
            case "adversarial":
                return losses
            case "bounded":
                aim = self._rho * (math.inf if self.unchanged_loss is None else self.unchanged_loss)
                return bounded_rewards(losses, aim) if aim < self._hardest else None
            case "fixed":
                return None

    def _climb(self, gradient: Floats) -> None:
        """Adam without a first moment, as the controllers', and the pull to the start."""
        self._steps += 1
        self._square = _MEMORY * self._square + (1 - _MEMORY) * gradient**2
        usual = np.sqrt(self._square / (1 - _MEMORY**self._steps))
        self._logits = self._logits + self._rate * (gradient / (usual + _EPSILON) - PULL * (self._logits - self._start))

    def state(self) -> dict[str, Any]:
        """All that changes, as JSON."""
        arrays = {"logits": self._logits, "square": self._square, "unchanged": self._unchanged}
        return {**{name: array.tolist() for name, array in arrays.items()}, "steps": self._steps, "skipped": self.skipped}

    def restore(self, state: Mapping[str, Any]) -> None:
        """The inverse of `state`."""
        self._logits, self._square, self._unchanged = (np.array(state[n], dtype=np.float64) for n in ("logits", "square", "unchanged"))
        self._steps, self.skipped = int(state["steps"]), int(state["skipped"])


def probabilities(logits: Floats, floor: float) -> Floats:
    """The softmax of logits [n], with a share that is even."""
    exponentials = np.exp(logits - logits.max())
    return np.asarray((1 - floor) * exponentials / exponentials.sum() + floor / len(logits))


def score_gradient(logits: Floats, floor: float, chosen: NDArray[np.int64], rewards: Floats) -> Floats:
    """An unbiased estimate of the gradient of the expected reward by the logits, from N images of the policy.

    The mean of (R_i - b_i) d log p(c_i) / d logits (Williams 1992), b_i the mean reward of the other images; nothing for a single one.

    Args:
        logits: [n]
        floor: share of the probability that is even.
        chosen: what each image met, [N].
        rewards: of each, [N].

    Returns:
        [n]
    """
    n_images = len(rewards)
    if n_images < 2:
        return np.zeros_like(logits)
    advantages = (rewards - rewards.mean()) * n_images / (n_images - 1)
    sums = np.bincount(chosen, weights=advantages, minlength=len(logits)) / n_images
    softmax = probabilities(logits, 0.0)
    by_choice = sums * (1 - floor) * softmax / probabilities(logits, floor)
    return np.asarray(by_choice - softmax * by_choice.sum())


def bounded_rewards(losses: Floats, aim: float) -> Floats:
    """-|1 - exp(loss - aim)| of each image, no less than `LEAST_REWARD`; the form is that of an unused loss of the released DHA."""
    over = np.minimum(losses - aim, math.log(1 - LEAST_REWARD))
    return np.asarray(-np.abs(1 - np.exp(over)))


def default_pool() -> tuple[Choice, ...]:
    """The identity and every operator of the joint space's searched policy, one for an image, equally likely.

    Magnitudes are drawn from the lower half of the wide scale.
    """
    operators = [o for members in GROUPS.values() for o in members]
    even = 1 / (1 + len(operators))
    return (Choice(even, ()), *(Choice(even, (operation(o, WIDE, 0.0, 0.5),)) for o in operators))


def as_config(policy: Policy) -> dict[str, Value]:
    """The nearest that the joint space can say of a policy of one layer, as the part of a configuration that names it.

    Its groups have the probabilities of their operators together, against that of the identity; magnitudes are drawn from the mean range
    of levels. What lies beyond a bound of the space is at it.
    """
    chances, unchanged, levels = dict.fromkeys(GROUPS, 0.0), 0.0, []
    for choice in policy[0].choices:
        changing = [o for o in choice.operations if o.operator != "identity"]
        unchanged += 0.0 if changing else choice.probability
        for o in changing:
            group = next(group for group, members in GROUPS.items() if o.operator in members)
            chances[group] += choice.probability / len(changing)
            if o.operator in WIDE:
                zero, one = WIDE[o.operator]
                levels.append(((o.low - zero) / (one - zero), (o.high - zero) / (one - zero)))
    values = {f"searched_{group}": chance / max(unchanged, _EPSILON) for group, chance in chances.items()}
    if levels:
        low, high = np.mean(levels, axis=0)
        values |= {"searched_low": low / max(high, _EPSILON), "searched_high": high}  # the space names the first in shares of the second
    return {"policy": "searched", "searched_n": 1, **_within(values)}


def _within(values: Mapping[str, float]) -> dict[str, Value]:
    """Numbers of the joint space's searched policy, at a bound where they lie beyond it; one that is missing has its default."""
    space = ConfigurationSpace()
    add_augmentation(space)
    full: dict[str, Value] = {}
    for name, known in space.items():
        if name.startswith("searched_") and isinstance(known, UniformFloatHyperparameter):
            full[name] = float(min(max(values.get(name, known.default_value), known.lower), known.upper))
    return full
