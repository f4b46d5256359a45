"""The families of networks: sizes from the papers, and what their configurations may say."""

import itertools
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from ConfigSpace import Configuration
from ConfigSpace.exceptions import ForbiddenValueError
from torchvision.models import mobilenet_v2

from bohb_nas import networks
from bohb_nas.errors import OptionError, RefError
from bohb_nas.layers import Activation, Conv, Graph, Identity, Layer, Norm, Sum, Zero, arithmetic, chain, conv_norm
from bohb_nas.layers.drawing import draw
from bohb_nas.networks import cell, mobile
from bohb_nas.networks._widths import multiple_of_8
from bohb_nas.records import Value

NB201_0 = "|avg_pool_3x3~0|+|nor_conv_1x1~0|skip_connect~1|+|nor_conv_1x1~0|skip_connect~1|skip_connect~2|"
NB201_1 = "|nor_conv_3x3~0|+|nor_conv_3x3~0|avg_pool_3x3~1|+|skip_connect~0|nor_conv_3x3~1|skip_connect~2|"
"""The first two cells of NAS-Bench-201, whose sizes its interface prints (issues 18, 24 and 36 of D-X-Y/NATS-Bench)."""


def operators(text: str) -> dict[tuple[int, int], str]:
    """The operator of every edge, from a cell as NAS-Bench-201 writes it."""
    written = [part.split("~")[0] for node in text.split("+") for part in node.strip("|").split("|")]
    return dict(zip(cell.EDGES, written, strict=True))


def published_cell(text: str) -> dict[str, Any]:
    edges = {cell.name(edge): operator for edge, operator in operators(text).items()}
    return {"family": "cell", "cell_channels": 16, "cell_repeats": 5, **edges}


@pytest.mark.parametrize(("widen", "published"), [(2, 2.9), (4, 11.7), (6, 26.2)])
def test_shake_shake_26_has_the_published_number_of_parameters(widen: int, published: float) -> None:
    config = {f"nr_residual_blocks_{g}": 4 for g in (1, 2, 3)} | {"initial_filters": 16, "widen_factor_1": widen}
    params = networks.size(config | {"widen_factor_2": 2.0, "widen_factor_3": 2.0})["params"]
    assert round(params / 1e6, 1) == published


