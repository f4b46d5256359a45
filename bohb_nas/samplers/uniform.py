"""Draws every configuration from the space's prior."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from bohb_nas.records import Origin, Value
from bohb_nas.space.encoding import Encoding


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """A new configuration and where it came from."""

    config: dict[str, Value]
    origin: Origin
    reason: str
    """Why it came from there, for people."""


class Uniform:
    """Draws from the prior; learns nothing."""

    def __init__(self, encoding: Encoding) -> None:
        self._encoding = encoding

    def propose(self, rng: np.random.Generator) -> Proposal:
        """A configuration that depends on the generator only."""
        return at_random(self._encoding, rng, reason="this method draws every configuration at random")

    def observe(self, config: Mapping[str, Value], *, budget: float, loss: float | None) -> None:
        """Nothing."""


def at_random(encoding: Encoding, rng: np.random.Generator, *, reason: str) -> Proposal:
    """A configuration drawn from the prior."""
    return Proposal(config=encoding.sample(int(rng.integers(2**31))), origin=Origin.RANDOM, reason=reason)
