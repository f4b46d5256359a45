"""The rank probe beside a search: trained at every budget, within its share, never twice, and unheard by the search."""

import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ConfigSpace import Categorical, ConfigurationSpace, Float, Integer
from in_process import InProcessEngine, driven
from rich.console import Console

from bohb_nas import make_optimizer, refs
from bohb_nas.engine.checkpoints import Checkpoints
from bohb_nas.engine.drive import StopRule, Wish
from bohb_nas.engine.launch import reopen
from bohb_nas.engine.plan import Request, plan
from bohb_nas.engine.probes import Probes
from bohb_nas.engine.replaying import replay
from bohb_nas.errors import StudyError, UsageError
from bohb_nas.knowledge import NOTHING, Constraint, Knowledge
from bohb_nas.records import Budgets, Origin, Result, Status, Trial
from bohb_nas.report import live, tables
from bohb_nas.report.status import status
from bohb_nas.store.journal import Event, Journal, State, fold
from bohb_nas.store.study_dir import FORMAT, StudyDir

BUDGETS = Budgets(min=1, max=9, eta=3)
META: dict[str, Any] = {
    **{"format": FORMAT, "space": "toy", "method": "asha", "method_options": {}, "worker": "toy", "worker_options": {}, "seed": 1},
    **{"promote": "restart", "cwd": "/", "budgets": BUDGETS.to_json(), "stop": {"brackets": None, "trials": 9, "total_s": None}},
}


