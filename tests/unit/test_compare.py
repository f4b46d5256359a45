"""`bohb-nas compare`: what each method is given, what it cost, when the test set is read, and what the table says of it."""

import csv
import dataclasses
import itertools
import json
import math
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import training_fakes
from click.testing import CliRunner
from scipy import stats
from study_fakes import META

from bohb_nas.cli import cli
from bohb_nas.cli_compare import _parse
from bohb_nas.comparison import device_seconds, entrants, judging
from bohb_nas.comparison.arrangement import Arrangement, Request, arrange
from bohb_nas.comparison.entrants import Entrant
from bohb_nas.comparison.figure import over_seeds
from bohb_nas.comparison.run import Ended, compare, start
from bohb_nas.comparison.table import difference
from bohb_nas.durations import parse_duration
from bohb_nas.engine.plan import plan
from bohb_nas.errors import StudyError, UsageError
from bohb_nas.locks import Lock, holder
from bohb_nas.records import Budgets, Evaluation, Origin, Result, Status, Trial
from bohb_nas.search_spaces import cell
from bohb_nas.space.legality import complete
from bohb_nas.store.journal import Event, Journal, State
from bohb_nas.store.study_dir import StudyDir
from bohb_nas.training import checkpoint, export
from bohb_nas.training.clock import TrainingClock
from bohb_nas.training.data import resident_split
from bohb_nas.training.learner import Learner
from bohb_nas.training.learner import start as start_learner
from bohb_nas.training.validation import evaluate


def told(
    trial_id: str, loss: float | None, wall_s: float | None = 10.0, *, budget: float = 9.0, origin: Origin = Origin.RANDOM, **details: Any
) -> Evaluation:
    """An evaluation that trained for half of the time that it had the device."""
    trial = Trial(
        trial_id=trial_id, config_id=trial_id, config={}, budget=budget, bracket=0, rung=0, seed=0, origin=origin, resume_from=None
    )
    status = Status.OK if loss is not None else Status.CRASHED
    metrics = {"params": 2e6} | ({"wall_s": wall_s} if wall_s is not None else {})
    return Evaluation(
        trial=trial, result=Result(trial_id=trial_id, status=status, loss=loss, train_s=5.0, metrics=metrics, details=details)
    )


def write_study(path: Path, evaluations: Sequence[Evaluation], *, done: bool = True) -> StudyDir:
    """A study in which these were told."""
    study = StudyDir(path)
    study.make()
    study.write_meta(META | {"budgets": Budgets(min=3, max=9).to_json()})
    journal = Journal(study.journal, State())
    for n, evaluation in enumerate(evaluations):
        journal.write(Event(term=1, time=float(n), trial=evaluation.trial))
        journal.write(Event(term=1, time=float(n), result=evaluation.result))
    if done:
        study.done.write_text("{}\n")
    return study


class Fake:
    """Searches in no time and tests by a list; remembers who was searched and tested, in one order.

    A loss of None is a search that fails; NaN is one during which somebody presses Ctrl-C.
    """

    def __init__(self, losses: dict[str, float | None], tests: dict[str, float] | None = None) -> None:
        self.losses, self.tests = losses, tests or {}
        self.did: list[str] = []
        self.checked: list[str] = []

    def search(self, arguments: Sequence[str], log: Path) -> Ended:
        path = Path(arguments[1])
        self.did.append(f"run {path.name}")
        loss = self.losses.get(path.name, 0.5)
        if loss is None:
            log.write_text("first word\n\n\x1b[31mlast word\x1b[0m\n")
            return Ended(code=2)
        if math.isnan(loss):
            return Ended(code=1, interrupted=True)
        write_study(path, [told("t1", loss)])
        return Ended(code=0)

    def test(self, study: StudyDir, evaluation: Evaluation) -> dict[str, Any]:
        self.did.append(f"test {study.path.name}")
        return {"test_error": self.tests.get(study.path.name, 0.5), "trial_id": evaluation.trial.trial_id, "params": 1000}

    def check(self, arrangement: Arrangement, entrants: tuple[Entrant, ...], folder: Path) -> None:
        self.checked += [entrant.name for entrant in entrants]

    def __call__(self, folder: Path, **said: Any) -> dict[str, Any]:
        return compare(folder, Request(**said), lambda _: None, test=self.test, search=self.search, check=self.check)


