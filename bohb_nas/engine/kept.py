"""What a worker answered, as readers of the study will find it."""

from dataclasses import replace
from typing import Any

from bohb_nas.files import dump_json
from bohb_nas.reading import parse_json
from bohb_nas.records import Result

_UNKEPT = (TypeError, ValueError, RecursionError)


def kept(result: Result) -> tuple[Result, int]:
    """A result as the study has it, and its bytes as JSON; metrics and details that its readers would not take are left out: the loss is
    known.
    """
    if result.message is not None:
        result = replace(result, message=result.message.encode(errors="backslashreplace").decode())  # names of files need not be UTF-8
    try:
        return read_back(result)
    except _UNKEPT as e:
        bare = replace(result, metrics={}, details={})
        metrics = {name: value for name, value in result.metrics.items() if _keeps(replace(bare, metrics={name: value}))}
        details = {name: value for name, value in result.details.items() if _keeps(replace(bare, details={name: value}))}
        bad = [name for name in result.metrics if name not in metrics] + [name for name in result.details if name not in details]
        listed = ", ".join(map(ascii, bad))[:200]
        return read_back(replace(result, metrics=metrics, details={**details, "left_out": f"a study cannot keep {listed}: {e}"}))


def _keeps(result: Result) -> bool:
    try:
        read_back(result)
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
