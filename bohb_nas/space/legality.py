"""Says what is wrong with configurations and values that were written by hand, or for another space."""

import json
import reprlib
from collections.abc import Mapping
from typing import Any, cast

import numpy as np
from ConfigSpace import ConfigurationSpace
from ConfigSpace.hyperparameters import Hyperparameter, IntegerHyperparameter, NumericalHyperparameter

from bohb_nas.errors import SpaceError
from bohb_nas.records import Value
from bohb_nas.space.encoding import listed, n_values, no_such, plain


def legal_value(hyperparameter: Hyperparameter[Any, Any], value: object) -> Value:
    """The value as the space writes it: 1 for 1.0 of an integer, 1.0 for 1 of a float, none of numpy's types.

    Raises:
        SpaceError: it is none of the hyperparameter's.
    """
    value = plain(value)
    match hyperparameter:
        case NumericalHyperparameter():
            if isinstance(value, int | float) and not isinstance(value, bool) and _within(hyperparameter, value):
                return int(value) if isinstance(hyperparameter, IntegerHyperparameter) else float(value)
        case _:
            for accepted in listed(hyperparameter):
                if accepted == value and isinstance(accepted, bool) == isinstance(value, bool):
                    return accepted
    raise SpaceError(f"{hyperparameter.name} = {reprlib.repr(value)}; accepted is {_range(hyperparameter)}")


def _within(hyperparameter: NumericalHyperparameter[Any, Any], value: float) -> bool:
    # In this order: ConfigSpace cannot be asked about a whole number beyond every float.
    return bool(hyperparameter.lower <= value <= hyperparameter.upper and hyperparameter.legal_value(value))


def complete(space: ConfigurationSpace, config: Mapping[str, object]) -> dict[str, Value]:
    """A configuration with every active hyperparameter, in the space's order; constants may be left out.

    Raises:
        SpaceError: names are unknown, values illegal, active hyperparameters missing or inactive ones given, all of which the text
            lists; or a clause forbids the combination.
    """
    problems = _strangers(space, config)
    full: dict[str, Value] = {}
    vector = np.full(len(space), np.nan)
    missing: list[str] = []
    undecided: set[str] = set()  # without a good value, so that nothing can be said of their children
    for i, (name, hyperparameter) in enumerate(space.items()):
        unmet = [c for c in space.parent_conditions_of[name] if not c.satisfied_by_vector(vector)]
        if unmet and undecided.isdisjoint(parent.name for parent in space.parents_of[name]):
            if name in config:
                problems.append(f"{name} is given but inactive: it exists only where {unmet[0]}; leave it out")
            continue
        try:
            if name in config:
                full[name] = legal_value(hyperparameter, config[name])
            elif n_values(hyperparameter) == 1:
                full[name] = cast(Value, plain(hyperparameter.default_value))
        except SpaceError as e:
            problems.append(str(e))
        if name in full and not unmet:
            vector[i] = hyperparameter.to_vector(full[name])
            continue
        undecided.add(name)
        if name not in config and not unmet:
            missing.append(name)
    problems += _missing(space, missing)
    if problems:
        raise SpaceError("; ".join(problems))
    for clause in space.forbidden_clauses:
        if clause.is_forbidden_vector(vector):
            raise SpaceError(f"a clause of the space forbids this combination: {clause}")
    return full


def restricted(space: ConfigurationSpace, config: Mapping[str, object]) -> dict[str, Value]:
    """What a space knows of a configuration of another one: hyperparameters with a choice, legal values.

    Left out is, too, what the values of its parents make inactive; where a parent is not known, it stays.
    """
    kept: dict[str, Value] = {}
    inactive: set[str] = set()
    vector = np.full(len(space), np.nan)
    for i, (name, hyperparameter) in enumerate(space.items()):
        known = all(parent.name in kept or parent.name in inactive for parent in space.parents_of[name])
        if known and not all(c.satisfied_by_vector(vector) for c in space.parent_conditions_of[name]):
            inactive.add(name)
        elif name in config or n_values(hyperparameter) == 1:
            try:
                kept[name] = legal_value(hyperparameter, config.get(name, plain(hyperparameter.default_value)))
            except SpaceError:
                continue
            vector[i] = hyperparameter.to_vector(kept[name])
    return {name: value for name, value in kept.items() if name in config and n_values(space[name]) != 1}


def _strangers(space: ConfigurationSpace, config: Mapping[str, object]) -> list[str]:
    """What to say of names that a space does not have."""
    unknown = [name for name in config if name not in space]
    return [no_such(unknown, [*space])] if unknown else []


def _missing(space: ConfigurationSpace, names: list[str]) -> list[str]:
    """What to say of active hyperparameters without a value; their defaults are told, not taken."""
    if not names:
        return []
    defaults = ", ".join(f"{json.dumps(name)}: {json.dumps(plain(space[name].default_value))}" for name in names)
    if len(names) == 1:
        return [f"{names[0]} is missing although it is active; accepted is {_range(space[names[0]])}; for its default add {defaults}"]
    listed = ", ".join(f"{name} ({_range(space[name])})" for name in names)
    return [f"{len(names)} are missing although they are active: {listed}; for their defaults add {defaults}"]


def _range(hyperparameter: Hyperparameter[Any, Any]) -> str:
    match hyperparameter:
        case NumericalHyperparameter():
            kind = "a whole number" if isinstance(hyperparameter, IntegerHyperparameter) else "a number"
            return f"{kind} from {hyperparameter.lower} to {hyperparameter.upper}"
        case _:
            return " or ".join(repr(value) for value in listed(hyperparameter))
