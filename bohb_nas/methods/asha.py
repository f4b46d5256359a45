"""ASHA: asynchronous successive halving over configurations drawn at random (Li et al. 2020, MLSys)."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from ConfigSpace import ConfigurationSpace

from bohb_nas.knowledge import NOTHING, Knowledge
from bohb_nas.methods._brackets import refuse_history
from bohb_nas.methods._ladder import Ladder
from bohb_nas.records import Budgets, Result, Value
from bohb_nas.samplers.uniform import Proposal, Uniform
from bohb_nas.space.encoding import Encoding


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Nothing can be chosen."""


def make(
    *, space: ConfigurationSpace, budgets: Budgets, seed: int, n_workers: int, options: Options, knowledge: Knowledge = NOTHING
) -> Ladder:
    """The optimizer: every configuration starts at the cheapest budget; the number of workers changes nothing."""
    del n_workers, options
    refuse_history("asha", knowledge)
    return Ladder(_FromBelow(Encoding(space), knowledge), budgets, seed=seed, delayed=False, knowledge=knowledge)


class _FromBelow:
    """Draws at random, learns nothing, starts everything on the cheapest rung."""

    def __init__(self, encoding: Encoding, knowledge: Knowledge) -> None:
        self._uniform = Uniform(encoding, knowledge=knowledge)

    def entry(self, rng: np.random.Generator) -> int:
        """The cheapest."""
        del rng
        return 0

    def propose(self, rng: np.random.Generator) -> Proposal:
        """Whatever comes."""
        return self._uniform.propose(rng)

    def asked(self, number: int, config: Mapping[str, Value]) -> None:
        """Nothing."""

    def observe(self, number: int, *, rung: int, loss: float | None, result: Result) -> None:
        """Nothing."""
