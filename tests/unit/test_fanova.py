"""Importances of functions whose true ones are worked out by hand; what is refused; what is told."""

import dataclasses
import json
import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
from ConfigSpace import (
    AndConjunction,
    Categorical,
    ConfigurationSpace,
    Constant,
    EqualsCondition,
    Float,
    ForbiddenAndConjunction,
    ForbiddenEqualsClause,
    GreaterThanCondition,
    Integer,
    OrConjunction,
)
from ConfigSpace.hyperparameters import (
    BetaFloatHyperparameter,
    BetaIntegerHyperparameter,
    IntegerHyperparameter,
    NormalFloatHyperparameter,
    NormalIntegerHyperparameter,
)
from numpy.typing import NDArray
from scipy.stats import beta, chisquare, sobol_indices, uniform
from space_fakes import everything

from bohb_nas.analysis.boxes import of_trees
from bohb_nas.analysis.cells import Box
from bohb_nas.analysis.fanova import Explanation, explain
from bohb_nas.analysis.findings import Parameter
from bohb_nas.analysis.forest import fit
from bohb_nas.analysis.importance import View
from bohb_nas.analysis.importance import parameters as of_view
from bohb_nas.analysis.sample import Sample, sample
from bohb_nas.analysis.shares import Shares, total_shares
from bohb_nas.analysis.totals import totals
from bohb_nas.analysis.uncertainty import thresholds
from bohb_nas.errors import AnalysisError
from bohb_nas.records import Value
from bohb_nas.space.encoding import Encoding

Floats = NDArray[np.float64]
Config = Mapping[str, Any]


def explained(space: ConfigurationSpace, loss: Callable[[Config], float], n: int, **options: Any) -> Explanation:
    encoding = Encoding(space)
    configs = [encoding.sample(seed) for seed in range(n)]
    return explain(space, configs, np.array([loss(c) for c in configs]), **{"n_trees": 16, "n_permutations": 0, "n_maps": 0, **options})


def parameters(found: Explanation) -> dict[str, Parameter]:
    assert found.importance["refused"] is None
    return {p["name"]: p for p in found.importance["parameters"]}


def pair(found: Explanation, one: str, other: str) -> float:
    return next(p["share"] for p in found.importance["pairs"] if set(p["names"]) == {one, other})


def unit(*names: str) -> ConfigurationSpace:
    space = ConfigurationSpace()
    space.add(*[Float(name, (0.0, 1.0)) for name in names])
    return space


def test_a_linear_function_with_an_interaction() -> None:
    # x + y - 4 x y has mean 0; E[f | x] = 1/2 - x varies by 1/12, so does y's; -4 (x - 1/2)(y - 1/2) by 16/144. In all 5/18.
    found = explained(unit("x", "y", "noise"), lambda c: c["x"] + c["y"] - 4 * c["x"] * c["y"], 400, n_permutations=19)
    told = parameters(found)
    assert told["x"]["main"] == pytest.approx(0.3, abs=0.03)
    assert told["y"]["main"] == pytest.approx(0.3, abs=0.03)
    assert pair(found, "x", "y") == pytest.approx(0.4, abs=0.05)
    assert told["x"]["total"] == pytest.approx(0.7, abs=0.05)
    assert told["noise"]["main"] < 0.01
    assert [told[name]["claimed"] for name in ("x", "y", "noise")] == [True, True, False]


def test_a_logarithmic_range_is_searched_on_its_logarithm() -> None:
    # log10(lr) is uniform over a length of 4, variance 16/12; 2 x has 4/12
    space = unit("x")
    space.add(Float("lr", (1e-5, 1e-1), log=True))
    told = parameters(explained(space, lambda c: math.log10(c["lr"]) + 2 * c["x"], 1000))
    assert told["lr"]["main"] == pytest.approx(0.8, abs=0.03)
    assert told["x"]["main"] == pytest.approx(0.2, abs=0.03)


