"""What operators are worth, by the losses of the networks that were tried with them.

In DHA's cell a normalisation stands behind every operator and before whatever comes after the next activation, so the loss takes no
notice of how large all that a node adds up is: of the only operator of a node the weight has no slope, of two only the ratio has one, and
of those that are not computed nothing is known. So trying other operators has to tell what they are worth.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from bohb_nas.arrays import Floats

_LOSSES = 20
"""Losses of which the running mean and the usual deviation from it are made."""
_TRIALS = 30
"""Trials of an operator that its credit is the mean of."""
_LARGEST = 3.0
"""Usual deviations that one loss counts for, at most."""


class Credits:
    """Of the operators of several nodes: by how many usual deviations losses with one were below the running mean.

    Operators are tried at random and independently of each other, so the others in a network add noise alone.

    Args:
        sizes: how many operators each node has.
    """

    def __init__(self, sizes: Mapping[int, int]) -> None:
        self._means = {node: np.zeros(size) for node, size in sizes.items()}
        self._trials = {node: np.zeros(size) for node, size in sizes.items()}
        self._losses, self._loss, self._deviation = 0, 0.0, 0.0

    def learn(self, node: int, columns: Sequence[int], loss: float) -> None:
        """Takes the training loss, a finite number, of a network with these operators at a node."""
        share = 1 / min(self._losses + 1, _LOSSES)
        below = self._loss - loss if self._losses else 0.0
        self._losses += 1
        self._loss += share * (loss - self._loss)
        self._deviation += share * (abs(below) - self._deviation)
        worth = float(np.clip(below / self._deviation, -_LARGEST, _LARGEST)) if self._deviation else 0.0
        for column in columns:
            self._trials[node][column] += 1
            self._means[node][column] += (worth - self._means[node][column]) / min(self._trials[node][column], _TRIALS)

    def of(self, node: int) -> Floats:
        """Of each operator of a node, against the mean of all; sums to zero."""
        means = self._means[node]
        return np.asarray(means - means.mean())

    def state(self) -> dict[str, Any]:
        """All of it as JSON."""
        numbers = {"losses": self._losses, "loss": self._loss, "deviation": self._deviation}
        return {**numbers, "means": dict(_lists(self._means)), "trials": dict(_lists(self._trials))}

    def restore(self, state: Mapping[str, Any]) -> None:
        """The inverse of `state`."""
        self._losses, self._loss, self._deviation = int(state["losses"]), float(state["loss"]), float(state["deviation"])
        self._means, self._trials = (
            {int(node): np.array(values, dtype=np.float64) for node, values in state[name].items()} for name in ("means", "trials")
        )


def _lists(arrays: Mapping[int, Floats]) -> Iterator[tuple[str, list[float]]]:
    for node, array in arrays.items():
        yield str(node), array.tolist()
