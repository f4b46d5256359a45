"""The command `bohb-nas submit`: a study that is searched by the tasks of a job array."""

import math
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bohb_nas.durations import counted, format_duration
from bohb_nas.errors import BohbNasError, UsageError
from bohb_nas.option_types import PATH, Duration
from bohb_nas.store.study_dir import StudyDir
from bohb_nas.study_options import cluster_options, study_options

if TYPE_CHECKING:
    from bohb_nas.engine.job_array import JobArray

_START_S = 10.0
_BESIDE_S = 60.0
"""What a task needs beside the budget of a trial, to start and to end."""
_HANDED_DOWN = ("BOHB_NAS_CACHE", "PYTHONPATH")
"""Variables that some schedulers would not give to tasks."""
_OF_ARRAY = ("size", "gpus_per_task", "cpus_per_task", "memory_mib", "time_s", "grace_s", "partition", "account", "name", "extra")
"""Options that say what the array is; their values are fields of `JobArray`, under its names."""


class _Memory(click.ParamType[int]):
    """An amount of memory, such as 16G or 500M."""

    name = "memory"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """MiB."""
        match = re.fullmatch(r"(\d{1,9}(?:\.\d{1,9})?)([MGT])(?:i?B)?", str(value), re.IGNORECASE)
        mib = round(float(match[1]) * {"M": 1, "G": 1024, "T": 1024**2}[match[2].upper()]) if match else 0
        if mib < 1:
            self.fail(f"{value!r}: accepted is a number with its unit, such as 500M, 16G or 1.5T", param, ctx)
        return mib


@click.command()
@click.argument("directory", metavar="[DIR]", default="study", type=PATH)
@click.option("--cluster", type=click.Choice(["slurm", "pbs", "sge", "lsf"]), required=True, help="The scheduler.")
@click.option("--array", "size", type=click.IntRange(min=1), metavar="N", required=True, help="How many tasks; each is a worker.")
@click.option("--gpus-per-task", type=click.IntRange(min=0), default=1, show_default=True, help="0: train on the processor.")
@click.option("--cpus-per-task", type=click.IntRange(min=1), help="Processor cores.  [the cluster's default]")
@click.option("--mem", "memory_mib", type=_Memory(), help="Main memory of a task: 16G.  [the cluster's default]")
@click.option("--time", "time_s", type=Duration(), default="24h", show_default=True, help="When the cluster ends a task.")
@click.option("--grace", "grace_s", type=Duration(), help="For what is in training to be handed over.  [the worker's default]")
@click.option("--partition", metavar="P", help="Partition or queue.  [the cluster's default]")
@click.option("--account", metavar="A", help="Who is charged.  [the cluster's default]")
@click.option("--name", default="bohb-nas", show_default=True, help="Of the job.")
@click.option("--extra", multiple=True, metavar="LINE", help="One more directive, such as --extra=--constraint=a100.")
@click.option("--logs", type=PATH, help="Folder for what tasks print.  [DIR/workers]")
@click.option("--template", type=PATH, metavar="FILE", help="Your own script, with {command} and others in it.")
@click.option("--print", "only_print", is_flag=True, help="Print the script; write and submit nothing.")
@study_options
@cluster_options(listen="host")
def submit(*, directory: Path, cluster: str, logs: Path | None, template: Path | None, only_print: bool, **said: Any) -> None:
    """Submits one job array whose tasks search in DIR (./study); whichever starts first leads.

    Makes the study as `run` would, or takes an existing one. Submit again, also elsewhere, and more workers join.
    """
    from bohb_nas.display import display, say
    from bohb_nas.engine import submission
    from bohb_nas.engine.job_array import script
    from bohb_nas.engine.job_template import fill
    from bohb_nas.engine.opening import examine, prepare
    from bohb_nas.engine.plan import Request
    from bohb_nas.files import pasted, write_atomic
    from bohb_nas.store.meta import path_kept

    study = StudyDir(Path(path_kept(str(directory.absolute()))))
    job = _job(study, cluster, study.workers if logs is None else logs.absolute(), {name: said.pop(name) for name in _OF_ARRAY})
    text = script(job) if template is None else fill(_read(template), job)
    request = Request(**(said | {"listen": said["listen"] or _listen(study)}))
    for remark in _remarks(job, _budgets(study, request), plain=template is None):
        say(remark)
    if only_print:
        examine(study.path, request, display(), n_workers=0)
        click.echo(os.fsencode(text), nl=False)  # paths need not be UTF-8
        return
    submission.program(job.cluster)
    if not prepare(study.path, request, display()):
        click.echo(f"the study in {directory} is finished, nothing was submitted; more --trials or --total-time make it go on")
        return
    _make_folder(job.logs)
    write_atomic(study.job, os.fsencode(text))
    name = submission.submit(job.cluster, study.job)
    click.echo(f"{cluster} job {name}: {counted(job.size, 'task')} of {study.job}")
    click.echo(f"next: bohb-nas status {pasted(directory)} --watch")


