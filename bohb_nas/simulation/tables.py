"""The figures of a comparison as tables for a terminal (rich)."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text


def standings(figures: Mapping[str, Any]) -> RenderableType:
    """What `bohb-nas simulate` shows of one comparison."""
    return Group(head(figures), methods(figures))


def head(figures: Mapping[str, Any]) -> Text:
    """Conditions, and what the numbers are."""
    c = figures["conditions"]
    overhead = "measured" if c["overhead"] else "none"
    text = f"\nW = {c['workers']}, promoted configurations {c['promote']}, overhead {overhead}, horizon {c['horizon']:g} mean full costs"
    text += f"; means over {len(figures['problems'])} problem(s)"
    if figures["problems_left_out"]:
        text += f", without {', '.join(figures['problems_left_out'])}: not every method ran there"
    return Text(text, style="bold")


def methods(figures: Mapping[str, Any]) -> Table:
    """A row per method: ranks and normalised regret at the checkpoints."""
    at = [f"{t:g}" for t in figures["checkpoints"]]
    table = _table(["method"], ["seeds", *(f"rank {t}" for t in at), *(f"regret {t}" for t in at), "area", "p90", "speed-up", "busy", "ms"])
    for row in sorted(figures["methods"], key=lambda row: _last(row["mean_rank"])):
        low, high = row["n_seeds"]
        table.add_row(
            row["method"],
            f"{low}" if low == high else f"{low}-{high}",
            *(_number(v, 2) for v in row["mean_rank"]),
            *(_number(v, 3) for v in row["mean_regret"]),
            _number(row["area"], 3),
            _number(row["p90"], 3),
            _number(row["speed_up"], 1),
            f"{row['busy']:.0%}",
            _number(row["cpu_ms"], 2),
        )
    return table


def _table(left: Sequence[str], right: Sequence[str]) -> Table:
    table = Table(box=None, pad_edge=False)
    for name in left:
        table.add_column(name)
    for name in right:
        table.add_column(name, justify="right")
    return table


def _number(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:.{digits}f}"


def _last(values: Sequence[float | None]) -> float:
    return values[-1] if values and values[-1] is not None else float("inf")
