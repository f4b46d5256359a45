"""How the C library keeps memory while a processor trains: from step to step, not beyond the trial. On glibc; elsewhere nothing is done.

Left to itself it gives the system back what a step frees, and the next step takes it again, page by page.
"""

import ctypes
from functools import cache

_TRIM_THRESHOLD = -1
"""mallopt's number for how many free bytes at the end of the heap are given back."""
_MMAP_MAX = -4
"""mallopt's number for how many pieces lie outside of the heap, each given back when it is freed."""
_NEVER = 2**31 - 1


def keep() -> None:
    """From now on this process keeps what it frees, until `give_back`."""
    if (library := _library()) is not None:
        library.mallopt(_TRIM_THRESHOLD, _NEVER)
        library.mallopt(_MMAP_MAX, 0)


def give_back() -> None:
    """Gives the system the memory that is free."""
    if (library := _library()) is not None:
        library.malloc_trim(0)


@cache
def _library() -> ctypes.CDLL | None:
    """The C library of this process, if it is one that can be told."""
    library = ctypes.CDLL(None)
    return library if hasattr(library, "mallopt") and hasattr(library, "malloc_trim") else None
