"""Whether budgets were typed in what they count."""

from collections.abc import Mapping

from bohb_nas.durations import Timed, format_duration
from bohb_nas.errors import UsageError


def check(unit: str, typed: Mapping[str, float | None]) -> None:
    """Refuses times where budgets are no seconds.

    Args:
        unit: what they count.
        typed: by option; None where nothing was typed.

    Raises:
        UsageError: a budget is a time and the unit is not, or the unit is empty or no text that a study can hold.
    """
    try:
        unit.encode()
    except UnicodeEncodeError as e:
        raise UsageError(f"--budget-unit {unit!r}: accepted is a text in UTF-8, such as epochs; write it otherwise") from e
    if not unit.strip():
        raise UsageError(f"--budget-unit {unit!r}: accepted is what budgets count, such as epochs; leave it out for seconds")
    for option, value in typed.items():
        if isinstance(value, Timed) and unit != "s":
            raise UsageError(f"{option} {format_duration(value)}: budgets count {unit}, and this is a time; give a plain number")
