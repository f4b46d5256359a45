"""The command `bohb-nas analyze`: what a study says, as a summary, figures, one page, JSON and CSV. Nothing of the study is run."""

import errno
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import click

from bohb_nas.durations import counted
from bohb_nas.errors import UsageError
from bohb_nas.files import check_folder
from bohb_nas.option_types import PATH
from bohb_nas.store.notes import printable
from bohb_nas.store.study_dir import StudyDir

_LOOK_S = 5.0
"""Between two looks of --watch, at least."""
_REST = 4
"""Times as long as what came of a look took there is none after it: of a long study that is minutes of every core."""
_LONGEST_S = 600.0
"""But never longer: a look may have been stopped, and a study may be done."""
_SEVERAL = Path("report")
"""Where the report of several studies goes."""


@click.command()
@click.argument("directories", metavar="DIR...", nargs=-1, required=True, type=PATH)
@click.option("--json", "as_json", is_flag=True, help="All findings as one JSON object, of several studies a list; no file unless asked.")
@click.option("--to", type=PATH, metavar="FOLDER", help="Where the report goes.  [DIR/report; of several ./report]")
@click.option("--csv", "csv_folder", type=PATH, metavar="FOLDER", help="Also every number, a CSV file per table.")
@click.option(
    "--format", "formats", multiple=True, type=click.Choice(["png", "svg", "pdf"]), help="Of the figures; may be repeated.  [all three]"
)
@click.option("--figures/--no-figures", default=None, help="Whether to draw.  [figures; with --json alone no-figures]")
@click.option("--report/--no-report", default=None, help="Whether to write report.html.  [report; with --json alone no-report]")
@click.option("--watch", is_flag=True, help="Again whenever a trial was asked or told, until the study is done or Ctrl-C.")
@click.option("--device", metavar="MODEL", help="Only evaluations on this model of a device.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of forests and permutations.")
@click.option("--jobs", type=click.IntRange(min=1), metavar="N", help="Processes.  [the cores there are; 1 while a study is not done]")
def analyze(
    *, directories: tuple[Path, ...], as_json: bool, watch: bool, device: str | None, seed: int, jobs: int | None, **said: Any
) -> None:
    """Says what mattered in a study, whether its short budgets can be trusted, and how it compares; several are overlaid."""
    studies = [StudyDir(directory.absolute()) for directory in directories]
    for study in studies:
        study.read_meta()
    output = _Output(studies, as_json=as_json, jobs=jobs, **said)
    look = partial(_found, studies, _labels(directories), device=device, seed=seed, jobs=jobs)
    if not watch:
        output.write(look())
        return
    from bohb_nas.store.following import wary

    with suppress(KeyboardInterrupt):
        for _ in changes(studies, _pause):
            output.write(wary(look, _pause), again=True)


def _pause(seconds: float = _LOOK_S) -> None:
    time.sleep(seconds)


def _labels(directories: Sequence[Path]) -> list[str]:
    """What tells studies apart: the names of their directories, or where two have the same, what was typed."""
    names = [directory.absolute().name for directory in directories]
    often = Counter(names)
    return [printable(str(directory) if often[name] > 1 else name) for directory, name in zip(directories, names, strict=True)]


def _jobs(said: int | None, studies: Sequence[StudyDir]) -> int:
    """How many processes share the work: one while trainings on this machine may be timed, else as many as there are cores."""
    if said is not None:
        return said
    from joblib import cpu_count

    return int(cpu_count()) if all(study.done.exists() for study in studies) else 1


def changes(studies: Sequence[StudyDir], pause: Callable[[float], None]) -> Iterator[None]:
    """Yields at once, and again whenever a journal has grown or a study was finished; ends when all are done.

    Args:
        studies: what is watched.
        pause: waits so many seconds between two looks.
    """
    before: list[tuple[int, bool]] | None = None
    while True:
        now = [(study.journal.stat().st_size if study.journal.exists() else 0, study.done.exists()) for study in studies]
        began = time.monotonic()
        if now != before:
            before = now
            yield
        if all(done for _, done in now):
            return
        pause(min(_LONGEST_S, max(_LOOK_S, _REST * (time.monotonic() - began))))


def _found(studies: Sequence[StudyDir], labels: Sequence[str], *, device: str | None, seed: int, jobs: int | None) -> list[Any]:
    """The findings of each."""
    from bohb_nas.analysis.study import find

    found = [find(study, seed=seed, device=device, jobs=_jobs(jobs, studies)) for study in studies]
    for one, label in zip(found, labels, strict=True):
        one["study"]["name"] = label
    return found


