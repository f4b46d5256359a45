"""From what was typed to a study that searches in the worker."""

import asyncio
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from ConfigSpace import ConfigurationSpace
from study_fakes import planned

from bohb_nas.baselines.run import worker_options
from bohb_nas.cli import cli
from bohb_nas.engine.devices import local_devices
from bohb_nas.engine.launch import build, new_space, reopen
from bohb_nas.engine.plan import Request, plan
from bohb_nas.engine.trainer import Trainer
from bohb_nas.engine.training_process import options_of
from bohb_nas.errors import OptionError, StudyError, UsageError
from bohb_nas.records import Origin, Status, Trial
from bohb_nas.report.final import read_source
from bohb_nas.simulation.entrants import entrants
from bohb_nas.store.journal import Event, Journal, State
from bohb_nas.store.study_dir import StudyDir

WORKER = """
from bohb_nas import Result, Status

def train(trial, workdir):
    if trial.origin == "search":
        (workdir / "model").mkdir()
        (workdir / "model" / "model.json").write_text("{}")
        found = {"lr": 0.001, "width": 3, "optimizer": "sgd", "momentum": 0.5}
        return Result(trial_id=trial.trial_id, status=Status.OK, loss=0.01, train_s=1.0, config=found, details={"ready_to_use": True})
    return Result(trial_id=trial.trial_id, status=Status.OK, loss=0.25 + trial.config["lr"], train_s=1.0)
"""


def request(method: str = "autohas", **more: Any) -> Request:
    said: dict[str, Any] = {"budget_max": 27.0, "dataset": "digits"}
    return Request(method=method, **said | more)


def test_the_method_brings_its_worker_its_space_and_what_it_is_told() -> None:
    meta = plan(request("autohas", method_options={"rollouts": 2, "search_s": 600, "retrain": False}, data_dir=Path("/data")))
    assert (meta["space"], meta["worker"], meta["method"]) == ("joint", "one_shot", "autohas")
    assert meta["worker_options"] == {
        "dataset": "digits",
        "data_dir": "/data",
        "full_validation_from_s": 27.0,
        "search": {"method": "autohas", "rollouts": 2},
    }
    assert plan(request("dha"))["space"] == "cell"
    assert plan(request("dha", space="toy"))["space"] == "toy"
    assert plan(request("dha"))["worker_options"]["search"] == {"method": "dha"}
    assert "search" not in plan(request("bohb"))["worker_options"]
    small = plan(request("dha", max_params=5e6))
    assert small["worker_options"]["search"] == {"method": "dha", "max_params": 5e6}
    assert small["constraints"] is None, "the worker keeps to it itself"


def test_a_search_that_is_one_training_promotes_nothing() -> None:
    with pytest.raises(UsageError, match="method dha promotes nothing"):
        plan(request("dha", promote="continue"))
    assert plan(request("dha", promote="restart"))["promote"] == "restart"
    assert plan(request("bohb", promote="continue"))["promote"] == "continue"


def test_a_controller_is_an_option_of_autohas() -> None:
    meta = plan(request(controller="paper"))
    assert meta["method_options"] == {"controller": "paper"}
    assert meta["worker_options"]["search"] == {"method": "autohas", "controller": "paper"}
    assert plan(Request(), base=meta)["method_options"] == {"controller": "paper"}
    assert plan(request(controller="paper", method_options={"rollouts": 2}))["method_options"] == {"controller": "paper", "rollouts": 2}
    with pytest.raises(UsageError, match="method dha has no controller"):
        plan(request("dha", controller="paper"))
    with pytest.raises(UsageError, match="method bohb has no controller"):
        plan(Request(controller="paper"))


@pytest.mark.parametrize(
    ("method", "name", "own"),
    [("autohas", "controller", "--controller"), ("autohas", "max_flops", "--max-flops"), ("dha", "max_params", "--max-params")],
)
def test_a_method_option_that_has_an_option_of_its_own_is_refused(method: str, name: str, own: str) -> None:
    with pytest.raises(UsageError, match=f"^--method-option {name}: say it with {own}$"):
        plan(request(method, method_options={name: 1e6}))
    assert plan(request("mine.py", method_options={name: 1e6}))["method_options"] == {name: 1e6}, "its own"


