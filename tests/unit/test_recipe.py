import math
from pathlib import Path
from typing import Any

import pytest

from bohb_nas import networks
from bohb_nas.errors import OptionError
from bohb_nas.layers import chain, conv_norm
from bohb_nas.training import policies
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
        pytest.param("batch_size", 10**400, id="beyond every float"),
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
        ("warm_up", 1.0),
        ("sgd_one_minus_momentum", 0.0),
        ("adamw_one_minus_beta2", 1.5),
        ("muon_learning_rate", 0),
        ("muon_one_minus_momentum", 0.0),
        ("muon_weight_decay", -0.01),
        ("label_smoothing", -0.1),
        ("crop_padding", [0.1]),
        ("cutout_length", 2.0),
        ("length", -1),
        ("alpha", -0.2),
        ("optimizer", 3),
        ("schedule", "restarts"),
        ("warm_up", 1.5),
        ("average", True),
        ("average_span", 0.0),
        ("flip", ["on"]),
        ("flip", "sometimes"),
        ("erasing", "maybe"),
        ("erasing_probability", 1.1),
        ("policy", "auto"),
        ("policy", None),
        ("rand_n", 0),
        ("rand_n", 1.5),
        ("rand_n", 9),
        ("rand_m", 31),
        ("rand_m", -1),
        ("searched_n", 0),
        ("searched_high", 1.01),
        ("searched_low", -0.1),
        ("searched_tone", -1),
        ("searched_geometry", math.inf),
    ],
)
def test_a_value_that_means_nothing_is_named(name: str, value: Any) -> None:
    with pytest.raises(OptionError, match=f"^{name} is .*accepted"):
        read({name: value})


@pytest.mark.parametrize(
    "config",
    [
        {"widen_factor_1": 1e300},
        {"initial_filters": 10**300},
        {"widen_factor_1": 1e300, "widen_factor_2": 1e300},
        {"family": "cell", "cell_channels": 1e300},
        {"family": "wrn", "wrn_widen_factor": 1e300},
        {"family": "mobile", "mobile_width_factor": 1e300},
        {"family": "multi_branch", "widen_factor_1": 1e300, "widen_factor_2": 1e300},
    ],
)
def test_a_network_beyond_every_number_is_refused(config: dict[str, Any]) -> None:
    with pytest.raises(OptionError, match="accepted are smaller widths"):
        networks.size(config)


def test_rates_are_those_of_batches_of_128_except_the_published_one() -> None:
    assert read({"batch_size": 512, "sgd_learning_rate": 0.1})[1].learning_rate == pytest.approx(0.4)
    assert read({"batch_size": 32})[1].learning_rate == pytest.approx(0.025), "the default is 0.1"
    assert read({"batch_size": 512, "optimizer": "adamw", "adamw_learning_rate": 0.003})[1].learning_rate == pytest.approx(0.006)
    assert read({"batch_size": 32, "optimizer": "muon", "muon_learning_rate": 0.06})[1].learning_rate == pytest.approx(0.03)
    assert read({"batch_size": 512, "learning_rate": 0.1})[1].learning_rate == 0.1


def test_momenta_are_what_their_names_leave_of_one() -> None:
    """For the plain one of `zela2018` see what is just accepted; beta1 and beta2 are AdamW's."""
    assert read({"sgd_one_minus_momentum": 0.2})[1].momentum == pytest.approx(0.8)
    assert read({"optimizer": "muon", "muon_one_minus_momentum": 0.03, "sgd_one_minus_momentum": 0.2})[1].momentum == pytest.approx(0.97)
    recipe = read({"optimizer": "adamw", "adamw_one_minus_beta1": 0.15, "adamw_one_minus_beta2": 0.002, "momentum": 0.5})[1]
    assert (recipe.momentum, recipe.beta2) == pytest.approx((0.5, 0.998)), "the plain name is heeded first"
    assert read({"optimizer": "adamw", "adamw_one_minus_beta1": 0.15})[1].momentum == pytest.approx(0.85)


def test_names_that_joint_does_not_have_are_those_of_a_network_of_ones_own(tmp_path: Path) -> None:
    """A width multiplier and a number of layers, by names that `zela2018` gives to mixup and cutout."""
    mine = tmp_path / "mine.py"
    mine.write_text(
        "from bohb_nas.layers import chain, conv_norm\n\n\n"
        "def network(config):\n    return chain(*[conv_norm(int(8 * config['alpha']))] * config['length'])\n"
    )
    own: dict[str, Any] = {"alpha": 4.0, "length": 64, "momentum": 7, "learning_rate": "fast", "weight_decay": -1}
    layers, recipe = read({**own, "sgd_learning_rate": 0.3}, network=str(mine))
    assert layers == chain(*[conv_norm(32)] * 64)
    assert recipe == read({"sgd_learning_rate": 0.3})[1]


def test_schedule_and_average() -> None:
    _, recipe = read({})
    assert (recipe.schedule, recipe.average_span) == (None, 0.0)
    _, recipe = read({"schedule": "linear", "warm_up": 0.2, "average": "on", "average_span": 0.05})
    assert (recipe.schedule, recipe.warm_up, recipe.average_span) == ("linear", 0.2, 0.05)
    assert read({"average": "off", "average_span": 0.05})[1].average_span == 0.0


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


def test_the_policy_is_read() -> None:
    assert read({})[1].policy == read({"policy": "none"})[1].policy == ()
    assert read({"policy": "trivial"})[1].policy == policies.trivial()
    assert read({"policy": "rand"})[1].policy == policies.rand(2, 9)
    assert read({"policy": "rand", "rand_n": 3, "rand_m": 14})[1].policy == policies.rand(3, 14)
    assert read({"policy": "auto_cifar10"})[1].policy == policies.auto(policies.AUTO_CIFAR10)
    assert read({"policy": "auto_svhn"})[1].policy == policies.auto(policies.AUTO_SVHN)
    chosen: dict[str, Any] = {
        "policy": "searched",
        "searched_n": 2,
        "searched_geometry": 3.0,
        "searched_tone": 2.0,
        "searched_inversion": 0,
        "searched_detail": 0.5,
        "searched_low": 0.25,
        "searched_high": 0.8,
    }
    odds = {"geometry": 3.0, "tone": 2.0, "inversion": 0.0, "detail": 0.5}
    assert read(chosen)[1].policy == policies.searched(odds, n=2, low=0.2, high=0.8)


def test_what_belongs_to_another_policy_changes_nothing() -> None:
    assert read({"policy": "trivial", "rand_n": 3, "searched_high": 0.9})[1] == read({"policy": "trivial"})[1]


def test_flip_and_erasing_are_read() -> None:
    assert [read({"flip": f})[1].flip for f in ("off", "on", "alternating")] == ["off", "on", "alternating"]
    assert read({})[1].flip == "on"
    assert read({"erasing_probability": 0.3})[1].erasing_probability == 0
    assert read({"erasing": "on", "erasing_probability": 0.3})[1].erasing_probability == 0.3
    assert read({"erasing": "on"})[1].erasing_probability == 0.5
