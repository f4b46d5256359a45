import csv
import itertools
import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ConfigSpace import AndConjunction
from ConfigSpace.hyperparameters import OrdinalHyperparameter
from scipy.stats import spearmanr
from simulation_fakes import sample

from bohb_nas import refs
from bohb_nas.benchmarks import Problem, _surrogate, load_problem
from bohb_nas.benchmarks.nb301_v0 import SURROGATE as NB301
from bohb_nas.errors import ProblemError
from bohb_nas.records import Status, Value

ROOT = Path(os.environ.get("BOHB_NAS_DATA", "/nowhere")) / "benchmarks"
needs_data = pytest.mark.skipif(not ROOT.is_dir(), reason="needs BOHB_NAS_DATA, the folder that contains benchmarks/")
SURROGATES = ("iaml_super", "lcbench", "nb301_v0", "rbv2_rpart", "rbv2_svm_v0", "rbv2_xgboost")


def stored(family: str, name: str) -> dict[str, Any]:
    value: dict[str, Any] = json.loads((ROOT / family / name).read_text())
    return value


def references() -> list[tuple[str, str]]:
    if not ROOT.is_dir():
        return []
    return [(family, instance) for family in SURROGATES for instance in stored(family, "reference.json")]


def loss(problem: Problem, config: dict[str, Value], rung: int, seed: int = 0) -> float:
    seen = problem.evaluate(config, problem.budgets.rungs[rung], seed=seed).loss
    assert seen is not None
    return seen


def curves(problem: Problem, configs: list[dict[str, Value]]) -> list[list[float]]:
    return [[loss(problem, config, rung) for config in configs] for rung in range(len(problem.budgets.rungs))]


@needs_data
def test_every_folder_is_a_family() -> None:
    assert {path.name for path in ROOT.iterdir() if path.is_dir()} <= set(refs.names("problem"))


@needs_data
@pytest.mark.parametrize(("family", "instance"), references())
def test_reference_values(family: str, instance: str) -> None:
    """Best configuration, random median, rank correlations and median costs, all as reference.json has them."""
    reference = stored(family, "reference.json")[instance]
    problem = load_problem(family if instance == "None" else f"{family}/{instance}")
    best_config = {name: value for name, value in reference["best_config"].items() if name in problem.space}

    def as_loss(value: float) -> float:
        if reference["minimize"]:
            return value
        return (100 if family in {"lcbench", "nb301_v0"} else 1) - value

    assert problem.best == pytest.approx(as_loss(reference["best_known"]), abs=1e-9)
    assert problem.truth(best_config) == pytest.approx(problem.best, abs=1e-4 * abs(problem.median))
    assert problem.median == pytest.approx(as_loss(reference["rand_median"]), abs=1e-9)
    assert problem.mean_cost == reference["mean_cost_full"]
    configs = sample(problem, 1000)
    seen = curves(problem, configs)
    assert np.median(seen[-1]) == pytest.approx(problem.median, abs=0.15 * (problem.median - problem.best))
    assert [spearmanr(low, seen[-1])[0] for low in seen[:-1]] == pytest.approx(reference["spearman_to_full"], abs=0.15)
    costs = [problem.evaluate(config, problem.budgets.rungs[-1], seed=0).cost for config in configs]
    assert min(costs) >= 0.05
    if family != "iaml_super":  # there seconds fall with the budget, and the stored ones are before the running maximum
        assert np.median(costs) == pytest.approx(reference["median_cost"][-1], rel=0.25)


@needs_data
@pytest.mark.parametrize(
    ("name", "low", "high"),
    [
        ("lcbench/126026", 100 - 97, 100 - 54),
        ("nb301_v0", 100 - 95.3, 100 - 93.4),
        ("iaml_super/40981", 0.08, 0.29),
        ("rbv2_xgboost/12", 1 - 0.93, 1 - 0.06),
        ("rbv2_svm_v0/1485", 0.03, 0.69),
        ("fcnet/protein_structure", 0.04, 0.98),
        ("hpobench_mlp/vehicle", 1 - 0.94, 1 - 0.5),
        ("nb201/cifar10", 100 - 91, 100 - 86),
        ("accel_nasbench", 100 - 63, 100 - 53),
    ],
)
def test_half_of_random_configurations_lie_in_the_measured_range(name: str, low: float, high: float) -> None:
    problem = load_problem(name)
    truths = [problem.truth(config) for config in sample(problem, 100)]
    assert sum(low <= truth <= high for truth in truths) >= 50


