"""Why a trial was asked: what the journal holds of it, and what became of the observations that a model rested on."""

from collections.abc import Mapping
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from bohb_nas.durations import budget_text
from bohb_nas.errors import StudyError
from bohb_nas.files import dump_json
from bohb_nas.report.digits import digits
from bohb_nas.report.tables import configuration
from bohb_nas.report.terminal import columns
from bohb_nas.store.journal import Event, fold, read_events
from bohb_nas.store.study_dir import StudyDir

_OTHERWISE = (KeyError, TypeError, ValueError, AttributeError)
"""What comes of reading an explanation that is none of `bohb`: a method of the user's explains itself as it likes."""


def why(study: StudyDir, trial_id: str) -> dict[str, Any]:
    """What `bohb-nas status DIR --why TRIAL --json` prints.

    `asked` says why this trial was asked; `proposed`, of a promoted one, why its configuration was proposed at first. A
    model's pick has `why`: the models that were heard, each with the good observations (`rests_on`: configuration to
    share of the density at the pick), and `observations` gives the losses of those, by budget. The model of an earlier study
    rests on that study's own trials.

    Raises:
        StudyError: there is no such trial.
    """
    meta = study.read_meta()
    asks = {e.trial.trial_id: e for e in read_events(study.journal) if e.trial is not None}
    if trial_id not in asks:
        known = f"{next(iter(asks))} … {next(reversed(asks))}" if asks else "none yet"
        raise StudyError(f"{study.path} has no trial {trial_id!r}; asked were {known}")
    event = asks[trial_id]
    assert event.trial is not None
    config_id = event.trial.config_id
    first = next(e for e in asks.values() if e.trial is not None and e.trial.config_id == config_id)
    found: dict[str, Any] = {"unit": meta["budgets"]["unit"], "asked": _ask(event), "config": dict(event.trial.config)}
    if first is not event:
        found["proposed"] = _ask(first)
    found["observations"] = _losses(study, _rested(first.why or {}))
    return found


def table(found: dict[str, Any]) -> RenderableType:
    """The same for people."""
    lines: list[RenderableType] = []
    for word in ("asked", "proposed"):
        if word in found:
            lines += _told(word, found[word], found["unit"])
    lines.append(configuration(found["config"]))
    about = found.get("proposed", found["asked"])["why"]
    if about is not None:
        try:
            lines += _model(about, found["observations"], found["unit"])
        except _OTHERWISE:
            lines.append(Text(f"the method's own words: {dump_json(about)}"))
    return Group(*lines)


def _rested(about: Mapping[str, Any]) -> set[str]:
    """The configurations of this study that a pick rests on."""
    try:
        return {c for heard in about["heard"] if not _of_earlier(heard) for c in heard["rests_on"]}
    except _OTHERWISE:
        return set()


def _of_earlier(heard: Mapping[str, Any]) -> bool:
    """Whether a model is that of an earlier study: what it rests on are trials of its own, no configurations of this study."""
    return str(heard["model"]).startswith("earlier study")


def _ask(event: Event) -> dict[str, Any]:
    assert event.trial is not None
    t = event.trial
    about = {"trial_id": t.trial_id, "config_id": t.config_id, "budget": t.budget, "origin": str(t.origin), "reason": event.reason}
    return {**about, "time": event.time, "why": dict(event.why) if event.why is not None else None}


def _losses(study: StudyDir, configs: set[str]) -> dict[str, dict[str, float | None]]:
    state = fold(study.journal)
    losses: dict[str, dict[str, float | None]] = {}
    for evaluation in state.evaluations():
        if evaluation.trial.config_id in configs:
            losses.setdefault(evaluation.trial.config_id, {})[f"{evaluation.trial.budget:g}"] = evaluation.result.loss
    return losses


def _told(word: str, ask: dict[str, Any], unit: str) -> list[RenderableType]:
    reason = ask["reason"] or "no reason given"
    head = f"{ask['trial_id']} ({ask['config_id']}) {word} at {budget_text(ask['budget'], unit)}, {ask['origin']}: {reason}"
    return [Text(head)]


def _model(about: dict[str, Any], observations: dict[str, dict[str, float | None]], unit: str) -> list[RenderableType]:
    chosen = f"candidate {about['rank']} by score of {about['candidates']}, score {about['score']:.3g}"
    if about["log_cost"]:
        chosen += f", of which expected cost {-about['log_cost']:+.3g}"
    rests_on = "rests on (share of its density here; losses by budget)"
    models = columns(["model", "results", "good", "trust", "weight", "log l/g", rests_on])
    for heard in about["heard"]:
        most = [(c, share) for c, share in heard["rests_on"].items() if share >= 0.005]
        if _of_earlier(heard):
            rests = [f"its trial {c} {share:.0%}" for c, share in most]
        else:
            rests = [f"{c} {share:.0%} ({_by_budget(observations.get(c, {}), unit)})" for c, share in most]
        rests.append(f"prior {heard['prior']:.0%}")
        numbers = [
            str(heard["results"]),
            str(heard["good"]),
            f"{heard['trust']:.2f}",
            f"{heard['weight']:.2f}",
            f"{heard['log_ratio']:.2f}",
        ]
        models.add_row(heard["model"], *numbers, ", ".join(rests))
    return [Text(chosen), models]


def _by_budget(losses: dict[str, float | None], unit: str) -> str:
    n = digits(losses.values(), 4)
    told = [f"{budget_text(float(b), unit)}: {'failed' if loss is None else f'{loss:.{n}g}'}" for b, loss in losses.items()]
    return ", ".join(told) or "not told"
