"""The networks of DHA's search: of every choice of operators one, and which of its normalisations stand behind which operator."""

from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache

import torch
from torch import Tensor

from bohb_nas.layers import Layer
from bohb_nas.networks import cell as cells
from bohb_nas.oneshot.bank import KEPT, Bank, Candidate
from bohb_nas.oneshot.cell_codes import Columns
from bohb_nas.oneshot.sparse_coding import Node

Cells = Callable[[int], Layer]
"""Channels -> a cell."""
Skeleton = Callable[[Cells], Layer]
"""Cells -> the network around them."""
Kept = Iterable[tuple[int, int, float]]
"""Of operators: node, column, weight."""
Choice = tuple[tuple[int, tuple[int, ...]], ...]
"""Of every node, the columns that it keeps."""


class CellNetworks:
    """All of them, over shared weights.

    Args:
        skeleton: the network around the cells.
        columns: of every node, what there is to choose.
        bank: the weights.
    """

    def __init__(self, skeleton: Skeleton, columns: Columns, bank: Bank) -> None:
        self._skeleton, self._columns, self._bank = skeleton, columns, bank
        self._known = lru_cache(KEPT)(self._build)

    def of(self, nodes: Mapping[int, Node]) -> "CellNetwork":
        """The network of what nodes keep; the bank has its tensors from then on."""
        return self._known(tuple((target, node.kept) for target, node in nodes.items()))

    def operators(self, nodes: Mapping[int, Node]) -> dict[tuple[int, int], str]:
        """Of every edge; `none` where the node keeps no operator."""
        return self._operators(tuple((target, node.kept) for target, node in nodes.items()))

    def _operators(self, choice: Choice) -> dict[tuple[int, int], str]:
        chosen = (self._columns[target][column] + (target,) for target, kept in choice for column in kept)
        return dict.fromkeys(cells.EDGES, "none") | {(source, target): operator for source, operator, target in chosen}

    def _build(self, choice: Choice) -> "CellNetwork":
        operators = self._operators(choice)
        candidate = self._bank.candidate(self._skeleton(lambda channels: cells.cell(operators, channels, normalised=True)))
        norms: dict[tuple[int, int], tuple[str, ...]] = {}
        for target, kept in choice:
            for column in kept:
                source, operator = self._columns[target][column]
                end = f"/edge_{source}_{target}/{operator}_norm/weight"
                norms[target, column] = tuple(name for name, place in candidate.places.items() if place.endswith(end))
        return CellNetwork(candidate, norms)


class CellNetwork:
    """One of them.

    Args:
        candidate: over the shared weights.
        norms: by node and column, the names of the scales, in every cell, of the normalisation behind an operator; none of one that
            nothing passes through.
    """

    def __init__(self, candidate: Candidate, norms: Mapping[tuple[int, int], tuple[str, ...]]) -> None:
        self.candidate = candidate
        self._norms = norms

    @property
    def layers(self) -> Layer:
        """What it is built from."""
        return self.candidate.network.layers

    def scales(self, kept: Kept) -> dict[str, Tensor]:
        """The scales and shifts of the normalisations behind these operators: their weights, and zeros."""
        scales, weights = dict[str, Tensor](), self.candidate.weights()
        for target, column, weight in kept:
            for name in self._norms[target, column]:
                shift = f"{name.removesuffix('weight')}bias"
                scales |= {name: torch.full_like(weights[name], weight), shift: torch.zeros_like(weights[shift])}
        return scales

    def slopes(self, kept: Kept, gradients: Mapping[str, Tensor]) -> dict[int, list[float]]:
        """Of the operators of every node that reaches the output.

        The slope of an operator's weight is that of its scales, all channels and cells together. This waits for the device, once.
        """
        sums, targets = list[Tensor](), list[int]()
        for target, column, _ in kept:
            if own := [gradients[name] for name in self._norms[target, column]]:
                sums.append(torch.cat(own).sum())
                targets.append(target)
        slopes: dict[int, list[float]] = {}
        for target, slope in zip(targets, torch.stack(sums).tolist() if sums else (), strict=True):
            slopes.setdefault(target, []).append(slope)
        return slopes
