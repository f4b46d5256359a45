"""What the record of a study (study.json) must be, so that whoever reads it can rely on it."""

import json
from pathlib import Path
from typing import Any

from bohb_nas.entries import is_number
from bohb_nas.errors import StudyError, UsageError
from bohb_nas.files import pasted
from bohb_nas.reading import parse_json
from bohb_nas.records import Budgets

IMAGE_WORKERS = frozenset({"image_classifier", "one_shot"})
"""Workers that train on one of our data sets."""
ONE_SHOT = "one_shot"
"""The worker that searches by itself."""
ALONE = "baselines"
"""The method and the space of a study of baselines alone."""
OWNER = "bohb_nas.json"
"""In a run directory of HpBandSter that `bohb-nas export` wrote: the study, and the unit of its budgets."""
_SHAPE = {"format": int, "seed": int, "space": str, "method": str, "worker": str, "promote": str, "cwd": str} | dict.fromkeys(
    ("method_options", "worker_options", "budgets", "stop"), dict
)
_MAY_BE = {"listen": str, "lock": str, "require_same_gpu": bool, "preset": str, "initial": str, "prior": str, "data_fingerprint": str}
"""Kinds of what a study may lack, or have none of."""
_MAY_LIST, _MAY_MAP = ("constraints", "warm_start"), ("frozen", "inputs", "imported")
"""What holds texts, or texts for texts, where a study has them."""
_NUMBERS = ("worth", "hard_limit_s", "created")
MOST_SEEDS = 2**64
"""Seeds are below: JSON's larger whole numbers are read as floats."""
_MOST = 2**53
"""Of whatever is counted."""
_N_LIMITS = 3


def wrong_in(meta: object) -> str | None:
    """What keeps a JSON value from being the record of a study, or None."""
    if not isinstance(meta, dict):
        return "it is no object"
    for name, kind in _SHAPE.items():
        if type(meta.get(name)) is not kind:
            return f"{name} is {repr(meta.get(name))[:100]}"
    for name, kind in _MAY_BE.items():
        if not isinstance(meta.get(name), kind | None):
            return f"{name} is {repr(meta[name])[:100]}"
    for name in _MAY_LIST:
        if not _all_texts(meta.get(name) or [], list):
            return f"{name} is {repr(meta[name])[:100]}"
    for name in _MAY_MAP:
        mapped = meta.get(name) or {}
        if not (_all_texts(mapped, dict) and _all_texts([*mapped.values()], list)):
            return f"{name} is {repr(mapped)[:100]}"
    for name in _NUMBERS:
        if meta.get(name) is not None and not is_number(meta[name]):
            return f"{name} is {repr(meta[name])[:100]}"
    probe = meta.get("rank_probe", 0)
    if not (type(probe) is int and 0 <= probe < _MOST):
        return f"rank_probe is {repr(probe)[:100]}"
    if not 0 <= meta["seed"] < MOST_SEEDS:
        return f"seed is {str(meta['seed'])[:100]}"
    return _wrong_in_budgets(meta["budgets"]) or _wrong_in_stop(meta["stop"])


def seed_kept(seed: int) -> int:
    """The seed, if the record of a study can hold it.

    Raises:
        UsageError: it cannot.
    """
    if not 0 <= seed < MOST_SEEDS:
        raise UsageError(f"--seed {seed}: accepted is a whole number from 0 to {MOST_SEEDS - 1}; give a smaller one")
    return seed


def count_kept(option: str, n: int) -> int:
    """What was counted under an option, if the record of a study can hold it.

    Raises:
        UsageError: it cannot.
    """
    if not 0 < n < _MOST:
        raise UsageError(f"{option} {n}: accepted is a whole number from 1 to {_MOST - 1}")
    return n


def unit_kept(unit: str) -> str:
    """What budgets count, if the record of a study, which is UTF-8, can hold it.

    Raises:
        UsageError: it cannot, or it says nothing.
    """
    try:
        unit.encode()
    except UnicodeEncodeError as e:
        raise UsageError(f"--budget-unit {unit!r}: accepted is a text in UTF-8, such as epochs; write it otherwise") from e
    if not unit.strip():
        raise UsageError(f"--budget-unit {unit!r}: accepted is what budgets count, such as epochs; leave it out if that is not to be said")
    return unit


def options_kept(option: str, options: dict[str, Any]) -> dict[str, Any]:
    """What was given as NAME=VALUE under an option, if the record of a study, which is UTF-8, can hold it.

    Raises:
        UsageError: it cannot.
    """
    for name, value in options.items():
        try:
            parse_json(json.dumps([[[value]]]))  # as deep as it can lie in the record
        except (ValueError, RecursionError) as e:
            raise UsageError(
                f"{option} {name}={repr(value)[:100]}: a study could not be opened with it ({e}); accepted are texts in UTF-8, numbers, "
                "true, false, null, and lists and objects of them that are not deep: write it otherwise"
            ) from e
    return options


def path_kept(path: str) -> str:
    """The path, if the record of a study, which is UTF-8, can hold it.

    Raises:
        UsageError: it cannot.
    """
    try:
        path.encode()
    except UnicodeEncodeError as e:
        raise UsageError(
            f"the path {path!r} is not UTF-8, and a study could not be opened with it; accepted are names in UTF-8: "
            "rename that folder or file, or start where the whole path is UTF-8"
        ) from e
    return path


def refuse_no_search(meta: dict[str, Any], path: Path) -> None:
    """Refuses to go on with what is no search of this program.

    Raises:
        StudyError: the study at `path` was imported, or is of baselines alone.
    """
    if meta["method"] == ALONE:
        raise StudyError(
            f"{path} has no search space: baselines alone were trained in it, and `bohb-nas baselines {pasted(path)}` trains more; "
            "search in another DIR"
        )
    if imported := meta.get("imported"):
        raise StudyError(
            f"{path} was imported from {imported.get('from')}, whose log does not say what trained its configurations: "
            f"it cannot go on. Search in another DIR, which learns from this one with --warm-start {path}"
        )


def _all_texts(values: Any, kind: type) -> bool:
    return isinstance(values, kind) and all(isinstance(value, str) for value in values)  # type: ignore[attr-defined]


def _wrong_in_budgets(budgets: dict[str, Any]) -> str | None:
    if not isinstance(budgets.get("unit"), str):  # whatever is recorded of a study is recorded in full
        return "budgets lack their unit"
    if unknown := budgets.keys() - {"min", "max", "eta", "unit"}:
        return f"budgets have {sorted(unknown)}"
    if not all(is_number(value) for name, value in budgets.items() if name != "unit"):
        return f"budgets are {repr(budgets)[:200]}"
    try:
        Budgets(**budgets)
    except UsageError as e:
        return f"budgets: {e}"
    return None


def _wrong_in_stop(stop: dict[str, Any]) -> str | None:
    counts = [stop.get(name, "absent") for name in ("brackets", "trials")]
    total_s = stop.get("total_s", "absent")
    good = all(n is None or (type(n) is int and 0 < n < _MOST) for n in counts) and (
        total_s is None or (is_number(total_s) and total_s > 0)
    )
    return None if good and len(stop) == _N_LIMITS else f"stop is {repr(stop)[:200]}"