@pytest.mark.parametrize(
    ("name", "own"),
    [
        ("bohb", "--method bohb --budget-max 27s --budget-min 1s --total-time 90s"),
        ("bohb_2018", "--method bohb_2018 --budget-max 27s --budget-min 1s --total-time 90s"),
        ("hyperband", "--method hyperband --budget-max 27s --budget-min 1s --total-time 90s"),
        ("random_search", "--method random_search --budget-max 27s --total-time 90s"),
        ("autohas", "--method autohas --budget-max 45s --method-option search_s=45.0"),
        ("one_shot_uniform", "--method autohas --budget-max 45s --method-option search_s=45.0 --controller uniform"),
        ("one_shot_random", "--method autohas --budget-max 45s --method-option search_s=45.0 --controller random"),
        ("dha", "--method dha --budget-max 90s"),
        ("fixed", "--method random_search --trials 1 --budget-max 90s"),
        ("trivial_augment", "--method random_search --trials 1 --budget-max 90s"),
    ],
)
def test_an_entrant_turns_seconds_into_arguments(name: str, own: str) -> None:
    """For 90 s, of which one training may take 27."""
    (entrant,) = entrants.find([name])
    assert entrant.own(90.0, 27.0) == own.split()


@pytest.mark.parametrize("train_s", [10 / 3, 100.0, 1e5 / 7, math.pi])
def test_no_rung_is_lost_by_writing_budgets_as_text(train_s: float) -> None:
    (bohb,) = entrants.find(["bohb"])
    words = bohb.own(1e6, train_s)
    low, high = (parse_duration(words[words.index(option) + 1]) for option in ("--budget-min", "--budget-max"))
    assert len(Budgets(min=low, max=high).rungs) == 4


def test_what_everybody_is_told_reaches_every_search(tmp_path: Path) -> None:
    asked = Request(methods=("fixed",), seeds=1, worker_options={"max_steps": 9, "precision": "fp32"}, max_params=5e6, data_dir=tmp_path)
    arranged = arrange(tmp_path / "c", asked)
    words = arranged.arguments(arranged.entrants()[0], 4, tmp_path / "c")
    assert words[:4] == ["run", str(tmp_path / "c/fixed-4"), "--workers", "1"]
    assert words[4:10] == ["--space", "cell", "--dataset", "digits", "--seed", "4"]
    pairs = set(itertools.pairwise(words))
    assert {("--worker-option", "max_steps=9"), ("--worker-option", 'precision="fp32"'), ("--max-params", "5000000")} <= pairs
    assert {("--data-dir", str(tmp_path)), ("--initial", str(tmp_path / "c/fixed.initial.json"))} <= pairs


