"""Ten thousand damaged studies: whoever reads one succeeds or says what is wrong, and nothing hangs, grows or leaves a traceback."""

import json
import random
import resource
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import pytest
from click.testing import CliRunner
from mutations import MUTATIONS, remove, replace_file
from toy_studies import drive

from bohb_nas import make_optimizer
from bohb_nas.cli import cli
from bohb_nas.engine import beforehand, launch
from bohb_nas.engine.cluster import published
from bohb_nas.engine.lead import last_alive
from bohb_nas.engine.plan import Request, plan
from bohb_nas.engine.replaying import replay
from bohb_nas.errors import BohbNasError
from bohb_nas.knowledge import Belief, Constraint, Knowledge
from bohb_nas.locks import Lock
from bohb_nas.report.status import best, status
from bohb_nas.store.following import Follower
from bohb_nas.store.frozen import recall
from bohb_nas.store.journal import Event, Journal, fold
from bohb_nas.store.lines import repair
from bohb_nas.store.study_dir import StudyDir

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
N_MUTATIONS = 10_000
N_TRIALS = 14
KNOWN = Knowledge(
    initial=({"lr": 0.02, "width": 5, "optimizer": "adam"},),
    prior={"width": Belief(center=8, confidence=0.5)},
    constraints=(Constraint.parse("floor<=0.9"),),
)


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Breaks off what hangs."""

    def expired(number: int, frame: FrameType | None) -> None:
        raise TimeoutError(f"not done after {seconds} s")

    earlier = signal.signal(signal.SIGALRM, expired)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, earlier)


def made(path: Path, *, finished: bool) -> StudyDir:
    """A study of the toy kind at its end, or with two trials in training."""
    study = StudyDir(path)
    said = Request(space="toy", worker="toy", budget_min=1, budget_max=9, trials=N_TRIALS, constraints=("floor<=0.9",))
    meta = plan(said)
    study.make()
    launch.create(study, meta, launch.new_space(meta), KNOWN)
    drive(study, n_trials=N_TRIALS)
    if finished:
        study.done.write_text(json.dumps({"time": 1.0, "stop": meta["stop"]}) + "\n")
    else:
        lines = study.journal.read_text().splitlines(keepends=True)
        study.journal.write_text("".join(line for line in lines if '"tell"' not in line or '"t00013"' not in line))
        study.result("t00013").unlink()
        beat = {"trial_id": "t00013", "host": "elsewhere", "device": "cpu0", "pid": 4321, "since": 1.0, "attempt": 0}
        study.heartbeat("t00013").write_text(json.dumps(beat) + "\n")
        study.scheduler_json.write_text(json.dumps({"address": "tls://127.0.0.1:1", "term": 1, "pid": 4321, "host": "elsewhere"}) + "\n")
    study.worker_lock("elsewhere", "cpu0").write_text(
        json.dumps({"host": "elsewhere", "device": "cpu0", "pid": 4321, "since": 1.0, "stand": True})
    )
    return study


def resumed(study: StudyDir) -> None:
    """What `run` does with an existing study until it would start a scheduler."""
    meta, space = launch.reopen(study, Request())
    parts = launch.build(meta, space)
    known = recall(study, meta.get("frozen") or {})
    optimizer = make_optimizer(
        meta["method"], space=space, budgets=parts.budgets, seed=meta["seed"], options=parts.method_options, knowledge=known
    )
    state = fold(study.journal)
    beforehand.check_told(known, state)
    replay(optimizer, state)
    launch.keep(study, meta)
    repair(study.journal)
    last_alive(study, state.term)
    for trial in state.pending:
        found = study.read_result(trial, say=lambda text: None)
        if found is not None:
            Journal(study.journal, state).write(Event(term=state.term, time=2.0, result=found.result))
            optimizer.tell(found.result)
    optimizer.ask()


def looked_at(study: StudyDir) -> None:
    """What `status`, `best` and whoever watches do."""
    json.dumps(status(study)).encode()
    json.dumps(best(study, fold(study.journal))).encode()
    Follower(study.journal).look()
    published(study.scheduler_json)


def shown(study: StudyDir) -> None:
    """The same through the command line, as a person sees it."""
    for command in (["status", str(study.path)], ["best", str(study.path)]):
        told = CliRunner().invoke(cli, command)
        if told.exception is not None and not isinstance(told.exception, SystemExit):
            raise told.exception
        assert "Traceback" not in told.output


def locked(study: StudyDir) -> None:
    """What a worker does at its device's lock, and a master at its own."""
    for path in (study.worker_lock("elsewhere", "cpu0"), study.master_lock):
        with Lock(path) as lock:
            lock.acquire("{}")


