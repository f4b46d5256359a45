"""A cell of a comparison, one method with one seed: what its study and its test say. Reads, and never runs anything."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bohb_nas.comparison.device_seconds import Account, account, chosen
from bohb_nas.errors import StudyError
from bohb_nas.reading import parse_json, read_regular
from bohb_nas.records import Evaluation
from bohb_nas.store.journal import fold
from bohb_nas.store.notes import last_line
from bohb_nas.store.study_dir import StudyDir

NO_MODEL = "no trial ended with a model"
_LIMIT_BYTES = 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """What is known of a method and a seed."""

    method: str
    seed: int
    finished: bool
    """Whether its search is over."""
    told: tuple[Evaluation, ...] = ()
    """In the order of telling."""
    failure: str | None = None
    """Why there is nothing to test, and will be nothing."""
    test: Mapping[str, Any] | None = None
    """What the test found; None before it."""

    @property
    def best(self) -> Evaluation | None:
        """Whose model is tested."""
        return chosen(self.told)

    @property
    def account(self) -> Account:
        """What it cost."""
        return account(self.told)


def cell_folder(folder: Path, method: str, seed: int) -> Path:
    """The study of a cell."""
    return folder / f"{method}-{seed}"


def log_file(folder: Path, method: str, seed: int) -> Path:
    """What the search of a cell said."""
    return folder / f"{method}-{seed}.log"


def tested_file(folder: Path, method: str, seed: int) -> Path:
    """What the test of a cell found."""
    return folder / f"{method}-{seed}.test.json"


def read_cell(folder: Path, method: str, seed: int, *, failure: str | None) -> Cell:
    """What DIR knows of a cell.

    Args:
        folder: DIR.
        method: name of the entrant.
        seed: of its search.
        failure: why its search has failed, as far as is known from elsewhere.

    Raises:
        StudyError: its study or its test is damaged.
    """
    study = StudyDir(cell_folder(folder, method, seed))
    told = tuple(fold(study.journal).evaluations()) if study.exists() else ()
    finished = study.done.exists()
    return Cell(
        method=method,
        seed=seed,
        finished=finished,
        told=told,
        failure=_without_model(told) if finished and chosen(told) is None else failure,
        test=read_test(tested_file(folder, method, seed)),
    )


def _without_model(told: Sequence[Evaluation]) -> str:
    """Why a finished search has no model, with what its last trial said."""
    if not told:
        return NO_MODEL
    last = told[-1]
    return f"{NO_MODEL}; the last, {last.trial.trial_id}, {last.result.status}: {last_line(last.result.message)}"


def read_test(path: Path) -> dict[str, Any] | None:
    """What a test found, or None before it.

    Raises:
        StudyError: the file is damaged.
    """
    try:
        found = parse_json(read_regular(path, limit=_LIMIT_BYTES))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as e:
        raise StudyError(f"{path} cannot be read: {e}; restore it: the test set is read once") from e
    if not isinstance(found, dict) or not isinstance(found.get("test_error"), int | float):
        raise StudyError(f"{path} is no test; restore it: the test set is read once")
    return found