@dataclass(slots=True)
class _Output:
    """Where findings go.

    Raises:
        UsageError: a folder cannot be written, or holds a study's own files; nothing was written.
    """

    studies: Sequence[StudyDir]
    as_json: bool
    to: Path | None
    csv_folder: Path | None
    formats: tuple[str, ...]
    figures: bool | None
    report: bool | None
    """None: not said; then there is one unless findings go to standard output as JSON, and no folder is named."""
    jobs: int | None

    def __post_init__(self) -> None:
        unsaid = not self.as_json or self.to is not None
        self.figures, self.report = (unsaid if said is None else said for said in (self.figures, self.report))
        if self.to is not None and self.folder is None:
            raise UsageError(f"--to {self.to}: with --no-figures and --no-report nothing goes there; leave it out, or one of them")
        if self.formats and not self.figures:
            raise UsageError(f"--format {self.formats[0]}: no figures are drawn; leave it out, or ask for --figures")
        for option, folder in (("--to", self.folder), ("--csv", self.csv_folder)):
            if folder is not None:
                for study in self.studies:
                    study.check_apart(option, folder)
                check_folder(option, folder)

    @property
    def folder(self) -> Path | None:
        """Where the report goes; None where none is wanted."""
        if not (self.figures or self.report):
            return None
        return self.to if self.to is not None else self.studies[0].report if len(self.studies) == 1 else _SEVERAL

    def write(self, found: list[Any], *, again: bool = False) -> None:
        """Writes the files, then says what was found.

        Args:
            found: the findings of each study.
            again: whether this is one of several times.
        """
        if self.folder is not None:
            self._report(found, self.folder)
        if self.csv_folder is not None:
            from bohb_nas.display import say
            from bohb_nas.report.findings_csv import write

            say(f"tables: {counted(len(write(found, self.csv_folder)), 'file')} in {self.csv_folder}")
        if self.as_json:
            from bohb_nas.files import dump_json

            click.echo(dump_json(found[0] if len(found) == 1 else found))
        else:
            _show(found, again=again)

    def _report(self, found: list[Any], folder: Path) -> None:
        from bohb_nas.analysis.incumbent import picture
        from bohb_nas.display import say
        from bohb_nas.files import storing, write_atomic

        best = [one["incumbent"] for one in found]
        pictures = [picture(s, b["trial_id"]) if b is not None else None for s, b in zip(self.studies, best, strict=True)]
        with storing(folder):
            new = not folder.is_dir()
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if new and folder == self.studies[0].report:
                _give(folder, self.studies[0])
        if self.figures:
            from bohb_nas.report.figures import draw

            jobs = _jobs(self.jobs, self.studies)
            say("figures: drawing; with many hyperparameters that takes a minute")
            drawn = draw(found, folder, formats=self.formats or ("png", "svg", "pdf"), pictures=pictures, jobs=jobs)
            say(f"figures: {counted(len(drawn), 'file')} in {folder}")
        if self.report:
            from bohb_nas.report.html import page

            write_atomic(folder / "report.html", page(found, pictures=pictures))
            say(f"report: {folder / 'report.html'}")


def _give(folder: Path, study: StudyDir) -> None:
    """Lets the owner of a study have its report where root, who alone may do so, makes it: else they could write none from then on."""
    owner = study.path.stat()
    if os.geteuid() == 0 != owner.st_uid:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)  # in a folder of theirs something else may stand by now
        try:
            os.fchown(descriptor, owner.st_uid, owner.st_gid)
        except OSError as e:
            if e.errno not in (errno.EPERM, errno.EINVAL):  # of a container whose root may not either, or does not know them
                raise
        finally:
            os.close(descriptor)


def _show(found: Sequence[Any], *, again: bool) -> None:
    """The summaries; of --watch over the one before in a terminal, else under the time."""
    from rich.console import Console

    from bohb_nas.report.summary import summary
    from bohb_nas.report.terminal import WIDE

    terminal = sys.stdout.isatty()
    console = Console(highlight=False, soft_wrap=not terminal, markup=False, emoji=False, width=None if terminal else WIDE)
    if again and terminal:
        click.clear()
    elif again:
        click.echo(f"--- {time.strftime('%H:%M:%S')}")
    for one in found:
        console.print(summary(one))