def test_a_comparison_of_an_earlier_version_goes_on_with_the_data_set_that_was_a_worker_option(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("own.py").write_text("from bohb_nas.datasets import digits\n\n\ndef load(data_dir):\n    return digits.load(None)\n")
    told = {"dataset": "own.py", "data_dir": f"{tmp_path}/"}  # as they were typed
    with pytest.raises(UsageError, match=r"^--worker-option dataset: say it with --dataset$"):
        arrange(tmp_path / "d", Request(methods=("fixed",), worker_options=told))
    arrange(tmp_path / "c", Request(methods=("fixed",), seeds=1, dataset="own.py", data_dir=tmp_path, worker_options={"max_steps": 9}))
    record = json.loads(Path("c/compare.json").read_text())
    Path("c/compare.json").write_text(json.dumps({**record, **told, "worker_options": {"max_steps": 9, **told}}))
    for asked in (Request(), Request(dataset=str(tmp_path / "own.py"))):
        arranged = arrange(tmp_path / "c", asked)
        words = arranged.arguments(arranged.entrants()[0], 0, tmp_path / "c")
        earlier = plan(_parse([])) | {"worker_options": {"full_validation_from_s": 1.0, "max_steps": 9, **told}}
        assert (arranged.dataset, arranged.data_dir) == (told["dataset"], told["data_dir"])
        assert plan(_parse(words[words.index("--space") :]), base=earlier)["worker_options"] == earlier["worker_options"]


def test_unreadable_images_are_left_out_of_every_search_once_that_was_said(tmp_path: Path) -> None:
    arrange(tmp_path / "c", Request(methods=("fixed",)))
    record = json.loads((tmp_path / "c/compare.json").read_text())
    del record["skip_unreadable"]  # as before there was the option
    (tmp_path / "c/compare.json").write_text(json.dumps(record))
    for said, told_so in ((False, False), (True, True), (False, True)):
        arranged = arrange(tmp_path / "c", Request(skip_unreadable=said))
        assert ("--skip-unreadable" in arranged.arguments(arranged.entrants()[0], 0, tmp_path / "c")) is told_so


def test_the_fixed_configurations_are_the_default_with_and_without_a_policy(tmp_path: Path) -> None:
    arrange(tmp_path, Request(methods=("fixed", "trivial_augment")))
    (plain,), (policy,) = (json.loads((tmp_path / f"{name}.initial.json").read_text()) for name in ("fixed", "trivial_augment"))
    assert plain["config"] == complete(cell.space(), plain["config"])
    assert (plain["config"]["policy"], plain["config"]["crop"], plain["config"]["flip"]) == ("none", "on", "on")
    assert policy["config"] == plain["config"] | {"policy": "trivial"}


def test_the_time_of_a_trial_is_what_it_had_the_device_for() -> None:
    engine = {"host": "h", "device": "d", "began": 100.0, "ended": 107.5}
    cases = [told("t", 0.1, 12.0, engine=engine), told("t", None, None, engine=engine), told("t", None, None)]
    assert [device_seconds.seconds(one.result) for one in cases] == [(12.0, True), (7.5, False), (5.0, False)]


def test_what_an_interrupted_attempt_had_trained_counts() -> None:
    """12 s of the last attempt, in which it trained 8 of 20 s."""
    whole = told("t", 0.1, 12.0, attempt_s=8.0)
    result = dataclasses.replace(whole.result, metrics={**whole.result.metrics, "new_s": 20.0})
    assert device_seconds.seconds(result) == (24.0, True)
    engine = {"host": "h", "device": "d", "began": 100.0, "ended": 112.0}
    crashed = dataclasses.replace(told("t", None, None, engine=engine, attempt_s=8.0).result, metrics={"new_s": 20.0})
    assert device_seconds.seconds(crashed) == (24.0, False)


def test_a_retraining_is_counted_apart_and_is_what_is_tested() -> None:
    shared = told("s1", 0.05, 40.0, origin=Origin.SEARCH)
    again = told("t1", 0.20, 41.0)
    assert device_seconds.chosen([shared, again]) == again, "shared weights are no model, however low their loss"
    spent = device_seconds.account([shared, again])
    assert (spent.search_s, spent.retrain_s, spent.total_s, spent.n_estimated) == (40.0, 41.0, 81.0, 0)


def test_a_retraining_that_failed_is_one_too() -> None:
    trials = [
        told("s1", None, 7.0, origin=Origin.SEARCH),
        told("s2", 0.05, 40.0, origin=Origin.SEARCH),
        told("t1", None, 30.0, origin=Origin.MODEL),
        told("t2", 0.20, 41.0, origin=Origin.MODEL),
    ]
    assert device_seconds.account(trials) == device_seconds.Account(search_s=47.0, retrain_s=71.0, n_estimated=0)
    assert device_seconds.account(trials[:3]).retrain_s == 30.0, "whatever becomes of the next"


def test_a_search_that_hands_out_its_model_needs_no_retraining() -> None:
    ready = told("s1", 0.05, 40.0, origin=Origin.SEARCH, ready_to_use=True)
    assert device_seconds.chosen([ready]) == ready
    assert device_seconds.account([ready]) == device_seconds.Account(search_s=40.0, retrain_s=0.0, n_estimated=0)


def test_without_a_one_shot_search_everything_is_search() -> None:
    trials = [told("t1", 0.4, 3.0, budget=3.0), told("t2", None, None), told("t3", 0.3, 10.0), told("t4", 0.1, 3.0, budget=3.0)]
    best = device_seconds.chosen(trials)
    assert best is not None
    assert best.trial.trial_id == "t3", "the highest budget counts first"
    assert device_seconds.account(trials) == device_seconds.Account(search_s=21.0, retrain_s=0.0, n_estimated=1)


def test_the_curve_falls_where_a_better_model_is_to_be_had() -> None:
    trials = [
        told("s1", 0.01, 10.0, origin=Origin.SEARCH),
        told("t1", 0.4, 3.0, budget=3.0),
        told("t2", None, 2.0),
        told("t3", 0.5, 10.0),
        told("t4", 0.2, 10.0, violates=["params<=1"]),
        told("t5", 0.3, 5.0, budget=3.0),
    ]
    assert device_seconds.curve(trials) == [(13.0, 0.4), (40.0, 0.3)]


def test_seeds_are_averaged_from_where_all_have_a_model() -> None:
    times, low, mean, high = over_seeds([[(1.0, 0.5), (4.0, 0.3)], [(2.0, 0.7), (3.0, 0.1)]], end=5.0)
    assert times.tolist() == [2.0, 3.0, 4.0, 5.0]
    assert np.allclose([low, mean, high], [[0.5, 0.1, 0.1, 0.1], [0.6, 0.3, 0.2, 0.2], [0.7, 0.5, 0.3, 0.3]])


def test_the_interval_is_that_of_the_paired_test() -> None:
    own, others = {0: 0.10, 1: 0.14, 2: 0.11, 5: 0.9}, {0: 0.15, 1: 0.15, 2: 0.18, 7: 0.9}
    expected = stats.ttest_rel([0.10, 0.14, 0.11], [0.15, 0.15, 0.18])
    low, high = expected.confidence_interval(0.95)
    found = difference(own, others)
    assert found is not None
    assert [found[k] for k in ("mean", "low", "high", "n")] == pytest.approx([-0.13 / 3, low, high, 3])
    assert difference({0: 0.1}, {0: 0.3}) == {"mean": pytest.approx(-0.2), "low": None, "high": None, "n": 1}
    assert difference({0: 0.1}, {1: 0.3}) is None


@pytest.mark.parametrize("others", [{0: 0.2, 1: 0.4}, {0: 0.2, 1: 0.4, 2: 0.6}])
def test_seeds_that_differ_alike_have_no_interval(others: dict[int, float]) -> None:
    own = {seed: error + 0.1 for seed, error in others.items()}  # rounding: 0.30000000000000004 - 0.2 is not 0.5 - 0.4
    found = difference(own, others)
    assert found == {"mean": pytest.approx(0.1), "low": None, "high": None, "n": len(others)}


def test_one_image_of_a_million_is_a_difference_between_seeds() -> None:
    found = difference({0: 0.2, 1: 0.200001}, {0: 0.1, 1: 0.1})
    assert found is not None
    # t of one degree of freedom, 12.7062, times 1e-6 / sqrt(2) / sqrt(2)
    assert (found["low"], found["high"]) == pytest.approx((0.1000005 - 12.7062 * 0.5e-6, 0.1000005 + 12.7062 * 0.5e-6), rel=1e-9)


TESTS = {"bohb-0": 0.10, "bohb-1": 0.20, "random_search-0": 0.30, "random_search-1": 0.50}
TWO = {"methods": ("bohb", "random_search"), "seeds": 2, "time_s": 30.0}


def test_the_table_has_means_spreads_costs_and_differences(tmp_path: Path) -> None:
    found = Fake({"bohb-0": 0.2, "bohb-1": 0.4}, TESTS)(tmp_path / "c", **TWO)
    first, second = found["rows"]
    assert (first["method"], second["method"]) == ("bohb", "random_search"), "the lowest test error is first"
    assert first["test_error_mean"] == pytest.approx(0.15)
    assert first["test_error_sd"] == pytest.approx(0.1 / math.sqrt(2))
    assert (first["n"], first["validation_error_mean"], first["params"]) == (2, pytest.approx(0.3), 1000)
    assert (first["search_s"], first["retrain_s"], first["total_s"], first["over_s"]) == (10.0, 0.0, 10.0, -20.0)
    assert (first["ready_to_use"], second["difference"], first["difference"]["mean"]) == (True, None, pytest.approx(-0.25))
    assert json.loads((tmp_path / "c/comparison.json").read_text()) == json.loads(json.dumps(found))
    rows = list(csv.DictReader((tmp_path / "c/comparison.csv").read_text().splitlines()))
    assert [(row["method"], float(row["test_error_mean"])) for row in rows] == [("bohb", pytest.approx(0.15)), ("random_search", 0.4)]
    assert (tmp_path / "c/comparison.png").read_bytes()[1:4] == b"PNG"


def test_a_search_that_is_not_over_is_in_no_difference(tmp_path: Path) -> None:
    fake = Fake({}, TESTS)
    fake(tmp_path, **TWO)
    (tmp_path / "random_search-1/done").unlink()
    fake.losses = {"random_search-1": math.nan}
    bohb = next(row for row in fake(tmp_path)["rows"] if row["method"] == "bohb")
    assert bohb["difference"] == {"mean": pytest.approx(-0.2), "low": None, "high": None, "n": 1}


def test_the_test_set_is_read_after_everything_and_once(tmp_path: Path) -> None:
    fake = Fake({})
    fake(tmp_path, **TWO)
    cells = ["bohb-0", "random_search-0", "bohb-1", "random_search-1"]
    assert fake.did == [f"run {one}" for one in cells] + [f"test {one}" for one in cells]
    fake.did.clear()
    fake(tmp_path)
    assert fake.did == []
    fake(tmp_path, seeds=3, methods=("bohb", "random_search", "fixed"))
    new = ["fixed-0", "fixed-1", "bohb-2", "random_search-2", "fixed-2"]
    assert fake.did == [f"run {one}" for one in new] + [f"test {one}" for one in new]


def test_a_stopped_comparison_goes_on_and_tests_nothing_before(tmp_path: Path) -> None:
    fake = Fake({"bohb-1": math.nan})
    found = fake(tmp_path, **TWO)
    assert fake.did == ["run bohb-0", "run random_search-0", "run bohb-1"]
    assert (found["interrupted"], [row["n"] for row in found["rows"]], [row["n_finished"] for row in found["rows"]]) == (
        True,
        [0, 0],
        [1, 1],
    )
    fake.did, fake.losses = [], {}
    assert fake(tmp_path)["interrupted"] is False
    assert [one for one in fake.did if one.startswith("run")] == ["run bohb-1", "run random_search-1"]
    assert len([one for one in fake.did if one.startswith("test")]) == 4


def test_a_cell_that_fails_is_told_and_the_others_go_on(tmp_path: Path) -> None:
    fake = Fake({"bohb-0": None}, TESTS)
    found = fake(tmp_path, **TWO)
    assert found["failed"] == [{"method": "bohb", "seed": 0, "message": "exit code 2: first word | last word"}]
    assert {row["method"]: row["n"] for row in found["rows"]} == {"bohb": 1, "random_search": 2}
    (row,) = (row for row in found["rows"] if row["method"] == "bohb")
    assert row["difference"] == {"mean": pytest.approx(-0.3), "low": None, "high": None, "n": 1}
    fake.did, fake.losses = [], {}
    assert fake(tmp_path)["failed"] == []
    assert fake.did == ["run bohb-0", "test bohb-0"], "what failed is run once more"


def test_a_model_that_is_gone_costs_its_own_test_only(tmp_path: Path) -> None:
    def test(study: StudyDir, evaluation: Evaluation) -> dict[str, Any]:
        if study.path.name == "bohb-0":
            raise StudyError("bohb-0 has left no model")
        return fake.test(study, evaluation)

    fake = Fake({})
    found = compare(tmp_path, Request(methods=("bohb", "fixed"), seeds=1), fake.did.append, test=test, search=fake.search, check=fake.check)
    assert found["failed"] == [{"method": "bohb", "seed": 0, "message": "bohb-0 has left no model"}]
    assert {row["method"]: row["n"] for row in found["rows"]} == {"bohb": 0, "fixed": 1}
    assert "bohb, seed 0: not tested: bohb-0 has left no model" in fake.did


def test_only_new_entrants_are_looked_at_before_anything_is_written(tmp_path: Path) -> None:
    fake = Fake({})
    fake(tmp_path, methods=("bohb",), seeds=1)
    fake(tmp_path, methods=("bohb", "fixed", "dha"), seeds=2)
    fake(tmp_path)
    assert fake.checked == ["bohb", "fixed", "dha"]


def test_a_place_that_may_not_be_written_is_refused_before_entrants_are_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = Fake({})
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != tmp_path)
    with pytest.raises(UsageError, match=f"DIR {tmp_path}/c: {tmp_path} is not writable"):
        fake(tmp_path / "c")
    assert fake.checked == []


