"""Reads a search space from what a user can name, and freezes it as JSON."""

import io
import json
import reprlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from ConfigSpace import ConfigurationSpace
from ConfigSpace.exceptions import ForbiddenValueError
from ConfigSpace.hyperparameters import IntegerHyperparameter

from bohb_nas import refs
from bohb_nas.errors import SpaceError, StudyError
from bohb_nas.files import dump_json
from bohb_nas.reading import parse_json
from bohb_nas.records import Value
from bohb_nas.space.encoding import Encoding, listed, n_values, plain

_TRIES = 2000
_AT_ONCE = 20
"""Of these: most spaces allow the first."""
_FORMS = "NAME of `bohb-nas list spaces`, FILE.py with a function space(), module:attribute, or ConfigSpace's own FILE.yaml or FILE.json"


def load_space(reference: str) -> ConfigurationSpace:
    """The search space behind a reference.

    Args:
        reference: NAME of the catalogue, FILE.py with a function `space()`, module:attribute (a space, or a function
            that makes one), or a FILE.yaml or FILE.json that ConfigSpace wrote.

    Raises:
        RefError: nothing there, or it fails while it is imported.
        SpaceError: there is something, but no space that can be searched.
    """
    match Path(reference).suffix:
        case ".json":
            return _checked(reference, lambda: ConfigurationSpace.from_json(_object(reference, json.loads)))
        case ".yaml" | ".yml":
            return _checked(reference, lambda: ConfigurationSpace.from_yaml(_object(reference, yaml.safe_load)))
    named = refs.load_module("space", reference)
    is_attribute = ":" in reference and not refs.is_file(reference)
    if not is_attribute and not callable(getattr(named, "space", None)):
        raise SpaceError(f"space {reference!r} has no function space(); define one that returns a ConfigurationSpace")
    make = named if is_attribute else named.space
    return _checked(reference, make if callable(make) else lambda: make)


def load_pcs(path: str) -> ConfigurationSpace:
    """The search space in a PCS file, of the new form or the old.

    Raises:
        SpaceError: it is of neither.
    """
    from ConfigSpace.read_and_write import pcs, pcs_new  # deprecated, and of use for old runs alone

    try:
        return _checked(path, lambda: pcs_new.read(_text(path).splitlines()))
    except SpaceError as e:
        try:
            return _checked(path, lambda: pcs.read(_text(path).splitlines()))
        except SpaceError:
            raise e from None


def space_from_json(text: str) -> ConfigurationSpace:
    """The inverse of `space_to_json`.

    Raises:
        SpaceError: the text holds no space that can be searched.
    """
    return _made("space.json", lambda: ConfigurationSpace.from_json(io.StringIO(text)))


def frozen_space(text: str, path: Path) -> ConfigurationSpace:
    """The space of a study, from its own file.

    Args:
        text: what the file holds.
        path: of the file.

    Raises:
        StudyError: the file is damaged.
    """
    try:
        return space_from_json(text)
    except SpaceError as e:
        raise StudyError(
            f"{path} is damaged: {str(e.__cause__ or e)[:300]}; restore it from a backup, or start a new study elsewhere"
        ) from e


def space_to_json(space: ConfigurationSpace) -> str:
    """The space as ConfigSpace's own JSON; values of numpy as what they are worth."""
    text = io.StringIO()
    space.to_json(text, default=plain)
    return text.getvalue()


