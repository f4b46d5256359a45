"""The incumbent's network: the sequence of its blocks with shapes and parameters, and how each kind of block is built."""

from collections.abc import Iterator, Sequence
from functools import partial

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle, FancyBboxPatch

from bohb_nas.analysis.findings import Findings, Incumbent
from bohb_nas.durations import budget_text
from bohb_nas.report.digits import loss_digits
from bohb_nas.report.figures._blocks import Row, groups_of_leaves, n_layers, rows
from bohb_nas.report.figures._labels import count, number, short
from bohb_nas.report.figures._panels import PAGE_IN, SMALL, Drawing, empty
from bohb_nas.report.figures._sketch import LINE_IN, Box, Line, Node, Sketch, beside, box, graph, stacked, wire
from bohb_nas.report.layer_trees import Tree, groups, is_leaf, said, sound

_CONV, _DEPTHWISE, _POOL, _PLAIN = "#cfe3f3", "#cdebe0", "#fbe3c3", "#eeeeee"
_KINDS = ("#9ad0f5", "#f7c873", "#7fd1b5", "#e6b3d0", "#f5ec8a", "#f0a27a", "#8fb8dd", "#cccccc")
_ARROW = {"arrowstyle": "-|>,head_length=0.25,head_width=0.12", "color": "0.25", "linewidth": 0.7, "shrinkA": 0, "shrinkB": 0}
_MOST_LAYERS = 4000
_MOST_KINDS = 16
_MOST_LANES = 5
_NOTES_IN = 1.3
"""Beside the sequence, for shapes and parameters."""
_BOX_IN = 1.25
_MARGIN_IN = 0.2
_HIGHEST_IN, _WIDEST_IN = 45.0, 45.0


def figures(found: Findings) -> Iterator[tuple[str, Drawing]]:
    """`architecture`: of the incumbent, if its worker left the tree of its layers."""
    incumbent = found["incumbent"]
    if incumbent is not None and incumbent["network"] is not None:
        yield "architecture", partial(_figure, found, incumbent, incumbent["network"])


def _figure(found: Findings, incumbent: Incumbent, network: Tree) -> Figure:
    if not sound(network):
        return _refusal("what the incumbent's worker left of its network is no tree of layers")
    if (n := n_layers(network)) > _MOST_LAYERS:
        return _refusal(f"the incumbent's network has {n} layers: too many for a page")
    sequence, kinds = rows(network)
    left = _sequence(sequence)
    beyond = _MARGIN_IN + left.width + _NOTES_IN
    right, right_width = _details(kinds[:_MOST_KINDS], PAGE_IN - beyond - _MARGIN_IN)
    width = max(PAGE_IN, beyond + right_width + _MARGIN_IN)
    height = max(left.height, max((y + one.height for _, y, one, _ in right), default=0.0)) + 0.75
    if height > _HIGHEST_IN or width > _WIDEST_IN:
        size = f"{len(sequence)} different parts in sequence, and would be {width:.0f} inches wide"
        return _refusal(f"the incumbent's network has {size}: too large for a page")
    figure = Figure(figsize=(width, height))
    place = figure.add_axes((0, 0, 1, 1))
    place.set(xlim=(0, width), ylim=(height, 0))
    place.set_axis_off()
    place.text(_MARGIN_IN, 0.16, _title(found, incumbent), fontsize=8, va="center")
    place.text(_MARGIN_IN, 0.34, "channels×height×width, parameters; ↓2: stride 2", fontsize=SMALL, va="center", color="0.35")
    _show(place, left, _MARGIN_IN, 0.5)
    for x, y, one, title in right:
        place.text(beyond + x, 0.5 + y - 0.1, title, fontsize=SMALL + 1, va="center", fontweight="bold")
        _show(place, one, beyond + x, 0.5 + y + 0.05)
    return figure


def _refusal(why: str) -> Figure:
    figure = Figure(figsize=(PAGE_IN / 2, 1.2), layout="constrained")
    empty(figure.subplots(), why, width=50)
    return figure


def _title(found: Findings, incumbent: Incumbent) -> str:
    words = [
        f"incumbent {short(incumbent['trial_id'])}",
        f"loss {number(incumbent['loss'], loss_digits(found, 3))} at {budget_text(incumbent['budget'], found['study']['unit'])}",
    ]
    if incumbent["params"] is not None:
        words.append(f"{count(incumbent['params'])} parameters")
    if incumbent["flops"] is not None:
        words.append(f"{count(incumbent['flops'])} FLOPs")
    return ", ".join(words)


