"""The nodes of DHA's cell during the search: which operators each keeps, how its code learns, and when it is frozen."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from ConfigSpace import ConfigurationSpace

from bohb_nas.errors import OptionError
from bohb_nas.networks import cell as cells
from bohb_nas.one_shot_settings import Dha
from bohb_nas.oneshot.chance import Chance
from bohb_nas.oneshot.credits import Credits
from bohb_nas.oneshot.sparse_coding import CodeAdam, Node, initial, settled

_KEPT = 2
"""Operators of a node, each on an edge of its own; a node with one edge keeps one."""

_WARM_UP = 0.5
"""Fraction of the search before anything is learnt: pools and skips look good while convolutions are still random."""
_TRIED = 4
"""Steps for which operators drawn at random are tried."""

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
        self._learnt = 0
        """Steps of the codes."""
        self._adams = dict[int, CodeAdam]()
        self._credits = Credits({target: len(choices) for target, choices in columns.items()})
        for target, choices in columns.items():
            edges = [source for source, _ in choices]
            n_kept = min(_KEPT, len(set(edges)))
            self.nodes[target] = initial(edges, n_kept, m=settings.proj_dims, rng=chance.rng("codes", target))
            self._adams[target] = CodeAdam(settings.proj_dims, rate=settings.code_rate)

    @property
    def all_frozen(self) -> bool:
        """Whether the search has ended."""
        return len(self.frozen) == len(self.nodes)

    def drawn(self, u: float, step: int) -> tuple[Mapping[int, Node], int | None]:
        """The nodes of a step, and which is tried: as they are, or, ever more rarely, one with operators drawn at random.

        The released method computes the kept operators alone. An operator that was not among the first ones then has weights that were
        never trained, and a code that hears nothing of it. One node at a time: in networks that are drawn anew as a whole, nothing that
        a weight has learnt holds in the next. To try the same operators for some steps saves building a network for each.
        """
        rng = self._chance.rng("candidates", step // _TRIED)
        open_nodes = [target for target in self.nodes if target not in self.frozen]
        if not open_nodes or rng.random() >= self._settings.explore * (1 - (u / self._settings.search_share) ** 2):
            return self.nodes, None
        target = open_nodes[int(rng.integers(len(open_nodes)))]
        return {**self.nodes, target: self.nodes[target].tried(rng)}, target

    def kept(self, nodes: Mapping[int, Node]) -> Iterator[tuple[int, int, float]]:
        """Node, column and weight of every kept operator of the nodes that are not frozen."""
        for target, node in nodes.items():
            if target not in self.frozen:
                for column, weight in zip(node.kept, node.weights(), strict=True):
                    yield target, column, float(weight)

    def learn(self, nodes: Mapping[int, Node], slopes: Mapping[int, Sequence[float]], loss: float, *, tried: int | None, u: float) -> None:
        """A step of the codes down the training loss and towards operators with credit.

        Args:
            nodes: as this step computed them.
            slopes: of the loss by the weights of each one's kept operators; nodes that do not reach the output are left out.
            loss: of this step.
            tried: the node whose operators were drawn at random.
            u: fraction of the budget.
        """
        if u < _WARM_UP * self._settings.search_share:
            return
        self._learnt += 1
        if tried is not None and tried in slopes:
            self._credits.learn(tried, nodes[tried].kept, loss)
        for target, node in self.nodes.items():
            if target in self.frozen:
                continue
            code = node.code
            if tried is None and len(node.kept) > 1 and target in slopes:
                code = self._adams[target].step(code, node.code_gradient(np.array(slopes[target])))
            towards = np.sign(node.columns.T @ code) * self._credits.of(target)
            self.nodes[target] = node.with_code(code + self._settings.credit_rate * node.columns @ towards)

    @property
    def due(self) -> bool:
        """Whether it is time for a recovery."""
        return not self.all_frozen and self._learnt > 0 and self._learnt % self._settings.recover_every == 0

    def recover(self) -> list[int]:
        """Puts in place the operators that the codes stand for now; returns the nodes whose weights hardly moved.

        Those that nothing moved, because they heard nothing yet, are not among them.
        """
        still = []
        for target, node in self.nodes.items():
            if target not in self.frozen:
                self.nodes[target] = now = node.recovered()
                self.swaps += now.kept != node.kept
                if not np.array_equal(now.x, node.x) and settled(now.x, node.x, self._settings.settled):
                    still.append(target)
        return still

    def state(self) -> dict[str, Any]:
        """All that changes, as JSON."""
        return {
            "nodes": {str(target): node.state() for target, node in self.nodes.items()},
            "adams": {str(target): adam.state() for target, adam in self._adams.items()},
            "frozen": {str(target): u for target, u in self.frozen.items()},
            "credits": self._credits.state(),
            "swaps": self.swaps,
            "learnt": self._learnt,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """The inverse of `state`."""
        self.nodes = {int(target): Node.from_state(node) for target, node in state["nodes"].items()}
        for target, adam in state["adams"].items():
            self._adams[int(target)].restore(adam)
        self.frozen = {int(target): float(u) for target, u in state["frozen"].items()}
        self._credits.restore(state["credits"])
        self.swaps, self._learnt = int(state["swaps"]), int(state["learnt"])
