"""Standard output and error around a worker, which may replace, detach or close them."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, TextIO

_DESCRIPTORS = {"stdout": 1, "stderr": 2}


@contextmanager
def put_back() -> Iterator[None]:
    """Writes out what is left in the streams, then puts back those that were there; one of no more use as a new one on its descriptor."""
    before = {name: getattr(sys, name) for name in _DESCRIPTORS}
    try:
        yield
    finally:
        for name, stream in before.items():
            standing: Any = vars(sys).get(name)
            for each in (standing, stream):
                with suppress(Exception):  # it may be the worker's own; what it refuses is lost, and nothing else
                    each.flush()
            setattr(sys, name, stream if stream is None or _usable(stream) else _another(name, stream))


def _usable(stream: TextIO) -> bool:
    try:
        return not stream.closed
    except ValueError:  # its buffer was detached
        return False


def _another(name: str, stream: TextIO) -> TextIO:
    return open(_DESCRIPTORS[name], "w", buffering=1, encoding=stream.encoding, errors=stream.errors, closefd=False)
