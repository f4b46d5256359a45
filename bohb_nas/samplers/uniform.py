"""Draws configurations without a model: from the space's own distribution, or around what the user believes in."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from ConfigSpace.exceptions import ForbiddenValueError

from bohb_nas.errors import KnowledgeError
from bohb_nas.knowledge import NOTHING, Knowledge
from bohb_nas.records import Origin, Value
from bohb_nas.samplers import prior
from bohb_nas.space.encoding import Encoding

MOST_DRAWS = 10_000
"""After so many forbidden draws in a row there is taken to be nothing that is allowed."""
_MOST_PRIOR_DRAWS = 100
_PRIOR_SHARE = 0.5
"""Of the draws, where something is believed: a wrong belief costs half of them and cannot close any part of the space."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """A new configuration and where it came from."""

    config: dict[str, Value]
    origin: Origin
    reason: str
    """Why it came from there, for people."""
    explanation: Mapping[str, Any] | None = None
    """What a model's pick rests on: JSON."""


class Fresh:
    """Draws what no model proposes: half of it around the user's beliefs, where there are any, the rest at random.

    Raises:
        SpaceError: a belief does not fit the space.
    """

    def __init__(self, encoding: Encoding, *, knowledge: Knowledge) -> None:
        self._encoding = encoding
        self._knowledge = knowledge
        self._levels = encoding.levels
        self._centers, self._confidences = prior.columns(encoding, knowledge.prior)
        self._believed = not np.isnan(self._centers).all()  # a belief in what has one value alone is none

    def draw(self, rng: np.random.Generator, *, reason: str) -> Proposal:
        """An allowed configuration.

        Raises:
            KnowledgeError: none was found.
        """
        if self._believed and rng.random() < _PRIOR_SHARE:
            if (config := self._around_beliefs(rng)) is not None:
                return Proposal(config=config, origin=Origin.PRIOR, reason=f"drawn around the prior's centres ({reason})")
            reason = f"{reason}; {_MOST_PRIOR_DRAWS} draws around the prior's centres are all forbidden"
        return at_random(self._encoding, rng, reason=reason, allowed=self._knowledge.allowed)

    def _around_beliefs(self, rng: np.random.Generator) -> dict[str, Value] | None:
        for _ in range(_MOST_PRIOR_DRAWS):
            sampled = self._encoding.encode([self._encoding.sample(int(rng.integers(2**31)))])
            row = prior.draw(rng, sampled, centers=self._centers, confidences=self._confidences, levels=self._levels)[0]
            # a belief can activate what the sample has not
            random = np.random.RandomState(int(rng.integers(2**31)))  # what ConfigSpace draws with
            try:
                config = self._encoding.decode(self._encoding.completed(row, random))
            except ForbiddenValueError:
                continue
            if self._knowledge.allowed(config):
                return config
        return None


class Uniform:
    """Proposes without learning."""

    def __init__(self, encoding: Encoding, *, knowledge: Knowledge = NOTHING) -> None:
        self._fresh = Fresh(encoding, knowledge=knowledge)

    def propose(self, rng: np.random.Generator) -> Proposal:
        """A configuration that depends on the generator only."""
        return self._fresh.draw(rng, reason="this method draws every configuration at random")

    def entry(self, rng: np.random.Generator) -> int:
        """Everything starts on the cheapest rung."""
        del rng
        return 0

    def asked(self, *_: Any) -> None:
        """Nothing."""

    def observe(self, *_: Any, **__: Any) -> None:
        """Nothing."""


def at_random(
    encoding: Encoding,
    rng: np.random.Generator,
    *,
    reason: str,
    allowed: Callable[[Mapping[str, Value]], bool],
) -> Proposal:
    """The first configuration drawn from the space's own distribution that is allowed.

    Args:
        encoding: of the space.
        rng: all randomness.
        reason: why it is drawn, for people.
        allowed: whether a configuration may be trained.

    Raises:
        KnowledgeError: nothing allowed among `MOST_DRAWS` draws.
    """
    for _ in range(MOST_DRAWS):
        config = encoding.sample(int(rng.integers(2**31)))
        if allowed(config):
            return Proposal(config=config, origin=Origin.RANDOM, reason=reason)
    raise KnowledgeError(
        f"{MOST_DRAWS} configurations drawn at random, and none meets the constraints; loosen one of them or narrow the space"
    )
