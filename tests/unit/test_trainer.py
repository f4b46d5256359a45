"""What a trainer makes of crashes, of heartbeats that are not its own, and of disks that fail."""

import asyncio
import json
import os
import shutil
import signal
import tracemalloc
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import pytest
from study_fakes import planned

from bohb_nas import files, standstill
from bohb_nas.engine import heartbeat
from bohb_nas.engine import trainer as trainer_module
from bohb_nas.engine.devices import host, local_devices
from bohb_nas.engine.launch import create, new_space
from bohb_nas.engine.plan import Request, plan
from bohb_nas.engine.trainer import Trainer
from bohb_nas.engine.training_process import TrainingProcess
from bohb_nas.errors import StartError, StorageError, StudyError
from bohb_nas.records import Evaluation, Origin, Result, Status, Trial
from bohb_nas.store import handovers, stays
from bohb_nas.store.inputs import store_inputs
from bohb_nas.store.study_dir import StudyDir

CRASHES = """
def train(trial, workdir):
    (workdir / "began").touch()
    raise RuntimeError("what it had started is gone")
"""
TRIAL = Trial(trial_id="t00000", config_id="c00000", config={}, budget=1.0, bracket=0, rung=0, seed=0, origin=Origin.RANDOM)


def made(folder: Path, worker: str) -> StudyDir:
    """A study whose worker is this code."""
    (folder / "worker.py").write_text(worker)
    return planned(folder / "study", Request(space="toy", worker=str(folder / "worker.py")))


@pytest.fixture
def study(tmp_path: Path) -> StudyDir:
    return made(tmp_path, CRASHES)


def trained(study: StudyDir, *, leaves: bool) -> Result:
    async def play() -> Result:
        trainer = Trainer(study, study.read_meta(), device=local_devices(1)[0], say=print)
        await trainer.start()
        try:
            job = trainer.train(TRIAL)
            while not (study.trials / "t00000" / "0" / "began").exists():
                await asyncio.sleep(0.01)
            if leaves:
                await trainer.hand_over("asked to leave", grace_s=60.0)
            return await job
        finally:
            await trainer.stop()

    return asyncio.run(play())


def test_a_crash_is_the_trial_s(study: StudyDir) -> None:
    assert trained(study, leaves=False).status is Status.CRASHED
    assert study.result("t00000").exists()


def test_the_heart_beats_before_the_training_begins(study: StudyDir, monkeypatch: pytest.MonkeyPatch) -> None:
    """A training that takes this program down at once is known by it."""
    ask, there = TrainingProcess.ask, []

    async def asked(process: TrainingProcess, request: dict[str, Any], *, limit_s: float | None) -> dict[str, Any] | None:
        there.append(study.heartbeat("t00000").exists())
        return await ask(process, request, limit_s=limit_s)

    monkeypatch.setattr(TrainingProcess, "ask", asked)
    trained(study, leaves=False)
    assert there == [True]


def test_a_crash_when_the_program_is_to_leave_need_not_be_and_is_not_told(study: StudyDir) -> None:
    assert trained(study, leaves=True).status is Status.PREEMPTED
    assert not study.result("t00000").exists()
    assert handovers.was_left(study, "t00000"), "it is started elsewhere at once"


ENDS_SLOWLY = """
import os, time
def train(trial, workdir):
    os.closerange(3, 256)  # the pipe of the answers is among them
    time.sleep(0.6)
    os._exit(7)
"""


def test_the_exit_code_of_a_process_that_ends_slowly_is_waited_for(tmp_path: Path) -> None:
    (tmp_path / "slow.py").write_text(ENDS_SLOWLY)

    async def ask() -> str:
        meta = plan(Request(space="toy", worker=str(tmp_path / "slow.py")))
        process = await TrainingProcess.start(meta, {})
        try:
            answer = await process.ask({"trial": TRIAL.to_json(), "workdir": str(tmp_path), "earlier": []}, limit_s=None)
            assert answer is None
            return process.end_text
        finally:
            await process.end()

    assert asyncio.run(ask()) == "exit code 7"


SAYS_MUCH = """
import os
def train(trial, workdir):
    os.truncate(workdir / "log.txt", 2**27)
    print("the last words", flush=True)
    os._exit(7)
"""


