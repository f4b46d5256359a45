"""Wary reading of what lies in a study: it may be torn, hostile or huge.

No reader waits for a named pipe, follows a link that it does not mean to, reads more than it expects, or takes in what could not be
written again.
"""

import errno
import os
import stat
from pathlib import Path
from typing import IO, Any

import orjson

NOT_AS_MEANT = frozenset({errno.ELOOP, errno.EINVAL, errno.EFBIG, errno.EISDIR})
"""Error numbers that speak of what lies there, not of a disk that fails."""


def open_regular(path: Path, *, follow: bool = True) -> int:
    """A descriptor for reading a regular file; anything else is refused, and a named pipe is not waited for.

    Args:
        path: of the file.
        follow: whether a symbolic link may lead to it.

    Raises:
        OSError: it is absent, cannot be read, or is no regular file; `strerror` says so in words.
    """
    extra = 0 if follow else os.O_NOFOLLOW
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | extra)
    except OSError as e:
        if e.errno == errno.ELOOP and not follow:
            raise OSError(errno.ELOOP, "it is a symbolic link") from e
        raise
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "it is no regular file")
    return descriptor


def read_regular(path: Path, *, limit: int, follow: bool = True) -> bytes:
    """The content of a regular file of at most `limit` bytes.

    Raises:
        OSError: it is absent, cannot be read, is no regular file, or is larger; `strerror` says so in words.
    """
    return _whole(os.fdopen(open_regular(path, follow=follow), "rb"), limit)


def read_text(path: Path, *, limit: int) -> str:
    """The text of a file that a person named, in UTF-8, with or without the mark that some editors put first; it may be a pipe.

    Raises:
        OSError: it is absent, cannot be read, or is larger than `limit` bytes; `strerror` says so in words.
        UnicodeDecodeError: it is not UTF-8.
    """
    return _whole(path.open("rb"), limit).decode("utf-8-sig")


def _whole(stream: IO[bytes], limit: int) -> bytes:
    """What a stream holds; never more than the limit is read, for a pipe or device has no size to ask for.

    Raises:
        OSError: it is more than `limit` bytes.
    """
    with stream:
        data = stream.read(limit + 1)
    if len(data) > limit:
        raise OSError(errno.EFBIG, f"it is larger than {limit} bytes")
    return data


def parse_json(data: bytes | str) -> Any:
    """The value of a JSON text that a program wrote, such that it can be written again; whole numbers from 2^64 on become floats.

    Raises:
        ValueError: it is not JSON in UTF-8, holds NaN, an infinity, a number beyond every float, or half a surrogate pair, or is nested
            more than 100 deep.
        RecursionError: it is nested too deeply for even that to be found out.
    """
    text = data.encode() if isinstance(data, str) else data
    value = orjson.loads(text)
    if text.count(b"[") + text.count(b"{") > _MOST_DEEP:
        _check_depth(value)
    return value


_MOST_DEEP = 100
"""Of objects and lists in each other: whatever is done with the value later has to reach its ground, too."""


def _check_depth(value: Any) -> None:
    level = [value] if isinstance(value, dict | list) else []
    for _ in range(_MOST_DEEP):
        inner = (v for outer in level for v in (outer.values() if isinstance(outer, dict) else outer))
        level = [v for v in inner if isinstance(v, dict | list)]
        if not level:
            return
    raise ValueError(f"it is nested more than {_MOST_DEEP} deep")
