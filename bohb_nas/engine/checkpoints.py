"""Which checkpoints are worth their disk: those that may still be promoted and the incumbent's."""

from bohb_nas.records import Trial
from bohb_nas.store.journal import State
from bohb_nas.store.study_dir import StudyDir


class Checkpoints:
    """Deletes the checkpoints that a told result makes worthless.

    Kept are the incumbent's and, where promoted trials continue, that of the newest trial of each configuration below
    the top rung.
    """

    def __init__(self, study: StudyDir, state: State, *, continue_promoted: bool, n_rungs: int) -> None:
        self._study = study
        self._state = state
        self._keep_promotable = continue_promoted
        self._top_rung = n_rungs - 1
        self._newest: dict[str, Trial] = {}
        self._incumbent: str | None = None
        for trial_id in state.results:
            self._note(state.trials[trial_id])
        if state.incumbent is not None:
            self._incumbent = state.incumbent.trial.trial_id

    def newest(self, config_id: str) -> str | None:
        """The finished trial of a configuration at its highest budget."""
        return self._newest[config_id].trial_id if config_id in self._newest else None

    def told(self, trial_id: str) -> None:
        """Deletes what the result of this trial made worthless."""
        trial = self._state.trials[trial_id]
        outdated = {trial_id, self.newest(trial.config_id), self._incumbent}
        self._note(trial)
        best = self._state.incumbent
        self._incumbent = best.trial.trial_id if best is not None else None
        for candidate in outdated - {None, self._incumbent}:
            if not self._promotable(self._state.trials[str(candidate)]):
                self._study.drop_checkpoints(str(candidate))

    def _note(self, trial: Trial) -> None:
        known = self._newest.get(trial.config_id)
        if known is None or known.budget < trial.budget:
            self._newest[trial.config_id] = trial

    def _promotable(self, trial: Trial) -> bool:
        return self._keep_promotable and trial.rung < self._top_rung and self._newest[trial.config_id] == trial
