"""The loop with everything in one process: a toy worker, an injected clock, an optimizer that is really used."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, cast

import pytest
import study_fakes
from in_process import InProcessEngine, driven

from bohb_nas import make_optimizer
from bohb_nas.engine import drive
from bohb_nas.engine.drive import Engine, StopRule, Wish
from bohb_nas.engine.replaying import replay
from bohb_nas.errors import BohbNasError, JournalError, KnowledgeError, SpaceError
from bohb_nas.knowledge import NOTHING, Constraint, Knowledge
from bohb_nas.methods.hyperband import Options
from bohb_nas.records import Budgets, Idle, Optimizer, Origin, Result, Status, Trial
from bohb_nas.search_spaces.toy import space
from bohb_nas.space.legality import complete
from bohb_nas.store.journal import Event, Journal, State, fold, read_events
from bohb_nas.store.study_dir import StudyDir

BUDGETS = Budgets(min=1, max=9)


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Virtual:
    """Answers with the budget as the loss and moves the clock; leaves a checkpoint as a real worker does."""

    def __init__(self, clock: Clock, failing: Callable[[Trial], bool] = lambda trial: False, *, beside_s: float = 0.0) -> None:
        self.clock = clock
        self.failing = failing
        self.beside_s = beside_s
        """Seconds of every trial that are not of its training."""
        self.seen: list[Trial] = []

    def train(self, trial: Trial, workdir: Path) -> Result:
        self.seen.append(trial)
        self.clock.now += trial.budget + self.beside_s
        if self.failing(trial):
            return Result(
                trial_id=trial.trial_id, status=Status.CRASHED, loss=None, train_s=0.0, message="planned\n\x1b[31mfor once\x1b[0m"
            )
        (workdir / "checkpoint").mkdir()
        loss = 1 / trial.budget + float(trial.config["lr"])
        metrics = {"weight": float(trial.config["width"])}
        # what a worker says of constraints is not its to say
        details = {"violates": ["all"], "device": "none"}
        return Result(trial_id=trial.trial_id, status=Status.OK, loss=loss, train_s=trial.budget, metrics=metrics, details=details)


def hyperband(n_brackets: int | None = 3, *, knowledge: Knowledge = NOTHING) -> Optimizer:
    options = Options(n_brackets=n_brackets)
    return make_optimizer("hyperband", space=space(), budgets=BUDGETS, seed=1, options=options, knowledge=knowledge)


def search(
    path: Path,
    *,
    optimizer: Optimizer | None = None,
    stop: StopRule | None = None,
    continued: bool = False,
    ours: bool = True,
    failing: Callable[[Trial], bool] = lambda trial: False,
    wish: Callable[[Journal], Wish] = lambda journal: Wish.GO_ON,
    knowledge: Knowledge = NOTHING,
    beside_s: float = 0.0,
) -> tuple[bool, Journal, Virtual]:
    study, clock = StudyDir(path), Clock()
    study.make()
    state = fold(study.journal)
    optimizer = optimizer or hyperband(knowledge=knowledge)
    replay(optimizer, state)
    journal, worker = Journal(study.journal, state), Virtual(clock, failing, beside_s=beside_s)
    journal.write(Event(term=state.term + 1, time=clock()))
    finished = driven(
        study,
        journal,
        optimizer,
        InProcessEngine(study, worker),
        budgets=BUDGETS,
        continued=continued,
        ours=ours,
        stop=stop or StopRule(),
        clock=clock,
        wish=lambda: wish(journal),
        knowledge=knowledge,
    )
    return finished, journal, worker


def test_three_brackets_are_trained_as_published(tmp_path: Path) -> None:
    finished, journal, worker = search(tmp_path / "study")
    assert finished
    by_bracket = {s: [sum(t.bracket == s and t.rung == k for t in worker.seen) for k in range(3)] for s in (2, 1, 0)}
    assert by_bracket == {2: [9, 3, 1], 1: [0, 3, 1], 0: [0, 0, 3]}
    assert len(journal.state.results) == 20


def test_every_ask_is_in_the_journal_before_its_training_and_says_why(tmp_path: Path) -> None:
    study = StudyDir(tmp_path / "study")
    _, journal, worker = search(study.path)
    assert [e.trial for e in journal.state.events if e.trial is not None] == worker.seen
    assert all(e.reason for e in journal.state.events if e.trial is not None)
    assert fold(study.journal) == journal.state


@pytest.mark.parametrize("interrupted_after", [1, 5, 9, 12, 16])
def test_a_stopped_search_goes_on_as_if_nothing_had_happened(tmp_path: Path, interrupted_after: int) -> None:
    _, whole, _ = search(tmp_path / "whole")

    def stop(journal: Journal) -> Wish:
        return Wish.STOP if len(journal.state.trials) >= interrupted_after else Wish.GO_ON

    finished, _, first = search(tmp_path / "parts", wish=stop)
    assert not finished
    finished, parts, second = search(tmp_path / "parts")
    assert finished
    assert list(parts.state.trials.values()) == list(whole.state.trials.values())
    assert dict(parts.state.results) == dict(whole.state.results)
    assert len(first.seen) + len(second.seen) == len(whole.state.trials)


def test_draining_lets_the_running_trial_end_and_asks_no_more(tmp_path: Path) -> None:
    def drain(journal: Journal) -> Wish:
        return Wish.DRAIN if len(journal.state.trials) == 4 else Wish.GO_ON

    finished, journal, _ = search(tmp_path / "study", wish=drain)
    assert not finished
    assert not journal.state.pending
    assert len(journal.state.trials) == len(journal.state.results) == 4


def test_stop_rules(tmp_path: Path) -> None:
    _, journal, _ = search(tmp_path / "trials", stop=StopRule(trials=7), optimizer=hyperband(None))
    assert len(journal.state.results) == 7
    _, journal, _ = search(tmp_path / "time", stop=StopRule(total_s=20), optimizer=hyperband(None))
    assert journal.state.led_s == 18, "9 x 1 s and 3 x 3 s; the 9 s of the next trial would not fit into the 2 s left"
    _, journal, _ = search(tmp_path / "worth", stop=StopRule(worth=12), optimizer=hyperband(None))
    assert journal.state.budget_asked == 12
    finished, journal, _ = search(tmp_path / "time", stop=StopRule(total_s=27), optimizer=hyperband(None))
    assert (finished, journal.state.led_s) == (True, 27), "the time of the first part counts"


def test_what_trials_take_beside_their_training_counts_towards_the_end(tmp_path: Path) -> None:
    """9 x 1.5 s and 3.5 s make 17 s; another 3 s would just fit into 20 s, but not what validation adds to them."""
    _, journal, _ = search(tmp_path / "study", stop=StopRule(total_s=20), optimizer=hyperband(None), beside_s=0.5)
    assert journal.state.led_s == 17


def test_a_trial_that_waited_for_another_master_says_nothing_of_what_trials_take(tmp_path: Path) -> None:
    """The first trial is told ten hours after its ask, by the next master; the second a second after its training."""
    first, second = (trial for trial in search(tmp_path / "study", stop=StopRule(trials=2))[1].state.trials.values())
    state, rule = State(), StopRule(total_s=10)
    told = [Result(trial_id=trial.trial_id, status=Status.OK, loss=1.0, train_s=1.0) for trial in (first, second)]
    for event in (
        Event(term=1, time=0.0),
        Event(term=1, time=0.0, trial=first),
        Event(term=2, time=36_000.0, until=1.0),
        Event(term=2, time=36_000.0, result=told[0]),
    ):
        state.apply(event)
    assert not rule.reached(state, now=36_000.0, budget=9)
    state.apply(Event(term=2, time=36_000.0, trial=second))
    state.apply(Event(term=2, time=36_002.0, result=told[1]))
    assert state.led_s == 3
    assert not rule.reached(state, now=36_002.0, budget=6)
    assert rule.reached(state, now=36_002.0, budget=6.1)


def told_late(details: dict[str, object], **more: Any) -> State:
    """After one trial with a budget of 5, asked at 0 s and told at 600 s."""
    told: dict[str, Any] = {"trial_id": "t0", "status": Status.OK, "loss": 1.0, "train_s": 5.0, "details": details}
    state, result = State(), Result(**told | more)
    asked = Event(term=1, time=0.0, trial=study_fakes.trial(0, budget=5.0))
    for event in (Event(term=1, time=0.0), asked, Event(term=1, time=600.0, result=result)):
        state.apply(event)
    return state


def test_what_a_trial_waited_for_a_worker_says_nothing_of_what_trials_take() -> None:
    """Its first worker was lost; the attempt that ended well had a device for 7 s, of which it trained 5 s."""
    state = told_late({"engine": {"host": "node1", "device": "cuda:0", "began": 9_590.0, "ended": 9_597.0}})
    assert StopRule(in_seconds=False).needs_s(state, 10.0) == 14.0
    assert StopRule().needs_s(state, 10.0) == 12.0
    assert not StopRule(total_s=700).reached(state, now=600.0, budget=98.0)
    assert StopRule(total_s=700).reached(state, now=600.0, budget=98.1)


def test_a_worker_s_training_of_less_than_nothing_took_no_time() -> None:
    assert told_late({}, metrics={"new_s": -50.0}).beside_s == {5.0: [600.0]}


@pytest.mark.parametrize(
    ("in_seconds", "needs_s"),
    [
        (True, {1.0: 1 + 2, 3.0: 3 + 5, 9.0: 9 + 3.5, 27.0: 27}),  # 3.5 s is the middle of 1, 2, 5 and 9
        (False, {1.0: 3.0, 4.0: 10.0, 8.0: 24.0}),  # at 8: 8 x 3, more than 8 x 2 and 2 x 10
    ],
)
def test_what_a_trial_needs_is_told_by_the_latest_of_its_budget_or_else_by_all(in_seconds: bool, needs_s: dict[float, float]) -> None:
    """Those of 27 s say that they had a device for less time than they trained."""
    beside_s = {1.0: [1.0, 9.0, 2.0], 3.0: [5.0]}
    state = State(beside_s=beside_s, took_s={1.0: [3.0, 2.0], 4.0: [10.0]})
    late = State(beside_s={27.0: [-4.0]})
    stop = StopRule(in_seconds=in_seconds)
    found = {b: stop.needs_s(late if b == 27.0 else state, b) for b in needs_s}
    assert found == needs_s
    assert stop.needs_s(State(), 5.0) == (5.0 if in_seconds else None)


def test_a_trial_that_was_handed_over_takes_what_all_its_attempts_had() -> None:
    """3 s of training in an earlier attempt, 2 s in the last, which had its device for 2.5 s."""
    state = told_late({"engine": {"host": "node1", "device": "cuda:0", "began": 50.0, "ended": 52.5}, "attempt_s": 2.0})
    assert state.took_s == {5.0: [5.5]}
    assert state.beside_s == {5.0: [0.5]}


@pytest.mark.parametrize(
    ("train_s", "took_s"),
    [
        (60.0, 68.0),  # its worker left the 300 s out
        (360.0, 360.0),  # it counted them itself: 8 s of the 300 s are not in its training
    ],
)
def test_what_a_trial_stood_still_says_nothing_of_what_trials_take(train_s: float, took_s: float) -> None:
    """It had a device for 368 s, suspended for 300 s of them."""
    stay = {"host": "node1", "device": "cuda:0", "began": 1_000.0, "ended": 1_368.0, "stood_s": 300.0}
    state = told_late({"engine": stay}, train_s=train_s)
    assert state.took_s == {5.0: [took_s]}
    assert state.beside_s == {5.0: [took_s - train_s]}


def test_the_incumbents_checkpoint_is_kept_and_the_others_are_not(tmp_path: Path) -> None:
    study = StudyDir(tmp_path / "study")
    _, journal, _ = search(study.path)
    assert journal.state.incumbent is not None
    assert [t for t in journal.state.trials if study.checkpoint(t) is not None] == [journal.state.incumbent.trial.trial_id]


def test_what_is_worthless_at_the_end_is_deleted_however_many_may_be_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bohb_nas.engine.checkpoints._SHARE", 0)
    study = StudyDir(tmp_path / "study")
    _, journal, _ = search(study.path)
    assert journal.state.incumbent is not None
    assert [t for t in journal.state.trials if study.checkpoint(t) is not None] == [journal.state.incumbent.trial.trial_id]


def test_of_a_worker_that_is_not_ours_nothing_is_deleted_unless_promoted_trials_continue(tmp_path: Path) -> None:
    study = StudyDir(tmp_path / "restart")
    _, journal, _ = search(study.path, ours=False)
    assert all(study.checkpoint(t) is not None for t in journal.state.trials)
    study = StudyDir(tmp_path / "continue")
    _, journal, _ = search(study.path, ours=False, continued=True)
    assert journal.state.incumbent is not None
    assert [t for t in journal.state.trials if study.checkpoint(t) is not None] == [journal.state.incumbent.trial.trial_id]


def test_continued_promotions_find_the_checkpoint_of_the_rung_below(tmp_path: Path) -> None:
    study = StudyDir(tmp_path / "study")
    _, journal, worker = search(study.path, continued=True)
    promoted = [t for t in worker.seen if t.origin == "promoted"]
    assert len(promoted) == 5
    for trial in promoted:
        source = journal.state.trials[str(trial.resume_from)]
        assert (source.config_id, source.rung) == (trial.config_id, trial.rung - 1)
    assert journal.state.incumbent is not None
    kept = [t for t in journal.state.trials if study.checkpoint(t) is not None]
    assert kept == [journal.state.incumbent.trial.trial_id], "no bracket is open any more: nothing may still be promoted"


def test_what_is_not_promoted_starts_afresh_though_its_configuration_has_a_checkpoint(tmp_path: Path) -> None:
    first = study_fakes.trial(0)
    again = [replace(first, trial_id=f"t{n}", budget=3.0, rung=1, origin=o) for n, o in enumerate((Origin.RANDOM, Origin.PROMOTED), 1)]
    _, _, worker = search(tmp_path / "study", optimizer=Asker(first, *again), continued=True, stop=StopRule(trials=3))
    assert [trial.resume_from for trial in worker.seen] == [None, None, "t1"]


def test_a_checkpoint_is_kept_while_its_configuration_may_still_be_promoted(tmp_path: Path) -> None:
    study = StudyDir(tmp_path / "study")

    def kept_after(n_trials: int) -> set[str]:
        search(study.path, continued=True, stop=StopRule(trials=n_trials))
        return {t for t in fold(study.journal).trials if study.checkpoint(t) is not None}

    first_rung = {f"t0000{k}" for k in range(8)}
    assert kept_after(8) == first_rung, "the rung of nine is not complete: any of the eight may be among its best three"
    assert len(kept_after(9)) == 3
    state = fold(study.journal)
    best = sorted(state.results, key=lambda t: state.results[t].loss or 0.0)[:3]
    assert kept_after(9) == set(best)


def test_what_a_killed_master_left_is_swept_up(tmp_path: Path) -> None:
    study = StudyDir(tmp_path / "study")
    search(study.path, stop=StopRule(trials=6))
    worthless = next(t for t in fold(study.journal).trials if study.checkpoint(t) is None)
    (study.attempts(worthless)[0] / "checkpoint").mkdir()
    search(study.path, stop=StopRule(trials=6))
    assert study.checkpoint(worthless) is None


def test_a_failed_trial_is_told_and_never_promoted(tmp_path: Path) -> None:
    _, journal, worker = search(tmp_path / "study", failing=lambda t: t.config_id in {"c00000", "c00003"})
    assert {journal.state.results[t.trial_id].status for t in worker.seen if t.config_id == "c00000"} == {Status.CRASHED}
    assert not any(t.config_id in {"c00000", "c00003"} for t in worker.seen if t.rung > 0)


def test_twenty_crashes_in_a_row_end_the_search(tmp_path: Path) -> None:
    with pytest.raises(BohbNasError, match=r"(?s)20 trials in a row.*planned\nfor once$"):
        search(tmp_path / "study", optimizer=hyperband(None), failing=lambda t: int(t.trial_id[1:]) >= 5)
    assert len(fold(StudyDir(tmp_path / "study").journal).results) == 25


def failing_as(monkeypatch: pytest.MonkeyPatch, status: Callable[[Trial], Status]) -> None:
    """Has every trial end with a status, and say that it is heavy."""

    def train(worker: Virtual, trial: Trial, workdir: Path) -> Result:
        return Result(trial_id=trial.trial_id, status=status(trial), loss=None, train_s=0.0, metrics={"weight": 16.0})

    monkeypatch.setattr(Virtual, "train", train)


def test_other_failures_between_crashes_are_losses_to_learn_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drive, "HOPELESS", 3)
    failing_as(monkeypatch, lambda trial: Status.OUT_OF_MEMORY if trial.trial_id.endswith(("2", "5")) else Status.CRASHED)
    _, journal, _ = search(tmp_path / "study", stop=StopRule(trials=8), optimizer=hyperband(None))
    assert len(journal.state.results) == 8


def test_what_failed_breaks_no_constraint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    failing_as(monkeypatch, lambda trial: Status.DIVERGED)
    _, journal, _ = search(tmp_path / "study", stop=StopRule(trials=2), knowledge=LIGHT)
    assert [dict(result.details) for result in journal.state.results.values()] == [{}, {}]


def test_what_a_method_asks_is_checked_before_it_is_written(tmp_path: Path) -> None:
    _, _, worker = search(tmp_path / "good", stop=StopRule(trials=1))
    good = worker.seen[0]
    with pytest.raises(BohbNasError, match="no trial: trial: trial_id is 't 1'"):
        search(tmp_path / "bad", optimizer=Asker(replace(good, trial_id="t 1")))
    with pytest.raises(BohbNasError, match="used its id twice"):
        search(tmp_path / "twice", optimizer=Asker(good, good))
    with pytest.raises(BohbNasError, match="asked for None; accepted is a Trial"):
        search(tmp_path / "none", optimizer=Asker(None))  # type: ignore[arg-type]
    assert fold(StudyDir(tmp_path / "bad").journal).trials == {}
    assert len(fold(StudyDir(tmp_path / "twice").journal).results) == 1


def test_time_that_passes_while_nobody_works_ends_the_search(tmp_path: Path) -> None:
    study, clock = StudyDir(tmp_path / "study"), Clock()
    study.make()
    journal = Journal(study.journal, State())
    journal.write(Event(term=1, time=0.0))

    class Empty:
        """An engine that no worker has joined."""

        def free(self) -> int:
            return 0

        def wait(self, timeout_s: float) -> list[Result]:
            clock.now += 10.0
            assert clock.now <= 60.0, "a trial of the cheapest budget, 1 s, can no longer end by then"
            return []

    stop = StopRule(total_s=60.0)
    finished = driven(study, journal, hyperband(), cast(Engine, Empty()), budgets=BUDGETS, ours=False, stop=stop, clock=clock)
    assert (finished, clock.now, journal.state.n_asked) == (True, 60.0, 0)


class Late:
    """Workers that end their trials right after somebody has looked for results; each result comes so many times."""

    def __init__(self, n: int, *, times: int = 1) -> None:
        self._n, self._times = n, times
        self.timeouts: list[float] = []
        self._running: list[Trial] = []
        self._ended: list[Result] = []

    def free(self) -> int:
        return self._n - len(self._running)

    def submit(self, trial: Trial) -> None:
        self._running.append(trial)

    def wait(self, timeout_s: float) -> list[Result]:
        assert self._running or self._ended or timeout_s == 0.0, "somebody waits for what nobody trains"
        self.timeouts.append(timeout_s)
        seen = self._ended
        self._ended = [Result(trial_id=t.trial_id, status=Status.OK, loss=0.5, train_s=1.0) for t in self._running] * self._times
        self._running = []
        return seen


def told_by(path: Path, workers: Late, *, stop: StopRule | None = None) -> list[str]:
    """What the journal of one bracket that these workers train says, after its first line: "ask" or "tell"."""
    study = StudyDir(path)
    study.make()
    journal = Journal(study.journal, State())
    journal.write(Event(term=1, time=0.0))
    told: dict[str, Any] = {"stop": stop or StopRule(), "clock": Clock(), "tick_s": 0.25}
    finished = driven(study, journal, hyperband(1), cast(Engine, workers), budgets=BUDGETS, ours=False, **told)
    assert finished
    return ["ask" if event.trial is not None else "tell" for event in read_events(study.journal)][1:]


def test_of_whoever_is_free_the_method_has_been_told_before_it_is_asked(tmp_path: Path) -> None:
    assert told_by(tmp_path / "study", Late(1), stop=StopRule(trials=4)) == ["ask", "tell"] * 4


def test_a_result_that_comes_twice_is_told_once(tmp_path: Path) -> None:
    assert told_by(tmp_path / "study", Late(1, times=2), stop=StopRule(trials=4)) == ["ask", "tell"] * 4


def test_a_method_that_had_to_wait_is_asked_again_after_a_result(tmp_path: Path) -> None:
    """The second rung waits for the last of the nine trials of the first, beside which three workers have nothing to do.

    Results are looked for at once only while something could be asked: of four, four and one trial of the first rung, not of the others.
    """
    workers = Late(4)
    assert told_by(tmp_path / "study", workers).count("tell") == 9 + 3 + 1
    assert workers.timeouts == [0.0, 0.25, 0.0, 0.25, 0.0, *[0.25] * 6]


class Leaving(Late):
    """Workers all of which leave but one as soon as somebody has counted them."""

    def wait(self, timeout_s: float) -> list[Result]:
        self._n = 1
        return super().wait(timeout_s)


def test_no_more_is_asked_than_workers_that_are_free_still(tmp_path: Path) -> None:
    assert told_by(tmp_path / "study", Leaving(3), stop=StopRule(trials=4)) == ["ask", "tell"] * 4


def test_budgets_that_are_no_seconds_do_not_count_against_the_time_left(tmp_path: Path) -> None:
    _, journal, _ = search(tmp_path / "study", stop=StopRule(total_s=20, in_seconds=False), optimizer=hyperband(None))
    assert journal.state.led_s == 27, "the trial of 9 was asked after 18 s, when the 20 s were not over"


def test_a_result_file_is_taken_instead_of_a_second_training(tmp_path: Path) -> None:
    study = StudyDir(tmp_path / "study")
    search(study.path)
    lines = study.journal.read_text().splitlines(keepends=True)
    study.journal.write_text("".join(line for line in lines if '"tell"' not in line or '"t00019"' not in line))
    _, journal, worker = search(study.path)
    assert worker.seen == []
    assert len(journal.state.results) == 20


def test_another_trials_result_file_is_set_aside_and_named(tmp_path: Path) -> None:
    study = StudyDir(tmp_path / "study")
    _, journal, _ = search(study.path)
    trial = journal.state.trials["t00003"]
    assert study.read_result(trial) is not None
    assert study.read_result(replace(trial, seed=trial.seed + 1)) is None
    assert study.read_result(trial) is None
    assert (study.results / "t00003.refused-0").exists()


class Asker:
    """Has no `replay`: is asked again."""

    def __init__(self, *answers: Trial | Idle) -> None:
        self.answers = list(answers)

    def ask(self) -> Trial | Idle:
        return self.answers.pop(0)

    def tell(self, result: Result) -> None:
        pass


def test_a_method_without_replay_is_asked_again_and_must_answer_the_same(tmp_path: Path) -> None:
    _, journal, worker = search(tmp_path / "study", stop=StopRule(trials=2))
    replay(Asker(*worker.seen), journal.state)
    with pytest.raises(JournalError, match="was it changed"):
        replay(Asker(worker.seen[1], worker.seen[0]), journal.state)


def test_a_method_without_replay_need_not_know_from_which_checkpoint_a_trial_went_on(tmp_path: Path) -> None:
    _, journal, worker = search(tmp_path / "study", continued=True)
    assert any(trial.resume_from for trial in worker.seen)
    replay(Asker(*(replace(trial, resume_from=None) for trial in worker.seen)), journal.state)


class Refuses(Asker):
    """Takes no trial back."""

    def replay(self, trial: Trial) -> None:
        raise SpaceError(f"{trial.config_id} is not in the space")


def test_a_recorded_trial_that_is_not_of_the_space_is_said_to_be_the_journal_s_damage(tmp_path: Path) -> None:
    _, journal, _ = search(tmp_path / "study", stop=StopRule(trials=1))
    with pytest.raises(JournalError, match="trial t00000 was asked, but c00000 is not in the space; restore the journal from a backup"):
        replay(Refuses(), journal.state)


def test_a_method_that_waits_for_nothing_is_an_error_not_a_hang(tmp_path: Path) -> None:
    with pytest.raises(BohbNasError, match="nothing is running"):
        search(tmp_path / "study", optimizer=Asker(Idle.WAIT))


LIGHT = Knowledge(constraints=(Constraint.parse("weight<=6"),))


def test_a_result_that_breaks_a_constraint_is_kept_and_is_neither_promoted_nor_incumbent(tmp_path: Path) -> None:
    _, journal, worker = search(tmp_path / "study", knowledge=LIGHT)
    heavy = {t.trial_id for t in worker.seen if float(t.config["width"]) > 6}
    results = journal.state.results
    assert heavy
    assert {i for i, r in results.items() if r.violates} == heavy
    assert all(dict(results[i].details) == {"violates": ["weight<=6"], "device": "none"} for i in heavy)
    assert all(dict(results[i].details) == {"device": "none"} for i in results if i not in heavy)
    assert all(results[i].loss is not None for i in heavy), "what was measured stays"
    assert not [t for t in worker.seen if t.origin == "promoted" and float(t.config["width"]) > 6]
    light = [(results[t.trial_id].loss, t.trial_id) for t in worker.seen if t.trial_id not in heavy and t.rung == 2]
    assert journal.state.incumbent is not None
    assert journal.state.incumbent.trial.trial_id == min(light)[1]
    assert fold(StudyDir(tmp_path / "study").journal) == journal.state


def test_without_constraints_a_workers_word_for_them_is_dropped(tmp_path: Path) -> None:
    _, journal, _ = search(tmp_path / "study", stop=StopRule(trials=2))
    assert [dict(r.details) for r in journal.state.results.values()] == [{"device": "none"}] * 2
    assert journal.state.incumbent is not None


@pytest.mark.parametrize(
    ("found", "kept", "said"),
    [
        ({"lr": 0.5, "optimizer": "adam", "width": 3}, True, None),
        ({"lr": 7.0, "optimizer": "adam", "width": 3}, False, "lr = 7.0; accepted is"),
        ({"lr": 0.5, "optimizer": "adam", "width": 3, "depth": 2}, False, "depth"),
        ({"optimizer": "adam", "width": 3}, False, "lr is missing"),
    ],
)
def test_a_configuration_that_a_worker_returns_is_one_of_the_space(
    tmp_path: Path, found: dict[str, Any], kept: bool, said: str | None
) -> None:
    class Finds(Virtual):
        def train(self, trial: Trial, workdir: Path) -> Result:
            return replace(super().train(trial, workdir), config=found)

    study, clock = StudyDir(tmp_path / "study"), Clock()
    study.make()
    journal = Journal(study.journal, fold(study.journal))
    journal.write(Event(term=1, time=clock()))
    engine = InProcessEngine(study, Finds(clock, lambda _: False))
    driven(study, journal, hyperband(), engine, budgets=BUDGETS, stop=StopRule(trials=1), clock=clock, complete=partial(complete, space()))
    (evaluation,) = journal.state.evaluations()
    assert evaluation.result.status is Status.OK
    assert evaluation.config == (found if kept else evaluation.trial.config)
    assert (evaluation.result.details.get("config_left_out") is None) is kept
    assert said is None or said in evaluation.result.details["config_left_out"]


@pytest.mark.parametrize("interrupted_after", [3, 11])
def test_a_stopped_search_with_knowledge_goes_on_as_if_nothing_had_happened(tmp_path: Path, interrupted_after: int) -> None:
    known = replace(LIGHT, initial=({"lr": 0.5, "optimizer": "adam", "width": 16}, {"lr": 0.01, "optimizer": "adam", "width": 3}))

    def stop(journal: Journal) -> Wish:
        return Wish.STOP if len(journal.state.trials) >= interrupted_after else Wish.GO_ON

    _, whole, _ = search(tmp_path / "whole", knowledge=known)
    search(tmp_path / "parts", knowledge=known, wish=stop)
    _, parts, _ = search(tmp_path / "parts", knowledge=known)
    assert list(parts.state.trials.values()) == list(whole.state.trials.values())
    assert dict(parts.state.results) == dict(whole.state.results)
    assert [t.config for t in whole.state.trials.values()][:2] == list(known.initial)


def test_a_method_that_asks_what_a_constraint_forbids_is_stopped(tmp_path: Path) -> None:
    narrow = replace(LIGHT, size=lambda config: {"weight": float(config["width"])})
    with pytest.raises(BohbNasError, match=r"the method asked for .*breaks a constraint"):
        search(tmp_path / "study", optimizer=hyperband(), knowledge=narrow)
    assert all(float(t.config["width"]) <= 6 for t in fold(StudyDir(tmp_path / "study").journal).trials.values())


def test_calling_it_promoted_makes_no_forbidden_configuration_allowed(tmp_path: Path) -> None:
    class Promoting:
        """A method that says so of every new configuration."""

        def __init__(self) -> None:
            self.inner = hyperband()

        def ask(self) -> Trial | Idle:
            asked = self.inner.ask()
            return asked if isinstance(asked, Idle) else replace(asked, origin=Origin.PROMOTED)

        def tell(self, result: Result) -> None:
            self.inner.tell(result)

    narrow = replace(LIGHT, size=lambda config: {"weight": float(config["width"])})
    with pytest.raises(BohbNasError, match=r"the method asked for .*breaks a constraint"):
        search(tmp_path / "study", optimizer=Promoting(), knowledge=narrow)


@pytest.mark.parametrize("method", ["hyperband", "asha"])
def test_what_a_later_size_forbids_is_still_promoted_and_not_drawn(tmp_path: Path, method: str) -> None:
    """As after a user's change to `size`: what was allowed when it was drawn has a result that counts."""

    def told(factor: int) -> dict[str, Any]:
        known = replace(LIGHT, size=lambda config: {"weight": factor * float(config["width"])})
        return {"knowledge": known, "optimizer": make_optimizer(method, space=space(), budgets=BUDGETS, seed=1, knowledge=known)}

    _, before, _ = search(tmp_path / "study", **told(1), stop=StopRule(trials=6))
    _, after, worker = search(tmp_path / "study", **told(2), stop=StopRule(trials=20))
    assert len(after.state.trials) == 20
    forbidden = [t for t in worker.seen if float(t.config["width"]) > 3]
    assert {t.origin for t in forbidden} == {Origin.PROMOTED}
    assert {t.config_id for t in forbidden} <= {t.config_id for t in before.state.trials.values()}


def test_a_constraint_on_what_the_worker_does_not_return_stops_the_search_and_keeps_the_evaluation(tmp_path: Path) -> None:
    unknown = Knowledge(constraints=(Constraint.parse("latency<=1"),))
    with pytest.raises(KnowledgeError, match=r"constraint on latency: .* \(trial t00000\); it returns: weight"):
        search(tmp_path / "study", knowledge=unknown)
    state = fold(StudyDir(tmp_path / "study").journal)
    assert list(state.results) == ["t00000"]
