"""The training child: a resident process that turns trials on its standard input into results.

Imports, CUDA context and data stay warm between trials; a trial that kills the process costs only itself, because
the worker program starts the next child. One line in: `{"trial": …, "workdir": …, "earlier": […]}`; one line out:
`{"result": …, "spoilt": bool}`, where true asks for another child. `{"check": space}` asks whether the space suits the worker:
`{"checked": true, "notes": [line, …]}` or `{"error": text}`. Before the first trial it says `{"ready": true, "hands_over": bool}` or an
error; the latter also instead of a result when the disk or the data are gone.

SIGUSR1 asks the trial in training to leave, and no other: it counts from the moment that a request is in the pipe until its training is
over. Between two trials it means nothing.
"""

import inspect
import io
import json
import os
import select
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from bohb_nas import leaving, spoilt, standstill
from bohb_nas.engine import streams
from bohb_nas.engine.kept import kept
from bohb_nas.errors import BohbNasError, DatasetError, OptionError, RefError, StorageError, out_of_memory
from bohb_nas.files import FULL, dump_json, storing
from bohb_nas.parallel import die_with_parent
from bohb_nas.records import RESULT_LIMIT_BYTES, Result, Status, Trial, Worker
from bohb_nas.refs import load_module
from bohb_nas.store.notes import shortened
from bohb_nas.store.study_dir import LOG

END = signal.SIGRTMIN
"""Ends the child in good order; a signal that no scheduler sends."""


class _EndedError(SystemExit):
    """Raised where this process, or one that it forked, is told to end."""


def make_worker(reference: str, options: dict[str, Any]) -> Worker:
    """The worker that a reference names: a module with `make(**options)`, or with `train(trial, workdir)` itself.

    Raises:
        RefError: it offers neither.
        OptionError: `make` does not take these options.
    """
    module = load_module("worker", reference)
    if hasattr(module, "make"):
        try:
            inspect.signature(module.make).bind(**options)
        except TypeError as e:
            accepted = ", ".join(inspect.signature(module.make).parameters)
            raise OptionError(f"worker {reference!r}: {e}; --worker-option accepts: {accepted}") from e
        try:
            worker = module.make(**options)
        except (TypeError, ValueError) as e:
            raise OptionError(f"worker {reference!r} refuses {options}: {type(e).__name__}: {e}; correct --worker-option") from e
    elif options:
        raise RefError(f"worker {reference!r} takes no options, given: {sorted(options)}; give it a function make(**options)")
    else:
        worker = module
    if not callable(getattr(worker, "train", None)):
        raise RefError(
            f"worker {reference!r} has no function train(trial, workdir) -> Result, nor make(**options) that returns such an object"
        )
    return worker  # type: ignore[no-any-return]


def check(reference: str, options: dict[str, Any], space_json: str) -> dict[str, Any]:
    """Asks a worker whether it can train configurations of a space: its module's `check(space, **options)`, if it has one.

    Returns:
        What is wrong, or what the person should know: the lines that `check` returned, if it did.
    """
    examine = getattr(load_module("worker", reference), "check", None)
    if examine is None:
        return {"checked": True, "notes": []}
    from bohb_nas.space.files import space_from_json  # ConfigSpace, which training itself does not need, takes a second

    try:
        said = examine(space_from_json(space_json), **options)
    except BohbNasError as e:
        return {"error": str(e)}
    except (Exception, SystemExit):  # noqa: BLE001 (the outer shell, around a user's code)
        return {"error": f"worker {reference!r} fails in its check of the space; correct it:\n{shortened(traceback.format_exc())}"}
    return {"checked": True, "notes": [line for line in said if isinstance(line, str)] if isinstance(said, list) else []}


def clear_leftovers(reference: str, attempt: Path) -> None:
    """Ends what an earlier attempt left running on this machine, where the worker's module offers `kill_leftovers(workdir)`."""
    clear = getattr(load_module("worker", reference), "kill_leftovers", None)
    if clear is not None:
        clear(attempt)


def hands_over(worker: Worker) -> bool:
    """Whether a worker leaves when it is asked to, as `bohb_nas.leaving` says."""
    return bool(getattr(worker, "hands_over", False))


def train(worker: Worker, trial: Trial, workdir: Path) -> tuple[Result, bool]:
    """Trains a trial; whatever the worker does wrong comes back as a status with a reason.

    Returns:
        The result, and whether this process may be spoilt for other trials: an exception can leave a broken device
        behind (after an illegal access every later CUDA call fails), and so can a result (`bohb_nas.spoilt`).

    Raises:
        StorageError, DatasetError: the disk or the data are gone, which is not this trial's fault.
    """
    began = standstill.now()

    def failed(status: Status, message: str, *, spoilt: bool = False) -> tuple[Result, bool]:
        seconds = standstill.now() - began
        said = shortened(message).encode(errors="backslashreplace").decode()  # names of files need not be UTF-8
        return Result(trial_id=trial.trial_id, status=status, loss=None, train_s=seconds, message=said), spoilt

    own = os.getpid()
    try:
        with streams.put_back():
            result: object = worker.train(trial, workdir)
        if not isinstance(result, Result):
            return failed(Status.CRASHED, f"the worker returned {type(result).__name__} {str(result)[:200]!r}; accepted is a Result")
        if result.trial_id != trial.trial_id:
            return failed(Status.CRASHED, f"the worker returned a result of {result.trial_id!r} for trial {trial.trial_id!r}")
        if result.status is Status.PREEMPTED and (reason := _unasked(worker)):
            return failed(Status.CRASHED, f"the worker returned the status preempted {reason}")
        result, n_bytes = kept(result)
        if n_bytes > RESULT_LIMIT_BYTES:
            return failed(Status.CRASHED, f"the result has {n_bytes} bytes as JSON; accepted are {RESULT_LIMIT_BYTES}: write files instead")
        if (why := spoilt.why()) is not None:
            with suppress(OSError):
                sys.stderr.write(f"{why}; the next trial is trained by another process\n")
        return result, why is not None
    except (StorageError, DatasetError, _EndedError):
        raise
    except BaseException as e:  # the outer shell: a crash is data, and so is an exit
        if os.getpid() != own:  # forked by the worker: the answer is not its to give
            raise
        if out_of_memory(e):
            return failed(Status.OUT_OF_MEMORY, f"out of memory: {e}", spoilt=True)
        if isinstance(e, OSError) and e.errno in FULL:
            raise StorageError(f"trial {trial.trial_id}: {e}; free space, then run the same command again") from e
        with suppress(OSError):  # of a disk that is full since
            traceback.print_exc()
        return failed(Status.CRASHED, traceback.format_exc(), spoilt=True)


