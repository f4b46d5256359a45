"""What DHA hands out is what it trained, said in the names of the space."""

import pytest
import training_fakes as fakes
from ConfigSpace import ConfigurationSpace, Constant, Float

from bohb_nas.errors import OptionError
from bohb_nas.one_shot_settings import Dha
from bohb_nas.oneshot.cell_space import base, bounded, within
from bohb_nas.oneshot.dha import DhaSearch
from bohb_nas.oneshot.supply import Material
from bohb_nas.search_spaces import cell, joint


def test_in_a_space_of_several_families_what_is_found_is_a_cell() -> None:
    search = DhaSearch(Dha(), Material(data=fakes.data(), compute=fakes.CPU, space=joint.space(), seed=0))
    found = search.found()
    assert (found["family"], found["optimizer"]) == ("cell", "sgd")
    assert {name for name in found if name.startswith("cell_edge")} == {f"cell_edge_{s}_{t}" for t in range(1, 4) for s in range(t)}
    assert not any(name.startswith("nr_residual") for name in found)


def test_weights_are_trained_by_sgd_on_whole_images_whatever_is_usual_in_the_space() -> None:
    space = ConfigurationSpace()
    space.add(Constant("optimizer", "adamw"), Constant("mixing", "cutmix"), Constant("policy", "trivial"))
    space.add(Float("label_smoothing", (0.0, 0.5), default=0.2), Constant("batch_size", 64))
    recipe = base(space)
    assert (recipe.optimizer, recipe.mixing, recipe.policy, recipe.label_smoothing) == ("sgd", "none", (), 0.0)
    assert recipe.batch_size == 64


def test_numbers_stay_within_the_bounds_of_the_space() -> None:
    rate = bounded(cell.space(), "sgd_learning_rate", 2.0, low=0.005, high=2.0, rate=1.0)
    assert rate.value == 1.0
    rate.step(-1.0)
    assert rate.value == 1.0
    rate.step(1e9)
    assert 0.005 <= rate.value < 1.0
    with pytest.raises(OptionError, match="accepted is 0 < low <= value <= high"):
        bounded(cell.space(), "sgd_learning_rate", 3.0, low=2.0, high=4.0, rate=1.0)


def test_what_the_space_cannot_say_is_told() -> None:
    config, beyond = within(cell.space(), {"sgd_one_minus_momentum": 0.9, "sgd_learning_rate": 0.3})
    assert config["sgd_learning_rate"] == 0.3
    assert beyond == {"sgd_one_minus_momentum": 0.9}
