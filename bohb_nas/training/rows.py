"""What trainings for good came to, a row for each seed, and the rows that models of earlier ones tell."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from bohb_nas.errors import UsageError
from bohb_nas.files import dump_json, load_json
from bohb_nas.records import Status

_ELSEWHERE = "name another folder (--out), or move this one away"


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
    """The row of a model of the same training that lies in a folder; None without one, or of an untested one, whose place may be taken.

    Args:
        folder: of a seed.
        training: what its model tells in `model.json`, whatever the seed: JSON.

    Raises:
        UsageError: the model is of another training, or does not tell of which.
    """
    if not list(folder.glob("model.*")):
        return None
    try:
        about = load_json((folder / "model.json").read_text(encoding="utf-8"))
        row = Row(**{field.name: about[field.name] for field in fields(Row)})
        row = replace(row, status=Status(row.status))
    except (OSError, ValueError, TypeError, KeyError, RecursionError) as e:
        raise UsageError(f"{folder} holds a model whose model.json does not tell what it is ({e!r:.100}); {_ELSEWHERE}") from e
    for name, asked in load_json(dump_json(training)).items():
        if about.get(name) != asked:
            told = f"{name} is {about.get(name)!r:.100}, now {asked!r:.100}"
            raise UsageError(f"{folder} holds a model of another training: {told}; {_ELSEWHERE}")
    return row if row.test_error is not None and (folder / "model.pt2").is_file() else None
