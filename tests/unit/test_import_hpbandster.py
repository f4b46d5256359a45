"""Logs of HpBandSter runs as studies: what is taken, what is counted, what is refused, and the way there and back."""

import errno
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from test_exchange_hpbandster import make_study

from bohb_nas.cli import cli
from bohb_nas.errors import LogError
from bohb_nas.imports.hpbandster import ladder
from bohb_nas.records import Budgets, Evaluation, Origin, Status
from bohb_nas.records import Result as Evaluated
from bohb_nas.store.journal import Event, Journal, fold, read_events
from bohb_nas.store.study_dir import StudyDir

SPACE = {
    "hyperparameters": [
        {"name": "opt", "type": "categorical", "choices": ["sgd", "adam"], "default": "sgd", "probabilities": [0.5, 0.5]},
        {"name": "lr", "type": "uniform_float", "log": True, "lower": 1e-05, "upper": 0.1, "default": 0.001},
        {"name": "n", "type": "uniform_int", "log": False, "lower": 1, "upper": 5, "default": 3},
        {"name": "mom", "type": "uniform_float", "log": False, "lower": 0.0, "upper": 0.99, "default": 0.9},
    ],
    "conditions": [{"child": "mom", "parent": "opt", "type": "EQ", "value": "sgd"}],
    **{"forbiddens": [], "python_module_version": "0.4.13", "json_format_version": 0.2},
}
"""As ConfigSpace wrote it in the days of HpBandSter."""
NEW_PCS = """
opt categorical {sgd, adam} [sgd]
lr real [1e-05, 0.1] [0.001] log
n integer [1, 5] [3]
mom real [0.0, 0.99] [0.9]
mom | opt in {sgd}
"""
OLD_PCS = """
opt {sgd, adam} [sgd]
lr [1e-05, 0.1] [0.001] l
n [1, 5] [3] i
mom [0.0, 0.99] [0.9]
mom | opt in {sgd}
"""


def config(config_id: list[int], values: dict[str, Any], *, model: bool | None = False) -> Any:
    return [config_id, values, {} if model is None else {"model_based_pick": model}]


def result(config_id: list[int], budget: float, at: float, told: Any, *, trace: str | None = None) -> Any:
    return [config_id, budget, {"submitted": at, "started": at + 1, "finished": at + 1 + budget}, told, trace]


def ok(loss: float) -> dict[str, Any]:
    return {"loss": loss, "info": {"accuracy": 1 - loss}}


A, B, C = [0, 0, 0], [0, 0, 1], [1, 0, 0]
SGD, ADAM = {"opt": "sgd", "lr": 0.05, "n": 3, "mom": 0.5}, {"opt": "adam", "lr": 0.001, "n": 2}
CONFIGS = [config(A, SGD), config(B, ADAM, model=True), config(C, ADAM, model=None)]
RESULTS = [
    result(A, 1.0, 1000.0, ok(0.5)),
    result(B, 1.0, 1001.0, ok(0.25)),
    result(C, 3.0, 1010.0, ok(0.375)),
    result(B, 3.0, 1005.0, ok(0.125)),
]


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def log(configs: list[Any] | None = None, results: list[Any] | None = None, *, space: Any = SPACE) -> Path:
    folder = Path("log")
    folder.mkdir(exist_ok=True)
    for name, lines in (
        ("configs.json", CONFIGS if configs is None else configs),
        ("results.json", RESULTS if results is None else results),
    ):
        json_lines(folder / name, lines)
    if space is not None:
        (folder / "configspace.json").write_text(json.dumps(space))
    return folder


def json_lines(path: Path, lines: list[Any]) -> None:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


def bring(*more: str) -> Result:
    return CliRunner().invoke(cli, ["import-hpbandster", "log", "study", *more])


def taken(*more: str) -> tuple[list[Evaluation], str]:
    done = bring(*more)
    assert done.exit_code == 0, done.output
    return list(fold(Path("study/journal.jsonl")).evaluations()), done.stderr


