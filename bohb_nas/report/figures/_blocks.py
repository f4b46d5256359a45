"""A tree of layers as rows: what stands one after the other, repeated blocks folded, and which blocks are built alike."""

from collections.abc import Sequence
from dataclasses import dataclass

from bohb_nas.report.layer_trees import Tree, groups, is_leaf, width

_STEM = 4
"""Plain layers up to which a chain is no block of its own."""


@dataclass(frozen=True, slots=True)
class Row:
    """Something in the sequence that a network is at its top."""

    layers: tuple[Tree, ...]
    """One block, or plain layers one after the other."""
    times: int
    """How often it stands there in sequence."""
    kind: int | None
    """Which block it is built as; None for plain layers."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Channels, height and width that it makes."""
        return tuple(self.layers[-1]["shape"])

    @property
    def params(self) -> int:
        """Of all its repetitions."""
        return self.times * int(sum(layer["params"] for layer in self.layers))


def n_layers(tree: Tree) -> int:
    """How many layers there are in one, itself included."""
    parts = [*tree.get("layers", ()), *tree.get("paths", ()), *(edge for edges in tree.get("nodes", ()) for edge in edges)]
    return 1 + sum(map(n_layers, [*parts, tree["path"]] if "path" in tree else parts))


def rows(tree: Tree) -> tuple[list[Row], list[list[Tree]]]:
    """The sequence that a network is, and for each kind of block the blocks of it, once each.

    Blocks are of one kind where they differ in their width and place alone.
    """
    kinds: dict[object, list[Tree]] = {}
    found: list[Row] = []
    for part in _flat(tree):
        if is_leaf(part):
            if found and found[-1].kind is None:
                found[-1] = Row((*found[-1].layers, part), 1, None)
            else:
                found.append(Row((part,), 1, None))
            continue
        key = _signature(part, part["shape"][0])
        kind = list(kinds).index(key) if key in kinds else len(kinds)
        if found and found[-1].kind is not None and found[-1].layers[0] == part:
            found[-1] = Row((part,), found[-1].times + 1, kind)
        else:
            kinds.setdefault(key, []).append(part)
            found.append(Row((part,), 1, kind))
    return found, list(kinds.values())


def _flat(tree: Tree) -> list[Tree]:
    """The parts of a chain, chains of several blocks and of a few plain layers opened."""
    if tree["layer"] != "chain":
        return [tree]
    found: list[Tree] = []
    for part in tree["layers"]:
        if part["layer"] == "chain":
            opened = _flat(part)
            plain = len(part["layers"]) <= _STEM and all(map(is_leaf, part["layers"]))
            found += opened if plain or len(opened) == 1 or sum(not is_leaf(one) for one in opened) > 1 else [part]
        else:
            found.append(part)
    return found


def _signature(tree: Tree, channels: int) -> object:
    """What two blocks have in common that are built alike; widths as shares of what the block makes."""
    own = {key: value for key, value in tree.items() if key not in ("layers", "paths", "path", "nodes", "shape", "params", "out", "groups")}
    if tree["layer"] == "conv":
        own |= {"out": width(tree["out"], channels), "groups": groups(tree)}
    parts: list[object] = [_signature(part, channels) for key in ("layers", "paths") for part in tree.get(key, ())]
    if "path" in tree:
        parts.append(_signature(tree["path"], channels))
    parts += [tuple(_signature(edge, channels) for edge in edges) for edges in tree.get("nodes", ())]
    return (tuple(sorted((key, repr(value)) for key, value in own.items())), tuple(parts))


def groups_of_leaves(leaves: Sequence[Tree]) -> list[tuple[Tree, ...]]:
    """Plain layers in small groups, a convolution or a pool in each with the norms and activations that belong to it."""
    heavy = [not _light(leaf) for leaf in leaves]
    if not any(heavy):
        return [tuple(leaves)]
    found: list[list[Tree]] = [[]]
    before = not heavy[0]  # norms and activations stand before the convolutions
    normed = before and any(leaf["layer"] == "norm" for leaf in leaves[: heavy.index(True)])
    for k, leaf in enumerate(leaves):
        done = any(not _light(one) for one in found[-1])
        starts = done and (not _light(leaf) or (before and not (leaf["layer"] == "norm" and not normed and heavy[k - 1])))
        if starts:
            found.append([])
        found[-1].append(leaf)
    return [tuple(group) for group in found]


def _light(leaf: Tree) -> bool:
    return leaf["layer"] in ("norm", "activation", "dropout", "identity")
