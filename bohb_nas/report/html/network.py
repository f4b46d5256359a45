"""The incumbent's architecture as nested boxes: simple layers in a line, branches beside each other, repeats folded."""

import json
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby

from bohb_nas.report.html.markup import Markup, element
from bohb_nas.report.html.words import count
from bohb_nas.report.layer_trees import Tree, is_leaf, said, sound

_JOINS = {"sum": "added", "concat": "side by side in channels", "shake": "added under random weights"}


def folded(layers: Iterable[Tree]) -> Iterator[tuple[int, Tree]]:
    """Layers one after the other as (times, layer): equal neighbours once."""
    for _, same in groupby(layers, key=lambda layer: json.dumps(layer, sort_keys=True)):
        alike = list(same)
        yield len(alike), alike[0]


def drawing(tree: Tree) -> Markup | None:
    """The network as HTML that a screen reader can walk through.

    Args:
        tree: as `layers.drawing.draw` makes it, and as a worker of somebody else may not.

    Returns:
        None where it is another kind of tree.
    """
    if not sound(tree):
        return None
    legend = element(
        "p",
        "3×3 conv 8: to 8 channels; depthwise: each channel by itself; ↓2: stride 2; × 2: twice; at boxes: channels × height × width",
        class_="note",
    )
    return element("div", legend, *_sequence([tree]), class_="network", role="group", aria_label="Architecture, from input to output")


def _flat(layers: Iterable[Tree]) -> Iterator[Tree]:
    """Chains of simple layers opened, so that they stand in one line."""
    for layer in layers:
        if layer["layer"] == "chain":
            yield from _flat(layer["layers"])
        else:
            yield layer


def _sequence(layers: Sequence[Tree]) -> list[Markup]:
    """Layers one after the other: each run of simple ones is a line, whatever has parts a box."""
    drawn = []
    for simple, run in groupby(folded(_flat(layers)), key=lambda one: is_leaf(one[1])):
        some = list(run)
        if simple:
            drawn.append(element("ol", *(_chip(layer, times) for times, layer in some), class_="line"))
        else:
            drawn += [_box(layer, times) for times, layer in some]
    return drawn


def _chip(layer: Tree, times: int) -> Markup:
    return element(
        "li",
        said(layer, None) + (f" × {times}" if times > 1 else ""),
        class_=f"chip {layer['layer']}",
        title=f"{_shape(layer)}, {count(layer['params'])} parameters",
    )


def _box(layer: Tree, times: int) -> Markup:
    kind = str(layer["layer"])
    match kind:
        case "sum" | "concat" | "shake":
            what = f"{len(layer['paths'])} branches, {_JOINS[kind]}"
            inner = _beside(layer["paths"])
        case "shakedrop" | "droppath":
            what = f"dropped at rate {layer.get('rate', 0.0):.3g}"
            inner = element("div", *_sequence([layer["path"]]), class_="inside")
        case "graph":
            what = f"cell of {len(layer['nodes'])} nodes"
            inner = element("ol", *(_node(n, edges) for n, edges in enumerate(layer["nodes"], start=1)), class_="nodes")
        case _:
            what, inner = kind, Markup("")
    title = [
        element("span", what, class_="what"),
        element("span", f"{_shape(layer)} · {count(layer['params'])} parameters", class_="shape"),
    ]
    repeats = [element("strong", f"× {times}", class_="times")] if times > 1 else []
    return element("div", element("p", *repeats, *title, class_="title"), inner, class_=f"box {kind}")


def _beside(paths: Sequence[Tree]) -> Markup:
    return element(
        "div",
        *(
            element("div", *([element("strong", f"× {times}", class_="times")] if times > 1 else []), *_sequence([path]), class_="branch")
            for times, path in folded(paths)
        ),
        class_="branches",
    )


def _node(n: int, edges: Sequence[Tree]) -> Markup:
    parts = [
        element(
            "div",
            element("span", f"from {'the input' if edge['source'] == 0 else edge['source']}", class_="source"),
            *_sequence([edge]),
            class_="branch",
        )
        for edge in edges
    ]
    return element("li", element("p", f"node {n}", class_="title"), element("div", *parts, class_="branches"))


def _shape(layer: Tree) -> str:
    return " × ".join(str(size) for size in layer["shape"])