def test_an_old_run_becomes_a_study() -> None:
    log()
    evaluations, said = taken("--budget-unit", "epochs")
    assert "4 evaluations: study" in said
    assert "budgets 1, 3, in epochs; eta 3" in said
    trials = {e.trial.trial_id: e.trial for e in evaluations}
    assert [
        (t.trial_id, t.config_id, t.budget, t.rung, t.bracket, t.origin) for t in sorted(trials.values(), key=lambda t: t.trial_id)
    ] == [
        ("t00000", "0-0-0", 1.0, 0, 1, Origin.RANDOM),
        ("t00001", "0-0-1", 1.0, 0, 1, Origin.MODEL),
        ("t00002", "0-0-1", 3.0, 1, 1, Origin.PROMOTED),
        ("t00003", "1-0-0", 3.0, 1, 0, Origin.RANDOM),
    ], "by submission; Hyperband says nothing of models, and has none"
    assert [(e.trial.trial_id, e.result.loss, e.result.train_s) for e in evaluations] == [
        ("t00000", 0.5, 1.0),
        ("t00001", 0.25, 1.0),
        ("t00002", 0.125, 3.0),
        ("t00003", 0.375, 3.0),
    ]
    assert dict(trials["t00000"].config) == SGD
    assert dict(trials["t00001"].config) == ADAM
    told = next(e.result for e in journal() if e.result is not None)
    assert told.details["hpbandster"] == {"id": A, "started": 1001.0, "info": {"accuracy": 0.5}}
    times = [(e.time, "lead" if e.trial is None and e.result is None else "ask" if e.trial is not None else "tell") for e in journal()]
    assert times == [
        *((1000.0, "lead"), (1000.0, "ask"), (1001.0, "ask"), (1002.0, "tell"), (1003.0, "tell"), (1005.0, "ask")),
        *((1009.0, "tell"), (1010.0, "ask"), (1014.0, "tell")),
    ]
    assert json.loads(Path("study/study.json").read_text())["imported"]["from"] == str(Path("log").absolute())


def test_only_a_higher_budget_is_a_promotion() -> None:
    log(results=[result(B, 3.0, 1000.0, ok(0.25)), result(B, 1.0, 1010.0, ok(0.5)), result(B, 9.0, 1020.0, ok(0.125))])
    found = [(e.trial.budget, e.trial.origin, e.trial.bracket) for e in taken("--budget-unit", "epochs")[0]]
    assert found == [(3.0, Origin.MODEL, 1), (1.0, Origin.MODEL, 1), (9.0, Origin.PROMOTED, 1)]


def journal() -> list[Any]:
    return list(read_events(Path("study/journal.jsonl")))


def test_the_other_commands_take_it_for_their_own() -> None:
    log()
    taken()
    figures = json.loads(CliRunner().invoke(cli, ["status", "study", "--json"]).stdout)
    assert (figures["evaluations"], figures["running"], figures["done"]) == (4, 0, True)
    assert figures["by_origin"] == {"random": 2, "model": 1, "promoted": 1}
    assert figures["budgets"] == {"min": 1.0, "max": 3.0, "eta": 3.0, "unit": "units"}
    best = json.loads(CliRunner().invoke(cli, ["best", "study", "--json"]).stdout)
    assert (best["trial_id"], best["loss"], best["budget"], best["config"]) == ("t00002", 0.125, 3.0, ADAM)
    assert CliRunner().invoke(cli, ["export", "study", "--format", "csv", "--to", "x.csv"]).exit_code == 0
    before = {str(p): p.read_bytes() for p in Path("study").rglob("*") if p.is_file() and p.suffix != ".lock"}
    for command in (
        ["run", "study"],
        ["run", "study", "--trials", "9"],
        ["worker", "study"],
        ["submit", "study", "--cluster", "slurm", "--array", "2", "--print"],
    ):
        refused = CliRunner().invoke(cli, command)
        assert refused.exit_code == 2, command
        assert "was imported from" in refused.stderr
        assert "--warm-start" in refused.stderr
    assert {str(p): p.read_bytes() for p in Path("study").rglob("*") if p.is_file() and p.suffix != ".lock"} == before


