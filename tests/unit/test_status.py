"""The figures of a study, worked out by hand from a small journal."""

import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import study_fakes
from click.testing import CliRunner
from rich.console import Console

from bohb_nas.cli import cli
from bohb_nas.errors import UsageError
from bohb_nas.records import Budgets, Evaluation, Origin, Result, Status, Trial, Value
from bohb_nas.report import live, tables
from bohb_nas.report.final import read_source, summary
from bohb_nas.report.status import rung, speed, status
from bohb_nas.store.journal import Event, Journal, State, read_events
from bohb_nas.store.stays import stay, use
from bohb_nas.store.study_dir import StudyDir

META: dict[str, Any] = {**study_fakes.META, "budgets": Budgets(min=1, max=9).to_json()}


def trial(n: int, budget: float, origin: Origin = Origin.RANDOM) -> Trial:
    rung = {1.0: 0, 3.0: 1, 9.0: 2}[budget]
    config: dict[str, Value] = {"momentum": 0.5 + n / 10, "crop": "on"}
    return Trial(trial_id=f"t{n}", config_id=f"c{n}", config=config, budget=budget, bracket=2, rung=rung, seed=0, origin=origin)


def result(n: int, loss: float | None, **engine: Any) -> Result:
    return Result(
        trial_id=f"t{n}",
        status=Status.OK if loss is not None else Status.OUT_OF_MEMORY,
        loss=loss,
        train_s=1.0,
        metrics={"new_s": 1.0},
        details={"engine": engine} if engine else {},
        message=None if loss is not None else "needs 99 GiB",
    )


@pytest.fixture
def study(tmp_path: Path) -> StudyDir:
    study = StudyDir(tmp_path / "study")
    study.make()
    study.write_meta(META)
    journal = Journal(study.journal, State())
    cpu0 = {"host": "h", "device": "cpu0"}
    for event in [
        Event(term=1, time=0.0),
        Event(term=1, time=1.0, trial=trial(0, 1.0), reason="first"),
        Event(term=1, time=2.0, result=result(0, 0.5, **cpu0, began=100.0, ended=101.5, idle_s=None)),
        Event(term=1, time=3.0, trial=trial(1, 1.0), reason="second"),
        Event(term=1, time=4.0, result=result(1, None, **cpu0, began=102.0, ended=103.0, idle_s=0.5)),
        Event(term=1, time=5.0, trial=trial(2, 3.0, Origin.MODEL), reason="model"),
        Event(term=1, time=6.0, result=result(2, 0.25, **cpu0, began=103.1, ended=104.0, idle_s=0.1)),
        Event(term=1, time=7.0, trial=trial(3, 1.0), reason="third"),
    ]:
        journal.write(event)
    return study


def test_the_contract_of_status_json(study: StudyDir) -> None:
    study.heartbeat("t3").write_text(json.dumps({"host": "h", "device": "cpu0", "pid": 1, "since": time.time() - 5}))
    shown = CliRunner().invoke(cli, ["status", str(study.path), "--json"])
    figures = json.loads(shown.stdout)
    assert (figures["evaluations"], figures["running"], figures["done"]) == (3, 1, False)
    assert figures["by_status"] == {"ok": 2, "out_of_memory": 1}
    assert figures["by_origin"] == {"random": 3, "model": 1}
    assert figures["by_budget"] == {
        "1": {"evaluations": 2, "failed": 1, "best_loss": 0.5, "median_loss": 0.5},
        "3": {"evaluations": 1, "failed": 0, "best_loss": 0.25, "median_loss": 0.25},
        "9": {"evaluations": 0, "failed": 0, "best_loss": None, "median_loss": None},
    }
    assert figures["incumbent"]["trial_id"] == "t2"
    assert figures["trials_running"][0]["worker"] == "h-cpu0"
    assert 5 <= figures["trials_running"][0]["elapsed_s"] < 60


def test_use_of_time_by_hand(study: StudyDir) -> None:
    used = status(study)["use_of_time"]
    assert used["worker_s"] == pytest.approx(4.0)  # from 100 to 104 on one worker
    assert used["train_share"] == pytest.approx(3.0 / 4.0)
    assert used["idle_median_s"] == pytest.approx(0.3)  # of 0.5 and 0.1


