"""A user's own job script: text with placeholders, filled with the values of a job array.

`{name}` stands for a value, `{{` and `}}` for braces; everything else is the user's. Values are either plain words or
quoted for the shell, so that none becomes anything else.
"""

import re
import shlex
from collections.abc import Callable

from bohb_nas.engine.job_array import Cluster, JobArray
from bohb_nas.errors import UsageError

_PIECE = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")


def fill(template: str, job: JobArray) -> str:
    """The script that a template makes of a job.

    Raises:
        UsageError: an unknown placeholder, one whose value was not given, a single brace, or no {command} at all.
    """
    used: set[str] = set()

    def value(piece: re.Match[str]) -> str:
        if piece[0] in ("{{", "}}"):
            return piece[0][0]
        if piece[1] not in PLACEHOLDERS:
            known, line = ", ".join(f"{{{name}}}" for name in PLACEHOLDERS), template.count("\n", 0, piece.start()) + 1
            raise UsageError(
                f"template line {line}: {piece[0]!r} is no placeholder; accepted are {known}, and {{{{ and }}}} for braces of the shell"
            )
        used.add(piece[1])
        return PLACEHOLDERS[piece[1]](job)

    text = _PIECE.sub(value, template)
    if "command" not in used:
        raise UsageError("the template has no {command}, so its tasks would train nothing; add the line: exec {command}")
    return text


def _range(job: JobArray) -> str:
    if job.cluster is Cluster.PBS and job.size == 1:
        raise UsageError("the template asks for {array}, and PBS has no arrays of one task; give --array 2 or more")
    return job.range


def _said(option: str, value: str | None) -> str:
    if value is None:
        raise UsageError(f"the template asks for {{{option.lstrip('-')}}}; give {option}")
    return value


PLACEHOLDERS: dict[str, Callable[[JobArray], str]] = {
    "name": lambda job: job.name,
    "array": _range,
    "size": lambda job: str(job.size),
    "last": lambda job: job.range.partition("-")[2],
    "time": lambda job: job.time,
    "warning": lambda job: str(job.warning_s),
    "gpus": lambda job: str(job.gpus_per_task),
    "cpus": lambda job: str(job.cpus_per_task or 1),
    "mem": lambda job: _said("--mem", job.memory),
    "partition": lambda job: _said("--partition", job.partition),
    "account": lambda job: _said("--account", job.account),
    "log": lambda job: job.log,
    "command": lambda job: shlex.join(job.command),
}
"""What a template may ask for. {log} is the whole argument of the directive that names the log; {warning} is in seconds."""
