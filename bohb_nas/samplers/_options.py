"""Checks of what a user may choose about a sampler."""

from bohb_nas.errors import OptionError


def check(name: str, value: object, good: bool, accepted: str) -> None:  # noqa: FBT001 - the condition of a check
    """Raises OptionError, saying what is accepted, unless a value is good."""
    if not good:
        raise OptionError(f"{name} {value!r}: accepted is {accepted}")
