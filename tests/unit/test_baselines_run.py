"""Baselines beside a search: trained once, taken up again, compared, and of no effect on what is searched."""

import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from click.testing import Result as Done
from in_process import InProcessEngine, driven
from rich.console import Console
from study_fakes import take_locks_away

from bohb_nas import make_optimizer
from bohb_nas.analysis.study import find as findings_of
from bohb_nas.baselines import BASELINES, NETWORK, find, run
from bohb_nas.baselines.run import attempts, complete, current, trial_of, worker_options
from bohb_nas.baselines.tables import comparison, figures
from bohb_nas.cli import cli
from bohb_nas.engine.drive import StopRule
from bohb_nas.engine.plan import Request, plan
from bohb_nas.engine.replaying import replay
from bohb_nas.errors import UsageError
from bohb_nas.locks import Lock
from bohb_nas.records import Budgets, Evaluation, Idle, Optimizer, Origin, Result, Status, Trial
from bohb_nas.report.final import read_source
from bohb_nas.report.status import status
from bohb_nas.search_spaces.toy import space
from bohb_nas.store.journal import Event, Journal, State, fold
from bohb_nas.store.study_dir import StudyDir
from bohb_nas.workers import toy

BUDGETS = Budgets(min=1, max=9)
TRIALS = [trial_of(b, budget=9.0, seed=seed, rung=2) for seed in (0, 1) for b in find(["resnet18", "wrn_28_10"])]


def answer(trial: Trial, loss: float | None = 0.25) -> Result:
    return Result(
        trial_id=trial.trial_id,
        status=Status.OK if loss is not None else Status.DIVERGED,
        loss=loss,
        train_s=9.0,
        metrics={"params": 2e6, "flops": 3e6},
        message=None if loss is not None else "\x1b[31mthe loss became nan\x1b[0m",
    )


class Trainer:
    """Notes what it is asked to train."""

    def __init__(self, study: StudyDir, loss: Callable[[Trial], float | None] = lambda trial: 0.25) -> None:
        self.study, self.loss, self.trained = study, loss, list[str]()

    def __call__(self, trial: Trial) -> Result:
        self.trained.append(trial.trial_id)
        result = answer(trial, self.loss(trial))
        self.study.write_result(Evaluation(trial=trial, result=result))
        return result


def opened(path: Path) -> tuple[StudyDir, Journal]:
    study = StudyDir(path)
    study.make()
    journal = Journal(study.journal, fold(study.journal))
    journal.write(Event(term=journal.state.term + 1, time=time.time()))
    return study, journal


def silent(text: str) -> None:
    del text


def test_ids_name_the_network_and_change_with_what_is_trained() -> None:
    assert len({t.trial_id for t in TRIALS}) == 4
    assert all(t.origin is Origin.BASELINE and Trial.from_json(json.loads(json.dumps(t.to_json()))) == t for t in TRIALS)
    assert TRIALS[0].trial_id.startswith("baseline-resnet18-")
    assert TRIALS[0].config_id == TRIALS[2].config_id != TRIALS[1].config_id
    (baseline,) = find(["resnet18"])
    longer = trial_of(baseline, budget=10.0, seed=0, rung=2)
    other = trial_of(replace(baseline, config={**baseline.config, "batch_size": 64}), budget=9.0, seed=0, rung=2)
    assert len({TRIALS[0].trial_id, longer.trial_id, other.trial_id}) == 3
    for b in BASELINES:
        Trial.from_json(trial_of(b, budget=1e9 / 3, seed=10**6, rung=0).to_json())  # whatever the budget, an id is one


def test_a_finished_baseline_is_never_trained_again(tmp_path: Path) -> None:
    study, journal = opened(tmp_path / "study")
    train = Trainer(study)
    complete(study, journal, TRIALS[:3], train, silent)
    assert train.trained == [t.trial_id for t in TRIALS[:3]]
    study, journal = opened(study.path)
    complete(study, journal, TRIALS, train, silent)
    assert train.trained == [t.trial_id for t in TRIALS]
    assert list(fold(study.journal).results) == train.trained


