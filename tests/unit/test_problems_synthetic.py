import hashlib
import itertools
import math
from collections.abc import Mapping

import numpy as np
import pytest
from scipy.stats import spearmanr
from simulation_fakes import sample

from bohb_nas.benchmarks import Problem, load_problem, rankcross
from bohb_nas.errors import ProblemError, RefError
from bohb_nas.records import Status, Value

CONDNET_OPTIMUM: dict[str, Value] = {
    "depth": 3,
    "op_1": "conv3",
    "width_1": 64,
    "op_2": "sep",
    "width_2": 64,
    "op_3": "sep",
    "width_3": 128,
    "optimizer": "sgd",
    "lr": 0.1,
    "momentum": 0.9,
    "weight_decay": 1e-6 * 1e4**0.55,
    "augmentation": "randaug",
    "randaug_n": 2,
    "randaug_m": 7,
}
HARTMANN_6 = dict(zip([f"x{i}" for i in range(6)], (0.20169, 0.150011, 0.476874, 0.275332, 0.311652, 0.6573), strict=True))


def losses(problem: Problem, configs: list[dict[str, Value]], rung: int, seed: int = 0) -> list[float]:
    seen = [problem.evaluate(config, problem.budgets.rungs[rung], seed=seed).loss for config in configs]
    return [loss for loss in seen if loss is not None]


def spearman_to_full(problem: Problem, n: int = 1000) -> list[float]:
    configs = sample(problem, n)
    curves = [losses(problem, configs, rung) for rung in range(len(problem.budgets.rungs))]
    return [float(spearmanr(curve, curves[-1])[0]) for curve in curves[:-1]]


def test_condnet_optimum_is_5_percent() -> None:
    problem = load_problem("condnet/exact")
    assert problem.best == 0.05
    assert problem.truth(CONDNET_OPTIMUM) == pytest.approx(0.05, abs=1e-12)
    assert problem.evaluate(CONDNET_OPTIMUM, 81, seed=0).loss == pytest.approx(0.05, abs=1e-12)


def test_condnet_low_budget_by_hand() -> None:
    """slow = 0.35 * 2/3 + 0.35 * 0.5 + 0.3 * 14/30; at z = 1/81 the last factor is (9 - 1) / 8."""
    seen = load_problem("condnet/exact").evaluate(CONDNET_OPTIMUM, 1, seed=0)
    assert seen.loss == pytest.approx(0.05 + 0.5 * (0.2 + 0.8 * (0.35 * 2 / 3 + 0.175 + 0.14)))
    assert seen.cost == pytest.approx(1 + 0.5 * (1 + 1 + 0.35 + 0.35 * 4) * 1.25)
    problem = load_problem("condnet/easy")
    easy = [losses(problem, [CONDNET_OPTIMUM], 0, seed)[0] for seed in range(400)]
    assert np.mean(easy) == pytest.approx(0.05 + 0.25 * (0.2 + 0.8 * (0.35 * 2 / 3 + 0.175 + 0.14)), abs=0.005)
    assert np.std(easy) == pytest.approx(0.027, rel=0.15)


def test_condnet_adam_without_augmentation_by_hand() -> None:
    config: dict[str, Value] = {
        "depth": 1,
        "op_1": "skip",
        "optimizer": "adam",
        "lr": 1e-5,
        "one_minus_beta2": 1e-1,
        "weight_decay": 1e-2,
        "augmentation": "none",
    }
    expected = 0.05 + 0.12 + 0.05 + 0.01 + 0.25 * 0.48**2 + 0.02 * (2 / 3) ** 2 + 0.05 * 0.35**2 + 0.04
    assert load_problem("condnet").truth(config) == pytest.approx(expected)


def test_condnet_has_13_conditional_hyperparameters_of_19() -> None:
    space = load_problem("condnet").space
    assert len(space) == 19
    assert len(space.conditional_hyperparameters) == 13


def test_condnet_spearman_and_costs_as_measured_elsewhere() -> None:
    problem = load_problem("condnet/exact")
    assert spearman_to_full(problem) == pytest.approx([0.54, 0.77, 0.94, 0.99], abs=0.06)
    assert spearman_to_full(load_problem("condnet/easy")) == pytest.approx([0.79, 0.93, 0.98, 1.0], abs=0.05)
    configs = sample(problem, 2000)
    costs = [problem.evaluate(config, 81, seed=0).cost for config in configs]
    assert np.quantile(costs, [0.05, 0.5, 0.95]) == pytest.approx([45, 169, 1409], rel=0.12)
    assert problem.median == pytest.approx(0.226, abs=0.003)
    assert np.median([problem.truth(config) for config in configs]) == pytest.approx(problem.median, abs=0.008)
    assert np.mean(costs) == pytest.approx(problem.mean_cost, rel=0.1)


