"""Runs what a comparison lacks, one study after the other, and tests when all are there; a killed one goes on where it was.

A cell is one method with one seed. Each is a study of its own in DIR/METHOD-SEED, searched by `bohb-nas run` in another process.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bohb_nas.comparison.arrangement import Arrangement, Check, Request, arrange
from bohb_nas.comparison.cells import Cell, cell_folder, log_file, read_cell, read_test, tested_file
from bohb_nas.comparison.figure import draw
from bohb_nas.comparison.table import figures, write
from bohb_nas.durations import format_duration, plain
from bohb_nas.engine.devices import local_devices, named_device, threads_spared
from bohb_nas.errors import StudyError, UsageError, end_text
from bohb_nas.files import dump_json, write_once
from bohb_nas.locks import alone
from bohb_nas.records import Evaluation
from bohb_nas.store import holders
from bohb_nas.store.notes import printable, tail
from bohb_nas.store.study_dir import StudyDir

_PROGRAM = """
import runpy, signal, sys
from bohb_nas.parallel import die_with_parent
die_with_parent(int(sys.argv.pop(1)), signal.SIGTERM)
runpy.run_module("bohb_nas", run_name="__main__")
"""
"""`bohb-nas`, for as long as the process lives that is told by its first argument."""
_LOOK_S = 0.5
"""Between two looks whether a study is led."""
_LAST_LINES = 5
_TAIL_BYTES = 64 * 2**10

Say = Callable[[str], None]
Search = Callable[[Sequence[str], Path], "Ended"]
"""Runs `bohb-nas` with arguments, what it says appended to a log."""
Test = Callable[[StudyDir, Evaluation], dict[str, Any]]
"""Judges the model of an evaluation on the test images: the only thing that reads them."""
Failures = dict[tuple[str, int], str]
"""Why searches failed, by method and seed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a search ended."""

    code: int
    """The exit code; negative for a signal."""
    interrupted: bool = False
    """Whether somebody asked this program to stop meanwhile."""


def compare(
    folder: Path, request: Request, say: Say, *, test: Test, search: Search | None = None, check: Check = lambda *_: None
) -> dict[str, Any]:
    """Runs what is not finished, tests what is not tested, and returns the table: what `bohb-nas compare DIR --json` prints.

    Args:
        folder: DIR.
        request: what was asked.
        say: hears of progress.
        test: reads the test set; called after all cells have ended, once for each that has not been tested.
        search: runs `bohb-nas`; None starts a process.
        check: looks at entrants before anything is written.

    Raises:
        UsageError: what was asked cannot be done; nothing was written.
        StorageError: the disk refused.
    """
    folder = folder.absolute()
    arrangement = arrange(folder, request, check)
    place = local_devices(1)[0] if arrangement.device is None else named_device(arrangement.device)
    if note := threads_spared([place]):
        say(note)
    os.environ.update(place.environment)  # for all searches alike
    with alone(folder / "compare.lock", f"another compare works in {folder}", "let it end, or stop it", say=say):
        failed, interrupted = _search(folder, arrangement, say, search or start)
        cells = _read(folder, arrangement, failed)
        if not interrupted:
            cells = [_tested(folder, cell, say, test) for cell in cells]
        return _write(folder, arrangement, cells, interrupted=interrupted)


def _read(folder: Path, arrangement: Arrangement, failed: Failures) -> list[Cell]:
    return [read_cell(folder, e.name, seed, failure=failed.get((e.name, seed))) for e, seed in arrangement.cells()]


def _write(folder: Path, arrangement: Arrangement, cells: Sequence[Cell], *, interrupted: bool) -> dict[str, Any]:
    found = figures(arrangement, cells, interrupted=interrupted)
    write(folder, found)
    draw(folder, arrangement, cells)
    return found


def _search(folder: Path, arrangement: Arrangement, say: Say, search: Search) -> tuple[Failures, bool]:
    """Runs every cell that is not finished.

    Returns:
        Why a cell failed, and whether somebody asked to stop.
    """
    failed: Failures = {}
    cells = arrangement.cells()
    left = sum(not StudyDir(cell_folder(folder, entrant.name, seed)).done.exists() for entrant, seed in cells)
    if left:
        each, whole = format_duration(arrangement.time_s), format_duration(left * arrangement.time_s)
        say(f"{arrangement.dataset}, space {arrangement.space}: {left} of {len(cells)} searches are left, {each} each, {whole} in all")
    for number, (entrant, seed) in enumerate(cells, start=1):
        study, log = StudyDir(cell_folder(folder, entrant.name, seed)), log_file(folder, entrant.name, seed)
        _wait_for_master(study, say)
        if study.done.exists():
            continue
        say(f"{entrant.name}, seed {seed}: {'goes on' if study.exists() else 'starts'} ({number} of {len(cells)})")
        size = log.stat().st_size if log.exists() else 0
        ended = search(arrangement.arguments(entrant, seed, folder), log)
        if ended.interrupted:
            return failed, True
        if not study.done.exists():
            failed[entrant.name, seed] = f"{end_text(ended.code)}: {_last_lines(log, size) or f'it said nothing; see {log}'}"
        say(f"{entrant.name}, seed {seed}: {_outcome(read_cell(folder, entrant.name, seed, failure=failed.get((entrant.name, seed))))}")
        if number % len(arrangement.methods) == 0:
            _write(folder, arrangement, _read(folder, arrangement, failed), interrupted=False)
    return failed, False


def _wait_for_master(study: StudyDir, say: Say) -> None:
    """Waits while another process leads a study: two searches at once would share the device, whose seconds count."""
    told = False
    while study.exists() and (master := holders.master(study)) is not None:
        if not told:
            say(f"{study.path.name} is led by pid {master.get('pid', '?')} on {master.get('host', '?')}; waits until that ends")
        told = True
        time.sleep(_LOOK_S)


def _outcome(cell: Cell) -> str:
    if cell.failure is not None or cell.best is None or cell.best.result.loss is None:
        return f"failed: {cell.failure}"
    return f"validation error {cell.best.result.loss:.2%} after {plain(cell.account.total_s)} s of the device"


def _last_lines(log: Path, start: int) -> str:
    """The last words of a log from a position on, in one line."""
    lines = (line.strip() for line in printable(tail(log, _TAIL_BYTES, start=start) or "").splitlines())
    return " | ".join([line for line in lines if line][-_LAST_LINES:])


def start(arguments: Sequence[str], log: Path) -> Ended:
    """Runs `bohb-nas` in a process; what asks this one to stop is passed on, and waited for.

    The process has a session of its own: a Ctrl-C at the terminal reaches it once, from here, and lets its trial end; a second one
    stops it at once. When this process is killed it is stopped as well, and can be resumed: nobody would wait for it on the device.
    """
    asked: list[int] = []
    started: list[subprocess.Popen[bytes]] = []

    def hear(number: int, _: object) -> None:
        asked.append(number)
        for process in started:
            process.send_signal(signal.SIGINT if number == signal.SIGINT else signal.SIGTERM)

    with log.open("ab") as stream, _hearing(hear):
        started.append(
            subprocess.Popen(
                [sys.executable, "-P", "-c", _PROGRAM, str(os.getpid()), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=stream,
                start_new_session=True,
            )
        )
        if asked:
            started[0].terminate()
        code = started[0].wait()
    return Ended(code=code, interrupted=bool(asked))


@contextmanager
def _hearing(hear: Callable[[int, Any], None]) -> Iterator[None]:
    """Calls `hear` for the signals that ask a program to stop, those left aside that it was told to ignore."""
    heeded = [n for n in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP) if signal.getsignal(n) is not signal.SIG_IGN]
    before = {number: signal.signal(number, hear) for number in heeded}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _tested(folder: Path, cell: Cell, say: Say, test: Test) -> Cell:
    """The cell with its test, which is made where there is none; what has failed has none."""
    if not cell.finished or cell.failure is not None:
        return cell
    assert cell.best is not None
    if cell.test is not None:
        if cell.test.get("trial_id") != cell.best.trial.trial_id:
            raise UsageError(
                f"{cell.method}, seed {cell.seed} was tested with trial {cell.test.get('trial_id')} and has gone on since, to "
                f"{cell.best.trial.trial_id}: the test set is read once; compare in a new DIR"
            )
        return cell
    say(f"{cell.method}, seed {cell.seed}: tests trial {cell.best.trial.trial_id}")
    path = tested_file(folder, cell.method, cell.seed)
    try:
        found = test(StudyDir(cell_folder(folder, cell.method, cell.seed)), cell.best)
    except StudyError as e:
        say(f"{cell.method}, seed {cell.seed}: not tested: {e}")
        return replace(cell, failure=str(e))
    write_once(path, dump_json(found) + "\n")
    return replace(cell, test=read_test(path))
