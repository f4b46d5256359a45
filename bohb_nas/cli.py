"""The command line. Data goes to standard output, progress to standard error; exit 0 done, 1 failed, 2 misused.
Imports stand inside the commands, so that `--help`, `list`, `status` and `best` start at once.
"""

import errno
import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NoReturn

import click

from bohb_nas import cli_analyze, cli_baselines, cli_compare, cli_doctor, cli_exchange, cli_simulate, cli_submit, cli_train, cli_watch
from bohb_nas.errors import BohbNasError, StorageError, UsageError
from bohb_nas.files import FULL, pasted
from bohb_nas.option_types import PATH, Duration
from bohb_nas.refs import names
from bohb_nas.store.meta import IMAGE_WORKERS, refuse_no_search
from bohb_nas.store.study_dir import StudyDir
from bohb_nas.study_options import cluster_options, study_options

_REFUSALS = FULL | {errno.EIO}
"""What a disk says under standard output."""


_GONE = "the current directory is gone; cd to one that exists, then run the same command again"
_IMPORT_TORCH = ("doctor", "train")
"""Commands whose process does: its library of linear algebra ends it where there is no current directory."""


class _Group(click.Group):
    """Turns the project's errors into one line on standard error and an exit code."""

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does, unless the command would import torch where that kills the process."""
        name, command, rest = super().resolve_command(ctx, args)
        if name in _IMPORT_TORCH and _nowhere():
            raise UsageError(_GONE)
        return name, command, rest

    def make_context(self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any) -> click.Context:
        """As click does, which prints `--help` and `--version` here."""
        with _in_one_line():
            return super().make_context(info_name, args, parent, **extra)

    def invoke(self, ctx: click.Context) -> Any:
        with _in_one_line():
            return super().invoke(ctx)


@contextmanager
def _in_one_line() -> Iterator[None]:
    try:
        yield
    except BohbNasError as e:
        _fail(e)
    except OSError as e:
        if e.errno in _REFUSALS and e.filename is None:
            with suppress(OSError, ValueError):  # what is left of it would be tried, and refused, again as Python ends
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            _fail(StorageError(f"cannot write the output: {e.strerror}; free space, then run the same command again"))
        if e.errno == errno.ENOENT and e.filename is None and _nowhere():
            _fail(UsageError(_GONE))
        if e.filename is None or e.errno == errno.EPIPE:  # no file's, or click's to heed
            raise
        _fail(StorageError(f"{os.fsdecode(e.filename)}: {e.strerror}; restore access to it, then run the same command again"))


def _nowhere() -> bool:
    """Whether the current directory has been deleted."""
    try:
        os.getcwd()
    except FileNotFoundError:
        return True
    return False


def _fail(error: BohbNasError) -> NoReturn:
    click.echo(f"bohb-nas: {error}", err=True)
    sys.exit(error.exit_code)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="bohb-nas", prog_name="bohb-nas")
def cli() -> None:
    """Searches jointly over architecture, hyperparameters and augmentation under wall-clock budgets."""


@cli.command()
@click.argument("directory", metavar="[DIR]", default="study", type=PATH)
@click.option("--workers", "n_workers", type=click.IntRange(min=0), metavar="N", help="Worker processes here.  [one per GPU, else 1]")
@click.option("--standby", is_flag=True, hidden=True, help="Wait until nobody leads, then lead; ends with whoever started it.")
@study_options
@cluster_options(listen="nowhere")
def run(directory: Path, n_workers: int | None, standby: bool, **said: Any) -> None:
    """Searches, in DIR (./study). Run it again on the same DIR and it resumes."""
    with _telling_what_is_left(directory):
        from bohb_nas.display import display

        if standby:
            from bohb_nas.engine.election import worker_gone
            from bohb_nas.engine.standby import stand_by

            for number in (signal.SIGUSR1, signal.SIGUSR2):  # a cluster's warnings, which the worker beside heeds
                signal.signal(number, signal.SIG_IGN)
            sys.exit(0 if stand_by(directory, said, display(), gone=worker_gone) else 3)
        from bohb_nas.engine.devices import local_devices
        from bohb_nas.engine.lead import lead
        from bohb_nas.engine.plan import Request

        finished, state = lead(directory, Request(**said), local_devices(n_workers), display())
    again = "" if n_workers is None else f" --workers {n_workers}"
    _conclude(directory, found=state.incumbent is not None, finished=finished, again=again)


@contextmanager
def _telling_what_is_left(directory: Path) -> Iterator[None]:
    """Ctrl-C before the search begins, and heeds it itself, says whether there is a study."""
    try:
        yield
    except KeyboardInterrupt:
        study = StudyDir(directory.absolute())
        kept, none = "nothing that was finished is lost; the same command resumes it", "there is no study yet; the same command starts one"
        left = kept if study.exists() else none
        click.echo(f"\nAborted! {directory}: {left}", err=True)
        sys.exit(1)


def _conclude(directory: Path, *, found: bool, finished: bool, again: str) -> None:
    """Prints the incumbent, where its checkpoint lies, and the next command to type; `again` is what a study does not remember of `run`."""
    from bohb_nas.report import tables
    from bohb_nas.report.status import status as figures_of
    from bohb_nas.report.terminal import show

    figures = figures_of(StudyDir(directory.absolute()))
    show(tables.status(figures))
    if found:
        _print_files(figures["incumbent"])
    if not finished:
        click.echo(f"stopped; nothing finished is lost. The same command resumes it, or: bohb-nas run {pasted(directory)}{again}")
        sys.exit(1)
    elif found and figures["worker"] in IMAGE_WORKERS:
        click.echo(f"next: bohb-nas train {pasted(directory)} --seeds 3    trains it for good and tests it")
    elif found:
        click.echo(f"next: bohb-nas best {pasted(directory)} --json")
    else:
        sys.exit(1)


@cli.command()
@click.argument("directory", metavar="DIR", type=PATH)
@click.option("--device", default=None, metavar="NAME", help="The name of its device, such as cpu1.  [the first without a worker]")
@click.option("--wait", type=Duration(), default="15m", show_default=True, help="Leave when nobody has led for this long.")
@click.option("--lead/--no-lead", default=True, show_default=True, help="Lead the study when nobody else does.")
@click.option("--time", "time_s", type=Duration(), metavar="T", help="Leave before this time is over, counted from now.  [stay]")
@click.option("--grace", type=Duration(), default="20s", show_default=True, help="For what is in training to be handed over.")
@click.option("--listen", metavar="WHERE", help="Where others reach this machine: host, an interface, an address.  [as the study says]")
def worker(directory: Path, device: str | None, wait: float, lead: bool, time_s: float | None, grace: float, listen: str | None) -> None:
    """Joins a study and trains its trials on one device; leads it when nobody does.

    SIGTERM, SIGHUP (a terminal that goes away), SIGUSR1 or SIGUSR2: takes nothing new, hands over what it trains, and leaves.
    """
    import asyncio
    import math

    from bohb_nas.display import say
    from bohb_nas.engine.devices import candidates
    from bohb_nas.engine.serve import serve
    from bohb_nas.engine.service import Terms
    from bohb_nas.errors import DeviceBusyError

    until = math.inf if time_s is None else time.time() + time_s
    terms = Terms(wait_s=wait, stand=lead, until=until, grace_s=grace, listen=listen)
    refuse_no_search(StudyDir(directory.absolute()).read_meta(), directory.absolute())
    busy: DeviceBusyError | None = None
    for chosen in candidates(device):  # several may start at once: whether a device is free, its lock alone can tell
        os.environ.update(chosen.environment)
        try:
            code = asyncio.run(serve(directory, device=chosen, terms=terms, say=say))
        except DeviceBusyError as e:
            busy = e
        else:
            sys.exit(code)
    assert busy is not None
    raise busy


@cli.command()
@click.argument("directory", metavar="DIR", type=PATH)
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def best(directory: Path, as_json: bool) -> None:
    """The incumbent: configuration, loss, budget, trial, checkpoint, model."""
    from bohb_nas.report import tables
    from bohb_nas.report.digits import digits
    from bohb_nas.report.status import best as best_of
    from bohb_nas.report.terminal import show
    from bohb_nas.store.journal import fold

    study = StudyDir(directory.absolute())
    unit = study.read_meta()["budgets"]["unit"]
    state = fold(study.journal)
    found = best_of(study, state)
    if as_json:
        click.echo(json.dumps(found))
    else:
        results = state.results.values()
        n_digits = digits((r.loss for r in results), tables.LOSS_DIGITS)
        show(tables.incumbent(found, unit, n_digits, violating=any(r.violates for r in results)))
    if found is None:
        sys.exit(1)
    if not as_json:
        _print_files(found)


@cli.command()
@click.argument("file", metavar="FILE")
@click.option("--space", default="toy", show_default=True, help="What a worker is checked with.")
@click.option("--budget", type=Duration(), default="1s", show_default=True, help="What a worker is given per trial.")
def check(file: str, space: str, budget: float) -> None:
    """Holds a user's space, network, worker, method, policy or data set to the tests that ours pass."""
    from bohb_nas.testing import check_file

    findings = check_file(file, space=space, budget=budget)
    for finding in findings:
        click.echo(f"{'ok    ' if finding.problem is None else 'FAILED'}  {finding.statement}")
        if finding.problem is not None:
            click.echo(f"        {finding.problem}")
    if any(f.problem is not None for f in findings):
        sys.exit(1)


@cli.command(name="list")
@click.argument("what", type=click.Choice(["spaces", "datasets", "workers", "methods", "problems"]))
def list_(what: str) -> None:
    """Names that options accept."""
    if what == "problems":
        from bohb_nas.display import say
        from bohb_nas.simulation.suites import problem_names

        found = problem_names(say)
    else:
        found = names(what.removesuffix("s"))
    for name in found:
        click.echo(name)


def _print_files(incumbent: dict[str, Any]) -> None:
    """Where the incumbent's checkpoint and its trained model lie, if there are some."""
    for name in ("checkpoint", "model"):
        if incumbent[name]:
            click.echo(f"{name}: {incumbent[name]}")


for _more in (
    cli_watch.status,
    cli_watch.logs,
    cli_watch.export,
    cli_analyze.analyze,
    cli_submit.submit,
    cli_train.train,
    cli_baselines.baselines,
    cli_compare.compare,
    cli_doctor.doctor,
    cli_simulate.simulate,
    cli_exchange.import_hpbandster,
):
    cli.add_command(_more)


def main() -> None:
    """The entry point `bohb-nas`."""
    cli()
