"""Configurations written by hand, or for another space."""

import json
import re
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
    OrdinalHyperparameter,
)

from bohb_nas.errors import SpaceError
from bohb_nas.space.legality import complete, legal_value, restricted


def space() -> ConfigurationSpace:
    space = ConfigurationSpace()
    optimizer = Categorical("optimizer", ["sgd", "adam"])
    momentum, nesterov = Float("momentum", (0.0, 0.9)), Categorical("nesterov", [True, False])
    size, layers, death = OrdinalHyperparameter("size", ["s", "m", "xl"]), Integer("layers", (1, 5)), Float("death", (0.0, 1.0))
    space.add(optimizer, momentum, nesterov, size, layers, death, Constant("epochs", 3), Categorical("power", [1, 2.5]))
    space.add(
        EqualsCondition(momentum, optimizer, "sgd"),
        GreaterThanCondition(nesterov, momentum, 0.5),
        OrConjunction(EqualsCondition(death, layers, 1), EqualsCondition(death, size, "s")),
    )
    space.add(ForbiddenAndConjunction(ForbiddenEqualsClause(size, "xl"), ForbiddenEqualsClause(layers, 5)))
    return space


ADAM: dict[str, Any] = {"optimizer": "adam", "size": "m", "layers": 3, "power": 1}


def test_a_configuration_is_completed_by_constants_and_plain_types() -> None:
    full = complete(space(), {**ADAM, "layers": 3.0, "power": 1.0})
    assert full == {**ADAM, "epochs": 3}
    assert {name: type(value) for name, value in full.items()}["layers"] is int
    sgd = {**ADAM, "optimizer": "sgd", "momentum": 0, "epochs": 3}
    assert complete(space(), sgd)["momentum"] == 0.0
    assert complete(space(), {**ADAM, "layers": 1, "death": 1})["death"] == 1.0
    assert complete(space(), {**ADAM, "optimizer": "sgd", "momentum": 0.7, "nesterov": True})["nesterov"] is True


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"sped": 1}, "no hyperparameter 'sped'; the space has"),
        ({"layers": 6}, "layers = 6; accepted is a whole number from 1 to 5"),
        ({"layers": 2.5}, r"layers = 2\.5; accepted"),
        ({"layers": 10**400}, "layers = 1000.*; accepted is a whole number from 1 to 5"),
        ({"layers": 1, "death": 10**400}, r"death = 1000.*; accepted is a number from 0\.0 to 1\.0"),
        ({"layers": True}, "layers = True; accepted"),
        ({"layers": "3"}, "layers = '3'; accepted"),
        ({"layers": float("nan")}, "layers = nan; accepted"),
        ({"power": True}, r"power = True; accepted is 1 or 2\.5"),
        ({"size": ["m"]}, r"size = \['m'\]; accepted is 's' or 'm' or 'xl'"),
        ({"epochs": 4}, "epochs = 4; accepted is 3"),
        ({"momentum": 0.5}, r"momentum is given but inactive: .*optimizer == 'sgd'"),
        ({"death": 0.5}, "death is given but inactive"),
        ({"nesterov": True}, "nesterov is given but inactive"),
        ({"optimizer": "sgd"}, r"momentum is missing although it is active; accepted is a number from 0\.0 to 0\.9"),
        ({"layers": 1}, "death is missing"),
        ({"size": "xl", "layers": 5}, "forbids this combination"),
    ],
)
def test_what_is_wrong_is_named(change: dict[str, Any], said: str) -> None:
    with pytest.raises(SpaceError, match=said):
        complete(space(), {**ADAM, **change})


def test_a_missing_choice_is_named() -> None:
    with pytest.raises(SpaceError, match="optimizer is missing although it is active; accepted is 'sgd' or 'adam'"):
        complete(space(), {"size": "m", "layers": 3, "power": 1})


def test_of_many_hyperparameters_the_nearest_are_named() -> None:
    large = ConfigurationSpace({f"block_{k}_{what}": (0.0, 1.0) for k in range(30) for what in ("width", "depth")})
    with pytest.raises(SpaceError) as refused:
        complete(large, {"BLOCK_7_wdth": 0.5, "zzz": 1})
    unknown, _, rest = str(refused.value).partition("; ")
    near, _, counted = rest.partition(", the space has ")
    assert unknown == "no hyperparameter 'BLOCK_7_wdth', 'zzz'"
    assert near.startswith("near are block_7_width, block_")
    assert len(near.split(", ")) == 3
    assert counted.startswith("60; 60 are missing")
    with pytest.raises(SpaceError, match="'n0', 'n1', 'n2', 'n3', 'n4' and 35 more; none is near, the space has 60"):
        complete(large, {f"n{k}": 1 for k in range(40)})