def test_time_between_two_workers_and_beside_the_search_is_not_the_searchs(study: StudyDir) -> None:
    state = State()
    for event in read_events(study.journal):
        state.apply(event)
    journal, cpu0 = Journal(study.journal, state), {"host": "h", "device": "cpu0"}
    later = [(4, 500.0, None, Origin.RANDOM), (5, 503.0, 1.0, Origin.RANDOM), (6, 900.0, None, Origin.BASELINE)]
    for n, began, idle_s, origin in later:
        journal.write(Event(term=1, time=8.0 + n, trial=trial(n, 1.0, origin), reason="later"))
        journal.write(Event(term=1, time=8.5 + n, result=result(n, 0.5, **cpu0, began=began, ended=began + 2.0, idle_s=idle_s)))
    used = status(study)["use_of_time"]
    assert used["worker_s"] == pytest.approx(4.0 + 5.0)  # from 100 to 104, and another worker's from 500 to 505
    assert used["train_share"] == pytest.approx(5.0 / 9.0)


def test_how_fast_a_step_was_is_said_beside_the_least_time(study: StudyDir) -> None:
    pace = {"images_per_s": 1250.0, "mfu": 0.27, "efficiency": 0.4, "bound": {"bytes": 3}, "n": 3}
    assert "the least time for a step is 40% of it" in text(tables.status({**status(study), "speed": pace}))


def test_the_median_of_enormous_losses_is_finite() -> None:
    told = [Evaluation(trial=trial(n, 1.0), result=result(n, loss)) for n, loss in enumerate((1.2e308, 1.6e308))]
    assert rung(told, 1.0)["median_loss"] == pytest.approx(1.4e308)
    assert rung([*told, *told[:1]], 1.0)["median_loss"] == 1.2e308


def test_speed_is_the_median_of_those_that_say_so() -> None:
    def told(n: int, rate: float, bound: str) -> Evaluation:
        metrics = {"images_per_s": rate, "mfu": rate / 1000, "efficiency": 0.5}
        return Evaluation(trial=trial(n, 1.0), result=replace(result(n, 0.5), metrics=metrics, details={"bound": bound}))

    silent = Evaluation(trial=trial(3, 1.0), result=result(3, 0.5))
    found = speed([told(0, 100, "bytes"), told(1, 300, "launches"), told(2, 200, "bytes"), silent])
    assert found == {"images_per_s": 200, "mfu": 0.2, "efficiency": 0.5, "bound": {"bytes": 2, "launches": 1}, "n": 3}
    assert speed([silent]) is None


def test_workers_that_say_nothing_have_no_use_of_time() -> None:
    assert stay(result(0, 0.5)) is None
    assert use([]) is None


def test_the_contract_of_best_json(study: StudyDir) -> None:
    folder = study.new_attempt("t2") / "checkpoint"
    folder.mkdir()
    shown = CliRunner().invoke(cli, ["best", str(study.path), "--json"])
    found = json.loads(shown.stdout)
    assert {k: found[k] for k in ("trial_id", "config_id", "config", "budget", "loss", "origin", "checkpoint")} == {
        "trial_id": "t2",
        "config_id": "c2",
        "config": {"momentum": 0.7, "crop": "on"},
        "budget": 3.0,
        "loss": 0.25,
        "origin": "model",
        "checkpoint": str(folder),
    }


def test_best_of_a_study_without_success_exits_1(tmp_path: Path) -> None:
    study = StudyDir(tmp_path / "study")
    study.make()
    study.write_meta(META)
    shown = CliRunner().invoke(cli, ["best", str(study.path)])
    assert shown.exit_code == 1
    assert "none yet" in shown.stdout


def text(renderable: Any) -> str:
    console = Console(width=120)
    with console.capture() as captured:
        console.print(renderable)
    return captured.get()


