"""Prints tables and texts to standard output as they are."""

from rich.console import Console, RenderableType


def show(*shown: RenderableType, width: int | None = None) -> None:
    """Prints one after the other, with no markup, highlighting or emoji.

    Args:
        shown: what to print.
        width: columns of a table, whose rows are not broken in a narrower terminal; None for those that there are.
    """
    console = Console(highlight=False, soft_wrap=True, markup=False, emoji=False, width=width)
    for one in shown:
        console.print(one)
