"""Durations as people write them ("400s", "20m", "1h30m", "3h") and as seconds; budgets and counts with their nouns; rates and p-values."""

import math
import re

from bohb_nas.errors import DurationError

HOUR_S = 3600.0
_UNIT_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "min": 60.0, "h": HOUR_S, "d": 86400.0}
_PART = re.compile(r"\s*(\d+(?:\.\d*)?|\.\d+)\s*(ms|min|s|m|h|d)\s*")
_PLURAL = re.compile(r".*[a-z]{3}(?<!s)s")
"""Of a unit whose singular is without its last letter, such as epochs."""
_ACCEPTED = "accepted: a positive number of seconds, or numbers with units ms, s, m, h, d, such as 400s, 20m, 1h30m or 3h"


class Timed(float):
    """Seconds that were typed with a unit of time, and so can count nothing else."""


def parse_duration(text: str) -> float:
    """Turns "400s", "20m", "1h30m", "90" or "9e1" into seconds.

    Raises:
        DurationError: the text is no duration, or is not positive.
    """
    try:
        seconds = float(text)
    except ValueError:
        seconds = _with_units(text)
    if not seconds > 0 or not math.isfinite(seconds):
        raise DurationError(f"not a positive duration: {text!r}; {_ACCEPTED}")
    return seconds


def _with_units(text: str) -> float:
    """Seconds of numbers that each have a unit."""
    seconds, position = 0.0, 0
    while position < len(text):
        part = _PART.match(text.lower(), position)
        if part is None:
            raise DurationError(f"not a duration: {text!r}; {_ACCEPTED}")
        seconds += float(part[1]) * _UNIT_S[part[2]]
        position = part.end()
    return seconds


def format_duration(seconds: float) -> str:
    """Writes seconds briefly: 0.25 -> "0.25s", 400 -> "400s", 1200 -> "20m", 10800 -> "3h", 5400 -> "1h30m"."""
    if seconds < 600 and not (seconds >= 60 and seconds % 60 == 0):
        return f"{seconds:.4g}s"
    total = round(seconds)
    parts = []
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60), ("s", 1)):
        n, total = divmod(total, size)
        if n:
            parts.append(f"{n}{unit}")
    return "".join(parts[:2])


def whole_seconds(seconds: float) -> str:
    """Whole seconds, at least one: finer would only flicker."""
    return format_duration(max(1, round(seconds)))


def budget_text(budget: float, unit: str) -> str:
    """A budget with its unit, such as "1 epoch" or "81 epochs": a duration when the unit is seconds."""
    if unit == "s":
        return format_duration(budget)
    return f"{budget:g} {unit[:-1] if budget == 1 and _PLURAL.fullmatch(unit) else unit}"


def counted(n: int | str, noun: str) -> str:
    """So many of something: "1 trial", "2 trials"."""
    return f"{n} {noun}" if n in (1, "1") else f"{n} {noun}s"


def rough(value: float) -> str:
    """Three digits of an amount, and all before the point: "0.25", "12.3", "1,234"."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def plain(value: float) -> str:
    """Four digits of an amount, and all before the point: "0.25", "12.34", "10843"."""
    return f"{value:.0f}" if value >= 1000 else f"{value:.4g}"


def p_value(value: float) -> str:
    """A p-value with its relation: "= 0.03", or "< 0.001"."""
    return "< 0.001" if value < 0.001 else f"= {value:.2g}"
