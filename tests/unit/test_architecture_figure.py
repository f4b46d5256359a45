"""The drawing of a network: how its parts are folded, worked out by hand, and that nothing lies on anything else."""

import itertools
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import findings_fakes
import pytest

from bohb_nas.layers import Activation, Concat, Conv, Dropout, Graph, Identity, Norm, Pool, Sum, chain, conv_norm
from bohb_nas.layers.drawing import draw as tree_of
from bohb_nas.networks import family_space, network
from bohb_nas.report import figures
from bohb_nas.report.figures import architecture
from bohb_nas.report.figures._blocks import Row, groups_of_leaves, rows
from bohb_nas.report.figures._sketch import Box, Line, Node, Sketch, beside, box, graph, stacked
from bohb_nas.report.figures.architecture import _details, _sequence
from bohb_nas.report.layer_trees import said, sound, width
from bohb_nas.space.encoding import plain

SHAPE = (3, 32, 32)
CONV: dict[str, Any] = {"layer": "conv", "out": 4, "kernel": 3, "stride": 1, "groups": 1, "shape": [4, 8, 8], "params": 108}


def folded(tree: dict[str, Any]) -> list[tuple[int | None, int, tuple[int, ...]]]:
    return [(row.kind, row.times, row.shape) for row in rows(tree)[0]]


def residual(out: int, *, stride: int = 1) -> Sum:
    path = chain(Activation(), Conv(out, 3, stride), Norm(), Activation(), Conv(out), Norm())
    return Sum((path, Identity() if stride == 1 else Conv(out, 1, stride)))


def test_equal_neighbours_are_folded_and_blocks_that_differ_in_width_alone_are_of_one_kind() -> None:
    net = chain(
        conv_norm(16), *[residual(16)] * 3, residual(32, stride=2), residual(32), residual(64, stride=2), residual(64), Activation()
    )
    tree = tree_of(net, SHAPE)
    assert folded(tree) == [
        (None, 1, (16, 32, 32)),
        (0, 3, (16, 32, 32)),
        (1, 1, (32, 16, 16)),
        (0, 1, (32, 16, 16)),
        (1, 1, (64, 8, 8)),
        (0, 1, (64, 8, 8)),
        (None, 1, (64, 8, 8)),
    ]
    found = rows(tree)[0]
    assert found[1].params == 3 * 2 * (16 * 16 * 9 + 2 * 16)
    assert sum(row.params for row in found) == tree["params"]


def test_stages_are_opened_and_chains_of_plain_layers_are_blocks() -> None:
    stage = chain(residual(8), residual(8))
    inverted = chain(Conv(24, 1), Norm(), Activation(), Conv(24, 3, groups=24), Norm(), Activation(), Conv(8, 1), Norm())
    assert [(kind, times) for kind, times, _ in folded(tree_of(chain(Conv(8), stage, inverted), SHAPE))] == [(None, 1), (0, 2), (1, 1)]


def test_a_network_of_one_layer() -> None:
    assert folded(tree_of(Conv(4), SHAPE)) == [(None, 1, (4, 32, 32))]


@pytest.mark.parametrize(
    ("out", "channels", "expected"),
    [
        (16, None, "16"),
        (16, 16, "C"),
        (8, 16, "C/2"),
        (48, 16, "3 C"),
        (24, 16, "3 C/2"),
        (32, 65, "≈C/2"),
        (33, 65, "≈C/2"),
        (37, 64, "37"),
    ],
)
def test_widths_are_said_in_terms_of_the_blocks(out: int, channels: int | None, expected: str) -> None:
    assert width(out, channels) == expected


def test_layers_in_a_few_letters() -> None:
    layers = chain(
        Conv(8, 5, 2), Conv(8, 3, groups=8), Conv(16, 1, groups=4), Activation("hardswish"), Pool("max", 3, 2), Dropout(0.25), Norm()
    )
    leaves = tree_of(layers, SHAPE)["layers"]
    words = ["5×5 conv 8 ↓2", "3×3 depthwise", "1×1 conv 16, 4 groups", "h-swish", "3×3 max pool ↓2", "dropout 0.25", "norm"]
    assert [said(leaf, None) for leaf in leaves] == words