def test_a_new_search_learns_from_it() -> None:
    from bohb_nas.engine.warm_start import read_earlier
    from bohb_nas.space.files import space_from_json

    log()
    taken()
    space = space_from_json(StudyDir(Path("study")).read_space())
    meta = {"worker": "toy", "worker_options": {}, "budgets": {"unit": "s"}}
    history, notes = read_earlier([Path("study")], space, meta=meta, own=Path("elsewhere"))
    assert len(history) == 4
    assert "4 of 4 evaluations taken over" in notes[0]


def test_failures_are_taken_and_counted() -> None:
    told = [
        result(A, 1.0, 0.0, None, trace="Traceback\nValueError: boom"),
        result(A, 3.0, 10.0, {"loss": None, "info": {}}),
        result(B, 1.0, 20.0, {"loss": float("nan"), "info": {"x": float("inf")}}),
        result(B, 3.0, 30.0, {"loss": float("-inf"), "info": {}}),
        result(C, 3.0, 40.0, {"loss": 1.0, "info": {"state": "CRASHED", "message": "no memory"}}),
        result(C, 9.0, 50.0, ok(0.5)),
    ]
    log(results=told)
    evaluations, said = taken()
    assert [(e.result.status, e.result.loss) for e in evaluations] == [
        *((Status.CRASHED, None), (Status.CRASHED, None), (Status.DIVERGED, None), (Status.DIVERGED, None), (Status.CRASHED, None)),
        (Status.OK, 0.5),
    ]
    assert [e.result.message for e in evaluations][::4] == ["Traceback\nValueError: boom", "no memory"]
    assert "taken as crashed, without a result or loss: 3 evaluations" in said
    assert "taken as diverged, with a loss that is no finite number: 2 evaluations" in said
    assert "taken without their info, which is none or cannot be written again: 1 evaluation\n" in said


def test_what_is_missing_is_left_out_and_counted() -> None:
    folder = log([*CONFIGS, config([2, 0, 0], ADAM)], [*RESULTS, result([7, 0, 0], 1.0, 2000.0, ok(0.1))])
    with (folder / "results.json").open("a") as stream:
        stream.write('[[0, 0, 2], 3.0, {"submi')
    with (folder / "configs.json").open("a") as stream:
        stream.write("[[0, 0,")
    evaluations, said = taken()
    assert len(evaluations) == 4
    assert "the last line of results.json is left out: it is torn" in said
    assert "the last line of configs.json is left out: it is torn" in said
    assert "left out: 1 result of whose id configs.json has no configuration" in said
    assert "left out: 1 configuration without a result" in said


def test_a_last_line_without_its_newline_is_a_line() -> None:
    folder = log()
    (folder / "results.json").write_text((folder / "results.json").read_text().removesuffix("\n"))
    evaluations, said = taken()
    assert (len(evaluations), "torn" in said) == (4, False)