def test_weights_of_levels_are_their_measure() -> None:
    # levels a (0.7), b (0.1), c (0.2) with losses 0, 2, 1: mean 0.4, mean square 0.6, variance 0.44; x: 1/12
    space = unit("x")
    space.add(Categorical("c", ["a", "b", "c"], weights=[0.7, 0.1, 0.2]))
    told = parameters(explained(space, lambda c: {"a": 0, "b": 2, "c": 1}[c["c"]] + c["x"], 300))
    assert told["c"]["main"] == pytest.approx(0.44 / (0.44 + 1 / 12), abs=0.02)


def test_a_condition() -> None:
    # 1[on] (1 + 3 (z - 1/2)) + x: on 1/4, z and its interaction 9/48 each, x 1/12, in all 17/24
    space = unit("x", "z")
    space.add(Categorical("p", ["off", "on"]))
    space.add(EqualsCondition(space["z"], space["p"], "on"))
    found = explained(space, lambda c: c["x"] + (1 + 3 * (c["z"] - 0.5) if "z" in c else 0), 500)
    told, whole = parameters(found), 17 / 24
    assert told["p"]["main"] == pytest.approx(0.25 / whole, abs=0.03)
    assert told["z"]["main"] == pytest.approx(0.1875 / whole, abs=0.03)
    assert pair(found, "p", "z") == pytest.approx(0.1875 / whole, abs=0.03)
    assert told["z"]["with_parents"] == pytest.approx(0.375 / whole, abs=0.05)
    assert told["z"]["p_active"] == 0.5
    assert told["z"]["n_active"] == pytest.approx(250, abs=50)
    # where it is active, z has 9/12 of 9/12 + 1/12
    assert told["z"]["when_active"] == pytest.approx(0.9, abs=0.03)
    assert [p["name"] for p in found.importance["parameters"]][:2] == ["z", "p"]


def nested() -> ConfigurationSpace:
    space = unit("x", "v", "u", "w")
    space.add(Categorical("a", ["on", "off"]), Categorical("b", ["on", "off"]))
    space.add(
        EqualsCondition(space["v"], space["a"], "on"),
        AndConjunction(GreaterThanCondition(space["u"], space["v"], 0.5), EqualsCondition(space["u"], space["b"], "on")),
        OrConjunction(EqualsCondition(space["w"], space["a"], "off"), EqualsCondition(space["w"], space["b"], "off")),
    )
    return space


def nested_loss(c: Config) -> float:
    return float(c["x"] + 2 * (c.get("v", 0.5) - 0.5) + 6 * (c.get("u", 0.5) - 0.5) + 2 * (c.get("w", 0.5) - 0.5))


def test_nested_conditions_with_and_and_or() -> None:
    # u exists with probability 1/8, v 1/2, w 3/4; a term s (z - 1/2) varies by P s²/12, of which P² s²/12 is its main effect:
    # u 3/8 and 3/64, v 1/6 and 1/12, w 1/4 and 3/16; x 1/12; in all 7/8
    found = explained(nested(), nested_loss, 1500)
    told, whole = parameters(found), 7 / 8
    assert [told[name]["p_active"] for name in "xvuwab"] == [1, 0.5, 0.125, 0.75, 1, 1]
    for name, main, grouped in (("u", 3 / 64, 3 / 8), ("v", 1 / 12, 1 / 6), ("w", 3 / 16, 1 / 4), ("x", 1 / 12, 1 / 12)):
        assert told[name]["main"] == pytest.approx(main / whole, abs=0.03)
        assert told[name]["with_parents"] == pytest.approx(grouped / whole, abs=0.05)
    assert told["a"]["main"] < 0.01
    # averaged over a, the terms of u and w keep 3/16 and 5/24, that of v its main effect: what is lost is a's
    assert told["a"]["total"] == pytest.approx((3 / 16 + 1 / 24 + 1 / 12) / whole, abs=0.05)
    assert told["b"]["total"] == pytest.approx((3 / 16 + 1 / 24) / whole, abs=0.05)


