"""The names of a network's parts, which stay the same while the network around them changes."""

from bohb_nas.layers import Chain, Concat, DropPath, Graph, Layer, Shake, ShakeDrop, Sum


def parts(layer: Layer) -> list[tuple[str, Layer]]:
    """What a layer consists of, in order, each part with its name; by position, from 0, where there are no names.

    A path that is disturbed or dropped as a whole keeps the name of the whole: its own is empty.
    """
    match layer:
        case Chain(inner, names) | Sum(inner, names) | Concat(inner, names) | Shake(inner, names):
            return _named(names, inner)
        case Graph(nodes, names):
            return _named(names, tuple(part for edges in nodes for _, part in edges))
        case ShakeDrop(path, _) | DropPath(path, _):
            return [("", path)]
        case _:
            return []


def inside(place: str, name: str) -> str:
    """The place of a part with a name in a place; empty ones add nothing."""
    return f"{place}/{name}" if place and name else place or name


def beside(layer: Layer) -> str:
    """The place that all parts of a network are in, and its head with them: what their names, being paths, begin with."""
    folders = {name.rpartition("/")[0] for name, _ in parts(layer)}
    return folders.pop() if len(folders) == 1 else ""


def _named(names: tuple[str, ...], inner: tuple[Layer, ...]) -> list[tuple[str, Layer]]:
    return list(zip(names or map(str, range(len(inner))), inner, strict=True))