def test_what_people_see(study: StudyDir) -> None:
    shown = text(tables.status(status(study)))
    assert "3 evaluations, 1 running, not led" in shown
    assert "workers trained 75% of their time, idle between trials 0.30 s" in shown
    assert "incumbent t2: loss 0.25 at 3s (model)" in shown
    assert "momentum=0.7" in shown


def test_the_live_screen_shows_rungs_brackets_running_and_time_left(study: StudyDir) -> None:
    from bohb_nas.store.journal import fold

    state = fold(study.journal)
    state.last = time.time()
    shown = text(live.screen(study, META, state, n_workers=2, worth=10.0))
    assert "2 workers" in shown
    assert "s=2: 2/3 1/1" in shown
    assert "waiting" in shown
    assert "3 random, 1 model" in shown
    assert "led for 7s · about 7s left" in shown  # 5 of 10 told in 7 s
    state.last -= 4
    assert "led for 11s · about 3s left" in text(live.screen(study, META, state, n_workers=2, worth=10.0)), "4 s after the last line"


def test_a_line_for_every_event(study: StudyDir) -> None:
    from bohb_nas.store.journal import fold, read_events

    state = fold(study.journal)
    lines = [live.line(e, state, "s") for e in read_events(study.journal)]
    assert lines[0] == "lead term 1"
    assert lines[1] == "ask  t0 c0 bracket 2 rung 0 budget 1s (random: first)"
    assert lines[4] == "tell t1 out_of_memory after 1s: needs 99 GiB"
    assert lines[6] == "tell t2 loss 0.25 after 1s  <- incumbent"


def test_what_train_takes_from_a_study_and_from_a_file(study: StudyDir, tmp_path: Path) -> None:
    source = read_source(study.path, budget=None, dataset=None, data_dir=None)
    assert (source.config, source.options["dataset"], source.budget, source.rung) == ({"momentum": 0.7, "crop": "on"}, "digits", 9.0, 2)
    assert read_source(study.path, budget=3.5, dataset=None, data_dir=None).rung == 1
    study.write_meta({**META, "worker_options": {"dataset": "digits", "network": "/gone/mine.py", "precision": "fp32"}})
    (study.inputs / "network-mine.py").write_text("")
    options = read_source(study.path, budget=None, dataset=None, data_dir=None, options={"precision": "bf16"}).options
    mine = str(study.inputs / "network-mine.py")
    # one step is enough: the incumbent has been trained already, however slow the device may be now
    assert options == {"dataset": "digits", "network": mine, "precision": "bf16", "min_steps": 1}
    study.write_meta({**META, "data_fingerprint": "abc", "skip_unreadable": True})
    assert read_source(study.path, budget=None, dataset=None, data_dir=None, options={"min_steps": 5}).options["min_steps"] == 5
    assert read_source(study.path, budget=None, dataset=None, data_dir=None).fingerprint == "abc"
    assert read_source(study.path, budget=None, dataset=None, data_dir=None).skip_unreadable
    other = read_source(study.path, budget=None, dataset="svhn", data_dir=None)
    assert (other.fingerprint, other.skip_unreadable) == (None, False), "another set may differ"
    file = tmp_path / "config.json"
    for content in ({"batch_size": 64}, {"config": {"batch_size": 64}, "loss": 0.1}):
        file.write_text(json.dumps(content))
        assert read_source(file, budget=9.0, dataset="digits", data_dir=None).config == {"batch_size": 64}
    with pytest.raises(UsageError, match="--budget and --dataset"):
        read_source(file, budget=None, dataset="digits", data_dir=None)
    for nonsense in ("", "{", "[]", "{}", "3", '{"a": NaN}', '{"a": 1, "a": 2}'):
        file.write_text(nonsense)
        with pytest.raises(UsageError, match=r"not JSON|no configuration"):
            read_source(file, budget=9.0, dataset="digits", data_dir=None)


def test_the_summary_of_seeds_by_hand() -> None:
    rows = [{"test_error": e, "params": 5.0, "flops": 7.0} for e in (0.02, 0.04, None)]
    figures = summary(rows, dataset="digits", budget=9.0)
    assert figures["n_seeds"] == 2
    assert figures["test_error_mean"] == pytest.approx(0.03)
    assert figures["test_error_sd"] == pytest.approx(0.0141421, rel=1e-4)
    assert summary([rows[2]], dataset="digits", budget=9.0)["test_error_mean"] is None


