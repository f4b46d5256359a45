"""How right and how fast the importance of hyperparameters is, beside Optuna's evaluator where it is installed. One table.

    python bench/fanova.py [--only NAME …] [--datasets N]

Accuracy: functions in 25 dimensions whose true importances are worked out by hand (15 floats, four categoricals of 2 levels, three of 3,
three of 4). Seconds are of one core's time, on this machine with its neighbours: the load is printed before and after.
"""

import argparse
import importlib.util
import math
import os
import platform
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import numpy as np
from ConfigSpace import (
    AndConjunction,
    Categorical,
    ConfigurationSpace,
    EqualsCondition,
    Float,
    GreaterThanCondition,
    OrConjunction,
)
from ConfigSpace.hyperparameters import CategoricalHyperparameter, Hyperparameter, UniformFloatHyperparameter
from numpy.typing import NDArray

from bohb_nas.analysis.cells import Box
from bohb_nas.analysis.effects import Effects
from bohb_nas.analysis.fanova import explain
from bohb_nas.analysis.findings import Importance
from bohb_nas.analysis.forest import Forest, fit
from bohb_nas.analysis.shares import shares, total_shares
from bohb_nas.analysis.totals import totals
from bohb_nas.records import Value
from bohb_nas.space.encoding import Encoding

Floats = NDArray[np.float64]
Config = Mapping[str, Any]

SIZES = (100, 1000, 5000)
SEEDS = {100: 3, 1000: 2, 5000: 1}
"""Data sets per size; the table has the mean of their largest errors."""
FEW = (
    *((d, d, 0.02, 60) for d in (1, 2, 3, 4, 8)),
    *((4, 1, 0.5, 40), (6, 2, 0.5, 60), (8, 3, 0.3, 100), (2, 1, 0.3, 30), (3, 0, 1.0, 30)),
)
"""Hyperparameters, how many of them matter, noise in standard deviations of the sum, observations."""
NOISE_SIZES = (30, 100, 300)
N_MONTE_CARLO = 200_000