def test_a_failed_baseline_is_trained_again_when_asked_and_its_failure_stays(tmp_path: Path) -> None:
    study, journal = opened(tmp_path / "study")
    said, losses = list[str](), iter([None, 0.5, None, 0.125])  # of the first seed; of the second; of the first again, twice
    first, second = TRIALS[0], TRIALS[2]

    def due(*, retry_failed: bool) -> list[Trial]:
        return [current(journal.state, trial, retry_failed=retry_failed) for trial in (first, second)]

    complete(study, journal, due(retry_failed=False), Trainer(study, lambda trial: next(losses)), said.append)
    assert said[1::2] == ["  diverged: the loss became nan", "  validation error 50.00%"]
    assert due(retry_failed=False) == [first, second]
    for _ in range(2):
        complete(study, journal, due(retry_failed=True), Trainer(study, lambda trial: next(losses)), silent)
    assert due(retry_failed=True) == due(retry_failed=False), "both have succeeded"
    told = [a for trial in (first, second) for a in attempts(fold(study.journal), trial)]
    assert [t.trial_id for t in told] == [first.trial_id, f"{first.trial_id}-again-1", f"{first.trial_id}-again-2", second.trial_id]
    assert {(t.config_id, t.seed) for t in told} == {(first.config_id, 0), (first.config_id, 1)}
    (row,) = figures(journal.state, find(["resnet18"]), told, dataset="digits", budget=9.0)["rows"]
    assert (row["n_seeds"], row["error_mean"]) == (2, 0.3125)
    assert [(f["trial_id"], f["retried"]) for f in row["failed"]] == [(t.trial_id, True) for t in told[:2]]


def test_what_a_killed_command_left_is_taken_up(tmp_path: Path) -> None:
    """The first was finished but never told; the second was asked and never finished."""
    study, journal = opened(tmp_path / "study")
    for trial in TRIALS[:2]:
        journal.write(Event(term=1, time=time.time(), trial=trial))
    study.write_result(Evaluation(trial=TRIALS[0], result=answer(TRIALS[0], 0.125)))
    study, journal = opened(study.path)
    train = Trainer(study)
    complete(study, journal, TRIALS[:2], train, silent)
    assert train.trained == [TRIALS[1].trial_id]
    assert fold(study.journal).results[TRIALS[0].trial_id].loss == 0.125


def test_status_shows_a_baseline_while_somebody_trains_it(tmp_path: Path, trained: list[str]) -> None:
    path = tmp_path / "study"
    assert command(str(path), "--dataset", "digits", "--budget", "9s", "--only", "resnet18", "--seeds", "1").exit_code == 0
    study, journal = opened(path)
    journal.write(Event(term=journal.state.term, time=time.time(), trial=TRIALS[1]))
    assert status(study)["running"] == 0, "its command was killed"
    study.heartbeat(TRIALS[1].trial_id).write_text(json.dumps({"host": "here", "device": "cpu0", "pid": 1, "since": time.time()}))
    assert [t["trial_id"] for t in status(study)["trials_running"]] == [TRIALS[1].trial_id]
    os.utime(study.heartbeat(TRIALS[1].trial_id), (0, 0))
    assert status(study)["running"] == 0, "its heart stopped long ago"
    assert len(trained) == 1


class Forgetful:
    """A method without `replay`: it is asked again, and must hear nothing of baselines."""

    def __init__(self, inner: Optimizer) -> None:
        self._inner = inner

    def ask(self) -> Trial | Idle:
        return self._inner.ask()

    def tell(self, result: Result) -> None:
        self._inner.tell(result)


def search(study: StudyDir, journal: Journal, n_trials: int, *, method: str, forgetful: bool) -> bool:
    optimizer: Optimizer = make_optimizer(method, space=space(), budgets=BUDGETS, seed=1)
    if forgetful:
        optimizer = Forgetful(optimizer)
    replay(optimizer, journal.state)
    engine = InProcessEngine(study, toy.make())
    return driven(study, journal, optimizer, engine, budgets=BUDGETS, stop=StopRule(trials=n_trials))