@pytest.mark.parametrize(
    ("configs", "results", "said"),
    [
        ([config(A, {**SGD, "lr": 0.2})], [], r"configs.json, line 1: lr = 0.2; accepted is a number from 1e-05 to 0.1; give the space"),
        ([config(A, SGD), config(B, {"opt": "adam", "n": 2})], [], "configs.json, line 2: lr is missing although it is active"),
        ([config(A, {**ADAM, "mom": 0.5})], [], "mom is given but inactive"),
        ([config(A, {**SGD, "depth": 3})], [], "no hyperparameter 'depth'; the space has"),
        ([config(A, SGD), config(A, ADAM)], [], "line 2: configuration [0, 0, 0] stands in an earlier line with other values"),
        ([[A, SGD, {}, 1]], [], "line 1: accepted is [id, configuration, info]"),
        ([[A, "x", {}]], [], "line 1: the configuration is 'x'; accepted is an object"),
        ([[[0, 0], SGD, {}]], [], "line 1: the id is [0, 0]; accepted are three whole numbers from 0"),
        ([[A, SGD, {"model_based_pick": 1}]], [], "line 1: model_based_pick is 1; accepted is true or false"),
        (CONFIGS, [[A, 1.0, {}, ok(1)]], "results.json, line 1: accepted is [id, budget, times, result, exception]"),
        (CONFIGS, [result([0, 0, -1], 1.0, 0.0, ok(1))], "line 1: the id is [0, 0, -1]"),
        (CONFIGS, [result(A, -1.0, 0.0, ok(1))], "the budget is -1.0; accepted is a positive number"),
        (CONFIGS, [[A, 1.0, {"submitted": 1.0, "finished": 3.0}, ok(1), None]], "accepted are submitted <= started <= finished"),
        (CONFIGS, [[A, 1.0, {"submitted": 1.0, "started": 0.5, "finished": 3.0}, ok(1), None]], "submitted <= started <= finished"),
        (CONFIGS, [[A, 1.0, None, ok(1), None]], "the times are None"),
        (CONFIGS, [result(A, 1.0, 0.0, {"info": 3})], "the result is {'info': 3}; accepted is"),
        (CONFIGS, [result(A, 1.0, 0.0, {"loss": "0.5", "info": 3})], "the loss is '0.5'; accepted is a number or null"),
        (CONFIGS, [result(A, 1.0, 0.0, {"loss": True, "info": 3})], "the loss is True"),
        (CONFIGS, [RESULTS[0], result(A, 1.0, 9.0, ok(1))], "line 2: configuration [0, 0, 0] has a result on budget 1 in line 1 already"),
        (CONFIGS, [result(A, 1.0, 0.0, ok(1)), result(A, 1.5, 9.0, ok(1))], "the budgets 1, 1.5 are no ladder"),
        (
            CONFIGS,
            [result(A, b, b, ok(1)) for b in (1.0, 3.0, 7.0)],
            "the budgets 1, 3, 7 are no ladder max / eta^k with eta of at least 2",
        ),
        (CONFIGS, [], "has no result that can be taken"),
        ([], RESULTS, "has no result that can be taken"),
        (CONFIGS, [result([9, 9, 9], 1.0, 0.0, ok(1))], "has no result that can be taken"),
    ],
)
def test_a_line_that_cannot_be_is_refused_by_its_number_and_nothing_is_written(configs: list[Any], results: list[Any], said: str) -> None:
    log(configs, results)
    refused = bring()
    assert refused.exit_code == 2, refused.output
    assert said in refused.stderr
    assert not Path("study").exists()


