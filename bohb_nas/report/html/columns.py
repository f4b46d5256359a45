"""Findings as the page's script reads them: trials in columns, words as codes, numbers no longer than a screen shows."""

import json
from collections.abc import Iterable, Sequence
from typing import Any

from bohb_nas.analysis.findings import Comparison, Findings, Importance, Parameter, Row, RungHours, Shape
from bohb_nas.durations import budget_text as budget
from bohb_nas.records import Value
from bohb_nas.report.digits import digits, loss_digits

_DIGITS = 6
"""Significant digits, of the spread where numbers are large against it; the CSV files have all."""
SHOWN_DIGITS = 4
"""Of a loss that a person reads; likewise."""
STRONGEST = 30
"""Pairs that the page holds, and rows of longer tables; a space has thousands of pairs, and the CSV files have all."""
_CURVE_POINTS = 300
"""At most, of a curve that grows by every evaluation."""


def columns(findings: Findings) -> dict[str, Any]:
    """One study for the script; every number is finite or None."""
    study, trials = findings["study"], findings["trials"]
    budgets = sorted({*study["budgets"], *(t["budget"] for t in trials), *(b["budget"] for b in findings["budgets"])})
    rung = {b: k for k, b in enumerate(budgets)}
    rows = {t["trial_id"]: k for k, t in enumerate(trials)}
    grids: dict[str, list[Value]] = {}
    data: dict[str, Any] = {
        "name": study["name"],
        "loss_digits": loss_digits(findings, SHOWN_DIGITS),
        "unit": study["unit"],
        "budgets": budgets,
        "labels": [budget(b, study["unit"]) for b in budgets],
        "hyperparameters": findings["hyperparameters"],
        **_trials(trials, rung),
        "trajectory": [rows[p["trial_id"]] for p in findings["trajectory"]],
        "incumbents": [rows[p["trial_id"]] for p in findings["incumbents"]],
        "importance": [_importance(b, rung[b["budget"]], grids) for b in findings["budgets"]],
        "shapes": _shapes(findings["shapes"], rung),
        "hours": [_thinned(one, rung[one["budget"]]) for one in findings["hours"]],
        "correlation": findings["rank_correlation"],
        "probe": findings["rank_probe"],
        "model": findings["model"],
        "incumbent": {k: v for k, v in findings["incumbent"].items() if k != "network"} if findings["incumbent"] else None,
        "ablation": findings["ablation"],
        "comparisons": comparisons(findings),
    }
    if findings["over_budgets"] is not None:
        data["importance"].append(_importance(findings["over_budgets"], None, grids))
    data["grids"] = grids
    short: dict[str, Any] = _short(data, loss_digits(findings, _DIGITS))
    return short


def comparisons(findings: Findings) -> list[Comparison]:
    """By validation in the study, and by test of what was trained for good, as far as they are there."""
    return [one for one in (findings["comparison"], findings["tested"]) if one is not None]


def script_text(value: Any) -> str:
    """JSON that may stand in a script element: no `<`, and nothing but ASCII."""
    return json.dumps(value, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")


def _short(value: Any, n: int) -> Any:
    """Floats with `n` digits, or with more where the numbers of a column need them."""
    match value:
        case float():
            rounded = float(f"{value:.{n}g}")
            return int(rounded) if rounded.is_integer() and abs(rounded) < 1e15 else rounded
        case dict():
            return {k: _short(v, n) for k, v in value.items()}
        case list():
            own = max(n, digits((v for v in value if isinstance(v, float)), _DIGITS))
            return [_short(v, own) for v in value]
        case _:
            return value


def _trials(trials: Sequence[Row], rung: dict[float, int]) -> dict[str, Any]:
    """Trials in columns, each configuration once."""
    configs: dict[tuple[str, str], int] = {}
    values = []
    which = []
    for t in trials:
        key = (t["config_id"], json.dumps(t["config"], sort_keys=True))
        if key not in configs:
            configs[key] = len(configs)
            values.append(t["config"])
        which.append(configs[key])
    names = dict.fromkeys(name for config in values for name in config)
    return {
        "trials": {
            "id": [t["trial_id"] for t in trials],
            "config": which,
            "budget": [rung[t["budget"]] for t in trials],
            "origin": _coded([t["origin"] for t in trials]),
            "status": _coded([t["status"] for t in trials]),
            "device": _coded([t["device"] for t in trials]),
            "message": _coded([t["message"] for t in trials]),
            **{key: [t[key] for t in trials] for key in ("bracket", "loss", "told", "train_s", "params", "flops", "violates")},
        },
        "configs": {
            "id": [config_id for config_id, _ in configs],
            "values": {name: _column([c.get(name) for c in values]) for name in names},
        },
    }


def _column(values: list[Any]) -> Any:
    """Numbers as they are; a column with words or truths in it coded."""
    return _coded(values) if any(isinstance(v, str | bool) for v in values) else values


def _coded(values: Iterable[Any]) -> dict[str, Any]:
    """Distinct values in `words`, and for each value its place there, or None."""
    words: dict[tuple[type, Any], int] = {}  # True and 1 are equal, and two values
    codes = [None if v is None else words.setdefault((type(v), v), len(words)) for v in values]
    return {"words": [word for _, word in words], "codes": codes}


def _importance(one: Importance, rung: int | None, grids: dict[str, list[Value]]) -> dict[str, Any]:
    kept = ("n", "refused", "oob_r2", "threshold", "good")
    return {
        "budget": rung,
        "selected": one.get("selected"),
        "parameters": [_parameter(p, grids) for p in one["parameters"]],
        "pairs": one["pairs"][:STRONGEST],
        **{key: one[key] for key in kept},  # type: ignore[literal-required]
    }


def _parameter(one: Parameter, grids: dict[str, list[Value]]) -> dict[str, Any]:
    """One with its curve; the values of a curve stand in `grids` once, where every budget has the same."""
    curve = one["curve"]
    if curve is None:
        return {**one}
    shared = grids.setdefault(one["name"], curve["at"]) == curve["at"]
    return {**one, "curve": {"at": None if shared else curve["at"], **{key: curve[key] for key in ("mean", "low", "high")}}}


def _shapes(shapes: Sequence[Shape], rung: dict[float, int]) -> dict[str, Any]:
    return {
        "id": [s["config_id"] for s in shapes],
        "origin": _coded([s["origin"] for s in shapes]),
        "budgets": [[rung[b] for b, _ in s["losses"]] for s in shapes],
        "losses": [[loss for _, loss in s["losses"]] for s in shapes],
    }


def _thinned(one: RungHours, rung: int) -> dict[str, Any]:
    n = len(one["times"])
    kept = sorted({round(k * (n - 1) / (_CURVE_POINTS - 1)) for k in range(_CURVE_POINTS)}) if n > _CURVE_POINTS else range(n)
    return {"budget": rung, "times": [one["times"][k] for k in kept], "hours": [one["hours"][k] for k in kept]}
