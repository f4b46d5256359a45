"""The families of networks: sizes from the papers, and what their configurations may say."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from bohb_nas import networks
from bohb_nas.errors import OptionError, RefError
from bohb_nas.layers import Conv, chain, conv_norm


@pytest.mark.parametrize(("widen", "published"), [(2, 2.9), (4, 11.7), (6, 26.2)])
def test_shake_shake_26_has_the_published_number_of_parameters(widen: int, published: float) -> None:
    config = {f"nr_residual_blocks_{g}": 4 for g in (1, 2, 3)} | {"initial_filters": 16, "widen_factor_1": widen}
    params = networks.size(config | {"widen_factor_2": 2.0, "widen_factor_3": 2.0})["params"]
    assert round(params / 1e6, 1) == published


def test_the_published_widths_are_rounded_and_at_least_one() -> None:
    narrow = {"initial_filters": 3, "widen_factor_1": 0.5, "widen_factor_2": 0.5, "widen_factor_3": 0.2}
    drawn = str(networks.network({**narrow, **{f"nr_residual_blocks_{g}": 1 for g in (1, 2, 3)}}))
    assert [f"Conv(out={n}, kernel=3" in drawn for n in (1, 2, 3, 4)] == [True, True, True, False]


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"family": "transformer"}, "family is 'transformer'; accepted are .*zela2018"),
        ({"family": "_multi_branch"}, "family is '_multi_branch'; accepted are"),
        ({"family": "./mine.py"}, "family is './mine.py'; accepted are"),
        ({"nr_residual_blocks_1": 1.5}, "nr_residual_blocks_1 is 1.5; accepted is a whole number from 1"),
        ({"initial_filters": True}, "initial_filters is True; accepted is a whole number from 1"),
        ({"widen_factor_2": 0.0}, "widen_factor_2 is 0.0; accepted is a number above 0"),
        ({"widen_factor_2": "2"}, "widen_factor_2 is '2'; accepted is a number above 0"),
        ({"death_rate": 1.01}, "death_rate is 1.01; accepted is a number from 0 to 1"),
    ],
)
def test_a_value_that_means_nothing_is_named(config: Mapping[str, Any], said: str) -> None:
    with pytest.raises(OptionError, match=said):
        networks.network(config)


def test_names_that_are_not_of_the_architecture_are_ignored() -> None:
    assert networks.network({"batch_size": 3, "momentum": "none"}) == networks.network({})


@pytest.fixture
def mine(tmp_path: Path) -> Any:
    def write(text: str) -> str:
        path = tmp_path / f"family{len(list(tmp_path.iterdir()))}.py"
        path.write_text("from bohb_nas.layers import Conv, chain, conv_norm\n" + text)
        return str(path)

    return write


def test_a_function_of_ones_own_describes_the_network(mine: Any) -> None:
    reference = mine("def network(config):\n    return chain(conv_norm(config['width']), Conv(4, 1))\n")
    assert networks.network({"width": 6, "lr": 0.1}, reference=reference) == chain(conv_norm(6), Conv(4, 1))
    assert networks.size({"width": 6}, image_shape=(8, 8, 1), n_classes=2, reference=reference)["params"] == 54 + 12 + 24 + 10


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("def network(config):\n    return config['width']\n", "fails for {}: KeyError: 'width'"),
        ("def network(config):\n    return 3\n", "returned int; accepted is a layer"),
        ("def network(config):\n    return Conv(0)\n", "Conv out is 0"),
    ],
)
def test_what_is_wrong_with_it_is_said(mine: Any, text: str, said: str) -> None:
    with pytest.raises(OptionError, match=said):
        networks.network({}, reference=mine(text))


def test_a_file_without_the_function_is_refused(mine: Any) -> None:
    with pytest.raises(RefError, match=r"has no function network\(config\)"):
        networks.network({}, reference=mine(""))
