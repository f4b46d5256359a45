"""Studies of the toy kind that are led in the process of a test, as `run` leads them."""

from in_process import InProcessEngine, driven

from bohb_nas import make_optimizer
from bohb_nas.engine import beforehand, launch
from bohb_nas.engine.drive import StopRule
from bohb_nas.engine.lead import take_over
from bohb_nas.engine.plan import Request
from bohb_nas.engine.replaying import replay
from bohb_nas.locks import Lock
from bohb_nas.records import Worker
from bohb_nas.store.frozen import recall
from bohb_nas.store.journal import State, fold
from bohb_nas.store.lines import sound_bytes
from bohb_nas.store.study_dir import StudyDir
from bohb_nas.workers.toy import ToyWorker


def drive(study: StudyDir, *, n_trials: int, worker: Worker | None = None) -> tuple[bool, State]:
    """Leads a study as `run` does, with the toy worker in this process."""
    meta, space = launch.reopen(study, Request(trials=n_trials))
    parts = launch.build(meta, space)
    known = recall(study, meta.get("frozen") or {})
    optimizer = make_optimizer(
        meta["method"], space=space, budgets=parts.budgets, seed=meta["seed"], options=parts.method_options, knowledge=known
    )
    size = sound_bytes(study.journal)
    state = fold(study.journal)
    beforehand.check_told(known, state)
    replay(optimizer, state)
    launch.keep(study, meta)
    journal = take_over(study, state, Lock(study.master_lock), size=size, say=print)
    engine = InProcessEngine(study, worker or ToyWorker(seconds_per_budget=0.0))
    finished = driven(study, journal, optimizer, engine, budgets=parts.budgets, stop=StopRule(trials=n_trials), knowledge=known)
    return finished, state
