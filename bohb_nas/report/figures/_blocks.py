"""A tree of layers as rows: what stands one after the other, repeated blocks folded, and which blocks are built alike."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, TypeAlias

Tree: TypeAlias = Mapping[str, Any]
"""A layer as `bohb_nas.layers.drawing.draw` writes it."""

_SEVERAL = ("sum", "concat", "shake")
_ONE = ("shakedrop", "droppath")
_DEEPEST = 40
_STEM = 4
"""Plain layers up to which a chain is no block of its own."""
_ACTIVATIONS = {"relu": "ReLU", "relu6": "ReLU6", "hardswish": "h-swish", "silu": "SiLU", "gelu": "GELU"}


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


def sound(tree: object, depth: int = 0) -> bool:
    """Whether something that a worker left is a tree of layers."""
    if not isinstance(tree, dict) or depth > _DEEPEST or not isinstance(tree.get("layer"), str):
        return False
    shape = tree.get("shape")
    if not (isinstance(shape, list) and len(shape) == 3 and all(type(n) is int and n > 0 for n in shape)):
        return False
    if not all(isinstance(number, int | float) for number in (tree.get("params"), tree.get("rate", 0.0))):
        return False
    children = [tree[key] for key in ("layers", "paths") if key in tree]
    if any(not isinstance(one, list) or not one for one in children):
        return False
    below = [part for one in children for part in one] + ([tree["path"]] if "path" in tree else [])
    match tree["layer"]:
        case "chain":
            known = "layers" in tree
        case "graph":
            nodes = tree.get("nodes")
            known = isinstance(nodes, list) and bool(nodes) and all(_edges_sound(edges, k) for k, edges in enumerate(nodes, start=1))
            below += [edge for edges in nodes for edge in edges] if known and isinstance(nodes, list) else []
        case word if word in _SEVERAL:
            known = "paths" in tree
        case word if word in _ONE:
            known = "path" in tree
        case "conv":
            known = all(type(tree.get(name)) is int and tree[name] > 0 for name in ("out", "kernel", "stride", "groups"))
        case _:
            known = True
    known = known and ("nodes" in tree) == (tree["layer"] == "graph")
    return known and all(sound(part, depth + 1) for part in below)


def _edges_sound(edges: object, number: int) -> bool:
    return (
        isinstance(edges, list)
        and bool(edges)
        and all(isinstance(e, dict) and type(e.get("source")) is int and 0 <= e["source"] < number for e in edges)
    )


def n_layers(tree: Tree) -> int:
    """How many layers there are in one, itself included."""
    parts = [*tree.get("layers", ()), *tree.get("paths", ()), *(edge for edges in tree.get("nodes", ()) for edge in edges)]
    return 1 + sum(map(n_layers, [*parts, tree["path"]] if "path" in tree else parts))


def is_leaf(tree: Tree) -> bool:
    """Whether a layer consists of no others."""
    return not any(key in tree for key in ("layers", "paths", "path", "nodes"))


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


def width(out: int, channels: int | None) -> str:
    """A number of channels, in terms of C = `channels` where that is simple: "C", "C/2", "3 C"."""
    if channels is None:
        return str(out)
    if abs(2 * out - channels) == 1 and channels > 4:  # halves of an odd number
        return "≈C/2"
    share = Fraction(out, channels)
    if share.denominator > 4 or share.numerator > 12:
        return str(out)
    top = "C" if share.numerator == 1 else f"{share.numerator} C"
    return top if share.denominator == 1 else f"{top}/{share.denominator}"


def groups(conv: Tree) -> str:
    """How a convolution's channels fall into groups."""
    if conv["groups"] == 1:
        return ""
    return "depthwise" if conv["groups"] == conv["out"] else f"{conv['groups']} groups"


def said(leaf: Tree, channels: int | None) -> str:
    """A plain layer in a few letters, ↓ before its stride; widths in terms of C = `channels`, if given."""
    match leaf["layer"]:
        case "conv":
            apart = groups(leaf)
            kind = f"{leaf['kernel']}×{leaf['kernel']} " + ("depthwise" if apart == "depthwise" else f"conv {width(leaf['out'], channels)}")
            return kind + (f", {apart}" if apart not in ("", "depthwise") else "") + (f" ↓{leaf['stride']}" if leaf["stride"] > 1 else "")
        case "activation":
            kind = str(leaf.get("kind", "activation"))
            return _ACTIVATIONS.get(kind, kind)
        case "pool":
            stride = leaf.get("stride", 1)
            return f"{leaf.get('kernel')}×{leaf.get('kernel')} {leaf.get('kind')} pool" + (f" ↓{stride}" if stride != 1 else "")
        case "globalpool":
            return "mean over pixels"
        case "dropout":
            return f"dropout {leaf.get('rate'):.3g}" if isinstance(leaf.get("rate"), float) else "dropout"
        case word:
            return str(word)


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
