"""What a display of a running study is told, and what it may ask."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from bohb_nas.store.journal import Event, State
from bohb_nas.store.study_dir import StudyDir


@dataclass(slots=True, kw_only=True)
class View:
    """What a display may show of a running study."""

    study: StudyDir
    meta: dict[str, Any]
    state: State
    n_workers: Callable[[], int]
    worth: float | None
    """Sum of the budgets after which the search ends, where that is known."""


class Display:
    """What shows a running study to people; this one shows nothing."""

    def say(self, text: str) -> None:
        """A sentence for people."""

    @contextmanager
    def watch(self, view: View) -> Iterator[None]:
        """Shows a study while the block runs."""
        yield

    def event(self, event: Event) -> None:
        """A new line of the journal."""

    def tick(self) -> None:
        """Time has passed."""