def test_of_the_long_log_of_a_crash_no_more_is_read_than_its_end(tmp_path: Path) -> None:
    study = made(tmp_path, SAYS_MUCH)
    tracemalloc.start()
    result = play(study, lambda trainer: trainer.train(TRIAL))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (result.message or "").startswith("the training process ended with exit code 7\n")
    assert (result.message or "").endswith("the last words\n")
    assert len(study.attempts("t00000")) == 1, "only what was killed is tried once more"
    assert peak < 2**26


WAITS = """
import time
from bohb_nas import Result, Status
def train(trial, workdir):
    (workdir / "began").touch()
    while not (workdir / "go").exists():
        time.sleep(0.01)
    return Result(trial_id=trial.trial_id, status=Status.OK, loss=1.0, train_s=0.0)
"""
_T = TypeVar("_T")


@pytest.fixture
def waiting(tmp_path: Path) -> StudyDir:
    """A study whose worker waits for a file."""
    return made(tmp_path, WAITS)


def play(study: StudyDir, with_trainer: Callable[[Trainer], Awaitable[_T]], **told: object) -> _T:
    async def whole() -> _T:
        trainer = Trainer(study, {**study.read_meta(), **told}, device=local_devices(1)[0], say=print)
        await trainer.start()
        try:
            return await with_trainer(trainer)
        finally:
            await trainer.stop()

    return asyncio.run(whole())


async def until(condition: Callable[[], bool]) -> None:
    while not condition():
        await asyncio.sleep(0.01)


def test_the_heartbeat_of_a_dead_predecessor_is_replaced_and_another_s_is_left_alone(waiting: StudyDir) -> None:
    heartbeat = waiting.heartbeat("t00000")
    heartbeat.write_text(json.dumps({"trial_id": "t00000", "host": "node17", "device": "cpu0", "pid": 4, "since": 0.0, "attempt": 0}))

    async def steps(trainer: Trainer) -> None:
        job = trainer.train(TRIAL)
        await until((waiting.trials / "t00000" / "0" / "began").exists)
        note = json.loads(heartbeat.read_text())
        assert (note["host"], note["pid"]) != ("node17", 4)
        heartbeat.write_text(json.dumps({**note, "host": "node18"}))  # somebody took it for abandoned
        (waiting.trials / "t00000" / "0" / "go").touch()
        assert (await job).status is Status.OK

    play(waiting, steps)
    assert json.loads(heartbeat.read_text())["host"] == "node18"


def test_a_disk_that_fails_is_no_trial_s_fault(waiting: StudyDir) -> None:
    (waiting.trials / "t00000").write_text("no folder can be made here")

    async def steps(trainer: Trainer) -> None:
        with pytest.raises(StartError, match="t00000"):
            await trainer.train(TRIAL)
        assert "t00000" in trainer.unfit.result()

    play(waiting, steps)
    assert not waiting.result("t00000").exists()


def test_what_is_finished_outlives_a_stop_while_the_disk_refuses_it(waiting: StudyDir, monkeypatch: pytest.MonkeyPatch) -> None:
    refused = []
    write = StudyDir.write_result

    def full(study: StudyDir, evaluation: Evaluation) -> bool:
        refused.append(evaluation)
        if len(refused) == 1:
            raise StorageError("no space left")
        return write(study, evaluation)

    monkeypatch.setattr(StudyDir, "write_result", full)

    async def steps(trainer: Trainer) -> None:
        job = trainer.train(TRIAL)
        await until((waiting.trials / "t00000" / "0" / "began").exists)
        (waiting.trials / "t00000" / "0" / "go").touch()
        await until(lambda: len(refused) == 1)
        await trainer.stop()
        assert (await job).status is Status.OK

    play(waiting, steps)
    assert waiting.result("t00000").exists()


VERSION = """
from bohb_nas import Result, Status
def train(trial, workdir):
    return Result(trial_id=trial.trial_id, status=Status.OK, loss={}, train_s=0.0)
"""


