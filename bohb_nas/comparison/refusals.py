"""Whether every entrant of a comparison could be run: what `bohb-nas run` would refuse is refused before the first begins."""

from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from bohb_nas.comparison.arrangement import Arrangement, configuration, write_initial
from bohb_nas.comparison.cells import cell_folder
from bohb_nas.comparison.entrants import Entrant
from bohb_nas.engine.opening import examine
from bohb_nas.engine.plan import Request
from bohb_nas.engine.view import Display
from bohb_nas.errors import UsageError
from bohb_nas.space.files import load_space


def check(arrangement: Arrangement, entrants: tuple[Entrant, ...], folder: Path, *, parse: Callable[[Sequence[str]], Request]) -> None:
    """Makes sure that `bohb-nas run` takes what these entrants would be told; writes nothing there.

    Args:
        arrangement: what is compared.
        entrants: some who take part.
        folder: DIR.
        parse: what `bohb-nas run` makes of options.

    Raises:
        UsageError: it would refuse one.
    """
    space = load_space(arrangement.space)
    for entrant in entrants:
        with TemporaryDirectory() as aside:  # for what a search is told by file, while nothing is in DIR
            words = arrangement.arguments(entrant, 0, Path(aside))
            if entrant.config is not None:
                write_initial(Path(aside), entrant.name, configuration(space, entrant))
            try:
                examine(cell_folder(folder, entrant.name, 0), parse(words[words.index("--space") :]), Display(), n_workers=1)
            except UsageError as e:
                raise UsageError(
                    f"{entrant.name} cannot take part: {e}; nothing was started: correct that, or leave it out of --methods"
                ) from e
