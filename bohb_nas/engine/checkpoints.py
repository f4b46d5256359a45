"""Which checkpoints are worth their disk: those that may still be promoted and the incumbent's."""

import itertools
from collections.abc import Callable, Set

from bohb_nas.records import ASIDE, Trial
from bohb_nas.store.journal import State
from bohb_nas.store.study_dir import StudyDir

_LOOKED_AT = 1000
"""Trials of an earlier master that are looked for at a time: to look for all of a long study would keep its workers waiting."""
_SHARE = 100
"""So many checkpoints there may be for each that came since the last sweep, which walks through all of them."""


class Checkpoints:
    """Deletes the checkpoints that have become worthless, also what an earlier master left of them: at once where there are few; where
    there are many, when one in a hundred has come since the last time, and at the end.

    Kept are the incumbent's and, where promoted trials continue, that of the newest trial of every configuration that
    may still be promoted; where they do not, everything of workers that are not ours: what they leave is theirs.

    Args:
        study: where they lie.
        state: what was told.
        continue_promoted: whether promoted trials continue from checkpoints.
        ours: whether the worker is one of those here that leave checkpoints.
        promotable: the configurations that may still be promoted; None where the method does not say: then all below
            the top rung.
        n_rungs: of the ladder.
    """

    def __init__(
        self,
        study: StudyDir,
        state: State,
        *,
        continue_promoted: bool,
        ours: bool,
        promotable: Callable[[], Set[str]] | None,
        n_rungs: int,
    ) -> None:
        self._study = study
        self._state = state
        self._continue_promoted = continue_promoted
        self._sweeps = continue_promoted or ours
        self._promotable = promotable
        self._top_rung = n_rungs - 1
        self._newest: dict[str, Trial] = {}
        for trial_id in state.results:
            self._note(state.trials[trial_id])
        self._held: set[str] = set()
        self._unswept = 0
        """How many of them came since the last sweep."""
        self._earlier = iter(reversed(list(state.results)))
        self._hold(self._found())
        self.sweep()

    def newest(self, config_id: str) -> str | None:
        """The finished trial of a configuration at its highest budget."""
        return self._newest[config_id].trial_id if config_id in self._newest else None

    def told(self, trial_id: str) -> None:
        """Deletes what the results up to this one have made worthless, once that may be enough to be worth a sweep."""
        self._note(self._state.trials[trial_id])
        self._hold({trial_id} | self._found())
        if self._unswept * _SHARE >= len(self._held):
            self.sweep()

    def _note(self, trial: Trial) -> None:
        known = self._newest.get(trial.config_id)
        if trial.origin not in ASIDE and (known is None or known.budget < trial.budget):
            self._newest[trial.config_id] = trial

    def _found(self) -> set[str]:
        """What an earlier master left, as far as it is looked for this time."""
        looked_at = itertools.islice(self._earlier, _LOOKED_AT if self._sweeps else 0)
        return {trial_id for trial_id in looked_at if self._study.checkpoint(trial_id) is not None}

    def _hold(self, trials: set[str]) -> None:
        self._held |= trials
        self._unswept += len(trials)

    def sweep(self) -> None:
        """Deletes all that is worthless now."""
        if not self._sweeps:
            return
        self._unswept = 0
        incumbent = self._state.incumbent
        kept = {incumbent.trial.trial_id} if incumbent is not None else set()
        if self._continue_promoted:
            may = self._promotable() if self._promotable is not None else {c for c, t in self._newest.items() if t.rung < self._top_rung}
            kept |= {self._newest[c].trial_id for c in may if c in self._newest}
        for trial_id in self._held - kept:
            self._study.drop_checkpoints(trial_id)
        self._held &= kept
