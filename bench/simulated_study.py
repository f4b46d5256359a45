"""Writes what a simulated search did as a study, so that it is analyzed as a real one is."""

import heapq
import itertools
from collections.abc import Iterator
from pathlib import Path

from bohb_nas import make_optimizer
from bohb_nas.benchmarks import Problem
from bohb_nas.engine import launch
from bohb_nas.engine.plan import Request, plan
from bohb_nas.records import Idle, Origin, Result, Trial
from bohb_nas.space.encoding import Encoding
from bohb_nas.store.journal import Event
from bohb_nas.store.study_dir import StudyDir


def write(folder: Path, problem: Problem, *, method: str, n: int, seed: int, n_workers: int = 4, n_probes: int = 0) -> StudyDir:
    """A study of `n` evaluations of a search, after `n_probes` random configurations at every budget; times are virtual seconds.

    Args:
        folder: where to; it is made.
        problem: what is minimised.
        method: by which method.
        n: evaluations told, the probes apart.
        seed: of the search and of the problem's noise.
        n_workers: that train at once.
        n_probes: configurations.
    """
    study, budgets = StudyDir(folder), problem.budgets
    meta = plan(
        Request(space="toy", worker="toy", method=method, budget_min=budgets.min, budget_max=budgets.max, eta=budgets.eta, trials=n)
    )
    meta["space"], meta["budgets"], meta["seed"] = problem.name, budgets.to_json(), seed
    study.make()
    launch.create(study, meta | {"inputs": {}}, problem.space)
    with study.journal.open("w") as stream:
        for event in _events(problem, method=method, n=n, seed=seed, n_workers=n_workers, n_probes=n_probes):
            stream.write(event.to_line() + "\n")
    return study


def _events(problem: Problem, *, method: str, n: int, seed: int, n_workers: int, n_probes: int) -> Iterator[Event]:
    yield Event(term=1, time=0.0)
    for probe in _probes(problem, n_probes, seed):
        yield Event(term=1, time=0.0, trial=probe, reason="a probe")
        yield Event(term=1, time=0.0, result=_result(problem, probe, seed))
    optimizer = make_optimizer(method, space=problem.space, budgets=problem.budgets, seed=seed, n_workers=n_workers)
    now, told, order = 0.0, 0, itertools.count()
    running: list[tuple[float, int, Result]] = []
    while told < n:
        while len(running) < n_workers and (trial := optimizer.ask()) not in (Idle.WAIT, Idle.DONE):
            assert isinstance(trial, Trial)
            yield Event(term=1, time=now, trial=trial)
            result = _result(problem, trial, seed)
            heapq.heappush(running, (now + result.train_s, next(order), result))
        now, _, result = heapq.heappop(running)
        optimizer.tell(result)
        yield Event(term=1, time=now, result=result)
        told += 1


def _probes(problem: Problem, n: int, seed: int) -> Iterator[Trial]:
    encoding = Encoding(problem.space)
    for k in range(n):
        config = encoding.sample(10_000_000 + 10_000 * seed + k)
        for rung, budget in enumerate(problem.budgets.rungs):
            yield Trial(
                trial_id=f"probe-{k}-{rung}",
                config_id=f"probe-{k}",
                config=config,
                budget=budget,
                bracket=0,
                rung=rung,
                seed=k,
                origin=Origin.PROBE,
            )


def _result(problem: Problem, trial: Trial, seed: int) -> Result:
    seen = problem.evaluate(trial.config, trial.budget, seed=seed)
    return Result(trial_id=trial.trial_id, status=seen.status, loss=seen.loss, train_s=seen.cost, metrics={"new_s": seen.cost})
