"""Whether every entrant of a comparison could be run: what `bohb-nas run` would refuse is refused before the first begins."""

from collections.abc import Callable, Sequence
from pathlib import Path

from bohb_nas.comparison.arrangement import Arrangement
from bohb_nas.comparison.cells import cell_folder
from bohb_nas.comparison.entrants import Entrant
from bohb_nas.engine.opening import examine
from bohb_nas.engine.plan import Request
from bohb_nas.errors import UsageError


def check(arrangement: Arrangement, entrants: tuple[Entrant, ...], folder: Path, *, parse: Callable[[Sequence[str]], Request]) -> None:
    """Makes sure that `bohb-nas run` takes what these entrants would be told; writes nothing.

    Args:
        arrangement: what is compared.
        entrants: some who take part.
        folder: DIR.
        parse: what `bohb-nas run` makes of options.

    Raises:
        UsageError: it would refuse one.
    """
    for entrant in entrants:
        words = arrangement.arguments(entrant, 0, folder)
        options = words[words.index("--space") :]
        if "--initial" in options:  # checked as a configuration, and not written yet
            at = options.index("--initial")
            options = [*options[:at], *options[at + 2 :]]
        try:
            examine(cell_folder(folder, entrant.name, 0), parse(options))
        except UsageError as e:
            raise UsageError(
                f"{entrant.name} cannot take part: {e}; nothing was started: correct that, or leave it out of --methods"
            ) from e