@pytest.mark.parametrize(
    ("method", "said", "text"),
    [
        ("dha", {"worker-option": "speed=1"}, "dha cannot take part: one_shot has no option 'speed'"),
        ("dha", {"space": "zela2018"}, "dha cannot take part: DHA searches the operators of cells"),
        ("fixed", {"max-params": "100k"}, "fixed cannot take part: no initial configuration meets the constraints"),
    ],
)
def test_what_a_run_would_refuse_is_refused_before_the_first(tmp_path: Path, method: str, said: dict[str, str], text: str) -> None:
    options = [word for name, value in said.items() for word in (f"--{name}", value)]
    refused = CliRunner().invoke(cli, ["compare", str(tmp_path / "c"), "--methods", method, *options])
    assert refused.exit_code == 2
    assert text in refused.stderr
    assert not (tmp_path / "c").exists()


def test_a_search_without_a_model_is_a_failure(tmp_path: Path) -> None:
    fake = Fake({})
    arrange(tmp_path, Request(methods=("bohb",), seeds=1))
    write_study(tmp_path / "bohb-0", [told("t1", None)])
    found = fake(tmp_path)
    assert ([one["message"] for one in found["failed"]], fake.did) == (
        ["no trial ended with a model; the last, t1, crashed: no reason given"],
        [],
    )


