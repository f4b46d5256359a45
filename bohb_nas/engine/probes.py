"""The rank probe: configurations drawn at random and trained at every budget, beside the search.

Promotion keeps what did well on the lower budget, so the search's own trials say too little of how one budget ranks for
another; what is trained here was selected by nothing. While the search goes on, at most one part in five of all budget
asked is the probe's: it comes early enough to be of use, evenly, whatever ends the search, and never starves it. When
the search is over, what is left of the probe has all workers.
"""

from collections.abc import Callable, Mapping

import numpy as np
from ConfigSpace import ConfigurationSpace

from bohb_nas.durations import counted
from bohb_nas.records import Budgets, Origin, Trial, Value
from bohb_nas.samplers.uniform import at_random
from bohb_nas.space.encoding import Encoding
from bohb_nas.store.journal import State

SHARE = 0.2
"""Of the budget asked, the most that is the probe's while the search goes on."""
_STREAM = 2
"""The n-th configuration is drawn from the stream (seed, n, 2): nothing of the search's own moves."""


class Probes:
    """The trials of a rank probe, one configuration after the other, each from its cheapest budget on.

    Args:
        space: what is searched.
        budgets: all of which every configuration is trained at, each time from scratch with the same seed.
        seed: of the study.
        n: how many configurations.
        allowed: whether a configuration may be trained.
    """

    def __init__(
        self, space: ConfigurationSpace, budgets: Budgets, *, seed: int, n: int, allowed: Callable[[Mapping[str, Value]], bool]
    ) -> None:
        self.n = n
        self._encoding, self._rungs, self._seed, self._allowed = Encoding(space), budgets.rungs, seed, allowed
        self._asked = [0] * len(self._rungs)
        """Of each budget how many configurations were asked: always the first ones."""

    def next(self, state: State, *, searching: bool, late: Callable[[float], bool]) -> Trial | None:
        """The trial that is due now, or None.

        Args:
            state: of the study, always the same that grows; a trial that was asked is never asked again.
            searching: whether the search goes on, so that the probe has to keep to its share.
            late: whether a trial of a budget could not end in time; such a one is left out.

        Raises:
            KnowledgeError: nothing that may be trained was drawn.
        """
        for k, n in enumerate(self._asked):
            while trial_id(n, k) in state.trials:
                n += 1
            self._asked[k] = n
        due = [(n, k) for k, n in enumerate(self._asked) if n < self.n and not late(self._rungs[k])]
        if not due:
            return None
        number, rung = min(due)
        spent = self._rungs[rung] + sum(n * budget for n, budget in zip(self._asked, self._rungs, strict=True))
        if searching and spent > SHARE * (spent + state.budget_asked) * (1 + 1e-9):
            return None
        config, seed = self._known(state, number) or self._draw(number)
        return Trial(
            trial_id=trial_id(number, rung),
            config_id=config_id(number),
            config=config,
            budget=self._rungs[rung],
            bracket=0,
            rung=rung,
            seed=seed,
            origin=Origin.PROBE,
        )

    def left(self, state: State) -> str | None:
        """What of it a study that has ended did without; None where nothing."""
        missing = sum(trial_id(number, rung) not in state.trials for number in range(self.n) for rung in range(len(self._rungs)))
        return f"rank probe: {counted(missing, 'trial')} of {self.n * len(self._rungs)} not trained" if missing else None

    def reason(self, trial: Trial) -> str:
        """Why a trial of the probe is asked, for people."""
        return f"drawn at random and trained at every budget, {trial.rung + 1} of {len(self._rungs)}"

    def _known(self, state: State, number: int) -> tuple[Mapping[str, Value], int] | None:
        """A configuration as it was asked at another budget, whatever would be drawn today."""
        found = (state.trials.get(trial_id(number, rung)) for rung in range(len(self._rungs)))
        return next(((t.config, t.seed) for t in found if t is not None), None)

    def _draw(self, number: int) -> tuple[Mapping[str, Value], int]:
        rng = np.random.default_rng((self._seed, number, _STREAM))
        seed = int(rng.integers(2**31))
        return at_random(self._encoding, rng, reason="rank probe", allowed=self._allowed).config, seed


def config_id(number: int) -> str:
    """Of a configuration of the probe, counted from 0."""
    return f"probe-{number:05d}"


def trial_id(number: int, rung: int) -> str:
    """Of the same at a budget."""
    return f"{config_id(number)}-{rung}"
