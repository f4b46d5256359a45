"""The script of a job array, as a function of what it should be: nothing is read, written or started.

Every task of the array runs the same command, a worker of one study; whichever starts first is elected its master. The
command replaces the shell (`exec`), so that the scheduler's signals reach it.

What was run: the text for SLURM (22.05.8, on one node). The qsub of Grid Engine 8.1.9 accepted its text, with `gpu` and `smp`
set up, but no task was run there. The texts for PBS Professional and LSF follow the manuals of qsub (OpenPBS) and bsub (LSF 10.1) and
were never submitted. In Grid Engine a GPU is asked for as the resource `gpu`, cores as the parallel environment `smp`: names that a
site chooses. A template replaces whatever does not fit.
"""

import math
import re
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from bohb_nas.errors import UsageError

_RESERVE_S = 60.0
"""Of a task's time that its worker does not plan with: the task starts before its worker does."""
_WARNING_S = 60
"""Before the end, when a task is warned that is not told how long it may take to leave."""
_MARGIN_S = 30
"""From the latest end of a worker that was warned to the end of its task."""
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,99}")
_WORD = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.,:@/+=-]*")
_PLAIN_PATH = re.compile(r"[A-Za-z0-9_./+=@-]+")


class Cluster(StrEnum):
    """The schedulers that a script can be written for."""

    SLURM = "slurm"
    PBS = "pbs"
    SGE = "sge"
    LSF = "lsf"


@dataclass(frozen=True, slots=True, kw_only=True)
class JobArray:
    """What an array is; None leaves a choice to the cluster.

    Raises:
        UsageError: a value would break out of its line of the script, or mean something else there.
    """

    cluster: Cluster
    name: str
    size: int
    """How many tasks, at least 1."""
    command: tuple[str, ...]
    """Program and arguments of every task."""
    time_s: float
    """After which the cluster ends a task."""
    logs: Path
    """The folder for what tasks print, absolute."""
    grace_s: float | None = None
    """How long the command may take to leave once it is warned."""
    gpus_per_task: int = 0
    cpus_per_task: int | None = None
    memory_mib: int | None = None
    """Of main memory, for each task."""
    partition: str | None = None
    """Where the cluster has partitions or queues: the one to wait in."""
    account: str | None = None
    extra: tuple[str, ...] = ()
    """Further directives, each what follows the scheduler's mark (#SBATCH, #PBS, #$, #BSUB) on its line."""

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise UsageError(f"--name {self.name!r}: accepted is a letter, then at most 99 letters, digits, dots, dashes or underscores")
        for option, word in (("--partition", self.partition), ("--account", self.account)):
            if word is not None and not _WORD.fullmatch(word):
                raise UsageError(f"{option} {word!r}: accepted are letters, digits and _ . , : @ / + = - in one word, not beginning with -")
        for line in self.extra:
            if not line.strip() or not line.isprintable() or line.endswith("\\"):
                raise UsageError(f"--extra {line!r}: accepted is one line of printable characters that does not end with \\")
        mark = _MARKS[self.cluster]
        if f"\n{mark}" in shlex.join(self.command):  # some schedulers look for directives in every line
            raise UsageError(f"the command {self.command!r} has a line that begins with {mark}, a directive; choose another path")

    @property
    def warning_s(self) -> int:
        """How long before its end a task is warned, where the scheduler can do that."""
        return _WARNING_S if self.grace_s is None else math.ceil(self.grace_s) + _MARGIN_S

    @property
    def range(self) -> str:
        """The indices as the scheduler writes them, such as 0-3."""
        first = 0 if self.cluster in (Cluster.SLURM, Cluster.PBS) else 1
        return f"{first}-{first + self.size - 1}"

    @property
    def memory(self) -> str | None:
        """The memory as the scheduler writes it."""
        unit = {Cluster.SLURM: "M", Cluster.PBS: "mb", Cluster.SGE: "M", Cluster.LSF: "MB"}[self.cluster]
        return None if self.memory_mib is None else f"{self.memory_mib}{unit}"

    @property
    def time(self) -> str:
        """The time as the scheduler writes it."""
        match self.cluster:
            case Cluster.SLURM:
                days, rest = divmod(math.ceil(self.time_s), 86400)
                return f"{days}-{_hours(rest)}"
            case Cluster.LSF:
                hours, minutes = divmod(math.ceil(self.time_s / 60), 60)
                return f"{hours}:{minutes:02}"
            case _:
                return _hours(self.time_s)

    @property
    def log(self) -> str:
        """Where a task's output goes, as the argument of a directive.

        Raises:
            UsageError: the folder cannot be named in a directive of this scheduler.
        """
        folder, slurm = str(self.logs), self.cluster is Cluster.SLURM
        if slurm and folder.isprintable() and not set('"\\') & set(folder):
            return f'"{folder.replace("%", "%%")}/job-%A_%a.out"'
        if slurm or not _PLAIN_PATH.fullmatch(folder):
            accepted = 'printable characters but " and \\' if slurm else "letters, digits and _ . / + = @ -"
            raise UsageError(f"folder for logs {folder!r} cannot be named in a script for {self.cluster}; give --logs a path of {accepted}")
        return f"{folder}/job-%J_%I.out" if self.cluster is Cluster.LSF else f"{folder}/"


