"""Whether this process may be spoilt for other trials although what it trains goes on: a device that did not get over an error.

A training whose result is sound says so by `note`. The result is kept, and the next trial is trained by another process.
"""

_why: str | None = None


def note(why: str) -> None:
    """From now on this process may be spoilt.

    Args:
        why: in one line; the first one counts.
    """
    global _why
    _why = _why or why


def why() -> str | None:
    """What was noted first, or None."""
    return _why