def test_changed_files_that_were_accepted_are_what_is_trained_from_then_on(tmp_path: Path) -> None:
    """Between two trials the record's digests change, as `run --accept-changed-inputs` writes them; the child outlived that."""
    study = made(tmp_path, VERSION.format(0.25))

    async def steps(trainer: Trainer) -> list[float | None]:
        first = (await trainer.train(TRIAL)).loss
        (tmp_path / "worker.py").write_text(VERSION.format(0.75))
        second = (await trainer.train(replace(TRIAL, trial_id="t00001"))).loss
        meta = study.read_meta()
        study.write_meta(meta | {"inputs": store_inputs(study, meta)})
        return [first, second, (await trainer.train(replace(TRIAL, trial_id="t00002"))).loss]

    assert play(study, steps) == [0.25, 0.25, 0.75], "what is not accepted changes nothing under way"


def test_files_that_changed_under_way_are_named_with_all_ways_on(tmp_path: Path) -> None:
    """Noticed when a child is started: the first, or another after a crash."""
    study = made(tmp_path, CRASHES)
    (tmp_path / "worker.py").write_text(VERSION.format(0.75))
    with pytest.raises(StartError) as refused:
        play(study, lambda trainer: trainer.train(TRIAL))
    assert str(refused.value) == (
        f"files of this study have changed while it ran: {tmp_path / 'worker.py'} (changed); restore them, a copy of each is in "
        f"{study.inputs}, or stop the run and resume it with --accept-changed-inputs"
    )
    (tmp_path / "worker.py").unlink()
    with pytest.raises(StartError, match=rf"worker\.py \(gone\); .*\n  cp {study.inputs}/worker-worker\.py {tmp_path}/worker\.py$"):
        play(study, lambda trainer: trainer.train(TRIAL))


WHO = """
import os
from bohb_nas import Result, Status
def train(trial, workdir):
    return Result(trial_id=trial.trial_id, status=Status.OK, loss=float(os.getpid()), train_s=0.0)
"""


def test_a_limit_that_was_changed_meanwhile_holds_from_the_next_trial_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As `run --hard-limit` writes it into the record of a study whose workers were left standing: a command is told it."""
    study, limits, ask = made(tmp_path, WHO), [], TrainingProcess.ask

    async def asked(child: TrainingProcess, request: dict[str, Any], *, limit_s: float | None) -> Any:
        limits.append(limit_s)
        return await ask(child, request, limit_s=limit_s)

    monkeypatch.setattr(TrainingProcess, "ask", asked)

    async def steps(trainer: Trainer) -> list[float | None]:
        first = (await trainer.train(TRIAL)).loss
        study.write_meta(study.read_meta() | {"hard_limit_s": 50.0})
        return [first, (await trainer.train(replace(TRIAL, trial_id="t00001"))).loss]

    first, second = play(study, steps)
    assert first != second
    assert limits == [301.5, 50.0], "1.5 x 1 s + 300 s, then what was asked for"


GIVEN = """
from bohb_nas import Result, Status
def make(loss=0.0):
    class Worker:
        def train(self, trial, workdir):
            return Result(trial_id=trial.trial_id, status=Status.OK, loss=loss, train_s=0.0)
    return Worker()