@pytest.mark.parametrize("worker", ["image_classifier", "command", "toy"])
def test_a_worker_that_does_not_search_is_refused(worker: str) -> None:
    with pytest.raises(UsageError, match=f"which {worker} does not: leave --worker out, or give one_shot"):
        plan(Request(method="autohas", worker=worker))


def test_a_worker_that_searches_takes_a_method_that_asks_for_it() -> None:
    with pytest.raises(UsageError, match="accepted are autohas, dha"):
        plan(Request(worker="one_shot"))
    with pytest.raises(UsageError, match="which command does not"):
        plan(Request(method="dha", command="train {lr}"))
    for name, value in (("search", {"method": "dha"}), ("space_file", "space.json")):
        with pytest.raises(UsageError, match=f"--worker-option {name}: what"):
            plan(request(worker_options={name: value}))
    with pytest.raises(UsageError, match="--budget-unit epochs: the worker one_shot trains for seconds"):
        plan(Request(method="dha", budget_unit="epochs", budget_max=9.0))


@pytest.mark.parametrize("worker", ["mine.py", "package:Worker"])
def test_ones_own_worker_is_told_what_is_typed(worker: str) -> None:
    meta = plan(Request(method="autohas", worker=worker, worker_options={"speed": 2}))
    assert meta["worker_options"] == {"speed": 2}


def test_a_search_in_the_worker_ends_by_itself_and_refuses_bad_options() -> None:
    meta = plan(request(space="toy"))
    parts = build(meta, new_space(meta))
    assert (parts.worth, parts.stop.worth) == (None, None)
    for said, why in (
        ({"controller": "best"}, "controller is 'best'"),
        ({"brackets": 3}, "no brackets"),
        ({"method_options": {"speed": 3}}, "method autohas has no option 'speed'; accepted are "),
    ):
        bad = plan(request(space="toy", **said))
        with pytest.raises(OptionError, match=why):
            build(bad, new_space(bad))


@pytest.fixture
def study(tmp_path: Path) -> StudyDir:
    return planned(tmp_path / "study", request(space="toy", method_options={"rollouts": 2}))


def test_what_the_search_is_told_may_not_differ_on_resume(study: StudyDir) -> None:
    meta, space = reopen(study, Request())
    assert meta["worker_options"]["search"] == {"method": "autohas", "rollouts": 2}
    assert isinstance(space, ConfigurationSpace)
    same, _ = reopen(study, request(space="toy", method_options={"rollouts": 2}))
    assert same == meta
    for other in (Request(controller="paper"), Request(method_options={"rollouts": 3})):
        with pytest.raises(StudyError, match="worker_options"):
            reopen(study, other)


def test_the_child_is_told_the_frozen_space_and_the_record_is_not(study: StudyDir) -> None:
    meta = study.read_meta()
    told = options_of(meta, None, space_json=study.space_json)
    assert told == {**meta["worker_options"], "space_file": str(study.space_json)}
    assert "space_file" not in meta["worker_options"]
    classifier = {**meta, "worker": "image_classifier"}
    assert options_of(classifier, {"dataset": "x"}, space_json=study.space_json) == {"dataset": "x"}, "as of an older study"
    known = {"data_fingerprint": "f"}
    assert options_of({**meta, **known}, None, space_json=study.space_json) == {**told, **known}
    assert options_of({**classifier, **known}, {"dataset": "x"}, space_json=study.space_json) == {"dataset": "x", **known}
    assert options_of({**meta, **known, "worker": "toy"}, {}, space_json=study.space_json) == {}