@needs_data
def test_inputs_are_as_the_readme_says() -> None:
    """Worked out beside the code: codes by the folder's encoding, '#na#' and 0 where inactive, seconds as a running maximum."""
    import onnxruntime

    meta = stored("iaml_super", "meta.json")
    config: dict[str, Value] = {"learner": "glmnet", "glmnet.alpha": 0.25, "glmnet.s": 0.5}
    x_cat = np.array([[1, 1, 0, 0, 0, 0]], dtype=np.int32)  # task_id 1067, learner glmnet, the rest '#na#'
    x_cont = np.zeros((1, 24), dtype=np.float32)
    x_cont[0, meta["cont_order"].index("glmnet.alpha")], x_cont[0, meta["cont_order"].index("glmnet.s")] = 0.25, 0.5
    session = onnxruntime.InferenceSession(str(ROOT / "iaml_super" / "model.onnx"))
    errors, seconds = [], []
    for trainsize in (1 / 27, 1 / 9, 1 / 3, 1):
        x_cont[0, meta["cont_order"].index("trainsize")] = trainsize
        row = session.run(None, {"x_cat": x_cat, "x_cont": x_cont})[0][0]
        errors.append(float(row[meta["outputs"].index("mmce")]))
        seconds.append(max(0.05, float(row[meta["outputs"].index("timetrain")])))
    problem = load_problem("iaml_super/1067")
    seen = [problem.evaluate(config, budget, seed=0) for budget in problem.budgets.rungs]
    assert [s.loss for s in seen] == pytest.approx(errors, rel=1e-4)
    assert [s.cost for s in seen] == pytest.approx(np.maximum.accumulate(seconds), rel=1e-4)


@needs_data
def test_tree_is_evaluated_with_ten_repetitions() -> None:
    import onnxruntime

    meta = stored("rbv2_rpart", "meta.json")
    values = {"cp": 0.01, "maxdepth": 7, "minbucket": 5, "minsplit": 9, "trainsize": 1.0, "repl": 10}
    x_cont = np.array([[values[name] for name in meta["cont_order"]]], dtype=np.float32)
    x_cat = np.array([[meta["encoding"]["task_id"]["14"], 3]], dtype=np.int32)
    session = onnxruntime.InferenceSession(str(ROOT / "rbv2_rpart" / "model.onnx"))
    accuracy = float(session.run(None, {"x_cat": x_cat, "x_cont": x_cont})[0][0, 0])
    problem = load_problem("rbv2_rpart/14")
    config: dict[str, Value] = {"cp": 0.01, "maxdepth": 7, "minbucket": 5, "minsplit": 9, "num.impute.selected.cpo": "impute.median"}
    assert problem.truth(config) == pytest.approx(1 - accuracy, abs=1e-5)
    assert set(problem.space) == set(config)


@needs_data
@pytest.mark.parametrize(
    ("name", "n", "n_conditional"),
    [
        ("lcbench", 7, 0),
        ("rbv2_xgboost", 14, 8),
        ("rbv2_rpart", 5, 0),
        ("nb301_v0", 34, 24),
        ("iaml_super", 28, 27),
        ("rbv2_svm_v0", 6, 2),
        ("jointnb301", 44, 30),
        ("taskset", 8, 0),
        ("fcnet", 9, 0),
        ("hpobench_mlp", 5, 0),
        ("nb201", 6, 0),
        ("accel_nasbench", 28, 0),
    ],
)
def test_dimensions(name: str, n: int, n_conditional: int) -> None:
    space = load_problem(name).space
    assert len(space) == n
    assert len(space.conditional_hyperparameters) == n_conditional


