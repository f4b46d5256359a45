"""References: NAME of a catalogue, FILE.py or module:attribute, turned into the object that they name.

A catalogue is a folder of the package; a file in it is its registration, and the file's name is the name.
"""

import hashlib
import importlib
import importlib.util
import pkgutil
import sys
from contextlib import suppress
from pathlib import Path
from types import ModuleType
from typing import Any

from bohb_nas.errors import RefError

CATALOGUES = {
    "space": "search_spaces",
    "network": "networks",
    "dataset": "datasets",
    "worker": "workers",
    "method": "methods",
    "problem": "benchmarks",
}
"""Kind of thing -> the folder under `bohb_nas` that lists it."""
_starts: set[str] = set()
"""The folders at the end of the path in which studies were started, and the current one."""


def names(kind: str) -> list[str]:
    """The names in the catalogue of a kind, without importing any of its files."""
    folder = Path(__file__).parent / CATALOGUES[kind]
    return sorted(m.name for m in pkgutil.iter_modules([str(folder)]) if not m.name.startswith("_"))


def is_file(reference: str) -> bool:
    """Whether a reference leads to a file of the user's rather than to a name or an installed module."""
    return reference.endswith((".py", ".json", ".yaml", ".yml"))


def load_module(kind: str, reference: str, *, copy: Path | None = None, start: str | None = None) -> ModuleType | Any:
    """The module of a catalogue name or of FILE.py, or the object behind module:attribute.

    Args:
        kind: of `CATALOGUES`.
        reference: what was named.
        copy: what a study keeps of FILE.py, loaded in its place; it imports what FILE.py does.
        start: the folder where the study was started that names it; None is the current one.

    Raises:
        RefError: nothing there, or it fails while it is imported.
    """
    if not isinstance(reference, str):
        raise RefError(f"{kind} {reference!r}: accepted is a text: one of {', '.join(names(kind))}, FILE.py or module:attribute")
    if reference in names(kind):
        return importlib.import_module(f"bohb_nas.{CATALOGUES[kind]}.{reference}")
    if reference.endswith(".py"):
        let_import(reference, start=start)
        return _import_file(kind, copy or Path(reference))
    if ":" in reference:
        let_import(reference, start=start)
        return _import_attribute(kind, reference, start or "this folder")
    raise RefError(f"unknown {kind} {reference!r}; known: {', '.join(names(kind))}; or give FILE.py or module:attribute")


def let_import(reference: str, *, start: str | None) -> None:
    """Lets FILE.py, which need not be there, import what lies in its folder and, behind the folders of all files, what lies where its
    study was started; module:attribute is looked for in the latter alone.

    They come last in the path: what is installed is not hidden by files of the same name.

    Args:
        reference: FILE.py or module:attribute.
        start: the folder where the study was started; None is the current one, which comes behind those that were said.
    """
    with suppress(FileNotFoundError):  # the current directory is gone
        behind = start or str(Path.cwd())
        if behind not in sys.path:
            sys.path.insert(len(sys.path) if start is None else _place(), behind)
            _starts.add(behind)
    if reference.endswith(".py") and (folder := str(Path(reference).resolve().parent)) not in sys.path:
        sys.path.insert(_place(), folder)


def _place() -> int:
    """Where in the path a folder comes before those in which studies were started, and behind all others."""
    last = {folder: place for place, folder in enumerate(sys.path)}  # a file may put its own first as well
    return min((last[folder] for folder in _starts & last.keys()), default=len(sys.path))


def _import_file(kind: str, path: Path) -> ModuleType:
    if not path.is_file():
        raise RefError(f"{kind} file {str(path)!r} does not exist; give the path of a Python file, or one of: {', '.join(names(kind))}")
    about = path.stat()
    name = f"_bohb_nas_user_{hashlib.sha256(f'{path.resolve()} {about.st_mtime_ns} {about.st_size}'.encode()).hexdigest()}"
    if name in sys.modules:  # executed once, so that its classes are the same for everybody
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise RefError(f"{kind} file {str(path)!r} is not a Python file; rename it to end in .py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    try:
        # not by its loader: bytecode kept beside it would be that of another version of the same second and length
        exec(compile(path.read_bytes(), str(path), "exec", dont_inherit=True), module.__dict__)  # noqa: S102
    except (Exception, SystemExit) as e:  # whatever a user's file does while it is imported is that file's error
        del sys.modules[spec.name]
        raise _fails(f"{kind} file {str(path)!r}", e) from e
    return module


def _import_attribute(kind: str, reference: str, folder: str) -> Any:
    module_name, _, attribute = reference.partition(":")
    try:
        value: Any = importlib.import_module(module_name)
        for part in attribute.split("."):
            value = getattr(value, part)
    except (ImportError, AttributeError, ValueError) as e:
        raise RefError(
            f"{kind} {reference!r} cannot be found: {e}; accepted is module:attribute of an installed module or of one in {folder}"
        ) from e
    except (Exception, SystemExit) as e:
        raise _fails(f"{kind} {reference!r}", e) from e
    return value


def _fails(what: str, error: BaseException) -> RefError:
    """What to say of something that raised while it was imported."""
    guard = "; what it does as a program belongs under if __name__ == '__main__':" if isinstance(error, SystemExit) else ""
    return RefError(f"{what} cannot be imported: {type(error).__name__}: {error}{guard}")
