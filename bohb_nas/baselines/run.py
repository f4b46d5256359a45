"""Trains baselines beside a study's search: its worker, its data, its budget, its journal; a finished one is never trained again.

Nothing of the search runs meanwhile, and nothing of the search hears of them: their trials are of the origin `baseline`. A DIR without
a study becomes one of baselines alone.
"""

import asyncio
import hashlib
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bohb_nas.baselines import NETWORK, Baseline, find
from bohb_nas.baselines.tables import figures
from bohb_nas.engine import plan
from bohb_nas.engine.devices import Device, local_devices, named_device, own
from bohb_nas.engine.election import Seat, leading
from bohb_nas.engine.launch import check_data
from bohb_nas.engine.lead import take_over
from bohb_nas.engine.trainer import Trainer
from bohb_nas.errors import UsageError
from bohb_nas.files import dump_json
from bohb_nas.records import Budgets, Evaluation, Origin, Result, Status, Trial
from bohb_nas.store.journal import Event, Journal, State, fold
from bohb_nas.store.lines import sound_bytes
from bohb_nas.store.meta import ALONE, IMAGE_WORKERS, path_kept
from bohb_nas.store.notes import first_line
from bohb_nas.store.study_dir import StudyDir

_BUDGET_S = 400.0
"""In a new study: the cheapest of the published search."""
_NOT_TAKEN = frozenset({"policy_file", "schedule", "network", "search"})
"""Options of the study's worker that a baseline's recipe says itself."""

Say = Callable[[str], None]
Train = Callable[[Trial], Result]
"""Trains a trial, its result file written before it returns."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What was typed; None means "not said"."""

    dataset: str | None = None
    data_dir: Path | None = None
    skip_unreadable: bool = False
    budget: float | None = None
    n_seeds: int = 3
    names: tuple[str, ...] = ()
    device: str | None = None
    retry_failed: bool = False


def run(path: Path, request: Request, say: Say) -> dict[str, Any]:
    """Trains what is not finished yet, seed by seed, and returns the table: what `bohb-nas baselines DIR --json` prints.

    Raises:
        UsageError: what was asked cannot be done; nothing was written.
        StudyHeldError: a search is under way in the study.
        StartError: nothing can be trained here.
    """
    chosen, study = find(request.names), StudyDir(Path(path_kept(str(path.absolute()))))
    new = not study.exists()
    meta = _new(request) if new else _existing(study, request)
    budget = request.budget if request.budget is not None else meta["budgets"]["max"]
    rung = Budgets(**meta["budgets"]).rung_within(budget)
    trials = [trial_of(b, budget=budget, seed=seed, rung=rung) for seed in range(request.n_seeds) for b in chosen]
    if new:
        study.make()
    with leading(study, task="baselines", say=say) as seat:
        if not study.exists():
            study.write_meta(meta)
        size = sound_bytes(study.journal)
        state = fold(study.journal)
        due = [current(state, trial, retry_failed=request.retry_failed) for trial in trials]
        if any(t.trial_id not in state.results for t in due):
            if not new:  # else they have just been looked at
                skip_unreadable = request.skip_unreadable or meta.get("skip_unreadable", False)
                check_data(meta, skip_unreadable=skip_unreadable)
            _train(study, meta, state, due, device=request.device, seat=seat, size=size, say=say)
        elif meta["method"] == ALONE and state.trials.keys() <= state.results.keys() and not study.done.exists():
            study.finish(meta, time.time())  # who told the last result died before it could say so
    told = [attempt for trial in trials for attempt in attempts(state, trial)]
    dataset = meta["worker_options"]["dataset"]
    return figures(state, chosen, told, dataset=dataset, budget=budget)


def _new(request: Request) -> dict[str, Any]:
    budget = request.budget if request.budget is not None else _BUDGET_S
    asked = plan.Request(
        dataset=request.dataset,
        data_dir=request.data_dir,
        skip_unreadable=request.skip_unreadable,
        budget_min=budget,
        budget_max=budget,
    )
    meta = plan.plan(asked) | {"space": ALONE, "method": ALONE}
    meta["worker_options"] |= {"network": NETWORK}
    return meta | {"data_fingerprint": check_data(meta, skip_unreadable=request.skip_unreadable).fingerprint}


