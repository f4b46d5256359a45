"""The findings of whole studies: an old one, and every kind of bad input."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from analysis_fakes import Run, explain, make_study
from ConfigSpace import Categorical, ConfigurationSpace, Float
from scipy import stats

from bohb_nas.analysis.findings import Findings
from bohb_nas.analysis.study import find
from bohb_nas.files import dump_json
from bohb_nas.records import Origin, Status, Value
from bohb_nas.report.status import status
from bohb_nas.search_spaces.toy import space as toy
from bohb_nas.space.encoding import Encoding
from bohb_nas.store.journal import fold
from bohb_nas.store.study_dir import StudyDir

GOLDEN = Path(__file__).parents[1] / "golden" / "study-format-1"
"""Made by the version that wrote format 1."""


def many(n: int, *, budget: float = 1.0, origin: Origin = Origin.RANDOM) -> list[Run]:
    encoding = Encoding(toy())
    return [
        Run(config_id=f"c{k}", config=encoding.sample(k), loss=1.0 - k / 100, asked=float(k), told=k + 1.0, budget=budget, origin=origin)
        for k in range(n)
    ]


def found(study: StudyDir) -> Findings:
    """What is found, which is JSON."""
    said = find(study, explain=explain)
    dump_json(said)
    return said


def cautions(said: Findings) -> list[str]:
    return [sentence["text"] for sentence in said["sentences"] if sentence["about"] == "caution"]


def test_a_study_of_an_older_version(tmp_path: Path) -> None:
    study = StudyDir(Path(shutil.copytree(GOLDEN, tmp_path / "study")))
    said = found(study)
    assert (said["study"]["n_trials"], said["study"]["done"], said["study"]["method"]) == (40, True, "bohb")
    assert said["study"]["by_origin"] == {"random": 21, "promoted": 10, "model": 9}
    assert [(b["budget"], b["n"], b["n_told"]) for b in said["budgets"]] == [(1.0, 18, 18), (3.0, 12, 12), (9.0, 10, 10)]
    assert [(pair["low"], pair["high"], pair["n"]) for pair in said["rank_correlation"]] == [(1.0, 3.0, 6), (1.0, 9.0, 2), (3.0, 9.0, 4)]
    best = fold(study.journal).incumbent
    assert best is not None
    assert said["incumbent"] is not None
    assert (
        (said["incumbent"]["trial_id"], said["incumbent"]["loss"])
        == (best.trial.trial_id, best.result.loss)
        == ("t00037", 0.3509340303721681)
    )
    assert said["incumbents"][-1]["trial_id"] == "t00037"
    assert len(said["trajectory"]) == len(said["trials"]) == 40
    assert said["over_budgets"] is not None
    assert said["over_budgets"]["n"] == 30  # 21 random and 9 of the model; the 10 that were promoted are among them
    assert said["ablation"] is not None
    assert (said["ablation"]["start"], said["ablation"]["budget"]) == ("default", 9.0)
    assert not cautions(said)


def test_reading_changes_nothing(tmp_path: Path) -> None:
    study = StudyDir(Path(shutil.copytree(GOLDEN, tmp_path / "study")))
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in study.path.rglob("*")}
    found(study)
    assert {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in study.path.rglob("*")} == before


def test_no_evaluation(tmp_path: Path) -> None:
    said = found(make_study(tmp_path / "s", done=False))
    assert (said["budgets"], said["trials"], said["incumbent"], said["over_budgets"]) == ([], [], None, None)
    assert said["study"]["budgets"] == [1.0, 3.0, 9.0]
    assert cautions(said) == ["No evaluation has ended yet"]
    study = make_study(tmp_path / "without a journal", done=False)
    study.journal.unlink()
    assert found(study)["trials"] == []


def test_one_evaluation(tmp_path: Path) -> None:
    said = found(make_study(tmp_path / "s", [Run(config_id="a", loss=0.25, told=3600.0)]))
    (budget,) = said["budgets"]
    assert budget["losses"] == [0.25] * 5
    assert budget["refused"] is not None
    assert (said["rank_correlation"], said["over_budgets"], said["ablation"]) == ([], None, None)
    assert said["pace"]["evaluations_per_hour"] == 1.0
    assert said["incumbent"] is not None


def test_one_budget(tmp_path: Path) -> None:
    said = found(make_study(tmp_path / "s", many(20)))
    assert [(b["budget"], b["n"], b["selected"]) for b in said["budgets"]] == [(1.0, 20, None)]
    assert (said["rank_correlation"], said["shapes"], said["over_budgets"]) == ([], [], None)
    assert said["ablation"] is not None
    assert said["budgets"][0]["losses"] == pytest.approx([0.81, 0.8575, 0.905, 0.9525, 1.0])


def test_everything_failed(tmp_path: Path) -> None:
    runs = [replace(run, loss=Status.CRASHED, message="Traceback\n  x\nno luck") for run in many(12)]
    runs += [Run(config_id="d", loss=Status.DIVERGED)]
    said = found(make_study(tmp_path / "s", runs))
    (budget,) = said["budgets"]
    assert (budget["n_failed"], budget["losses"], budget["refused"]) == (13, None, "no observation of the search")
    assert budget["by_status"] == {"crashed": 12, "diverged": 1}
    assert (said["incumbent"], said["trajectory"]) == (None, [])
    assert said["trials"][0]["message"] == "no luck"
    assert cautions(said) == ["Left out: 13 failed trials, which say nothing of configurations"]


def test_one_failed_trial_says_nothing_of_configurations(tmp_path: Path) -> None:
    runs = [*many(12), Run(config_id="d", loss=Status.CRASHED)]
    assert cautions(found(make_study(tmp_path / "s", runs))) == ["Left out: 1 failed trial, which says nothing of configurations"]


def test_identical_losses(tmp_path: Path) -> None:
    runs = [replace(run, loss=0.5) for run in many(20)] + [replace(run, loss=0.5) for run in many(8, budget=3.0, origin=Origin.PROMOTED)]
    said = found(make_study(tmp_path / "s", runs))
    (pair,) = said["rank_correlation"]
    assert (pair["spearman"], pair["note"]) == (
        None,
        "nothing to rank: all 8 in common have one loss at 1s",
    )
    assert len(said["incumbents"]) == 2  # the first at either budget


def test_enormous_losses(tmp_path: Path) -> None:
    losses = [1e300, -1e300, 1.7e308, -1.7e308] * 4
    runs = [replace(run, loss=loss) for run, loss in zip(many(16), losses, strict=True)]
    runs += [replace(run, loss=loss) for run, loss in zip(many(16, budget=3.0, origin=Origin.MODEL), losses, strict=True)]
    said = found(make_study(tmp_path / "s", runs))
    assert said["budgets"][0]["losses"] == [-1.7e308, pytest.approx(-4.25e307, rel=1e-6), 0.0, pytest.approx(4.25e307, rel=1e-6), 1.7e308]
    assert said["rank_correlation"][0]["spearman"] == pytest.approx(1.0)


def test_one_value_of_a_parameter(tmp_path: Path) -> None:
    space = ConfigurationSpace(space={"x": (0.0, 1.0)})
    space.add(Categorical("only", ["one"]), Float("y", (0.0, 1.0)))
    rng = np.random.default_rng(0)
    runs = [Run(config_id=f"c{k}", config={"x": float(rng.random()), "y": 0.5, "only": "one"}, loss=float(rng.random())) for k in range(12)]
    said = found(make_study(tmp_path / "s", runs, space=space))
    assert {h["name"]: h["kind"] for h in said["hyperparameters"]} == {"x": "float", "only": "constant", "y": "float"}
    assert said["ablation"] is not None
    assert [step["names"] for step in said["ablation"]["steps"]] == [["x"]]  # y is the default, of `only` there is no choice


def test_probes_have_a_table_of_their_own_and_count_for_importance(tmp_path: Path) -> None:
    probes = [replace(run, origin=Origin.PROBE, config_id=f"p{k}") for budget in (1.0, 3.0) for k, run in enumerate(many(5, budget=budget))]
    said = found(make_study(tmp_path / "s", many(3) + probes))
    assert said["rank_correlation"] == []
    (pair,) = said["rank_probe"]
    assert (pair["n"], pair["note"]) == (5, None)
    assert pair["spearman"] == pytest.approx(1.0)
    assert [b["n"] for b in said["budgets"]] == [8, 5], "nothing selected them: they count for importance"
    assert {shape["config_id"] for shape in said["shapes"]} == {f"p{k}" for k in range(5)}
    assert len(said["trials"]) == 13


def test_losses_of_a_budget_are_the_searchs_alone(tmp_path: Path) -> None:
    runs = [
        *(Run(config_id=f"a{k}", loss=loss) for k, loss in enumerate((0.3, 0.5, 0.8))),
        Run(config_id="p", loss=0.1, origin=Origin.PROBE),
        Run(config_id="baseline-wrn-0123abcd", loss=0.2, origin=Origin.BASELINE),
    ]
    (budget,) = found(make_study(tmp_path / "s", runs))["budgets"]
    assert budget["losses"] == pytest.approx([0.3, 0.4, 0.5, 0.65, 0.8])
    assert budget["n_told"] == 5


def test_what_diverged_counts_as_the_worst_loss_of_search_and_probes_alike(tmp_path: Path) -> None:
    low: list[float | Status] = [0.1, 0.2, 0.3, 0.4, 0.5, Status.DIVERGED]
    high: list[float | Status] = [0.15, 0.1, 0.3, 0.35, 0.6, 0.5]
    probes = [
        Run(config_id=f"p{k}", budget=budget, loss=loss, origin=Origin.PROBE)
        for budget, losses in ((1.0, low), (3.0, high))
        for k, loss in enumerate(losses)
    ]
    search = [Run(config_id="a", loss=0.9), *(Run(config_id=f"m{k}", loss=Status.DIVERGED, origin=Origin.MODEL) for k in range(2))]
    (pair,) = found(make_study(tmp_path / "s", probes + search))["rank_probe"]
    assert pair["spearman"] == pytest.approx(stats.spearmanr([0.1, 0.2, 0.3, 0.4, 0.5, 0.9], high).statistic)
    alone = [replace(run, loss=0.3) if run.config_id == "a" else run for run in search]
    (test, *_) = found(make_study(tmp_path / "t", probes + alone))["model"]
    assert test["median_model"] == 0.5, "the worst probe's"


def test_what_is_left_out_does_not_say_what_diverging_is_worth(tmp_path: Path) -> None:
    """A configuration that the space does not have."""
    diverged = Run(config_id="d", loss=Status.DIVERGED, config={"lr": 0.1, "optimizer": "adam", "width": 3})
    runs = [*many(20), diverged, Run(config_id="strange", loss=1000.0, config={"depth": 3})]
    seen: list[float] = []

    def heard(space: ConfigurationSpace, configs: Any, losses: Any, **more: Any) -> Any:
        seen.extend(losses)
        return explain(space, configs, losses, **more)

    find(make_study(tmp_path / "s", runs), explain=heard)
    ended_well = [run.loss for run in many(20) if isinstance(run.loss, float)]
    assert max(seen) == max(ended_well)


def test_the_path_begins_at_the_best_baseline_that_is_of_the_space(tmp_path: Path) -> None:
    hand: dict[str, Value] = {"lr": 0.1, "optimizer": "adam", "width": 16}
    baselines = [
        Run(config_id="baseline-strange-01234567", origin=Origin.BASELINE, loss=0.1, config={"baseline": "strange"}),
        Run(config_id="baseline-good-01234567", origin=Origin.BASELINE, loss=0.3, config=hand),
        Run(config_id="baseline-worse-01234567", origin=Origin.BASELINE, loss=0.4, config=hand | {"width": 1}),
    ]
    said = found(make_study(tmp_path / "s", many(20) + baselines))
    assert said["ablation"] is not None
    assert said["ablation"]["start"] == "good"
    assert said["comparison"] is not None
    assert [row["name"] for row in said["comparison"]["rows"]] == ["strange", "good", "worse", "c19-1-0"]
    assert len([sentence for sentence in said["sentences"] if sentence["about"] == "comparison"]) == 3
    assert said["budgets"][0]["n"] == 20


def test_several_devices_are_said_and_one_may_be_chosen(tmp_path: Path) -> None:
    def engine(model: str, k: int) -> dict[str, object]:
        return {"engine": {"host": model, "device": "g0", "began": 10.0 * k, "ended": 10.0 * k + 36.0, "model": model}}

    runs = [replace(run, details=engine("Fast 9" if k % 2 else "Slow 1", k)) for k, run in enumerate(many(6))]
    study = make_study(tmp_path / "s", runs)
    said = found(study)
    assert said["study"]["devices"] == {"Slow 1": 3, "Fast 9": 3}
    assert cautions(said)[0].startswith("Evaluations come from 2 models of devices (Fast 9, Slow 1)")
    assert said["pace"]["n_workers"] == 2
    assert said["hours"][0]["hours"] == pytest.approx([0.01 * k for k in range(1, 7)])
    one = find(study, explain=explain, device="Fast 9")
    assert [row["trial_id"] for row in one["trials"]] == ["c1-1-0", "c3-1-0", "c5-1-0"]
    assert cautions(one) == ["Only what was evaluated on Fast 9 counts: 3 evaluations"]


def test_what_interrupted_attempts_trained_is_held_and_not_trained_in_the_last_ones_time(tmp_path: Path) -> None:
    """Ten stays of 100 s in a row with 60 s of training each; of the last, 340 s more were trained elsewhere before."""

    def run(k: int) -> Run:
        engine = {"host": "h", "device": "cuda0", "began": 100.0 * k, "ended": 100.0 * k + 100, "idle_s": 0.0 if k else None, "attempt": 0}
        last = k == 9
        details = {"engine": engine, "attempt_s": 60.0} if last else {"engine": engine}
        return Run(config_id=f"c{k}", metrics={"new_s": 400.0 if last else 60.0}, details=details, asked=100.0 * k, told=100.0 * k + 100)

    said = found(make_study(tmp_path / "s", [run(k) for k in range(10)]))
    assert said["pace"]["train_share"] == pytest.approx(0.6)
    assert said["pace"]["device_hours"] * 3600 == pytest.approx(1340)
    assert said["hours"][0]["hours"][-1] * 3600 == pytest.approx(1340)


def test_a_running_study_with_a_torn_last_line(tmp_path: Path) -> None:
    study = make_study(tmp_path / "s", many(12), done=False)
    study.journal.write_bytes(study.journal.read_bytes()[:-30])
    said = found(study)
    assert (said["study"]["n_trials"], said["study"]["done"]) == (11, False)
    assert cautions(said) == ["The study is not done: its figures may change"]


def test_configurations_of_another_space_are_counted(tmp_path: Path) -> None:
    said = found(make_study(tmp_path / "s", [*many(12), Run(config_id="x", config={"depth": 1})]))
    assert (said["budgets"][0]["n"], said["budgets"][0]["n_told"]) == (12, 13)
    assert cautions(said) == ["Left out: 1 configuration that the space does not have"]


def test_nothing_is_chosen_among_what_breaks_a_constraint(tmp_path: Path) -> None:
    baselines = [
        Run(config_id="baseline-wrn-0123abcd", loss=loss, seed=seed, origin=Origin.BASELINE) for seed, loss in enumerate((0.8, 0.85))
    ]
    runs = [
        *(Run(config_id=f"a{k}", loss=0.3 + k / 10) for k in range(3)),
        *(Run(config_id=f"b{k}", loss=0.1, details={"violates": ["params<=5"]}) for k in range(4)),
    ]
    said = found(make_study(tmp_path / "s", [*baselines, *runs], constraints=["params<=5"]))
    (sentence,) = [one["text"] for one in said["sentences"] if one["about"] == "comparison"]
    assert "chosen among 3," in sentence


def test_losses_under_constraints_are_those_that_status_counts_and_the_summary_says_how_many_are_none(tmp_path: Path) -> None:
    runs = [
        *(Run(config_id=f"a{k}", loss=loss, asked=float(k), told=k + 1.0) for k, loss in enumerate((0.3, 0.5, 0.8))),
        Run(config_id="b", loss=0.1, asked=4.0, told=5.0, details={"violates": ["lat>=0.1"]}),
        Run(config_id="c", loss=0.2, asked=5.0, told=6.0, details={"violates": ["lat>=0.1", "params<=5"]}),
    ]
    study = make_study(tmp_path / "s", runs, constraints=["params<=5", "lat>=0.1"])
    said = found(study)
    (budget,) = said["budgets"]
    assert budget["losses"] == pytest.approx([0.3, 0.4, 0.5, 0.65, 0.8])
    shown = status(study)["by_budget"]["1"]
    assert (shown["best_loss"], shown["median_loss"]) == (0.3, 0.5)
    assert budget["n"] == 5, "they are observations all the same"
    assert cautions(said) == ["2 results break lat>=0.1 or params<=5: they count as observations, not as the incumbent"]
    alone = found(make_study(tmp_path / "alone", runs[3:4], constraints=["lat>=0.1"]))
    assert (alone["budgets"][0]["losses"], alone["incumbent"]) == (None, None)
    assert cautions(alone) == ["1 result breaks lat>=0.1: it counts as an observation, not as the incumbent"]
