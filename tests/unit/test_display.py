"""A display whose reader is gone: what it shows is lost, and nothing else."""

import errno
import os
import sys
from io import StringIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from study_fakes import make_study, result, trial

from bohb_nas.cli import cli
from bohb_nas.display import display, say
from bohb_nas.engine.view import View
from bohb_nas.store.journal import Event, fold


class Stream(StringIO):
    """Standard error; once it is broken it refuses what is written, and counts how often."""

    broken: int | None = None
    refused = 0

    def __init__(self, *, terminal: bool) -> None:
        super().__init__()
        self._terminal = terminal

    def isatty(self) -> bool:
        return self._terminal

    def write(self, text: str) -> int:
        if self.broken is not None:
            self.refused += 1
            raise OSError(self.broken, os.strerror(self.broken))
        return super().write(text)


LOST = [errno.EPIPE, errno.EIO, errno.EBADF, errno.ENOSPC, errno.EDQUOT]


@pytest.mark.parametrize("number", LOST)
@pytest.mark.parametrize("terminal", [False, True])
def test_a_search_goes_on_when_nobody_can_read_what_it_shows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, terminal: bool, number: int
) -> None:
    study = make_study(tmp_path / "study", now=2000.0)
    stream, state = Stream(terminal=terminal), fold(study.journal)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stderr", stream)
    shown, told = display(), Event(term=4, time=2000.0, result=result(3, 0.5))
    monkeypatch.setattr("bohb_nas.display._REDRAW_S", 0.0)
    with shown.watch(View(study=study, meta=study.read_meta(), state=state, n_workers=lambda: 1, worth=None)):
        shown.event(Event(term=4, time=2000.0, trial=trial(3), reason="fourth"))
        assert stream.getvalue() != ""
        stream.broken = number
        for _ in range(3):
            shown.say("a worker ended")
            shown.event(told)
            shown.tick()
    assert stream.refused >= 3
    assert sys.stderr is stream, "nothing stays redirected"
    stream.broken = None
    shown.say("there is room again")
    assert "there is room again" in stream.getvalue()


def test_other_errors_are_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    stream: Any = Stream(terminal=False)
    stream.broken = errno.EINVAL
    monkeypatch.setattr(sys, "stderr", stream)
    with pytest.raises(OSError, match="Invalid argument"):
        say("text")


COMMANDS: list[tuple[list[str], str, Any]] = [
    (["simulate", "--out", "x", "--json"], "bohb_nas.simulation.request.carry_out", []),
    (["compare", "x", "--json"], "bohb_nas.comparison.run.compare", {"interrupted": False, "failed": []}),
    (["baselines", "x", "--json"], "bohb_nas.baselines.run.run", {"rows": [{"n_seeds": 1}]}),
    (["doctor", "--json"], "bohb_nas.doctor.report.examine", {}),
    (["list", "problems"], "bohb_nas.simulation.suites.problem_names", []),
    (["import-hpbandster", "x", "y"], "bohb_nas.imports.hpbandster.bring", SimpleNamespace(notes=["under way"], n_evaluations=1)),
]


@pytest.mark.parametrize(("command", "work", "found"), COMMANDS, ids=[command[0] for command, _, _ in COMMANDS])
def test_a_command_goes_on_when_nobody_can_read_how_far_it_is(
    monkeypatch: pytest.MonkeyPatch, command: list[str], work: str, found: Any
) -> None:
    stream = Stream(terminal=False)
    stream.broken = errno.EPIPE

    def carried_out(*given: Any, **others: Any) -> Any:
        for told in filter(callable, given):
            told("under way")
        return found

    monkeypatch.setattr(work, carried_out)
    monkeypatch.setattr(sys, "stderr", stream)
    cli.main(command, standalone_mode=False)
    assert stream.refused >= 1


class Watched:
    """A search watched in a terminal by a clock of our own, where a picture takes `picture_s`, of which it computes `computed_s`."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, *, picture_s: float, computed_s: float) -> None:
        self.now, self.drawn, self._computed_s = 100.0, list[float](), 0.0
        self._study = make_study(folder / "study", now=2000.0)

        def picture(*_: object, **__: object) -> str:
            self.drawn.append(self.now)
            self.now += picture_s
            self._computed_s += computed_s
            return "picture"

        monkeypatch.setenv("TERM", "xterm")
        monkeypatch.setattr(sys, "stderr", Stream(terminal=True))
        monkeypatch.setattr("bohb_nas.display.time.monotonic", lambda: self.now)
        monkeypatch.setattr("bohb_nas.display.time.thread_time", lambda: self._computed_s)
        monkeypatch.setattr("bohb_nas.display.live.screen", picture)

    def draws(self, lines: int, *, every_s: float) -> list[float]:
        """When pictures are begun while there is a line every few seconds."""
        shown, state = display(), fold(self._study.journal)
        with shown.watch(View(study=self._study, meta=self._study.read_meta(), state=state, n_workers=lambda: 1, worth=None)):
            for _ in range(lines):
                shown.event(Event(term=4, time=2000.0, result=result(3, 0.5)))
                self.now += every_s
        return self.drawn


def test_a_picture_that_takes_long_leaves_the_search_ten_times_as_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    watched = Watched(tmp_path, monkeypatch, picture_s=2.0, computed_s=2.0)
    assert watched.draws(45, every_s=1.0) == [100.0, 122.0, 144.0]


def test_a_picture_that_takes_no_time_is_drawn_four_times_a_second(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    watched = Watched(tmp_path, monkeypatch, picture_s=0.0, computed_s=0.0)
    assert watched.draws(8, every_s=0.125) == [100.0, 100.25, 100.5, 100.75]


def test_a_terminal_that_was_held_up_shows_the_next_picture_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By Ctrl-S, say, for ten minutes, in which nothing is computed."""
    watched = Watched(tmp_path, monkeypatch, picture_s=600.0, computed_s=0.0)
    assert watched.draws(2, every_s=1.0) == [100.0, 701.0]
