"""Shows a running search: a table in a terminal, a line per event where there is none. Everything goes to standard error."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import click
from rich.console import Console
from rich.live import Live

from bohb_nas.engine.view import Display, View
from bohb_nas.report import live
from bohb_nas.store.journal import Event

_REDRAW_S = 0.25
"""Between two pictures."""


def display() -> Display:
    """What suits standard error."""
    return _Terminal() if sys.stderr.isatty() else _Log()


class _Log(Display):
    """A plain line per event."""

    def say(self, text: str) -> None:
        click.echo(text, err=True)

    @contextmanager
    def watch(self, view: View) -> Iterator[None]:
        self._view = view
        yield

    def event(self, event: Event) -> None:
        self.say(live.line(event, self._view.state, self._view.meta["budgets"]["unit"]))


class _Terminal(_Log):
    """A table that is drawn again as things happen."""

    @contextmanager
    def watch(self, view: View) -> Iterator[None]:
        self._view, self._drawn = view, 0.0
        with Live(console=Console(stderr=True, markup=False, emoji=False), auto_refresh=False, transient=True) as self._live:
            yield

    def event(self, event: Event) -> None:
        self.tick()

    def tick(self) -> None:
        if time.monotonic() - self._drawn < _REDRAW_S:
            return
        self._drawn, view = time.monotonic(), self._view
        self._live.update(live.screen(view.study, view.meta, view.state, n_workers=view.n_workers(), worth=view.worth), refresh=True)