def check_space(space: object, *, name: str) -> ConfigurationSpace:
    """The space itself, when it can be searched.

    Raises:
        SpaceError: it cannot; the text says why and what to do.
    """
    if not isinstance(space, ConfigurationSpace):
        raise SpaceError(
            f"space {name!r} is an object of type {type(space).__name__}; accepted is a ConfigurationSpace; return one from space()"
        )
    if all(n_values(hyperparameter) == 1 for hyperparameter in space.values()):
        raise SpaceError(
            f"space {name!r} leaves nothing to search: its hyperparameters are {list(space)}; "
            "accepted is at least one with two values or more; add one"
        )
    for hyperparameter in space.values():
        if isinstance(hyperparameter, IntegerHyperparameter) and not _fits(int(hyperparameter.lower), int(hyperparameter.upper)):
            raise SpaceError(
                f"space {name!r}: {hyperparameter.name} is a whole number from {hyperparameter.lower} to {hyperparameter.upper}; accepted "
                "are ranges from -2^63 to 2^63 - 1 of fewer than 2^63 values; narrow it"
            )
        for value in listed(hyperparameter):
            if not (isinstance(value, bool | int | float | str) and _lasts(value)):
                raise SpaceError(
                    f"space {name!r}: {hyperparameter.name} has the value {reprlib.repr(value)}; accepted are finite numbers, whole ones "
                    "below 2^64, true, false, and texts in UTF-8; name the value by a text and look it up in the worker"
                )
    return space


def check_sampled(space: ConfigurationSpace, *, name: str) -> ConfigurationSpace:
    """The space itself, when its own distribution keeps its clauses often enough for a search.

    Raises:
        SpaceError: it does not.
    """
    if not _allows_something(Encoding(space)):
        raise SpaceError(
            f"space {name!r}: {_TRIES} random configurations are all forbidden; accepted are clauses that leave more than that; "
            "remove a clause, or express it as a condition"
        )
    return space


def _fits(lower: int, upper: int) -> bool:
    """Whether ConfigSpace, which draws integers of 64 bits, can draw from a range."""
    return lower >= -(2**63) and upper < 2**63 and upper - lower + 1 < 2**63


def _lasts(value: Value) -> bool:
    """Whether a study that writes a value reads the same."""
    try:
        (read,) = parse_json(dump_json([value]))
    except ValueError:
        return False
    return bool(read == value)


def _allows_something(encoding: Encoding) -> bool:
    """Whether sampling would ever end: ConfigSpace itself tries for good."""
    random = np.random.RandomState(0)  # what ConfigSpace draws with
    for row in (row for _ in range(_TRIES // _AT_ONCE) for row in encoding.drawn_apart(_AT_ONCE, random)):
        try:
            encoding.decode(row)
        except ForbiddenValueError:
            continue
        return True
    return False


def _checked(reference: str, make: Callable[[], Any]) -> ConfigurationSpace:
    """A space that a person names, when it can be searched and drawn from."""
    return check_sampled(_made(reference, make), name=reference)


def _made(reference: str, make: Callable[[], Any]) -> ConfigurationSpace:
    try:
        space = make()
    except SpaceError:
        raise
    except Exception as e:  # the text or function is the user's: ConfigSpace and Python fail in it with whatever type they like
        raise SpaceError(_explained(reference, e)) from e
    return check_space(space, name=reference)


def _explained(reference: str, error: Exception) -> str:
    what = f"space {reference!r} cannot be built: {type(error).__name__}: {error}"
    if isinstance(error, ForbiddenValueError):
        return f"{what}; the defaults must be allowed, and the clauses must leave something: change a default value or remove a clause"
    return f"{what}; accepted is {_FORMS}; correct the file, or write it with space.to_json() or space.to_yaml()"


def _object(path: str, read: Callable[[str], Any]) -> io.StringIO:
    """The text of a file that holds an object, for ConfigSpace, which trusts that.

    Raises:
        SpaceError: it holds something else.
    """
    text = _text(path)
    if not isinstance(held := read(text), dict):
        what = "a list" if isinstance(held, list) else reprlib.repr(held)
        other = "; configurations to try first are given with --initial" if isinstance(held, list) else ""
        raise SpaceError(f"space {path!r} holds {what}; accepted is an object, as space.to_json() or space.to_yaml() writes it{other}")
    return io.StringIO(text)


def _text(path: str) -> str:
    return Path(path).read_text(encoding="utf-8")