@pytest.mark.parametrize(
    ("depth", "widen", "published"), [(40, 1, 0.6), (40, 2, 2.2), (40, 4, 8.9), (16, 8, 11.0), (22, 8, 17.2), (28, 10, 36.5)]
)
def test_wide_residual_networks_have_the_published_number_of_parameters(depth: int, widen: int, published: float) -> None:
    config: dict[str, Value] = {"family": "wrn", "wrn_blocks": (depth - 4) // 6, "wrn_widen_factor": float(widen)}
    assert round(networks.size(config)["params"] / 1e6, 1) == published


@pytest.mark.parametrize(
    ("cell", "image_shape", "n_classes", "millions", "params"),
    [
        (NB201_0, (32, 32, 3), 10, 15.64737, None),
        (NB201_0, (32, 32, 3), 100, 15.65322, None),
        (NB201_0, (16, 16, 3), 120, 3.91948, None),
        (NB201_1, (32, 32, 3), 10, 113.95137, 802426),
        (NB201_1, (32, 32, 3), 100, 113.96, 808276),
        (NB201_1, (16, 16, 3), 120, 28.50, 809576),
    ],
)
def test_cells_have_the_published_sizes(
    cell: str, image_shape: tuple[int, int, int], n_classes: int, millions: float, params: int | None
) -> None:
    # NAS-Bench-201 calls multiplications FLOPs, and counts the additions of the linear layer's bias among them
    size = networks.size(published_cell(cell), image_shape=image_shape, n_classes=n_classes)
    decimals = len(str(millions).split(".")[1])
    assert round((size["flops"] / 2 + n_classes) / 1e6, decimals) == millions
    assert params is None or size["params"] == params


@pytest.mark.parametrize(
    ("text", "edges"),
    [
        (NB201_1, 6),
        ("|none~0|+|none~0|none~1|+|skip_connect~0|none~1|none~2|", 1),
        ("|nor_conv_1x1~0|+|none~0|nor_conv_1x1~1|+|skip_connect~0|none~1|none~2|", 1),
        ("|none~0|+|nor_conv_1x1~0|nor_conv_1x1~1|+|none~0|nor_conv_1x1~1|skip_connect~2|", 2),
        ("|nor_conv_1x1~0|+|none~0|none~1|+|none~0|nor_conv_1x1~1|nor_conv_3x3~2|", 2),
    ],
)
def test_a_cell_keeps_the_edges_that_lead_from_its_input_to_its_output(text: str, edges: int) -> None:
    graph = cell.cell(operators(text), 8)
    assert isinstance(graph, Graph)
    assert sum(len(node) for node in graph.nodes) == edges


def test_cells_that_lead_nothing_on_are_those_that_the_space_forbids() -> None:
    space = networks.family_space("cell")
    defaults = dict(space.get_default_configuration())
    for absent in itertools.product((False, True), repeat=6):
        chosen = {edge: "none" if no else "skip_connect" for edge, no in zip(cell.EDGES, absent, strict=True)}
        by_name = {cell.name(edge): operator for edge, operator in chosen.items()}
        try:
            Configuration(space, values={**defaults, **by_name})
            is_forbidden = False
        except ForbiddenValueError:
            is_forbidden = True
        paths = [path for n in (0, 1, 2) for path in itertools.combinations((1, 2), n)]
        leads = any(all(chosen[edge] != "none" for edge in itertools.pairwise((0, *path, 3))) for path in paths)
        assert is_forbidden == (not leads) == (cell.cell(chosen, 8) == Zero())


def test_inverted_residuals_make_mobilenet_v2() -> None:
    stages = [(1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)]
    layers, into = [*conv_norm(32, stride=2).layers, Activation("relu6")], 32
    for expansion, out, n, stride in stages:
        for block in range(n):
            layers.append(mobile.inverted_residual(into, out, kernel=3, expansion=expansion, stride=stride if block == 0 else 1))
            into = out
    whole = chain(*layers, *conv_norm(1280, 1).layers, Activation("relu6"))
    sizes = arithmetic.size(whole, image_shape=(224, 224, 3), n_classes=1000)
    assert sizes["params"] == sum(p.numel() for p in mobilenet_v2().parameters()) == 3504872
    assert round(sizes["flops"] / 2e6) == 301, "Sandler et al. (2018): 300 M"


@pytest.mark.parametrize("family", ["cell", "mobile", "multi_branch", "wrn"])
def test_every_width_is_a_multiple_of_8(family: str) -> None:
    space = networks.family_space(family)
    space.seed(3)
    for config in space.sample_configuration(20):
        drawn = draw(networks.network({"family": family, **config}), (3, 8, 8))
        assert {layer["shape"][0] % 8 for layer in drawn["layers"]} == {0}


@pytest.mark.parametrize(("channels", "nearest"), [(0.1, 8), (11.9, 8), (12.0, 16), (20.0, 24), (35.9, 32)])
def test_the_nearest_multiple(channels: float, nearest: int) -> None:
    assert multiple_of_8(channels) == nearest


def test_wrn_drops_between_the_convolutions_of_each_block() -> None:
    config: dict[str, Value] = {"family": "wrn", "wrn_blocks": 2, "wrn_widen_factor": 1.0}
    assert str(networks.network({**config, "wrn_dropout": 0.3})).count("Dropout(rate=0.3)") == 6
    assert "Dropout" not in str(networks.network(config))


def test_families_do_not_share_names() -> None:
    spaces = [set(networks.family(name).hyperparameters) for name in networks.names() if name != networks.PUBLISHED]
    assert len(set.union(*spaces)) == sum(map(len, spaces))


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
        ({"initial_filters": 10**400}, "initial_filters is 10+; accepted is a whole number from 1"),
        ({"widen_factor_2": Fraction(10**400)}, "widen_factor_2 is Fraction.*; accepted is a number above 0"),
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


def test_the_first_convolutions_are_those_that_see_the_image() -> None:
    def first(layer: Layer) -> float:
        return arithmetic.size(layer, image_shape=(8, 8, 3), n_classes=2)["first_flops"]

    stem = 2.0 * 9 * 3 * 4 * 64
    assert first(chain(Conv(4), Norm(), Conv(8))) == stem
    assert first(chain(Norm(), Sum((chain(Conv(4), Conv(4)), Conv(4, 1))), Conv(8))) == stem + stem / 9
    assert first(Sum((Conv(3), Identity()))) == 2.0 * 9 * 3 * 3 * 64
    # where one way passes none, what follows sees the image as well
    assert first(chain(Sum((Conv(3), Identity())), Conv(4))) == 2.0 * 9 * 3 * 3 * 64 + stem
    assert first(chain(Graph((((0, Identity()),), ((1, Conv(4)),))), Conv(8))) == stem
    assert first(chain(Graph((((0, Conv(3)),), ((0, Identity()), (1, Conv(3))))), Conv(4))) == 2.0 * 9 * 3 * 3 * 64 + stem