def reserved_s(time_s: float) -> float:
    """How much of a task's time its worker must not plan with: a minute, or a tenth of less than ten minutes."""
    return min(_RESERVE_S, time_s / 10)


def worker_command(
    python: str, study: Path, *, time_s: float, grace_s: float | None = None, environment: Mapping[str, str] | None = None
) -> tuple[str, ...]:
    """What every task runs: a worker of a study that leaves before the task's time is over.

    Args:
        python: the interpreter, absolute.
        study: the directory, absolute.
        time_s: of the task.
        grace_s: how long the worker may take to hand over what it trains.
        environment: variables that it needs beside those that the cluster gives.
    """
    variables = [f"{name}={value}" for name, value in sorted((environment or {}).items())]
    grace = [] if grace_s is None else ["--grace", _seconds(grace_s)]
    limit = ["--time", _seconds(time_s - reserved_s(time_s))]
    given = ["/usr/bin/env", *variables] if variables else []
    if given and "=" in python:  # which env takes for one more variable
        given += ["/bin/sh", "-c", 'exec "$0" "$@"']
    return (*given, python, "-P", "-m", "bohb_nas", "worker", str(study), *limit, *grace)


def script(job: JobArray) -> str:
    """The text to hand to the scheduler.

    Raises:
        UsageError: the folder for logs cannot be named in a directive.
    """
    mark, directives = _MARKS[job.cluster], _DIRECTIVES[job.cluster](job)
    lines = [f"{mark} {directive}" for directive in (*directives, *job.extra)]
    return "\n".join(["#!/bin/bash", *lines, "", f"exec {shlex.join(job.command)}", ""])


def _slurm(job: JobArray) -> list[str]:
    return [
        f"--job-name={job.name}",
        f"--array={job.range}",
        "--nodes=1",
        "--ntasks=1",
        *_given("--cpus-per-task={}", job.cpus_per_task),
        *_given("--gres=gpu:{}", job.gpus_per_task or None),
        *_given("--mem={}", job.memory),
        f"--time={job.time}",
        *_given("--partition={}", job.partition),
        *_given("--account={}", job.account),
        "--requeue",
        "--open-mode=append",
        f"--signal=B:USR1@{job.warning_s}",
        f"--output={job.log}",
    ]


def _pbs(job: JobArray) -> list[str]:
    chunk = [
        f"ncpus={job.cpus_per_task or 1}",
        *_given("ngpus={}", job.gpus_per_task or None),
        *_given("mem={}", job.memory),
    ]
    return [
        f"-N {job.name}",
        *([f"-J {job.range}"] if job.size > 1 else []),  # a range of one index is refused
        f"-l select=1:{':'.join(chunk)}",
        f"-l walltime={job.time}",
        *_given("-q {}", job.partition),
        *_given("-A {}", job.account),
        "-r y",
        "-j oe",
        f"-o {job.log}",
    ]


def _sge(job: JobArray) -> list[str]:
    slots = job.cpus_per_task or 1  # memory is asked for each of them
    return [
        "-S /bin/bash",
        f"-N {job.name}",
        f"-t {job.range}",
        *_given("-pe smp {}", job.cpus_per_task),
        *_given("-l gpu={}", job.gpus_per_task or None),
        *_given("-l mem_free={}M", None if job.memory_mib is None else math.ceil(job.memory_mib / slots)),
        f"-l h_rt={job.time}",
        f"-l s_rt={_hours(max(1.0, job.time_s - job.warning_s))}",
        *_given("-q {}", job.partition),
        *_given("-A {}", job.account),
        "-r y",
        "-notify",
        "-j y",
        f"-o {job.log}",
    ]


def _lsf(job: JobArray) -> list[str]:
    return [
        f'-J "{job.name}[{job.range}]"',
        f"-n {job.cpus_per_task or 1}",
        '-R "span[hosts=1]"',
        *_given('-gpu "num={}"', job.gpus_per_task or None),
        *_given("-M {}", job.memory),
        *_given('-R "rusage[mem={}]"', job.memory),
        f"-W {job.time}",
        *_given("-q {}", job.partition),
        *_given("-P {}", job.account),
        "-r",
        "-wa USR1",
        f"-wt {math.ceil(job.warning_s / 60)}",
        f"-o {job.log}",
    ]


def _given(line: str, value: str | int | None) -> list[str]:
    return [] if value is None else [line.format(value)]


def _hours(seconds: float) -> str:
    minutes, s = divmod(math.ceil(seconds), 60)
    return f"{minutes // 60:02}:{minutes % 60:02}:{s:02}"


def _seconds(seconds: float) -> str:
    return f"{round(seconds, 3):.15g}s"


_MARKS = {Cluster.SLURM: "#SBATCH", Cluster.PBS: "#PBS", Cluster.SGE: "#$", Cluster.LSF: "#BSUB"}
_DIRECTIVES: dict[Cluster, Callable[[JobArray], list[str]]] = {
    Cluster.SLURM: _slurm,
    Cluster.PBS: _pbs,
    Cluster.SGE: _sge,
    Cluster.LSF: _lsf,
}
