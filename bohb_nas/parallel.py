"""Does independent pieces of work in processes side by side."""

from collections.abc import Callable, Sequence
from typing import TypeVar

from bohb_nas.errors import AnalysisError

T = TypeVar("T")


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
    from joblib import Parallel, delayed
    from joblib.externals.loky.process_executor import TerminatedWorkerError

    try:
        found: list[T] = Parallel(n_jobs=min(jobs, len(tasks)), batch_size=1, pre_dispatch="all")(delayed(task)() for task in tasks)
    except TerminatedWorkerError as e:
        raise AnalysisError(f"one of {jobs} processes was killed; where memory ran out, --jobs 1 needs the least") from e
    return found
