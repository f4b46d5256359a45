"""Hands a job script to its scheduler."""

import os
import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bohb_nas.engine.job_array import Cluster
from bohb_nas.errors import BohbNasError, UsageError

_ANSWER_S = 120.0
"""How long a scheduler may take to accept a job."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Way:
    """How one scheduler takes a script."""

    command: Callable[[Path], list[str]]
    reads_input: bool
    """Whether it reads the script on its standard input, rather than from a file that is named."""
    job: re.Pattern[str]
    """The job in its answer."""


_WAYS = {
    Cluster.SLURM: _Way(
        command=lambda file: ["sbatch", "--parsable", str(file)], reads_input=False, job=re.compile(r"^(\d+)(?:;|$)", re.M)
    ),
    Cluster.PBS: _Way(command=lambda file: ["qsub", str(file)], reads_input=False, job=re.compile(r"^(\d+\S*)$", re.M)),
    Cluster.SGE: _Way(command=lambda file: ["qsub", "-terse", str(file)], reads_input=False, job=re.compile(r"^(\d+)(?:\.|$)", re.M)),
    Cluster.LSF: _Way(command=lambda file: ["bsub"], reads_input=True, job=re.compile(r"^Job <(\d+)>", re.M)),
}


def program(cluster: Cluster) -> str:
    """The command of a scheduler on this machine.

    Raises:
        UsageError: it is not here.
    """
    name = _WAYS[cluster].command(Path())[0]
    found = shutil.which(name)
    if found is None:
        raise UsageError(
            f"{name} is not on this machine's PATH, so nothing can be submitted to {cluster}: run the same command on a login node, "
            "or add --print to see the script"
        )
    return found


def submit(cluster: Cluster, file: Path) -> str:
    """Submits a script.

    Args:
        cluster: the scheduler.
        file: the script, absolute.

    Returns:
        The job, as the scheduler calls it.

    Raises:
        UsageError: the scheduler is not here.
        BohbNasError: it does not answer, or refuses; the text says how to go on.
    """
    way = _WAYS[cluster]
    name, *arguments = way.command(file)
    found = program(cluster)
    again = f"the study and the script {file} are kept; correct this and run the same command again"
    try:
        with open(file if way.reads_input else os.devnull, "rb") as script:
            answer = subprocess.run(
                [found, *arguments], stdin=script, capture_output=True, text=True, errors="replace", check=False, timeout=_ANSWER_S
            )
    except subprocess.TimeoutExpired as e:
        raise BohbNasError(
            f"{name} did not answer within {_ANSWER_S:g} s; look whether the job is queued before you submit again: "
            f"the study and the script {file} are kept"
        ) from e
    said = (answer.stderr.strip() or answer.stdout.strip()) or f"exit code {answer.returncode}, without a word"
    if answer.returncode != 0:
        raise BohbNasError(f"{name} refuses the job: {said}\n{again}")
    job = way.job.search(answer.stdout)
    if job is None:
        raise BohbNasError(f"{name} answered what names no job: {said}\nlook whether it is queued; the script {file} is kept")
    return job[1]