"""


def test_a_trainer_may_have_other_options_than_the_study(tmp_path: Path) -> None:
    """As baselines have, which are trained beside a search."""
    study = made(tmp_path, GIVEN)

    async def steps() -> float | None:
        trainer = Trainer(study, study.read_meta(), device=local_devices(1)[0], say=print, options={"loss": 7.0})
        try:
            return (await trainer.train(TRIAL)).loss
        finally:
            await trainer.stop()

    assert asyncio.run(steps()) == 7.0


def test_the_result_of_a_study_that_is_gone_is_dropped_and_what_refused_it_said_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = made(tmp_path, WAITS.replace('workdir / "go"', f"workdir.__class__({str(tmp_path / 'go')!r})"))
    monkeypatch.setattr(files, "AGAIN_S", 0.01)
    monkeypatch.setattr(heartbeat, "_BEAT_S", 0.01)
    moved, asked, said = study.path.with_name("renamed"), list[int](), list[str]()

    def gone() -> bool:
        asked.append(len(said))
        return len(asked) > 5

    async def steps(trainer: Trainer) -> None:
        trainer._say, trainer._gone = said.append, gone
        job = trainer.train(TRIAL)
        await until((study.trials / "t00000" / "0" / "began").exists)
        study.path.rename(moved)
        await until(lambda: bool(said))
        assert not asked, "it is still trained"
        await asyncio.sleep(0.1)
        (tmp_path / "go").touch()
        with pytest.raises(StartError, match="gone, renamed or deleted"):
            await job
        assert "gone, renamed or deleted" in trainer.unfit.result()

    play(study, steps)
    assert [text.split(":")[0] for text in said] == ["heartbeat of t00000", f"cannot write {study.result('t00000')}"]
    assert len(asked) == 6
    assert not study.path.exists()


def replace_study(study: StudyDir) -> None:
    """Puts another study in the place of one, as who deletes it and starts over does."""
    meta = study.read_meta()
    shutil.rmtree(study.path)
    study.make()
    create(study, meta, new_space(meta))


def test_nothing_is_trained_for_another_study_in_the_place_of_the_trainer_s_own(waiting: StudyDir) -> None:
    async def steps(trainer: Trainer) -> None:
        replace_study(waiting)
        with pytest.raises(StartError, match="another study"):
            await trainer.train(TRIAL)

    play(waiting, steps)
    assert not list(waiting.trials.iterdir())
    assert not waiting.result("t00000").exists()


def test_what_was_trained_for_a_study_does_not_reach_another_in_its_place(waiting: StudyDir, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Trainer._store

    async def late(trainer: Trainer, evaluation: Evaluation) -> Result:
        replace_study(waiting)  # between the end of the training and the writing of its result
        return await store(trainer, evaluation)

    monkeypatch.setattr(Trainer, "_store", late)

    async def steps(trainer: Trainer) -> None:
        job = trainer.train(TRIAL)
        await until((waiting.trials / "t00000" / "0" / "began").exists)
        (waiting.trials / "t00000" / "0" / "go").touch()
        with pytest.raises(StartError, match="another study"):
            await job

    play(waiting, steps)
    assert not waiting.result("t00000").exists()


def test_a_study_that_is_away_for_a_while_is_no_other(waiting: StudyDir) -> None:
    meta = waiting.read_meta()
    waiting.path.rename(waiting.path.with_name("away"))
    waiting.check_same(meta)
    waiting.path.with_name("away").rename(waiting.path)
    waiting.check_same(meta)
    replace_study(waiting)
    with pytest.raises(StudyError, match="another study"):
        waiting.check_same(meta)


def test_seconds_in_which_all_of_a_job_stood_still_do_not_count_towards_a_limit(waiting: StudyDir, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(standstill, "now", lambda: 7.0)
    monkeypatch.setattr(standstill, "stood_s", iter([5.0, 35.0]).__next__)
    folder = waiting.trials / "t00000" / "0"

    async def steps(trainer: Trainer) -> Result:
        job = trainer.train(TRIAL)
        await until((folder / "began").exists)
        await asyncio.wait({job}, timeout=0.7)
        (folder / "go").touch()
        return await job

    waiting.write_meta(waiting.read_meta() | {"hard_limit_s": 0.3})
    result = play(waiting, steps)
    assert result.status is Status.OK
    assert result.details["engine"]["stood_s"] == 30.0


def test_a_number_that_another_machine_took_for_its_attempt_is_passed_over(study: StudyDir, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(StudyDir, "attempts", lambda study, trial_id: [])  # as a file server shows it that is late
    assert [study.new_attempt("t00000").name for _ in range(3)] == ["0", "1", "2"]


LEAVES = """
import os
import time
from bohb_nas import Result, Status, leaving
hands_over = True
def train(trial, workdir):
    (workdir / "began").write_text(str(os.getpid()))
    if (workdir / "interrupted").exists():
        return Result(trial_id=trial.trial_id, status=Status.OK, loss=1.0, train_s=0.0)
    while not leaving.asked():
        time.sleep(0.01)
    (workdir / "handover").mkdir()
    (workdir / "handover" / "state").touch()
    return Result(trial_id=trial.trial_id, status=Status.PREEMPTED, loss=None, train_s=0.0)
