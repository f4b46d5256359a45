"""Does independent pieces of work in processes side by side; ends a process with its parent."""

import ctypes
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from bohb_nas.errors import BohbNasError

T = TypeVar("T")
_ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
"""How many threads a process computes with: one, unless the user says otherwise."""
_IDLE_S = 300
"""After which a process without work ends; starting one anew takes seconds."""
_PR_SET_PDEATHSIG = 1


def run(tasks: Sequence[Callable[[], T]], *, jobs: int) -> list[T]:
    """What each task returns, in their order; the first ones begin first.

    Args:
        tasks: without arguments; what they are bound to and what they return travels between processes.
        jobs: how many at a time; 1 does them here, one after the other.

    Raises:
        BohbNasError: a process was killed, as the kernel does where memory runs out.
    """
    found = dict(as_they_end(tasks, jobs=jobs))
    return [found[number] for number in range(len(tasks))]


def as_they_end(tasks: Sequence[Callable[[], T]], *, jobs: int) -> Iterator[tuple[int, T]]:
    """The number of each task and what it returns, as soon as it has; whoever stops listening ends what is still at work. See `run`."""
    if jobs == 1 or len(tasks) < 2:
        yield from ((number, task()) for number, task in enumerate(tasks))
        return
    from joblib.externals.loky import as_completed, get_reusable_executor
    from joblib.externals.loky.process_executor import TerminatedWorkerError

    # No module from the current folder: a file there may be named like one of Python's.
    environment = {"PYTHONSAFEPATH": "1", **{name: os.environ.get(name, "1") for name in _ONE_THREAD}}
    size = min(jobs, len(tasks))
    pool = get_reusable_executor(size, timeout=_IDLE_S, initializer=_begin, initargs=(os.getpid(),), env=environment)
    numbers = {pool.submit(task): number for number, task in enumerate(tasks)}
    try:
        for future in as_completed(numbers):
            yield numbers[future], future.result()
    except TerminatedWorkerError as e:
        raise BohbNasError(
            f"one of the {size} processes was ended from outside, perhaps for want of memory; run the same command again, "
            "perhaps with fewer --jobs"
        ) from e
    finally:
        if not all(future.done() for future in numbers):
            pool.shutdown(kill_workers=True)


def _begin(parent: int) -> None:
    """Lets this process end with its parent, which would leave it waiting for work for ever, and at Ctrl-C without a word."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    die_with_parent(parent)


def die_with_parent(parent: int, number: int = signal.SIGKILL) -> None:
    """Asks the kernel to kill this process when its parent dies, so that no orphan works on; or to send it another signal."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, number)
    if os.getppid() != parent:
        os._exit(1)