def test_a_model_other_than_the_one_tested_is_refused(tmp_path: Path) -> None:
    fake = Fake({})
    fake(tmp_path, methods=("bohb",), seeds=1)
    study = StudyDir(tmp_path / "bohb-0")
    study.journal.unlink()
    write_study(study.path, [told("t1", 0.5), told("t2", 0.1)])
    with pytest.raises(UsageError, match="tested with trial t1 and has gone on since, to t2"):
        fake(tmp_path)


@pytest.mark.parametrize(
    ("said", "text"),
    [
        ({"time_s": 60.0}, "--time is 60.0, was 30.0"),
        ({"space": "zela2018"}, "--space is 'zela2018', was 'cell'.*the content of the space"),
        ({"worker_options": {"max_steps": 9}}, "--worker-option is"),
        ({"seeds": 1}, "--seeds is 1, was 2: it may only grow"),
        ({"methods": ("bohb", "fixed")}, "--methods lacks random_search: it may only grow"),
        ({"max_flops": 1e6, "train_s": 5.0}, "--train-time is 5.0, was 3.33.*--max-flops is 1000000.0, was None"),
    ],
)
def test_what_would_not_be_alike_is_refused(tmp_path: Path, said: dict[str, Any], text: str) -> None:
    Fake({})(tmp_path, **TWO)
    before = {path: path.read_bytes() for path in tmp_path.glob("*.json")}
    with pytest.raises(UsageError, match=text):
        Fake({})(tmp_path, **said)
    assert {path: path.read_bytes() for path in tmp_path.glob("*.json")} == before


