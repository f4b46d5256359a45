"""Trains by running any program: the command gets the configuration as arguments and answers with one JSON object.

The program finds the trial as JSON in the file `$BOHB_NAS_TRIAL`. Its answer is the last line of standard output that is
a JSON object, of at most 1 MiB, or the file `$BOHB_NAS_RESULT`; the file wins if both are there. `{"loss": 0.25}` is enough; `train_s`
(default: wall seconds, and those behind the checkpoint that it goes on from), `metrics` (name -> number), `status` and `message`
are understood, anything else is kept as details. A bare number is no answer: too many programs end with one by accident. NaN or
infinite loss means diverged.

With the option `hands_over` the program may be asked to leave before its end: its group gets SIGTERM, and after the grace time SIGKILL.
What it has saved in the folder `$BOHB_NAS_HANDOVER` by then is where `$BOHB_NAS_INTERRUPTED` leads in the next attempt at the trial; that
is unset where nothing was saved. A program that ends well after SIGTERM, with a result, has finished.

Standard output and error go to `log.txt` in the trial's folder. No shell is involved. After the hard limit the
command's group gets SIGTERM, then everything that it started SIGKILL; nothing of a trial outlives its end.
"""

import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ConfigSpace import ConfigurationSpace

from bohb_nas import leaving
from bohb_nas.durations import format_duration
from bohb_nas.errors import OptionError, RecordError, end_text
from bohb_nas.files import dump_json, write_atomic
from bohb_nas.records import Result, Status, Trial
from bohb_nas.store import handovers
from bohb_nas.store.notes import tail
from bohb_nas.store.study_dir import LOG, TRIAL
from bohb_nas.workers import _answer, _processes, _template

_MARK = "BOHB_NAS_TRIAL"
_SAVES, _FINDS = "BOHB_NAS_HANDOVER", "BOHB_NAS_INTERRUPTED"
_HANDOVER = "handover"
_TAIL_LINES = 20
_TAIL_BYTES = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandWorker:
    """Trains by running a command."""

    template: _template.Template
    hard_limit_s: float | None
    """None: 1.5 x budget + 60 s where budgets are seconds, else no limit."""
    grace_s: float
    """Seconds between SIGTERM and SIGKILL."""
    cwd: Path
    unit: str
    """What budgets count; only of seconds a limit follows."""
    hands_over: bool = False
    """Whether the program can be asked to leave."""

    def train(self, trial: Trial, workdir: Path) -> Result:
        """Runs the command for a trial; whatever goes wrong in it is a status with the end of its log."""
        workdir = workdir.resolve()
        trial_file, result_file, log = _trial_file(workdir), workdir / "bohb_nas_result.json", workdir / LOG
        result_file.unlink(missing_ok=True)
        write_atomic(trial_file, dump_json(trial.to_json()))
        printed, refused, limit_s = _answer.LastObject(), "", self._limit_s(trial.budget)
        with log.open("ab", buffering=0) as stream:

            def keep(data: bytes) -> None:
                nonlocal refused
                printed.feed(data)
                try:
                    stream.write(data)
                except OSError as e:  # the answer counts, whatever becomes of the log
                    refused = str(e)

            ended = _processes.run(
                self.template.fill(trial, workdir),
                env=self._environment(workdir) | {_MARK: str(trial_file), "BOHB_NAS_RESULT": str(result_file)},
                mark=_MARK,
                cwd=self.cwd,
                errors=stream.fileno(),
                output=keep,
                limit_s=limit_s,
                grace_s=self.grace_s,
                leave=leaving.asked if self.hands_over else None,
            )
        printed.close()
        if self.hands_over:
            with suppress(OSError):  # something was saved
                (workdir / _HANDOVER).rmdir()

        def failed(status: Status, message: str) -> Result:
            text = f"{message}\n{_tail(log)}".rstrip()
            return Result(trial_id=trial.trial_id, status=status, loss=None, train_s=ended.seconds, message=text)

        if ended.timed_out:
            advice = "make it end by its budget" if self.unit == "s" else "make it faster"
            return failed(Status.TIMED_OUT, f"stopped at its limit of {format_duration(limit_s or 0.0)}: {advice}, or raise --hard-limit")
        if ended.code and ended.asked:
            return failed(Status.PREEMPTED, f"asked to leave after {ended.seconds:.0f} s")
        if ended.code:
            return failed(Status.CRASHED, f"the command ended with {end_text(ended.code)}; its folder is {str(workdir)!r}")
        try:
            answer = _answer.read_file(result_file)
            said = printed.answer() if answer is None else answer
            result = _answer.to_result(said, trial, wall_s=ended.seconds, behind_s=handovers.behind_s(trial, workdir))
            return replace(result, details={**result.details, "log_refused": refused}) if refused else result
        except RecordError as e:
            return failed(Status.PREEMPTED if ended.asked else Status.CRASHED, str(e))

    def _environment(self, workdir: Path) -> dict[str, str]:
        """That of this process, and where a program that hands over saves and finds what it needs to go on."""
        environment = {name: value for name, value in os.environ.items() if name not in (_SAVES, _FINDS)}
        if self.hands_over:
            handover, interrupted = workdir / _HANDOVER, workdir / "interrupted"
            handover.mkdir(exist_ok=True)
            environment[_SAVES] = str(handover)
            if interrupted.is_dir() and any(interrupted.iterdir()):
                environment[_FINDS] = str(interrupted)
        return environment

    def _limit_s(self, budget: float) -> float | None:
        if self.hard_limit_s is not None:
            return self.hard_limit_s
        return 1.5 * budget + 60 if self.unit == "s" else None