def space() -> ConfigurationSpace:
    space = ConfigurationSpace()
    space.add(Float("lr", (1e-4, 1.0), log=True), Categorical("optimizer", ["sgd", "adam"]), Integer("width", (1, 16)))
    return space


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Virtual:
    """Moves the clock by the budget; probes have a loss that would beat everything."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.seen: list[Trial] = []

    def train(self, trial: Trial, workdir: Path) -> Result:
        self.seen.append(trial)
        self.clock.now += trial.budget
        (workdir / "checkpoint").mkdir()
        loss = -1.0 if trial.origin is Origin.PROBE else 1 / trial.budget + float(trial.config["lr"])
        return Result(trial_id=trial.trial_id, status=Status.OK, loss=loss, train_s=trial.budget)


def search(
    path: Path,
    *,
    probe: int,
    method: str = "asha",
    stop: StopRule | None = None,
    continued: bool = False,
    wish: Callable[[Journal], Wish] = lambda journal: Wish.GO_ON,
    knowledge: Knowledge = NOTHING,
) -> tuple[bool, Journal, Virtual]:
    study, clock = StudyDir(path), Clock()
    study.make()
    study.write_meta({**META, "rank_probe": probe})
    state = fold(study.journal)
    optimizer = make_optimizer(method, space=space(), budgets=BUDGETS, seed=1, knowledge=knowledge)
    replay(optimizer, state)
    clock.now = state.last or 0.0
    journal, worker = Journal(study.journal, state), Virtual(clock)
    journal.write(Event(term=state.term + 1, time=clock()))
    finished = driven(
        study,
        journal,
        optimizer,
        InProcessEngine(study, worker),
        budgets=BUDGETS,
        continued=continued,
        stop=stop or StopRule(trials=24),
        clock=clock,
        wish=lambda: wish(journal),
        knowledge=knowledge,
        probes=Probes(space(), BUDGETS, seed=1, n=probe, allowed=knowledge.allowed) if probe else None,
    )
    return finished, journal, worker


def share_while_searching(journal: Journal) -> float:
    """Of the budget asked up to the search's last ask, the probe's."""
    trials = list(journal.state.trials.values())
    last = max(n for n, t in enumerate(trials) if t.origin is not Origin.PROBE)
    return sum(t.budget for t in trials[:last] if t.origin is Origin.PROBE) / sum(t.budget for t in trials[: last + 1])


def apart(journal: Journal) -> tuple[list[Trial], list[Trial]]:
    """What the search asked, and what the probe did."""
    trials = list(journal.state.trials.values())
    return [t for t in trials if t.origin is not Origin.PROBE], [t for t in trials if t.origin is Origin.PROBE]


@pytest.mark.parametrize("method", refs.names("method"))
def test_every_configuration_is_trained_at_every_budget_and_the_search_asks_what_it_asks_without(tmp_path: Path, method: str) -> None:
    _, alone, _ = search(tmp_path / "alone", probe=0, method=method, continued=True)
    finished, journal, worker = search(tmp_path / "beside", probe=2, method=method, continued=True)
    searched, probes = apart(journal)
    assert finished
    assert searched == apart(alone)[0]
    assert [(t.config_id, t.budget, t.rung) for t in probes] == [
        (f"probe-0000{n}", budget, rung) for n in range(2) for rung, budget in enumerate((1.0, 3.0, 9.0))
    ]
    for n in range(2):
        of_one = [t for t in probes if t.config_id == f"probe-0000{n}"]
        assert all((t.config, t.seed, t.resume_from) == (of_one[0].config, of_one[0].seed, None) for t in of_one)
    assert probes[0].config != probes[3].config
    lines = map(json.loads, StudyDir(tmp_path / "beside").journal.read_text().splitlines())
    assert [e["reason"] for e in lines if e["event"] == "ask" and e["trial"]["config_id"] == "probe-00001"] == [
        f"drawn at random and trained at every budget, {k} of 3" for k in (1, 2, 3)
    ]
    assert not [t for t in searched if t.config in (probes[0].config, probes[3].config)], "a stream of its own"
    assert worker.seen == list(journal.state.trials.values())
    assert len(journal.state.results) == len(searched) + 6
    assert fold(StudyDir(tmp_path / "beside").journal) == journal.state


def test_a_probe_comes_when_its_share_allows_it(tmp_path: Path) -> None:
    """By hand: 1 needs 4 asked by the search, 1 + 3 need 16, 1 + 3 + 9 need 52, and the next two 56 and 68; it asks 9 at a time."""
    _, journal, worker = search(tmp_path / "study", probe=9, method="random_search", stop=StopRule(trials=40))
    assert [t.origin is Origin.PROBE for t in worker.seen[:12]] == [False, True, False, True, *[False] * 4, True, False, True, False]
    spent = {True: 0.0, False: 0.0}
    for trial in worker.seen:
        is_probe = trial.origin is Origin.PROBE
        spent[is_probe] += trial.budget
        if spent[False] < 40 * 9:
            assert spent[True] <= 0.2 * (spent[True] + spent[False]) + 1e-9
    assert spent == {True: 9 * 13, False: 40 * 9}, "what is left when the search is over is trained then"
    assert Probes(space(), BUDGETS, seed=1, n=9, allowed=lambda _: True).left(journal.state) is None


def test_total_time_bounds_search_and_probe_and_more_time_goes_on(tmp_path: Path) -> None:
    _, journal, _ = search(tmp_path / "study", probe=50, stop=StopRule(total_s=100))
    searched, probes = apart(journal)
    assert journal.state.led_s == sum(t.budget for t in (*searched, *probes)) <= 100, "the time of probes counts"
    assert share_while_searching(journal) <= 0.2
    assert 100 - journal.state.led_s < 1, "what the search has no use for, the probe takes"
    before = list(journal.state.trials)
    finished, more, _ = search(tmp_path / "study", probe=50, stop=StopRule(total_s=200))
    assert finished
    assert list(more.state.trials)[: len(before)] == before
    assert 199 < more.state.led_s <= 200
    assert share_while_searching(more) <= 0.2 + 3 / 200
    missing = 50 * 3 - len(apart(more)[1])
    assert missing > 1
    assert (
        Probes(space(), BUDGETS, seed=1, n=50, allowed=lambda _: True).left(more.state)
        == f"rank probe: {missing} trials of 150 not trained"
    )


@pytest.mark.parametrize("interrupted_after", [2, 20, 32])
def test_a_stopped_study_goes_on_as_if_nothing_had_happened(tmp_path: Path, interrupted_after: int) -> None:
    few = StopRule(trials=30)
    _, whole, _ = search(tmp_path / "whole", probe=4, stop=few)

    def stop(journal: Journal) -> Wish:
        return Wish.STOP if len(journal.state.trials) >= interrupted_after else Wish.GO_ON

    finished, _, first = search(tmp_path / "parts", probe=4, stop=few, wish=stop)
    assert not finished
    finished, parts, second = search(tmp_path / "parts", probe=4, stop=few)
    assert finished
    assert list(parts.state.trials.values()) == list(whole.state.trials.values())
    assert dict(parts.state.results) == dict(whole.state.results)
    assert len(first.seen) + len(second.seen) == 30 + 4 * 3


def test_a_finished_study_takes_more_probes(tmp_path: Path) -> None:
    _, few, _ = search(tmp_path / "study", probe=2)
    finished, more, worker = search(tmp_path / "study", probe=5)
    assert finished
    assert [(t.config_id, t.budget) for t in worker.seen] == [(f"probe-0000{n}", b) for n in (2, 3, 4) for b in (1.0, 3.0, 9.0)]
    assert apart(more)[0] == apart(few)[0]
    _, at_once, _ = search(tmp_path / "other", probe=5)
    assert {t.trial_id: t for t in apart(at_once)[1]} == {t.trial_id: t for t in apart(more)[1]}


def test_probes_stand_apart_in_status_and_are_no_incumbent_and_keep_no_checkpoint(tmp_path: Path) -> None:
    study = StudyDir(tmp_path / "study")
    _, journal, _ = search(study.path, probe=2, stop=StopRule(trials=9), continued=True)
    figures = status(study)
    assert figures["by_origin"]["probe"] == 6
    assert figures["rank_probe"] == {"configurations": 2, "trials": 6, "asked": 6, "told": 6, "failed": 0, "budget_left": 0.0}
    assert sum(row["evaluations"] for row in figures["by_budget"].values()) == 9
    assert figures["incumbent"]["origin"] != "probe"
    assert figures["incumbent"]["loss"] > 0
    assert journal.state.n_asked == 9
    assert not [t for t in journal.state.trials if t.startswith("probe") and study.checkpoint(t) is not None]


def test_a_probe_that_was_asked_is_in_training_in_status_whoever_trains_it(tmp_path: Path) -> None:
    study = StudyDir(tmp_path / "study")
    search(study.path, probe=1, stop=StopRule(trials=9), wish=lambda j: Wish.STOP if "probe-00000-1" in j.state.trials else Wish.GO_ON)
    figures = status(study)
    assert (figures["rank_probe"]["asked"], figures["rank_probe"]["told"], figures["rank_probe"]["budget_left"]) == (2, 1, 12.0)
    assert [t["trial_id"] for t in figures["trials_running"]] == ["probe-00000-1"]


def test_a_probe_is_no_incumbent_even_where_the_search_has_none(tmp_path: Path) -> None:
    state = State()
    probe = Probes(space(), BUDGETS, seed=1, n=1, allowed=NOTHING.allowed).next(state, searching=False, late=lambda b: False)
    assert probe is not None
    state.apply(Event(term=0, time=0.0, trial=probe))
    state.apply(Event(term=0, time=1.0, result=Result(trial_id=probe.trial_id, status=Status.OK, loss=0.0, train_s=1.0)))
    assert state.incumbent is None


def test_no_checkpoint_of_a_probe_is_kept_for_a_method_that_does_not_say_what_it_promotes(tmp_path: Path) -> None:
    study = StudyDir(tmp_path / "study")
    search(study.path, probe=1, method="hyperband", wish=lambda j: Wish.STOP if len(j.state.results) == 5 else Wish.GO_ON)
    for trial_id in ("t00003", "probe-00000-0"):
        (study.attempts(trial_id)[0] / "checkpoint").mkdir(exist_ok=True)
    Checkpoints(study, fold(study.journal), continue_promoted=True, ours=True, promotable=None, n_rungs=3)
    assert study.checkpoint("t00003") is not None
    assert study.checkpoint("probe-00000-0") is None


def test_the_time_left_counts_the_probes_that_are_left(tmp_path: Path) -> None:
    """By hand: 4 trials of 1 s and a probe of 1 s took 5 s; 5 trials and probes of 3 and 9 s are left."""
    study = StudyDir(tmp_path / "study")
    search(study.path, probe=1, method="hyperband", wish=lambda j: Wish.STOP if len(j.state.results) == 5 else Wish.GO_ON)
    figures = status(study)
    assert figures["time_left_s"] == pytest.approx(5 + 12)
    state, shown = fold(study.journal), Console(width=200, record=True, file=io.StringIO())
    shown.print(tables.status(figures))
    shown.print(live.screen(study, {**META, "rank_probe": 1}, state, n_workers=1, worth=None))
    said = "rank probe: 1 of 3 trials finished; 1 random configurations at every budget"
    assert shown.export_text().count(said) == 2


def test_a_study_without_a_probe_has_none_in_status(tmp_path: Path) -> None:
    search(tmp_path / "study", probe=0)
    assert status(StudyDir(tmp_path / "study"))["rank_probe"] is None


def test_a_probe_keeps_to_what_may_be_trained(tmp_path: Path) -> None:
    light = Knowledge(constraints=(Constraint.parse("weight<=3"),), size=lambda config: {"weight": float(config["width"])})
    _, journal, _ = search(tmp_path / "study", probe=5, knowledge=light)
    assert max(int(t.config["width"]) for t in apart(journal)[1]) <= 3


def test_a_configuration_is_taken_from_the_journal_whatever_would_be_drawn_today(tmp_path: Path) -> None:
    _, journal, _ = search(tmp_path / "study", probe=1, wish=lambda j: Wish.STOP if "probe-00000-0" in j.state.trials else Wish.GO_ON)
    other = Probes(space(), BUDGETS, seed=2, n=1, allowed=NOTHING.allowed)
    drawn, taken = (other.next(s, searching=False, late=lambda b: False) for s in (State(), journal.state))
    first = journal.state.trials["probe-00000-0"]
    assert drawn is not None
    assert taken is not None
    assert (taken.trial_id, taken.config, taken.seed) == ("probe-00000-1", first.config, first.seed)
    assert drawn.config != first.config


class Counted(dict[str, Trial]):
    """Trials that count how often one is looked for."""

    looks = 0

    def __contains__(self, key: object) -> bool:
        self.looks += 1
        return super().__contains__(key)

    def get(self, *arguments: Any) -> Any:
        self.looks += 1
        return super().get(*arguments)


def test_what_the_next_probe_costs_does_not_grow_with_the_probe() -> None:
    """To look for all 3 x 100 trials at every one of them would be 90,000 looks."""
    trials, probes = Counted(), Probes(space(), BUDGETS, seed=1, n=100, allowed=NOTHING.allowed)
    state = State(trials=trials)
    while (due := probes.next(state, searching=False, late=lambda budget: False)) is not None:
        trials[due.trial_id] = due
    assert len(trials) == 300
    assert trials.looks < 10 * 300


def test_a_budget_that_was_too_late_is_caught_up_with_when_there_is_time() -> None:
    state, probes = State(), Probes(space(), BUDGETS, seed=1, n=2, allowed=NOTHING.allowed)
    asked = []
    for too_dear in ({9.0}, set[float]()):  # of 1, 3 and 9
        while (due := probes.next(state, searching=False, late=too_dear.__contains__)) is not None:
            state.trials[due.trial_id] = due
            asked.append(due.trial_id.removeprefix("probe-0000"))
    assert asked == ["0-0", "0-1", "1-0", "1-1", "0-2", "1-2"]
    resumed = Probes(space(), BUDGETS, seed=1, n=3, allowed=NOTHING.allowed)
    due = resumed.next(state, searching=False, late=lambda budget: False)
    assert due is not None
    assert due.trial_id == "probe-00002-0"


def test_it_may_grow_and_not_shrink_and_needs_two_budgets(tmp_path: Path) -> None:
    study = StudyDir(tmp_path / "study")
    study.make()
    study.write_meta(plan(Request(space="toy", worker="toy", rank_probe=4)))
    study.space_json.write_text("{}")
    with pytest.raises(UsageError, match=r"--rank-probe 3: accepted is a whole number from 4 to 10000; the study has 4"):
        reopen(study, Request(rank_probe=3))
    with pytest.raises(StudyError, match=r"seed"):
        reopen(study, Request(rank_probe=5, seed=3))
    for value in (0, 10_001, 10**22):
        with pytest.raises(UsageError, match=rf"--rank-probe {value}: accepted is a whole number from 1 to 10000"):
            plan(Request(rank_probe=value))
    with pytest.raises(UsageError, match=r"there is only one; give a smaller --budget-min"):
        plan(Request(rank_probe=4, budget_min=8.0, budget_max=9.0))
    assert plan(Request(rank_probe=10_000, budget_min=3.0, budget_max=9.0))["rank_probe"] == 10_000
    assert plan(Request(), base=study.read_meta())["rank_probe"] == 4
    assert plan(Request(rank_probe=5), base=study.read_meta())["rank_probe"] == 5


@pytest.mark.parametrize("value", [-1, 1.5, True, "3", None, 2**60])
def test_a_record_with_another_probe_is_damaged(tmp_path: Path, value: object) -> None:
    study = StudyDir(tmp_path / "study")
    study.make()
    study.write_meta({**META, "rank_probe": value})
    with pytest.raises(StudyError, match="rank_probe is"):
        study.read_meta()


@pytest.mark.slow
def test_a_killed_study_resumes_its_probe_and_a_larger_one_reopens_it(tmp_path: Path) -> None:
    study = tmp_path / "study"
    toy = ["--space", "toy", "--worker", "toy", "--budget-min", "1", "--budget-max", "3", "--trials", "12"]
    command = [sys.executable, "-m", "bohb_nas", "run", str(study), *toy, "--worker-option", "seconds_per_budget=0.1"]

    def run(*more: str) -> None:
        done = subprocess.run([*command, *more], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr

    first = subprocess.Popen([*command, "--rank-probe", "2"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline, journal = time.monotonic() + 120, study / "journal.jsonl"
    while time.monotonic() < deadline and not (journal.exists() and '"probe-00000-0"' in journal.read_text()):
        time.sleep(0.02)
    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    run()
    asked = {json.loads(line)["trial"]["trial_id"] for line in journal.read_text().splitlines() if '"event":"ask"' in line}
    assert {t for t in asked if t.startswith("probe")} == {"probe-00000-0", "probe-00000-1", "probe-00001-0", "probe-00001-1"}
    results = {p.name: p.read_text() for p in (study / "results").iterdir()}
    assert len(results) == 16
    before = journal.read_text()
    run("--rank-probe", "2")
    assert journal.read_text() == before, "it is done"
    run("--rank-probe", "3")
    events = [json.loads(line) for line in journal.read_text()[len(before) :].splitlines()]
    assert [e["result"]["trial_id"] for e in events if e["event"] == "tell"] == ["probe-00002-0", "probe-00002-1"]
    assert {name: (study / "results" / name).read_text() for name in results} == results
