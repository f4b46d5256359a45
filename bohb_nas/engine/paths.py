"""Paths as they are typed: in full, and whether two ways to write one lead to the same file."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bohb_nas.errors import UsageError
from bohb_nas.store.meta import IMAGE_WORKERS, path_kept

_IMAGES = "image_folder:"
_PATHS = frozenset({"space", "worker", "method", "initial", "prior", "warm_start"})
"""Entries of a study's record that may be paths."""
_OF_IMAGES = frozenset({"dataset", "data_dir", "network", "policy_file"})
"""Likewise, options of the workers that train on images; those of others mean what their authors say."""


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


def differing(kept: Mapping[str, Any], asked: Mapping[str, Any]) -> list[str]:
    """The entries of a study's record that do not say what is asked; paths do where they lead to the same file."""
    images = asked["worker"] in IMAGE_WORKERS
    return [name for name in asked if not _agree(name, kept.get(name), asked[name], images=images)]


def _agree(name: str, kept: Any, asked: Any, *, images: bool) -> bool:
    if name == "worker_options" and images and kept.keys() == asked.keys():
        return all(_same(kept[option], asked[option]) if option in _OF_IMAGES else kept[option] == asked[option] for option in kept)
    return _same(kept, asked) if name in _PATHS else bool(kept == asked)


def _same(kept: Any, asked: Any) -> bool:
    if kept == asked:
        return True
    match kept, asked:
        case str(), str():
            kinds = {text.startswith(_IMAGES) for text in (kept, asked)}
            return len(kinds) == 1 and _same_file(kept.removeprefix(_IMAGES), asked.removeprefix(_IMAGES))
        case list(), list():
            return len(kept) == len(asked) and all(map(_same, kept, asked))
    return False


def _same_file(one: str, other: str) -> bool:
    if not (os.path.isabs(one) and os.path.isabs(other)):
        return False
    try:
        here, there = _folded(Path(one)), _folded(Path(other))
        # of a name in two folders: a link that leads to the same is another file
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
