"""A search that never was: its space, and what it told."""

from collections.abc import Iterable, Sequence

import numpy as np

from bohb_nas.analysis.findings import Hyperparameter, Row
from bohb_nas.records import Value

N_WORKERS = 4


def axes(n: int, names: Sequence[str]) -> list[Hyperparameter]:
    """Kinds take turns."""
    usual = (
        "learning_rate", "optimizer", "weight_decay", "depth", "batch_size", "dropout", "kernel", "width", "cutout_length", "mixup_alpha",
        "policy_magnitude", "shake_death", "warmup_share", "momentum", "nesterov", "blocks_stage_1", "blocks_stage_2", "blocks_stage_3",
        "n_branches", "activation", "label_smoothing", "stochastic_depth", "pooling", "ema_decay", "n_operations", "se_ratio",
    )  # fmt: skip
    return [_axis(j, names[j] if j < len(names) else usual[j % len(usual)] + "_ii" * (j // len(usual)), names) for j in range(n)]


def _axis(j: int, name: str, names: Sequence[str]) -> Hyperparameter:
    one: Hyperparameter = {
        "name": name,
        "kind": "float",
        "log": False,
        "lower": 0.0,
        "upper": 1.0,
        "choices": [],
        "parents": [],
        "condition": None,
        "default": 0.5,
    }
    if j >= 5 and j % 2:
        parent = names[1] if len(names) > 1 else "optimizer"
        one |= {"parents": [parent], "condition": f"{parent} == 'sgd'"}
    match j % 6:
        case 0:
            one |= {"log": True, "lower": 1e-4, "upper": 1.0, "default": 0.1}
        case 1:
            one |= {"kind": "categorical", "lower": None, "upper": None, "choices": ["sgd", "adam", "muon"], "default": "sgd"}
        case 3:
            one |= {"kind": "integer", "lower": 1.0, "upper": 15.0, "default": 3}
        case 4 if j == 4:
            one |= {"kind": "ordinal", "lower": None, "upper": None, "choices": [32, 64, 128, 256], "default": 128}
        case 4:
            one |= {"kind": "integer", "log": True, "lower": 8.0, "upper": 512.0, "default": 64}
        case _:
            pass
    return one


def value(one: Hyperparameter, u: float) -> Value:
    """The value at a place in [0, 1]."""
    if one["choices"]:
        return one["choices"][min(int(u * len(one["choices"])), len(one["choices"]) - 1)]
    assert one["lower"] is not None
    assert one["upper"] is not None
    lower, upper = one["lower"], one["upper"]
    value = lower * (upper / lower) ** u if one["log"] else lower + (upper - lower) * u
    return round(value) if one["kind"] == "integer" else float(value)


def trials(rng: np.random.Generator, axes: Sequence[Hyperparameter], n: int, budgets: Sequence[float], decades: float) -> list[Row]:
    """Each budget keeps the better third of the one below and takes new ones; three probes go through all budgets."""
    found: list[Row] = []
    free = [0.0] * N_WORKERS
    kept: list[tuple[str, dict[str, Value], float]] = []
    probes = [_drawn(rng, axes, f"p{i}") for i in range(min(6, n // 5))]
    for rung, budget in enumerate(budgets):
        fresh = [_drawn(rng, axes, f"c{rung}_{i}") for i in range(max(1, n // 3**rung // (1 if rung == 0 else 3)))]
        told: list[tuple[float, tuple[str, dict[str, Value], float]]] = []
        for origin, ones in (("", kept), ("new", fresh), ("probe", probes)):
            for i, one in enumerate(ones):
                said = {"": "promoted", "probe": "probe"}.get(origin, "random" if i % 3 == 0 or i < 4 else "model")
                row = _row(rng, one, budget, said, decades, len(found), free)
                found.append(row)
                if row["loss"] is not None and origin != "probe":
                    told.append((row["loss"], one))
        kept = [one for _, one in sorted(told, key=lambda t: t[0])[: len(told) // 3]]
    return sorted(found, key=lambda t: t["told"])


def _drawn(rng: np.random.Generator, axes: Sequence[Hyperparameter], config_id: str) -> tuple[str, dict[str, Value], float]:
    """An identity, active values, and how bad it is in [0, 1]."""
    places = rng.random(len(axes))
    values = {one["name"]: value(one, float(u)) for one, u in zip(axes, places, strict=True)}
    config = {one["name"]: values[one["name"]] for one in axes if not one["parents"] or values.get(one["parents"][0]) == "sgd"}
    bad = abs(float(places[0]) - 0.6) + (0.3 * float(places[1]) if len(axes) > 1 else 0.0)
    return config_id, config, bad


def _row(
    rng: np.random.Generator,
    one: tuple[str, dict[str, Value], float],
    budget: float,
    origin: str,
    decades: float,
    n: int,
    free: list[float],
) -> Row:
    config_id, config, bad = one
    worker = free.index(min(free))
    asked = free[worker] + 2.0
    train_s = budget * float(rng.uniform(0.9, 1.0))
    free[worker] = asked + train_s + 5.0
    failed = n % 11 == 10
    loss = float(np.clip(0.04 + 0.5 * bad + 0.02 * rng.standard_normal() + 8.0 / budget, 0.01, 0.99))
    if decades:
        loss = float(10 ** (decades * (bad - 0.5) + 0.1 * rng.standard_normal()))
    return {
        "trial_id": f"t{n}",
        "config_id": config_id,
        "config": config,
        "budget": float(budget),
        "bracket": 0,
        "origin": origin,
        "status": "crashed" if failed else "ok",
        "loss": None if failed else loss,
        "asked": asked,
        "told": free[worker],
        "train_s": train_s,
        "params": float(rng.integers(100_000, 20_000_000)),
        "flops": float(rng.integers(10**7, 10**9)),
        "device": "Tesla T4",
        "violates": False,
        "message": "ValueError: no such layer" if failed else None,
    }


def counts(words: Iterable[str]) -> dict[str, int]:
    found: dict[str, int] = {}
    for word in words:
        found[word] = found.get(word, 0) + 1
    return found
