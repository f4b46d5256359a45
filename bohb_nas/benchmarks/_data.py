"""Where the tables and surrogates lie, and the search spaces that their files describe."""

import json
import os
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from ConfigSpace import AndConjunction, Categorical, ConfigurationSpace, EqualsCondition, Float, InCondition, Integer
from ConfigSpace.hyperparameters import Hyperparameter

from bohb_nas.errors import ProblemError

VARIABLE = "BOHB_NAS_DATA"
"""Names the folder that contains `benchmarks/`."""
_WITHOUT = "docs/simulate.md says where it comes from; without data: --suite synthetic"


def data_file(family: str, name: str) -> Path:
    """The path of a family's file.

    Raises:
        ProblemError: the variable is not set, or the file is not there.
    """
    root = os.environ.get(VARIABLE)
    if not root:
        raise ProblemError(
            f"problem {family} needs data, but {VARIABLE} is not set; set it to the folder that contains benchmarks/{family}; {_WITHOUT}"
        )
    path = Path(root) / "benchmarks" / family / name
    if not path.is_file():
        raise ProblemError(
            f"problem {family} needs {str(path)!r}, which is not there; set {VARIABLE} to the folder that contains benchmarks/{family}; "
            f"{_WITHOUT}"
        )
    return path


def data_files(family: str) -> tuple[str, ...]:
    """The names, without the suffix, of a family's tables, which are .npz files.

    Raises:
        ProblemError: the variable is not set, or the folder is not there or without tables.
    """
    folder = data_file(family, "README.md").parent
    names = tuple(sorted(path.stem for path in folder.glob("*.npz")))
    if not names:
        raise ProblemError(
            f"problem {family} needs tables, and {str(folder)!r} has no file that ends in .npz; fetch the data again; {_WITHOUT}"
        )
    return names


def read_json(family: str, name: str) -> dict[str, Any]:
    """The object in a family's JSON file.

    Raises:
        ProblemError: it is not there, or is not JSON.
    """
    path = data_file(family, name)
    try:
        value: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as e:
        raise ProblemError(f"problem {family}: {str(path)!r} is not JSON ({e}); fetch the data again") from e
    return value


def described_space(params: Sequence[Mapping[str, Any]], *, without: Collection[str]) -> ConfigurationSpace:
    """The space of a meta.json's `params`, but for those named: the fidelity, the instance and what is fixed."""
    space = ConfigurationSpace()
    searched = {param["name"]: param for param in params if param["name"] not in without}
    made = {name: _hyperparameter(param) for name, param in searched.items()}
    space.add(*made.values())
    for name, param in searched.items():
        conditions = [_condition(made[name], made[c["parent"]], c["values"]) for c in param.get("conditions", ())]
        if conditions:
            space.add(conditions[0] if len(conditions) == 1 else AndConjunction(*conditions))
    return space


def _hyperparameter(param: Mapping[str, Any]) -> Hyperparameter[Any, Any]:
    name = param["name"]
    match param["type"]:
        case "cat":
            return Categorical(name, param["choices"])
        case "int":
            return Integer(name, (param["lower"], param["upper"]), log=param["log"])
        case _:
            return Float(name, (param["lower"], param["upper"]), log=param["log"])


def _condition(child: Hyperparameter[Any, Any], parent: Hyperparameter[Any, Any], values: list[str]) -> EqualsCondition | InCondition:
    return EqualsCondition(child, parent, values[0]) if len(values) == 1 else InCondition(child, parent, values)