def test_total_effects_agree_with_sobol_indices_on_the_same_tree() -> None:
    space = nested()
    encoding, box = Encoding(space), Box(space)
    configs = [encoding.sample(seed) for seed in range(300)]
    forest = fit(box, box.points(configs), np.array([nested_loss(c) for c in configs]), seed=0, n_trees=1)
    tree, layout = forest.trees[0], forest.layout

    def function(places: Floats) -> Floats:
        points = np.array(places.T)
        for j in (layout.box.names.index("a"), layout.box.names.index("b")):
            order = layout.orders[j]
            assert order is not None
            points[:, j] = order[(points[:, j] >= 0.5).astype(int)]
        points = np.where(encoding.active(points), points, np.nan)
        return np.asarray(forest.predict(points))

    expected = sobol_indices(func=function, n=4096, dists=[uniform()] * layout.d, random_state=0)
    (leaves,) = of_trees([tree], layout)
    values = leaves.values - leaves.values @ leaves.volumes
    through = np.random.default_rng(0).random((4096, layout.d))
    found = totals(leaves, through, values[None])[0] / (values**2 @ leaves.volumes)
    assert found == pytest.approx(np.ravel(expected.total_order), abs=0.03)


def test_trees_without_a_variance_do_not_count_in_total_effects() -> None:
    space = unit("x", "y")
    configs = [Encoding(space).sample(seed) for seed in range(40)]
    box = Box(space)
    tree, _ = fit(box, box.points(configs), np.array([float(c["x"]) for c in configs]), seed=0, n_trees=2).leaves()
    last_digit = np.spacing(1.0) * (np.arange(len(tree.values)) % 2)
    flat = dataclasses.replace(tree, values=1.0 + last_digit)
    assert total_shares([tree, flat], [math.inf], 2, seed=0) == pytest.approx(total_shares([tree], [math.inf], 2, seed=0))


def test_a_total_effect_is_never_below_those_that_are_part_of_it() -> None:
    """Those are exact, and it is a mean over lines."""
    space = unit("x", "y", "z")
    configs = [Encoding(space).sample(seed) for seed in range(40)]
    box = Box(space)
    sampled = sample(box, configs, np.array([float(c["x"]) for c in configs]))
    assert isinstance(sampled, Sample)
    forest = fit(box, sampled.points, sampled.losses, seed=0, n_trees=2)
    found = Shares(main=np.array([[0.2, 0.3, 0.1]]), with_parents=np.array([[0.4, 0.25, 0.1]]), pairs=None)
    total = np.array([0.1, 0.1, 0.9])
    view = View(sample=sampled, layout=forest.layout, leaves=forest.leaves(), found=found, threshold=None, total=total)
    assert {p["name"]: p["total"] for p in of_view(view, curves=False)} == {"x": 0.4, "y": 0.3, "z": 0.9}


def test_hyperparameters_of_their_own_distribution_are_measured_by_it() -> None:
    # a loss of 1 where z <= 0.3, of probability F(0.3): variance F (1 - F); x: 1/12
    space = unit("x")
    space.add(BetaFloatHyperparameter("z", alpha=2, beta=5, lower=0.0, upper=1.0))
    chance = beta(2, 5).cdf(0.3)
    told = parameters(explained(space, lambda c: c["x"] + (c["z"] <= 0.3), 300))
    assert told["z"]["main"] == pytest.approx(chance * (1 - chance) / (chance * (1 - chance) + 1 / 12), abs=0.02)


def test_a_normal_hyperparameter_has_its_mean_in_the_middle_of_its_side() -> None:
    space = ConfigurationSpace()
    space.add(NormalFloatHyperparameter("r", 0, 1, lower=-1, upper=1), Float("x", (0.0, 1.0)))
    box = Box(space)
    r = box.names.index("r")
    # a third of a normal cut off at -1 and 1 lies above 0.3028: (Phi(0.3028) - 1/2) / (Phi(1) - 1/2) = 0.1190 / 0.3413
    assert box.points([{"r": 0.0, "x": 0.5}, {"r": 0.3028, "x": 0.5}])[:, r] == pytest.approx([0.5, 0.5 + 0.1190 / 0.3413 / 2], abs=1e-3)
    assert box.values(r, np.array([0.5])) == [pytest.approx(0.0, abs=1e-9)]