def _unasked(worker: Worker) -> str | None:
    """Why nobody can have asked a worker to leave, or None."""
    if not hands_over(worker):
        return "but does not hand over; give it an attribute hands_over that is true, or return another status"
    return None if leaving.asked() else "without being asked to leave; accepted is that only once bohb_nas.leaving.asked() is true"


class _Requests:
    """The lines of standard input, one at a time, and which of them a signal to leave is about.

    The next request comes only after the answer to the one before, so a signal that arrives while there is nothing to read means nobody.
    One that arrives together with a request is taken for its trial: left without need it costs little, asked in vain a node's last minute.
    """

    def __init__(self) -> None:
        self._waiting = True

    def __iter__(self) -> Iterator[bytes]:
        while True:
            select.select([sys.stdin], [], [])  # a signal's handler runs meanwhile
            self._waiting = False
            line = sys.stdin.buffer.readline()
            if not line:
                return
            yield line

    def done(self) -> None:
        """To be called before an answer: whoever was asked to leave is no longer in training."""
        self._waiting = True  # first, so that no signal comes in between and stays for the next
        leaving.reset()

    def on_signal(self, number: int, frame: object) -> None:
        """Asks the trial to leave that is in training or whose request is there already."""
        del number, frame
        if not self._waiting or select.select([sys.stdin], [], [], 0)[0]:
            leaving.ask()


@contextmanager
def _output_to(path: Path) -> Iterator[None]:
    """Sends everything that this process and its children print into a file; what a full disk refuses of it is lost, and nothing else.

    Raises:
        StorageError: the disk refused the file itself.
    """
    with storing(path):
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    kept = os.dup(2)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.close(descriptor)
    try:
        yield
    finally:
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError):  # a full disk, or closed by a worker
                stream.flush()
        os.dup2(kept, 1)
        os.dup2(kept, 2)
        os.close(kept)


def _on_sigterm(own: int) -> Callable[[int, FrameType | None], None]:
    """Lets a scheduler's SIGTERM, which goes to every process of a job, pass: what follows from it, the worker program says.

    A handler, since what is ignored stays ignored in programs that are started here; and it ends processes that are forked here.
    """

    def on_sigterm(number: int, frame: FrameType | None) -> None:
        del frame
        if os.getpid() != own:
            raise _EndedError(128 + number)

    return on_sigterm


def _on_end(number: int, frame: FrameType | None) -> NoReturn:
    """Ends this process so that a worker can clean up behind it."""
    del number, frame
    raise _EndedError(128 + signal.SIGTERM)


def _train(worker: Worker, reference: str, request: dict[str, Any]) -> tuple[Result, bool]:
    """Trains the trial of a request; what it prints goes to its log."""
    for attempt in request["earlier"]:
        clear_leftovers(reference, Path(attempt))
    workdir = Path(request["workdir"])
    with _output_to(workdir / LOG):
        return train(worker, Trial.from_json(request["trial"]), workdir)


def main() -> int:
    """Serves until standard input ends: `python -P -m bohb_nas.engine.child PARENT REFERENCE OPTIONS`."""
    die_with_parent(int(sys.argv[1]))
    standstill.watch()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    requests = _Requests()
    signal.signal(signal.SIGUSR1, requests.on_signal)
    own = os.getpid()
    signal.signal(signal.SIGTERM, _on_sigterm(own))
    signal.signal(signal.SIGUSR2, _on_sigterm(own))
    signal.signal(END, _on_end)
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8", errors="replace")
    os.dup2(2, 1)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # what a worker prints ends no training

    def answer(body: dict[str, Any]) -> None:
        if os.getpid() != own:  # forked by the worker, and come back from its training: the answer is not its to give
            os._exit(int("error" in body))
        requests.done()
        answers.write(dump_json(body) + "\n")
        answers.flush()

    def give_up(why: str) -> int:
        signal.signal(END, signal.SIG_IGN)  # it ends by itself, and would say in its log only where that found it
        answer({"error": why})
        return 1

    try:
        reference, options = sys.argv[2], json.loads(sys.argv[3])
        worker = make_worker(reference, options)
    except BohbNasError as e:
        return give_up(str(e))
    except (Exception, SystemExit):  # noqa: BLE001 (the outer shell, around a user's code)
        return give_up(shortened(traceback.format_exc()))
    answer({"ready": True, "hands_over": hands_over(worker)})
    for line in requests:
        request = json.loads(line)
        if "check" in request:
            answer(check(reference, options, request["check"]))
            continue
        try:
            result, spoilt = _train(worker, reference, request)
        except (StorageError, DatasetError) as e:
            return give_up(str(e))
        answer({"result": result.to_json(), "spoilt": spoilt})
    return 0


if __name__ == "__main__":
    sys.exit(main())
