"""A study as a run directory of HpBandSter, opened by HpBandSter's own reader."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from ConfigSpace import (
    Categorical,
    Configuration,
    ConfigurationSpace,
    Constant,
    EqualsCondition,
    Float,
    ForbiddenAndConjunction,
    ForbiddenEqualsClause,
    Integer,
)

from bohb_nas.cli import cli
from bohb_nas.records import Budgets, Origin, Result, Status, Trial, Value
from bohb_nas.report.exports import hpbandster, make
from bohb_nas.report.status import Watch
from bohb_nas.space.files import space_from_json, space_to_json
from bohb_nas.space.without import without_constants
from bohb_nas.store.journal import Event, Journal, State, fold
from bohb_nas.store.study_dir import FORMAT, StudyDir

NOW = 1_700_000_000.0
META: dict[str, Any] = {
    **{"format": FORMAT, "space": "own", "method": "bohb", "method_options": {}, "worker": "toy", "worker_options": {}, "seed": 1},
    **{"promote": "restart", "cwd": "/", "budgets": Budgets(min=1, max=9).to_json()},
    "stop": {"brackets": None, "trials": 9, "total_s": None},
}


def space() -> ConfigurationSpace:
    space = ConfigurationSpace(seed=0)
    optimizer, momentum = Categorical("optimizer", ["sgd", "adam"], ordered=False), Float("momentum", (0.0, 0.99))
    space.add(Constant("family", "wrn"), optimizer, momentum, Float("lr", (1e-4, 1.0), log=True), Integer("depth", (1, 5)))
    space.add(EqualsCondition(momentum, optimizer, "sgd"))
    space.add(ForbiddenAndConjunction(ForbiddenEqualsClause(space["optimizer"], "adam"), ForbiddenEqualsClause(space["depth"], 5)))
    return space


SGD: dict[str, Value] = {"family": "wrn", "optimizer": "sgd", "momentum": 0.9, "lr": 0.1, "depth": 3}
ADAM: dict[str, Value] = {"family": "wrn", "optimizer": "adam", "lr": 0.001, "depth": 4}
ASKS: list[tuple[str, str, dict[str, Value], int, Origin]] = [
    ("t0", "c0", SGD, 0, Origin.RANDOM),
    ("t1", "c1", ADAM, 0, Origin.MODEL),
    ("t2", "c1", ADAM, 1, Origin.PROMOTED),
    ("t3", "c1", ADAM, 2, Origin.PROMOTED),
    ("t4", "c2", SGD, 1, Origin.MODEL),
    ("t5", "c3", ADAM, 1, Origin.PRIOR),
    ("probe-00000-0", "probe-00000", SGD, 0, Origin.PROBE),
    ("t6", "c4", ADAM, 2, Origin.RANDOM),
]
"""All but the last are told."""
LOSSES = [0.5, 0.25, 0.125, 1.5, None, 0.75, 0.01]


def make_study(path: Path, *, behind_s: float = 0.0) -> StudyDir:
    study = StudyDir(path)
    study.make()
    study.write_meta(META)
    study.space_json.write_text(space_to_json(space()))
    journal = Journal(study.journal, State())
    journal.write(Event(term=1, time=NOW))
    for n, (trial_id, config_id, config, rung, origin) in enumerate(ASKS):
        entry = min(r for _, c, _, r, _ in ASKS if c == config_id)
        asked = {"trial_id": trial_id, "config_id": config_id, "config": config, "budget": (1.0, 3.0, 9.0)[rung], "rung": rung}
        trial = Trial.from_json({**asked, "bracket": 2 - entry, "seed": n, "origin": origin})
        journal.write(Event(term=1, time=NOW + 10 * n, trial=trial))
        if n == len(LOSSES):
            break
        loss = LOSSES[n]
        began, ended = NOW + 10 * n + 1 - behind_s, NOW + 10 * n + 8 - behind_s
        engine = {"host": "h", "device": "d", "began": began, "ended": ended, "idle_s": None, "attempt": 0}
        told = {"trial_id": trial_id, "status": "ok", "loss": loss, "train_s": 6.5, "metrics": {"params": 7}}
        told |= {"status": "out_of_memory", "message": "too big"} if loss is None else {}
        result = Result.from_json({**told, "details": {} if n == 0 else {"engine": engine}})
        journal.write(Event(term=1, time=NOW + 10 * n + 9, result=result))
    return study


def export(study: StudyDir, to: Path) -> str:
    shown = CliRunner().invoke(cli, ["export", str(study.path), "--format", "hpbandster", "--to", str(to)])
    assert shown.exit_code == 0, shown.output
    return shown.stderr


def lines(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.hpbandster
@pytest.mark.filterwarnings("ignore")
def test_hpbandsters_own_reader_opens_it(tmp_path: Path) -> None:
    reading = pytest.importorskip(
        "hpbandster.core.result", reason="hpbandster is not installed: pip install bohb-nas[hpbandster]", exc_type=ImportError
    )
    said = export(make_study(tmp_path / "study"), tmp_path / "out")
    assert "6 evaluations of 4 configurations" in said
    assert "baselines, probes and searches in a worker are left out, HpBandSter has no word for them: 1 evaluation\n" in said
    found = reading.logged_results_to_HBS_result(str(tmp_path / "out"))
    assert found.HB_config["budgets"] == [1.0, 3.0, 9.0]
    assert (found.HB_config["eta"], found.HB_config["max_SH_iter"], found.HB_config["time_ref"]) == (3.0, 3, NOW)
    runs = {(r.config_id, r.budget): r for r in found.get_all_runs()}
    assert {key: run.loss for key, run in runs.items()} == {
        ((0, 0, 0), 1.0): 0.5,
        ((0, 0, 1), 1.0): 0.25,
        ((0, 0, 1), 3.0): 0.125,
        ((0, 0, 1), 9.0): 1.5,
        ((1, 0, 0), 3.0): 1.5,
        ((1, 0, 1), 3.0): 0.75,
    }, "a failure is never the best: it counts as 1, or as the highest loss where that is more"
    assert found.get_incumbent_id() == (0, 0, 1)
    assert found.num_iterations() == 2
    stamps = {key: tuple(run.time_stamps[name] for name in ("submitted", "started", "finished")) for key, run in runs.items()}
    assert stamps == {
        ((0, 0, 0), 1.0): (0, 0, 9),
        ((0, 0, 1), 1.0): (10, 11, 18),
        ((0, 0, 1), 3.0): (20, 21, 28),
        ((0, 0, 1), 9.0): (30, 31, 38),
        ((1, 0, 0), 3.0): (40, 41, 48),
        ((1, 0, 1), 3.0): (50, 51, 58),
    }, "what a worker says of its start and end, or ask and tell where it says nothing"
    states = {key: run.info.get("state") for key, run in runs.items()}
    assert states.pop(((1, 0, 0), 3.0)) == "CRASHED"
    assert set(states.values()) == {None}
    failed = runs[(1, 0, 0), 3.0].info
    assert (failed["status"], failed["message"], failed["train_s"]) == ("out_of_memory", "too big", 6.5)
    configs = found.get_id2config_mapping()
    assert {i: c["config_info"]["model_based_pick"] for i, c in configs.items()} == {
        (0, 0, 0): False,
        (0, 0, 1): True,
        (1, 0, 0): True,
        (1, 0, 1): False,
    }
    assert configs[0, 0, 1]["config"] == {"optimizer": "adam", "lr": 0.001, "depth": 4}


def test_the_space_is_configspaces_own_json_without_constants(tmp_path: Path) -> None:
    export(make_study(tmp_path / "study"), tmp_path / "out")
    read = ConfigurationSpace.from_json(tmp_path / "out" / "configspace.json")
    assert set(read) == {"optimizer", "momentum", "lr", "depth"}
    assert [str(c) for c in read.conditions] == ["momentum | optimizer == 'sgd'"]
    assert len(read.forbidden_clauses) == 1
    for config_id, config, _ in lines(tmp_path / "out" / "configs.json"):
        Configuration(read, config).check_valid_configuration()
        assert ("momentum" in config) == (config["optimizer"] == "sgd"), config_id


def test_every_line_has_its_form(tmp_path: Path) -> None:
    export(make_study(tmp_path / "study"), tmp_path / "out")
    for config_id, budget, stamps, result, trace in lines(tmp_path / "out" / "results.json"):
        assert (len(config_id), config_id[1], trace) == (3, 0, None)
        assert budget in (1.0, 3.0, 9.0)
        assert set(stamps) == {"submitted", "started", "finished"}
        assert set(result) == {"loss", "info"}
        assert isinstance(result["loss"], float)
    assert json.loads((tmp_path / "out" / "bohb_nas.json").read_text()) == {"study": str(tmp_path / "study"), "unit": "s"}


@pytest.mark.parametrize("behind_s", [2.0, 60.0])
def test_times_have_their_order_where_a_workers_clock_is_behind(tmp_path: Path, behind_s: float) -> None:
    """Or no reader takes the log, ours included."""
    export(make_study(tmp_path / "study", behind_s=behind_s), tmp_path / "out")
    stamps = [stamps for _, _, stamps, *_ in lines(tmp_path / "out" / "results.json")]
    assert stamps
    assert all(s["submitted"] <= s["started"] <= s["finished"] for s in stamps)


def test_a_constant_that_others_depend_on_stays() -> None:
    own = space()
    own.add(Constant("kind", "deep"), Float("dropout", (0.0, 0.5)), Constant("alone", 1))
    own.add(EqualsCondition(own["dropout"], own["kind"], "deep"))
    own.add(EqualsCondition(own["alone"], own["optimizer"], "sgd"))
    text = space_to_json(own)
    left, gone = without_constants(own)
    assert gone == {"family", "alone"}
    assert set(left) == {"kind", "dropout", "optimizer", "momentum", "lr", "depth"}
    assert sorted(str(c) for c in left.conditions) == ["dropout | kind == 'deep'", "momentum | optimizer == 'sgd'"]
    assert space_to_json(own) == text, "the space itself is left as it is"
    assert set(space_from_json(space_to_json(left))) == set(left)


def test_a_later_export_adds_what_is_new_and_nothing_else_is_overwritten(tmp_path: Path) -> None:
    study, other = make_study(tmp_path / "study"), make_study(tmp_path / "other")
    export(study, tmp_path / "out")
    before = {p.name: p.read_bytes() for p in (tmp_path / "out").iterdir()}
    export(study, tmp_path / "out")
    assert {p.name: p.read_bytes() for p in (tmp_path / "out").iterdir()} == before
    log = tmp_path / "old"
    log.mkdir()
    (log / "results.json").write_text("[]\n")
    for owner, to in ((other, tmp_path / "out"), (study, log)):
        shown = CliRunner().invoke(cli, ["export", str(owner.path), "--format", "hpbandster", "--to", str(to)])
        assert shown.exit_code == 2
        assert "something else than an earlier export of this study" in shown.stderr
    assert {p.name: p.read_bytes() for p in (tmp_path / "out").iterdir()} == before
    assert (log / "results.json").read_text() == "[]\n"


def test_a_study_without_a_space_or_a_file_in_the_way_is_refused(tmp_path: Path) -> None:
    study = make_study(tmp_path / "study")
    (tmp_path / "there").write_text("")
    shown = CliRunner().invoke(cli, ["export", str(study.path), "--format", "hpbandster", "--to", str(tmp_path / "there")])
    assert (shown.exit_code, "is a file" in shown.stderr) == (2, True)
    study.space_json.unlink()
    shown = CliRunner().invoke(cli, ["export", str(study.path), "--format", "hpbandster", "--to", str(tmp_path / "out")])
    assert shown.exit_code == 2
    assert f"{study.space_json} cannot be read: No such file or directory; restore it" in shown.stderr
    study.write_meta(META | {"space": "baselines"})
    shown = CliRunner().invoke(cli, ["export", str(study.path), "--format", "hpbandster", "--to", str(tmp_path / "out")])
    assert (shown.exit_code, "no search space" in shown.stderr, "--format csv" in shown.stderr) == (2, True, True)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("gone", ["bohb_nas.json", "configspace.json", "configs.json", "results.json"])
def test_files_are_written_again_for_another_evaluation_or_when_one_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gone: str
) -> None:
    study, to, written = make_study(tmp_path / "study"), tmp_path / "out", list[str]()

    def write(path: Path, text: str, *, mode: int) -> None:
        written.append(path.name)
        path.write_text(text)
        path.chmod(mode)

    monkeypatch.setattr(hpbandster, "write_atomic", write)
    target = make("hpbandster", Watch(study), to)
    said = target.update()
    assert target.update() == said
    assert written == ["bohb_nas.json", "configspace.json", "configs.json", "results.json"]
    text = (to / gone).read_text()
    (to / gone).unlink()
    assert target.update() == said
    assert (to / gone).read_text() == text
    assert len(written) == 8
    told = Result(trial_id="t6", status=Status.OK, loss=0.0625, train_s=6.5)
    Journal(study.journal, fold(study.journal)).write(Event(term=1, time=NOW + 99, result=told))
    assert "7 evaluations of 5 configurations" in target.update()
    assert lines(to / "results.json")[-1][3]["loss"] == 0.0625
    assert len(written) == 12
