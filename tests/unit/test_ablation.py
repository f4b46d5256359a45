"""The path to the incumbent, on functions whose best order is known."""

from collections.abc import Mapping, Sequence

import numpy as np
import pytest
from analysis_fakes import Forest
from ConfigSpace import Categorical, ConfigurationSpace, EqualsCondition, Float, Integer
from numpy.typing import NDArray

from bohb_nas.analysis.ablation import path
from bohb_nas.records import Value
from bohb_nas.search_spaces.joint import space as joint
from bohb_nas.space.encoding import Encoding, default_configuration

Config = Mapping[str, Value]


def conditional() -> ConfigurationSpace:
    space = ConfigurationSpace()
    kind, depth, rate = (
        Categorical("kind", ["a", "b"], default="a"),
        Integer("depth", (1, 9), default=5),
        Float("rate", (0.0, 1.0), default=0.5),
    )
    momentum = Float("momentum", (0.0, 1.0), default=0.5)
    space.add(kind, depth, rate, momentum, EqualsCondition(rate, kind, "b"), EqualsCondition(momentum, kind, "a"))
    return space


def loss(config: Config) -> float:
    """The depth is worth 4 in all, the kind 3, the rate of the kind b 1."""
    return 8.0 - float(config["depth"]) / 2 - (3.0 if config["kind"] == "b" else 0.0) + abs(float(config.get("rate", 0.9)) - 0.9)


def test_each_step_is_the_change_that_lowers_the_loss_most() -> None:
    start: dict[str, Value] = {"kind": "a", "depth": 1, "momentum": 0.25}
    found = path(conditional(), Forest(loss, 20).predict, start, {"kind": "b", "depth": 9, "rate": 0.9}, name="plain", budget=9.0)
    assert (found["start"], found["budget"], found["loss"], found["spread"]) == ("plain", 9.0, 7.5, [7.5, 7.5])
    depth, kind = found["steps"]
    assert (depth["names"], depth["before"], depth["after"], depth["loss"]) == (["depth"], {"depth": 1}, {"depth": 9}, 3.5)
    assert kind["names"][0] == "kind"
    assert set(kind["names"]) == {"kind", "rate", "momentum"}
    assert kind["before"] == {"kind": "a", "rate": None, "momentum": 0.25}
    assert kind["after"] == {"kind": "b", "rate": 0.9, "momentum": None}  # the rate comes with the goal's value
    assert kind["loss"] == pytest.approx(0.5)


def test_each_step_goes_by_the_mean_over_the_trees() -> None:
    """Four trees tell a change of x as 1, 1, 1 and 5, which is 2, and one of y as 2.5."""
    told = {(0.0, 0.0): [9.0] * 4, (1.0, 0.0): [1.0, 1.0, 1.0, 5.0], (0.0, 1.0): [2.5] * 4, (1.0, 1.0): [0.0] * 4}

    def predict(configs: Sequence[Config]) -> NDArray[np.float64]:
        return np.array([told[float(c["x"]), float(c["y"])] for c in configs]).T

    space = ConfigurationSpace({"x": (0.0, 1.0), "y": (0.0, 1.0)})
    x, y = path(space, predict, {"x": 0.0, "y": 0.0}, {"x": 1.0, "y": 1.0}, name="corner", budget=1.0)["steps"]
    assert [x["names"], y["names"]] == [["x"], ["y"]]
    assert x["loss"] == 2.0
    assert x["spread"] == pytest.approx([1.0, 1 + 4 * 0.85])  # the places of the 5th and 95th percentile are .15 and 2.85 of 0 … 3


def test_a_path_to_where_it_begins_has_no_step() -> None:
    space = conditional()
    found = path(space, Forest(loss, 20).predict, default_configuration(space), default_configuration(space), name="default", budget=1.0)
    assert found["steps"] == []


@pytest.mark.parametrize("seed", range(6))
def test_every_path_through_the_joint_space_ends_at_the_goal(seed: int) -> None:
    space = joint()
    start, goal = Encoding(space).sample(2 * seed), Encoding(space).sample(2 * seed + 1)
    found = path(space, Forest(len, 20).predict, start, goal, name="x", budget=1.0)
    at: dict[str, Value] = dict(start)
    for step in found["steps"]:
        assert {name: at.get(name) for name in step["names"]} == step["before"]
        for name, value in step["after"].items():
            if value is None:
                del at[name]
            else:
                at[name] = value
    constants = set(space) - set(Encoding(space).names)
    assert {name: value for name, value in at.items() if name not in constants} == {
        name: value for name, value in goal.items() if name not in constants
    }
    assert len(found["steps"]) <= len(goal)
