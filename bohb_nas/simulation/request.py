"""A comparison that was asked for: checked as a whole before anything is written, then run, stored and summed up."""

import math
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bohb_nas.durations import counted
from bohb_nas.errors import BohbNasError, UsageError
from bohb_nas.files import check_folder
from bohb_nas.simulation import campaign, csv_files
from bohb_nas.simulation.clock import Promote
from bohb_nas.simulation.curves import best_known, comparisons
from bohb_nas.simulation.entrants import Entrant, entrants, setting
from bohb_nas.simulation.results import Conditions, Finished, Key, Results, read_all
from bohb_nas.simulation.standings import choose_reference, standings
from bohb_nas.simulation.suites import Suite, load_suite

Say = Callable[[str], None]
_DEFAULT = Suite(problems=(), workers=(4,), n_seeds=20, horizon=20.0)
_PROGRESS_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What `bohb-nas simulate` was given; None means the suite's own, or the usual."""

    out: Path
    methods: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
    suite: str | None = None
    workers: tuple[int, ...] = ()
    n_seeds: int | None = None
    first_seed: int = 0
    horizon: float | None = None
    promote: Promote | None = None
    overhead: str | None = None
    jobs: int = 1
    report: bool = False
    results: tuple[Path, ...] = ()
    reference: str | None = None
    accept_changed_code: bool = False
    figures: bool = True
    """Whether to draw."""


def carry_out(request: Request, say: Say) -> list[dict[str, Any]]:
    """Runs what is missing, sums up, and writes tables and figures into the folder.

    Args:
        request: what was asked for.
        say: hears of progress and of what was left out.

    Returns:
        The standings, one object for each of the conditions.

    Raises:
        UsageError: the request cannot be carried out; nothing was written.
        BohbNasError: runs failed; those that did not are stored.
    """
    stored, asked = _stored(request, say) if request.report else _run(request, say)
    runs = {key: stored[key] for key in asked}
    best = best_known(runs.values(), beside=stored.values())
    compared = comparisons(runs, best=best, methods=list(dict.fromkeys(key.method for key in runs)))
    found = [standings(c, reference=request.reference if request.reference in c.methods else None) for c in compared]
    written = csv_files.write(found, request.out)
    if request.figures:
        from bohb_nas.simulation.figures import draw

        written += [path for c, one in zip(compared, found, strict=True) for path in draw(c, one, request.out)]
    say(f"{counted(len(written), 'file')} with tables and figures in {request.out}")
    return found


def _stored(request: Request, say: Say) -> tuple[dict[Key, Finished], list[Key]]:
    """The runs of all folders, and those that are asked for."""
    if request.options:
        raise UsageError(
            "--method-option says what to run, and --report runs nothing; "
            "name methods as its tables do, such as --method 'bohb[weighted=false]'"
        )
    _check_there(request.out, *request.results)
    stored = read_all((request.out, *request.results), say)
    asked = [key for key in stored if _asked(request, key)]
    if not asked:
        raise UsageError(f"no runs in {', '.join(map(str, (request.out, *request.results)))} fit what was asked for; leave filters out")
    choose_reference(sorted({key.method for key in asked}), request.reference)
    return stored, asked


def _check_there(*folders: Path) -> None:
    for folder in folders:
        if not folder.is_dir():
            raise UsageError(f"{folder}: there is no such folder; give one that `bohb-nas simulate` has written with --out")


def _asked(request: Request, key: Key) -> bool:
    problems = (load_suite(request.suite).problems if request.suite else ()) + request.problems
    c = key.conditions
    return (
        (not problems or any(key.problem == p or ("/" not in p and key.problem.startswith(f"{p}/")) for p in problems))
        and (not request.methods or any(key.method in (m, Path(m).stem) for m in request.methods))
        and (not request.workers or c.workers in request.workers)
        and (request.horizon is None or c.horizon == request.horizon)
        and (request.promote is None or c.promote == request.promote)
        and (request.overhead is None or c.overhead == (request.overhead == "measured"))
        and key.seed >= request.first_seed
        and (request.n_seeds is None or key.seed < request.first_seed + request.n_seeds)
    )


def _run(request: Request, say: Say) -> tuple[dict[Key, Finished], list[Key]]:
    """Runs what is missing; returns all stored runs, and those that were asked for."""
    wanted = _wanted(request)
    choose_reference(list(dict.fromkeys(case.entrant.label for case in wanted)), request.reference)
    check_folder("--out", request.out)
    _check_there(*request.results)
    results = Results(request.out)
    if not results.open():
        raise UsageError(
            f"another `bohb-nas simulate` writes in {request.out}; wait for it, or give another --out and merge with --results"
        )
    try:
        stored = read_all((request.out, *request.results), say)
        todo, changed = campaign.missing(wanted, stored, accept_changed=request.accept_changed_code)
        if changed:
            labels = ", ".join(sorted({case.entrant.label for case in changed}))
            say(f"{counted(len(changed), 'stored run')} of other code, done again: {labels}; --accept-changed-code reuses them")
        say(f"{len(wanted) - len(todo)} of {counted(len(wanted), 'run')} stored; {len(todo)} to do, {request.jobs} at a time")
        stored |= _done(campaign.run_all(todo, results, jobs=request.jobs), len(todo), say)
    finally:
        results.close()
    return stored, [case.key for case in wanted]


def _wanted(request: Request) -> list[campaign.Case]:
    suite = load_suite(request.suite) if request.suite else _DEFAULT
    if request.horizon is not None and not math.isfinite(request.horizon):
        raise UsageError(f"--horizon {request.horizon}: accepted is a positive number of mean full costs; 20 is usual")
    problems = tuple(dict.fromkeys(suite.problems + request.problems))
    if not problems:
        raise UsageError("no problem to search; give --problem (names: bohb-nas list problems) or --suite quick")
    if not request.methods:
        raise UsageError("no method to compare; give --method (names: bohb-nas list methods), or --report to read what is stored")
    taking_part: Sequence[Entrant] = entrants(request.methods, [setting(text) for text in request.options])
    conditions = [
        Conditions(
            workers=workers,
            promote=request.promote or "restart",
            overhead=request.overhead == "measured",
            horizon=request.horizon or suite.horizon,
        )
        for workers in dict.fromkeys(request.workers or suite.workers)
    ]
    seeds = range(request.first_seed, request.first_seed + (request.n_seeds or suite.n_seeds))
    return campaign.cases(taking_part, problems, seeds=seeds, conditions=conditions)


def _done(outcomes: Iterable[Finished | campaign.Failure], total: int, say: Say) -> dict[Key, Finished]:
    """What came of the runs, with a line of progress now and then.

    Raises:
        BohbNasError: some of them failed; the others are stored.
    """
    found: dict[Key, Finished] = {}
    failures: list[campaign.Failure] = []
    began = said = time.monotonic()
    for n, outcome in enumerate(outcomes, start=1):
        if isinstance(outcome, campaign.Failure):
            failures.append(outcome)
            key = outcome.case.key
            say(f"failed: {key.method} on {key.problem}, seed {key.seed}, W = {key.conditions.workers}: {outcome.message}")
        else:
            found[outcome.key] = outcome
        if (now := time.monotonic()) - said > _PROGRESS_S:
            said = now
            say(f"{n} of {counted(total, 'run')} done, about {(now - began) / n * (total - n):.0f} s left")
    if failures:
        raise BohbNasError(
            f"{len(failures)} of {counted(total, 'run')} failed; the others are stored. The first failure:\n{failures[0].trace}"
        )
    return found
