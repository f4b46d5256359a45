"""All findings of one study, put together from the modules beside this one."""

import itertools
from collections.abc import Iterator, Mapping, Sequence, Set
from functools import partial
from typing import Any, cast

from bohb_nas import parallel
from bohb_nas.analysis import ablation, budgets, comparison, incumbent, model, pace, ranks, sentences, trajectory
from bohb_nas.analysis.budgets import Explain, Explanation
from bohb_nas.analysis.findings import Ablation, Findings, Importance, Sentence, StudyFacts
from bohb_nas.analysis.hyperparameters import hyperparameters
from bohb_nas.analysis.observations import Observations, Record, Told, budgets_of, mean, observe, read, strangers, worst_loss
from bohb_nas.durations import budget_text, counted
from bohb_nas.errors import SpaceError
from bohb_nas.files import finite
from bohb_nas.records import Budgets, Origin, Value
from bohb_nas.space.encoding import default_configuration
from bohb_nas.space.legality import complete
from bohb_nas.store.notes import printable
from bohb_nas.store.study_dir import StudyDir

_NO_SPACE = "the study has no space: its baselines were trained without a search"
_NO_OBSERVATIONS = "no observation of the search"


def find(study: StudyDir, *, seed: int = 0, device: str | None = None, explain: Explain | None = None, jobs: int = 1) -> Findings:
    """What a study says; nothing of it is run or imported, nothing is written.

    Args:
        study: its directory.
        seed: of the forests and of permutations: the same one finds the same.
        device: the model of the device whose evaluations alone count; None takes all.
        explain: what asks a forest; None is `bohb_nas.analysis.fanova.explain`.
        jobs: how many processes share the forests; whatever their number, they find the same.

    Raises:
        StudyError: there is no study, or a part of it is damaged.
        UsageError: no evaluation is of that device.
        AnalysisError: a process was killed.
    """
    return findings(read(study, device=device), explain if explain is not None else _fanova(), seed=seed, jobs=jobs)


def _fanova() -> Explain:
    from bohb_nas.analysis.fanova import explain  # scikit-learn takes a second to import

    return explain


def findings(record: Record, explain: Explain, *, seed: int = 0, jobs: int = 1) -> Findings:
    """What a study says that was read."""
    unit, search, told = record.meta["budgets"]["unit"], record.search, record.told
    names = {budget: budget_text(budget, unit) for budget in budgets_of(told)}
    drawn = [one for one in told if one.drawn]
    unknown = strangers(record.space, drawn) if record.space is not None else frozenset()
    known = [one for one in drawn if one.trial.config_id not in unknown]
    worst = {budget: worst_loss(known, budget) for budget in names}
    observed = [observe([one for one in known if not one.aside], budget, worst=worst[budget]) for budget in names]
    probes = record.of(Origin.PROBE)
    explained = [observe(known, budget, worst=worst[budget]) for budget in names]
    explanations, over_budgets = _explanations(record, explained, explain, seed=seed, jobs=jobs)
    why_not = _NO_SPACE if record.space is None else _NO_OBSERVATIONS
    entries = [
        budgets.entry(o, told, importance=e.importance if e is not None else budgets.nothing(len(o), why_not), names=names)
        for o, e in zip(explained, explanations, strict=True)
    ]
    changes = trajectory.incumbents(told)
    searched = [one for one in changes if not one.stands_in]
    compared = comparison.validation(record)
    correlation = ranks.table([o for o in observed if len(o)], names, seed=seed)
    probed = ranks.table([observe(probes, budget, worst=worst[budget]) for budget in budgets_of(probes)], names, seed=seed)
    tests, spent = model.picks(observed), pace.pace(told, span_s=record.span_s, used_s=record.used_s)
    rungs = Budgets(**record.meta["budgets"]).rungs
    found = Findings(
        study=_facts(record, rungs),
        hyperparameters=hyperparameters(record.space) if record.space is not None else [],
        budgets=entries,
        over_budgets=over_budgets,
        rank_correlation=correlation,
        rank_probe=probed,
        shapes=ranks.shapes(drawn),
        trajectory=trajectory.points(search),
        incumbents=trajectory.points(searched),
        trials=pace.rows(told),
        model=tests,
        hours=pace.hours(told),
        pace=spent,
        incumbent=incumbent.describe(record.study, changes[-1]) if changes else None,
        ablation=_ablation(record, searched, explained, explanations),
        comparison=compared,
        tested=comparison.trained(record.study, rungs, changes[-1].config if changes else None),
        sentences=[
            *sentences.of_importance(entries, names),
            *sentences.of_budgets(correlation, probed, names),
            *sentences.of_model(tests, names),
            *sentences.of_comparison(
                compared,
                names,
                n_searched=_n_at(search, compared["budget"] if compared is not None else None),
                incumbent=searched[-1].trial.trial_id if searched else None,
            ),
            *sentences.of_pace(spent),
            *_cautions(record, explained, unknown),
        ],
    )
    return cast(Findings, finite(found))