def test_a_logarithmic_integer_is_measured_as_configspace_draws_it() -> None:
    # 1 3^u, of which [1, 3] is cut into three equal parts: 1 up to 5/3, 2 up to 7/3
    space = unit("x")
    space.add(Integer("n", (1, 3), log=True))
    box = Box(space)
    expected = [math.log(5 / 3) / math.log(3), math.log(7 / 5) / math.log(3), math.log(9 / 7) / math.log(3)]
    assert box.sides[box.names.index("n")].chances == pytest.approx(expected)


@pytest.mark.parametrize(("lower", "upper"), [(1, 6), (1, 16), (2, 40)])
def test_logarithmic_integers_are_drawn_as_they_are_measured(lower: int, upper: int) -> None:
    space = ConfigurationSpace(seed=0)
    space.add(Integer("n", (lower, upper), log=True))
    chances = Box(space).sides[0].chances
    assert chances is not None
    n = 40_000
    drawn = np.array([c["n"] for c in space.sample_configuration(n)])
    assert chisquare(np.bincount(drawn - lower, minlength=upper - lower + 1), n * chances).pvalue > 1e-3


def test_a_long_logarithmic_integer_lies_where_configspace_draws_it() -> None:
    space = ConfigurationSpace(seed=0)
    space.add(Integer("n", (1, 1000), log=True))
    box = Box(space)
    n = 40_000
    drawn = np.array([c["n"] for c in space.sample_configuration(n)])
    values = [1, 2, 3, 10, 100, 999]
    for value, place in zip(values, box.points([{"n": value} for value in values])[:, 0].tolist(), strict=True):
        below, among = (drawn < value).mean(), (drawn <= value).mean()
        error = 4 * 0.5 / n**0.5
        assert below - error < place < among + error
    assert box.values(0, np.linspace(0.0, 1.0, 1001)) == sorted(box.values(0, np.linspace(0.0, 1.0, 1001)), key=int)
    assert [box.values(0, box.points([{"n": value}])[:, 0]) for value in values] == [[value] for value in values]
    # P(n = 1): up to 1.999 of 1000^u
    assert box.values(0, math.log(1.999) / math.log(1000) + np.array([-1e-4, 1e-4])) == [1, 2]


@pytest.mark.parametrize(("upper", "above"), [(20, 4), (1000, 30)])
def test_what_a_logarithmic_integer_switches_on_is_active_as_often_as_it_is_drawn(upper: int, above: int) -> None:
    space = unit("x", "child")
    space.add(Integer("n", (1, upper), log=True))
    space.add(GreaterThanCondition(space["child"], space["n"], above))
    told = parameters(explained(space, lambda c: c["x"] + c["n"], 60))
    # n > above: from 1 + above (upper - 1) / upper on
    assert told["child"]["p_active"] == pytest.approx(1 - math.log(1 + above * (upper - 1) / upper) / math.log(upper), abs=1e-6)


@pytest.mark.parametrize(
    "kind", [NormalIntegerHyperparameter("n", 3, 1, lower=1, upper=5), BetaIntegerHyperparameter("n", 2, 2, lower=1, upper=5)]
)
def test_integers_of_their_own_distribution_are_refused(kind: IntegerHyperparameter) -> None:
    space = unit("x")
    space.add(kind)
    configs: list[dict[str, Value]] = [{"x": i / 20, "n": 3} for i in range(20)]
    found = explain(space, configs, np.arange(20.0))
    assert "follow another distribution" in str(found.importance["refused"])


