"""Why a trial was asked, from a journal written by hand and from one that `bohb` led to."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from ConfigSpace import ConfigurationSpace, Float

from bohb_nas import Budgets, Origin, Result, Status, Trial, make_optimizer
from bohb_nas.cli import cli
from bohb_nas.methods._ladder import Ladder
from bohb_nas.report.why import why
from bohb_nas.store.journal import Event, Journal, State, fold
from bohb_nas.store.study_dir import FORMAT, StudyDir

META: dict[str, Any] = {
    "format": FORMAT,
    "space": "toy",
    "method": "bohb",
    "method_options": {},
    "worker": "toy",
    "worker_options": {},
    "budgets": Budgets(min=1, max=3).to_json(),
    "seed": 0,
    "promote": "restart",
    "cwd": "/",
    "stop": {"brackets": None, "trials": 9, "total_s": None},
}
HEARD = {
    "model": "rung 0",
    "results": 12,
    "good": 2,
    "trust": 0.5,
    "weight": 1.0,
    "log_ratio": 1.5,
    "rests_on": {"c00000": 0.75},
    "prior": 0.25,
}
PICK = {"candidates": 48, "rank": 1, "score": 1.5, "log_cost": 0.0, "heard": [HEARD]}


def trial(n: int, config: int, *, budget: float, origin: Origin) -> Trial:
    return Trial(
        trial_id=f"t{n:05d}",
        config_id=f"c{config:05d}",
        config={"x": 0.5},
        budget=budget,
        bracket=1,
        rung=int(budget > 1),
        seed=0,
        origin=origin,
    )


def ok(n: int, loss: float) -> Result:
    return Result(trial_id=f"t{n:05d}", status=Status.OK, loss=loss, train_s=1.0)


@pytest.fixture
def study(tmp_path: Path) -> StudyDir:
    study = StudyDir(tmp_path / "study")
    study.make()
    study.write_meta(META)
    journal = Journal(study.journal, State())
    journal.write(Event(term=1, time=0.0))
    journal.write(Event(term=1, time=1.0, trial=trial(0, 0, budget=1, origin=Origin.RANDOM), reason="no model"))
    journal.write(Event(term=1, time=2.0, result=ok(0, 0.25)))
    journal.write(Event(term=1, time=3.0, trial=trial(1, 1, budget=1, origin=Origin.MODEL), reason="model of rung 0", why=PICK))
    journal.write(Event(term=1, time=4.0, result=ok(1, 0.125)))
    journal.write(Event(term=1, time=5.0, trial=trial(2, 1, budget=3, origin=Origin.PROMOTED), reason="among the best"))
    return study


def test_a_pick_says_what_it_rests_on_and_what_became_of_that(study: StudyDir) -> None:
    found = why(study, "t00001")
    assert (found["asked"]["reason"], found["asked"]["why"]) == ("model of rung 0", PICK)
    assert found["observations"] == {"c00000": {"1": 0.25}}
    assert "proposed" not in found


def test_a_promoted_trial_says_why_its_configuration_was_proposed(study: StudyDir) -> None:
    found = why(study, "t00002")
    assert (found["asked"]["reason"], found["asked"]["why"]) == ("among the best", None)
    assert (found["proposed"]["trial_id"], found["proposed"]["why"]) == ("t00001", PICK)


def test_the_command_prints_both_ways(study: StudyDir) -> None:
    told = CliRunner().invoke(cli, ["status", str(study.path), "--why", "t00001"])
    assert told.exit_code == 0
    assert "c00000 75% (1s: 0.25), prior 25%" in " ".join(told.stdout.split())
    as_json = CliRunner().invoke(cli, ["status", str(study.path), "--why", "t00001", "--json"])
    assert json.loads(as_json.stdout)["asked"]["why"] == PICK


def test_an_earlier_studys_results_are_not_taken_for_configurations_of_this_one(study: StudyDir) -> None:
    journal = Journal(study.journal, fold(study.journal))
    old = {**HEARD, "model": "earlier study old, budget 1"}
    journal.write(Event(term=1, time=6.0, trial=trial(3, 2, budget=1, origin=Origin.MODEL), why={**PICK, "heard": [old]}))
    assert why(study, "t00003")["observations"] == {}
    told = CliRunner().invoke(cli, ["status", str(study.path), "--why", "t00003"])
    assert "its trial c00000" in told.stdout
    assert "0.25)" not in told.stdout, "the loss of this study's c00000"


@pytest.mark.parametrize("words", [{}, {"my": "method"}, {**PICK, "heard": [1, 2]}, {**PICK, "heard": None}, {**PICK, "score": None}])
def test_a_method_of_ones_own_explains_itself_as_it_likes(study: StudyDir, words: dict[str, Any]) -> None:
    journal = Journal(study.journal, fold(study.journal))
    journal.write(Event(term=1, time=6.0, trial=trial(3, 2, budget=1, origin=Origin.MODEL), why=words))
    told = CliRunner().invoke(cli, ["status", str(study.path), "--why", "t00003"])
    assert told.exit_code == 0
    assert "no reason given" in told.stdout
    assert json.dumps(words, separators=(",", ":")) in told.stdout.replace("\n", "")


def test_an_unknown_trial_is_refused_by_name(study: StudyDir) -> None:
    told = CliRunner().invoke(cli, ["status", str(study.path), "--why", "t9"])
    assert told.exit_code == 2
    assert "'t9'; asked were t00000 … t00002" in told.stderr


def test_every_pick_of_the_model_explains_itself_in_json() -> None:
    space = ConfigurationSpace({"x": Float("x", (0.0, 1.0))})
    optimizer = make_optimizer("bohb", space=space, budgets=Budgets(min=1, max=3))
    assert isinstance(optimizer, Ladder)
    picks = 0
    for n in range(60):
        asked = optimizer.ask()
        assert isinstance(asked, Trial)
        assert (optimizer.explanation is not None) == (asked.origin is Origin.MODEL)
        if optimizer.explanation is not None:
            picks += 1
            assert json.loads(json.dumps(optimizer.explanation)) == optimizer.explanation
            for heard in optimizer.explanation["heard"]:
                assert sum(heard["rests_on"].values()) + heard["prior"] <= 1.001
        value = asked.config["x"]
        assert isinstance(value, float)
        optimizer.tell(ok(n, (value - 0.3) ** 2))
    assert picks > 20
