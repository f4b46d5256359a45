"""Paths as they are typed: in full, and whether two ways to write one lead to the same file."""

import os
from pathlib import Path
from typing import Any

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


def agree(kept: Any, asked: Any) -> bool:
    """Whether two entries of a study's record say the same; paths do where they lead to the same file."""
    match kept, asked:
        case str(), str():
            (kind, path), (other_kind, other) = _parts(kept), _parts(asked)
            return kept == asked or (kind == other_kind and _same_file(path, other))
        case list(), list():
            return len(kept) == len(asked) and all(map(agree, kept, asked))
        case dict(), dict():
            return kept.keys() == asked.keys() and all(
                kept[name] == asked[name] if name == "command" else agree(kept[name], asked[name]) for name in kept
            )
    return bool(kept == asked)


def _parts(text: str) -> tuple[str, str]:
    """What is before a path, and the path."""
    kind = "image_folder:" if text.startswith("image_folder:") else ""
    return kind, text.removeprefix(kind)


def _same_file(one: str, other: str) -> bool:
    if not (os.path.isabs(one) and os.path.isabs(other)):
        return False
    try:
        here, there = _folded(Path(one)), _folded(Path(other))
        # of a name in two folders: python of two environments is a link to one program, and not the same command
        return here == there or (here.name == there.name and here.parent.samefile(there.parent))
    except (OSError, ValueError):  # a folder is gone, or this is no path at all
        return False


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
