"""Does independent pieces of work in processes side by side."""

import ctypes
import os
import signal
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import TypeVar

from bohb_nas.errors import AnalysisError

T = TypeVar("T")
_PR_SET_PDEATHSIG = 1
_IDLE_S = 2
"""After so many seconds without a task a process ends. Where the next ones are handed out just then, another is started."""
_TIDIED = "ignore:resource_tracker:UserWarning"
"""What Python and loky say when they tidy up after a killed process, which is no news."""


def run(tasks: Sequence[Callable[[], T]], *, jobs: int) -> list[T]:
    """What each task returns, in their order; the first ones begin first.

    Args:
        tasks: without arguments; what they are bound to and what they return travels between processes.
        jobs: how many at a time; 1 does them here, one after the other.

    Raises:
        AnalysisError: a process was killed, as the kernel does where memory runs out.
    """
    if jobs == 1 or len(tasks) < 2:
        return [task() for task in tasks]
    from joblib import Parallel, delayed, parallel_config
    from joblib.externals.loky.process_executor import TerminatedWorkerError

    parent = os.getpid()
    try:
        with without_current_folder(), tidied_in_silence(), parallel_config("loky", idle_worker_timeout=_IDLE_S), warnings.catch_warnings():
            warnings.filterwarnings("ignore", "A worker stopped while some jobs were given", UserWarning)  # loky starts another
            side_by_side = Parallel(n_jobs=min(jobs, len(tasks)), batch_size=1, pre_dispatch="all")
            found: list[T] = side_by_side(delayed(_of_parent)(parent, task) for task in tasks)
    except TerminatedWorkerError as e:
        raise AnalysisError(f"one of {jobs} processes was killed; where memory ran out, --jobs 1 needs the least") from e
    return found


def _of_parent(parent: int, task: Callable[[], T]) -> T:
    """What a task returns, in a process that ends with the one that asked; joblib does it in that one where it can start no others."""
    if os.getpid() == parent:
        return task()
    die_with_parent(parent)
    try:
        return task()
    finally:
        die_with_parent(parent, 0)  # for the kernel its parent is the thread that asked, which may end before another asks again


def die_with_parent(parent: int, number: int = signal.SIGKILL) -> None:
    """Asks the kernel to kill this process when the thread that started it ends, so that no orphan works on.

    Args:
        parent: the process of that thread; where it has ended already, so does this one.
        number: another signal to send; 0 takes the wish back.
    """
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, number)
    if os.getppid() != parent:
        os._exit(1)


def without_current_folder() -> AbstractContextManager[None]:
    """Programs of Python started meanwhile take no module from the current folder: a file there may be named like one of Python's."""
    return _environment("PYTHONSAFEPATH", "1")


def tidied_in_silence() -> AbstractContextManager[None]:
    """What tidies up after the processes started meanwhile, should this one be killed, says nothing of it."""
    return _environment("PYTHONWARNINGS", ",".join(filter(None, [os.environ.get("PYTHONWARNINGS"), _TIDIED])))


@contextmanager
def _environment(name: str, value: str) -> Iterator[None]:
    """Processes started meanwhile have a variable of this value."""
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before