@needs_data
def test_several_parents_are_all_conditions() -> None:
    space = load_problem("iaml_super").space
    (condition,) = space.parent_conditions_of["xgboost.rate_drop"]
    assert isinstance(condition, AndConjunction)
    assert {parent.name for parent in condition.parents} == {"learner", "xgboost.booster"}
    boosters = {config.get("xgboost.booster") for config in sample(load_problem("iaml_super"), 300) if "xgboost.rate_drop" in config}
    assert boosters == {"dart"}


@needs_data
def test_number_of_instances() -> None:
    counts = {
        "lcbench": 17,
        "rbv2_xgboost": 59,
        "rbv2_rpart": 117,
        "iaml_super": 4,
        "rbv2_svm_v0": 96,
        "taskset": 6,
        "fcnet": 2,
        "hpobench_mlp": 4,
    }
    assert {family: len(refs.load_module("problem", family).instances()) for family in counts} == counts
    assert refs.load_module("problem", "lcbench").instances()[0] == "167168"


@needs_data
def test_values_without_a_reference_come_from_random_configurations() -> None:
    problem = load_problem("lcbench/126025")
    truths = np.array([problem.truth(config) for config in sample(problem, 1000)])
    costs = [problem.evaluate(config, 51, seed=0).cost for config in sample(problem, 1000)]
    assert problem.median == pytest.approx(np.median(truths), rel=0.05)
    assert problem.mean_cost == pytest.approx(np.mean(costs), rel=0.1)
    assert problem.best == pytest.approx(truths.min(), rel=0.2)


@needs_data
def test_kept_curves_are_bounded_and_forgetting_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_surrogate, "_KEPT", 3)
    kept, configs = _surrogate.Curves(NB301, "cifar10"), sample(load_problem("nb301_v0"), 10)
    first = [kept(config) for config in configs]
    assert [kept(config) for config in configs] == first
    assert kept._curve.cache_info().currsize == 3


