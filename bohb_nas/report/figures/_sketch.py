"""Boxes and lines that are laid out first and drawn later: one below the other, side by side, or along a graph's edges.

Lengths are inches, y points down. Every sketch has one line in at the top and one out at the bottom, at the same x.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

LINE_IN = 0.105
"""From one line of text to the next."""
_LETTER_IN = 0.0525
_PAD_IN = 0.04
_GAP_IN = 0.1
_NODE_IN = 0.075
"""Radius."""


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle with lines of text; x, y of its upper left corner."""

    x: float
    y: float
    width: float
    height: float
    lines: tuple[str, ...]
    colour: str


@dataclass(frozen=True, slots=True)
class Line:
    """A line along points (x, y)."""

    points: tuple[tuple[float, float], ...]
    arrow: bool = False


@dataclass(frozen=True, slots=True)
class Node:
    """A circle with a sign in it."""

    x: float
    y: float
    text: str


Mark: TypeAlias = Box | Line | Node


@dataclass(frozen=True, slots=True)
class Sketch:
    """Marks in a rectangle, and the x of its line in and out."""

    width: float
    height: float
    axis: float
    marks: tuple[Mark, ...] = ()

    def moved(self, dx: float, dy: float) -> tuple[Mark, ...]:
        """Its marks elsewhere."""
        return tuple(_moved(mark, dx, dy) for mark in self.marks)


def _moved(mark: Mark, dx: float, dy: float) -> Mark:
    match mark:
        case Line(points):
            return replace(mark, points=tuple((x + dx, y + dy) for x, y in points))
        case _:
            return replace(mark, x=mark.x + dx, y=mark.y + dy)


def box(lines: Sequence[str], colour: str, *, width: float = 0.0) -> Sketch:
    """A box around lines of text."""
    wide = max(width, max(map(len, lines)) * _LETTER_IN + 2 * _PAD_IN)
    high = len(lines) * LINE_IN + 2 * _PAD_IN
    return Sketch(wide, high, wide / 2, (Box(0, 0, wide, high, tuple(lines), colour),))


def wire() -> Sketch:
    """Nothing but the line itself."""
    return Sketch(0.16, 0.0, 0.08)


def stacked(parts: Sequence[Sketch]) -> Sketch:
    """One below the other."""
    axis = max(part.axis for part in parts)
    marks: list[Mark] = []
    y = 0.0
    for k, part in enumerate(parts):
        if k:
            marks.append(Line(((axis, y), (axis, y + _GAP_IN))))
            y += _GAP_IN
        marks += part.moved(axis - part.axis, y)
        y += part.height
    return Sketch(axis + max(part.width - part.axis for part in parts), y, axis, tuple(marks))


def beside(lanes: Sequence[Sketch], sign: str) -> Sketch:
    """Side by side from one line, joined in a node with a sign, or in a box where the sign is a word."""
    lefts: list[float] = []
    x = 0.0
    for lane in lanes:
        lefts.append(x)
        x += lane.width + _GAP_IN
    width = x - _GAP_IN
    at = [left + lane.axis for left, lane in zip(lefts, lanes, strict=True)]
    axis = (at[0] + at[-1]) / 2
    bottom = 2 * _GAP_IN + max(lane.height for lane in lanes)
    join = Sketch(2 * _NODE_IN, 2 * _NODE_IN, _NODE_IN, (Node(_NODE_IN, _NODE_IN, sign),)) if len(sign) == 1 else box([sign], "#ffffff")
    left = min(0.0, axis - join.axis)
    marks: list[Mark] = [Line(((axis, 0), (axis, _GAP_IN / 2)))]
    for lane, lane_left, lane_axis in zip(lanes, lefts, at, strict=True):
        marks.append(Line(((axis, _GAP_IN / 2), (lane_axis, _GAP_IN / 2), (lane_axis, _GAP_IN))))
        marks += lane.moved(lane_left, _GAP_IN)
        marks.append(Line(((lane_axis, _GAP_IN + lane.height), (lane_axis, bottom - _GAP_IN / 2), (axis, bottom - _GAP_IN / 2))))
    marks.append(Line(((axis, bottom - _GAP_IN / 2), (axis, bottom))))
    marks += join.moved(axis - join.axis, bottom)
    right = max(width, axis - join.axis + join.width)
    whole = Sketch(right, bottom + join.height, axis, tuple(marks))
    return Sketch(right - left, whole.height, axis - left, whole.moved(-left, 0.0))


