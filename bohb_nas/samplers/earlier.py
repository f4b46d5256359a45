"""What earlier studies bring to the model of `bohb`: one density ratio each, of their dearest budget with enough results."""

import math
from dataclasses import dataclass

from bohb_nas.arrays import Floats
from bohb_nas.knowledge import Knowledge
from bohb_nas.records import Evaluation
from bohb_nas.samplers import rung_model
from bohb_nas.samplers.density import Columns
from bohb_nas.samplers.rung_model import RungModel
from bohb_nas.space.axes import Axes
from bohb_nas.space.encoding import Encoding

_FEWEST_OF_EARLIER = 10
_FEW_COLUMNS = 6
"""Up to so many, what an earlier study passed over counts: where all results left are near the optimum, only that tells where it is."""


@dataclass(slots=True, kw_only=True)
class Earlier:
    """The model of an earlier study's highest budget that has enough results."""

    name: str
    model: RungModel
    trials: tuple[str, ...]
    measured: tuple[object, float] | None = None


def earlier_studies(
    columns: Columns, axes: Axes, encoding: Encoding, *, settings: rung_model.Settings, knowledge: Knowledge
) -> list[Earlier]:
    """The models of the earlier studies that knowledge has, in its order."""
    return [_earlier(columns, axes, encoding, group, settings=settings, knowledge=knowledge) for group in _by_study(knowledge)]


def _by_study(knowledge: Knowledge) -> list[list[Evaluation]]:
    """The evaluations of each earlier study, told apart by the part of their trials' ids before the dash."""
    studies: dict[str, list[Evaluation]] = {}
    for evaluation in knowledge.history:
        studies.setdefault(evaluation.trial.trial_id.rpartition("-")[0], []).append(evaluation)
    return list(studies.values())


def _earlier(
    columns: Columns, axes: Axes, encoding: Encoding, evaluations: list[Evaluation], *, settings: rung_model.Settings, knowledge: Knowledge
) -> Earlier:
    """The model of one earlier study, whose results are judged by this study's constraints: what the earlier one allowed is past."""
    budgets = {e.trial.budget for e in evaluations}
    counts = {b: sum(e.trial.budget == b and knowledge.loss(e.result) is not None for e in evaluations) for b in budgets}
    fewest = min(_FEWEST_OF_EARLIER, max(counts.values()))
    budget = max(b for b in budgets if counts[b] >= fewest)
    model = RungModel(columns, settings=settings, stream=(len(evaluations), 0, 4))
    chosen = [e for e in evaluations if e.trial.budget == budget]
    points = _points(axes, encoding, chosen)
    for number, (e, point) in enumerate(zip(chosen, points, strict=True)):
        model.results.add(number, point, loss=_lost(e, knowledge), cost=e.result.train_s)
    if columns.d <= _FEW_COLUMNS:
        model.passed = _points(axes, encoding, _passed_over(evaluations, budget, knowledge))
    told = [{"study": e.trial.trial_id.rpartition("-")[0], "trial": e.trial.trial_id, **e.result.details} for e in chosen]
    trials = tuple(str(t["trial"]) for t in told)
    return Earlier(name=f"earlier study {told[0]['study']}, budget {budget:g}", model=model, trials=trials)


def _points(axes: Axes, encoding: Encoding, evaluations: list[Evaluation]) -> Floats:
    """The points (n, d) of what was evaluated."""
    return axes.points(encoding.encode([e.trial.config for e in evaluations]))


def _passed_over(evaluations: list[Evaluation], budget: float, knowledge: Knowledge) -> list[Evaluation]:
    """Of each configuration that never came to a budget the last evaluation, where one that went on from there was no worse.

    What no budget has ruled out by its loss may have been kept back by a constraint that is past, or by the end of the study.
    """
    last = {e.trial.config_id: e for e in sorted(evaluations, key=lambda e: e.trial.budget)}
    went_on = [e for e in evaluations if e.trial.budget < last[e.trial.config_id].trial.budget]
    best: dict[float, float] = {}
    for e in went_on:
        best[e.trial.budget] = min(best.get(e.trial.budget, math.inf), _lost(e, knowledge))
    stayed = [e for e in last.values() if e.trial.budget < budget]
    return [e for e in stayed if _lost(e, knowledge) >= best.get(e.trial.budget, math.inf)]


def _lost(evaluation: Evaluation, knowledge: Knowledge) -> float:
    """Its loss, by this study's constraints; infinite for a failure."""
    loss = knowledge.loss(evaluation.result)
    return math.inf if loss is None else loss