class Fuzz:
    """Damages one file of a study at a time, and puts the study back."""

    def __init__(self, study: StudyDir, elsewhere: Path) -> None:
        self.study, self.elsewhere = study, elsewhere
        self.whole = {p: p.read_bytes() for p in sorted(study.path.rglob("*")) if p.is_file() and "tls" not in p.parts}
        self.times = {p: p.stat().st_mtime_ns for p in self.whole}
        self.folders = {p for p in study.path.iterdir() if p.is_dir()}
        pending = [study.result("t00013")] if not study.done.exists() else []
        by_kind = {
            study.journal: 8,
            study.study_json: 4,
            study.space_json: 2,
            study.knowledge_json: 1,
            study.result("t00003"): 1,
            **dict.fromkeys(pending, 6),
            study.scheduler_json: 1,
            study.heartbeat("t00013"): 2,
            study.worker_lock("elsewhere", "cpu0"): 1,
            study.done: 1,
        }
        self.of_resume = {study.study_json, study.space_json, study.knowledge_json, *pending}
        self.targets, self.weights = list(by_kind), list(by_kind.values())

    def original(self, target: Path) -> bytes:
        """What the file holds, or would."""
        if target in self.whole:
            return self.whole[target]
        return self.whole[self.study.result("t00003")].replace(b"t00003", b"t00013")

    def damage(self, rng: random.Random) -> tuple[Path, str]:
        """Damages a file; returns it, with how."""
        target = rng.choices(self.targets, self.weights)[0]
        if rng.random() < 0.08:
            return target, replace_file(rng, target, self.elsewhere)
        mutation = rng.choice(MUTATIONS)
        data = mutation(rng, self.original(target))
        if rng.random() < 0.2:
            data = rng.choice(MUTATIONS)(rng, data)
        target.write_bytes(data)
        return target, mutation.__name__

    def restore(self) -> None:
        """Puts everything back, whatever was added or set aside."""
        folders = [self.study.path, self.study.results, self.study.running, self.study.workers]
        present = {p for folder in folders for p in folder.iterdir() if p not in folders and p.parent in folders}
        for path in present - self.whole.keys() - self.folders:
            remove(path)
        for path, data in self.whole.items():
            if path.is_symlink() or not path.is_file():
                remove(path)
            elif self.times[path] == path.stat().st_mtime_ns:
                continue
            path.write_bytes(data)
            self.times[path] = path.stat().st_mtime_ns


def outcome(action: Callable[[StudyDir], None], study: StudyDir) -> str | None:
    """What is said of a damaged study; None where it can be read."""
    try:
        with within(20.0):
            action(study)
    except BohbNasError as e:
        return str(e)
    return None


def test_ten_thousand_damaged_studies_are_read_or_refused_with_a_reason(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_bytes(b"somebody's file\n" * 10)
    fuzzes = [Fuzz(made(tmp_path / name, finished=name == "finished"), elsewhere) for name in ("finished", "in progress")]
    before_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    refused, unnamed = 0, []
    for seed in range(N_MUTATIONS):
        rng = random.Random(seed)
        fuzz = fuzzes[seed % 2]
        target, how = fuzz.damage(rng)
        actions: list[Callable[[StudyDir], None]] = [looked_at]
        # a resume takes the time of five looks; what is read for it alone is always resumed
        actions += [resumed] if seed % 10 < 2 or target in fuzz.of_resume else []
        actions += [shown] if seed % 40 < 2 else []  # both studies
        actions += [locked] if target.suffix == ".lock" else []
        for action in actions:
            try:
                said = outcome(action, fuzz.study)
            except BaseException as e:
                raise AssertionError(f"seed {seed}: {how} of {target.name}, {action.__name__}: {type(e).__name__}: {str(e)[:300]}") from e
            if said is not None:
                refused += 1
                unnamed += [] if names(said, target, fuzz.study) else [(seed, how, target.name, said)]
        fuzz.restore()
    assert elsewhere.read_bytes() == b"somebody's file\n" * 10, "a link was written through"
    assert unnamed == []
    assert 0.1 * N_MUTATIONS < refused < 1.9 * N_MUTATIONS, "nothing was damaged, or everything is refused"
    grown_mib = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kib) / 2**10
    assert grown_mib < 1024, f"{grown_mib:.0f} MiB more"


def names(said: str, target: Path, study: StudyDir) -> bool:
    """Whether a refusal says where to look: at the file, the study, a trial, or what the record names that does not fit."""
    return len(said) < 20_000 and any(word in said for word in (target.name, str(study.path), "trial t", "method", "initial configuration"))