def test_what_is_trained_for_good_or_beside_the_search_hears_nothing_of_it(study: StudyDir) -> None:
    assert "search" not in worker_options(study.read_meta())
    trial = Trial(trial_id="t0", config_id="c0", config={"lr": 0.1}, budget=27.0, bracket=0, rung=3, seed=0, origin=Origin.SEARCH)
    journal = Journal(study.journal, State())
    journal.write(Event(term=1, time=0.0))
    journal.write(Event(term=1, time=1.0, trial=trial))
    found = {"trial_id": "t0", "status": "ok", "loss": 0.1, "train_s": 1.0, "config": {"lr": 0.5}}
    line = {"event": "tell", "term": 1, "time": 2.0, "result": found}
    with study.journal.open("a") as stream:
        stream.write(json.dumps(line) + "\n")
    source = read_source(study.path, budget=None, dataset=None, data_dir=None)
    assert (source.config, source.budget) == ({"lr": 0.5}, 27.0)
    assert source.options == {"dataset": "digits", "full_validation_from_s": 27.0, "min_steps": 1}


def test_a_trainer_may_have_another_worker_than_the_study(tmp_path: Path) -> None:
    for name, loss in (("one", 1.0), ("two", 2.0)):
        text = "from bohb_nas import Result, Status\ndef train(trial, workdir):\n"
        text += f"    return Result(trial_id=trial.trial_id, status=Status.OK, loss={loss}, train_s=1.0)\n"
        (tmp_path / f"{name}.py").write_text(text)
    study = planned(tmp_path / "study", Request(space="toy", worker=str(tmp_path / "one.py")))
    trial = Trial(trial_id="t0", config_id="c0", config={}, budget=1.0, bracket=0, rung=0, seed=0, origin=Origin.RANDOM)

    async def losses() -> list[float | None]:
        found = []
        for nth, worker in enumerate(("one", "two")):
            given = {**study.read_meta(), "worker": str(tmp_path / f"{worker}.py")}
            trainer = Trainer(study, given, device=local_devices(1)[0], say=print)
            try:
                found.append((await trainer.train(replace(trial, trial_id=f"t{nth}"))).loss)
            finally:
                await trainer.stop()
        return found

    assert asyncio.run(losses()) == [1.0, 2.0]


def test_problems_have_no_worker_that_searches() -> None:
    with pytest.raises(OptionError, match="autohas searches in the worker"):
        entrants(["bohb", "autohas"])


def test_a_search_in_a_worker_of_ones_own_from_the_command_line(tmp_path: Path) -> None:
    (tmp_path / "worker.py").write_text(WORKER)
    study = StudyDir(tmp_path / "study")
    command = ["run", str(study.path), "--space", "toy", "--worker", str(tmp_path / "worker.py"), "--method", "autohas"]
    command += ["--budget-max", "27s", "--workers", "1"]
    refused = CliRunner().invoke(cli, [*command, "--controller", "best"])
    assert refused.exit_code == 2
    assert "controller is 'best'" in refused.stderr
    assert not study.path.exists()
    whole = [sys.executable, "-m", "bohb_nas", *command, "--controller", "uniform"]
    part = subprocess.run([*whole, "--trials", "1", "--workers", "2"], capture_output=True, text=True, check=False)
    assert part.returncode == 0, part.stderr
    assert "autohas: one worker searches, and the other 1 will have nothing to do" in part.stderr
    assert "what the search found was not trained by itself: --total-time or --trials ended the study before" in part.stderr
    done = subprocess.run([*whole, "--trials", "9"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "ended the study before" not in done.stderr
    told = [json.loads(line)["result"] for line in study.journal.read_text().splitlines() if '"event":"tell"' in line]
    assert [(r["trial_id"], r["status"], r["loss"]) for r in told] == [("t00000", Status.OK, 0.01), ("t00001", Status.OK, 0.251)]
    best = json.loads(CliRunner().invoke(cli, ["best", str(study.path), "--json"]).stdout)
    assert (best["trial_id"], best["ready_to_use"]) == ("t00000", True), "both at 27 s: the lower loss"
    assert best["model"] == str(tmp_path / "study" / "trials" / "t00000" / "0" / "model")
    assert study.done.exists()
