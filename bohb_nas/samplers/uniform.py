"""Draws every configuration from the space's prior."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from bohb_nas.errors import KnowledgeError
from bohb_nas.knowledge import NOTHING, Knowledge
from bohb_nas.records import Origin, Value
from bohb_nas.space.encoding import Encoding

MOST_DRAWS = 10_000
"""After so many forbidden draws in a row there is taken to be nothing that is allowed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """A new configuration and where it came from."""

    config: dict[str, Value]
    origin: Origin
    reason: str
    """Why it came from there, for people."""


class Uniform:
    """Draws from the prior; learns nothing."""

    def __init__(self, encoding: Encoding, *, knowledge: Knowledge = NOTHING) -> None:
        self._encoding = encoding
        self._knowledge = knowledge

    def propose(self, rng: np.random.Generator) -> Proposal:
        """A configuration that depends on the generator only."""
        return at_random(self._encoding, rng, reason="this method draws every configuration at random", allowed=self._knowledge.allowed)

    def observe(self, config: Mapping[str, Value], *, budget: float, loss: float | None) -> None:
        """Nothing."""


def at_random(
    encoding: Encoding,
    rng: np.random.Generator,
    *,
    reason: str,
    allowed: Callable[[Mapping[str, Value]], bool] | None = None,
) -> Proposal:
    """The first configuration drawn from the space's own distribution that is allowed.

    Args:
        encoding: of the space.
        rng: all randomness.
        reason: why it is drawn, for people.
        allowed: whether a configuration may be trained; None allows all.

    Raises:
        KnowledgeError: nothing allowed among `MOST_DRAWS` draws.
    """
    for _ in range(MOST_DRAWS):
        config = encoding.sample(int(rng.integers(2**31)))
        if allowed is None or allowed(config):
            return Proposal(config=config, origin=Origin.RANDOM, reason=reason)
    raise KnowledgeError(
        f"{MOST_DRAWS} configurations drawn at random, and none meets the constraints; loosen one of them or narrow the space"
    )