def test_condnet_oom_fails_at_every_budget_in_three_of_ten() -> None:
    problem = load_problem("condnet/oom")
    configs = sample(problem, 2000)
    wide = [sum(int(value) for name, value in config.items() if name.startswith("width")) > 216 for config in configs]
    for budget in problem.budgets.rungs:
        seen = [problem.evaluate(config, budget, seed=0) for config in configs]
        assert [s.status is Status.OUT_OF_MEMORY and s.loss is None and s.cost == 1 for s in seen] == wide
    assert 0.27 < np.mean(wide) < 0.34
    assert np.median([problem.truth(c) for c, w in zip(configs, wide, strict=True) if not w]) == pytest.approx(problem.median, abs=0.01)
    assert np.mean([s.cost for s in seen]) == pytest.approx(problem.mean_cost, rel=0.1)


def test_condnet_oom_best_by_trying_all_widths() -> None:
    u = np.log(np.arange(16, 217) / 16) / np.log(16)
    first, second, third = np.ogrid[:201, :201, :201]
    excess = 0.06 * ((u[first] - 0.5) ** 2 + (u[second] - 0.5) ** 2 + (u[third] - 0.75) ** 2)
    fits = first + second + third + 48 <= 216
    lowest = np.where(fits, excess, np.inf)
    assert load_problem("condnet/oom").best == pytest.approx(0.05 + lowest.min(), abs=1e-7)
    widths = np.array(np.unravel_index(lowest.argmin(), lowest.shape)) + 16
    config = CONDNET_OPTIMUM | {f"width_{i + 1}": int(width) for i, width in enumerate(widths)}
    assert load_problem("condnet/oom").truth(config) == pytest.approx(load_problem("condnet/oom").best, abs=1e-6)


@pytest.mark.parametrize(
    ("instance", "expected"),
    [
        ("0", [0.0, 0.25, 0.5, 0.75]),
        ("3", [0.0, 0.25, 0.5, 0.75]),
        ("mild/1", [0.3, 0.475, 0.65, 0.825]),
        ("late/0", [0, 7 / 16, 0.75, 15 / 16]),
    ],
)
def test_rankcross_pearson_on_the_reference_sample_is_r(instance: str, expected: list[float]) -> None:
    problem = load_problem(f"rankcross/{instance}")
    x, c = rankcross.reference_sample()
    letters = np.array(list("abcd"))[c]
    configs: list[dict[str, Value]] = [
        {**{f"x{i}": float(v) for i, v in enumerate(row)}, "c0": str(a), "c1": str(b)} for row, (a, b) in zip(x, letters, strict=True)
    ]
    full = losses(problem, configs, 4)
    for rung, r in enumerate(expected):
        assert np.corrcoef(losses(problem, configs, rung), full)[0, 1] == pytest.approx(r, abs=1e-9)
    assert np.mean(full) == pytest.approx(0, abs=1e-9)
    assert np.std(full) == pytest.approx(1)
    assert problem.median == pytest.approx(np.median(full))


def test_rankcross_spearman_as_measured_elsewhere() -> None:
    assert spearman_to_full(load_problem("rankcross/0")) == pytest.approx([0.04, 0.29, 0.53, 0.76], abs=0.08)


def test_rankcross_best_is_reached_and_not_beaten_by_local_search() -> None:
    problem = load_problem("rankcross/0")
    rng = np.random.default_rng(0)
    configs: list[Mapping[str, Value]] = [{"c0": a, "c1": b} for a, b in itertools.product("abcd", repeat=2)]
    lowest = math.inf
    for choice in configs:
        point, width = np.full(6, 0.5), 0.3
        here = problem.truth({**choice, **{f"x{i}": float(v) for i, v in enumerate(point)}})
        for _ in range(400):
            trial = np.clip(point + width * rng.standard_normal(6), 0, 1)
            there = problem.truth({**choice, **{f"x{i}": float(v) for i, v in enumerate(trial)}})
            point, here, width = (trial, there, width * 1.3) if there < here else (point, here, width * 0.95)
        lowest = min(lowest, here)
    assert problem.best <= lowest < problem.best + 0.2


def test_counting_ones_by_hand() -> None:
    problem = load_problem("counting_ones/4+4")
    names = [*(f"bit_{i}" for i in range(4)), *(f"probability_{i}" for i in range(4))]
    ones: dict[str, Value] = dict.fromkeys(names, 1)
    zeros: dict[str, Value] = dict.fromkeys(names, 0)
    assert [problem.best, problem.median, problem.mean_cost] == [-8, -4, 729]
    assert list(problem.budgets.rungs) == [9, 27, 81, 243, 729]
    for budget in problem.budgets.rungs:
        assert problem.evaluate(ones, budget, seed=3).loss == -8
        assert problem.evaluate(zeros, budget, seed=3).loss == 0
        assert problem.evaluate(zeros, budget, seed=3).cost == budget
    half: dict[str, Value] = {**zeros, "bit_0": 1, "probability_0": 0.5}
    assert problem.truth(half) == -1.5
    seen = [losses(problem, [half], 0, seed)[0] for seed in range(2000)]
    assert np.mean(seen) == pytest.approx(-1.5, abs=0.02)
    assert np.std(seen) == pytest.approx(math.sqrt(0.25 / 9), rel=0.06)


