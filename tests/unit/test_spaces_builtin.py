import pytest
from ConfigSpace import ConfigurationSpace, Constant
from ConfigSpace.hyperparameters import FloatHyperparameter, IntegerHyperparameter

from bohb_nas import networks
from bohb_nas.errors import OptionError
from bohb_nas.layers.arithmetic import size
from bohb_nas.search_spaces import cell, joint, mobile, wrn, zela2018
from bohb_nas.training.recipe import ACCEPTED, read

PUBLISHED = {
    **{f"nr_residual_blocks_{g}": (1, 16, True) for g in (1, 2, 3)},
    **{f"res_branches_{g}": (1, 5, False) for g in (1, 2, 3)},
    "initial_filters": (8, 32, True),
    "widen_factor_1": (0.5, 8, True),
    "widen_factor_2": (0.5, 4, True),
    "widen_factor_3": (0.5, 4, True),
    "learning_rate": (1e-3, 1, True),
    "batch_size": (32, 128, True),
    "weight_decay": (1e-5, 1e-3, True),
    "momentum": (1e-3, 0.99, False),
    "alpha": (0, 1, False),
    "length": (0, 20, False),
    "death_rate": (0, 1, False),
}
"""Zela et al. (2018), table of the authors' release: name -> lower, upper, logarithmic."""


def test_zela2018_is_the_published_space() -> None:
    space = zela2018.space()
    ranges = {}
    for name, parameter in space.items():
        assert isinstance(parameter, FloatHyperparameter | IntegerHyperparameter)
        ranges[name] = (parameter.lower, parameter.upper, parameter.log)
    assert ranges == PUBLISHED
    assert not space.conditions


SPACES = {"joint": joint.space(), "zela2018": zela2018.space(), "cell": cell.space(), "mobile": mobile.space(), "wrn": wrn.space()}


@pytest.mark.parametrize("space", SPACES.values(), ids=SPACES.keys())
def test_every_configuration_is_understood(space: ConfigurationSpace) -> None:
    assert set(space) <= set(ACCEPTED) | networks.accepted()
    space.seed(0)
    for config in [space.get_default_configuration(), *space.sample_configuration(50)]:
        layers, recipe = read(dict(config))
        assert size(layers)["params"] > 0
        assert recipe.batch_size == config["batch_size"]
        assert recipe.optimizer == config.get("optimizer", "sgd")


def test_the_defaults_of_the_translation_are_those_of_the_joint_space() -> None:
    assert read({"schedule": "cosine"}) == read(dict(joint.space().get_default_configuration()))
    for optimizer in ("sgd", "adamw", "muon"):
        space = joint.space()
        full = {name: parameter.default_value for name, parameter in space.items() if name != "death_rate"}
        chosen = {"family": "multi_branch", "optimizer": optimizer, "cutout": "on", "mixing": "cutmix"}
        for policy in ("none", "trivial", "rand", "searched"):
            assert read({"schedule": "cosine", **chosen, "policy": policy}) == read({**full, **chosen, "policy": policy})


def test_a_configuration_of_joint_is_of_one_family_and_stays_small_enough_for_a_model() -> None:
    space = joint.space()
    space.seed(2)
    configs = [dict(config) for config in space.sample_configuration(100)]
    assert {config["family"] for config in configs} == {"cell", "mobile", "multi_branch", "wrn"}
    for config in configs:
        assert len(networks.family(config["family"]).hyperparameters.keys() & config.keys()) <= 12


@pytest.mark.parametrize("name", ["cell", "mobile", "wrn"])
def test_the_space_of_a_family_is_its_part_of_joint(name: str) -> None:
    alone, whole = SPACES[name], SPACES["joint"]
    assert alone["family"] == Constant("family", name)
    assert {n: h for n, h in alone.items() if n != "family"} == {n: whole[n] for n in alone if n != "family"}
    foreign = set(whole) - set(alone)
    assert foreign == {
        n for other in ("cell", "mobile", "multi_branch", "wrn") if other != name for n in networks.family(other).hyperparameters
    }


def test_hyperparameters_exist_only_where_they_act() -> None:
    space = joint.space()
    space.seed(1)
    for config in map(dict, space.sample_configuration(200)):
        others = set(networks.names()) - {"zela2018", config["family"]}
        assert not any(name in config for other in others for name in networks.family(other).hyperparameters)
        assert ("death_rate" in config) == any(config.get(f"res_branches_{g}") == 1 for g in (1, 2, 3))
        assert ("sgd_learning_rate" in config) == (config["optimizer"] == "sgd")
        assert ("adamw_one_minus_beta2" in config) == (config["optimizer"] == "adamw")
        assert ("muon_learning_rate" in config) == (config["optimizer"] == "muon")
        assert ("crop_padding" in config) == (config["crop"] == "on")
        assert ("cutout_length" in config) == (config["cutout"] == "on")
        assert {n.partition("_")[0] for n in config if n.startswith(("rand_", "searched_"))} == {config["policy"]} & {"rand", "searched"}
        assert {n for n in ("mixup_alpha", "cutmix_alpha") if n in config} == {f"{config['mixing']}_alpha"} - {"none_alpha"}


def test_the_published_names_keep_their_meaning() -> None:
    _, recipe = read({"momentum": 0.7, "alpha": 0.0, "length": 16, "learning_rate": 0.3})
    assert (recipe.momentum, recipe.mixing, recipe.cutout_length, recipe.learning_rate) == (0.7, "none", 0.5, 0.3)
    assert read({"alpha": 0.4})[1].mixing == "mixup"
    assert read({"optimizer": "adamw", "learning_rate": 0.01})[1].learning_rate == 0.01


@pytest.mark.parametrize(("config", "named"), [({"depth": 3}, "depth"), ({"mixing": "mosaic"}, "mosaic")])
def test_what_is_not_understood_is_refused_with_what_is(config: dict[str, int | str], named: str) -> None:
    with pytest.raises(OptionError, match=f"{named}.*accepted"):
        read(config)
