"""What a worker answered, as readers of the study will find it."""

from dataclasses import replace
from typing import Any

from bohb_nas.files import dump_json
from bohb_nas.reading import parse_json
from bohb_nas.records import Result

_UNKEPT = (TypeError, ValueError, RecursionError)


def kept(result: Result) -> tuple[Result, int]:
    """A result as the study has it, and its bytes as JSON; details that its readers would not take are left out: the loss is known."""
    if result.message is not None:
        result = replace(result, message=result.message.encode(errors="backslashreplace").decode())  # names of files need not be UTF-8
    try:
        return read_back(result)
    except _UNKEPT as e:
        good = {name: value for name, value in result.details.items() if _keeps(result, name, value)}
        bad = ", ".join(ascii(name) for name in result.details if name not in good)
        return read_back(replace(result, details={**good, "left_out": f"a study cannot keep the details {bad[:200]}: {e}"}))


def _keeps(result: Result, name: Any, value: Any) -> bool:
    try:
        read_back(replace(result, details={name: value}))
    except _UNKEPT:
        return False
    return True


def read_back(result: Result) -> tuple[Result, int]:
    """A result written and read again, and its bytes; scalars of numpy and the like become numbers.

    Raises:
        TypeError: something in it is no value of JSON.
        ValueError, RecursionError: it could not be read from the journal, where it lies in another object.
    """
    text = dump_json(result.to_json(), default=_scalar)
    (read,) = parse_json(f"[{text}]")
    return Result.from_json(read), len(text.encode())


def _scalar(value: Any) -> Any:
    """What an array without axes holds.

    Raises:
        TypeError: it is none.
    """
    if getattr(value, "shape", None) == ():
        return value.item()
    raise TypeError(f"{type(value).__name__} is not JSON serializable; accepted are numbers, texts, truths, lists and objects of them")