def test_a_link_to_an_empty_folder_is_that_folder() -> None:
    log()
    Path("elsewhere").mkdir()
    Path("study").symlink_to("elsewhere")
    taken = bring()
    assert taken.exit_code == 0, taken.output
    assert Path("elsewhere/study.json").exists()
    assert sorted(str(p) for p in Path().iterdir()) == ["elsewhere", "log", "study"]


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda log: (log / "configspace.json").unlink(), "does not say what was searched. Give it with --space"),
        (lambda log: (log / "configspace.json").write_text("{"), "configspace.json' cannot be built"),
        (lambda log: (log / "results.json").unlink(), "results.json cannot be read: No such file"),
        (lambda log: (log / "configs.json").unlink(), "configs.json cannot be read: No such file"),
        (lambda log: (log / "results.json").write_text("[[0, 0,\n" + json.dumps(RESULTS[0]) + "\n"), "results.json, line 1: it is no JSON"),
        (lambda log: (log / "results.json").write_text("[" * 100_000 + "\n[]\n"), "results.json, line 1: it is no JSON"),
        (lambda log: (log / "configs.json").write_bytes(b"\xff\xfe\n\n"), "configs.json, line 1: it is no JSON"),
        (lambda log: Path("study").write_text("mine"), "study exists and is no empty directory"),
        (lambda log: Path("study/deep").mkdir(parents=True), "study exists and is no empty directory"),
        (lambda log: log.rename("elsewhere"), "log is no folder"),
        (lambda log: json_lines(log / "results.json", [result(A, b, 1000.0, ok(0.5)) for b in (1, 2, 2**120)]), "there are 121 budgets"),
        (lambda log: json_lines(log / "results.json", [result(A, b, 1000.0, ok(0.5)) for b in (1, 5e12)]), "eta 5e+12: accepted"),
    ],
)
def test_what_is_in_the_way_or_not_there_is_refused(spoil: Callable[[Path], object], said: str) -> None:
    spoil(log())
    before = sorted(str(p) for p in Path().rglob("*"))
    refused = bring()
    assert refused.exit_code == 2, refused.output
    assert said in refused.stderr
    assert sorted(str(p) for p in Path().rglob("*")) == before


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--budget-unit", "\udcff"), "accepted is a text in UTF-8"),
        (("--budget-unit", " "), "accepted is what budgets count"),
        (("--space", "sp\udcff.json"), "is not UTF-8"),
    ],
)
def test_what_no_study_could_be_opened_with_is_refused(more: tuple[str, ...], said: str) -> None:
    log()
    Path("sp\udcff.json").write_text(json.dumps(SPACE))
    refused = bring(*more)
    assert refused.exit_code == 2, refused.output
    assert said in refused.stderr
    assert not Path("study").exists()


@pytest.mark.parametrize("target", [".", "../empty"])
def test_the_folder_in_which_it_is_typed_is_not_replaced(target: str, monkeypatch: pytest.MonkeyPatch) -> None:
    log()
    Path("empty").mkdir()
    monkeypatch.chdir("empty")
    refused = CliRunner().invoke(cli, ["import-hpbandster", "../log", target])
    assert refused.exit_code == 2, refused.output
    assert "empty is the current directory" in refused.stderr
    assert Path.cwd().samefile("../empty")
    assert not list(Path().iterdir())


def test_null_is_an_inactive_hyperparameter() -> None:
    log(configs=[CONFIGS[0], *(config(i, {**ADAM, "mom": None}) for i in (B, C))])
    assert dict(taken()[0][1].trial.config) == ADAM


@pytest.mark.parametrize(("name", "text"), [("new.pcs", NEW_PCS), ("old.pcs", OLD_PCS), ("space.json", json.dumps(SPACE))])
def test_the_space_can_be_given(name: str, text: str) -> None:
    log(space=None)
    Path(name).write_text(text)
    evaluations, said = taken("--space", name)
    assert len(evaluations) == 4
    assert f"space: {Path(name).absolute()}" in said


def test_a_pcs_file_beside_the_log_is_its_space_and_a_broken_one_is_said() -> None:
    folder = log(space=None)
    (folder / "configspace.pcs").write_text(NEW_PCS)
    assert len(taken()[0]) == 4
    (folder / "configspace.pcs").write_text("lr real [0.1, 0.01] [0.05]\n")
    refused = CliRunner().invoke(cli, ["import-hpbandster", "log", "other"])
    assert refused.exit_code == 2
    assert "configspace.pcs' cannot be built" in refused.stderr


def test_a_float_that_rounding_put_outside_its_range_is_at_its_edge() -> None:
    log([config(A, {**SGD, "lr": 0.1 * (1 + 1e-12)}), config(B, {**ADAM, "lr": 1e-5 * (1 - 1e-12)}), CONFIGS[2]])
    evaluations, _ = taken()
    assert [e.trial.config["lr"] for e in evaluations][:2] == [0.1, 1e-5]