"""


def test_a_trial_whose_process_alone_was_asked_to_leave_goes_on_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody asked the worker program, which stays: told as left, the trial would never come back to it."""
    monkeypatch.setattr(trainer_module, "_LATE_S", 0.0)
    study = made(tmp_path, LEAVES)

    async def steps(trainer: Trainer) -> None:
        job = trainer.train(TRIAL)
        began = study.trials / "t00000" / "0" / "began"
        await until(lambda: began.exists() and began.read_text() != "")
        os.kill(int(began.read_text()), signal.SIGUSR1)
        assert (await job).status is Status.OK

    play(study, steps)
    assert [a.name for a in study.attempts("t00000")] == ["0", "1"], "the second went on from what the first had left"
    assert not handovers.left(study.attempts("t00000")[0]).exists()


class Played:
    """A training process that is played: it answers in turn with a result of this status, dies of a SIGKILL (None), or raises.

    Args:
        answers: its answers.
        spoilt: whether it says that it can train nothing more.
        of: the trial whose results they are, if not the one that it was asked.
        meanwhile: what happens while it trains.
    """

    hands_over, end_text = False, "signal SIGKILL"

    def __init__(
        self,
        *answers: Status | Exception | None,
        spoilt: bool = False,
        of: str | None = None,
        meanwhile: Callable[[], Awaitable[object]] | None = None,
    ) -> None:
        self._answers, self._spoilt, self._of, self._meanwhile = list(answers), spoilt, of, meanwhile
        self.living, self.killed = True, False
        self.asked: list[dict[str, Any]] = []

    async def ask(self, request: dict[str, Any], *, limit_s: float | None) -> dict[str, Any] | None:
        self.asked.append(request)
        if self._meanwhile is not None:
            await self._meanwhile()
        answer = self._answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        if answer is None:
            self.living, self.killed = False, True
            return None
        loss = 0.5 if answer is Status.OK else None
        result = Result(trial_id=self._of or request["trial"]["trial_id"], status=answer, loss=loss, train_s=1.0)
        return {"result": result.to_json(), "spoilt": self._spoilt}

    def ask_to_leave(self) -> bool:
        return False

    async def end(self) -> None:
        self.living = False


Starts = Callable[..., None]


@pytest.fixture
def starts(monkeypatch: pytest.MonkeyPatch) -> Starts:
    """Puts played processes in the place of those that are started, one after the other."""

    def put(*children: Played) -> None:
        left = iter(children)

        async def start(meta: object, options: object) -> Played:
            return next(left)

        monkeypatch.setattr(TrainingProcess, "start", start)
        monkeypatch.setattr(trainer_module, "_LATE_S", 0.0)

    return put


def train(study: StudyDir, *names: str) -> list[Result]:
    """The results of trials that are trained one after the other."""

    async def steps(trainer: Trainer) -> list[Result]:
        return [await trainer.train(replace(TRIAL, trial_id=name)) for name in names]

    return play(study, steps)


@pytest.mark.parametrize(
    ("children", "status", "n"),
    [
        ((Played(None), Played(Status.OK)), Status.OK, 2),
        ((Played(None), Played(None), Played(Status.OK)), Status.CRASHED, 2),
        ((Played(None), Played(Status.PREEMPTED, None), Played(Status.OK)), Status.CRASHED, 3),
    ],
)
def test_a_trial_whose_process_is_killed_is_tried_once_more_and_not_for_ever(
    study: StudyDir, starts: Starts, children: tuple[Played, ...], status: Status, n: int
) -> None:
    starts(*children)
    assert [result.status for result in train(study, "t0")] == [status]
    assert len(study.attempts("t0")) == n


def test_a_process_that_was_killed_says_nothing_of_the_next_trial(study: StudyDir, starts: Starts) -> None:
    starts(Played(None), Played(None), Played(Status.OK, Status.OK))
    assert [result.status for result in train(study, "t0", "t1")] == [Status.CRASHED, Status.OK]
    assert [len(study.attempts(name)) for name in ("t0", "t1")] == [2, 1]