TRAINED_ONLY = """
from bohb_nas.datasets import digits, Dataset
def load(data_dir):
    whole = digits.load(None)
    parts = {"train_images": whole.train_images, "train_labels": whole.train_labels}
    return Dataset(name="mine", classes=whole.classes, fingerprint="f", **parts)
"""


@pytest.mark.parametrize(
    ("said", "text"),
    [
        ({"methods": ("bohb", "bob")}, "no entrant 'bob'; accepted are bohb, bohb_2018, hyperband, random_search, autohas, dha"),
        ({"methods": ("bohb", "bohb")}, "named twice"),
        ({"seeds": 0}, "--seeds 0"),
        ({"seeds": 10**9}, "--seeds 1000000000: accepted is a whole number from 1 to 10000"),
        ({"time_s": 19.0}, "--time 19s: accepted are at least 20 s"),
        ({"time_s": 20.0, "train_s": 0.5}, "--train-time 0.5s: accepted are 1 s to 20 s"),
        ({"time_s": 20.0, "train_s": 21.0}, "--train-time 21s: accepted are 1 s to 20 s"),
        ({"space": "zela2018", "methods": ("trivial_augment",)}, "trivial_augment cannot take part"),
        ({"device": "gpu77"}, "device 'gpu77' is not here"),
        ({"dataset": "mine.py"}, "has no test part"),
    ],
)
def test_bad_input_is_refused_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: dict[str, Any], text: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine.py").write_text(TRAINED_ONLY)
    fake = Fake({})
    with pytest.raises(UsageError, match=text):
        fake(tmp_path / "c", **said)
    assert not (tmp_path / "c").exists()


def test_a_directory_of_something_else_is_left_alone(tmp_path: Path) -> None:
    write_study(tmp_path, [])
    with pytest.raises(StudyError, match=r"holds something else and no compare\.json"):
        Fake({})(tmp_path)
    (tmp_path / "c").mkdir()
    (tmp_path / "c/compare.json").write_text("{}")
    with pytest.raises(StudyError, match="not of format 1"):
        Fake({})(tmp_path / "c")


def test_the_space_of_the_file_is_held_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    text = "from ConfigSpace import ConfigurationSpace\n\n\ndef space():\n    return ConfigurationSpace({'batch_size': [16, %d]})\n"
    Path("small.py").write_text(text % 32)
    Fake({})(tmp_path / "c", space="small.py", methods=("bohb",), seeds=1)
    Path("small.py").write_text(text % 64)
    with pytest.raises(UsageError, match="the content of the space is"):
        Fake({})(tmp_path / "c", space="small.py", seeds=2)


def trained(folder: Path, **config: Any) -> tuple[Learner, dict[str, Any]]:
    """A learner after a few steps, its checkpoint in the folder, divided as the worker divides."""
    data, divided = resident_split(training_fakes.dataset(), valid_fraction=0.25, seed=7, device=training_fakes.CPU.device)
    whole = {**training_fakes.TINY, **config}
    learner = start_learner(whole, data=data, compute=training_fakes.CPU, seed=0)
    for n in range(6):
        learner.step(data.train[16 * n : 16 * n + 16], 0.1)
        learner.follow((n + 1) / 6)
    identity = {**divided, "config": whole, "device": "cpu"}
    checkpoint.save(folder, learner, checkpoint.Used(train_s=1.0, steps=6), identity)
    return learner, {"valid_fraction": 0.25, "split_seed": 7, "device": "cpu"}


def error_of(learner: Learner) -> float:
    """The test error of the learner's own network."""
    dataset = training_fakes.dataset()
    assert dataset.test_images is not None
    assert dataset.test_labels is not None
    pixels = torch.tensor(dataset.test_images).permute(0, 3, 1, 2)
    data = dataclasses.replace(learner.data, images=pixels, labels=torch.tensor(dataset.test_labels), valid=torch.arange(90))
    compute = training_fakes.CPU
    return evaluate(learner.outcome, data, compute=compute, clock=TrainingClock(compute.device)).error