def test_budgets_as_hpbandster_computes_them_are_one_ladder() -> None:
    budgets = [10800 * 3 ** -(3.0 - k) for k in range(4)]
    found = ladder([b * (1 + 1e-9 * (-1) ** k) for k, b in enumerate(budgets)], unit="s")
    assert found.rungs == pytest.approx((400, 1200, 3600, 10800), rel=1e-6)
    assert ladder([5.0], unit="s").rungs == (5.0,)
    assert ladder([1.0, 27.0, 9.0], unit="s").rungs == (1.0, 3.0, 9.0, 27.0), "nobody was trained on 3"
    assert ladder([1.0, 2.5, 6.25], unit="s").eta == 2.5
    with pytest.raises(LogError, match="no ladder"):
        ladder([1.0, 9.0, 27.0, 50.0], unit="s")


@pytest.mark.parametrize(("low", "top", "eta"), [(0.1, 0.9, 3.0), (1.2, 400 / 7, 2.2), (0.7, 31.1, 3.33)])
def test_budgets_of_an_own_export_are_those_of_the_study(low: float, top: float, eta: float) -> None:
    rungs = Budgets(min=low, max=top, eta=eta).rungs
    assert ladder(rungs, unit="s").rungs == rungs
    assert ladder(rungs[:-1], unit="s").rungs == rungs[:-1], "the dearest was never reached"


def evaluations_of(study: Path) -> list[Any]:
    """What a round trip keeps: all but ids, seeds, constants, devices, and whether a random pick was asked for by the user."""
    state = fold(study / "journal.jsonl")
    found = []
    for e in state.evaluations():
        if e.trial.origin is Origin.PROBE:
            continue
        values = {name: value for name, value in e.trial.config.items() if name != "family"}
        origin = Origin.RANDOM if e.trial.origin is Origin.PRIOR else e.trial.origin
        told = (e.result.status, e.result.loss, e.result.train_s, dict(e.result.metrics), e.result.message)
        found.append((values, e.trial.budget, e.trial.rung, e.trial.bracket, origin, *told))
    return found


