"""A tree of layers that a worker left: whether it is one, and how its plain layers are said, in the figure and on the page."""

from collections.abc import Mapping
from fractions import Fraction
from typing import Any, TypeAlias

Tree: TypeAlias = Mapping[str, Any]
"""A layer as `bohb_nas.layers.drawing.draw` writes it."""

_SEVERAL = ("sum", "concat", "shake")
_ONE = ("shakedrop", "droppath")
_DEEPEST = 40
_ACTIVATIONS = {"relu": "ReLU", "relu6": "ReLU6", "hardswish": "h-swish", "silu": "SiLU", "gelu": "GELU"}


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


def is_leaf(tree: Tree) -> bool:
    """Whether a layer consists of no others."""
    return not any(key in tree for key in ("layers", "paths", "path", "nodes"))


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