def _facts(record: Record, rungs: Sequence[float]) -> StudyFacts:
    meta, told = record.meta, record.told
    dataset = meta["worker_options"].get("dataset")
    return StudyFacts(
        name=printable(record.study.path.name),
        space=meta["space"],
        dataset=dataset if isinstance(dataset, str) else None,
        worker=meta["worker"],
        method=meta["method"],
        unit=meta["budgets"]["unit"],
        eta=meta["budgets"].get("eta", Budgets().eta),
        budgets=list(rungs),
        seed=meta["seed"],
        done=record.done,
        n_trials=len(told),
        by_status=budgets.count(str(one.result.status) for one in told),
        by_origin=budgets.count(str(one.trial.origin) for one in told),
        devices=budgets.count(one.device for one in told if one.device is not None),
    )


def _explanations(
    record: Record, by_budget: Sequence[Observations], explain: Explain, *, seed: int, jobs: int
) -> tuple[list[Explanation | None], Importance | None]:
    """What forests say of each budget, and over all of them."""
    if record.space is None:
        return [None] * len(by_budget), None
    over = partial(budgets.over_budgets, record.space, by_budget, explain, seed=seed)
    each = [partial(budgets.explained, record.space, o, explain, seed=seed) for o in by_budget]
    found: list[Any] = parallel.run([over, *each], jobs=jobs)
    return found[1:], found[0]


def _ablation(
    record: Record, searched: Sequence[Told], observed: Sequence[Observations], explanations: Sequence[Explanation | None]
) -> Ablation | None:
    """The path to the search's incumbent, on the forest of the dearest budget that has one."""
    forests = [(o.budget, e) for o, e in zip(observed, explanations, strict=True) if e is not None and e.importance["refused"] is None]
    if not searched or not forests or record.space is None:
        return None
    goal, (budget, forest) = searched[-1].config, forests[-1]
    try:
        complete(record.space, goal)
    except SpaceError:
        return None
    name, start = _start(record, budget)
    return ablation.path(record.space, forest.predict, start, goal, name=name, budget=budget)


def _start(record: Record, budget: float) -> tuple[str, Mapping[str, Value]]:
    """The best baseline at a budget whose configuration is of the space; else the space's default."""
    assert record.space is not None
    by_config: dict[str, list[Told]] = {}
    for one in record.of(Origin.BASELINE):
        if one.trial.budget == budget and one.result.loss is not None:
            by_config.setdefault(one.trial.config_id, []).append(one)
    for each in sorted(by_config.values(), key=lambda each: mean([one.result.loss or 0.0 for one in each])):
        try:
            return comparison.name_of(each[0].trial.config_id), complete(record.space, each[0].trial.config)
        except SpaceError:
            continue
    return "default", default_configuration(record.space)


def _n_at(told: Sequence[Told], budget: float | None) -> int:
    return sum(one.trial.budget == budget and one.comparable_loss is not None for one in told)


def _cautions(record: Record, observed: Sequence[Observations], unknown: Set[str]) -> Iterator[Sentence]:
    if not record.told:
        yield sentences.caution("No evaluation has ended yet")
        return
    devices = sorted({one.device for one in record.told if one.device is not None})
    if record.device is not None:
        yield sentences.caution(f"Only what was evaluated on {record.device} counts: {counted(len(record.told), 'evaluation')}")
    elif len(devices) > 1:
        yield sentences.caution(
            f"Evaluations come from {len(devices)} models of devices ({', '.join(devices)}): equal seconds on them are not equal budgets; "
            "--device MODEL counts those of one"
        )
    if broken := [one.result.violates for one in record.told if one.result.violates and one.drawn]:
        yield sentences.violating(len(broken), list(dict.fromkeys(itertools.chain(*broken))))
    left_out, diverged = sum(o.n_left_out for o in observed), sum(o.n_diverged for o in observed)
    if left_out:
        which = "which says" if left_out == 1 else "which say"
        yield sentences.caution(f"Left out: {counted(left_out, 'failed trial')}, {which} nothing of configurations")
    if diverged:
        yield sentences.caution(f"Taken as the worst loss of the budget: {counted(diverged, 'diverged trial')}")
    if unknown:
        yield sentences.caution(f"Left out: {counted(len(unknown), 'configuration')} that the space does not have")
    if not record.done:
        yield sentences.caution("The study is not done: its figures may change")