def lines(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.name == "configs.json" else [json.loads(path.read_text())]


def test_there_and_back_gives_the_same_evaluations(tmp_path: Path) -> None:
    first = make_study(tmp_path / "first")
    assert CliRunner().invoke(cli, ["export", "first", "--format", "hpbandster", "--to", "log"]).exit_code == 0
    taken()
    assert evaluations_of(Path("study")) == evaluations_of(first.path)
    assert json.loads(Path("study/study.json").read_text())["budgets"] == {"min": 1.0, "max": 9.0, "eta": 3.0, "unit": "s"}
    together = {t.config_id for t in fold(Path("study/journal.jsonl")).trials.values() if t.origin is Origin.PROMOTED}
    assert together == {"0-0-1"}
    assert CliRunner().invoke(cli, ["export", "study", "--format", "hpbandster", "--to", "again"]).exit_code == 0
    for name in ("configs.json", "configspace.json"):
        assert lines(Path("again", name)) == lines(Path("log", name))


def test_failures_of_an_own_export_are_counted_as_what_they_are(tmp_path: Path) -> None:
    make_study(tmp_path / "first")
    assert CliRunner().invoke(cli, ["export", "first", "--format", "hpbandster", "--to", "log"]).exit_code == 0
    evaluations, said = taken()
    assert [e.result.status for e in evaluations].count(Status.OUT_OF_MEMORY) == 1
    assert "taken as out_of_memory, as the log says: 1 evaluation\n" in said
    assert "crashed" not in said


def test_what_breaks_a_constraint_does_so_there_and_back(tmp_path: Path) -> None:
    first = make_study(tmp_path / "first")
    journal = Journal(first.journal, fold(first.journal))
    told = {"trial_id": "t6", "status": "ok", "loss": 0.01, "train_s": 1.0, "details": {"violates": ["params <= 5"]}}
    journal.write(Event(term=1, time=1_700_000_100.0, result=Evaluated.from_json(told)))
    assert journal.state.incumbent is not None
    assert journal.state.incumbent.result.loss == 1.5
    assert CliRunner().invoke(cli, ["export", "first", "--format", "hpbandster", "--to", "log"]).exit_code == 0
    evaluations, _ = taken()
    assert [e.result.violates for e in evaluations if e.result.loss == 0.01] == [("params <= 5",)]
    incumbent = fold(Path("study/journal.jsonl")).incumbent
    assert incumbent is not None
    assert incumbent.result.loss == 1.5


@pytest.mark.hpbandster
@pytest.mark.filterwarnings("ignore")
def test_a_log_of_hpbandsters_own_logger(tmp_path: Path) -> None:
    core = pytest.importorskip("hpbandster.core.result", reason="pip install bohb-nas[hpbandster]", exc_type=ImportError)
    from hpbandster.core.dispatcher import Job

    logger = core.json_result_logger(directory="log")
    jobs = [((0, 0, 0), SGD, 1.0, ok(0.5)), ((0, 0, 1), ADAM, 1.0, None), ((0, 0, 0), SGD, 3.0, ok(0.25))]
    for n, (config_id, values, budget, told) in enumerate(jobs):
        logger.new_config(config_id, values, {"model_based_pick": config_id == (0, 0, 1)})
        job = Job(config_id, config=values, budget=budget, working_directory=".")
        job.timestamps = {"submitted": 10.0 * n, "started": 10.0 * n + 1, "finished": 10.0 * n + 4}
        job.result, job.exception = told, None if told else "boom"
        logger(job)
    Path("log/configspace.json").write_text(json.dumps(SPACE))
    evaluations, _ = taken()
    assert [(dict(e.trial.config), e.trial.budget, e.trial.origin, e.result.loss, e.result.train_s) for e in evaluations] == [
        (SGD, 1.0, Origin.RANDOM, 0.5, 3.0),
        (ADAM, 1.0, Origin.MODEL, None, 3.0),
        (SGD, 3.0, Origin.PROMOTED, 0.25, 3.0),
    ]
    assert evaluations[1].result.message == "boom"


def test_an_import_that_was_killed_is_as_if_it_had_not_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    log()

    def killed(self: StudyDir, meta: dict[str, Any]) -> None:
        del self, meta
        raise SystemExit(137)

    with monkeypatch.context() as patch:
        patch.setattr(StudyDir, "write_meta", killed)
        assert bring().exit_code == 137
    assert not Path("study").exists()
    assert len(taken()[0]) == len(RESULTS)


def test_an_import_that_is_stopped_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    log()
    before = sorted(Path().iterdir())

    def stopped(self: StudyDir, meta: dict[str, Any]) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(StudyDir, "write_meta", stopped)
    assert bring().exit_code == 1
    assert sorted(Path().iterdir()) == before


def test_the_next_command_can_be_pasted_where_the_study_s_name_begins_as_an_option_does() -> None:
    log()
    done = CliRunner().invoke(cli, ["import-hpbandster", "log", "./-dash"])
    assert done.stdout == "next: bohb-nas status ./-dash\n"


@pytest.mark.parametrize("name", ["space.json", "study.json"])
def test_an_import_for_which_the_disk_has_no_room_leaves_nothing(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    log()
    before, replace = sorted(Path().iterdir()), os.replace

    def full(old: Path, new: Path) -> None:
        if Path(new).name == name:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        replace(old, new)

    monkeypatch.setattr(os, "replace", full)
    refused = bring()
    assert refused.exit_code == 1
    assert "free space" in refused.stderr
    assert sorted(Path().iterdir()) == before


def test_words_that_are_no_unicode_are_taken_as_far_as_they_are() -> None:
    log(results=[*RESULTS[:2], result(C, 3.0, 1010.0, None, trace="half \ud800 a pair")])
    assert [e.result.message for e in taken()[0] if e.result.loss is None] == ["half ? a pair"]


def test_budgets_too_far_apart_are_refused() -> None:
    with pytest.raises(LogError, match="too far apart"):
        ladder([5e-324, 1e308], unit="s")
