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


def names(kind: str) -> list[str]:
    """The names in the catalogue of a kind, without importing any of its files."""
    folder = Path(__file__).parent / CATALOGUES[kind]
    return sorted(m.name for m in pkgutil.iter_modules([str(folder)]) if not m.name.startswith("_"))


def is_file(reference: str) -> bool:
    """Whether a reference leads to a file of the user's rather than to a name or an installed module."""
    return reference.endswith((".py", ".json", ".yaml", ".yml"))


def load_module(kind: str, reference: str) -> ModuleType | Any:
    """The module of a catalogue name or of FILE.py, or the object behind module:attribute.

    Raises:
        RefError: nothing there, or it fails while it is imported.
    """
    if reference in names(kind):
        return importlib.import_module(f"bohb_nas.{CATALOGUES[kind]}.{reference}")
    if reference.endswith(".py"):
        _let_import(Path(reference).resolve().parent)
        return _import_file(kind, Path(reference))
    if ":" in reference:
        _let_import()
        return _import_attribute(kind, reference)
    raise RefError(f"unknown {kind} {reference!r}; known: {', '.join(names(kind))}; or give FILE.py or module:attribute")


def _let_import(*folders: Path) -> None:
    """Lets what the user names import what lies in these folders and, behind them, in the current one.

    They come last in the path: what is installed is not hidden by files of the same name.
    """
    with suppress(FileNotFoundError):  # the current directory is gone
        folders += (Path.cwd(),)
    sys.path += [text for text in dict.fromkeys(map(str, folders)) if text not in sys.path]


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
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as e:  # whatever a user's file does while it is imported is that file's error
        del sys.modules[spec.name]
        raise _fails(f"{kind} file {str(path)!r}", e) from e
    return module


def _import_attribute(kind: str, reference: str) -> Any:
    module_name, _, attribute = reference.partition(":")
    try:
        value: Any = importlib.import_module(module_name)
        for part in attribute.split("."):
            value = getattr(value, part)
    except (ImportError, AttributeError, ValueError) as e:
        raise RefError(
            f"{kind} {reference!r} cannot be found: {e}; accepted is module:attribute of an installed module or of one in this folder"
        ) from e
    except (Exception, SystemExit) as e:
        raise _fails(f"{kind} {reference!r}", e) from e
    return value


def _fails(what: str, error: BaseException) -> RefError:
    """What to say of something that raised while it was imported."""
    guard = "; what it does as a program belongs under if __name__ == '__main__':" if isinstance(error, SystemExit) else ""
    return RefError(f"{what} cannot be imported: {type(error).__name__}: {error}{guard}")