def searched(state: State) -> list[Trial]:
    return [t for t in state.trials.values() if t.origin is not Origin.BASELINE]


@pytest.mark.parametrize(("method", "forgetful"), [("bohb", False), ("bohb_2018", False), ("hyperband", True)])
def test_a_search_goes_on_as_if_there_were_no_baselines(tmp_path: Path, method: str, forgetful: bool) -> None:
    alone, journal = opened(tmp_path / "alone")
    search(alone, journal, 16, method=method, forgetful=forgetful)
    beside, journal = opened(tmp_path / "beside")
    search(beside, journal, 6, method=method, forgetful=forgetful)
    complete(beside, journal, TRIALS[:3], Trainer(beside, lambda trial: -1e9), silent)
    journal.write(Event(term=journal.state.term, time=time.time(), trial=TRIALS[3]))  # and one that was killed
    beside, journal = opened(beside.path)
    assert search(beside, journal, 16, method=method, forgetful=forgetful)
    assert searched(journal.state) == searched(fold(alone.journal))
    assert len(searched(journal.state)) == 16, "baselines do not count"
    assert journal.state.incumbent is not None
    assert journal.state.incumbent == fold(alone.journal).incumbent, "however good a baseline is"
    assert TRIALS[3].trial_id not in journal.state.results, "the search does not train it"


def test_the_time_of_baselines_is_not_the_searchs() -> None:
    state = State()
    told = replace(TRIALS[0], trial_id="t1", origin=Origin.RANDOM)
    for event in (
        Event(term=1, time=100.0),
        Event(term=1, time=101.0, trial=told),
        Event(term=1, time=110.0, result=answer(told)),
        Event(term=2, time=500.0, until=112.0),
        Event(term=2, time=501.0, trial=TRIALS[1]),
        Event(term=2, time=900.0, result=answer(TRIALS[1])),
        Event(term=3, time=1000.0, until=112.0),
    ):
        assert state.apply(event)
    assert state.led_s == 12.0
    assert (state.n_asked, state.budget_asked) == (1, 9.0)
    assert state.pending == []


def test_a_row_is_mean_and_spread_over_seeds() -> None:
    """Errors of 0.1 and 0.3: mean 0.2, standard deviation sqrt(2) / 10."""
    state = State()
    state.apply(Event(term=1, time=0.0))
    losses: Sequence[float | None] = (0.1, None, 0.3, None)
    for trial, loss in zip(TRIALS, losses, strict=True):
        state.apply(Event(term=1, time=1.0, trial=trial))
        state.apply(Event(term=1, time=2.0, result=answer(trial, loss)))
    found = figures(state, find(["resnet18", "wrn_28_10"]), TRIALS, dataset="digits", budget=9.0)
    resnet, wide = found["rows"]
    assert (resnet["n_seeds"], resnet["params"], resnet["flops"], resnet["train_s"]) == (2, 2e6, 3e6, 9.0)
    assert resnet["error_mean"] == pytest.approx(0.2)
    assert resnet["error_sd"] == pytest.approx(2**0.5 / 10)
    assert (wide["n_seeds"], wide["error_mean"], wide["error_sd"]) == (0, None, None)
    assert [f["status"] for f in wide["failed"]] == ["diverged", "diverged"]
    assert found["incumbent"] is None, "nothing was searched"
    console = Console(width=160)
    with console.capture() as shown:
        console.print(comparison(found))
    assert "20.00%" in shown.get()
    assert "14.14%" in shown.get()
    assert "the loss became nan" in shown.get()
    assert "\x1b" not in shown.get(), "a terminal would obey it"
    assert "the same command with --retry-failed" in shown.get()