def test_all_that_is_wrong_is_listed_at_once() -> None:
    """`death` and `nesterov` are not complained of: whether they are active, nobody knows."""
    with pytest.raises(SpaceError) as refused:
        complete(space(), {"optimizer": "sgd", "size": "xl", "layers": 9, "sped": 1, "weight": 2, "death": 0.5})
    unknown, illegal, missing = re.split(r"; (?=layers = |2 are missing)", str(refused.value))
    assert unknown.startswith("no hyperparameter 'sped', 'weight'; the space has epochs, ")
    assert illegal == "layers = 9; accepted is a whole number from 1 to 5"
    assert missing == (
        "2 are missing although they are active: power (1 or 2.5), momentum (a number from 0.0 to 0.9); "
        'for their defaults add "power": 1, "momentum": 0.45'
    )


def test_an_older_configuration_is_completed_by_what_the_error_says() -> None:
    old = {"optimizer": "sgd"}
    for _ in range(2):  # then the children of what was missing
        with pytest.raises(SpaceError) as refused:
            complete(space(), old)
        old |= json.loads("{" + str(refused.value).split("add ")[1] + "}")
    assert complete(space(), old).keys() == {"optimizer", "size", "layers", "power", "epochs", "momentum", "death"}


def test_booleans_and_numbers_are_different_choices() -> None:
    switch = ConfigurationSpace({"on": [True, False], "n": [0, 1]})
    assert (legal_value(switch["on"], True), legal_value(switch["n"], 1)) == (True, 1)
    for name, value in (("on", 1), ("n", True)):
        with pytest.raises(SpaceError):
            legal_value(switch[name], value)


def test_values_of_numpy_are_what_they_are_worth() -> None:
    mixed = ConfigurationSpace({"on": [True, False], "n": (1, 4), "x": (0.0, 1.0), "word": ["a", "b"], "power": [1, 2]})
    of_numpy = {"on": np.bool_(False), "n": np.int64(2), "x": np.float32(0.5), "word": np.str_("b"), "power": np.int64(2)}
    plain = {"on": False, "n": 2, "x": 0.5, "word": "b", "power": 2}
    for made in (complete(mixed, of_numpy), restricted(mixed, of_numpy)):
        assert made == plain
        assert {name: type(value) for name, value in made.items()} == {name: type(value) for name, value in plain.items()}
    with pytest.raises(SpaceError, match="on = 1; accepted is True or False"):
        legal_value(mixed["on"], np.int64(1))


@pytest.mark.parametrize(
    ("config", "kept"),
    [
        ({"optimizer": "sgd", "momentum": 0.4, "gone": 7}, {"optimizer": "sgd", "momentum": 0.4}),
        ({"optimizer": "adam", "momentum": 0.4}, {"optimizer": "adam"}),  # always there in the other space
        ({"momentum": 0.4}, {"momentum": 0.4}),  # whether it is active is not known
        ({"optimizer": "rmsprop", "momentum": 0.4}, {"momentum": 0.4}),  # nor here
        ({"momentum": 0.95, "layers": 9, "size": "m"}, {"size": "m"}),
        ({"optimizer": "adam", "nesterov": True}, {"optimizer": "adam"}),  # its parent is inactive
        ({"layers": 2, "death": 0.5}, {"layers": 2, "death": 0.5}),  # size could make it active
        ({"layers": 2, "size": "m", "death": 0.5}, {"layers": 2, "size": "m"}),
        ({"layers": 2.0, "epochs": 3}, {"layers": 2}),  # a constant says nothing
        ({"gone": 7}, {}),
    ],
)
def test_what_a_space_knows_of_another_ones_configuration(config: dict[str, Any], kept: dict[str, Any]) -> None:
    assert restricted(space(), config) == kept


def test_a_condition_on_a_constant_is_evaluated() -> None:
    fixed = ConfigurationSpace()
    mode, a, b, child = Constant("mode", "x"), Integer("a", (0, 3)), Integer("b", (0, 3)), Float("child", (0.0, 1.0))
    fixed.add(mode, a, b, child)
    fixed.add(AndConjunction(EqualsCondition(child, a, 1), EqualsCondition(child, mode, "x")))
    assert restricted(fixed, {"a": 1, "child": 0.5}) == {"a": 1, "child": 0.5}
    assert restricted(fixed, {"a": 2, "child": 0.5}) == {"a": 2}
