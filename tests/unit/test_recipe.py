import math
from typing import Any

import pytest

from bohb_nas import networks
from bohb_nas.errors import OptionError
from bohb_nas.training.recipe import read


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("batch_size", "abc"),
        ("batch_size", 0),
        ("batch_size", -32),
        ("batch_size", 32.5),
        ("batch_size", True),
        ("batch_size", math.nan),
        ("batch_size", math.inf),
        ("initial_filters", None),
        ("nr_residual_blocks_2", 0),
        ("res_branches_3", "2"),
        ("widen_factor_1", 0.0),
        ("widen_factor_1", math.inf),
        ("death_rate", 1.1),
        ("learning_rate", 0),
        ("sgd_learning_rate", math.nan),
        ("adamw_learning_rate", -1e-3),
        ("weight_decay", -1e-3),
        ("weight_decay", math.inf),
        ("momentum", 1.0),
        ("sgd_one_minus_momentum", 0.0),
        ("adamw_one_minus_beta2", 1.5),
        ("label_smoothing", -0.1),
        ("crop_padding", [0.1]),
        ("cutout_length", 2.0),
        ("length", -1),
        ("alpha", -0.2),
        ("optimizer", 3),
        ("flip", ["on"]),
    ],
)
def test_a_value_that_means_nothing_is_named(name: str, value: Any) -> None:
    with pytest.raises(OptionError, match=f"^{name} is .*accepted"):
        read({name: value})


def test_what_is_just_accepted() -> None:
    edge: dict[str, Any] = {
        "batch_size": 1.0,
        "momentum": 0,
        "weight_decay": 0,
        "label_smoothing": 1.0,
        "alpha": 0.0,
        "length": 0,
    }
    layers, recipe = read(edge)
    assert layers == networks.network({})
    assert (recipe.batch_size, recipe.momentum, recipe.mixing, recipe.cutout_length) == (1, 0, "none", 0)
