"""How numbers are written, and how many digits losses need to be told apart: they may be large, and differ by little."""

import math
from collections.abc import Iterable

from bohb_nas.analysis.findings import Findings

_MOST = 17
"""Digits of a float that say all of it."""


def digits(values: Iterable[float | None], least: int) -> int:
    """Significant digits such that the spread of some values has `least` of them, within one; at least `least`.

    Args:
        values: finite, or None.
        least: digits of values that are no larger than their spread.
    """
    known = [value for value in values if value is not None]
    size, spread = max(map(abs, known), default=0.0), max(known, default=0.0) - min(known, default=0.0)
    if not 0.0 < spread < size:
        return least
    return min(_MOST, least + math.floor(math.log10(size) - math.log10(spread)))


def loss_digits(found: Findings, least: int) -> int:
    """`digits` of all losses of a study."""
    return digits((trial["loss"] for trial in found["trials"]), least)


def percent(share: float | None) -> str:
    """A share in per cent with two decimals, nothing where it is not known."""
    return "" if share is None else f"{share:.2%}"