@pytest.mark.parametrize(
    ("layers", "sizes"),
    [
        ((Conv(4), Norm(), Activation(), Conv(4), Norm()), [3, 2]),  # norm and activation after
        ((Activation(), Conv(4), Norm(), Activation(), Conv(4), Norm()), [3, 3]),  # activation before, norm after
        ((Norm(), Activation(), Conv(4), Norm(), Activation(), Conv(4)), [3, 3]),  # both before
        ((Norm(), Activation()), [2]),
        ((Conv(4), Conv(4)), [1, 1]),
    ],
)
def test_norms_and_activations_stay_with_their_convolution(layers: tuple[Any, ...], sizes: list[int]) -> None:
    assert [len(group) for group in groups_of_leaves(tree_of(chain(*layers), SHAPE)["layers"])] == sizes


def test_what_is_no_tree_is_told_apart() -> None:
    good = tree_of(Graph((((0, Conv(4)),), ((0, Conv(4)), (1, Norm())))), SHAPE)
    assert sound(good)
    bad: object
    for bad in (
        None,
        [],
        {},
        {**good, "shape": [1, 2]},
        {**good, "nodes": []},
        {**good, "nodes": [[{**good["nodes"][0][0], "source": 1}]]},
        {**good, "nodes": [[{"source": 0}]]},
        {"layer": "chain", "shape": [1, 1, 1], "params": 0},
        {"layer": "conv", "shape": [1, 1, 1], "params": 0, "out": "x"},
        {"layer": "sum", "shape": [1, 1, 1], "params": 0, "paths": [3]},
    ):
        assert not sound(bad)
    deep: dict[str, Any] = tree_of(Norm(), SHAPE)
    for _ in range(2000):
        deep = {"layer": "chain", "shape": [3, 32, 32], "params": 0, "layers": [deep]}
    assert not sound(deep)


def boxes(sketch: Sketch) -> list[tuple[float, float, float, float]]:
    """Left, top, right, bottom of everything with an area."""
    found = [(m.x, m.y, m.x + m.width, m.y + m.height) for m in sketch.marks if isinstance(m, Box) and m.width]
    return found + [(m.x - 0.075, m.y - 0.075, m.x + 0.075, m.y + 0.075) for m in sketch.marks if isinstance(m, Node)]


def check(sketch: Sketch) -> None:
    """Nothing lies on anything else, nothing lies outside, and no line runs through a box."""
    areas = boxes(sketch)
    for a, b in itertools.combinations(areas, 2):
        assert a[2] <= b[0] + 1e-9 or b[2] <= a[0] + 1e-9 or a[3] <= b[1] + 1e-9 or b[3] <= a[1] + 1e-9
    for left, top, right, bottom in areas:
        assert left >= -1e-9
        assert top >= -1e-9
        assert right <= sketch.width + 1e-9
        assert bottom <= sketch.height + 1e-9
    for line in (m for m in sketch.marks if isinstance(m, Line)):
        for (x0, y0), (x1, y1) in itertools.pairwise(line.points):
            for left, top, right, bottom in areas:
                inside = 0.03  # lines end in the circle of a node
                crosses = min(x0, x1) < right - inside and max(x0, x1) > left + inside and min(y0, y1) < bottom - inside
                assert not (crosses and max(y0, y1) > top + inside)


@pytest.mark.parametrize("family", ["zela2018", "wrn", "multi_branch", "cell", "mobile"])
def test_nothing_lies_on_anything_else(family: str) -> None:
    space = family_space(family)
    space.seed(0)
    for k in range(12):
        config = {name: plain(value) for name, value in dict(space.sample_configuration()).items()} if k else {}
        tree = tree_of(network({"family": family, **config}), SHAPE)
        sequence, kinds = rows(tree)
        assert sum(row.params for row in sequence) == tree["params"]
        check(_sequence(sequence))
        for _, _, sketch, _ in _details(kinds, 4.0)[0]:
            check(sketch)


