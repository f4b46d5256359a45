"""Joint search over architecture, hyperparameters and augmentation under wall-clock budgets.

The names below are imported when they are first used (PEP 562): `import bohb_nas` itself imports nothing heavy.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bohb_nas import leaving
    from bohb_nas.errors import BohbNasError
    from bohb_nas.methods import Method, make_optimizer
    from bohb_nas.records import Budgets, Evaluation, Idle, Optimizer, Origin, Result, Status, Trial, Worker
    from bohb_nas.space.files import load_space

__version__ = "0.1.0"

_MODULES = {
    "bohb_nas.errors": ("BohbNasError",),
    "bohb_nas.methods": ("Method", "make_optimizer"),
    "bohb_nas.records": ("Budgets", "Evaluation", "Idle", "Optimizer", "Origin", "Result", "Status", "Trial", "Worker"),
    "bohb_nas.space.files": ("load_space",),
}

__all__ = [
    "BohbNasError",
    "Budgets",
    "Evaluation",
    "Idle",
    "Method",
    "Optimizer",
    "Origin",
    "Result",
    "Status",
    "Trial",
    "Worker",
    "__version__",
    "leaving",
    "load_space",
    "make_optimizer",
]


def __getattr__(name: str) -> Any:
    for module, names in _MODULES.items():
        if name in names:
            return getattr(importlib.import_module(module), name)
    if name == "leaving":
        return importlib.import_module("bohb_nas.leaving")
    raise AttributeError(f"module 'bohb_nas' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