def test_curves_are_in_the_hyperparameters_own_unit() -> None:
    space = unit("x")
    space.add(
        Float("lr", (1e-4, 1.0), log=True), Integer("depth", (1, 4)), Integer("width", (1, 4096), log=True), Categorical("c", ["a", "b"])
    )
    told = parameters(explained(space, lambda c: math.log10(c["lr"]) + c["depth"] + (c["c"] == "b"), 300))
    lr, depth, width, c = (told[name]["curve"] for name in ("lr", "depth", "width", "c"))
    assert lr is not None
    assert depth is not None
    assert width is not None
    assert c is not None
    assert len(lr["at"]) == 64
    assert lr["at"][:2] == pytest.approx([10 ** (-4 + 4 / 128), 10 ** (-4 + 12 / 128)])
    assert np.polyfit(lr["place"], lr["mean"], 1)[0] == pytest.approx(4, rel=0.1)
    assert depth["at"] == [1, 2, 3, 4]
    assert depth["place"] == pytest.approx([1 / 8, 3 / 8, 5 / 8, 7 / 8])
    assert np.diff(depth["mean"]) == pytest.approx([1, 1, 1], abs=0.25)
    assert width["at"] == sorted(set(width["at"]))  # small integers fill several intervals of the grid, and stand there once
    assert c["at"] == ["a", "b"]
    assert c["place"] == [0, 1]
    assert c["mean"][1] - c["mean"][0] == pytest.approx(1, abs=0.2)
    assert (np.array(lr["low"]) <= lr["mean"]).all()


def test_everything_that_is_told_is_json() -> None:
    space = everything()
    encoding = Encoding(space)
    found = explained(space, lambda c: c["rate"] + c.get("inner", 0), 60, n_trees=4, n_maps=6)
    told = json.loads(json.dumps(found.importance, allow_nan=False))
    assert {p["name"] for p in told["parameters"]} == set(encoding.names)
    assert len(told["pairs"]) == len(encoding.names) * (len(encoding.names) - 1) // 2
    assert told["good"]["n_below"] == 15
    never = next(p for p in told["parameters"] if p["name"] == "not_of_fixed")
    assert (never["p_active"], never["main"], never["when_active"], never["curve"]) == (0, 0, None, None)


def test_the_good_region_is_where_the_loss_is_below_the_cut() -> None:
    # of 300 losses the 75 below about 0.25 count as they are: x, which acts only beyond 1, matters not
    space = unit("x", "y")
    found = explained(space, lambda c: c["y"] if c["y"] < 0.5 else 1 + 10 * c["x"], 300)
    assert found.importance["good"] is not None
    assert found.importance["good"]["cutoff"] == pytest.approx(0.25, abs=0.05)  # two standard errors of a quartile of 300
    assert found.importance["good"]["n_below"] == 75
    assert found.importance["good"]["threshold"] is None  # nothing was shuffled
    good = {p["name"]: p for p in found.importance["good"]["parameters"]}
    assert good["y"]["main"] > 0.9
    assert good["x"]["total"] < 0.05
    # on the whole: y chooses between means of 1/4 and 6, x acts on a half: 100/24 of 5.75²/4 + 100/24 and the little that y does below
    assert parameters(found)["x"]["total"] == pytest.approx((100 / 24) / (5.75**2 / 4 + 100 / 24 + 1 / 96), abs=0.04)


def test_a_loss_on_the_cut_is_good() -> None:
    """Of 41 losses the first quartile is the eleventh."""
    configs: list[dict[str, Value]] = [{"x": i / 40} for i in range(41)]
    good = explain(unit("x"), configs, np.arange(41.0), n_trees=8, n_permutations=0, n_maps=0).importance["good"]
    assert good is not None
    assert good["n_below"] == 11
    assert good["cutoff"] == pytest.approx(10.0)


@pytest.mark.parametrize("floor", [0.0, 0.1])
def test_where_a_quarter_shares_the_lowest_loss_nothing_is_said_of_the_good_region(floor: float) -> None:
    """Cut off there, all losses are equal; means of equal ones differ in their last digits, which is no variance."""
    found = explained(unit("x", "y"), lambda c: max(floor, c["x"] - 0.4 + floor), 120, n_permutations=19)
    assert found.importance["good"] is None
    assert parameters(found)["x"]["claimed"]


