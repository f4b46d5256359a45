"""Standard output and error around a worker, which may replace, wrap, detach or close them."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, TextIO

_DESCRIPTORS = {"stdout": 1, "stderr": 2}


@contextmanager
def put_back() -> Iterator[None]:
    """Lends streams of their own, writes out what is left in them and in what stands in their place, and puts back those that were there.

    So it does with the two descriptors: a stream that a worker has made on one closes it as it is forgotten.
    """
    before = {name: getattr(sys, name) for name in _DESCRIPTORS}
    lent = {name: _lent(name, stream) for name, stream in before.items()}
    kept = {descriptor: os.dup(descriptor) for descriptor in _DESCRIPTORS.values()}
    for name, stream in lent.items():
        setattr(sys, name, stream)
    try:
        yield
    finally:
        for name, stream in before.items():
            standing: Any = vars(sys).get(name)
            for each in (standing, lent[name], stream):
                with suppress(Exception):  # it may be the worker's own; what it refuses is lost, and nothing else
                    each.flush()
            setattr(sys, name, stream)
        for descriptor, copy in kept.items():
            os.dup2(copy, descriptor)
            os.close(copy)


def _lent(name: str, stream: TextIO) -> TextIO:
    """Another stream on the same descriptor; the same one where that is somebody's own."""
    try:
        if stream.fileno() != _DESCRIPTORS[name]:
            return stream
        stream.flush()
        buffering = 1 if getattr(stream, "line_buffering", False) else -1
        return open(_DESCRIPTORS[name], "w", buffering, encoding=stream.encoding, errors=stream.errors, closefd=False)
    except (OSError, ValueError, AttributeError):
        return stream
