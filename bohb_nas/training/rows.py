"""What trainings for good came to, a row for each seed, and the rows that models of earlier ones tell."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from bohb_nas.errors import UsageError
from bohb_nas.files import dump_json, load_json
from bohb_nas.records import Status

NEW_CURVE = "curve.jsonl.new"
"""The curve of a training that has not ended, or whose model is not there yet."""
_SAID = 4
"""Differences between two trainings that a refusal names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One seed's line of the table."""

    seed: int
    status: Status
    message: str | None
    """Why there is no test error."""
    test_error: float | None
    test_error_mirrored: float | None
    """With every image judged together with its mirror image; None where training mirrors none."""
    n_test: int
    params: float
    flops: float
    """Of one image's forward pass."""
    train_s: float
    steps: int


def earlier_row(folder: Path, training: Mapping[str, Any]) -> Row | None:
    """The row of a model of the same training that lies in a folder.

    None without one, and where an export was cut off or the model was never tested: its place may be taken.

    Args:
        folder: of a seed.
        training: what its model tells in `model.json`, whatever the seed: JSON.

    Raises:
        UsageError: the model is of another training, or does not tell of which.
    """
    if not list(folder.glob("model.*")) or ((folder / NEW_CURVE).exists() and not (folder / "model.json").exists()):
        return None
    elsewhere = f"move {folder.parent} away, or name another folder with --out"
    try:
        about = load_json((folder / "model.json").read_text(encoding="utf-8"))
        row = Row(**{field.name: about[field.name] for field in fields(Row)})
        row = replace(row, status=Status(row.status))
    except (OSError, ValueError, TypeError, KeyError, RecursionError) as e:
        raise UsageError(f"{folder} holds a model whose model.json does not tell what it is ({e!r:.100}); {elsewhere}") from e
    asked = load_json(dump_json(training))
    if told := list(_differences({name: about.get(name) for name in asked}, asked)):
        more = f" and {len(told) - _SAID} more" if len(told) > _SAID else ""
        raise UsageError(f"{folder} holds a model of another training: {', '.join(told[:_SAID])}{more}; {elsewhere}")
    return row if row.test_error is not None and (folder / "model.pt2").is_file() else None


def _differences(was: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    """What is otherwise now, in the objects within, too."""
    for name in dict.fromkeys([*was, *now]):
        before, after = was.get(name), now.get(name)
        if isinstance(before, dict) and isinstance(after, dict):
            yield from _differences(before, after)
        elif before != after:
            yield f"{name} is {before!r:.60}, now {after!r:.60}"
