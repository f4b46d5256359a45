"""The commands `bohb-nas status`, `logs` and `export`: a study looked at from any machine that sees its directory.

They write nothing there.
"""

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import click

from bohb_nas.errors import UsageError
from bohb_nas.option_types import PATH, Duration
from bohb_nas.store.study_dir import StudyDir

_REDRAW_S = 2.0
_FOLLOW_S = 0.3
_EVERY_S = 5.0


@click.command()
@click.argument("directory", metavar="DIR", type=PATH)
@click.option("--json", "as_json", is_flag=True, help="One JSON object; with --watch one a line.")
@click.option("--watch", is_flag=True, help="Again every two seconds, until the study is done or Ctrl-C.")
@click.option("--why", "trial_id", metavar="TRIAL", help="Instead, why this trial was asked.")
def status(*, directory: Path, as_json: bool, watch: bool, trial_id: str | None) -> None:
    """Counts, incumbent, master, workers, queue, throughput, the use of time and the latest failures."""
    from bohb_nas.report import tables
    from bohb_nas.report.status import Watch
    from bohb_nas.report.terminal import show

    study = StudyDir(directory.absolute())
    if trial_id is not None:
        if watch:
            raise UsageError(f"--watch: why trial {trial_id} was asked does not change; leave it out, or --why")
        _why(study, trial_id, as_json=as_json)
        return
    looked = Watch(study)
    if not watch:
        figures = looked.figures()
        click.echo(json.dumps(figures)) if as_json else show(tables.status(figures))
        return
    with suppress(KeyboardInterrupt):
        if as_json:
            for figures in _looks(looked.figures, _REDRAW_S):
                click.echo(json.dumps(figures))
        elif sys.stdout.isatty():
            _redraw(looked.figures)
        else:
            for figures in _looks(looked.figures, _REDRAW_S):
                click.echo(f"--- {time.strftime('%H:%M:%S')}")
                show(tables.status(figures))


def _why(study: StudyDir, trial_id: str, *, as_json: bool) -> None:
    from bohb_nas.report import why
    from bohb_nas.report.terminal import show

    found = why.why(study, trial_id)
    click.echo(json.dumps(found)) if as_json else show(why.table(found))


def _looks(figures: Callable[[], dict[str, Any]], every_s: float) -> Iterator[dict[str, Any]]:
    """The figures again and again until the study is done."""
    from bohb_nas.store.following import wary

    while True:
        found = wary(figures, lambda: time.sleep(every_s))
        yield found
        if found["done"]:
            return
        time.sleep(every_s)


def _redraw(figures: Callable[[], dict[str, Any]]) -> None:
    """Draws over the picture before in one write, so that nothing flickers; what does not fit the terminal is cut off."""
    from rich.console import Console
    from rich.live import Live

    from bohb_nas.report import tables

    with Live(console=Console(markup=False, highlight=False, emoji=False), auto_refresh=False, vertical_overflow="crop") as live:
        for found in _looks(figures, _REDRAW_S):
            live.update(tables.status(found), refresh=True)


@click.command()
@click.argument("directory", metavar="DIR", type=PATH)
@click.argument("trial_id", metavar="[TRIAL]", required=False)
@click.option("--attempt", type=click.IntRange(min=0), metavar="N", help="This attempt at the trial.  [the newest with a log]")
@click.option("--worker", metavar="NAME", help="Instead, what the worker program HOST-DEVICE said.")
@click.option(
    "--lines", "n_lines", type=click.IntRange(min=1), default=100, show_default=True, metavar="N", help="The last N lines, or logs."
)
@click.option("-f", "--follow", is_flag=True, help="Go on as it is written, until the trial has a result, the study is done, or Ctrl-C.")
@click.option("--json", "as_json", is_flag=True, help="The list of logs as JSON.")
def logs(
    *, directory: Path, trial_id: str | None, attempt: int | None, worker: str | None, n_lines: int, follow: bool, as_json: bool
) -> None:
    """The log of a trial or of a worker program; without TRIAL, which trials have logs, newest first."""
    from bohb_nas.report import logs as found

    study = StudyDir(directory.absolute())
    study.read_meta()
    if trial_id is not None and worker is not None:
        raise UsageError(f"trial {trial_id!r} and --worker {worker!r}: one log at a time, leave one out")
    if trial_id is None and worker is None:
        if follow or attempt is not None:
            raise UsageError("--follow and --attempt belong to one log: name a trial, or --worker NAME with --follow")
        _list(study, n_lines, as_json=as_json)
        return
    if as_json:
        raise UsageError("--json belongs to the list of logs; a log is text")
    log = found.worker_log(study, worker) if worker is not None else found.trial_log(study, str(trial_id), attempt)
    end = found.size(log.path)
    if last := found.tail(log.path, n_lines, end=end):
        click.echo("\n".join(last), nl=not (follow and found.is_torn(log.path, end)))
    elif not follow:
        click.echo(_silence(study, log), err=True)
    if follow:
        with suppress(KeyboardInterrupt):
            _follow(study, log, end, newer=worker is None and attempt is None)