def test_the_worker_is_the_studys_but_for_what_a_recipe_says() -> None:
    options = {"dataset": "digits", "split_seed": 5, "policy_file": "mine.json", "schedule": "restarts", "full_validation_from_s": 9.0}
    assert worker_options({"worker_options": options}) == {
        "dataset": "digits",
        "split_seed": 5,
        "network": NETWORK,
        "full_validation_from_s": 0.0,
    }


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the command trains, with a trainer that needs no process."""
    seen: list[str] = []

    @contextmanager
    def fake(study: StudyDir, *rest: Any) -> Iterator[Callable[[Trial], Result]]:
        del rest
        train = Trainer(study)
        yield train
        seen.extend(train.trained)

    monkeypatch.setattr(run, "_trainer", fake)
    return seen


def command(*arguments: str) -> Done:
    return CliRunner().invoke(cli, ["baselines", *arguments])


def test_the_command_makes_a_study_that_other_commands_read(tmp_path: Path, trained: list[str]) -> None:
    study = str(tmp_path / "study")
    asked = [study, "--dataset", "digits", "--budget", "5s", "--only", "resnet18", "--only", "airbench96", "--json"]
    first = command(*asked, "--seeds", "1")
    assert first.exit_code == 0, first.output
    assert len(trained) == 2
    again = command(*asked, "--seeds", "2")
    assert len(trained) == 4, "the first seed is not trained again"
    found = json.loads(again.stdout)
    assert {row["name"]: row["n_seeds"] for row in found["rows"]} == {"resnet18": 2, "airbench96": 2}
    figures = status(StudyDir(Path(study)))
    assert figures["by_origin"] == {"baseline": 4}
    assert figures["done"]
    (Path(study) / "done").unlink()  # as where a kill came right after the last result
    command(*asked, "--seeds", "2")
    assert status(StudyDir(Path(study)))["done"]
    assert len(trained) == 4
    best = CliRunner().invoke(cli, ["best", study, "--json"])
    assert json.loads(best.stdout)["origin"] == "baseline"
    assert read_source(Path(study), budget=None, dataset=None, data_dir=None).budget == 5.0
    command(study, "--budget", "9s", "--only", "resnet18", "--seeds", "1")
    assert read_source(Path(study), budget=None, dataset=None, data_dir=None).budget == 9.0, "of its incumbent"
    findings = findings_of(StudyDir(Path(study)))
    assert findings["pace"]["evaluations_per_hour"] is None, "nothing was searched"
    assert [s["text"] for s in findings["sentences"] if s["about"] == "pace"] == []
    refused = command(study, "--dataset", "cifar10")
    assert refused.exit_code == 2
    assert "--dataset is 'cifar10', the study's is 'digits'" in refused.stderr
    continued = CliRunner().invoke(cli, ["run", study])
    assert continued.exit_code == 2
    assert "search in another DIR" in continued.stderr


MINE = """
import numpy as np
from bohb_nas.datasets import Dataset
def load(data_dir):
    pixels, labels = np.zeros((40, 8, 8, 1), np.uint8), np.arange(40) % 2
    return Dataset(name="mine", classes=("even", "odd"), train_images=pixels, train_labels=labels, fingerprint="{}")
