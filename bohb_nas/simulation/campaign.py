"""Runs what a comparison lacks, in several processes, and stores each run when it is finished."""

import math
import multiprocessing
import os
import signal
import threading
import traceback
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path

from bohb_nas import refs
from bohb_nas.benchmarks import load_problem
from bohb_nas.errors import BohbNasError, ProblemError, UsageError
from bohb_nas.parallel import tidied_in_silence, without_current_folder
from bohb_nas.simulation.clock import simulate
from bohb_nas.simulation.code import fingerprint
from bohb_nas.simulation.entrants import Entrant
from bohb_nas.simulation.results import Conditions, Finished, Key, Results

_ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A run to do."""

    entrant: Entrant
    problem: str
    """Canonical: FAMILY/INSTANCE."""
    problem_code: str
    seed: int
    conditions: Conditions

    @property
    def key(self) -> Key:
        """What it is stored under."""
        return Key(method=self.entrant.label, problem=self.problem, seed=self.seed, conditions=self.conditions)


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """A run that raised an error: nothing of it is stored."""

    case: Case
    message: str
    """The error in one line."""
    trace: str
    """Where it arose."""


def cases(entrants: Sequence[Entrant], problems: Sequence[str], *, seeds: Sequence[int], conditions: Sequence[Conditions]) -> list[Case]:
    """Every run of a comparison, seed by seed, so that what is there when it is stopped can be compared.

    Raises:
        RefError: no such family of problems.
        ProblemError: no such instance, its data are not there, or its best, median and mean cost are no scale.
        UsageError: an optimizer's seconds are to be added to costs that are none.
        BohbNasError: a method cannot search a problem's space.
    """
    loaded = {problem.name: problem for problem in map(load, problems)}  # FAMILY and its first instance are one
    if any(c.overhead for c in conditions) and (other := [problem.name for problem in loaded.values() if problem.cost_unit != "s"]):
        raise UsageError(f"--overhead measured needs costs in seconds, which {', '.join(other)} do not have; leave them out")
    for problem in loaded.values():
        if not problem.best < problem.median or not 0 < problem.mean_cost < math.inf:
            raise ProblemError(
                f"problem {problem.name}: best {problem.best}, median {problem.median}, mean cost {problem.mean_cost}; "
                "accepted are best < median and a positive mean cost"
            )
        for entrant in entrants:
            entrant.optimizer(problem, seed=0, n_workers=1)
    return [
        Case(entrant=entrant, problem=problem.name, problem_code=_code(problem.name), seed=seed, conditions=c)
        for c in conditions
        for seed in seeds
        for problem in loaded.values()
        for entrant in entrants
    ]


def missing(wanted: Sequence[Case], stored: dict[Key, Finished], *, accept_changed: bool) -> tuple[list[Case], list[Case]]:
    """Those to run, and those among them which are stored but came of other code."""
    absent, changed = [], []
    for case in wanted:
        run = stored.get(case.key)
        if run is None:
            absent.append(case)
        elif not accept_changed and (run.code, run.version, run.problem_code) != (
            case.entrant.code,
            case.entrant.version,
            case.problem_code,
        ):
            changed.append(case)
    return absent + changed, changed


def run_all(todo: Sequence[Case], results: Results, *, jobs: int) -> Iterator[Finished | Failure]:
    """Runs the cases and stores each, in the order in which they finish.

    Raises:
        BohbNasError: a process was killed; what had finished is stored.
    """
    for name in _ONE_THREAD:  # read by the children when they import numpy
        os.environ.setdefault(name, "1")
    outcomes = map(attempt, todo) if jobs == 1 or len(todo) < 2 else _in_processes(todo, jobs)
    for outcome in outcomes:
        if isinstance(outcome, Finished):
            results.add(outcome)
        yield outcome


def _in_processes(todo: Sequence[Case], jobs: int) -> Iterator[Finished | Failure]:
    context = multiprocessing.get_context("spawn")
    with tidied_in_silence():
        pool = ProcessPoolExecutor(max_workers=min(jobs, len(todo)), mp_context=context, initializer=_end_with_parent)
    with pool:
        waiting: set[Future[Finished | Failure]] = set()
        try:
            with without_current_folder():
                waiting |= {pool.submit(attempt, case) for case in todo}
            for future in as_completed(waiting):
                yield future.result()
        except BrokenProcessPool as e:
            raise BohbNasError(
                f"one of the {jobs} processes was ended from outside, perhaps for want of memory; finished runs are stored: "
                "run the same command again, perhaps with fewer --jobs"
            ) from e
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _end_with_parent() -> None:
    """Ends this process when its parent is killed, which would leave it waiting for work for ever; at Ctrl-C without a word."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def attempt(case: Case) -> Finished | Failure:
    """One run. Whatever the method or the problem raises is that run's failure: the other runs go on."""
    try:
        return run(case)
    except (Exception, SystemExit) as e:  # noqa: BLE001 - a method of the user's may raise anything
        return Failure(case=case, message=f"{type(e).__name__}: {e}", trace=traceback.format_exc())


def run(case: Case) -> Finished:
    """One run."""
    problem, c = load(case.problem), case.conditions
    optimizer = case.entrant.optimizer(problem, seed=case.seed, n_workers=c.workers)
    unit = problem.mean_cost
    done = simulate(
        optimizer,
        problem,
        n_workers=c.workers,
        horizon=c.horizon * unit,
        seed=case.seed,
        promote=c.promote,
        overhead=c.overhead,
    )
    return Finished(
        key=case.key,
        reference=case.entrant.reference,
        options=case.entrant.options,
        version=case.entrant.version,
        bohb_nas=version("bohb-nas"),
        code=case.entrant.code,
        problem_code=case.problem_code,
        best=float(problem.best),
        median=float(problem.median),
        mean_cost=float(unit),
        recommended=tuple((i.time / unit, float(i.loss), i.rung) for i in done.recommended),
        evaluations=tuple(done.evaluations),
        origins=done.origins,
        failed=done.failed,
        busy=done.busy / (c.workers * done.horizon),
        cpu_s=done.cpu_s,
    )


load = cache(load_problem)
"""The problem of a name, read once in a process."""


@cache
def _code(problem: str) -> str:
    source = str(refs.load_module("problem", problem.partition("/")[0]).__file__)
    return fingerprint(Path(source), within=("benchmarks",)) + "-" + fingerprint(Path(__file__).with_name("clock.py"), within=())