def test_counting_ones_spearman_as_measured_elsewhere() -> None:
    problem = load_problem("counting_ones/16+16")
    configs = sample(problem, 1000)
    assert spearmanr(losses(problem, configs, 0), [problem.truth(c) for c in configs])[0] == pytest.approx(0.97, abs=0.015)


def test_hartmann_optima_are_the_published_ones() -> None:
    three, six = load_problem("hartmann/3-good"), load_problem("hartmann/6-moderate")
    assert three.best == pytest.approx(-3.86278, abs=1e-5)
    assert six.best == pytest.approx(-3.32237, abs=1e-5)
    assert three.truth({"x0": 0.114614, "x1": 0.555649, "x2": 0.852547}) == pytest.approx(-3.86278, abs=1e-5)
    assert six.truth(HARTMANN_6) == pytest.approx(-3.32237, abs=1e-5)
    assert six.evaluate(HARTMANN_6, 100, seed=5).loss == six.truth(HARTMANN_6)
    assert [six.evaluate(HARTMANN_6, b, seed=5).cost for b in six.budgets.rungs] == pytest.approx([0.050855, 0.061495, 0.153455, 1.0])


@pytest.mark.parametrize(
    ("instance", "expected"),
    [("3-good", [0.25, 0.54, 0.84]), ("3-moderate", [0.07, 0.37, 0.75]), ("6-good", [0.01, 0.22, 0.5]), ("6-moderate", [0.02, 0.12, 0.34])],
)
def test_hartmann_spearman_as_measured_elsewhere(instance: str, expected: list[float]) -> None:
    assert spearman_to_full(load_problem(f"hartmann/{instance}")) == pytest.approx(expected, abs=0.1)


@pytest.mark.parametrize("name", ["condnet", "counting_ones", "hartmann"])
def test_noise_belongs_to_seed_configuration_and_budget(name: str) -> None:
    problem = load_problem(name)
    config, other = sample(problem, 2)
    low = problem.budgets.rungs[0]
    backwards = dict(reversed(list(config.items())))
    first = problem.evaluate(config, low, seed=1)
    problem.evaluate(other, low, seed=1)
    assert load_problem(name).evaluate(backwards, low, seed=1) == first
    assert len({problem.evaluate(config, low, seed=seed).loss for seed in range(20)}) > 5


def test_noise_is_the_same_on_every_machine() -> None:
    """The generator's seed is BLAKE2b of the text, worked out here from its definition."""
    x: dict[str, Value] = {"x0": 0.5, "x1": 0.5, "x2": 0.5}
    text = b"7 [('x0', 0.5), ('x1', 0.5), ('x2', 0.5)] 33"
    seed = int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "little")
    eps = float(np.random.Generator(np.random.PCG64(seed)).standard_normal())
    t = math.log(33) / math.log(100)
    A = np.array([[3, 10, 30], [0.1, 10, 35], [3, 10, 30], [0.1, 10, 35]])
    P = np.array([[0.3689, 0.1170, 0.2673], [0.4699, 0.4387, 0.7470], [0.1091, 0.8732, 0.5547], [0.0381, 0.5743, 0.8828]])
    hills = sum(
        (a - 2.5 * (1 - t)) * math.exp(-sum(A[i, j] * (0.5 - P[i, j]) ** 2 for j in range(3))) for i, a in enumerate([1.0, 1.2, 3.0, 3.2])
    )
    problem = load_problem("hartmann/3-good")
    assert problem.evaluate(x, problem.budgets.rungs[2], seed=7).loss == pytest.approx(-hills + abs(eps) * 2 * (1 - t))


def test_errors_name_the_value_and_what_is_accepted() -> None:
    problem = load_problem("condnet")
    with pytest.raises(ProblemError, match=r"budget 2 is none of its ladder; accepted are 1, 3, 9, 27, 81 epochs"):
        problem.evaluate(CONDNET_OPTIMUM, 2, seed=0)
    with pytest.raises(ProblemError, match="momentum"):
        problem.truth({name: value for name, value in CONDNET_OPTIMUM.items() if name != "momentum"})
    with pytest.raises(ProblemError, match="no instance 'nine'; known: noisy, exact, easy, oom"):
        load_problem("condnet/nine")
    with pytest.raises(RefError, match="unknown problem 'condnets'"):
        load_problem("condnets")
    assert problem.evaluate(CONDNET_OPTIMUM, 27 * (1 + 1e-9), seed=0) == problem.evaluate(CONDNET_OPTIMUM, 27, seed=0)
