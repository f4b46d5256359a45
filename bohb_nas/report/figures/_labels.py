"""How names, values and budgets are said in a figure, and what colour a budget has."""

import hashlib
import itertools
import re
from collections.abc import Sequence

import matplotlib as mpl
from matplotlib.colors import to_hex

from bohb_nas.analysis.findings import Findings
from bohb_nas.records import Value

MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
"""Of budgets, cheapest first: they stay apart without colours."""
GREY = "#9a9a9a"
INCUMBENT = "#D55E00"
"""The colour of the incumbent."""
_LONGEST_STEM = 60
_SAFE = re.compile(r"[^A-Za-z0-9_-]+")


def budget_colours(budgets: Sequence[float]) -> dict[float, str]:
    """A colour for each budget, from the dark of the cheapest to the light of the dearest: in order without colours, too."""
    palette = mpl.colormaps["viridis"]
    last = max(1, len(budgets) - 1)
    return {budget: to_hex(palette(0.85 * k / last)) for k, budget in enumerate(sorted(budgets))}


def budget_markers(budgets: Sequence[float]) -> dict[float, str]:
    """A marker for each budget."""
    return {budget: MARKERS[k % len(MARKERS)] for k, budget in enumerate(sorted(budgets))}


def short(text: str, most: int = 24) -> str:
    """A text on one line with its middle left out where it is too long, its end being as telling as its beginning."""
    line = " ".join(text.split())
    if len(line) <= most:
        return line
    tail = (most - 1) // 2
    return f"{line[: most - 1 - tail]}…{line[-tail:]}"


def short_name(name: str, found: Findings, most: int = 24) -> str:
    """The name of a hyperparameter where there is room for `most` letters; others of its space that would look alike do not."""
    line = short(name, most)
    alike = [one["name"] for one in found["hyperparameters"] if short(one["name"], most) == line]
    if len(alike) < 2 or name not in alike:
        return line
    start = _shared(alike)
    while start and name[start - 1].isalnum():
        start -= 1
    end = min(_shared([one[::-1] for one in alike]), *(len(one) - start for one in alike))
    while end and name[-end].isalnum():
        end -= 1
    own = name[start : len(name) - end]
    room = most - len(own) - 2
    if room < 6 or start <= room - room // 2 or end < room // 2:
        number_of = next(k for k, one in enumerate(found["hyperparameters"], start=1) if one["name"] == name)
        return f"{short(own, most - 4)} #{number_of}"
    return f"{name[: room - room // 2]}…{own}…{name[-(room // 2) :]}"


def _shared(words: Sequence[str]) -> int:
    """How many letters all begin with."""
    return sum(1 for _ in itertools.takewhile(lambda letters: len(set(letters)) == 1, zip(*words, strict=False)))


def said(value: Value | None) -> str:
    """A value as people write it."""
    match value:
        case None:
            return "inactive"
        case bool() | str():
            return short(str(value), 16)
        case int() if abs(value) < 10**6:
            return str(value)
        case _:
            return number(float(value))


def number(value: float, digits: int = 3) -> str:
    """A number with three digits, or with as many as said."""
    return f"{value:.{digits}g}".replace("e-0", "e-").replace("e+0", "e").replace("e+", "e")


def count(value: float | None) -> str:
    """A large count with its prefix: 1.7 M."""
    if value is None:
        return "?"
    for size, prefix in ((1e12, " T"), (1e9, " G"), (1e6, " M"), (1e3, " k")):
        if abs(float(shown := f"{value / size:.3g}")) >= 1:
            return f"{shown}{prefix}"
    return f"{value:.3g}"


def stem(kind: str, name: str, taken: set[str]) -> str:
    """The stem of a file's name for something that people named: kept where it can be, otherwise with a few digits of its hash.

    Args:
        kind: what the name begins with.
        name: as people gave it.
        taken: the stems that were given before, in small letters; the new one joins them.
    """
    safe = _SAFE.sub("-", name).strip("-")[:_LONGEST_STEM]
    found = f"{kind}-{safe}" if safe == name else f"{kind}-{safe or 'x'}-{hashlib.sha256(name.encode()).hexdigest()[:6]}"
    if found.lower() in taken:  # some file systems know no capitals
        found += f"-{hashlib.sha256(name.encode()).hexdigest()[:6]}"
    taken.add(found.lower())
    return found
