"""A fingerprint of source code: tells whether a stored run came of the code that is here now.

It is taken of the code behind a module, without comments, layout and docstrings: the module's own, that of files beside
it which it imports, and that of the package's modules that it imports, directly or not, as far as they are in `within`.
"""

import ast
from collections.abc import Iterator, Sequence
from functools import cache
from hashlib import sha256
from pathlib import Path

_PACKAGE = Path(__file__).parents[1]


def fingerprint(source: Path, *, within: Sequence[str]) -> str:
    """Twelve hexadecimal digits.

    Args:
        source: the module's file.
        within: subpackages and modules of `bohb_nas`, such as `samplers`, whose code counts.
    """
    seen: dict[Path, str] = {}
    waiting = [source.resolve()]
    while waiting:
        path = waiting.pop()
        if path not in seen:
            about = path.stat()
            text, imports = _read(path, about.st_mtime_ns, about.st_size)
            seen[path] = text
            waiting += [found for name in imports for found in _files(name, beside=path, within=within)]
    return sha256("\n".join(sorted(seen.values())).encode()).hexdigest()[:12]


@cache
def _read(path: Path, changed_ns: int, size: int) -> tuple[str, tuple[str, ...]]:
    """The code of a file, read once as long as it stays as it is, without what means nothing; and the names that it imports."""
    del changed_ns, size
    tree = ast.parse(path.read_bytes())
    imports: list[str] = []
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                imports += [alias.name for alias in names]
            case ast.ImportFrom(module=module, names=names, level=level):
                parent = "." * level + (f"{module}." if module else "")
                imports += [*([parent[:-1]] if module else ()), *(parent + alias.name for alias in names)]
            case ast.Module(body=body) | ast.ClassDef(body=body) | ast.FunctionDef(body=body):
                body[:] = [statement for statement in body if not _is_text(statement)]
    return ast.dump(tree), tuple(imports)


def _is_text(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant) and isinstance(statement.value.value, str)


def _files(name: str, *, beside: Path, within: Sequence[str]) -> Iterator[Path]:
    """The files of a dotted name that count: at most one. As in an import, dots before it stand for folders."""
    inner = name.lstrip(".")
    first, *rest = inner.split(".")
    if level := len(name) - len(inner):
        place = beside.parents[level - 1].joinpath(*inner.split("."))
    elif first == _PACKAGE.name and rest and rest[0] in within:
        place = _PACKAGE.joinpath(*rest)
    elif first != _PACKAGE.name:
        place = beside.parent.joinpath(first, *rest)
    else:
        return
    for path in (place.with_suffix(".py"), place / "__init__.py"):
        if path.is_file() and path != beside:
            yield path.resolve()
