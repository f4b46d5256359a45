"""A network as JSON for whoever draws it: the tree of its layers, each with the shape that it makes."""

from dataclasses import fields
from typing import Any

from bohb_nas.layers import Chain, Concat, DropPath, Graph, Layer, Shake, ShakeDrop, Shape, Sum
from bohb_nas.layers.arithmetic import measure


def draw(layer: Layer, shape: Shape) -> dict[str, Any]:
    """The layer for images of a shape: `layer`, `shape` [channels, height, width], `params`, its own settings, and what it consists of.

    Parts are listed in `layers` (one after the other), `paths` (beside each other), `path` or `nodes`, where each edge has a `source`.
    """
    cost, after = measure(layer, shape)
    drawn: dict[str, Any] = {"layer": type(layer).__name__.lower(), "shape": list(after), "params": cost.params}
    match layer:
        case Chain(layers):
            drawn["layers"] = []
            for part in layers:
                drawn["layers"].append(draw(part, shape))
                shape = measure(part, shape)[1]
        case Sum(paths) | Concat(paths) | Shake(paths):
            drawn["paths"] = [draw(path, shape) for path in paths]
        case ShakeDrop(path, rate) | DropPath(path, rate):
            drawn |= {"rate": rate, "path": draw(path, shape)}
        case Graph(nodes):
            shapes = [shape]
            drawn["nodes"] = []
            for edges in nodes:
                drawn["nodes"].append([{"source": source, **draw(part, shapes[source])} for source, part in edges])
                shapes.append(measure(edges[0][1], shapes[edges[0][0]])[1])
        case _:
            drawn |= {field.name: getattr(layer, field.name) for field in fields(layer)}
    return drawn