def _silence(study: StudyDir, log: Any) -> str:
    """What to say of an empty log: why a trial failed may be known all the same."""
    from bohb_nas.store.journal import fold
    from bohb_nas.store.notes import first_line

    result = fold(study.journal).results.get(log.name) if log.attempt is not None else None
    told = f"; the trial: {result.status}, {first_line(result.message)}" if result is not None and result.message else ""
    return f"{log.path} is empty{told}"


def _list(study: StudyDir, n: int, *, as_json: bool) -> None:
    from bohb_nas.report import tables
    from bohb_nas.report.logs import trial_logs, worker_logs
    from bohb_nas.report.terminal import show

    trials, workers, now = trial_logs(study), worker_logs(study), time.time()
    rows = [
        {"trial_id": log.name, "attempt": log.attempt, "age_s": max(0.0, now - log.modified), "n_bytes": log.n_bytes, "path": str(log.path)}
        for log in trials[:n]
    ]
    if as_json:
        click.echo(json.dumps({"trials": rows, "workers": [{"name": log.name, "path": str(log.path)} for log in workers]}))
        return
    show(tables.logs(rows))
    if len(trials) > n:
        click.echo(f"… and {len(trials) - n} older ones; --lines {len(trials)} shows all")
    if workers:
        click.echo(f"workers: {', '.join(log.name for log in workers)}")


def _follow(study: StudyDir, log: Any, offset: int, *, newer: bool) -> None:
    """Shows what is written to a log; goes over to a newer attempt when one begins, where that was asked for."""
    from bohb_nas.display import say
    from bohb_nas.report.logs import follow, newest

    def successor() -> Any:
        latest = newest(study, log.name) if newer else None
        return latest if latest is not None and latest.attempt != log.attempt else None

    def pause() -> bool:
        over = study.done.exists() or (log.attempt is not None and study.result(log.name).exists())
        if over or successor() is not None:
            return False
        time.sleep(_FOLLOW_S)
        return True

    while True:
        for said in follow(log.path, offset, pause=pause):
            click.echo(said, nl=False)
        latest = successor()
        if latest is None:
            return
        say(f"--- attempt {latest.attempt}")
        log, offset = latest, 0


@click.command()
@click.argument("directory", metavar="DIR", type=PATH)
@click.option(
    "--format", "format_", metavar="F", required=True, help="What to write: csv, hpbandster, json, mlflow, prometheus or tensorboard."
)
@click.option("--to", type=PATH, required=True, metavar="OUT", help="The file or folder to write.")
@click.option("--watch", is_flag=True, help="Bring it up to date again and again, until the study is done or Ctrl-C.")
@click.option("--every", type=Duration(), help="Between two updates of --watch.  [5s]")
def export(*, directory: Path, format_: str, to: Path, watch: bool, every: float | None) -> None:
    """Writes a study for other programs: tables, runs for HpBandSter, MLflow and TensorBoard, metrics for Prometheus."""
    from bohb_nas.display import say
    from bohb_nas.report.exports import make
    from bohb_nas.report.status import Watch

    if every is not None and not watch:
        raise UsageError(f"--every {every:g}s: the export is written once; leave it out, or add --watch")
    study = StudyDir(directory.absolute())
    study.read_meta()
    study.check_apart("--to", to)
    _check_kind(to)
    target = make(format_, Watch(study), to.absolute())

    def update() -> dict[str, Any]:
        done = study.done.exists()  # asked first: what is written afterwards has all of a study that is done
        return {"said": target.update(), "done": done}

    if not watch:
        say(update()["said"])
        return
    every_s = _EVERY_S if every is None else every
    with suppress(KeyboardInterrupt):
        for n, updated in enumerate(_looks(update, every_s)):
            if n == 0:
                say(f"{updated['said']}; brought up to date every {every_s:g} s")


def _check_kind(to: Path) -> None:
    """Refuses what is neither a file nor a folder.

    Raises:
        UsageError: it is not.
    """
    if str(to) == "-":
        raise UsageError("--to -: an export is put in its place when it is whole, which standard output is not; name a file or a folder")
    if os.path.islink(to) or (os.path.lexists(to) and not (os.path.isfile(to) or os.path.isdir(to))):
        raise UsageError(f"--to {to} is a link, a pipe or a device; name a file or a folder")
