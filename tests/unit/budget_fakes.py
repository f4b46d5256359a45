"""What is said of and between budgets: importances that nothing was fitted for, correlations and shapes of made losses."""

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import stats
from search_fakes import counts, value

from bohb_nas.analysis.findings import Budget, Curve, Hyperparameter, Importance, Pair, Parameter, RankCorrelation, Row, Shape
from bohb_nas.records import Value


def importance(rng: np.random.Generator, axes: Sequence[Hyperparameter], rows: Sequence[Row], refused: str | None) -> Importance:
    n = len(rows)
    if n < 10 and refused is None:
        refused = f"{n} observations; importance needs at least 10"
    if refused is not None:
        return {"n": n, "refused": refused, "oob_r2": None, "threshold": None, "parameters": [], "pairs": [], "good": None}
    threshold = 1.3 / math.sqrt(n)
    losses = np.array([t["loss"] for t in rows], dtype=float)
    shares = rng.dirichlet(0.5 / np.arange(1, len(axes) + 2))[:-1]
    found = [_parameter(rng, one, float(s), threshold, rows, losses) for one, s in zip(axes, shares, strict=True)]
    found.sort(key=lambda p: -p["with_parents"])
    return {
        "n": n,
        "refused": None,
        "oob_r2": float(rng.uniform(0.4, 0.9)),
        "threshold": threshold,
        "parameters": found,
        "pairs": _pairs(rng, axes, [p["name"] for p in found], losses),
        "good": {
            "cutoff": float(np.quantile(losses, 0.25)),
            "rule": "the best quarter",
            "n_below": n // 4,
            "threshold": 1.1 * threshold,
            "parameters": [{**p, "curve": None} for p in found],
        },
    }


def _parameter(
    rng: np.random.Generator, one: Hyperparameter, share: float, threshold: float, rows: Sequence[Row], losses: Any
) -> Parameter:
    active = [t for t in rows if one["name"] in t["config"]]
    main = share / 2 if one["parents"] else share
    return {
        "name": one["name"],
        "main": main,
        "with_parents": share,
        "total": min(1.0, share * 1.2),
        "p_active": 1 / 3 if one["parents"] else 1.0,
        "n_active": len(active),
        "when_active": min(1.0, share * 2) if one["parents"] else None,
        "spread": [share * float(rng.uniform(0.4, 0.9)), min(1.0, share * float(rng.uniform(1.1, 1.8)))],
        "claimed": share > threshold,
        "curve": _curve(rng, one, float(np.median(losses)), share * float(np.std(losses))),
    }


def _curve(rng: np.random.Generator, one: Hyperparameter, middle: float, height: float) -> Curve:
    u = (np.arange(len(one["choices"])) if one["choices"] else np.linspace(0, 1, 30)).astype(float)
    phase = float(rng.uniform(0, 3))
    mean = middle + height * np.cos(3 * u + phase)
    wide = 0.3 * abs(height) + 0.02 * middle
    at = list(one["choices"]) if one["choices"] else [value(one, float(p)) for p in u]
    return {"at": at, "place": u.tolist(), "mean": mean.tolist(), "low": (mean - wide).tolist(), "high": (mean + 2 * wide).tolist()}


def _pairs(rng: np.random.Generator, axes: Sequence[Hyperparameter], ranked: Sequence[str], losses: Any) -> list[Pair]:
    by_name = {one["name"]: one for one in axes}
    pairs: list[Pair] = []
    for k, (a, b) in enumerate(itertools.pairwise(ranked)):
        at = [_grid(by_name[a]), _grid(by_name[b])]
        mean = float(np.median(losses)) * (1 + 0.3 * rng.random((len(at[0]), len(at[1]))))
        share = 0.1 / (k + 1)
        pairs.append(
            {
                "names": [a, b],
                "share": share,
                "spread": [share / 2, share * 2],
                "map": {"at": at, "mean": mean.tolist()} if k < 6 else None,
            }
        )
    return pairs


def _grid(one: Hyperparameter) -> list[Value]:
    if one["choices"]:
        return list(one["choices"])
    return list(dict.fromkeys(value(one, float(u)) for u in np.linspace(0, 1, 12)))


def budget(rng: np.random.Generator, axes: Sequence[Hyperparameter], at: float, rows: Sequence[Row], refused: str | None) -> Budget:
    ok = [t for t in rows if t["loss"] is not None and t["origin"] != "probe"]
    losses = [t["loss"] for t in ok if t["loss"] is not None]
    promoted = sum(t["origin"] == "promoted" for t in rows)
    return {
        **importance(rng, axes, ok, refused),
        "budget": at,
        "n_told": len(rows),
        "n_failed": sum(t["loss"] is None for t in rows),
        "by_status": counts(t["status"] for t in rows),
        "by_origin": counts(t["origin"] for t in rows),
        "losses": np.quantile(losses, [0, 0.25, 0.5, 0.75, 1]).tolist() if losses else None,
        "n_promoted": promoted,
        "selected": f"{promoted} of {len(rows)} were promoted: it speaks of their region" if promoted else None,
    }


def correlations(rows: Sequence[Row], used: Sequence[float]) -> list[RankCorrelation]:
    by: dict[float, dict[str, float]] = {b: {} for b in used}
    for t in rows:
        if t["loss"] is not None:
            by[t["budget"]][t["config_id"]] = t["loss"]
    return [_correlation(low, high, by) for i, low in enumerate(used) for high in used[i + 1 :]] if rows else []


def _correlation(low: float, high: float, by: dict[float, dict[str, float]]) -> RankCorrelation:
    both = sorted(by[low].keys() & by[high].keys())
    a, b = [by[low][c] for c in both], [by[high][c] for c in both]
    if len(both) < 4:
        return {
            "low": low,
            "high": high,
            "n": len(both),
            "spearman": None,
            "interval": None,
            "p_value": None,
            "kendall": None,
            "kendall_p_value": None,
            "note": f"too few: {len(both)} configurations in common",
        }
    rho, p = stats.spearmanr(a, b)
    tau, kendall_p = stats.kendalltau(a, b)
    half = 1.96 * math.sqrt((1 + rho**2 / 2) / (len(both) - 3))
    z = math.atanh(min(0.999, max(-0.999, rho)))
    return {
        "low": low,
        "high": high,
        "n": len(both),
        "spearman": float(rho),
        "interval": [math.tanh(z - half), math.tanh(z + half)],
        "p_value": float(p),
        "kendall": float(tau),
        "kendall_p_value": float(kendall_p),
        "note": "promoted by the lower budget's loss: selection makes it look weaker",
    }


def shapes(rows: Sequence[Row]) -> list[Shape]:
    by: dict[str, list[Row]] = {}
    for t in rows:
        by.setdefault(t["config_id"], []).append(t)
    found: list[Shape] = []
    for config_id, ones in by.items():
        losses = sorted([t["budget"], t["loss"]] for t in ones if t["loss"] is not None)
        if len(losses) > 1:
            found.append({"config_id": config_id, "origin": ones[0]["origin"], "losses": losses})
    return found
