"""What is known beforehand and does not fit: one clear error, exit code 2, nothing written."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from bohb_nas.cli import cli
from bohb_nas.records import Budgets, Origin, Status, Trial
from bohb_nas.records import Result as Told
from bohb_nas.search_spaces import toy
from bohb_nas.space.files import space_to_json
from bohb_nas.store.journal import Event, Journal, State
from bohb_nas.store.study_dir import FORMAT, StudyDir

SGD = {"lr": 0.01, "width": 8, "optimizer": "sgd", "momentum": 0.9}
SIZED = "from bohb_nas.search_spaces.toy import space\n\ndef size(config):\n    return {'params': 1000 * config['width']}\n"


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("sized.py").write_text(SIZED)


def run(*arguments: str, space: str = "toy", method: str = "bohb_2018") -> Result:
    before = sorted(Path().rglob("*"))
    result = CliRunner().invoke(cli, ["run", "st", "--space", space, "--worker", "toy", "--method", method, *arguments])
    assert sorted(p for p in Path().rglob("*") if "__pycache__" not in p.parts) == before, "something was written"
    return result


def refused(result: Result, *said: str) -> None:
    assert result.exit_code == 2, result.output
    text = re.sub(r"\s+", " ", result.stderr)
    for words in said:
        assert words in text


def file(name: str, content: Any) -> str:
    Path(name).write_text(content if isinstance(content, str) else json.dumps(content))
    return name


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("[", "is not JSON"),
        ({}, "configuration 1: 3 are missing although they are active: lr ("),
        ([], "accepted is a list of configurations"),
        ([7], "accepted is a list of configurations"),
        ([SGD, {**SGD, "speed": 1}], "configuration 2: no hyperparameter 'speed'; the space has lr, optimizer, width, momentum"),
        ([{**SGD, "lr": 7}], "configuration 1: lr = 7; accepted is a number from 0.0001 to 1.0"),
        ([{**SGD, "optimizer": "adam"}], "configuration 1: momentum is given but inactive"),
        ([{"lr": 0.1}], "configuration 1: 2 are missing although they are active: optimizer ("),
    ],
)
def test_initial_files(content: Any, said: str) -> None:
    refused(run("--initial", file("first.json", content)), "first.json", said)


def test_an_initial_file_that_is_not_there_or_of_another_space() -> None:
    refused(
        run("--initial", "no_such"),
        "no_such does not exist",
        "shipped are joint_gpu, joint_hand_designed, joint_small, zela2018_hand_designed",
    )
    refused(run("--initial", "joint_hand_designed"), "configuration 1 (Shake-Shake 26 2x32d", "no hyperparameter 'family'")
    refused(run("--initial", file("large.json", " " * (8 * 2**20 + 1))), "cannot be read: it is larger than 8388608 bytes")
    forbidding = file(
        "forbidding.py",
        "from bohb_nas.search_spaces import toy\nfrom ConfigSpace import ForbiddenAndConjunction as And, ForbiddenEqualsClause as Is\n"
        "def space():\n    s = toy.space()\n    s.add(And(Is(s['optimizer'], 'sgd'), Is(s['width'], 8)))\n    return s\n",
    )
    refused(run("--initial", file("first.json", [SGD]), space=forbidding), "configuration 1: a clause of the space forbids")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("no JSON", "is not JSON"),
        ([], "accepted is an object"),
        ({"speed": {"center": 1, "confidence": 0.5}}, "no hyperparameter 'speed'"),
        ({"width": {"center": 99, "confidence": 0.5}}, "width, center: width = 99; accepted is a whole number from 1 to 16"),
        ({"width": {"center": 9, "confidence": 1.0}}, "width: confidence 1.0; accepted is a number above 0 and below 1"),
        ({"width": 9}, "width: 9; accepted is an object"),
    ],
)
def test_prior_files(content: Any, said: str) -> None:
    refused(run("--prior", file("prior.json", content)), "prior.json", said)


def test_a_prior_file_that_is_not_there() -> None:
    refused(run("--prior", "absent.json"), "absent.json does not exist")


@pytest.mark.parametrize("option", ["--prior", "--initial", "--warm-start", "--space"])
def test_the_home_of_nobody(option: str) -> None:
    refused(run(option, "~nobody-of-that-name/file.py"), "~nobody-of-that-name/file.py: nobody here has that home directory")


def earlier(name: str, config: dict[str, Any]) -> None:
    """A study of one evaluation."""
    study = StudyDir(Path(name))
    study.make()
    known = {"format": FORMAT, "seed": 0, "space": "toy", "method": "bohb", "worker": "toy", "promote": "restart", "cwd": "/"}
    stop = {"brackets": None, "trials": None, "total_s": None}
    study.write_meta({**known, "method_options": {}, "worker_options": {}, "budgets": Budgets().to_json(), "stop": stop})
    journal = Journal(study.journal, State())
    journal.write(Event(term=1, time=0.0))
    trial = Trial(trial_id="t0", config_id="c0", config=config, budget=1.0, bracket=0, rung=0, seed=0, origin=Origin.RANDOM)
    journal.write(Event(term=1, time=0.0, trial=trial))
    journal.write(Event(term=1, time=0.0, result=Told(trial_id="t0", status=Status.OK, loss=1.0, train_s=1.0)))


def test_warm_starts() -> None:
    refused(run("--warm-start", "nowhere", method="bohb"), "--warm-start", "no study in")
    Path("empty").mkdir()
    refused(run("--warm-start", "empty", method="bohb"), "no study in")
    earlier("apart", {"depth": 3})
    refused(run("--warm-start", "apart", method="bohb"), "no hyperparameter in common", "it has depth; this space has lr, optimizer, width")
    refused(run("--warm-start", "st", method="bohb"), "st is this study itself")
    refused(run("--warm-start", "apart/journal.jsonl", method="bohb"), "apart/journal.jsonl is a file; give the directory of a study")
    Path("circle").symlink_to("circle")
    refused(run("--warm-start", "circle", method="bohb"), "circle")
    earlier("near", {"depth": 3, "lr": 0.5})
    by_hyperband = run("--warm-start", "near", method="hyperband")
    refused(by_hyperband, "method hyperband cannot learn from an earlier study")
    assert "taken over" not in by_hyperband.output


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("params", "constraint 'params': accepted is METRIC<=NUMBER"),
        ("params<5", "constraint 'params<5': accepted is"),
        ("<=5", "constraint '<=5': accepted is"),
        ("params<=many", "constraint 'params<=many': 'many' is no bound; accepted is a finite number"),
        ("params<=nan", "'nan' is no bound"),
    ],
)
def test_what_is_no_constraint(text: str, said: str) -> None:
    refused(run("--constraint", text), said)


@pytest.mark.parametrize("option", ["--max-params", "--max-flops"])
def test_what_is_no_number_of_parameters(option: str) -> None:
    refused(run(option, "few"), option, "'few' is no bound", "5e6 or 5M")


def test_a_bound_on_a_size_that_the_space_does_not_tell() -> None:
    refused(run("--max-params", "5M"), "--max-params: the space does not tell params before training")
    refused(run("--max-flops", "5M", space="sized.py"), "--max-flops: the space does not tell flops", "tells: params")
    frozen = file("frozen.json", space_to_json(toy.space()))
    refused(run("--max-params", "5M", space=frozen), "--max-params: the space does not tell params")


def test_constraints_that_no_configuration_meets() -> None:
    refused(
        run("--max-params", "999", space="sized.py"), "no configuration meets params<=999: 2000 were drawn", "smallest params seen is 1000"
    )
    refused(run("--constraint", "params>=17k", space="sized.py"), "no configuration meets params>=17000", "largest params seen is 16000")
    refused(
        run("--constraint", "floor>=0.2", "--constraint", "floor<=0.1"),
        "no configuration meets floor<=0.1 and floor>=0.2: the two contradict",
    )
    first = file("first.json", [SGD])
    refused(run("--max-params", "5k", "--initial", first, space="sized.py"), "no initial configuration meets", "params<=5000 with 8000")


def test_a_size_that_fails() -> None:
    broken = file("broken.py", SIZED.replace("config['width']", "config['depth']"))
    refused(run("--max-params", "5k", space=broken), "size() of space", "KeyError: 'depth'")
    leaving = file("leaving.py", SIZED.replace("    return", "    raise SystemExit(3)\n    return"))
    refused(run("--max-params", "5k", space=leaving), "size() of space", "SystemExit: 3")
    unknown = file("unknown.py", SIZED.replace("config['width']", "float('nan')"))
    refused(run("--max-params", "5k", space=unknown), "size() of space", "ValueError: params is no number")


def test_a_worker_option_beyond_every_number() -> None:
    for value in ("1e999", "9" * 400, "-" + "9" * 5000):
        refused(run("--worker-option", f"seconds_per_budget={value}"), "is no number to search with; accepted are finite numbers")


def test_a_method_that_takes_no_knowledge() -> None:
    method = file(
        "plain.py",
        "from bohb_nas.methods import random_search\nfrom bohb_nas.methods.random_search import Options\n"
        "def make(*, space, budgets, seed, n_workers, options):\n"
        "    return random_search.make(space=space, budgets=budgets, seed=seed, n_workers=n_workers, options=options)\n",
    )
    refused(run("--constraint", "floor<=1", method=method), "takes no initial configurations, priors, earlier studies or constraints")