def _job(study: StudyDir, cluster: str, logs: Path, said: dict[str, Any]) -> "JobArray":
    from bohb_nas.engine.job_array import Cluster, JobArray, worker_command

    variables = {name: value for name in _HANDED_DOWN if (value := os.environ.get(name))}
    if said["gpus_per_task"] == 0:
        variables["CUDA_VISIBLE_DEVICES"] = ""  # where devices are not fenced off, a worker would take one that its task was not given
    if said["cpus_per_task"] is not None:
        variables["OMP_NUM_THREADS"] = str(said["cpus_per_task"])
    command = worker_command(sys.executable, study.path, time_s=said["time_s"], grace_s=said["grace_s"], environment=variables)
    return JobArray(cluster=Cluster(cluster), command=command, logs=logs, **said)


def _listen(study: StudyDir) -> str | None:
    """Where masters listen unless it is said: where others reach them, or where the study has them listen already."""
    return None if study.exists() and study.read_meta().get("listen", "loopback") != "loopback" else "host"


def _budgets(study: StudyDir, request: Any) -> dict[str, Any]:
    """The budgets of the study that is there, or would be made.

    Raises:
        UsageError: it cannot be made, or is another search.
    """
    from bohb_nas.engine.launch import reopen
    from bohb_nas.engine.plan import plan

    meta = reopen(study, request)[0] if study.exists() else plan(request)
    return dict(meta["budgets"])


def _remarks(job: "JobArray", budgets: dict[str, Any], *, plain: bool) -> Iterator[str]:
    """What a person should know of an array for these budgets.

    Raises:
        UsageError: its tasks could finish no trial.
    """
    from bohb_nas.engine.job_array import reserved_s

    limit = job.time_s - reserved_s(job.time_s)
    least, most = budgets["min"] + _BESIDE_S, budgets["max"] + _BESIDE_S
    if (grace_s := job.grace_s) is not None and grace_s + _START_S > limit:
        raise UsageError(
            f"--grace {format_duration(grace_s)} leaves nothing of --time {format_duration(job.time_s)} to train in; "
            "give less grace or more time"
        )
    if budgets["unit"] == "s" and limit < least:
        raise UsageError(
            f"--time {format_duration(job.time_s)} is shorter than the cheapest budget, {format_duration(budgets['min'])}, "
            f"and a minute each to start and to end; give --time {_enough(least + _BESIDE_S)} or more"
        )
    if budgets["unit"] == "s" and limit < most:
        yield (
            f"note: no task of --time {format_duration(job.time_s)} can train the dearest budget, "
            f"{format_duration(budgets['max'])}, by itself; "
            "workers that can hand over pass such trials on from task to task, others leave them to a worker with more time"
        )
    if plain and job.gpus_per_task > 1:
        yield f"note: a worker trains on one GPU; {job.gpus_per_task - 1} of each task's will idle: ask for more tasks, or use a --template"


def _enough(seconds: float) -> str:
    """At least so many seconds, such that they read the same: whole minutes, and whole hours from a day on."""
    step = 60 if seconds <= 86400 else 3600
    return format_duration(math.ceil(seconds / step) * step)


def _read(template: Path) -> str:
    try:
        return os.fsdecode(template.read_text(encoding="utf-8").encode())  # the script is written with os.fsencode
    except (OSError, UnicodeDecodeError) as e:
        raise UsageError(f"--template {template} cannot be read: {e}; accepted is a text file") from e


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as e:
        raise BohbNasError(f"--logs {folder} cannot be made: {e.strerror}; the study is kept, give another folder") from e
