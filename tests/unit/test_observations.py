"""What counts as an observation, and when: rules and clocks worked out by hand."""

from pathlib import Path

import pytest
from analysis_fakes import Run, make_study

from bohb_nas.analysis.observations import mean, observe, read, strangers, worst_loss
from bohb_nas.analysis.pace import pace
from bohb_nas.errors import JournalError, StudyError, UsageError
from bohb_nas.records import Origin, Status
from bohb_nas.report.status import status
from bohb_nas.search_spaces.toy import space as toy
from bohb_nas.store.journal import Event, fold
from bohb_nas.store.study_dir import StudyDir


def test_what_diverged_counts_as_the_worst_loss_and_other_failures_do_not_count(tmp_path: Path) -> None:
    runs = [
        Run(config_id="a", loss=0.2),
        Run(config_id="b", loss=0.7),
        Run(config_id="c", loss=Status.DIVERGED),
        Run(config_id="d", loss=Status.CRASHED),
        Run(config_id="e", loss=Status.OUT_OF_MEMORY),
        Run(config_id="f", loss=0.9, budget=3.0),
    ]
    told = read(make_study(tmp_path / "s", runs)).told
    assert worst_loss(told, 1.0) == 0.7
    found = observe(told, 1.0, worst=0.7)
    assert found.config_ids == ("a", "b", "c")
    assert found.losses.tolist() == [0.2, 0.7, 0.7]
    assert (found.n_left_out, found.n_diverged) == (2, 1)


def test_where_everything_diverged_nothing_is_known(tmp_path: Path) -> None:
    told = read(make_study(tmp_path / "s", [Run(config_id="a", loss=Status.DIVERGED)])).told
    assert worst_loss(told, 1.0) is None
    found = observe(told, 1.0, worst=None)
    assert (len(found), found.n_left_out, found.n_diverged) == (0, 1, 0)


def test_one_configuration_is_one_observation_with_the_mean_of_its_losses(tmp_path: Path) -> None:
    runs = [Run(config_id="a", loss=0.25), Run(config_id="b", loss=0.5), Run(config_id="a", loss=0.75, seed=1)]
    found = observe(read(make_study(tmp_path / "s", runs)).told, 1.0, worst=0.75)
    assert (found.config_ids, found.losses.tolist()) == (("a", "b"), [0.5, 0.5])


def test_a_result_that_breaks_a_constraint_is_an_observation(tmp_path: Path) -> None:
    runs = [Run(config_id="a", loss=0.1, details={"violates": ["params <= 10"]})]
    assert observe(read(make_study(tmp_path / "s", runs)).told, 1.0, worst=0.1).losses.tolist() == [0.1]


def test_baselines_and_probes_are_not_of_the_search(tmp_path: Path) -> None:
    runs = [Run(config_id="a"), Run(config_id="b", origin=Origin.BASELINE), Run(config_id="c", origin=Origin.PROBE)]
    record = read(make_study(tmp_path / "s", runs))
    assert [one.trial.config_id for one in record.search] == ["a"]
    assert [one.trial.config_id for one in record.of(Origin.PROBE)] == ["c"]


def test_time_begins_with_the_first_ask_and_stands_still_while_nobody_leads(tmp_path: Path) -> None:
    a, b = Run(config_id="a"), Run(config_id="b")
    study = make_study(tmp_path / "s")
    lines = [
        Event(term=1, time=100.0),
        Event(term=1, time=110.0, trial=a.trial),
        Event(term=1, time=130.0, result=a.result),
        Event(term=2, time=1000.0, until=135.0),  # the first master was last seen 5 s after its last line
        Event(term=2, time=1007.0, trial=b.trial),
        Event(term=2, time=1020.0, result=b.result),
    ]
    study.journal.write_text("".join(event.to_line() + "\n" for event in lines))
    record = read(study)
    assert [(one.asked, one.told) for one in record.told] == [(0.0, 20.0), (32.0, 45.0)]
    assert record.span_s == 45.0


