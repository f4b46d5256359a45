"""The names of a network's parts: what they refuse, and that they stay while the network around them changes."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest

from bohb_nas import networks
from bohb_nas.errors import OptionError
from bohb_nas.layers import Chain, Conv, DropPath, Graph, Identity, Layer, Norm, Sum, chain, named
from bohb_nas.layers.arithmetic import measure
from bohb_nas.layers.naming import beside, inside, parts
from bohb_nas.records import Value

CELL = {f"cell_edge_{edge}": "skip_connect" for edge in ("0_1", "0_2", "1_2", "0_3", "1_3", "2_3")}


def leaves(layer: Layer, place: str = "") -> Iterator[tuple[str, Layer]]:
    """Every convolution and normalisation with its place."""
    if isinstance(layer, Conv | Norm):
        yield place, layer
    for name, part in parts(layer):
        yield from leaves(part, inside(place, name))


def places(config: Mapping[str, Value]) -> dict[str, Layer]:
    found = list(leaves(networks.network(config)))
    assert len(dict(found)) == len(found), "no two have one place"
    return dict(found)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Chain((Norm(), Norm()), ("a",)), "Chain names are .*accepted are 2 names of which no two are the same, or none"),
        (lambda: Chain((Norm(), Norm()), ("a", "a")), "Chain names are"),
        (lambda: Sum((Norm(),), ("a", "b")), "Sum names are"),
        (lambda: Graph((((0, Norm()),), ((0, Norm()), (1, Norm()))), ("a", "b")), "Graph names are .*accepted are 3 names"),
    ],
)
def test_names_that_do_not_fit_are_refused(make: Callable[[], Any], said: str) -> None:
    with pytest.raises(OptionError, match=said):
        make()


def test_a_part_without_a_name_has_its_position() -> None:
    whole = named({"first": chain(Conv(4), Norm()), "": Sum((Conv(4), DropPath(Norm(), 0.1)), ("", "skip"))})
    assert [place for place, _ in leaves(whole)] == ["first/0", "first/1", "", "skip"]


def test_names_say_nothing_of_what_a_network_does() -> None:
    with_names, without = named({"a": Conv(4), "b": Norm()}), chain(Conv(4), Norm())
    assert measure(with_names, (3, 8, 8)) == measure(without, (3, 8, 8))
    assert repr(with_names) == repr(without)
    assert with_names != without


@pytest.mark.parametrize(
    ("shallow", "deep"),
    [
        ({"family": "wrn", "wrn_blocks": 1}, {"family": "wrn", "wrn_blocks": 3, "wrn_dropout": 0.3}),
        ({"family": "mobile", "mobile_blocks_1": 2}, {"family": "mobile", "mobile_blocks_1": 4, "mobile_drop_path": 0.2}),
        ({"family": "multi_branch", "nr_residual_blocks_1": 1}, {"family": "multi_branch", "nr_residual_blocks_1": 4}),
        ({"family": "multi_branch", "res_branches_1": 1, "death_rate": 0.5}, {"family": "multi_branch", "res_branches_1": 3}),
        ({"family": "zela2018", "nr_residual_blocks_2": 1}, {"family": "zela2018", "nr_residual_blocks_2": 3}),
        ({"family": "cell", "cell_repeats": 1}, {"family": "cell", "cell_repeats": 3}),
        ({"family": "cell", **CELL, "cell_edge_0_3": "nor_conv_3x3"}, {"family": "cell"}),
        ({"family": "cell", **CELL, "cell_edge_0_1": "none", "cell_edge_2_3": "nor_conv_3x3"}, {"family": "cell"}),
    ],
)
def test_a_deeper_network_has_what_a_shallow_one_has_in_the_same_place(shallow: dict[str, Value], deep: dict[str, Value]) -> None:
    few, many = places(shallow), places(deep)
    assert few.items() < many.items()


def test_a_block_is_in_one_place_whether_its_skip_connection_is_a_convolution_or_none() -> None:
    # 16 channels behind a stem of 16, and 32
    same, changed = (places({"family": "wrn", "wrn_blocks": 1, "wrn_widen_factor": k}) for k in (1.0, 2.0))
    assert changed.keys() - same.keys() == {"wrn/group_1_block_1/skip"}
    assert same.keys() <= changed.keys()


def test_operators_of_an_edge_have_places_of_their_own() -> None:
    found = {o: places({"family": "cell", **CELL, "cell_edge_0_1": o}).keys() for o in ("nor_conv_1x1", "nor_conv_3x3")}
    assert "cell/stage_2_cell_1/edge_0_1/nor_conv_1x1" in found["nor_conv_1x1"]
    common = found["nor_conv_1x1"] & found["nor_conv_3x3"]
    assert not any("edge" in place for place in common)
    assert common


def test_families_have_no_place_in_common() -> None:
    found = {name: set(places({"family": name})) for name in ("cell", "mobile", "multi_branch", "wrn")}
    assert len(set.union(*found.values())) == sum(map(len, found.values()))
    assert {beside(networks.network({"family": name})) for name in found} == set(found)
    assert beside(chain(Identity(), Norm())) == beside(Norm()) == ""