def letter(kind: int) -> str:
    """The name of a kind of block: A … Z, then A1, B1 …."""
    return chr(ord("A") + kind % 26) + (str(kind // 26) if kind >= 26 else "")


def _sequence(sequence: Sequence[Row]) -> Sketch:
    """The network from top to bottom, with shape and parameters beside each row."""
    width = max([_BOX_IN, *(_row(row, 0.0).width for row in sequence)])
    parts = []
    for row in sequence:
        one = _row(row, width)
        shape = Box(width + 0.06, 0.0, 0.0, one.height, ("×".join(map(str, row.shape)),), "none")
        params = Box(width + 0.75, 0.0, 0.0, one.height, (count(row.params),), "none")
        parts.append(Sketch(one.width, one.height, one.axis, (*one.marks, shape, params)))
    return stacked([*parts, box(["mean over pixels,", "linear to the classes"], _PLAIN, width=width)])


def _row(row: Row, width: float) -> Sketch:
    if row.kind is None:
        lines = [" · ".join(said(leaf, None) for leaf in group) for group in groups_of_leaves(row.layers)]
        return box(lines, _PLAIN, width=width)
    return box([letter(row.kind) + (f" × {row.times}" if row.times > 1 else "")], _KINDS[row.kind % len(_KINDS)], width=width)


def _details(kinds: Sequence[Sequence[Tree]], room: float) -> tuple[list[tuple[float, float, Sketch, str]], float]:
    """The kinds of blocks on shelves as wide as there is room: x, y, sketch and title of each; and how wide they are together."""
    found: list[tuple[float, float, Sketch, str]] = []
    x, y, shelf, widest = 0.0, 0.0, 0.0, 0.0
    for k, ones in enumerate(kinds):
        widths = {one["shape"][0] for one in ones}
        channels = ones[0]["shape"][0] if len(widths) > 1 else None
        one = _sketch(ones[0], channels)
        title = letter(k) + (f", C = {', '.join(map(str, sorted(widths)))}" if channels is not None else "")
        needed = max(one.width, len(title) * 0.075) + 0.25
        if x and x + needed > room:
            x, y, shelf = 0.0, y + shelf, 0.0
        found.append((x, y, one, title))
        x += needed
        shelf, widest = max(shelf, one.height + 0.4), max(widest, x)
    return found, widest


def _sketch(tree: Tree, channels: int | None) -> Sketch:
    """How a layer is built."""
    match tree["layer"]:
        case "chain":
            return _chain(tree["layers"], channels)
        case "sum" | "concat" | "shake":
            lanes = _lanes([_sketch(path, channels) for path in tree["paths"]])
            return beside(lanes, "+" if tree["layer"] == "sum" else tree["layer"])
        case "shakedrop" | "droppath":
            name = "ShakeDrop" if tree["layer"] == "shakedrop" else "DropPath"
            return stacked([_sketch(tree["path"], channels), box([f"{name} {number(float(tree.get('rate', 0.0)))}"], "#ffffff")])
        case "graph":
            return graph([[(edge["source"], _sketch(edge, channels)) for edge in edges] for edges in tree["nodes"]])
        case "identity":
            return wire()
        case _:
            return _boxes([tree], channels)[0]


def _lanes(lanes: Sequence[Sketch]) -> list[Sketch]:
    """Lanes side by side; equal ones once where there is no room for all."""
    if len(lanes) <= _MOST_LANES:
        return list(lanes)
    counts: dict[Sketch, int] = {}
    for lane in lanes:
        counts[lane] = counts.get(lane, 0) + 1
    return [stacked([box([f"× {n}"], "#ffffff"), lane]) if n > 1 else lane for lane, n in counts.items()]


def _chain(layers: Sequence[Tree], channels: int | None) -> Sketch:
    """One after the other, plain layers in groups, equal neighbours once."""
    parts: list[Sketch] = []
    leaves: list[Tree] = []
    for layer in layers:
        if is_leaf(layer):
            leaves.append(layer)
            continue
        if leaves:
            parts += _boxes(leaves, channels)
            leaves = []
        parts.append(_sketch(layer, channels))
    if leaves:
        parts += _boxes(leaves, channels)
    return stacked(parts)


def _boxes(leaves: Sequence[Tree], channels: int | None) -> list[Sketch]:
    """A box for each group of plain layers."""
    texts: list[list[str]] = []
    colours: list[str] = []
    times: list[int] = []
    for group in groups_of_leaves(leaves):
        lines = [said(leaf, channels) for leaf in group]
        if texts and texts[-1] == lines:
            times[-1] += 1
            continue
        texts.append(lines)
        colours.append(_colour(group))
        times.append(1)
    return [box([*lines, *([f"× {n}"] if n > 1 else [])], c) for lines, c, n in zip(texts, colours, times, strict=True)]


def _colour(group: Sequence[Tree]) -> str:
    for leaf in group:
        if leaf["layer"] == "conv":
            return _DEPTHWISE if groups(leaf) == "depthwise" else _CONV
        if leaf["layer"] in ("pool", "globalpool"):
            return _POOL
    return _PLAIN


def _show(place: Axes, sketch: Sketch, x: float, y: float) -> None:
    """Puts a sketch on a page whose unit is the inch."""
    for mark in sketch.moved(x, y):
        match mark:
            case Line(points, arrow):
                place.plot(*zip(*points, strict=True), color="0.25", linewidth=0.7, zorder=1, solid_joinstyle="round")
                if arrow and len(points) > 1 and points[-1] != points[-2]:
                    place.annotate("", points[-1], points[-2], arrowprops=_ARROW)
            case Node(cx, cy, text):
                place.add_patch(Circle((cx, cy), 0.075, facecolor="white", edgecolor="0.25", linewidth=0.7, zorder=2))
                place.text(cx, cy, text, ha="center", va="center", fontsize=SMALL, zorder=3)
            case Box(bx, by, width, height, lines, colour):
                if width:
                    shape = FancyBboxPatch((bx, by), width, height, boxstyle="round,pad=0,rounding_size=0.03", mutation_aspect=1)
                    shape.set(facecolor=colour, edgecolor="0.25", linewidth=0.6, zorder=2)
                    place.add_patch(shape)
                top = by + height / 2 - LINE_IN * (len(lines) - 1) / 2
                for k, line in enumerate(lines):
                    align = "center" if width else "left"
                    place.text(bx + width / 2, top + k * LINE_IN, line, ha=align, va="center", fontsize=SMALL, zorder=3)
