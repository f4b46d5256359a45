"""Hand-designed networks beside the incumbent, all trained by the same worker for equal time; and the tests of models trained for good.

Validation errors of one budget are compared, never those of different ones. The incumbent's is the lowest of many, so that it flatters
the incumbent; a test error is not chosen by.
"""

import re
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from statsmodels.stats.proportion import proportion_confint, proportions_ztest

from bohb_nas.analysis.findings import Compared, Comparison
from bohb_nas.analysis.model import adjust
from bohb_nas.analysis.observations import Record, Told, mean
from bohb_nas.analysis.trajectory import incumbents
from bohb_nas.durations import format_duration
from bohb_nas.records import Origin, Status, Value
from bohb_nas.store import notes
from bohb_nas.store.study_dir import StudyDir

_NAMED = re.compile(r"baseline-(.+)-[0-9a-f]{8}")
"""The configuration of a baseline."""
_SAME = 0.02
"""Times that differ by no larger share are of one budget."""
WELCH = "Welch's t-test over seeds"
_ONE_OF = "the t-test of one seed against {n}, which takes the seeds of both to spread alike"
_PROPORTIONS = "the two-proportion z-test on {n:,} and {m:,} images: it takes them for different images, and knows nothing of seeds"
_NONE = "no test: no seeds that differ, and no error over a known number of images"
_ALIKE = "no test: the seeds of neither differ, as few images may have it, which does not say how much seeds differ"


def validation(record: Record) -> Comparison | None:
    """Baselines and the search's best at the same budget: the dearest that has both, else the dearest with baselines; None without."""
    baselines = [one for one in record.of(Origin.BASELINE) if one.result.status is Status.OK]
    searched = [one for one in record.search if one.comparable_loss is not None]
    budgets = {one.trial.budget for one in baselines}
    if not budgets:
        return None
    budget = max(budgets & {one.trial.budget for one in searched} or budgets)
    rows = [_row(name, "baseline", each) for name, each in _by_name([one for one in baselines if one.trial.budget == budget])]
    best = incumbents([one for one in searched if one.trial.budget == budget])
    if best:
        seeds = [one for one in searched if one.trial.budget == budget and one.trial.config_id == best[-1].trial.config_id]
        own = _row(best[-1].trial.trial_id, "incumbent", [best[-1], *(one for one in seeds if one is not best[-1])])
        _test(rows, own)
        rows.append(own)
    return Comparison(budget=budget, measured="validation", rows=[row for row, _ in rows])


def trained(study: StudyDir, budgets: Sequence[float], incumbent: Mapping[str, Value] | None = None) -> Comparison | None:
    """The test errors of what `bohb-nas train` trained for good in the study's directory; None without.

    Seeds of an earlier `train` stay there: only those of one configuration, data set, budget and kind of training are of one row.

    Args:
        study: its directory.
        budgets: of the study: models that do not tell their budget are of the one within 2 % of the time that they took, else of that time.
        incumbent: the configuration that leads; a row of another says that it is none of it.
    """
    models = [note for path in sorted(study.trained.glob("seed-*/model.json")) if (note := notes.read_note(path))]
    good = [model for model in models if notes.number(model, "test_error") is not None and isinstance(model.get("config"), dict)]
    if not good:
        return None
    groups: list[list[dict[str, Any]]] = []
    for model in good:
        alike = next((each for each in groups if _trained_alike(each[0], model)), None)
        groups.append([model]) if alike is None else alike.append(model)
    rows = [
        _compared(
            name,
            "incumbent",
            _budget(each, budgets),
            [float(model["test_error"]) for model in each],
            n_images=notes.whole(each[0], "n_test"),
            params=notes.number(each[0], "params"),
            flops=notes.number(each[0], "flops"),
            train_s=mean([notes.number(model, "train_s") or 0.0 for model in each]),
        )
        for name, each in zip(_names([each[0] for each in groups], incumbent), groups, strict=True)
    ]
    trained_for = {row["budget"] for row in rows}
    return Comparison(budget=trained_for.pop() if len(trained_for) == 1 else None, measured="test", rows=rows)


def _budget(models: Sequence[dict[str, Any]], budgets: Sequence[float]) -> float:
    """That of models trained alike."""
    if (asked := notes.number(models[0], "budget_s")) is not None:
        return asked
    took = mean([notes.number(model, "train_s") or 0.0 for model in models])
    return next((b for b in budgets if abs(b - took) <= _SAME * b), took)


