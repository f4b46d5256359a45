"""Findings as an analysis would make them of a search that never was: plausible, typed, the same for the same seed.

`findings()` is a usual study; its arguments make it tiny, wide, oddly named, spread over decades or without anything to claim.
`nothing()` is a study without evaluations.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from budget_fakes import budget, correlations, importance, shapes
from scipy import stats
from search_fakes import N_WORKERS, axes, counts, trials, value

from bohb_nas.analysis.findings import (
    Ablation,
    Comparison,
    Findings,
    Hyperparameter,
    Incumbent,
    ModelTest,
    Point,
    Row,
    RungHours,
    StudyFacts,
)
from bohb_nas.layers.drawing import draw
from bohb_nas.networks import network
from bohb_nas.records import Value

ODD_NAMES = ("$x^2$", "a_b_c", "<b>&amp;", "Größe", "学习率", "100 % of \\alpha", "a/b: c", "..", "very" + "_very" * 9 + "_long")
"""Names that a careless drawing takes for mathematics, marks or paths."""


def findings(
    *,
    seed: int = 0,
    name: str = "study",
    n_configs: int = 40,
    budgets: Sequence[float] = (400.0, 1200.0, 3600.0),
    n_axes: int = 8,
    names: Sequence[str] = (),
    decades: float = 0.0,
    refused: str | None = None,
    family: str | None = "zela2018",
) -> Findings:
    """A study that halves its configurations from budget to budget.

    Args:
        seed: of everything.
        name: of the study.
        n_configs: that entered at the cheapest budget; more enter above.
        budgets: cheapest first.
        n_axes: hyperparameters; from the sixth on every second one is conditional.
        names: of the first hyperparameters, in place of the usual ones.
        decades: that losses are spread over; 0 for errors between 0 and 1.
        refused: why no importance is claimed anywhere.
        family: of the incumbent's network; None where its worker left none.
    """
    rng = np.random.default_rng(seed)
    hyperparameters = axes(n_axes, names)
    told = trials(rng, hyperparameters, n_configs, budgets, decades)
    ok = [t for t in told if t["loss"] is not None]
    search = [t for t in ok if t["origin"] != "probe"]
    points = [_point(t) for t in search]
    incumbents = _incumbents(points)
    used = sorted({t["budget"] for t in told})
    return {
        "study": _facts(name, seed, budgets, told),
        "hyperparameters": hyperparameters,
        "budgets": [budget(rng, hyperparameters, b, [t for t in told if t["budget"] == b], refused) for b in used],
        "over_budgets": importance(rng, hyperparameters, search, refused) if len(used) > 1 else None,
        "rank_correlation": correlations(search, used),
        "rank_probe": correlations([t for t in ok if t["origin"] == "probe"], used),
        "shapes": shapes(search),
        "trajectory": points,
        "incumbents": incumbents,
        "trials": told,
        "model": [_model_test(search, b) for b in used],
        "hours": _hours(told, used),
        "pace": {
            "span_s": told[-1]["told"],
            "used_s": told[-1]["told"],
            "device_hours": sum(t["train_s"] for t in told) / 3600,
            "evaluations_per_hour": len(told) / told[-1]["told"] * 3600,
            "n_workers": N_WORKERS,
            "train_share": 0.93,
            "idle_median_s": 2.5,
        },
        "incumbent": _incumbent(next(t for t in search if t["trial_id"] == incumbents[-1]["trial_id"]), family) if incumbents else None,
        "ablation": _ablation(rng, hyperparameters, search) if len(search) > 1 else None,
        "comparison": _comparison(rng, budgets[-1]),
        "tested": None,
        "sentences": [
            {"about": "importance", "text": f"At {used[-1]:g} s, {hyperparameters[0]['name']} matters most.", "holds": refused is None},
            {"about": "caution", "text": "Only promoted configurations were trained for long.", "holds": True},
        ],
    }


def nothing(*, name: str = "empty") -> Findings:
    """A study in which nothing was told yet."""
    return {
        "study": _facts(name, 0, (400.0, 1200.0), []),
        "hyperparameters": axes(4, ()),
        "budgets": [],
        "over_budgets": None,
        "rank_correlation": [],
        "rank_probe": [],
        "shapes": [],
        "trajectory": [],
        "incumbents": [],
        "trials": [],
        "model": [],
        "hours": [],
        "pace": {
            "span_s": 0.0,
            "used_s": 0.0,
            "device_hours": 0.0,
            "evaluations_per_hour": None,
            "n_workers": 0,
            "train_share": None,
            "idle_median_s": None,
        },
        "incumbent": None,
        "ablation": None,
        "comparison": None,
        "tested": None,
        "sentences": [{"about": "caution", "text": "No evaluation has ended yet.", "holds": False}],
    }


def tree(family: str, **config: Value) -> dict[str, Any]:
    """The tree of layers of a network of the catalogue, at its defaults but for `config`."""
    return draw(network({"family": family, **config}), (3, 32, 32))


def _facts(name: str, seed: int, budgets: Sequence[float], told: Sequence[Row]) -> StudyFacts:
    return {
        "name": name,
        "space": "joint",
        "dataset": "cifar10",
        "worker": "image_classifier",
        "method": "bohb",
        "unit": "s",
        "eta": 3.0,
        "budgets": list(budgets),
        "seed": seed,
        "done": True,
        "n_trials": len(told),
        "by_status": counts(t["status"] for t in told),
        "by_origin": counts(t["origin"] for t in told),
        "devices": {"Tesla T4": len(told)} if told else {},
    }


def _point(t: Row) -> Point:
    assert t["loss"] is not None
    return {
        "time": t["told"],
        "budget": t["budget"],
        "loss": t["loss"],
        "trial_id": t["trial_id"],
        "origin": t["origin"],
        "violates": t["violates"],
    }


def _incumbents(points: Sequence[Point]) -> list[Point]:
    """The lowest loss at the highest budget so far."""
    found: list[Point] = []
    for p in points:
        if not found or (-p["budget"], p["loss"]) < (-found[-1]["budget"], found[-1]["loss"]):
            found.append(p)
    return found


def _model_test(rows: Sequence[Row], at: float) -> ModelTest:
    model = [t["loss"] for t in rows if t["budget"] == at and t["origin"] == "model" and t["loss"] is not None]
    random = [t["loss"] for t in rows if t["budget"] == at and t["origin"] == "random" and t["loss"] is not None]
    some = len(model) > 2 and len(random) > 2
    test = stats.mannwhitneyu(model, random) if some else None
    better = 1 - float(test.statistic) / (len(model) * len(random)) if test is not None else None
    return {
        "budget": at,
        "n_model": len(model),
        "n_random": len(random),
        "median_model": float(np.median(model)) if model else None,
        "median_random": float(np.median(random)) if random else None,
        "better": better,
        "interval": None if better is None else [max(0.0, better - 0.15), min(1.0, better + 0.15)],
        "p_value": float(test.pvalue) if test is not None else None,
        "p_holm": min(1.0, 2 * float(test.pvalue)) if test is not None else None,
    }


def _hours(told: Sequence[Row], used: Sequence[float]) -> list[RungHours]:
    return [
        {
            "budget": b,
            "times": [t["told"] for t in told if t["budget"] == b],
            "hours": (np.cumsum([t["train_s"] for t in told if t["budget"] == b]) / 3600).tolist(),
        }
        for b in used
    ]


def _incumbent(best: Row, family: str | None) -> Incumbent:
    assert best["loss"] is not None
    steps = np.arange(1, 21)
    return {
        "trial_id": best["trial_id"],
        "config_id": best["config_id"],
        "config": best["config"],
        "budget": best["budget"],
        "loss": best["loss"],
        "origin": best["origin"],
        "params": 1_712_345.0,
        "ready_to_use": False,
        "model_there": False,
        "flops": 256_000_000.0,
        "network": None if family is None else tree(family),
        "curve": [
            {
                "step": float(100 * s),
                "seconds": float(s) / 20 * best["budget"],
                "lr": 0.05 * (1 + math.cos(math.pi * s / 20)),
                "train_loss": 2.3 / float(s),
                "valid_error": best["loss"] + 0.5 / float(s),
            }
            for s in steps
        ],
    }


def _ablation(rng: np.random.Generator, changed: Sequence[Hyperparameter], rows: Sequence[Row]) -> Ablation:
    losses = [t["loss"] for t in rows if t["loss"] is not None]
    start, best = float(np.median(losses)), min(losses)
    levels = np.linspace(start, best, len(changed) + 1)
    return {
        "start": "the space's default",
        "budget": rows[-1]["budget"],
        "loss": start,
        "spread": [start * 0.9, start * 1.1],
        "steps": [
            {
                "names": [one["name"]],
                "before": {one["name"]: one["default"]},
                "after": {one["name"]: value(one, float(rng.random()))},
                "loss": float(level),
                "spread": [float(level) * 0.9, float(level) * 1.1],
            }
            for one, level in zip(changed, levels[1:], strict=True)
        ],
    }


def _comparison(rng: np.random.Generator, at: float) -> Comparison:
    comparison: Comparison = {"budget": at, "measured": "test", "rows": []}
    for k, name in enumerate(("incumbent", "ResNet-20", "WRN-28-10", "VGG-like")):
        error, sd = 0.05 + 0.012 * k, 0.002 * float(rng.uniform(0.5, 1.5))
        half = 1.96 * math.sqrt(error * (1 - error) / 10_000)
        comparison["rows"].append(
            {
                "name": name,
                "kind": "baseline" if k else "incumbent",
                "budget": at,
                "n_seeds": 3,
                "error": error,
                "sd": sd,
                "seed_interval": [error - 2.48 * sd, error + 2.48 * sd],
                "wilson": [error - half, error + half],
                "n_images": 10_000,
                "params": 1e6 * (k + 1),
                "flops": 1e8 * (k + 1),
                "train_s": at,
                "difference": 0.012 * k if k else None,
                "p_value": 0.01 / k if k else None,
                "p_holm": 0.03 / k if k else None,
                "test": "Welch's t over seeds" if k else None,
            }
        )
    return comparison