def test_a_tiny_region_that_is_good_is_no_rounding() -> None:
    """Its part of the volume is 10^-27, and losses there differ from those around it as much as losses do."""
    rng, width = np.random.default_rng(0), 1e-6
    inside = 0.37 + width * rng.uniform(-1, 1, (300, 5))
    around = 0.37 + width * rng.uniform(-1, 1, (10, 30, 5))
    for side, points in enumerate(around):
        points[:, side // 2] = 0.37 + (-1) ** side * width * rng.uniform(1.5, 6, 30)
    rows = np.concatenate([inside, *around])
    configs: list[dict[str, Value]] = [{f"x{k}": float(v) for k, v in enumerate(row)} for row in rows]
    losses = np.where(np.arange(len(rows)) < len(inside), 0.1, 1.0)
    space = ConfigurationSpace({f"x{k}": (0.0, 1.0) for k in range(5)})
    found = explain(space, configs, losses, n_permutations=0, n_maps=0).importance
    assert (found["refused"], len(found["parameters"])) == (None, 5)


def test_two_losses_have_no_good_region_and_the_threshold_of_shuffled_losses() -> None:
    """Nothing in doubt is left, so no values are shuffled; of what shuffled losses share out, one of two has about half."""
    found = explained(unit("x", "y"), lambda c: 0.1 if c["x"] < 0.7 else 1.0, 120, n_permutations=19)
    assert found.importance["good"] is None
    assert found.importance["threshold"] is not None
    assert found.importance["threshold"] > 0.3


def test_where_losses_are_equal_wherever_a_hyperparameter_is_active_it_has_no_share_there() -> None:
    space = ConfigurationSpace()
    space.add(Float("y", (0.0, 1.0)), family := Categorical("family", ["flat", "steep"]), x := Float("x", (0.0, 1.0)))
    space.add(EqualsCondition(x, family, "flat"))
    found = explained(space, lambda c: 0.1 if c["family"] == "flat" else 0.1 + 2 * c["y"], 120)
    assert parameters(found)["x"]["when_active"] is None


def test_the_good_region_tells_the_threshold_that_its_claims_go_by() -> None:
    found = explained(unit("x", "y"), lambda c: c["x"] + 0.3 * c["y"], 60, n_permutations=19)
    good, whole = found.importance["good"], found.importance["threshold"]
    assert good is not None
    threshold = good["threshold"]
    assert threshold is not None
    assert 0 < threshold < 1
    assert threshold != whole
    assert [p["claimed"] for p in good["parameters"]] == [p["with_parents"] > threshold for p in good["parameters"]]


@pytest.mark.parametrize("names", ["x", "xyz"])
def test_each_of_few_hyperparameters_that_all_matter_is_claimed(names: str) -> None:
    """Whatever is shuffled, one hyperparameter alone has all of a forest's variance, and two have much of it each."""
    found = explained(unit(*names), lambda c: sum(c[name] for name in names), 50, n_permutations=19)
    assert [p["claimed"] for p in found.importance["parameters"]] == [True] * len(names)
    assert found.importance["good"] is not None
    assert found.importance["good"]["parameters"][0]["claimed"]


def test_what_does_nothing_beside_what_matters_is_not_claimed() -> None:
    noise = np.random.default_rng(0).normal(0.0, 0.1, 80)
    space, configs = unit("x", "y", "z"), [Encoding(unit("x", "y", "z")).sample(seed) for seed in range(80)]
    found = explain(space, configs, np.array([float(c["y"]) for c in configs]) + noise, n_trees=16, n_maps=0)
    assert {name: told["claimed"] for name, told in parameters(found).items()} == {"y": True, "x": False, "z": False}


def test_values_are_shuffled_with_what_depends_on_them() -> None:
    space = unit("z")
    space.add(Categorical("p", ["off", "on"]))
    space.add(EqualsCondition(space["z"], space["p"], "on"))
    found = explained(space, lambda c: 2.0 if c["p"] == "off" else float(c["z"]), 80, n_permutations=19)
    assert {name: told["claimed"] for name, told in parameters(found).items()} == {"p": True, "z": True}


@pytest.mark.parametrize(("names", "lower"), [("stuvwxyz", True), ("rstuvwxyz", False)])
def test_values_are_shuffled_among_up_to_eight_hyperparameters(names: str, *, lower: bool) -> None:
    """Where one alone is in doubt, and has more than could be claimed of chance in any case."""
    box = Box(unit(*names))
    points = np.random.default_rng(0).random((40, len(names)))
    clear, in_doubt = np.ones((1, len(names))), np.array([[*[1.0] * (len(names) - 1), 0.03]])
    of_losses, of_both = (
        thresholds(box, points, points[:, 0], [math.inf], found, seed=0, n_permutations=19)[0] for found in (clear, in_doubt)
    )
    assert of_both < of_losses if lower else of_both == of_losses


def test_claims_are_of_effects_with_parents_and_from_two_percent_on() -> None:
    """The depth, which acts a quarter of the time, has about 3 %, a quarter of which is its main effect."""
    space = unit("x", "depth")
    space.add(Categorical("kind", ["a", "b"], weights=[1, 3]))
    space.add(EqualsCondition(space["depth"], space["kind"], "a"))
    found = explained(space, lambda c: c["x"] + c.get("depth", 0.5), 100, n_permutations=19, curves=False)
    depth = parameters(found)["depth"]
    assert depth["main"] < 0.02 < depth["with_parents"]
    assert (found.importance["threshold"], depth["claimed"]) == (0.02, True), "shuffled depths reach less than that"


def test_a_threshold_is_a_share_where_hardly_anything_is_predicted() -> None:
    """Nothing is predicted of what is good, of which shuffled values reach an endless share: what shuffled losses reach counts."""
    space, noise = unit("x", "y"), np.random.default_rng(0).normal(0.0, 0.5, 40)
    configs = [Encoding(space).sample(seed) for seed in range(40)]
    losses = np.array([float(c["x"]) for c in configs]) + noise
    good = explain(space, configs, losses, n_trees=16, n_permutations=19, curves=False, n_maps=0).importance["good"]
    assert good is not None
    assert good["threshold"] is not None
    assert 0.02 < good["threshold"] < 1


def test_predictions_are_losses() -> None:
    found = explained(unit("x"), lambda c: 1000 + c["x"], 200)
    predicted = found.predict([{"x": 0.25}, {"x": 0.75}])
    assert predicted.shape == (16, 2)
    assert predicted.mean(axis=0) == pytest.approx([1000.25, 1000.75], abs=0.05)


def test_equal_configurations_count_once() -> None:
    space = unit("x", "z")
    space.add(Categorical("p", ["off", "on"]))
    space.add(EqualsCondition(space["z"], space["p"], "on"))
    configs: list[dict[str, Value]] = [{"x": i / 40, "p": "off"} if i % 2 else {"x": i / 40, "p": "on", "z": 0.5} for i in range(40)]
    found = explain(space, configs * 2, np.concatenate([np.arange(40.0), np.arange(40.0) + 2]), n_trees=8, n_permutations=0)
    assert found.importance["n"] == 40
    told = parameters(found)
    assert (told["x"]["n_active"], told["z"]["n_active"]) == (40, 20)
    curve = told["x"]["curve"]
    assert curve is not None
    assert np.mean(curve["mean"]) == pytest.approx(19.5 + 1, abs=1.5)


def test_huge_losses_do_not_overflow() -> None:
    small = explained(unit("x", "y"), lambda c: c["x"] - 0.5, 100)
    huge = explained(unit("x", "y"), lambda c: 1.7e308 * (2 * c["x"] - 1), 100)
    assert parameters(huge)["x"]["main"] == pytest.approx(parameters(small)["x"]["main"], rel=1e-3)
    curve = parameters(huge)["x"]["curve"]
    assert curve is not None
    assert curve["mean"][-1] == pytest.approx(1.7e308 * 0.98, rel=0.1)


@pytest.mark.parametrize(
    ("n", "loss", "reason"),
    [
        (0, lambda c: c["x"], "no configuration"),
        (9, lambda c: c["x"], "9 different configurations; at least 10"),
        (50, lambda c: 0.1, "all losses are equal"),
        (50, lambda c: math.sin(1e9 * c["x"]), "no better than the mean"),
    ],
)
def test_what_is_refused(n: int, loss: Callable[[Config], float], reason: str) -> None:
    found = explained(unit("x"), loss, n)
    assert reason in str(found.importance["refused"])
    assert (found.importance["n"], found.importance["parameters"], found.importance["pairs"]) == (n, [], [])
    with pytest.raises(AnalysisError, match="no prediction"):
        found.predict([{"x": 0.5}])


def test_a_space_without_a_choice_is_refused() -> None:
    space = ConfigurationSpace()
    space.add(Constant("three", 3), Categorical("only", ["x"]))
    found = explain(space, [{"three": 3, "only": "x"}] * 20, np.arange(20.0))
    assert found.importance["refused"] == "every hyperparameter of the space has one value"


def test_configurations_without_any_difference_are_refused() -> None:
    found = explain(unit("x"), [{"x": 0.5}] * 20, np.arange(20.0))
    assert "1 different configuration;" in str(found.importance["refused"])


def test_shuffles_have_to_be_enough_for_a_threshold() -> None:
    with pytest.raises(AnalysisError, match="18 shuffles"):
        explained(unit("x"), lambda c: c["x"], 50, n_permutations=18)
    unknown = explained(unit("x"), lambda c: c["x"], 50, n_permutations=0)
    assert unknown.importance["threshold"] is None
    assert not parameters(unknown)["x"]["claimed"]


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_losses_have_to_be_finite(bad: float) -> None:
    with pytest.raises(AnalysisError, match="not finite"):
        explain(unit("x"), [{"x": 0.5}], np.array([bad]))


def test_hyperparameters_with_one_value_have_no_row() -> None:
    space = unit("x")
    space.add(Constant("three", 3), Categorical("only", ["x"]))
    assert set(parameters(explained(space, lambda c: c["x"], 50))) == {"x"}


def test_what_the_space_would_not_say_is_taken_as_it_is() -> None:
    """A log of old in which z is missing where it should be: it counts as inactive, and the box stays whole."""
    space = unit("x", "z")
    space.add(Categorical("p", ["off", "on"]))
    space.add(EqualsCondition(space["z"], space["p"], "on"))
    rng = np.random.default_rng(0)
    configs: list[dict[str, Value]] = [
        {"x": float(rng.random()), "p": "on", **({"z": float(rng.random())} if i % 2 else {})} for i in range(80)
    ]
    found = explain(space, configs, np.array([float(c.get("z", 2)) + float(c["x"]) for c in configs]), n_trees=8, n_permutations=0)
    told = parameters(found)
    assert told["z"]["n_active"] == 40
    assert all(0 <= p["main"] <= p["total"] <= 1.05 for p in told.values())


def test_forbidden_combinations_are_part_of_the_box() -> None:
    # without the clause a is worth 1/4 of 1/4 + 1/12 + …; the box does not know of it
    space = unit("x")
    space.add(Categorical("a", ["p", "q"]), Categorical("b", ["p", "q"]))
    space.add(ForbiddenAndConjunction(ForbiddenEqualsClause(space["a"], "q"), ForbiddenEqualsClause(space["b"], "q")))
    rng = np.random.default_rng(0)
    configs: list[dict[str, Value]] = [
        {"x": float(rng.random()), **dict(zip("ab", ab, strict=True))} for ab in ("pp", "pq", "qp") for _ in range(60)
    ]
    found = explain(space, configs, np.array([(c["a"] == "q") + float(c["x"]) for c in configs]), n_trees=16, n_permutations=0)
    assert parameters(found)["a"]["main"] == pytest.approx(0.25 / (0.25 + 1 / 12), abs=0.03)


def test_the_same_seed_says_the_same() -> None:
    one, other = (explained(unit("x", "y"), lambda c: c["x"], 40, seed=3, n_permutations=19).importance for _ in range(2))
    assert one == other


@pytest.mark.slow
def test_chance_is_seldom_claimed() -> None:
    """At 5 % in truth, more than 4 of 30 have a probability of 1.6 %."""
    space = unit(*"stuvwxyz")
    encoding = Encoding(space)
    claimed = 0
    for seed in range(30):
        configs = [encoding.sample(1000 * seed + i) for i in range(30)]
        noise = np.random.default_rng(seed).normal(size=30)
        found = explain(space, configs, noise, seed=seed, n_trees=32, n_permutations=30, curves=False, n_maps=0).importance
        claimed += any(p["claimed"] for p in found["parameters"])
    assert claimed <= 4