@needs_data
def test_joint_search_adds_recipe_and_lateness_to_the_cells_by_hand() -> None:
    cells, joint = load_problem("nb301_v0"), load_problem("jointnb301")
    architecture = sample(cells, 1)[0]
    depth = 1 + min(3, sum(value == "skip_connect" for value in architecture.values()) // 3)
    best_lr = 10 ** (-5 + 5 * (0.8 - 0.04 * (depth - 3)))
    best: dict[str, Value] = {"optimizer": "sgd", "lr": best_lr, "momentum": 0.9, "weight_decay": 10**-3.8}
    best |= {"augmentation": "randaug", "randaug_n": 2, "randaug_m": 7}
    assert joint.best == pytest.approx(3.35, abs=0.01)
    assert joint.truth(architecture | best) == pytest.approx(cells.truth(architecture))
    worse = best | {"momentum": 0.4}
    assert joint.truth(architecture | worse) == pytest.approx(cells.truth(architecture) + 15 * 0.05 * 0.25)
    late = 12 * (0.5 * 0.5 + 0.5 * 14 / 30)
    assert loss(joint, architecture | best, 0) == pytest.approx(loss(cells, architecture, 0) + late)
    z = 33 / 98
    shortfall = (z**-0.5 - 1) / ((3 / 98) ** -0.5 - 1)
    assert loss(joint, architecture | best, 2) == pytest.approx(loss(cells, architecture, 2) + late * shortfall)
    assert joint.evaluate(architecture | best, 98, seed=0).cost == pytest.approx(1.25 * cells.evaluate(architecture, 98, seed=0).cost)


@needs_data
def test_joint_search_as_measured_elsewhere() -> None:
    problem = load_problem("jointnb301")
    configs = sample(problem, 1000)
    seen = curves(problem, configs)
    assert [spearmanr(low, seen[-1])[0] for low in seen[:-1]] == pytest.approx([0.61, 0.72, 0.88], abs=0.06)
    assert problem.median == pytest.approx(6.58, abs=0.05)
    costs = [problem.evaluate(config, 98, seed=0).cost for config in configs]
    assert np.mean(costs) == pytest.approx(problem.mean_cost, rel=0.03)


@needs_data
def test_taskset_shows_the_nearest_run() -> None:
    name = "FixedTextRNNClassification_imdb_patch32_GRU64_avg_bs128.npz"
    with np.load(ROOT / "taskset" / name) as file:
        hyperparameters, valid = file["hp"], file["valid"]
    problem = load_problem("taskset/patch32_GRU64_avg_bs128")
    for row in (0, 17, 999):
        lr, beta1, beta2, epsilon, l1, l2, linear, exponential = (float(value) for value in hyperparameters[row])
        config: dict[str, Value] = {"learning_rate": lr * 1.0001, "one_minus_beta1": 1 - beta1, "one_minus_beta2": 1 - beta2}
        config |= {"epsilon": epsilon, "l1": l1, "l2": l2, "linear_decay": linear, "exponential_decay": exponential}
        for rung, checkpoint in enumerate((2, 6, 17, 51)):
            assert loss(problem, config, rung) == pytest.approx(float(valid[row, checkpoint - 1]), rel=1e-6)
            assert problem.evaluate(config, problem.budgets.rungs[rung], seed=0).cost == checkpoint
    assert problem.best == pytest.approx(float(valid[:, 50].min()), rel=1e-6)


@needs_data
def test_taskset_runs_without_a_number_have_diverged() -> None:
    with np.load(ROOT / "taskset" / "FixedTextRNNClassification_imdb_patch32_IRNN64_relu_last_bs128.npz") as file:
        hyperparameters, valid = file["hp"], file["valid"]
    problem = load_problem("taskset/patch32_IRNN64_relu_last_bs128")
    row = int(np.flatnonzero(np.isnan(valid[:, 50]) & ~np.isnan(valid[:, 16]))[0])
    names = ["learning_rate", "one_minus_beta1", "one_minus_beta2", "epsilon", "l1", "l2", "linear_decay", "exponential_decay"]
    values = [*hyperparameters[row]]
    values[1:3] = [1 - values[1], 1 - values[2]]
    config: dict[str, Value] = {name: float(value) for name, value in zip(names, values, strict=True)}
    assert problem.evaluate(config, problem.budgets.rungs[2], seed=0).status is Status.OK
    end = problem.evaluate(config, problem.budgets.rungs[3], seed=0)
    assert (end.status, end.loss, end.cost) == (Status.DIVERGED, None, 51)
    assert problem.truth(config) == pytest.approx(float(np.nanquantile(valid[:, 50], 0.9)), rel=1e-6)


@needs_data
@pytest.mark.parametrize(
    ("name", "index", "config", "averaged", "whole"),
    [
        (
            "fcnet/protein_structure",
            (1, 0, 2, 1, 2, 3, 0, 5, 4),
            {"activation_fn_1": "tanh", "activation_fn_2": "relu", "batch_size": 32, "dropout_1": 0.3, "dropout_2": 0.6}
            | {"init_lr": 0.01, "lr_schedule": "cosine", "n_units_1": 512, "n_units_2": 256},
            (1, 2, 4),
            0,
        ),
        (
            "hpobench_mlp/car",
            (9, 3, 1, 2, 6),
            {"alpha": 1, "batch_size": 16, "depth": 2, "learning_rate_init": 0.00012915497, "width": 256},
            (1, 2, 3, 5),
            1,
        ),
        (
            "nb201/cifar10",
            (3, 1, 2, 0, 4, 3),
            {
                "Op0": "nor_conv_3x3",
                "Op1": "skip_connect",
                "Op2": "nor_conv_1x1",
                "Op3": "none",
                "Op4": "avg_pool_3x3",
                "Op5": "nor_conv_3x3",
            },
            (1, 3),
            100,
        ),
    ],
)
def test_tables_average_repetitions(
    name: str, index: tuple[int, ...], config: dict[str, Value], averaged: tuple[int, ...], whole: int
) -> None:
    with np.load(ROOT / f"{name}.npz") as file:
        table = file["y"].astype(float)
    values = table[index][~np.isnan(table[index])]
    losses = whole - values if whole else values
    problem = load_problem(name)
    for budget, n in zip(problem.budgets.rungs, averaged, strict=True):
        subsets = {round(float(np.mean(losses[list(rows)])), 9) for rows in _subsets(len(losses), min(n, len(losses)))}
        seen = {round(problem.evaluate(config, budget, seed=seed).loss or 0.0, 9) for seed in range(60)}
        assert seen <= subsets
        assert len(seen) > 1 or len(subsets) == 1
        assert problem.evaluate(config, budget, seed=0).cost == n
    assert problem.truth(config) == pytest.approx(losses.mean())
    means = np.nanmean(table, axis=-1)
    assert problem.best == pytest.approx(whole - means.max() if whole else means.min())
    assert problem.median == pytest.approx(abs(whole - np.median(means)))


def _subsets(n: int, k: int) -> list[tuple[int, ...]]:
    return list(itertools.combinations(range(n), k))


@needs_data
def test_ordered_values_are_ordinals() -> None:
    space = load_problem("hpobench_mlp").space
    assert all(isinstance(h, OrdinalHyperparameter) for h in space.values())
    alpha = space["alpha"]
    assert isinstance(alpha, OrdinalHyperparameter)
    assert list(alpha.sequence)[-2:] == [0.12915497, 1.0]


@needs_data
def test_accel_nasbench_shows_the_network_itself_and_else_a_near_one() -> None:
    with (ROOT / "accel_nasbench" / "anb.csv").open() as file:
        rows = list(csv.DictReader(file))
    problem = load_problem("accel_nasbench")
    names = list(rows[0])[:28]
    assert len(problem.budgets.rungs) == 1
    for row in rows[:300:50]:
        config: dict[str, Value] = {name: row[name] if name.endswith("_se") else int(row[name]) for name in names}
        assert problem.truth(config) == pytest.approx(100 - float(row["val_top1"]))
        assert problem.evaluate(config, 1, seed=0).cost == pytest.approx(float(row["train_time"]))
    assert problem.best == pytest.approx(100 - max(float(row["val_top1"]) for row in rows))


@pytest.mark.parametrize("family", [f for f in refs.names("problem") if f not in {"condnet", "counting_ones", "hartmann", "rankcross"}])
def test_absent_data_are_named_with_the_remedy(family: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("BOHB_NAS_DATA", raising=False)
    with pytest.raises(ProblemError, match="BOHB_NAS_DATA is not set; set it to the folder that contains benchmarks/"):
        load_problem(family)
    monkeypatch.setenv("BOHB_NAS_DATA", str(tmp_path))
    with pytest.raises(ProblemError, match=rf"{tmp_path}/benchmarks/\S+, which is not there; set BOHB_NAS_DATA to the folder"):
        load_problem(family)


@pytest.mark.parametrize("family", ["fcnet", "nb201", "taskset"])
def test_a_folder_without_tables_is_named(family: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    folder = tmp_path / "benchmarks" / family
    folder.mkdir(parents=True)
    (folder / "README.md").touch()
    monkeypatch.setenv("BOHB_NAS_DATA", str(tmp_path))
    with pytest.raises(ProblemError, match=rf"{folder}' has no file that ends in \.npz; fetch the data again"):
        load_problem(family)


def test_damaged_data_are_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "benchmarks" / "lcbench").mkdir(parents=True)
    (tmp_path / "benchmarks" / "lcbench" / "meta.json").write_text("{")
    monkeypatch.setenv("BOHB_NAS_DATA", str(tmp_path))
    with pytest.raises(ProblemError, match=r"meta\.json' is not JSON .*; fetch the data again"):
        load_problem("lcbench")


@needs_data
def test_absent_runtime_is_named_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    _surrogate._load.cache_clear()
    with pytest.raises(ProblemError, match=r"onnxruntime, which is not installed; run: pip install 'bohb-nas\[benchmarks\]'"):
        load_problem("lcbench")


@needs_data
def test_strange_configurations_are_named() -> None:
    with pytest.raises(
        ProblemError, match=r"problem lcbench/167168: configuration with or without 'rate'; accepted are active values of batch_size"
    ):
        load_problem("lcbench").truth({"rate": 1})
    with pytest.raises(ProblemError, match="'Op0'"):
        load_problem("nb201").truth({})