def test_graphs_of_every_form_have_room() -> None:
    part = box(["3×3 conv C", "norm"], "white")
    wide = beside([part, stacked([part, part])], "concat")
    for nodes in (
        [[(0, part)]],
        [[(0, part), (0, part)]],
        [[(0, part)], [(0, wide)], [(0, part), (1, part), (2, wide)]],
        [[(0, part)], [(0, part)], [(0, part)], [(0, wide), (1, part), (2, part), (3, part)]],
        [[(k, part) for k in range(n)] for n in range(1, 7)],
    ):
        check(graph(nodes))


def labels(folder: Path) -> list[str]:
    svg = ET.parse(folder / "architecture.svg")  # noqa: S314
    return ["".join(one.itertext()).strip() for one in svg.iter("{http://www.w3.org/2000/svg}text")]


def test_the_drawing_says_shapes_and_parameters(tmp_path: Path) -> None:
    figures.draw([findings_fakes.findings(n_configs=3, n_axes=2, budgets=(400.0,), family="cell")], tmp_path, formats=("svg",))
    said_there = labels(tmp_path)
    assert "A × 2" in said_there
    assert {"16×32×32", "32×16×16", "64×8×8", "A, C = 16, 32, 64"} <= set(said_there)
    assert said_there.count("3×3 conv C") == 6 + 1  # six edges of the cell, and the second of the way down
    assert "444 k" in said_there  # two cells of 221,952


def test_a_tree_that_cannot_be_read_is_said(tmp_path: Path) -> None:
    found = findings_fakes.findings(n_configs=3, n_axes=2, budgets=(400.0,))
    assert found["incumbent"] is not None
    found["incumbent"]["network"] = {"layer": "chain"}
    figures.draw([found], tmp_path, formats=("svg",))
    assert any("no tree of layers" in text for text in labels(tmp_path))


def test_many_lanes_are_drawn_once() -> None:
    tree = tree_of(chain(Sum((Conv(4),) * 9)), SHAPE)
    sketch = _details(rows(tree)[1], 4.0)[0][0][2]
    lines = [mark.lines for mark in sketch.marks if isinstance(mark, Box)]
    assert lines.count(("3×3 conv 4",)) == 1
    assert ("× 9",) in lines


def test_rows_tell_what_they_make() -> None:
    layer = tree_of(Concat((Conv(4), Conv(8))), SHAPE)
    assert Row((layer,), 5, 0).shape == (12, 32, 32)


@pytest.mark.parametrize(
    "wrong",
    [
        {"layer": "droppath", "rate": "often", "path": CONV},
        {"layer": "shakedrop", "rate": None, "path": CONV},
        {"layer": "conv", "nodes": "none"},
        {"layer": "sum", "paths": [CONV], "nodes": [[{**CONV, "source": 0}]]},
        {"layer": "graph", "nodes": [[{**CONV, "source": 0.0}]]},
        {"layer": "graph", "nodes": [[{**CONV, "source": False}]]},
        {"layer": "graph", "nodes": [[{**CONV, "source": -1}]]},
    ],
)
def test_what_no_network_has_is_no_tree(wrong: dict[str, Any]) -> None:
    assert sound(CONV)
    assert not sound({**CONV, **wrong})
    assert not sound({"layer": "chain", "shape": [4, 8, 8], "params": 1, "layers": [CONV, {**CONV, **wrong}]})


@pytest.mark.parametrize(
    ("network", "said"),
    [
        ({**CONV, "layer": "chain", "layers": [CONV] * 4000}, "has 4001 layers: too many for a page"),
        ({**CONV, "layer": "sum", "paths": [{**CONV, "out": n} for n in range(1, 100)]}, "inches wide: too large for a page"),
        ({**CONV, "layer": "w" * 1000}, "inches wide: too large for a page"),
    ],
)
def test_a_network_that_no_page_has_room_for_is_said(tmp_path: Path, network: dict[str, Any], said: str) -> None:
    found = findings_fakes.findings(n_configs=3, n_axes=2, budgets=(400.0,))
    assert found["incumbent"] is not None
    found["incumbent"]["network"] = network
    ((_, drawing),) = architecture.figures(found)
    figure = drawing()
    assert said in " ".join(" ".join(text.get_text() for place in figure.axes for text in place.texts).split())
