"""Policies of one's own: one layer in a JSON file."""

import math
import reprlib
from pathlib import Path
from typing import Any

from bohb_nas.entries import is_number
from bohb_nas.errors import OptionError
from bohb_nas.files import load_json
from bohb_nas.reading import read_text
from bohb_nas.training.policies import LIMITS, OPERATORS, PLAIN, Choice, Layer, Operation, Policy

_LIMIT_BYTES = 2**20
_ACCEPTED = 'a list of {"operator": name, "probability": p, "magnitude": [low, high]}'


def from_file(path: Path) -> Policy:
    """One layer read from JSON: a list of {"operator": name, "probability": p, "magnitude": [low, high]}.

    Raises:
        OptionError: it cannot be read, or holds what is not accepted.
    """
    try:
        entries = load_json(read_text(path, limit=_LIMIT_BYTES))
    except OSError as e:
        raise OptionError(f"policy file {path} cannot be read: {e.strerror}") from e
    except (ValueError, RecursionError) as e:
        raise OptionError(f"policy file {path} is not JSON: {e}; accepted is {_ACCEPTED}") from e
    if not isinstance(entries, list) or not entries:
        raise OptionError(f"policy file {path} holds {reprlib.repr(entries)}; accepted is {_ACCEPTED}")
    choices = tuple(_choice(entry, f"policy file {path}, entry {i}") for i, entry in enumerate(entries, 1))
    if abs((total := math.fsum(c.probability for c in choices)) - 1) > 1e-6:
        raise OptionError(f"policy file {path}: the probabilities sum to {total:.6g}; accepted is 1 (`identity` takes what should be left)")
    return (Layer(choices),)


def _choice(entry: Any, where: str) -> Choice:
    if not isinstance(entry, dict) or set(entry) - {"magnitude"} != {"operator", "probability"}:
        elsewhere = "; configurations to try first are given with --initial" if isinstance(entry, dict) and "operator" not in entry else ""
        raise OptionError(f"{where} is {reprlib.repr(entry)}; accepted is an object with operator, probability and magnitude{elsewhere}")
    operator, probability = entry["operator"], entry["probability"]
    if operator not in OPERATORS:
        raise OptionError(f"{where}: operator is {reprlib.repr(operator)}; accepted are {', '.join(OPERATORS)}")
    if not is_number(probability) or not 0 <= probability <= 1:
        raise OptionError(f"{where}: probability is {reprlib.repr(probability)}; accepted is a number from 0 to 1")
    if operator in PLAIN:
        if "magnitude" in entry:
            raise OptionError(f"{where}: {operator} has no magnitude; leave it out")
        return Choice(probability, (Operation(operator),))
    low, high = LIMITS[operator]
    magnitude: Any = entry.get("magnitude")
    good = isinstance(magnitude, list) and len(magnitude) == 2 and all(map(is_number, magnitude))
    if not good or not low <= magnitude[0] <= magnitude[1] <= high:
        raise OptionError(f"{where}: magnitude of {operator} is {reprlib.repr(magnitude)}; accepted is [low, high] from {low} to {high}")
    return Choice(probability, (Operation(operator, *magnitude),))
