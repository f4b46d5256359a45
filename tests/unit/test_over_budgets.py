"""Losses of all budgets on one scale, by hand; and a loss that is the same at every budget has the marginal that it has at one."""

from collections.abc import Mapping, Sequence

import numpy as np
import pytest
from analysis_fakes import Forest
from analysis_fakes import explain as explain_nothing
from ConfigSpace import ConfigurationSpace, Float

from bohb_nas.analysis.budgets import over_budgets, places
from bohb_nas.analysis.fanova import explain
from bohb_nas.analysis.observations import Observations
from bohb_nas.arrays import Floats
from bohb_nas.records import Origin, Value


def observed(budget: float, losses: Mapping[str, float], *, seed: int = 0) -> Observations:
    """Configurations with these losses, which are their `x`; `y` is drawn."""
    rng = np.random.default_rng(seed)
    return Observations(
        budget=budget,
        config_ids=tuple(losses),
        configs=tuple({"x": x, "y": float(rng.random())} for x in losses.values()),
        losses=np.array([*losses.values()]),
        origins=(Origin.RANDOM,) * len(losses),
        n_left_out=0,
        n_diverged=0,
    )


def space() -> ConfigurationSpace:
    found = ConfigurationSpace()
    found.add(Float("x", (0.0, 1.0)), Float("y", (0.0, 1.0)))
    return found


FIVE = {"a": 0.1, "b": 0.2, "c": 0.3, "d": 0.4, "e": 0.5}
"""At 0.1, 0.3, 0.5, 0.7 and 0.9 on the scale."""


def test_common_configurations_take_each_others_places_and_others_stand_between_them() -> None:
    # c, a and b, from best to worst: 0.1, 0.3 and 0.5; f lies a quarter of the way from c to a;
    # g and h lie a quarter and three quarters of the way from 0.5 to 1, i in the middle of 0 and 0.1
    dear = {"a": 20.0, "b": 60.0, "c": 12.0, "f": 14.0, "g": 61.0, "h": 1e300, "i": 11.0}
    found = places([observed(1, FIVE), observed(3, dear)])
    assert found == {
        "a": pytest.approx([0.1, 0.3]),
        "b": pytest.approx([0.3, 0.5]),
        "c": pytest.approx([0.5, 0.1]),
        "d": pytest.approx([0.7]),
        "e": pytest.approx([0.9]),
        "f": pytest.approx([0.15]),
        "g": pytest.approx([0.625]),
        "h": pytest.approx([0.875]),
        "i": pytest.approx([0.05]),
    }


def test_equal_losses_share_and_the_scale_is_handed_on() -> None:
    second = {"c": 7.0, "d": 8.0, "e": 8.0, "f": 9.0}  # 0.5, twice 0.8, and f in the middle of (0.8, 1)
    third = {"f": 1.0, "e": 2.0, "c": 3.0}
    found = places([observed(1, FIVE), observed(3, second), observed(9, third)])
    assert found["c"] == pytest.approx([0.5, 0.5, 0.9])
    assert found["d"] == pytest.approx([0.7, 0.8])
    assert found["e"] == pytest.approx([0.9, 0.8, 0.8])
    assert found["f"] == pytest.approx([0.9, 0.5])


def test_a_budget_with_two_in_common_is_left_out_and_the_next_is_tied_to_the_one_below() -> None:
    loose = {"a": 1.0, "b": 2.0, "z": 3.0}
    found = places([observed(1, FIVE), observed(3, loose), observed(9, {"z": 9.0, "c": 1.0, "b": 2.0, "a": 3.0})])
    assert found["a"] == pytest.approx([0.1, 0.5])
    assert found["c"] == pytest.approx([0.5, 0.1])
    assert found["z"] == pytest.approx([0.75])


def test_a_configuration_is_one_observation_with_the_mean_of_its_places() -> None:
    average = {}

    def explained(space: ConfigurationSpace, configs: Sequence[Mapping[str, Value]], losses: Floats, *, seed: int) -> Forest:
        average.update({float(str(config["x"])): float(loss) for config, loss in zip(configs, losses, strict=True)})
        return explain_nothing(space, configs, losses, seed=seed)

    # a, b and c have 0.1, 0.3 and 0.5 at the cheap budget and 0.5, 0.3 and 0.1 at the dear one, where their configurations are told last
    over_budgets(space(), [observed(1, FIVE), observed(3, {"a": 0.93, "b": 0.92, "c": 0.91})], explained, seed=0)
    assert average == pytest.approx({0.93: 0.3, 0.92: 0.3, 0.91: 0.3, 0.4: 0.7, 0.5: 0.9})


def test_nothing_is_said_where_nothing_ties_budgets_together() -> None:
    said = over_budgets(space(), [observed(1, FIVE), observed(3, {"a": 1.0, "b": 2.0, "z": 3.0})], explain_nothing, seed=0)
    assert said is not None
    assert said["refused"] == (
        "no dearer budget has 3 configurations in common with a cheaper one: its 3 losses cannot be put on one scale"
    )
    assert over_budgets(space(), [observed(1, FIVE), observed(3, {})], explain_nothing, seed=0) is None


def test_of_a_loss_that_is_the_same_at_every_budget_selection_takes_nothing_away() -> None:
    # 300 configurations enter with losses at (k + 1/2) / 300, their quantiles; the best 100 are promoted, and of them the best 33.
    # 60 more enter at the second budget: the loss is x at all of them, so that on the one scale it is x again, up to 1/60.
    best = {f"a{k}": (k + 0.5) / 300 for k in range(300)}
    entered = {f"b{k}": (k + 0.5) / 60 for k in range(60)}
    second, third = dict([*best.items()][:100]) | entered, dict([*best.items()][:33])
    rungs = [observed(1, best), observed(3, second, seed=1), observed(9, third, seed=2)]
    placed = places(rungs)
    assert {i: np.mean(each) for i, each in placed.items()} == pytest.approx(best | entered, abs=1 / 60)
    said = over_budgets(space(), rungs, explain, seed=0)
    assert said is not None
    assert said["refused"] is None
    assert said["n"] == 360
    x = next(p for p in said["parameters"] if p["name"] == "x")
    assert x["main"] > 0.99
    assert x["curve"] is not None
    assert np.all(np.diff(x["curve"]["mean"]) >= -0.003)
    assert x["curve"]["mean"] == pytest.approx(x["curve"]["place"], abs=0.02)