@pytest.mark.parametrize(
    ("child", "status"),
    [
        (Played(Status.CRASHED, spoilt=True), Status.CRASHED),
        (Played(TimeoutError()), Status.TIMED_OUT),
        (Played(ValueError("no JSON")), Status.CRASHED),
    ],
)
def test_a_process_that_cannot_be_trusted_any_more_gets_no_other_trial(
    study: StudyDir, starts: Starts, child: Played, status: Status
) -> None:
    starts(child, Played(Status.OK))
    assert [result.status for result in train(study, "t0", "t1")] == [status, Status.OK]
    assert len(child.asked) == 1


def test_an_answer_of_another_trial_is_nobody_s_result(study: StudyDir, starts: Starts) -> None:
    mixed = Played(Status.OK, Status.OK, of="t7")
    starts(mixed, Played(Status.OK))
    first, second = train(study, "t0", "t1")
    assert (first.trial_id, first.status) == ("t0", Status.CRASHED)
    assert first.message == "the training process answered for trial t7; a program that a worker forks has to end by itself"
    assert (second.trial_id, second.status) == ("t1", Status.OK)
    assert len(mixed.asked) == 1, "what else is in its pipe is of no trial"


def test_a_process_is_told_of_earlier_attempts_and_not_of_its_own(study: StudyDir, starts: Starts) -> None:
    child = Played(Status.OK)
    starts(child)
    earlier = [str(study.new_attempt("t0")) for _ in range(2)]
    train(study, "t0")
    assert (child.asked[0]["earlier"], child.asked[0]["workdir"]) == (earlier, str(study.trials / "t0" / "2"))


@pytest.mark.parametrize(
    ("status", "continues", "new_s"),
    [(Status.OK, True, 0.75), (Status.OK, False, 1.0), (Status.DIVERGED, True, 0.75), (Status.CRASHED, True, 1.0)],
)
def test_seconds_behind_the_checkpoint_are_not_the_trial_s_own(
    study: StudyDir, starts: Starts, status: Status, continues: bool, new_s: float
) -> None:
    """A played training says 1 s: with those behind the checkpoint where it ends, and of itself where it fails."""
    study.write_result(Evaluation(trial=TRIAL, result=Result(trial_id="t00000", status=Status.OK, loss=1.0, train_s=0.25)))
    (study.new_attempt("t00000") / "checkpoint").mkdir()
    starts(Played(status))

    async def steps(trainer: Trainer) -> Result:
        return await trainer.train(replace(TRIAL, trial_id="t1", resume_from="t00000" if continues else None))

    result = play(study, steps)
    assert stays.new_s(result) == new_s
    stay = stays.stay(result)
    assert stay is not None
    assert stay.trained_s == new_s
    assert stays.new_s(replace(result, metrics={"new_s": 0.5})) == 0.5, "who says it himself knows best"
    assert stays.new_s(replace(result, train_s=0.0)) == 0.0


def test_what_has_a_result_is_not_trained_again(study: StudyDir, starts: Starts) -> None:
    starts(Played())
    result = Result(trial_id="t00000", status=Status.OK, loss=0.25, train_s=1.0)
    study.write_result(Evaluation(trial=TRIAL, result=result))
    assert train(study, "t00000") == [result]
    assert study.attempts("t00000") == []


def test_who_asks_for_what_is_in_training_joins_it(study: StudyDir, starts: Starts) -> None:
    """As the next master does, while the answer to the last one is still to come."""
    starts(Played(Status.OK))

    async def steps(trainer: Trainer) -> None:
        first = trainer.train(TRIAL)
        assert trainer.train(TRIAL) is first
        assert trainer.busy
        told = await first
        assert await trainer.train(TRIAL) == told
        assert not trainer.busy

    play(study, steps)
    assert len(study.attempts("t00000")) == 1


def test_where_a_result_stands_by_then_it_is_that_which_counts(study: StudyDir, starts: Starts) -> None:
    """Somebody took this worker for dead and trained the trial as well."""
    other = Result(trial_id="t00000", status=Status.OK, loss=0.25, train_s=2.0)

    async def overtaken() -> None:
        study.write_result(Evaluation(trial=TRIAL, result=other))

    starts(Played(Status.OK, meanwhile=overtaken))
    assert train(study, "t00000") == [other]


