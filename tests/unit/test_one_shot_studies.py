"""What a trial in which the worker searched by itself counts for: incumbent, figures, exports, later studies."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from analysis_fakes import META, Run, explain, make_study
from click.testing import CliRunner
from rich.console import Console

from bohb_nas.analysis.observations import read
from bohb_nas.analysis.study import findings
from bohb_nas.analysis.trajectory import incumbents
from bohb_nas.cli import cli
from bohb_nas.engine.warm_start import read_earlier
from bohb_nas.errors import KnowledgeError
from bohb_nas.records import Evaluation, Origin, Result, Status, Trial, Value
from bohb_nas.report import tables
from bohb_nas.report.html.summary import incumbent as shown_incumbent
from bohb_nas.report.status import best, status
from bohb_nas.report.summary import summary
from bohb_nas.search_spaces.toy import space as toy
from bohb_nas.store.journal import Event, State, fold
from bohb_nas.store.study_dir import StudyDir

FOUND: dict[str, Value] = {"lr": 0.001, "width": 3, "optimizer": "sgd", "momentum": 0.5}
READY = {"ready_to_use": True}


class Found(Run):
    """A search that found something."""

    @property
    def result(self) -> Result:
        made = super().result
        return Result(**{name: getattr(made, name) for name in made.__dataclass_fields__} | {"config": FOUND})


def search(loss: float = 0.01, *, budget: float = 3.0, name: str = "s", **more: Any) -> Run:
    return Found(config_id=name, loss=loss, budget=budget, origin=Origin.SEARCH, **more)


def trained(loss: float = 0.25, *, budget: float = 9.0, name: str = "m", **more: Any) -> Run:
    return Run(config_id=name, loss=loss, budget=budget, **{"origin": Origin.MODEL, "config": FOUND} | more)


def incumbent(runs: Sequence[Run]) -> str | None:
    state = State()
    for run in runs:
        state.apply(Event(term=1, time=0.0, trial=run.trial))
        state.apply(Event(term=1, time=1.0, result=run.result))
    return state.incumbent.trial.config_id if state.incumbent is not None else None


BASELINE = Run(config_id="b", loss=0.001, budget=9.0, origin=Origin.BASELINE)


@pytest.mark.parametrize(
    ("runs", "expected"),
    [
        ([search()], "s"),
        ([search(), trained()], "m"),
        ([trained(), search(budget=9.0)], "m"),
        ([search(budget=9.0), trained(budget=1.0)], "m"),
        ([search(), search(0.005, name="s2")], "s2"),
        ([BASELINE, search()], "s"),
        ([search(), BASELINE], "s"),
        ([search(details=READY), BASELINE], "s"),
        ([search(budget=9.0, details=READY), trained()], "s"),
        ([search(budget=9.0, details={"ready_to_use": 1}), trained()], "m"),
        ([search(budget=3.0, details=READY), trained()], "m"),
        ([search(details={"violates": ["params<=1"]})], None),
        ([Run(config_id="s", loss=0.01, origin=Origin.SEARCH)], None),
        ([Run(config_id="s", loss=Status.DIVERGED, origin=Origin.SEARCH)], None),
    ],
)
def test_the_loss_of_shared_weights_only_stands_in(tmp_path: Path, runs: list[Run], expected: str | None) -> None:
    assert incumbent(runs) == expected
    found = incumbents(read(make_study(tmp_path / "s", runs)).told)
    assert (found[-1].trial.config_id if found else None) == expected, "journal and analysis agree"


def test_a_search_counts_for_the_stop_rule() -> None:
    state = State()
    state.apply(Event(term=1, time=0.0, trial=search().trial))
    assert (state.n_asked, state.budget_asked, len(state.pending)) == (1, 3.0, 1)


def text(renderable: Any) -> str:
    console = Console(width=160)
    with console.capture() as captured:
        console.print(renderable)
    return captured.get()


def test_status_counts_a_search_and_leaves_its_loss_out_of_the_rungs(tmp_path: Path) -> None:
    study = make_study(tmp_path / "s", [search(budget=9.0), trained()])
    figures = status(study)
    assert figures["by_origin"] == {"search": 1, "model": 1}
    rung = figures["by_budget"]["9"]
    assert (rung["evaluations"], rung["best_loss"], rung["median_loss"]) == (2, 0.25, 0.25)
    assert (figures["incumbent"]["trial_id"], figures["incumbent"]["ready_to_use"]) == ("m-9-0", False)
    assert "search" in text(tables.status(figures))


def test_best_shows_what_was_found_and_the_model_that_is_ready(tmp_path: Path) -> None:
    study = make_study(tmp_path / "s", [search(details=READY)])
    for attempt in ("checkpoint", "model"):  # the folder alone is no model
        (study.trials / "s-3-0" / "0" / attempt).mkdir(parents=True)
    assert _best(study)["model"] is None
    assert "no longer there" in CliRunner().invoke(cli, ["best", str(study.path)]).stdout
    model = study.trials / "s-3-0" / "0" / "model"
    (model / "model.json").write_text("{}")
    study.drop_checkpoints("s-3-0")
    found = _best(study)
    assert (found["config"], found["origin"], found["checkpoint"]) == (FOUND, "search", None)
    assert (found["model"], found["ready_to_use"]) == (str(model), True)
    shown = CliRunner().invoke(cli, ["best", str(study.path)]).stdout
    assert f"model: {model}" in shown
    assert "ready for use" in shown


def _best(study: StudyDir) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(CliRunner().invoke(cli, ["best", str(study.path), "--json"]).stdout)
    return found


def test_a_loss_of_shared_weights_is_called_that(tmp_path: Path) -> None:
    study = make_study(tmp_path / "s", [search()])
    found = best(study, fold(study.journal))
    assert found is not None
    assert (found["model"], found["ready_to_use"]) == (None, False)
    assert "compares with no other" in text(tables.incumbent(found, "s"))


def test_a_search_is_no_observation(tmp_path: Path) -> None:
    told = [search(budget=9.0), trained(), trained(0.5, name="n", origin=Origin.RANDOM, config={**FOUND, "width": 4})]
    found = findings(read(make_study(tmp_path / "s", told)), explain)
    (entry,) = found["budgets"]
    assert (entry["n"], entry["n_told"], entry["by_origin"]) == (2, 3, {"search": 1, "model": 1, "random": 1})
    assert entry["losses"] is not None
    assert [entry["losses"][0], entry["losses"][-1]] == [0.25, 0.5]
    assert [p["trial_id"] for p in found["trajectory"]] == ["m-9-0", "n-9-0"]
    assert [p["trial_id"] for p in found["incumbents"]] == ["m-9-0"]
    assert [row["origin"] for row in found["trials"]] == ["search", "model", "random"]
    assert found["trials"][0]["config"] == FOUND
    assert found["incumbent"] is not None
    assert (found["incumbent"]["trial_id"], found["incumbent"]["ready_to_use"]) == ("m-9-0", False)


def test_a_network_that_is_ready_is_of_the_trajectory(tmp_path: Path) -> None:
    found = findings(read(make_study(tmp_path / "s", [search(details=READY)])), explain)
    assert [p["trial_id"] for p in found["trajectory"]] == [p["trial_id"] for p in found["incumbents"]] == ["s-3-0"]
    assert found["incumbent"] is not None
    assert (found["incumbent"]["config"], found["incumbent"]["ready_to_use"]) == (FOUND, True)
    assert (found["budgets"][0]["n"], found["budgets"][0]["losses"]) == (0, [0.01] * 5), "no observation, but a loss, as in `status`"


def test_an_analysis_says_whether_the_network_is_still_there(tmp_path: Path) -> None:
    study = make_study(tmp_path / "s", [search(details=READY)])
    gone = findings(read(study), explain)
    model = study.trials / "s-3-0" / "0" / "model"
    model.mkdir(parents=True)
    (model / "model.json").write_text("{}")
    there = findings(read(study), explain)
    for found, said in ((gone, "no longer there"), (there, "ready for use")):
        assert said in text(summary(found))
        assert said in shown_incumbent(found, None)
    assert "ready for use" not in text(summary(gone)) + shown_incumbent(gone, None)


def test_a_study_of_a_search_alone_has_an_incumbent_and_no_trajectory(tmp_path: Path) -> None:
    found = findings(read(make_study(tmp_path / "s", [search()])), explain)
    assert found["trajectory"] == found["incumbents"] == []
    assert found["incumbent"] is not None
    assert found["incumbent"]["trial_id"] == "s-3-0"


def test_the_analysis_says_that_a_network_is_ready(tmp_path: Path) -> None:
    study = make_study(tmp_path / "s", [search(budget=9.0, details=READY), trained()])
    model = study.trials / "s-9-0" / "0" / "model"
    model.mkdir(parents=True)
    (model / "model.json").write_text("{}")
    shown = CliRunner().invoke(cli, ["analyze", str(study.path), "--no-figures"])
    assert shown.exit_code == 0, shown.output
    assert "ready for use" in shown.stdout


def test_a_later_study_learns_from_the_training_not_from_the_search(tmp_path: Path) -> None:
    both = make_study(tmp_path / "both", [search(), trained()])
    history, notes = read_earlier([both.path], toy(), meta=META, own=tmp_path / "new")
    assert [(e.trial.config, e.result.loss) for e in history] == [(FOUND, 0.25)]
    assert "1 of 2 evaluations taken over" in notes[0]
    alone = make_study(tmp_path / "alone", [search(details=READY)])
    with pytest.raises(KnowledgeError, match="none to learn from"):
        read_earlier([alone.path], toy(), meta=META, own=tmp_path / "new")


def export(study: StudyDir, name: str, to: Path) -> str:
    shown = CliRunner().invoke(cli, ["export", str(study.path), "--format", name, "--to", str(to)])
    assert shown.exit_code == 0, shown.output
    return shown.stderr


def test_exports_have_a_search_with_what_it_found_and_hpbandster_has_no_word_for_it(tmp_path: Path) -> None:
    study = make_study(tmp_path / "s", [search(), trained()])
    export(study, "json", tmp_path / "x.json")
    rows = json.loads((tmp_path / "x.json").read_text())
    assert [(row["origin"], row["loss"], row["config.width"]) for row in rows] == [("search", 0.01, 3), ("model", 0.25, 3)]
    said = export(study, "hpbandster", tmp_path / "hpbandster")
    assert "1 evaluation of 1 configuration" in said
    assert "searches in a worker are left out" in said
    back = CliRunner().invoke(cli, ["import-hpbandster", str(tmp_path / "hpbandster"), str(tmp_path / "back")])
    assert back.exit_code == 0, back.output
    (told,) = fold(StudyDir(tmp_path / "back").journal).evaluations()
    assert (told.trial.origin, told.result.loss) == (Origin.MODEL, 0.25)
    export(study, "tensorboard", tmp_path / "runs")
    assert {path.parent.name for path in (tmp_path / "runs").rglob("events*")} == {"search", "s-3-0-0", "m-9-0-0"}


def test_a_search_survives_its_way_through_json() -> None:
    run = search(details=READY)
    evaluation = Evaluation(trial=run.trial, result=run.result)
    assert Evaluation.from_json(json.loads(json.dumps(evaluation.to_json()))) == evaluation
    assert Trial.from_json({**run.trial.to_json(), "origin": "search"}).origin is Origin.SEARCH
