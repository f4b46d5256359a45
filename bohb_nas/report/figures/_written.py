"""Which figures of a folder are those of the last analysis: of an earlier one nothing stays that it did not draw again."""

from collections.abc import Sequence
from pathlib import Path

from bohb_nas.files import storing, write_atomic
from bohb_nas.plotting import FORMATS
from bohb_nas.store import notes

_LIST = ".figures"
"""A name on each line, as seen from the folder: only what stands here is ever taken away."""
_LIMIT_BYTES = 2**24


def replace(folder: Path, drawn: Sequence[Path]) -> None:
    """Takes the figures of an earlier analysis away that were not drawn again, and notes which there are now.

    Args:
        folder: of the figures; nothing is done where it is not there.
        drawn: the files that were written in it.

    Raises:
        StorageError: the disk refused.
    """
    if not folder.is_dir():
        return
    kept = {path.relative_to(folder).as_posix() for path in drawn}
    data = notes.read_bytes(folder / _LIST, limit=_LIMIT_BYTES) or b""
    with storing(folder):
        for name in {*data.decode(errors="replace").split("\n")} - kept:
            if _is_figure(folder, name):
                (folder / name).unlink()
    write_atomic(folder / _LIST, "".join(f"{name}\n" for name in sorted(kept)))


def _is_figure(folder: Path, name: str) -> bool:
    """Whether a name of the list is that of a file that figures have, in the folder or in that of one of several studies."""
    path = Path(name)
    if path.is_absolute() or ".." in path.parts or len(path.parts) > 2 or path.suffix.removeprefix(".") not in FORMATS:
        return False
    return "\0" not in name and not (folder / path.parent).is_symlink() and (folder / path).is_file()