def test_who_is_to_leave_begins_nothing(study: StudyDir, starts: Starts) -> None:
    starts(Played())

    async def steps(trainer: Trainer) -> Result:
        await trainer.hand_over("its time is over", grace_s=0.0)
        return await trainer.train(TRIAL)

    result = play(study, steps)
    assert (result.status, result.message) == (Status.PREEMPTED, "its time is over")
    assert study.attempts("t00000") == []


def test_what_interrupted_attempts_left_goes_when_the_trial_is_finished(study: StudyDir, starts: Starts) -> None:
    starts(Played(Status.OK))
    left = study.new_attempt("t0") / "handover"
    left.mkdir()
    (left / "weights").write_text("gigabytes")
    train(study, "t0")
    assert not left.exists()


def test_what_another_trial_of_the_same_name_left_is_not_handed_over(study: StudyDir, starts: Starts) -> None:
    """A journal that was restored from a backup gives names to trials that others had."""
    starts(Played(Status.OK), Played(Status.OK), Played(Status.OK))
    for trial in (TRIAL, replace(TRIAL, config={"x": 1}), TRIAL):
        play(study, lambda trainer, trial=trial: trainer.train(trial))  # type: ignore[misc]
        study.result("t00000").unlink()
        (study.attempts("t00000")[0] / "handover").mkdir(exist_ok=True)
        (study.attempts("t00000")[0] / "handover" / "state").touch()
    assert [(attempt / "interrupted").is_symlink() for attempt in study.attempts("t00000")] == [False, False, True]


def test_nothing_is_trained_with_files_that_have_changed(study: StudyDir, tmp_path: Path, starts: Starts) -> None:
    starts(Played(None), Played(Status.OK))

    async def steps(trainer: Trainer) -> None:
        (tmp_path / "worker.py").write_text("# another program")
        with pytest.raises(StartError, match=r"worker.py \(changed\)"):
            await trainer.train(TRIAL)

    play(study, steps)
    assert not study.result("t00000").exists()


def test_a_trial_that_is_stopped_while_the_program_leaves_was_left_in_good_order(study: StudyDir, starts: Starts) -> None:
    """Else its worker counts as dead, and after three such the trial as crashed."""
    child = Played(meanwhile=asyncio.Event().wait)
    starts(child)

    async def steps(trainer: Trainer) -> None:
        trainer.train(TRIAL)
        await until(lambda: len(child.asked) == 1)
        await trainer.hand_over("asked to leave by SIGTERM", grace_s=0.0)
        await trainer.stop()

    play(study, steps)
    assert handovers.was_left(study, "t00000")
    assert not study.result("t00000").exists()


def test_a_crash_right_before_the_signal_to_leave_is_not_told(study: StudyDir, starts: Starts, monkeypatch: pytest.MonkeyPatch) -> None:
    """A scheduler's signal reaches what the trial had started before it reaches this program."""
    starts(Played(Status.CRASHED))
    monkeypatch.setattr(trainer_module, "_LATE_S", 30.0)

    async def steps(trainer: Trainer) -> Status:
        training = trainer.train(TRIAL)
        await asyncio.sleep(0.1)
        await trainer.hand_over("asked to leave by SIGTERM", grace_s=0.0)
        return (await training).status

    assert play(study, steps) is Status.PREEMPTED
    assert not study.result("t00000").exists()


def test_what_ends_well_while_the_program_is_to_leave_is_told(study: StudyDir, starts: Starts) -> None:
    async def steps(trainer: Trainer) -> Status:
        async def leave() -> None:
            await trainer.hand_over("asked to leave by SIGUSR1", grace_s=0.0)

        await trainer.stop()
        starts(Played(Status.OK, meanwhile=leave))
        return (await trainer.train(TRIAL)).status

    starts(Played())
    assert play(study, steps) is Status.OK
    assert study.result("t00000").exists()


def test_a_record_that_cannot_be_read_for_a_while_ends_no_worker(study: StudyDir, starts: Starts) -> None:
    starts(Played(Status.OK, Status.OK))

    async def steps(trainer: Trainer) -> list[Status]:
        first = (await trainer.train(TRIAL)).status
        study.study_json.rename(study.path / "away")
        return [first, (await trainer.train(replace(TRIAL, trial_id="t1"))).status]

    assert play(study, steps) == [Status.OK, Status.OK]