def _trained_alike(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether two models are of one configuration, data set, training and budget; those that do not tell their budget, of one time."""
    if any(one.get(name) != other.get(name) for name in ("config", "dataset", "fingerprint", "training")):
        return False
    asked = notes.number(one, "budget_s"), notes.number(other, "budget_s")
    if None not in asked:
        return asked[0] == asked[1]
    took, its = notes.number(one, "train_s") or 0.0, notes.number(other, "train_s") or 0.0
    return abs(took - its) <= _SAME * max(took, its)


def _names(models: Sequence[dict[str, Any]], incumbent: Mapping[str, Value] | None) -> list[str]:
    """What rows are called, each by one of its models: by number, time and data set as far as they are needed to tell them apart."""
    others = ["" if incumbent is None or model["config"] == dict(incumbent) else ", not the incumbent" for model in models]
    if len(models) == 1:
        return [f"trained for good{others[0]}"]
    told = [
        (
            format_duration(notes.number(model, "budget_s") or notes.number(model, "train_s") or 0.0),
            notes.text(model, "dataset") or "unknown data",
        )
        for model in models
    ]
    differ = [len(set(each)) > 1 for each in zip(*told, strict=True)]
    return [
        ", ".join([f"trained for good, {nth}", *(text for text, needed in zip(each, differ, strict=True) if needed)]) + other
        for nth, (each, other) in enumerate(zip(told, others, strict=True), start=1)
    ]


_Row = tuple[Compared, NDArray[np.float64]]
"""A row, and the error of each seed."""


def _by_name(told: Sequence[Told]) -> list[tuple[str, list[Told]]]:
    """The trials of each baseline, in the order of its first."""
    found: dict[str, list[Told]] = {}
    for one in told:
        found.setdefault(one.trial.config_id, []).append(one)
    return [(name_of(config_id), each) for config_id, each in found.items()]


def name_of(config_id: str) -> str:
    """The baseline that a configuration is of."""
    named = _NAMED.fullmatch(config_id)
    return named[1] if named is not None else config_id


def _row(name: str, kind: Any, told: Sequence[Told]) -> _Row:
    results = [one.result for one in told]
    errors = [result.loss for result in results if result.loss is not None]
    images = results[0].metrics.get("n_valid")
    row = _compared(
        name,
        kind,
        told[0].trial.budget,
        errors,
        n_images=int(images) if images is not None and images >= 1 and images == int(images) else None,
        params=results[0].metrics.get("params"),
        flops=results[0].metrics.get("flops"),
        train_s=mean([result.train_s for result in results]),
    )
    return row, np.array(errors)


def _compared(
    name: str,
    kind: Any,
    budget: float,
    errors: Sequence[float],
    *,
    n_images: int | None,
    params: float | None,
    flops: float | None,
    train_s: float,
) -> Compared:
    sd = None if len(errors) < 2 else float(np.std(errors, ddof=1)) if np.ptp(errors) > 0 else 0.0  # of equal floats numpy's is 1e-17
    of_images = wilson(errors[0], n_images)
    return Compared(
        name=name,
        kind=kind,
        budget=budget,
        n_seeds=len(errors),
        error=mean(errors),
        sd=sd,
        seed_interval=_over_seeds(errors, sd, are_shares=of_images is not None) if sd else None,
        wilson=of_images,
        n_images=n_images,
        params=params,
        flops=flops,
        train_s=train_s,
        difference=None,
        p_value=None,
        p_holm=None,
        test=None,
    )


def _over_seeds(errors: Sequence[float], sd: float, *, are_shares: bool) -> list[float]:
    """Student's 95 % interval of the mean of n > 1 errors; no share of images is below 0 or above 1."""
    half = float(stats.t.ppf(0.975, len(errors) - 1)) * sd / len(errors) ** 0.5
    low, high = mean(errors) - half, mean(errors) + half
    return [max(low, 0.0), min(high, 1.0)] if are_shares else [low, high]


def wilson(error: float, n_images: int | None) -> list[float] | None:
    """Wilson's 95 % interval (1927) of an error over so many images; None where it is no share of images, or their number not known."""
    if n_images is None or not 0 <= error <= 1:
        return None
    return [float(limit) for limit in proportion_confint(round(error * n_images), n_images, method="wilson")]


def _test(rows: Sequence[_Row], own: _Row) -> None:
    """Fills in the differences of rows from the incumbent's, and their tests, Holm-adjusted."""
    for row, errors in rows:
        row["difference"] = row["error"] - own[0]["error"]
        row["p_value"], row["test"] = _p_value(row, errors, *own)
    adjust([row for row, _ in rows])


def _one_against(several: NDArray[np.float64], one: float) -> float:
    """The two-sided p-value of one more draw from the normal distribution of k others: Student's t with k - 1 degrees of freedom."""
    k = several.size
    t = (one - several.mean()) / (several.std(ddof=1) * (1 + 1 / k) ** 0.5)
    return float(2 * stats.t.sf(abs(t), k - 1))


def _p_value(row: Compared, errors: NDArray[np.float64], own: Compared, own_errors: NDArray[np.float64]) -> tuple[float | None, str]:
    if min(errors.size, own_errors.size) > 1 and np.ptp(errors) + np.ptp(own_errors) > 0:
        of_both = [of(each) for each in (errors, own_errors) for of in (np.mean, partial(np.std, ddof=1), np.size)]
        return float(stats.ttest_ind_from_stats(*of_both, equal_var=False).pvalue), WELCH
    for several, one in ((errors, own_errors), (own_errors, errors)):
        if several.size > 1 and one.size == 1 and np.ptp(several) > 0:
            return _one_against(several, float(one[0])), _ONE_OF.format(n=several.size)
    if max(errors.size, own_errors.size) > 1:
        return None, _ALIKE
    n, m = row["n_images"], own["n_images"]
    if n is None or m is None or row["wilson"] is None or own["wilson"] is None:
        return None, _NONE
    wrong = round(float(errors[0]) * n), round(float(own_errors[0]) * m)
    if sum(wrong) in (0, n + m):
        return 1.0, _PROPORTIONS.format(n=n, m=m)
    return float(proportions_ztest(wrong, (n, m))[1]), _PROPORTIONS.format(n=n, m=m)
