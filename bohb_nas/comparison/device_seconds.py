"""What a study cost and came to, counted in seconds of its device: arithmetic over what was told."""

from collections.abc import Iterable
from dataclasses import dataclass

from bohb_nas.records import ASIDE, Evaluation, Origin, Result, Status, shares_weights
from bohb_nas.store import notes
from bohb_nas.store.stays import stay


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """Where the seconds of a device went."""

    search_s: float
    """In all trials but the retrainings."""
    retrain_s: float
    """In the trials that trained anew what a one-shot search had found, failed ones too; 0 where nothing was retrained."""
    n_estimated: int
    """Trials that did not say how long they took (`wall_s`), for which what the engine or the training clock saw counts."""

    @property
    def total_s(self) -> float:
        """All of them."""
        return self.search_s + self.retrain_s


def seconds(result: Result) -> tuple[float, bool]:
    """How long a trial had the device, and whether the worker said so.

    The worker's `wall_s` counts everything from setup on, of the last attempt; after an interruption what earlier ones had trained is
    added, as far as it was kept. Where it is missing (a crash, an ended child), the time between start and end that the engine noted
    counts in its place, and where that is missing the seconds of training.
    """
    if (wall_s := result.metrics.get("wall_s")) is not None:
        new_s, attempt_s = result.metrics.get("new_s"), notes.number(result.details, "attempt_s")
        earlier_s = new_s - attempt_s if new_s is not None and attempt_s is not None else 0.0
        return max(0.0, wall_s) + max(0.0, earlier_s), True
    had = stay(result)
    return (had.held_s if had is not None else result.train_s), False


def usable(evaluation: Evaluation) -> bool:
    """Whether an evaluation ended with a model that could be tested as it is.

    An ordinary training that ended well did; a one-shot search only where it says so, for shared weights are no model.
    """
    trial, result = evaluation.trial, evaluation.result
    if trial.origin in ASIDE or result.status is not Status.OK or result.violates:
        return False
    return not shares_weights(trial, result)


def chosen(evaluations: Iterable[Evaluation]) -> Evaluation | None:
    """What a study came to: its incumbent among the evaluations that ended with a model, the earliest of equals."""
    return min((e for e in evaluations if usable(e)), key=lambda e: (-e.trial.budget, e.result.loss or 0.0), default=None)


def account(evaluations: Iterable[Evaluation]) -> Account:
    """What a study cost; evaluations in the order of telling."""
    searched = False
    taken: list[tuple[bool, float, bool]] = []
    for evaluation in evaluations:
        again = searched and evaluation.trial.origin not in (Origin.SEARCH, *ASIDE)
        taken.append((again, *seconds(evaluation.result)))
        searched = searched or evaluation.trial.origin is Origin.SEARCH
    return Account(
        search_s=sum(spent for again, spent, _ in taken if not again),
        retrain_s=sum(spent for again, spent, _ in taken if again),
        n_estimated=sum(not said for _, _, said in taken),
    )


def curve(evaluations: Iterable[Evaluation]) -> list[tuple[float, float]]:
    """When the best model to be had became better: seconds of the device so far, and its validation error.

    Of models on any budget the lowest error counts, not the search's incumbent: every one of them could be handed out.
    """
    points: list[tuple[float, float]] = []
    spent = 0.0
    for evaluation in evaluations:
        spent += seconds(evaluation.result)[0]
        loss = evaluation.result.loss
        if usable(evaluation) and loss is not None and (not points or loss < points[-1][1]):
            points.append((spent, loss))
    return points