def _existing(study: StudyDir, request: Request) -> dict[str, Any]:
    study.check_access()
    meta = study.read_meta()
    if meta["worker"] not in IMAGE_WORKERS:
        raise UsageError(f"the study's worker is {meta['worker']}; baselines are trained by image_classifier: use another DIR")
    wanted = plan.plan(plan.Request(dataset=request.dataset, data_dir=request.data_dir), base=meta)["worker_options"]
    for name in ("dataset", "data_dir"):
        if wanted.get(name) != (stored := meta["worker_options"].get(name)):
            option = f"--{name.replace('_', '-')}"
            raise UsageError(f"{option} is {wanted[name]!r}, the study's is {stored!r}; leave {option} out, or use another DIR")
    return meta


def trial_of(baseline: Baseline, *, budget: float, seed: int, rung: int) -> Trial:
    """The trial of a baseline; its id changes with whatever is trained, so that an earlier result is never taken for another's."""
    digest = hashlib.sha256(dump_json([dict(sorted(baseline.config.items())), budget]).encode()).hexdigest()[:8]
    config_id = f"baseline-{baseline.name}-{digest}"
    return Trial(
        trial_id=f"{config_id}-{seed}",
        config_id=config_id,
        config=baseline.config,
        budget=budget,
        bracket=0,
        rung=rung,
        seed=seed,
        origin=Origin.BASELINE,
    )


def attempts(state: State, trial: Trial) -> list[Trial]:
    """A baseline's trial and, while the one before has failed, those that were asked in its place: an id is never asked twice."""
    found = [trial]
    while (again := _again(trial, len(found))).trial_id in state.trials:
        found.append(again)
    return found


def current(state: State, trial: Trial, *, retry_failed: bool) -> Trial:
    """The last attempt at a baseline's trial, or a new one where that has failed and is to be tried again."""
    found = attempts(state, trial)
    result = state.results.get(found[-1].trial_id)
    return _again(trial, len(found)) if retry_failed and result is not None and result.status is not Status.OK else found[-1]


def _again(trial: Trial, n: int) -> Trial:
    return replace(trial, trial_id=f"{trial.trial_id}-again-{n}")


def worker_options(meta: dict[str, Any]) -> dict[str, Any]:
    """The options of the study's worker for baselines: their own networks and recipes, judged on every held-out image."""
    taken = {name: value for name, value in meta["worker_options"].items() if name not in _NOT_TAKEN}
    return taken | {"network": NETWORK, "full_validation_from_s": 0.0}


def _train(
    study: StudyDir, meta: dict[str, Any], state: State, trials: Sequence[Trial], *, device: str | None, seat: Seat, size: int, say: Say
) -> None:
    place = named_device(device) if device is not None else local_devices(1)[0]
    with own(study, place.name):
        journal = take_over(study, state, seat, size=size, say=say)
        alone = meta["method"] == ALONE
        if alone:
            study.done.unlink(missing_ok=True)
        os.environ.update(place.environment)
        with _trainer(study, meta, place, say) as train:
            complete(study, journal, trials, train, say)
        if alone:
            study.finish(meta, time.time())


def complete(study: StudyDir, journal: Journal, trials: Sequence[Trial], train: Train, say: Say) -> None:
    """Asks, trains and tells every trial that is not told yet; one that has a result file is told without training."""
    state = journal.state
    for number, trial in enumerate(trials, start=1):
        if trial.trial_id in state.results:
            continue
        if trial.trial_id not in state.trials:
            journal.write(Event(term=state.term, time=time.time(), trial=trial, reason="hand-designed"))
        stored: Evaluation | None = study.read_result(state.trials[trial.trial_id])
        if stored is None:
            say(f"{number} of {len(trials)}: {trial.config_id}, seed {trial.seed}, {trial.budget:g} s")
        result = stored.result if stored is not None else train(state.trials[trial.trial_id])
        journal.write(Event(term=state.term, time=time.time(), result=result))
        say(f"  validation error {result.loss:.2%}" if result.status is Status.OK else f"  {result.status}: {first_line(result.message)}")
        study.drop_checkpoints(trial.trial_id)


@contextmanager
def _trainer(study: StudyDir, meta: dict[str, Any], device: Device, say: Say) -> Iterator[Train]:
    """The trainer that a worker program has: a resident child, the hard limit, result files before answers."""

    async def make() -> Trainer:
        return Trainer(study, meta | {"worker": "image_classifier"}, device=device, say=say, options=worker_options(meta))

    with asyncio.Runner() as runner:
        trainer = runner.run(make())

        async def train(trial: Trial) -> Result:
            return await trainer.train(trial)

        try:
            yield lambda trial: runner.run(train(trial))
        finally:
            runner.run(trainer.stop())
