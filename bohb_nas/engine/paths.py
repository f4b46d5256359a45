"""Paths in full, of what was typed."""

import os
from pathlib import Path

from bohb_nas.errors import UsageError
from bohb_nas.store.meta import path_kept


def in_full(path: str | Path, start: str = "") -> str:
    """The absolute path, without `..` where these lead somewhere; a relative one begins in `start`, or in the current folder.

    Raises:
        UsageError: it is empty, begins with a ~ that stands for nobody's home, or is not UTF-8.
    """
    if path == "":
        raise UsageError("'' is no path; give one, . is the current folder")
    try:
        return path_kept(str(_folded(Path(start, Path(path).expanduser()).absolute())))
    except RuntimeError as e:
        raise UsageError(f"{path}: nobody here has that home directory; write the path in full") from e


def _folded(path: Path) -> Path:
    """An absolute path without `..`: behind a link to a folder, that is not the folder which the link lies in."""
    if ".." not in path.parts:
        return path
    behind = len(path.parts) - path.parts[::-1].index("..")
    folder, rest = Path(*path.parts[:behind]), path.parts[behind:]
    near = Path(os.path.normpath(folder))
    try:
        return Path(near if near.samefile(folder) else folder.resolve(), *rest)
    except (OSError, ValueError):
        return path