def make(
    *,
    command: str | Sequence[str],
    hard_limit_s: float | None = None,
    cwd: str | None = None,
    grace_s: float = 5.0,
    unit: str = "s",
    hands_over: bool = False,
) -> CommandWorker:
    """The worker for a command.

    Args:
        command: a template, as one line or as tokens that are split already.
        hard_limit_s: seconds after which a trial is stopped; None means 1.5 x budget + 60 s, or never if budgets are no seconds.
        cwd: where the command runs; None means here.
        grace_s: seconds between SIGTERM and SIGKILL.
        unit: what budgets count; "s" is seconds.
        hands_over: whether the program can be asked to leave before its end.

    Raises:
        CommandError: the command cannot be run.
        OptionError: a limit that is no positive number of seconds, or hands_over that is neither true nor false.
    """
    if hard_limit_s is not None and not 0 < hard_limit_s < float("inf"):
        raise OptionError(f"hard limit {hard_limit_s}: accepted is a positive number of seconds; leave it out for 1.5 x budget + 60 s")
    if not 0 <= grace_s < float("inf"):
        raise OptionError(f"grace {grace_s}: accepted is a number of seconds from 0; 5 is usual")
    if not isinstance(hands_over, bool):
        raise OptionError(f"hands_over {hands_over!r}: accepted is true or false")
    folder = Path(cwd or ".").resolve()
    template = _template.parse(command, cwd=folder)
    return CommandWorker(template=template, hard_limit_s=hard_limit_s, grace_s=grace_s, cwd=folder, unit=unit, hands_over=hands_over)


def check(space: ConfigurationSpace, **options: Any) -> list[str]:
    """What the engine asks of a worker before a study begins: takes the options of `make`.

    Returns:
        What of a trial the arguments leave out, and that no time ends one, a line each.

    Raises:
        CommandError: the command does not suit the space.
        OptionError: see `make`.
    """
    worker = make(**options)
    worker.template.check(space)
    said = worker.template.not_passed(space)
    if worker.unit != "s" and worker.hard_limit_s is None:
        said.append(f"budgets in {worker.unit} say nothing of time: a program that hangs is never ended; add --hard-limit, such as 2h")
    return said


def kill_leftovers(workdir: Path) -> int:
    """Kills what an interrupted attempt at a trial left running on this machine and returns how many processes it was."""
    return _processes.kill_marked(_MARK, str(_trial_file(workdir.resolve())))


def _trial_file(workdir: Path) -> Path:
    return workdir / TRIAL


def _tail(log: Path) -> str:
    lines = (tail(log, _TAIL_BYTES) or "").splitlines()[-_TAIL_LINES:]
    return "\n".join(["the log ends with:", *lines]) if lines else "it logged nothing"
