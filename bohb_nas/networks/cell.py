"""The cells of NAS-Bench-201 (Dong and Yang 2020): four nodes, on each of six edges one of five operators.

What cannot pass anything on from the cell's input to its output is left out: it would be trained to no effect.
"""

from collections.abc import Mapping

from ConfigSpace import Categorical, ConfigurationSpace, Float, ForbiddenAndConjunction, ForbiddenEqualsClause, Integer

from bohb_nas.layers import Activation, Conv, Graph, Identity, Layer, Norm, Pool, Sum, Zero, chain, conv_norm, named
from bohb_nas.networks._widths import multiple_of_8
from bohb_nas.records import Value

N_NODES = 4
EDGES = tuple((source, target) for target in range(1, N_NODES) for source in range(target))
"""From node to node, in the published order."""
OPERATORS = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
_CUTS = (((0, 1), (0, 2), (0, 3)), ((0, 2), (0, 3), (1, 2), (1, 3)), ((0, 1), (0, 3), (2, 3)), ((0, 3), (1, 3), (2, 3)))
"""Sets of edges, one of which every cell without a path from input to output lacks as a whole."""


def space() -> ConfigurationSpace:
    """The published cells, those excepted that lead nothing from input to output; their number and width even in the logarithm."""
    cells = ConfigurationSpace()
    cells.add(
        Integer("cell_repeats", (1, 6), default=2, log=True),
        Float("cell_channels", (8.0, 64.0), default=16.0, log=True),
        *(Categorical(name(edge), OPERATORS, default="nor_conv_3x3") for edge in EDGES),
    )
    for cut in _CUTS:
        cells.add(ForbiddenAndConjunction(*(ForbiddenEqualsClause(cells[name(edge)], "none") for edge in cut)))
    return cells


def name(edge: tuple[int, int]) -> str:
    """The hyperparameter of an edge."""
    return f"cell_edge_{edge[0]}_{edge[1]}"


def network(config: Mapping[str, Value]) -> Layer:
    """The published skeleton: C channels, N cells, 2C, N cells, 4C, N cells; C to the nearest multiple of 8."""
    channels = multiple_of_8(float(config["cell_channels"]))
    layers: dict[str, Layer] = {"cell/stem": conv_norm(channels)}
    for stage in range(1, 4):
        out = channels * 2 ** (stage - 1)
        if stage > 1:
            layers[f"cell/stage_{stage}_reduction"] = _reduction(out)
        repeated = cell({edge: str(config[name(edge)]) for edge in EDGES}, out)
        layers |= {f"cell/stage_{stage}_cell_{number}": repeated for number in range(1, int(config["cell_repeats"]) + 1)}
    return named({**layers, "cell/end_norm": Norm(), "cell/end": Activation()})


def cell(operators: Mapping[tuple[int, int], str], channels: int) -> Layer:
    """The graph of a cell's edges that lead from input to output; zeros where there is none.

    Args:
        operators: of every edge.
        channels: in and out.
    """
    edges = [edge for edge in EDGES if operators[edge] != "none"]
    reached, leading = {0}, {N_NODES - 1}
    for source, target in edges:
        reached |= {target} if source in reached else set()
    for source, target in reversed(edges):
        leading |= {source} if target in leading else set()
    alive = sorted(reached & leading)
    if 0 not in alive:
        return Zero()
    place = {node: number for number, node in enumerate(alive)}
    kept = [edge for edge in edges if set(edge) <= place.keys()]  # in the published order: by target
    nodes = [
        tuple((place[source], _operator(operators[source, target], channels)) for source, target in kept if target == node)
        for node in alive[1:]
    ]
    return Graph(tuple(nodes), tuple(f"edge_{source}_{target}" for source, target in kept))


def _operator(operator: str, channels: int) -> Layer:
    match operator:
        case "skip_connect":
            return Identity()
        case "avg_pool_3x3":
            return Pool("average", 3, 1)
        case _:
            convolution = Conv(channels, 1 if operator == "nor_conv_1x1" else 3)
            return named({"relu": Activation(), operator: convolution, f"{operator}_norm": Norm()})


def _reduction(out: int) -> Layer:
    """A residual block that halves the sides; the skip connection averages."""
    residual = chain(Activation(), Conv(out, 3, 2), Norm(), Activation(), Conv(out), Norm())
    return Sum((residual, chain(Pool("average", 2, 2), Conv(out, 1))))
