"""Checks the entries of records that come as JSON, and options.

Written for speed, since a long study is read line by line when it is taken up again.
"""

import json
import math
import re
import reprlib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import MISSING, fields
from enum import StrEnum
from functools import cache
from numbers import Real
from sys import intern
from typing import Any, NoReturn, TypeVar

from bohb_nas.errors import OptionError, RecordError, UsageError

_Word = TypeVar("_Word", bound=StrEnum)
ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
"""Of trials and configurations; it may be a file's name."""
_ID = ID.fullmatch
_LONG = 40
"""Characters of a text that is no word any more."""
_OWN_OPTIONS = {
    "dataset": "--dataset",
    "data_dir": "--data-dir",
    "command": "--command",
    "hard_limit_s": "--hard-limit",
    "unit": "--budget-unit",
    "controller": "--controller",
    "max_params": "--max-params",
    "max_flops": "--max-flops",
}
"""What a command calls an option that workers or methods of the catalogue also have."""


def is_number(value: object) -> bool:
    """Whether a value is a finite number."""
    if type(value) is float:  # nearly always
        return math.isfinite(value)
    try:
        return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    except OverflowError:  # a whole number beyond every float
        return False


def is_whole(value: object, least: int, most: float = math.inf) -> bool:
    """Whether a value is a whole number within bounds."""
    return type(value) is int and least <= value <= most


def as_number(value: Any) -> Any:
    """A real number of another library, such as a scalar of numpy, as a float; everything else as it is."""
    if isinstance(value, int | float) or not isinstance(value, Real):
        return value
    try:
        return float(value)
    except OverflowError:  # a fraction beyond every float
        return value


def numbers(values: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """The finite numbers among named values, and what the others are, as text."""
    found = {name: as_number(value) for name, value in values.items()}
    texts = {name: repr(float(value) if isinstance(value, float) else value) for name, value in found.items() if not is_number(value)}
    others = {name: text[:200] for name, text in texts.items()}  # numpy's floats are floats that write themselves otherwise
    return {name: value for name, value in found.items() if name not in others}, others


def is_plain(config: Mapping[Any, Any]) -> bool:
    """Whether every entry has a name and is worth a text, a truth or a finite number."""
    for name, value in config.items():  # a loop, for `all` would make a generator of each of a hundred thousand configurations
        if not (isinstance(name, str) and (type(value) is str or is_number(value) or isinstance(value, bool | str))):
            return False
    return True


def shared(values: Mapping[str, Any]) -> dict[str, Any]:
    """The same with names, and texts that are one word, held in memory once for all records."""
    return {intern(k): intern(v) if type(v) is str and len(v) < _LONG else v for k, v in values.items()}


def refuse(kind: type, record: Mapping[str, Any], name: str, accepted: str) -> NoReturn:
    """Refuses a field by its name; of a tensor and the like it says how to make a number of it.

    Raises:
        RecordError: always.
    """
    value = record.get(name)
    remedy = f": float({name})" if hasattr(value, "__float__") and not isinstance(value, Real) else ""
    raise RecordError(f"{kind.__name__.lower()}: {name} is {repr(value)[:200]}; accepted is {accepted}{remedy}")


def check_id(kind: type, record: Mapping[str, Any], *names: str) -> None:
    """Refuses ids that could be anything else, such as paths.

    Raises:
        RecordError: one could.
    """
    for name in names:
        value = record[name]
        if not (isinstance(value, str) and _ID(value)):
            refuse(kind, record, name, "1 to 64 letters, digits, - and _")


def word(kind: type, words: type[_Word], name: str, value: object) -> _Word:
    """The word of a closed set that a value is.

    Raises:
        RecordError: it is none.
    """
    found: _Word | None = _members(words).get(value) if isinstance(value, str) else None
    if found is None:
        raise RecordError(f"{kind.__name__.lower()}: {name} is {repr(value)[:200]}; accepted is one of {', '.join(words)}")
    return found


def check_option(name: str, value: object, good: bool, accepted: str) -> None:  # noqa: FBT001 - the condition of a check
    """Raises OptionError, saying what is accepted, unless an option's value is good."""
    if not good:
        raise OptionError(f"{name} is {value!r}; accepted is {accepted}")


def option_value(text: str) -> Any:
    """What is typed behind NAME=: a value of JSON, or a plain word.

    Raises:
        OptionError: a number in it is not finite.
    """
    try:
        return json.loads(text, parse_constant=_no_number, parse_float=_finite, parse_int=_whole)
    except json.JSONDecodeError:
        return text


def _whole(digits: str) -> int:
    _finite(digits)
    return int(digits)


def _finite(digits: str) -> float:
    return found if math.isfinite(found := float(digits)) else _no_number(reprlib.repr(digits))


def _no_number(text: str) -> NoReturn:
    raise OptionError(f"{text} is no number to search with; accepted are finite numbers, words, true, false and null")


def refuse_unknown(whose: str, given: Iterable[str], accepted: Collection[str]) -> None:
    """Raises OptionError when an option is given that its owner, a method or a worker, does not have."""
    if unknown := sorted(set(given) - set(accepted)):
        raise OptionError(f"{whose} has no option {', '.join(map(repr, unknown))}; accepted are {', '.join(accepted) or 'none'}")


def refuse_own(option: str, given: Mapping[str, Any], *names: str) -> None:
    """Raises UsageError when a --worker-option or --method-option is given for what only the command's own option says."""
    for name in names:
        if name in given:
            raise UsageError(f"{option} {name}: say it with {_OWN_OPTIONS[name]}")


@cache
def _members(words: type[_Word]) -> dict[str, _Word]:
    """The words of a closed set by what a file holds."""
    return {member.value: member for member in words}


@cache
def _names(kind: type) -> tuple[frozenset[str], frozenset[str]]:
    """The fields of a record, and those that it cannot lack."""
    required = (f.name for f in fields(kind) if f.default is MISSING and f.default_factory is MISSING)
    return frozenset(f.name for f in fields(kind)), frozenset(required)


def entries(kind: type, value: object) -> dict[str, Any]:
    """The fields of a record in a JSON object: all that it must have, none that it cannot have.

    Raises:
        RecordError: another than these.
    """
    if not isinstance(value, dict):
        raise RecordError(f"{kind.__name__.lower()}: {repr(value)[:200]} is not an object")
    known, required = _names(kind)
    if value.keys() == known:
        return dict(value)
    if unknown := set(value) - known:
        raise RecordError(f"{kind.__name__.lower()}: unknown {sorted(map(str, unknown))}; accepted are {sorted(known)}")
    if missing := required - set(value):
        raise RecordError(f"{kind.__name__.lower()}: {sorted(missing)} missing")
    return dict(value)