def test_best_says_that_whatever_succeeded_breaks_a_constraint(tmp_path: Path) -> None:
    study = StudyDir(tmp_path / "study")
    study.make()
    study.write_meta({**META, "constraints": ["params<=1"]})
    journal = Journal(study.journal, State())
    journal.write(Event(term=1, time=8.0))
    journal.write(Event(term=1, time=8.0, trial=study_fakes.trial(0), reason="first"))
    broken = replace(study_fakes.result(0, 0.5), details={"violates": ["params<=1"]})
    journal.write(Event(term=1, time=8.0, result=broken))
    shown = CliRunner().invoke(cli, ["best", str(study.path)])
    assert shown.exit_code == 1
    assert shown.stdout == "incumbent: none yet; whatever succeeded breaks a constraint\n"


def test_what_breaks_a_constraint_is_counted_and_is_neither_best_nor_trained(study: StudyDir) -> None:
    from bohb_nas.store.journal import fold

    study.write_meta({**META, "constraints": ["params<=5"]})
    journal = Journal(study.journal, fold(study.journal))
    lower = Result(trial_id="t3", status=Status.OK, loss=0.01, train_s=1.0, details={"violates": ["params<=5"]})
    told = Event(term=1, time=8.0, result=lower)
    journal.write(told)
    figures = status(study)
    assert (figures["constraints"], figures["violating"], figures["evaluations"]) == (["params<=5"], 1, 4)
    assert figures["by_status"] == {"ok": 3, "out_of_memory": 1}
    assert figures["by_budget"]["1"] == {"evaluations": 3, "failed": 1, "best_loss": 0.5, "median_loss": 0.5}
    assert figures["incumbent"]["trial_id"] == "t2"
    assert json.loads(CliRunner().invoke(cli, ["best", str(study.path), "--json"]).stdout)["trial_id"] == "t2"
    assert read_source(study.path, budget=None, dataset=None, data_dir=None).config == {"momentum": 0.7, "crop": "on"}
    assert "constraints: params<=5; broken by 1 result, which does not count" in text(tables.status(figures))
    assert "incumbent: none yet; whatever succeeded breaks a constraint" in text(tables.status({**figures, "incumbent": None}))
    assert live.line(told, journal.state, "s") == "tell t3 loss 0.01, breaks params<=5 after 1s"


@pytest.mark.parametrize(("metrics", "goes_on"), [({"new_s": 1.0}, False), ({"new_s": 1.0, "latency": 3.0}, True)])
def test_a_search_that_ended_because_a_metric_never_came_is_not_said_to_be_resumed(
    tmp_path: Path, metrics: dict[str, float], goes_on: bool
) -> None:
    study = StudyDir(tmp_path / "study")
    study.make()
    study.write_meta({**META, "constraints": ["latency<=5"]})
    journal = Journal(study.journal, State())
    for event in (
        Event(term=1, time=8.0),
        Event(term=1, time=8.0, trial=study_fakes.trial(0), reason="first"),
        Event(term=1, time=9.0, result=replace(study_fakes.result(0, 0.5), metrics=metrics)),
        Event(term=2, time=10.0),
    ):
        journal.write(event)
    figures = status(study)
    shown = " ".join(text(tables.status(figures)).split())
    assert ("not led; the same `run` resumes it" in shown) is goes_on
    assert "not led" in shown
    why = "constraint on latency: the worker does not return it (trial t0); it returns: new_s. The evaluation is kept: start a new study"
    assert ((figures["refused"] or "").startswith(why), why in shown) == (not goes_on, not goes_on)
    journal.write(Event(term=2, time=11.0, trial=study_fakes.trial(1), reason="second"))
    assert status(study)["refused"] is None, "it went on: its space tells the metric before training"
    journal.write(Event(term=2, time=12.0, result=replace(study_fakes.result(1, 0.5), metrics=metrics)))
    assert status(study)["refused"] is None, "stopped after one more"