def graph(nodes: Sequence[Sequence[tuple[int, Sketch]]]) -> Sketch:
    """Nodes one below the other; an edge to the next on the line between, all others in lanes left and right of it.

    Args:
        nodes: of each node from node 1 on, its edges: the node that each comes from, and what it passes through.
    """
    y = [0.0]
    for edges in nodes:
        y.append(y[-1] + max(part.height for _, part in edges) + 2 * _NODE_IN + 2 * _GAP_IN)
    lanes: dict[tuple[int, int], list[tuple[float, float]]] = {}
    widths: dict[tuple[int, int], float] = {}
    placed: list[tuple[int, int, Sketch, tuple[int, int] | None]] = []
    straight: set[int] = set()
    every = [(source, target, part) for target, edges in enumerate(nodes, start=1) for source, part in edges]
    for source, target, part in sorted(every, key=lambda e: (e[1] - e[0], e[0])):
        if target == source + 1 and source not in straight:
            straight.add(source)
            placed.append((source, target, part, None))
            continue
        lane = _lane(lanes, source, target)
        lanes.setdefault(lane, []).append((source, target))
        widths[lane] = max(widths.get(lane, 0.0), part.width)
        placed.append((source, target, part, lane))
    middle = max([2 * _NODE_IN, *(part.width for _, _, part, lane in placed if lane is None)])
    centres = _centres(widths, middle)
    left = min([-middle / 2, *(centres[lane] - widths[lane] / 2 for lane in widths)])
    right = max([middle / 2, *(centres[lane] + widths[lane] / 2 for lane in widths)])
    marks: list[Mark] = []
    for source, target, part, taken in placed:
        marks += _edge(y[source] + _NODE_IN, y[target] + _NODE_IN, part, 0.0 if taken is None else centres[taken])
    marks += [Node(0.0, at + _NODE_IN, str(k)) for k, at in enumerate(y)]
    whole = Sketch(right - left, y[-1] + 2 * _NODE_IN, -left, tuple(marks))
    return replace(whole, marks=whole.moved(-left, 0.0))


def _lane(lanes: dict[tuple[int, int], list[tuple[float, float]]], source: int, target: int) -> tuple[int, int]:
    """The innermost free lane: (side, place), the side with fewer edges first."""
    sides = sorted((-1, 1), key=lambda side: sum(len(taken) for (one, _), taken in lanes.items() if one == side))
    place = 0
    while True:
        for side in sides:
            if all(target <= a or b <= source for a, b in lanes.get((side, place), [])):
                return side, place
        place += 1


def _centres(widths: dict[tuple[int, int], float], middle: float) -> dict[tuple[int, int], float]:
    """X of each lane from the line of nodes."""
    found = {}
    for side in (-1, 1):
        x = middle / 2 + _GAP_IN
        for place in range(sum(one == side for one, _ in widths)):
            found[side, place] = side * (x + widths[side, place] / 2)
            x += widths[side, place] + _GAP_IN
    return found


def _edge(top: float, bottom: float, part: Sketch, x: float) -> list[Mark]:
    """From node to node around x = 0 by way of a lane; the part stands right before its target, where no other lane is crossed."""
    side, end = (_NODE_IN, 0.5 * _NODE_IN) if x else (0.0, _NODE_IN)
    side = math.copysign(0.85 * side, x)
    last = bottom - _NODE_IN - _GAP_IN
    first = last - part.height
    marks: list[Mark] = [Line(((side, top + end), (x, top + end), (x, first))), *part.moved(x - part.axis, first)]
    return [*marks, Line(((x, last), (x, bottom - end), (side, bottom - end)), arrow=True)]
