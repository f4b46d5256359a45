"""Numbers as the report writes them; what is not known is a dash."""

from collections.abc import Mapping, Sequence
from typing import Any

from bohb_nas import durations

NONE = "–"


def number(value: float | None, digits: int = 4) -> str:
    """Four significant digits or as many as said, and all before the point up to a million."""
    if value is None:
        return NONE
    return (f"{value:.0f}" if 10**digits - 0.5 <= abs(value) < 1e6 else f"{value:.{digits}g}").replace("-", "−")


def share(value: float | None, decimals: int = 1) -> str:
    """A share as per cent."""
    return NONE if value is None else f"{100 * value:.{decimals}f}\u00a0%".replace("-", "−")


def count(value: float | None) -> str:
    """A count: in thousands set apart, or in millions and beyond: 27.3 M."""
    if value is None:
        return NONE
    for size, letter in ((1e12, "T"), (1e9, "G"), (1e6, "M")):
        if abs(float(shown := f"{value / size:.3g}")) >= 1:
            return f"{shown}\u00a0{letter}"
    return f"{value:,.0f}".replace(",", "\u202f")


def interval(ends: Sequence[float] | None, *, shares: bool = False, digits: int | None = None) -> str:
    """From one end to the other: as shares of so many decimals, one unless said otherwise, or as numbers of so many digits, four."""
    if ends is None:
        return NONE
    return " to ".join(share(end, 1 if digits is None else digits) if shares else number(end, digits or 4) for end in ends)


def p_value(value: float | None) -> str:
    """A p-value, or what it lies below."""
    return NONE if value is None else durations.p_value(value).removeprefix("= ")


def seconds(value: float | None) -> str:
    """A duration."""
    return NONE if value is None else durations.format_duration(value)


def value(one: Any) -> str:
    """The value of a hyperparameter; None is inactive."""
    match one:
        case None:
            return "inactive"
        case bool():
            return "true" if one else "false"
        case float():
            return f"{one:.6g}"
        case _:
            return str(one)


def settings(values: Mapping[str, Any]) -> str:
    """Hyperparameters with their values, in a row."""
    return ", ".join(f"{name} = {value(one)}" for name, one in values.items())


def counts(by: Mapping[str, int]) -> str:
    """How many of each, in a row."""
    return ", ".join(f"{n} {name.replace('_', ' ')}" for name, n in by.items()) or NONE