@pytest.mark.parametrize("average", ["off", "on"])
def test_the_test_of_a_checkpoint_is_that_of_the_learners_own_network(tmp_path: Path, average: str) -> None:
    learner, options = trained(tmp_path / "checkpoint", average=average)
    found = judging.judge_checkpoint(tmp_path / "checkpoint", training_fakes.dataset(), options)
    assert (found["test_error"], found["n_test"]) == (error_of(learner), 90)
    assert found["params"] == sum(p.numel() for p in learner.network.parameters())
    assert 0 < found["test_error"] < 2 / 3, "better than a guess among three, and no trivial case"
    tensors = checkpoint.parse((tmp_path / "checkpoint/model.safetensors").read_bytes())
    built = judging.from_checkpoint(tensors, {**training_fakes.TINY, "average": average}, learner.data, network=None)
    assert all(torch.equal(a, b) for a, b in zip(built.state_dict().values(), learner.outcome.state_dict().values(), strict=True))


def test_an_exported_model_is_tested_as_it_is(tmp_path: Path) -> None:
    learner, _ = trained(tmp_path / "checkpoint")
    about: dict[str, Any] = {"classes": training_fakes.dataset().classes, "config": training_fakes.TINY}
    export.export_model(learner.outcome, tmp_path, data=learner.data, facts={"fingerprint": "thirds"}, **about)
    program = judging.judge_exported(tmp_path, training_fakes.dataset())
    (tmp_path / "model.pt2").unlink()
    weights = judging.judge_exported(tmp_path, training_fakes.dataset())
    assert program["test_error"] == weights["test_error"] == error_of(learner)
    assert program["params"] == weights["params"] == sum(p.numel() for p in learner.network.parameters())
    assert program["weights_sha256"] != weights["weights_sha256"]
    with pytest.raises(StudyError, match="trained on other data"):
        judging.judge_exported(tmp_path, training_fakes.dataset(fingerprint="other"))


@pytest.mark.parametrize(
    ("options", "text"),
    [({"split_seed": 8}, "differs in split_seed"), ({"valid_fraction": 0.5}, "differs in valid_fraction")],
)
def test_a_checkpoint_of_other_data_is_not_tested(tmp_path: Path, options: dict[str, Any], text: str) -> None:
    _, own = trained(tmp_path / "checkpoint")
    with pytest.raises(StudyError, match=text):
        judging.judge_checkpoint(tmp_path / "checkpoint", training_fakes.dataset(), own | options)
    with pytest.raises(StudyError, match="differs in dataset"):
        judging.judge_checkpoint(tmp_path / "checkpoint", training_fakes.dataset(fingerprint="other"), own)


def test_a_torn_checkpoint_is_not_tested(tmp_path: Path) -> None:
    _, options = trained(tmp_path / "checkpoint")
    (tmp_path / "checkpoint/model.safetensors").write_bytes(b"torn")
    with pytest.raises(StudyError, match=r"not the file that state\.json describes"):
        judging.judge_checkpoint(tmp_path / "checkpoint", training_fakes.dataset(), options)