def row(what: str, said: str, aim: str = "") -> None:
    """Prints a row of the table."""
    print(f"{what:52} {said:58} {aim}", flush=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Truth:
    """A function and its importances; what is not named has none."""

    space: Callable[[], ConfigurationSpace]
    loss: Callable[[Config], float]
    main: Mapping[str, float]
    pairs: Mapping[tuple[str, str], float]


def flat() -> ConfigurationSpace:
    """25 hyperparameters."""
    space = ConfigurationSpace()
    space.add(
        *[Float(f"x{i}", (0.0, 1.0)) for i in range(15)],
        *[Categorical(f"b{i}", ["on", "off"]) for i in range(4)],
        *[Categorical(f"c{i}", ["0", "1", "2"]) for i in range(3)],
        *[Categorical(f"d{i}", ["0", "1", "2", "3"]) for i in range(3)],
    )
    return space


def conditional() -> ConfigurationSpace:
    """With x0 active where b0 is on."""
    space = flat()
    space.add(EqualsCondition(space["x0"], space["b0"], "on"))
    return space


def nested() -> ConfigurationSpace:
    """With x1 below b0, x2 below x1 and b1, and x3 unless both b0 and b1 are on."""
    space = flat()
    space.add(
        EqualsCondition(space["x1"], space["b0"], "on"),
        AndConjunction(GreaterThanCondition(space["x2"], space["x1"], 0.5), EqualsCondition(space["x2"], space["b1"], "on")),
        OrConjunction(EqualsCondition(space["x3"], space["b0"], "off"), EqualsCondition(space["x3"], space["b1"], "off")),
    )
    return space


def logarithmic() -> ConfigurationSpace:
    """With a learning rate beside the others."""
    space = flat()
    space.add(Float("lr", (1e-5, 1e-1), log=True))
    return space


TRUTHS: Mapping[str, Truth] = {
    "x + y - 4 x y": Truth(
        space=flat,
        loss=lambda c: c["x0"] + c["x1"] - 4 * c["x0"] * c["x1"],
        main={"x0": 0.3, "x1": 0.3},
        pairs={("x0", "x1"): 0.4},
    ),
    "four levels, a float, one in one level": Truth(
        space=flat,
        loss=lambda c: [0, 1, 0, 2][int(c["d0"])] + 2 * c["x1"] + (3 * (c["x2"] - 0.5) if c["d0"] == "3" else 0),
        # variances: levels 11/16, float 4/12, the third term 9/48, of which 9/192 belongs to x2 alone
        main={"d0": (11 / 16) / (29 / 24), "x1": (1 / 3) / (29 / 24), "x2": (9 / 192) / (29 / 24)},
        pairs={("d0", "x2"): (27 / 192) / (29 / 24)},
    ),
    "a condition": Truth(
        space=conditional,
        loss=lambda c: c["x1"] + (1 + 3 * (c["x0"] - 0.5) if "x0" in c else 0),
        main={"b0": (1 / 4) / (17 / 24), "x0": (9 / 48) / (17 / 24), "x1": (1 / 12) / (17 / 24)},
        pairs={("b0", "x0"): (9 / 48) / (17 / 24)},
    ),
    "nested conditions with and, or": Truth(
        space=nested,
        loss=lambda c: c["x0"] + 2 * (c.get("x1", 0.5) - 0.5) + 6 * (c.get("x2", 0.5) - 0.5) + 2 * (c.get("x3", 0.5) - 0.5),
        # active with probability 1/2, 1/8, 3/4: P² s²/12 is a main effect; pairs: x1's other half, of x2 and x3 what one switch decides
        main={"x0": (1 / 12) / (7 / 8), "x1": (1 / 12) / (7 / 8), "x2": (3 / 64) / (7 / 8), "x3": (3 / 16) / (7 / 8)},
        pairs={
            ("b0", "x1"): (1 / 12) / (7 / 8),
            ("b0", "x2"): (3 / 64) / (7 / 8),
            ("b1", "x2"): (3 / 64) / (7 / 8),
            ("x1", "x2"): (3 / 64) / (7 / 8),
            ("b0", "x3"): (1 / 48) / (7 / 8),
            ("b1", "x3"): (1 / 48) / (7 / 8),
        },
    ),
    "log10(lr) + 2 x": Truth(space=logarithmic, loss=lambda c: math.log10(c["lr"]) + 2 * c["x0"], main={"lr": 0.8, "x0": 0.2}, pairs={}),
}


def drawn(truth: Truth, n: int, seed: int) -> tuple[ConfigurationSpace, list[dict[str, Value]], Floats]:
    """A space, n random configurations of it and their losses."""
    space = truth.space()
    encoding = Encoding(space)
    configs = [encoding.sample(1_000_000 * seed + i) for i in range(n)]
    return space, configs, np.array([truth.loss(c) for c in configs], dtype=np.float64)


def errors(found: Importance, truth: Truth) -> tuple[float, float]:
    """The largest error of a main effect, and of a pair."""
    main = max(abs(p["main"] - truth.main.get(p["name"], 0.0)) for p in found["parameters"])
    known = {frozenset(names): share for names, share in truth.pairs.items()}
    return main, max(abs(p["share"] - known.get(frozenset(p["names"]), 0.0)) for p in found["pairs"])


def accuracy(n_datasets: int) -> None:
    """The largest error of any of 25 main effects and 300 pairs."""
    del n_datasets
    for name, truth in TRUTHS.items():
        for n in SIZES:
            found = []
            for seed in range(SEEDS[n]):
                importance = explain(*drawn(truth, n, seed), seed=seed, n_permutations=0, curves=False, n_maps=0).importance
                found.append(errors(importance, truth))
                if "lr" in truth.main:
                    lr = next(p["main"] for p in importance["parameters"] if p["name"] == "lr")
            main, pair = np.mean(found, axis=0)
            aim = {1000: "main <= .03", 5000: "main <= .01"}.get(n, "")
            extra = f"; lr {lr:.3f}" if "lr" in truth.main else ""
            row(f"{name}, n = {n}", f"main {main:.3f}, pair {pair:.3f}{extra} ({SEEDS[n]} data sets)", aim)


def forests(n_datasets: int) -> None:
    """The mean largest error of a main effect under other forests, over all functions, without noise and with half as much again."""
    del n_datasets
    settings = [(features, least) for features in (0.7, 1.0) for least in (1, 2, 3, 5)]
    for n, seeds in ((60, 6), (200, 6), (1000, 2)):
        for noise in (0.0, 0.5):
            for features, least in settings:
                began, off = time.process_time(), []
                for truth in TRUTHS.values():
                    for seed in range(seeds):
                        off.append(_error_of_forest(truth, n, seed, noise=noise, max_features=features, least_in_leaf=least))
                row(
                    f"n = {n}, noise {noise:g}: features {features:g}, leaves of {least}",
                    f"main {np.mean(off):.3f}, {(time.process_time() - began) / len(off):.2f} s ({len(off)} data sets)",
                )


def _error_of_forest(truth: Truth, n: int, seed: int, *, noise: float, **settings: Any) -> float:
    """The largest error of a main effect; noise is in standard deviations of the loss."""
    space, configs, losses = drawn(truth, n, seed)
    losses = losses + np.random.default_rng(seed).normal(0.0, noise * losses.std(), n)
    box = Box(space)
    forest = fit(box, box.points(configs), (losses - losses.mean()) / losses.std(), seed=seed, n_trees=64, **settings)
    found = shares([Effects(leaves, forest.layout.d) for leaves in forest.leaves()], forest.layout, all_pairs=False)
    assert found is not None
    main: dict[str, float] = dict(zip(box.names, found.main.mean(axis=0).tolist(), strict=True))
    return max(abs(share - truth.main.get(name, 0.0)) for name, share in main.items())


def beside_optuna(n_datasets: int) -> None:
    """The same data, given to Optuna's FanovaImportanceEvaluator."""
    del n_datasets
    if importlib.util.find_spec("optuna") is None:
        row("Optuna's FanovaImportanceEvaluator", "not installed: not measured")
        return
    for n in (100, 1000):
        for name, truth in TRUTHS.items():
            space, configs, losses = drawn(truth, n, 0)
            began = time.process_time()
            told = optuna_importances(space, configs, losses)
            took = time.process_time() - began
            names = {*truth.main, *told}
            worst = max(abs(told.get(one, 0.0) - truth.main.get(one, 0.0)) for one in names)
            row(
                f"Optuna {version('optuna')} fANOVA: {name}, n = {n}",
                f"main {worst:.3f}, {took:.1f} s for {len(told)} main effects, no pairs",
            )


def optuna_importances(space: ConfigurationSpace, configs: list[dict[str, Value]], losses: Floats) -> dict[str, float]:
    """What Optuna's evaluator says, with 64 trees."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    kinds = {h.name: optuna_distribution(h) for h in space.values()}
    study = optuna.create_study()
    for config, loss in zip(configs, losses, strict=True):
        study.add_trial(
            optuna.trial.create_trial(params=dict(config), distributions={name: kinds[name] for name in config}, value=float(loss))
        )
    evaluator = optuna.importance.FanovaImportanceEvaluator(n_trees=64, seed=0)
    return dict(evaluator.evaluate(study))


def optuna_distribution(hyperparameter: Hyperparameter[Any, Any]) -> Any:
    """Optuna's name for a range."""
    import optuna

    match hyperparameter:
        case CategoricalHyperparameter():
            return optuna.distributions.CategoricalDistribution(hyperparameter.choices)
        case UniformFloatHyperparameter():
            return optuna.distributions.FloatDistribution(float(hyperparameter.lower), float(hyperparameter.upper), log=hyperparameter.log)
        case _:
            raise TypeError(f"no distribution for {hyperparameter}")


def speed(n_datasets: int) -> None:
    """Fit, all main effects and all pairs of 64 trees in 25 dimensions; and everything that is told."""
    del n_datasets
    for n, aim in ((1000, "< 8 s"), (5000, "< 20 s")):
        for name in ("x + y - 4 x y", "a condition"):
            space, configs, losses = drawn(TRUTHS[name], n, 0)
            box = Box(space)
            began = time.process_time()
            points = box.points(configs)
            forest = fit(box, points, (losses - losses.mean()) / losses.std(), seed=0, n_trees=64)
            shares([Effects(leaves, forest.layout.d) for leaves in forest.leaves()], forest.layout, all_pairs=True)
            took = time.process_time() - began
            began = time.process_time()
            explain(space, configs, losses)
            row(
                f"64 trees, 25 main effects, 300 pairs: {name}, n = {n}",
                f"{took:.1f} s; with totals, curves, threshold {time.process_time() - began:.1f} s",
                aim,
            )


def monte_carlo(n_datasets: int) -> None:
    """Every main effect and every pair against pick-freeze with 200,000 points on the same trees (Sobol 1993)."""
    del n_datasets
    for name in ("x + y - 4 x y", "a condition", "nested conditions with and, or"):
        space, configs, losses = drawn(TRUTHS[name], 300, 0)
        box = Box(space)
        forest = fit(box, box.points(configs), (losses - losses.mean()) / losses.std(), seed=0, n_trees=2)
        leaves = forest.leaves()
        found = shares([Effects(one, forest.layout.d) for one in leaves], forest.layout, all_pairs=True)
        assert found is not None
        assert found.pairs is not None
        main, pairs = by_pick_freeze(space, forest)
        off_main = np.abs(main - found.main.mean(axis=0)).max()
        off_pairs = np.abs(pairs - found.pairs.mean(axis=0)).max()
        volumes = max(abs(one.volumes.sum() - 1) for one in leaves)
        row(f"Monte Carlo on the same trees: {name}", f"main {off_main:.4f}, pair {off_pairs:.4f}, volumes {volumes:.0e}", "<= .01; 1e-9")


def by_pick_freeze(space: ConfigurationSpace, forest: Forest) -> tuple[Floats, Floats]:
    """Mean shares over trees of main effects (d,) and pairs (d, d)."""
    encoding, rng, d = Encoding(space), np.random.default_rng(0), forest.layout.d
    levels = [len(side.chances) if side.chances is not None else 0 for side in forest.layout.box.sides]

    def points() -> Floats:
        return np.stack([rng.integers(k, size=N_MONTE_CARLO) if k else rng.random(N_MONTE_CARLO) for k in levels], axis=1).astype(
            np.float64
        )

    def said(places: Floats) -> Floats:
        return forest.predict(np.where(encoding.active(places), places, np.nan))

    one, other = points(), points()
    at_one = said(one)
    centred, whole = at_one - at_one.mean(axis=1, keepdims=True), at_one.var(axis=1, keepdims=True)

    def common(*columns: int) -> float:
        mixed = other.copy()
        mixed[:, columns] = one[:, columns]
        values = said(mixed)
        return float(((centred * (values - values.mean(axis=1, keepdims=True))) / whole).mean())

    main = np.array([common(j) for j in range(d)])
    pairs = np.zeros((d, d))
    for j in range(d):
        for k in range(j):
            pairs[j, k] = pairs[k, j] = common(j, k) - main[j] - main[k]
    return main, pairs


def lines(n_datasets: int) -> None:
    """The estimate of total effects against one from 8,192 lines through each tree."""
    del n_datasets
    for name in ("x + y - 4 x y", "a condition"):
        space, configs, losses = drawn(TRUTHS[name], 1000, 0)
        box = Box(space)
        forest = fit(box, box.points(configs), (losses - losses.mean()) / losses.std(), seed=0, n_trees=64)
        leaves, d = forest.leaves(), forest.layout.d
        rng, sums = np.random.default_rng(0), np.zeros(d)
        for one in leaves:
            values = one.values - one.values @ one.volumes
            sums += np.mean([totals(one, rng.random((512, d)), values[None])[0] for _ in range(16)], axis=0) / (values**2 @ one.volumes)
        off = [np.abs(total_shares(leaves, (np.inf,), d, seed=seed)[0] - sums / len(leaves)).max() for seed in range(5)]
        row(f"total effects from few lines: {name}, n = 1000", f"largest error {max(off):.4f}, mean {np.mean(off):.4f} (5 seeds)")


def chance(n_datasets: int) -> None:
    """How often anything is claimed of a loss that is noise: of 25 hyperparameters, one of them conditional."""
    for n in NOISE_SIZES:
        claimed = refused = 0
        for seed in range(n_datasets):
            space = conditional()
            encoding = Encoding(space)
            configs = [encoding.sample(1_000_000 * seed + i) for i in range(n)]
            noise = np.random.default_rng([n, seed]).normal(size=n)
            found = explain(space, configs, noise, seed=seed, curves=False, n_maps=0).importance
            claimed += any(p["claimed"] for p in found["parameters"])
            refused += found["refused"] is not None
        row(
            f"noise, n = {n}, 25 hyperparameters",
            f"claims in {claimed} of {n_datasets} data sets ({100 * claimed / n_datasets:.1f} %); refused {refused}",
            "<= 5 %",
        )


def few(n_datasets: int) -> None:
    """What is claimed of sums of few hyperparameters, each as strong as the next, some beside others that do nothing; n observations."""
    for d, real, noise, n in FEW:
        claimed, false, refused = 0, 0, 0
        for seed in range(n_datasets):
            space = ConfigurationSpace()
            space.add(*[Float(f"x{i}", (0.0, 1.0)) for i in range(d)])
            encoding = Encoding(space)
            configs = [encoding.sample(1_000_000 * seed + i) for i in range(n)]
            sums = np.array([sum(float(c[f"x{i}"]) for i in range(real)) for c in configs])
            losses = sums / (sums.std() or 1.0) + noise * np.random.default_rng([d, n, seed]).normal(size=n)
            found = explain(space, configs, losses, seed=seed, curves=False, n_maps=0).importance
            named = {p["name"] for p in found["parameters"] if p["claimed"]}
            claimed += len(named & {f"x{i}" for i in range(real)})
            false += bool(named - {f"x{i}" for i in range(real)})
            refused += found["refused"] is not None
        row(
            f"{real} of {d} matter, noise {noise:g}, n = {n}",
            f"{claimed / n_datasets:.2f} claimed, others in {false} of {n_datasets} data sets; refused {refused}",
            f"{real}, <= 5 %" if real < d else f"{real}",
        )


PARTS: Mapping[str, Callable[[int], None]] = {
    "accuracy": accuracy,
    "forests": forests,
    "monte-carlo": monte_carlo,
    "lines": lines,
    "speed": speed,
    "optuna": beside_optuna,
    "chance": chance,
    "few": few,
}


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=list(PARTS), default=list(PARTS))
    parser.add_argument("--datasets", type=int, default=200, help="of noise, per size")
    arguments = parser.parse_args()
    names = ("numpy", "scipy", "scikit-learn", "ConfigSpace")
    print(
        platform.platform(), f"{os.cpu_count()} cores, Python {platform.python_version()},", ", ".join(f"{n} {version(n)}" for n in names)
    )
    print(f"load {os.getloadavg()}")
    for name in arguments.only:
        PARTS[name](arguments.datasets)
    print(f"load {os.getloadavg()}")


if __name__ == "__main__":
    main()