def test_the_clock_of_an_analysis_is_that_of_the_stop_rule(tmp_path: Path) -> None:
    a, b, c, baseline = Run(config_id="a"), Run(config_id="b"), Run(config_id="c"), Run(config_id="d", origin=Origin.BASELINE)
    study = make_study(tmp_path / "s")
    lines = [
        Event(term=1, time=100.0),
        Event(term=1, time=100.0, trial=a.trial),
        Event(term=1, time=120.0, result=a.result),  # 20 s
        Event(term=1, time=121.0, trial=b.trial),  # 1 s
        Event(term=2, time=500.0, until=131.0),  # 10 s
        Event(term=2, time=505.0, result=b.result),  # 5 s
        Event(term=2, time=600.0, trial=baseline.trial),
        Event(term=2, time=650.0, result=baseline.result),
        Event(term=3, time=700.0, until=507.0),  # before the last line
        Event(term=3, time=703.0, trial=c.trial),  # 3 s
        Event(term=3, time=710.0, result=c.result),  # 7 s
    ]
    study.journal.write_text("".join(event.to_line() + "\n" for event in lines))
    assert read(study).span_s == fold(study.journal).led_s == 46.0


def test_a_rate_of_an_analysis_is_that_of_the_status(tmp_path: Path) -> None:
    a, b, baseline = Run(config_id="a"), Run(config_id="b"), Run(config_id="d", origin=Origin.BASELINE)
    study = make_study(tmp_path / "s")
    lines = [
        Event(term=1, time=100.0),  # stopped while it started
        Event(term=2, time=200.0, until=109.0),
        Event(term=2, time=230.0, trial=a.trial),
        Event(term=2, time=250.0, result=a.result),  # 20 s
        Event(term=2, time=251.0, trial=baseline.trial),
        Event(term=2, time=261.0, result=baseline.result),
        Event(term=3, time=500.0, until=250.0),
        Event(term=3, time=505.0, trial=b.trial),  # 5 s
        Event(term=3, time=512.0, result=b.result),  # 7 s
    ]
    study.journal.write_text("".join(event.to_line() + "\n" for event in lines))
    record = read(study)
    assert pace(record.told, span_s=record.span_s, used_s=record.used_s)["evaluations_per_hour"] == 225.0 == 2 / 32 * 3600
    overall = status(study)["throughput"]["overall"]
    assert (overall["evaluations_per_hour"], overall["hours"]) == (225.0, 32 / 3600)


def test_what_outlives_its_master_is_in_no_rate_without_its_time(tmp_path: Path) -> None:
    """A device trains from 100 to 121 and from 121 to 131; somebody leads from 100 to 104, and from 120 on."""

    def run(name: str, began: float, ended: float) -> Run:
        engine = {"host": "h", "device": "g0", "began": began, "ended": ended, "idle_s": None, "attempt": 0}
        return Run(config_id=name, details={"engine": engine}, metrics={"new_s": ended - began})

    a, b = run("a", 100.0, 121.0), run("b", 121.0, 131.0)
    study = make_study(tmp_path / "s")
    lines = [
        Event(term=1, time=100.0),
        Event(term=1, time=100.0, trial=a.trial),
        Event(term=2, time=120.0, until=104.0),  # 4 s
        Event(term=2, time=121.0, result=a.result),  # 1 s
        Event(term=2, time=121.0, trial=b.trial),
        Event(term=2, time=131.0, result=b.result),  # 10 s
    ]
    written = [event.to_line() + "\n" for event in lines]
    study.journal.write_text("".join(written))
    record, overall = read(study), status(study)["throughput"]["overall"]
    used = pace(record.told, span_s=record.span_s, used_s=record.used_s)
    assert (used["span_s"], used["used_s"], used["device_hours"] * 3600) == (15.0, 31.0, 31.0)
    assert overall == {"hours": 31 / 3600, "evaluations_per_hour": 2 / 31 * 3600, "device_hours_per_hour": 1.0}
    assert used["evaluations_per_hour"] == overall["evaluations_per_hour"]
    study.journal.write_text("".join(written[:4]))
    assert status(study)["throughput"]["overall"]["device_hours_per_hour"] == 1.0, "21 s of 21, of which somebody led 5"