def test_a_model_that_is_ready_to_use_goes_before_the_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that its search was killed in writing is none."""
    study = write_study(tmp_path / "s", [told("t1", 0.5)])
    for name in ("0/model", "0/checkpoint", "1/checkpoint", "10/model", "11/model"):
        (study.trials / "t1" / name).mkdir(parents=True)
    for name in ("0", "10"):
        (study.trials / "t1" / name / "model/model.json").touch()
    monkeypatch.setattr(judging, "judge_exported", lambda *_: {})
    assert judging.judge(study, told("t1", 0.5))["model"] == "s/trials/t1/10/model"


@pytest.mark.parametrize("name", ["model", "checkpoint"])
def test_a_device_that_fails_costs_one_test_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    def fail(*_: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    study = write_study(tmp_path / "s", [told("t1", 0.5)])
    (study.trials / "t1/0" / name).mkdir(parents=True)
    (study.trials / "t1/0" / name / "model.json").touch()
    for judge in ("judge_exported", "judge_checkpoint"):
        monkeypatch.setattr(judging, judge, fail)
    with pytest.raises(StudyError, match="trial t1 cannot be tested: CUDA out of memory"):
        judging.judge(study, told("t1", 0.5))


def test_a_search_runs_in_another_process_and_its_words_are_kept(tmp_path: Path) -> None:
    log = tmp_path / "x.log"
    ended = start(["run", str(tmp_path / "s"), "--method", "no_such", "--worker", "toy", "--space", "toy"], log)
    assert (ended.code, ended.interrupted) == (2, False)
    assert "no_such" in log.read_text()


def test_a_search_that_somebody_else_runs_is_waited_for(tmp_path: Path) -> None:
    fake, said = Fake({}), list[str]()
    asked = Request(methods=("bohb", "fixed"), seeds=1)
    arrange(tmp_path, asked)
    study = write_study(tmp_path / "bohb-0", [told("t1", 0.5)], done=False)
    lock = Lock(study.master_lock)
    assert lock.acquire('{"pid": 7, "host": "there"}')

    def hear(line: str) -> None:
        said.append(line)
        if "waits" in line:
            assert fake.did == []
            study.done.write_text("{}\n")
            lock.release()

    compare(tmp_path, asked, hear, test=fake.test, search=fake.search)
    assert said[:2] == [
        "digits, space cell: 2 of 2 searches are left, 10m each, 20m in all",
        "bohb-0 is led by pid 7 on there; waits until that ends",
    ]
    assert fake.did == ["run fixed-0", "test bohb-0", "test fixed-0"]


def test_a_search_ends_with_the_comparison_that_is_killed(tmp_path: Path) -> None:
    study = write_study(tmp_path / "s", [], done=False)
    program = "import sys; from pathlib import Path; from bohb_nas.comparison.run import start; start(sys.argv[2:], Path(sys.argv[1]))"
    words = [str(tmp_path / "log"), "worker", str(study.path), "--no-lead", "--device", "cpu0"]
    comparison = subprocess.Popen([sys.executable, "-c", program, *words])

    def worker() -> bool:
        return any(holder(path) for path in study.workers.glob("*.lock"))

    wait_for(worker)
    comparison.kill()
    comparison.wait()
    wait_for(lambda: not worker())


def test_the_command_prints_the_table_and_says_why_it_has_nothing(tmp_path: Path) -> None:
    arrange(tmp_path, Request(methods=("bohb",), seeds=1))
    write_study(tmp_path / "bohb-0", [told("t1", None)])
    done = CliRunner().invoke(cli, ["compare", str(tmp_path)])
    assert done.exit_code == 1
    assert "bohb, seed 0 failed: no trial ended with a model; the last, t1, crashed" in done.stdout
    assert "goes on with what failed" not in done.stdout, "its search is over"
    refused = CliRunner().invoke(cli, ["compare", str(tmp_path), "--methods", "bohb,bob"])
    assert (refused.exit_code, "no entrant 'bob'" in refused.stderr) == (2, True)


@pytest.mark.parametrize(("loss", "code"), [(None, 1), (0.75, 0)])
def test_the_command_fails_when_one_of_its_searches_has(tmp_path: Path, loss: float | None, code: int) -> None:
    arrange(tmp_path, Request(methods=("bohb", "random_search"), seeds=1))
    for name, its_loss in (("bohb-0", loss), ("random_search-0", 0.5)):
        write_study(tmp_path / name, [told("t1", its_loss)])
        if its_loss is not None:
            (tmp_path / f"{name}.test.json").write_text(json.dumps({"test_error": its_loss / 2, "trial_id": "t1", "params": 1000}))
    done = CliRunner().invoke(cli, ["compare", str(tmp_path)])
    assert ("bohb, seed 0 failed" in done.stdout) == (loss is None)
    assert "25.00%" in done.stdout, "what the other found is shown all the same"
    assert done.stdout.endswith("comparison.json\n")
    assert done.exit_code == code


@pytest.mark.slow
def test_a_comparison_on_digits_is_stopped_taken_up_and_tested(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "bohb_nas", "compare", str(tmp_path / "c")]
    asked = [*words, "--methods", "random_search,fixed", "--time", "20s", "--train-time", "4s", "--seeds", "1"]
    with (tmp_path / "said").open("wb") as stream:
        first = subprocess.Popen(asked, stderr=stream, stdout=stream)
        wait_for(lambda: any((tmp_path / "c/random_search-0/results").glob("*.json")))
        first.terminate()  # a SIGINT is ignored by what a shell starts in the background, as these tests may be
        assert first.wait(60) == 1, (tmp_path / "said").read_text()
    assert not any((tmp_path / "c").glob("*.test.json"))
    kept = set(os.listdir(tmp_path / "c/random_search-0/results"))
    second = subprocess.run([*words, "--json"], capture_output=True, text=True, check=False)
    assert second.returncode == 0, second.stderr
    found = json.loads(second.stdout)
    assert kept <= set(os.listdir(tmp_path / "c/random_search-0/results"))
    assert {row["method"]: row["n"] for row in found["rows"]} == {"random_search": 1, "fixed": 1}
    assert all(row["test_error_mean"] < 0.5 for row in found["rows"]), "better than a guess among ten"
    (fixed,) = (row for row in found["cells"] if row["method"] == "fixed")
    assert fixed["n_trials"] == 1
    assert fixed["test"]["n_test"] == 359
    assert fixed["total_s"] >= 20


def wait_for(happened: Callable[[], bool], *, patience_s: float = 60.0) -> None:
    end = time.monotonic() + patience_s
    while not happened():
        assert time.monotonic() < end
        time.sleep(0.1)
