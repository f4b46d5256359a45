"""The nodes of DHA's cell during the search: which operators each keeps, how its code learns, and when it is frozen."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from ConfigSpace import ConfigurationSpace

from bohb_nas.errors import OptionError
from bohb_nas.networks import cell as cells
from bohb_nas.one_shot_settings import Dha
from bohb_nas.oneshot.chance import Chance
from bohb_nas.oneshot.sparse_coding import CodeAdam, Node, initial, settled, support

_KEPT = 2
"""Operators of a node, each on an edge of its own; a node with one edge keeps one."""

Columns = Mapping[int, Sequence[tuple[int, str]]]
"""Of every node, its operators: from which node, and which."""


def columns_of(space: ConfigurationSpace) -> Columns:
    """What there is to choose in a space.

    Raises:
        OptionError: the space lacks an edge, or an edge has no operator to choose.
    """
    names = [cells.name(edge) for edge in cells.EDGES]
    if missing := [name for name in names if name not in space]:
        raise OptionError(f"DHA searches the operators of cells, and the space has no {', '.join(missing)}; accepted is --space cell")
    found: dict[int, list[tuple[int, str]]] = {}
    for source, target in cells.EDGES:
        choices = [str(choice) for choice in getattr(space[cells.name((source, target))], "choices", ())]
        if not (operators := [choice for choice in choices if choice != "none"]):
            raise OptionError(f"{cells.name((source, target))} has no operator to choose; accepted are {', '.join(cells.OPERATORS[1:])}")
        found.setdefault(target, []).extend((source, operator) for operator in operators)
    return found


class CellCodes:
    """The codes of all nodes, and what they stand for.

    Args:
        columns: what there is to choose.
        settings: of the search.
        chance: its randomness.
    """

    def __init__(self, columns: Columns, settings: Dha, chance: Chance) -> None:
        self.columns = columns
        self.nodes = dict[int, Node]()
        self.frozen = dict[int, float]()
        """Node -> fraction of the budget at which it was."""
        self.swaps = 0
        """Recoveries that put another operator in place."""
        self._settings, self._chance = settings, chance
        self._adams = dict[int, CodeAdam]()
        for target, choices in columns.items():
            edges = [source for source, _ in choices]
            n_kept = min(_KEPT, len(set(edges)))
            self.nodes[target] = initial(edges, n_kept, m=settings.proj_dims, rng=chance.rng("codes", target))
            self._adams[target] = CodeAdam(settings.proj_dims, rate=settings.code_rate)

    @property
    def all_frozen(self) -> bool:
        """Whether the search has ended."""
        return len(self.frozen) == len(self.nodes)

    def explored(self, u: float, step: int) -> Mapping[int, Node]:
        """The nodes of a step: as they are, or with operators drawn at random, which happens less and less.

        The released method computes the kept operators alone. An operator that was not among the first ones then has weights that were
        never trained, and a code that hears nothing of it.
        """
        rng = self._chance.rng("candidates", step)
        if rng.random() >= self._settings.explore * (1 - u / self._settings.search_share):
            return self.nodes
        return {
            target: node if target in self.frozen else replace(node, kept=support(rng.random(len(node.x)), node.edges, len(node.kept)))
            for target, node in self.nodes.items()
        }

    def operators(self, nodes: Mapping[int, Node]) -> dict[tuple[int, int], str]:
        """Of every edge; `none` where the node keeps no operator."""
        found = dict.fromkeys(cells.EDGES, "none")
        for target, node in nodes.items():
            for column in node.kept:
                source, operator = self.columns[target][column]
                found[source, target] = operator
        return found

    def kept(self, nodes: Mapping[int, Node]) -> Iterator[tuple[int, int, float]]:
        """Node, column and weight of every kept operator of the nodes that are not frozen."""
        for target, node in nodes.items():
            if target not in self.frozen:
                for column, weight in zip(node.kept, node.weights(), strict=True):
                    yield target, column, float(weight)

    def learn(self, nodes: Mapping[int, Node], slopes: Mapping[int, Sequence[float]]) -> None:
        """A step of the codes down the training loss.

        Args:
            nodes: as this step computed them.
            slopes: of the loss by the weights of each one's kept operators.
        """
        for target, own in slopes.items():
            gradient = nodes[target].code_gradient(np.array(own))
            self.nodes[target] = self.nodes[target].with_code(self._adams[target].step(nodes[target].code, gradient))

    def recover(self) -> list[int]:
        """Puts in place the operators that the codes stand for now; returns the nodes whose weights hardly moved."""
        still = []
        for target, node in self.nodes.items():
            if target not in self.frozen:
                self.nodes[target] = now = node.recovered()
                self.swaps += now.kept != node.kept
                if settled(now.x, node.x, self._settings.settled):
                    still.append(target)
        return still

    def state(self) -> dict[str, Any]:
        """All that changes, as JSON."""
        return {
            "nodes": {str(target): node.state() for target, node in self.nodes.items()},
            "adams": {str(target): adam.state() for target, adam in self._adams.items()},
            "frozen": {str(target): u for target, u in self.frozen.items()},
            "swaps": self.swaps,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """The inverse of `state`."""
        self.nodes = {int(target): Node.from_state(node) for target, node in state["nodes"].items()}
        for target, adam in state["adams"].items():
            self._adams[int(target)].restore(adam)
        self.frozen = {int(target): float(u) for target, u in state["frozen"].items()}
        self.swaps = int(state["swaps"])