def test_the_heart_stands_still_after_the_training(study: StudyDir, starts: Starts, monkeypatch: pytest.MonkeyPatch) -> None:
    """A master takes what is left of one for that of a worker that was killed."""
    starts(Played(Status.OK))
    monkeypatch.setattr(heartbeat, "_BEAT_S", 0.0)

    async def steps(trainer: Trainer) -> bool:
        await trainer.train(TRIAL)
        for _ in range(10):
            await asyncio.sleep(0)
        return study.heartbeat("t00000").exists()

    assert not play(study, steps)


def test_a_heartbeat_that_somebody_deleted_is_said_anew(study: StudyDir, starts: Starts, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without it a master gives the trial to a second worker."""
    path = study.heartbeat("t0")

    async def deleted() -> None:
        await until(path.exists)
        path.unlink()
        await until(path.exists)

    starts(Played(Status.OK, meanwhile=deleted))
    monkeypatch.setattr(heartbeat, "_BEAT_S", 0.01)
    assert [result.status for result in train(study, "t0")] == [Status.OK]


def test_what_is_finished_outlives_a_handing_over_while_the_disk_refuses_it(
    study: StudyDir, starts: Starts, monkeypatch: pytest.MonkeyPatch
) -> None:
    starts(Played(Status.OK))
    store, finished, has_space = Trainer._store, asyncio.Event(), asyncio.Event()

    async def late(trainer: Trainer, evaluation: Evaluation) -> Result:
        finished.set()
        await has_space.wait()
        return await store(trainer, evaluation)

    monkeypatch.setattr(Trainer, "_store", late)

    async def steps(trainer: Trainer) -> None:
        job = trainer.train(TRIAL)
        await finished.wait()
        assert not await trainer.hand_over("asked to leave", grace_s=0.05)
        has_space.set()
        assert await trainer.hand_over("asked to leave", grace_s=60.0), "it is waited for"
        assert (await job).status is Status.OK

    play(study, steps)
    assert study.result("t00000").exists()


def test_a_result_says_where_and_when_it_was_trained_and_how_long_nothing_was(study: StudyDir, starts: Starts) -> None:
    starts(Played(None), Played(Status.OK, Status.OK))
    device = local_devices(1)[0]
    first, second = (result.details["engine"] for result in train(study, "t0", "t1"))
    assert {name: first[name] for name in ("host", "device", "model")} == {"host": host(), "device": device.name, "model": device.model}
    assert (first["attempt"], second["attempt"]) == (1, 0)
    assert first["idle_s"] is None, "before its first trial a worker starts, and is not idle"
    assert first["began"] <= first["ended"] <= second["began"] <= second["ended"]
    assert 0.0 <= second["idle_s"] <= second["began"] - first["ended"]
    assert (first["stood_s"], second["stood_s"]) == (0.0, 0.0)


class Refuses(Played):
    """A training process whose disk or data are gone."""

    async def ask(self, request: dict[str, Any], *, limit_s: float | None) -> dict[str, Any] | None:
        return {"error": "the data set is gone"}


def test_a_process_that_can_train_nothing_makes_its_worker_unfit_and_no_result(study: StudyDir, starts: Starts) -> None:
    starts(Refuses())

    async def steps(trainer: Trainer) -> None:
        with pytest.raises(StartError, match="the data set is gone"):
            await trainer.train(TRIAL)
        assert trainer.unfit.result() == "the data set is gone"

    play(study, steps)
    assert not study.result("t00000").exists()


def test_what_is_ended_at_its_limit_says_the_limit_and_how_long_it_took(
    study: StudyDir, starts: Starts, monkeypatch: pytest.MonkeyPatch
) -> None:
    starts(Played(TimeoutError()))
    monkeypatch.setattr(standstill, "now", iter([100.0, 402.5]).__next__)
    (result,) = train(study, "t0")
    assert result.train_s == 302.5
    assert result.message == "killed after 301.5 s, the hard limit of a budget of 1", "1.5 x 1 s and 300 s for all else"
