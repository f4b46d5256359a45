"""The controller: independent categorical distributions over decisions, moved towards what was rewarded.

REINFORCE (Williams 1992) on logits that begin at zero, with the Adam of TuNAS (Bender et al. 2020), beta1 = 0: it remembers how large
a decision's gradients are, not where they pointed.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import numpy as np

from bohb_nas.arrays import Floats
from bohb_nas.errors import RecordError
from bohb_nas.oneshot.decisions import Decisions, Draw, Probabilities

Baseline = Literal["ranks", "rewards", "moving"]
"""What a reward is compared with: each of the others of the same update, by which of the two is greater alone; their mean; or a moving
mean of the earlier ones."""

_BETA2 = 0.999
_EPSILON = 1e-8
_MOMENTUM = 0.95
"""Of the moving mean."""


class Controller:
    """Distributions, and what their Adam and their baseline remember."""

    def __init__(
        self,
        sizes: Mapping[str, int],
        *,
        entropy: float,
        baseline: Baseline,
    ) -> None:
        """Begins uniform.

        Args:
            sizes: how many values, by the names of the decisions.
            entropy: weight of the decisions' entropies, in nats, beside the reward.
            baseline: what a reward is compared with.
        """
        self._entropy, self._baseline = entropy, baseline
        self._logits = {name: np.zeros(n) for name, n in sizes.items()}
        self._squares = {name: np.zeros(n) for name, n in sizes.items()}
        self._steps = dict.fromkeys(sizes, 0)
        self._mean: float | None = None

    @property
    def logits(self) -> dict[str, Floats]:
        """Of every decision, [n] by name."""
        return {name: logits.copy() for name, logits in self._logits.items()}

    @property
    def updates(self) -> dict[str, int]:
        """How often each decision was moved; a decision that is never active never is."""
        return dict(self._steps)

    def probabilities(self) -> dict[str, Floats]:
        """By decision: (n,)."""
        return {name: _softmax(logits) for name, logits in self._logits.items()}

    def entropies(self) -> dict[str, float]:
        """By decision: 1 when all values are equally likely, 0 when one is certain."""
        return {name: min(max(_entropy(p) / math.log(len(p)), 0.0), 1.0) for name, p in self.probabilities().items()}

    def update(self, draws: Sequence[Draw], rewards: Sequence[float], *, rate: float) -> None:
        """One step up the gradient of the expected reward, and of the entropies; decisions that no draw made stay.

        Args:
            draws: (K,) from the present probabilities, all judged under the same conditions.
            rewards: (K,) finite.
            rate: of Adam.

        Raises:
            ValueError: a reward is not finite, there are not as many rewards as draws, or too few for the baseline.
        """
        if len(draws) != len(rewards) or not draws:
            raise ValueError(f"{len(draws)} draws and {len(rewards)} rewards; accepted are as many of one as of the other, at least one")
        if not all(map(math.isfinite, rewards)):
            raise ValueError(f"rewards are {[*rewards]}; accepted are finite numbers: give a diverged candidate a reward of its own")
        advantages = self._moving(rewards) if self._baseline == "moving" else _AMONG[self._baseline](rewards)
        probabilities = self.probabilities()
        gradients = reinforce(draws, advantages, probabilities)
        entropic = {name: gradient + self._entropy * entropy_gradient(probabilities[name]) for name, gradient in gradients.items()}
        self.nudge(entropic, rate=rate)

    def nudge(self, gradients: Mapping[str, Floats], *, rate: float) -> None:
        """One step of Adam uphill; decisions without a gradient stay, and what Adam knows of theirs.

        Args:
            gradients: with respect to logits, (n,) each, by decision.
            rate: of Adam.

        Raises:
            ValueError: a gradient is not finite.
        """
        if wrong := [name for name, gradient in gradients.items() if not np.isfinite(gradient).all()]:
            raise ValueError(f"gradients of {', '.join(wrong)} are not finite; leave such a step out")
        for name, gradient in gradients.items():
            self._steps[name] += 1
            self._squares[name] = _BETA2 * self._squares[name] + (1 - _BETA2) * gradient**2
            scale = np.sqrt(self._squares[name] / (1 - _BETA2 ** self._steps[name])) + _EPSILON
            self._logits[name] = self._logits[name] + rate * gradient / scale

    def state(self) -> dict[str, Any]:
        """JSON from which `restore` goes on to the bit."""
        return {
            "logits": {name: logits.tolist() for name, logits in self._logits.items()},
            "squares": {name: squares.tolist() for name, squares in self._squares.items()},
            "steps": dict(self._steps),
            "mean": self._mean,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """The inverse of `state`.

        Raises:
            RecordError: it is of other decisions.
        """
        logits = {name: np.asarray(values, dtype=np.float64) for name, values in state["logits"].items()}
        theirs, ours = ({name: len(values) for name, values in each.items()} for each in (logits, self._logits))
        if theirs != ours:
            different = ", ".join(sorted(name for name, _ in theirs.items() ^ ours.items()))
            raise RecordError(f"the controller's state is of other decisions: {different}; accepted is one of the same space and bases")
        self._logits = {name: logits[name] for name in self._logits}
        self._squares = {name: np.asarray(state["squares"][name], dtype=np.float64) for name in self._logits}
        self._steps = {name: int(state["steps"][name]) for name in self._logits}
        self._mean = None if state["mean"] is None else float(state["mean"])

    def _moving(self, rewards: Sequence[float]) -> Floats:
        """Advantages (K,) over the mean of the earlier rewards, which they then move; the first reward ever has none."""
        advantages = []
        for reward in rewards:
            mean = reward if self._mean is None else self._mean
            advantages.append(reward - mean)
            self._mean = _MOMENTUM * mean + (1 - _MOMENTUM) * reward
        return np.asarray(advantages, dtype=np.float64)


def leave_one_out(rewards: Sequence[float]) -> Floats:
    """Advantages (K,) of rewards (K,) over the mean of the others: unbiased, as no draw is compared with itself.

    Raises:
        ValueError: there is only one.
    """
    values, n = _several(rewards), len(rewards)
    return np.asarray((values - values.mean()) * (n / (n - 1)))


def ranked(rewards: Sequence[float]) -> Floats:
    """Advantages (K,) of rewards (K,): the share of the others that are worse, less the share of those that are better.

    `reinforce` then climbs the probability of being better than another draw, whatever the scale of the rewards: one draw that ruins
    everything weighs no more than one that comes last (fitness shaping: Wierstra et al. 2014, section 3.1).

    Raises:
        ValueError: there is only one.
    """
    values = _several(rewards)
    return np.asarray(np.sign(values[:, None] - values).sum(1) / (len(values) - 1))


def _several(rewards: Sequence[float]) -> Floats:
    if len(rewards) < 2:
        raise ValueError("one reward; accepted are two or more, or the moving baseline: alone it can be compared with no other")
    return np.asarray(rewards, dtype=np.float64)


_AMONG: Mapping[str, Callable[[Sequence[float]], Floats]] = {"ranks": ranked, "rewards": leave_one_out}


def reinforce(draws: Sequence[Draw], advantages: Floats, probabilities: Probabilities) -> dict[str, Floats]:
    """The estimated gradient of the expected reward with respect to logits: the mean over K draws of advantage times score.

    A decision that a draw did not make has a score of 0 there; one that no draw made is absent.
    """
    total: dict[str, Floats] = {}
    for draw, advantage in zip(draws, advantages, strict=True):
        for name, score in Decisions.score(draw, probabilities).items():
            total[name] = total.get(name, 0.0) + advantage * score / len(draws)
    return total


def entropy_gradient(p: Floats) -> Floats:
    """The gradient (n,) of the entropy of p = softmax(logits) with respect to the logits: -p (log p + H)."""
    logs = np.log(np.where(p > 0, p, 1.0))
    return np.asarray(-p * (logs + _entropy(p)))


def _entropy(p: Floats) -> float:
    """In nats."""
    return float(-(p * np.log(np.where(p > 0, p, 1.0))).sum())


def _softmax(logits: Floats) -> Floats:
    powers = np.exp(logits - logits.max())
    return np.asarray(powers / powers.sum())