"""


@pytest.mark.parametrize("searched", [False, True])
def test_other_data_than_the_study_began_with_are_refused(tmp_path: Path, trained: list[str], searched: bool) -> None:
    """In a study of baselines alone, and beside a search, where they are refused before the first baseline."""
    path, data = tmp_path / "study", tmp_path / "mine.py"
    data.write_text(MINE.format("before"))
    if searched:
        meta = plan(Request(dataset=str(data), budget_max=9.0))
        study = StudyDir(path)
        study.make()
        study.write_meta(meta | {"data_fingerprint": "before"})
    else:
        assert command(str(path), "--dataset", str(data), "--budget", "5s", "--only", "resnet18", "--seeds", "1").exit_code == 0
    assert StudyDir(path).read_meta()["data_fingerprint"] == "before"
    n = len(trained)
    data.write_text(MINE.format("after"))
    again = command(str(path), "--budget", "5s", "--only", "resnet18", "--seeds", "2")
    assert (again.exit_code, len(trained)) == (2, n)
    assert f"data set {data} has changed since the study started" in again.stderr
    if not searched:
        assert command(str(path), "--budget", "5s", "--only", "resnet18", "--seeds", "1").exit_code == 0, "what is trained is shown"
    data.write_text(MINE.format("before"))
    assert command(str(path), "--budget", "5s", "--only", "resnet18", "--seeds", "2").exit_code == 0
    assert len(trained) == 2


def test_a_study_of_baselines_alone_is_neither_searched_nor_joined(tmp_path: Path, trained: list[str]) -> None:
    path = tmp_path / "study"
    assert command(str(path), "--dataset", "digits", "--budget", "5s", "--only", "resnet18", "--seeds", "1").exit_code == 0
    StudyDir(path).done.unlink()  # as while they are trained
    for word in ("run", "worker"):
        refused = CliRunner().invoke(cli, [word, str(path)])
        assert (refused.exit_code, refused.stdout) == (2, "")
        assert f"baselines alone were trained in it, and `bohb-nas baselines {path}` trains more; search in another DIR" in refused.stderr


def test_where_there_are_no_locks_the_device_is_owned_all_the_same(
    tmp_path: Path, trained: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    study = StudyDir(tmp_path / "study")
    take_locks_away(study.path, monkeypatch)
    asked = [str(study.path), "--dataset", "digits", "--budget", "5s", "--only", "resnet18", "--device", "cpu0"]
    done = command(*asked, "--seeds", "1")
    assert done.exit_code == 0, done.output
    assert len(trained) == 1
    with Lock(study.local_lock("cpu0")) as lock:
        assert lock.acquire(), "it was given back"
        refused = command(*asked, "--seeds", "2")
    assert refused.exit_code == 2
    assert f"a worker of {study.path} " in refused.stderr
    assert len(trained) == 1


def test_the_command_tries_again_what_failed_when_told_to(tmp_path: Path, trained: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    asked = [str(tmp_path / "study"), "--dataset", "digits", "--budget", "5s", "--only", "resnet18", "--seeds", "1"]
    with monkeypatch.context() as broken:
        broken.setattr(Trainer.__init__, "__defaults__", (lambda trial: None,))
        assert command(*asked).exit_code == 1
    assert command(*asked).exit_code == 1
    again = command(*asked, "--retry-failed")
    assert again.exit_code == 0, again.output
    assert "(tried again)" in again.stdout
    assert "--retry-failed" not in again.stdout
    assert trained[1:] == [f"{trained[0]}-again-1"]


def test_a_study_of_another_worker_is_refused(tmp_path: Path) -> None:
    study = StudyDir(tmp_path / "study")
    study.make()
    meta = {"format": 1, "seed": 0, "space": "toy", "method": "bohb", "worker": "toy", "promote": "restart", "cwd": "/"}
    limits: dict[str, None] = {"brackets": None, "trials": None, "total_s": None}
    study.write_meta({**meta, "method_options": {}, "worker_options": {}, "budgets": BUDGETS.to_json(), "stop": limits})
    with pytest.raises(UsageError, match="worker is toy"):
        run.run(study.path, run.Request(), silent)


def test_the_list_needs_no_directory() -> None:
    done = command("--list", "--json")
    assert done.exit_code == 0
    assert {"name", "params", "flops"} <= json.loads(done.stdout)[0].keys()
    assert command().exit_code == 2


@pytest.mark.slow
def test_a_network_is_trained_by_the_real_worker(tmp_path: Path) -> None:
    study = str(tmp_path / "study")
    done = command(study, "--dataset", "digits", "--budget", "20s", "--seeds", "1", "--only", "shake_shake_26_2x32d", "--json")
    assert done.exit_code == 0, done.output
    (row,) = json.loads(done.stdout)["rows"]
    assert row["error_mean"] < 0.9, "better than a guess among ten"
    (attempt,) = StudyDir(Path(study)).trials.glob("*/0")
    assert {"curve.jsonl", "network.json", "samples.png"} <= {p.name for p in attempt.iterdir()}
    assert not (attempt / "checkpoint").exists(), "nobody continues it"
    assert row["params"] == pytest.approx(2.9e6, rel=0.02)
