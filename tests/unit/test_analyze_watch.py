"""`analyze --watch` in a terminal of its own: it draws anew when something was told, and ends when the study does, or by Ctrl-C."""

import os
import pty
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from analysis_fakes import Run, make_study

from bohb_nas.store.journal import Event
from bohb_nas.store.study_dir import StudyDir

PROGRAM = """
import signal
from bohb_nas import cli_analyze
from bohb_nas.__main__ import main
signal.signal(signal.SIGINT, signal.default_int_handler)  # which a shell ignores for what it starts in the background
cli_analyze._LOOK_S = 0.05
main()
"""
CTRL_C = b"\x03"
CLEAR = b"\x1b[2J"


@contextmanager
def watched(study: StudyDir) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """The command in the foreground of a terminal, and the other end of that."""
    ours, theirs = pty.openpty()
    arguments = ["analyze", str(study.path), "--watch", "--no-figures", "--no-report"]
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "100", "LINES": "40"}
    take_over = "import os, sys, fcntl, termios; os.setsid(); fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execv(sys.executable, sys.argv[1:])"
    command = [sys.executable, "-c", take_over, sys.executable, "-c", PROGRAM, *arguments]
    process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment)
    os.close(theirs)
    try:
        yield process, ours
    finally:
        os.close(ours)
        process.kill()
        process.wait()


def read_until(terminal: int, text: bytes) -> bytes:
    """What is shown until there is this text."""
    shown = b""
    while text not in shown:
        shown += os.read(terminal, 65536)
    return shown


def rest(terminal: int) -> bytes:
    """What is shown until the program has closed the terminal."""
    shown = b""
    with suppress(OSError):
        while more := os.read(terminal, 65536):
            shown += more
    return shown


def tell(study: StudyDir, run: Run) -> None:
    with study.journal.open("a") as stream:
        for event in (Event(term=1, time=5.0, trial=run.trial, reason="by hand"), Event(term=1, time=6.0, result=run.result)):
            stream.write(event.to_line() + "\n")


def test_it_goes_on_with_the_study_and_ends_with_it(tmp_path: Path) -> None:
    study = make_study(tmp_path / "s", [Run(config_id="a")], done=False)
    with watched(study) as (process, terminal):
        assert b"s: bohb on toy, digits; 1 evaluation (1 ok), not done" in read_until(terminal, b"incumbent a-1-0")
        tell(study, Run(config_id="b", loss=0.125))
        shown = read_until(terminal, b"incumbent b-1-0")
        assert CLEAR in shown
        assert b"2 evaluations (2 ok), not done" in shown
        study.done.write_text("{}")
        shown = rest(terminal)
        assert b"2 evaluations (2 ok), done" in shown[shown.rindex(CLEAR) :]
        assert process.wait() == 0


def test_ctrl_c_ends_it_without_a_word(tmp_path: Path) -> None:
    study = make_study(tmp_path / "s", [Run(config_id="a")], done=False)
    with watched(study) as (process, terminal):
        read_until(terminal, b"incumbent a-1-0")
        os.write(terminal, CTRL_C)
        shown = rest(terminal)
        assert process.wait() == 0
    assert shown.split(b"^C")[1].strip() == b""
