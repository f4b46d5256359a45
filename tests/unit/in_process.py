"""The engine without processes: trains in place; and the loop around it."""

import time
from typing import Any

from bohb_nas.engine.checkpoints import Checkpoints
from bohb_nas.engine.child import train
from bohb_nas.engine.drive import Drive, Engine, StopRule, Wish
from bohb_nas.records import Budgets, Evaluation, Optimizer, Result, Trial, Worker
from bohb_nas.store.journal import Journal
from bohb_nas.store.study_dir import StudyDir


class InProcessEngine:
    """Trains one trial at a time, in this process, when it is waited for."""

    def __init__(self, study: StudyDir, worker: Worker) -> None:
        self._study = study
        self._worker = worker
        self._waiting: list[Trial] = []

    def free(self) -> int:
        """One, unless a trial waits for its training."""
        return 1 - len(self._waiting)

    def submit(self, trial: Trial) -> None:
        """Keeps the trial until `wait`."""
        self._waiting.append(trial)

    adopt = submit

    def wait(self, timeout_s: float) -> list[Result]:
        """Trains what was submitted, unless its result is stored already."""
        del timeout_s
        results, self._waiting = [self._train(t) for t in self._waiting], []
        return results

    def _train(self, trial: Trial) -> Result:
        if (known := self._study.read_result(trial)) is not None:
            return known.result
        result, _ = train(self._worker, trial, self._study.new_attempt(trial.trial_id))
        self._study.write_result(Evaluation(trial=trial, result=result))
        return result


def driven(
    study: StudyDir,
    journal: Journal,
    optimizer: Optimizer,
    engine: Engine,
    *,
    budgets: Budgets,
    continued: bool = False,
    ours: bool = True,
    **more: Any,
) -> bool:
    """How the loop ended that nobody watches or stops, unless `more` of its arguments say otherwise."""
    promotable = getattr(optimizer, "promotable", None)
    unwatched = {"stop": StopRule(), "clock": time.time, "wish": lambda: Wish.GO_ON, "notice": lambda _: None, "tick": lambda: None}
    return Drive(
        optimizer=optimizer,
        engine=engine,
        journal=journal,
        budgets=budgets,
        continue_promoted=continued,
        checkpoints=Checkpoints(
            study, journal.state, continue_promoted=continued, ours=ours, promotable=promotable, n_rungs=len(budgets.rungs)
        ),
        **{**unwatched, "tick_s": 0.0, **more},
    ).run()
