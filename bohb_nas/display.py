"""Shows a running search: a table in a terminal, a line per event where there is none.

Everything goes to standard error. What nobody can read there is lost, and ends nothing: the journal is the record.
"""

import errno
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any, cast

import click
from rich.console import Console
from rich.live import Live

from bohb_nas.engine.view import Display, View
from bohb_nas.files import FULL
from bohb_nas.report import live
from bohb_nas.store.journal import Event

_LOST = FULL | {errno.EPIPE, errno.EIO, errno.EBADF}
"""What a disk under a log says that has no room or fails, a pipe that nobody reads any more, and a terminal that is gone."""
_REDRAW_S = 0.25
"""Between two pictures, at least."""
_SHARE = 10
"""Times as long as a picture took nothing is drawn after it: that of a long study takes seconds, in which its search stands still."""


@contextmanager
def _unread() -> Iterator[None]:
    """Lets what cannot be written for want of a reader be lost."""
    try:
        yield
    except OSError as e:
        if e.errno not in _LOST:
            raise


def say(text: str) -> None:
    """A line on standard error, lost where that is."""
    with _unread():
        click.echo(text, err=True)


def display() -> Display:
    """What suits standard error."""
    return _Terminal() if sys.stderr.isatty() else _Log()


class _Log(Display):
    """A plain line per event."""

    def say(self, text: str) -> None:
        say(text)

    @contextmanager
    def watch(self, view: View) -> Iterator[None]:
        self._view = view
        yield

    def event(self, event: Event) -> None:
        self.say(live.line(event, self._view.state, self._view.meta["budgets"]["unit"]))


class _Stderr:
    """Standard error for rich, which would keep what was refused and write it with whatever comes after."""

    def __init__(self) -> None:
        self._stream = sys.stderr

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        with _unread():
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with _unread():
            self._stream.flush()


class _Terminal(_Log):
    """A table that is drawn again as things happen."""

    @contextmanager
    def watch(self, view: View) -> Iterator[None]:
        self._view, self._due = view, 0.0
        console = Console(file=cast(IO[str], _Stderr()), markup=False, emoji=False)
        with Live(console=console, auto_refresh=False, transient=True) as self._live:
            yield

    def event(self, event: Event) -> None:
        self.tick()

    def tick(self) -> None:
        if time.monotonic() < self._due:
            return
        view, before = self._view, time.thread_time()  # a terminal that is held up takes no time of the search's
        self._live.update(live.screen(view.study, view.meta, view.state, n_workers=view.n_workers(), worth=view.worth), refresh=True)
        self._due = time.monotonic() + max(_REDRAW_S, _SHARE * (time.thread_time() - before))
