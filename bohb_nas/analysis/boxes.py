"""Regression trees over a conditional space as functions on the whole product box: every leaf in disjoint boxes.

A tree says what happens at -1, where a hyperparameter is inactive. The function that is decomposed has no such place: where a
hyperparameter is inactive, whatever it is changes nothing. So a leaf becomes the places of the box whose active part it takes:

=====================================================  ==========================================================
what a leaf takes of a conditional hyperparameter      where in the box that is
=====================================================  ==========================================================
everything                                             no restriction
some values, not -1                                    where it is active, and has one of these values
-1 alone                                               where it is inactive, whatever it is
-1 and some values                                     both of the last two
=====================================================  ==========================================================

Hyperparameters that no condition ties together, directly or through others, restrict a leaf independently: a leaf is the product of a
region for each family of tied ones, and only these regions are cut into boxes.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bohb_nas.analysis.layout import Condition, Layout, Region
from bohb_nas.arrays import Bools, Floats, Ints
from bohb_nas.errors import AnalysisError

_TOLERANCE = 1e-9
_MOST_ENTRIES = 2**22
"""Nodes times columns of the trees that are cut into boxes at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """What the leaves take of one family of columns: p disjoint boxes; a leaf without one takes all."""

    columns: Ints
    """(c,)."""
    leaf: Ints
    """(p,) whose part a box is, rising."""
    lo: Floats
    """(p, c)."""
    hi: Floats
    share: Floats
    """(p,) of the volume of its leaf's region."""
    size: Floats
    """(leaves,) volume of each leaf's region; 1 without a box."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaves:
    """A piecewise constant function on the unit cube: disjoint leaves that fill it, each a product of regions."""

    values: Floats
    """(leaves,)."""
    volumes: Floats
    """(leaves,), summing to 1."""
    blocks: tuple[Block, ...]
    """One per family of columns."""


def of_trees(trees: Sequence[Any], layout: Layout) -> list[Leaves]:
    """The leaves of every tree of a forest.

    Args:
        trees: scikit-learn's, each `estimator.tree_`.
        layout: what they were fitted on.

    Raises:
        AnalysisError: the volumes of a tree's leaves do not sum to 1 within 1e-9.
    """
    return [leaves for group in _groups(trees, layout.d) for leaves in _of_group(group, layout)]


def _groups(trees: Sequence[Any], d: int) -> Iterator[list[Any]]:
    """Trees in order, as many at a time as are worth a group's overhead and fit into memory."""
    group: list[Any] = []
    for tree in trees:
        if group and (sum(one.node_count for one in group) + tree.node_count) * d > _MOST_ENTRIES:
            yield group
            group = []
        group.append(tree)
    yield group


def _of_group(trees: Sequence[Any], layout: Layout) -> Iterator[Leaves]:
    taken, values, counts = _taken(trees, layout)
    blocks = [_block(taken, columns, layout) for columns in layout.families]
    volumes = np.prod([block.size for block in blocks], axis=0)
    ends = np.cumsum(counts).tolist()
    within = [np.searchsorted(block.leaf, [0, *ends]).tolist() for block in blocks]
    for tree, (first, last) in enumerate(zip([0, *ends], ends, strict=False)):
        filled = volumes[first:last].sum()
        if not abs(filled - 1.0) <= _TOLERANCE:
            raise AnalysisError(f"the leaves of a tree fill {filled:.12g} of the box instead of 1: its conditions contradict each other")
        own = [_part(block, slice(*at[tree : tree + 2]), slice(first, last)) for block, at in zip(blocks, within, strict=True)]
        yield Leaves(values=values[first:last], volumes=volumes[first:last], blocks=tuple(own))