def test_time_stands_still_for_baselines_but_not_for_probes(tmp_path: Path) -> None:
    runs = [
        Run(config_id="a", asked=0.0, told=10.0),
        Run(config_id="p", asked=10.0, told=15.0, origin=Origin.PROBE),
        Run(config_id="h", asked=20.0, told=900.0, origin=Origin.BASELINE),
        Run(config_id="b", asked=901.0, told=905.0),
    ]
    told = {one.trial.config_id: (one.asked, one.told) for one in read(make_study(tmp_path / "s", runs)).told}
    assert told == {"a": (0.0, 10.0), "p": (10.0, 15.0), "h": (15.0, 15.0), "b": (16.0, 20.0)}


def test_a_study_of_baselines_alone_has_their_time(tmp_path: Path) -> None:
    study = make_study(tmp_path / "s", [Run(config_id="h", asked=5.0, told=25.0, origin=Origin.BASELINE)], space=None, method="baselines")
    study.space_json.unlink()
    study.write_meta(study.read_meta() | {"space": "baselines"})
    record = read(study)
    assert record.space is None
    assert [(one.asked, one.told) for one in record.told] == [(0.0, 20.0)]


def test_one_model_of_a_device_alone(tmp_path: Path) -> None:
    engine = {"host": "h", "device": "g0", "began": 0.0, "ended": 1.0, "model": "Fast 9"}
    runs = [Run(config_id="a", details={"engine": engine}), Run(config_id="b", details={"device": "Slow 1"}), Run(config_id="c")]
    study = make_study(tmp_path / "s", runs)
    assert [one.device for one in read(study).told] == ["Fast 9", "Slow 1", None]
    assert [one.trial.config_id for one in read(study, device="Slow 1").told] == ["b"]
    with pytest.raises(UsageError, match=r"'Fast 8'.*there are Fast 9, Slow 1"):
        read(study, device="Fast 8")


def test_configurations_of_another_space_are_strangers(tmp_path: Path) -> None:
    runs = [
        Run(config_id="a"),
        Run(config_id="b", config={"lr": 0.01, "optimizer": "lion", "width": 4}),
        Run(config_id="c", config={"depth": 3}),
    ]
    told = read(make_study(tmp_path / "s", runs)).told
    assert strangers(toy(), told) == {"b", "c"}
    assert strangers(toy(), told[:1]) == frozenset()


def test_the_mean_of_enormous_losses_is_finite() -> None:
    assert mean([1.5e308, 1.7e308]) == pytest.approx(1.6e308)


def test_what_is_no_study_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="no study in"):
        read(StudyDir(tmp_path))
    study = make_study(tmp_path / "damaged", [Run(config_id="a"), Run(config_id="b")])
    study.journal.write_text(study.journal.read_text().replace('"event":"tell"', '"event":"tall"', 1))
    with pytest.raises(JournalError, match="line 3 is damaged"):
        read(study)
    study = make_study(tmp_path / "without a space")
    study.space_json.unlink()
    with pytest.raises(StudyError, match=r"space\.json cannot be read"):
        read(study)


def test_a_torn_last_line_of_a_running_study_is_not_there_yet(tmp_path: Path) -> None:
    study = make_study(tmp_path / "s", [Run(config_id="a"), Run(config_id="b")], done=False)
    study.journal.write_bytes(study.journal.read_bytes()[:-20])
    record = read(study)
    assert ([one.trial.config_id for one in record.told], record.done) == (["a"], False)


def test_the_time_between_two_attempts_at_a_trial_is_in_no_rate(tmp_path: Path) -> None:
    """Led and trained from 100 to 400, stopped, resumed at 5000 and trained to the end at 5700: 1000 s in all."""
    engine = {"host": "h", "device": "g0", "began": 5000.0, "ended": 5700.0, "idle_s": None, "attempt": 1}
    a = Run(config_id="a", details={"engine": engine, "attempt_s": 700.0}, metrics={"new_s": 1000.0})
    study = make_study(tmp_path / "s")
    lines = [
        Event(term=1, time=100.0),
        Event(term=1, time=100.0, trial=a.trial),
        Event(term=2, time=5000.0, until=400.0),
        Event(term=2, time=5700.0, result=a.result),
    ]
    study.journal.write_text("".join(event.to_line() + "\n" for event in lines))
    record = read(study)
    assert (record.span_s, record.used_s) == (1000.0, 1000.0)
    assert status(study)["throughput"]["overall"] == {
        "hours": 1000 / 3600, "evaluations_per_hour": 3.6, "device_hours_per_hour": 1.0
    }  # fmt: skip
