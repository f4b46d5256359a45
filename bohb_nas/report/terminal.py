"""Prints tables and texts to standard output as they are."""

from collections.abc import Iterable

from rich.console import Console, RenderableType
from rich.table import Table


def show(*shown: RenderableType, width: int | None = None) -> None:
    """Prints one after the other, with no markup, highlighting or emoji.

    Args:
        shown: what to print.
        width: columns of a table, whose rows are not broken in a narrower terminal; None for those that there are.
    """
    console = Console(highlight=False, soft_wrap=True, markup=False, emoji=False, width=width)
    for one in shown:
        console.print(one)


def columns(left: Iterable[str], right: Iterable[str] = (), *, whole: bool = False) -> Table:
    """A table without lines and without rows yet.

    Args:
        left: titles of the first columns, set flush left.
        right: titles of those after them, set flush right.
        whole: whether a cell that is too wide is cut off rather than broken.
    """
    table = Table(box=None, pad_edge=False)
    for name in left:
        table.add_column(name, no_wrap=whole)
    for name in right:
        table.add_column(name, justify="right", no_wrap=whole)
    return table