def _part(block: Block, boxes: slice, leaves: slice) -> Block:
    """The block of one tree of a group."""
    return Block(
        columns=block.columns,
        leaf=block.leaf[boxes] - leaves.start,
        lo=block.lo[boxes],
        hi=block.hi[boxes],
        share=block.share[boxes],
        size=block.size[leaves],
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Taken:
    """What leaves take of some columns; a side may still count only where its column is active."""

    lo: Floats
    """(b, c)."""
    hi: Floats
    inactive: Bools
    """(b, c) whether -1 is taken."""
    leaf: Ints
    """(b,)."""

    def __getitem__(self, chosen: Any) -> "_Taken":
        return _Taken(lo=self.lo[chosen], hi=self.hi[chosen], inactive=self.inactive[chosen], leaf=self.leaf[chosen])

    @property
    def free(self) -> Bools:
        """(b, c) where nothing is restricted."""
        return (self.lo <= 0) & (self.hi >= 1)


def _taken(trees: Sequence[Any], layout: Layout) -> tuple[_Taken, Floats, Ints]:
    """What each leaf takes of every column, level by level from the roots; the leaves' values; how many each tree has."""
    nodes_of = np.array([tree.node_count for tree in trees])
    roots = np.cumsum(nodes_of) - nodes_of
    left, right = (
        np.concatenate([np.where((below := getattr(tree, side)) < 0, below, below + root) for tree, root in zip(trees, roots, strict=True)])
        for side in ("children_left", "children_right")
    )
    columns, thresholds = (np.concatenate([getattr(tree, name) for tree in trees]) for name in ("feature", "threshold"))
    lo, hi = np.zeros((len(left), layout.d)), np.ones((len(left), layout.d))
    inactive = np.zeros((len(left), layout.d), dtype=np.bool_)
    inactive[roots] = layout.conditional
    places = layout.places(columns, thresholds)
    nodes = roots[left[roots] >= 0]
    while nodes.size:
        for children in (left[nodes], right[nodes]):
            lo[children], hi[children], inactive[children] = lo[nodes], hi[nodes], inactive[nodes]
        j, below, above = columns[nodes], left[nodes], right[nodes]
        hi[below, j] = np.minimum(hi[below, j], places[nodes])
        lo[above, j] = np.maximum(lo[above, j], places[nodes])
        inactive[above, j] = False
        nodes = np.concatenate([below, above])
        nodes = nodes[left[nodes] >= 0]
    ends = left < 0
    values = np.concatenate([tree.value[:, 0, 0] for tree in trees])
    taken = _Taken(lo=lo[ends], hi=hi[ends], inactive=inactive[ends], leaf=np.arange(ends.sum()))
    return taken, values[ends].astype(np.float64), np.asarray(np.add.reduceat(ends.astype(np.int64), roots))


def _block(taken: _Taken, columns: Ints, layout: Layout) -> Block:
    own = _Taken(lo=taken.lo[:, columns], hi=taken.hi[:, columns], inactive=taken.inactive[:, columns], leaf=taken.leaf)
    restricted = ~(own.free & (own.inactive | ~layout.conditional[columns])).all(axis=1)
    boxes, place = own[restricted], {int(j): i for i, j in enumerate(columns)}
    for condition in layout.conditions:
        if int(condition.children[0]) in place:
            children, ancestors = ([place[int(j)] for j in group] for group in (condition.children, condition.ancestors))
            boxes = _placed(boxes, children, ancestors, condition)
    volumes = (boxes.hi - boxes.lo).prod(axis=1)
    order = np.argsort(boxes.leaf, kind="stable")
    order = order[volumes[order] > 0]
    boxes, volumes = boxes[order], volumes[order]
    size = np.asarray(np.bincount(boxes.leaf, weights=volumes, minlength=len(taken.leaf)), dtype=np.float64)
    size[~restricted] = 1.0
    return Block(columns=columns, leaf=boxes.leaf, lo=boxes.lo, hi=boxes.hi, share=volumes / size[boxes.leaf], size=size)


def _placed(boxes: _Taken, children: Sequence[int], ancestors: Sequence[int], condition: Condition) -> _Taken:
    """Boxes, those that restrict the children of a condition cut along it; what they take of the ancestors is final already."""
    lo, hi, inactive = boxes.lo[:, children], boxes.hi[:, children], boxes.inactive[:, children]
    free = (inactive & (lo <= 0) & (hi >= 1)).all(axis=1)
    active = _cut(boxes[~free & (hi > lo).all(axis=1)], ancestors, condition.inside)
    inactive_ones = _cut(boxes[~free & inactive.all(axis=1)], ancestors, condition.outside)
    inactive_ones.lo[:, children], inactive_ones.hi[:, children] = 0.0, 1.0
    parts = (boxes[free], active, inactive_ones)
    return _Taken(
        lo=np.concatenate([p.lo for p in parts]),
        hi=np.concatenate([p.hi for p in parts]),
        inactive=np.concatenate([p.inactive for p in parts]),
        leaf=np.concatenate([p.leaf for p in parts]),
    )


def _cut(boxes: _Taken, ancestors: Sequence[int], region: Region) -> _Taken:
    """What of each box lies in a region of the ancestors."""
    of_box = np.repeat(np.arange(len(boxes.leaf)), len(region.lo))
    of_region = np.tile(np.arange(len(region.lo)), len(boxes.leaf))
    lo = np.maximum(boxes.lo[of_box][:, ancestors], region.lo[of_region])
    hi = np.minimum(boxes.hi[of_box][:, ancestors], region.hi[of_region])
    there = (hi > lo).all(axis=1)
    cut = boxes[of_box[there]]
    cut.lo[:, ancestors], cut.hi[:, ancestors] = lo[there], hi[there]
    return cut
