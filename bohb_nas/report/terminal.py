"""Prints tables and texts to standard output as they are."""

from collections.abc import Iterable

from rich.console import Console, RenderableType
from rich.table import Table

WIDE = 240
"""Columns of what does not depend on the terminal: no row of a table is broken, and no value cut short, in a narrow one."""


def show(*shown: RenderableType, wide: bool = False) -> None:
    """Prints one after the other, with no markup, highlighting or emoji.

    Args:
        shown: what to print.
        wide: whether rows of a table are as long as they have to be, however narrow the terminal.
    """
    console = Console(highlight=False, soft_wrap=True, markup=False, emoji=False, width=WIDE if wide else None)
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
