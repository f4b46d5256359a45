"""From what was typed to the record of a study."""

import errno
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from study_fakes import planned

from bohb_nas.engine import launch
from bohb_nas.engine.launch import build, check, check_data, keep, new_space, reopen
from bohb_nas.engine.plan import Request, plan
from bohb_nas.engine.training_process import options_of
from bohb_nas.errors import BohbNasError, DatasetError, OptionError, StorageError, StudyError, UsageError
from bohb_nas.files import write_atomic
from bohb_nas.knowledge import Knowledge
from bohb_nas.space.files import space_to_json
from bohb_nas.store.frozen import recall
from bohb_nas.store.study_dir import StudyDir


def test_the_budget_alone_is_enough() -> None:
    meta = plan(Request(budget_max=10800.0))
    assert meta["budgets"] == {"min": 400.0, "max": 10800.0, "eta": 3.0, "unit": "s"}
    assert (meta["space"], meta["method"], meta["worker"], meta["seed"], meta["promote"]) == (
        "joint",
        "bohb",
        "image_classifier",
        0,
        "restart",
    )
    assert meta["worker_options"] == {"dataset": "cifar10", "full_validation_from_s": 10800.0}
    assert plan(Request()) == meta
    parts = build(meta, new_space(meta))
    assert parts.stop.worth == parts.worth == 8 * 45 * 3600, "eight rounds of 45 h"


def test_the_largest_seed_is_read_back(tmp_path: Path) -> None:
    meta = plan(Request(space="toy", worker="toy", seed=2**64 - 1))
    study = StudyDir(tmp_path / "s")
    study.make()
    study.write_meta(meta)
    assert study.read_meta()["seed"] == 18446744073709551615
    with pytest.raises(UsageError, match="--seed 18446744073709551616"):
        plan(Request(space="toy", worker="toy", seed=2**64))


@pytest.mark.parametrize("name", ["space.json", "key.pem", "study.json"])
def test_a_disk_that_refuses_a_new_study_is_no_misuse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    replace = os.replace

    def full(old: Path, new: Path) -> None:
        if Path(new).name == name:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        replace(old, new)

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(StorageError, match=f"cannot write .*{name}: No space left") as refused:
        planned(tmp_path / "study", Request(space="toy", worker="toy"))
    assert refused.value.exit_code == 1
    assert not (tmp_path / "study/study.json").exists()


@pytest.mark.parametrize(
    ("lost", "said"),
    [
        ({"trials": 2**53}, r"--trials 9007199254740992: accepted is a whole number from 1 to 9007199254740991"),
        ({"brackets": 2**53, "method": "hyperband"}, r"--brackets 9007199254740992: accepted"),
        ({"budget_min": 2.0**-100, "budget_max": 1.0, "eta": 2.0}, r"101 budgets; accepted are at most 99.*eta"),
        ({"method_options": {"x": "\ud800"}}, r"--method-option x=.*ud800.*UTF-8"),
        ({"worker_options": {"a": 1, "x": ["\udcff"]}}, r"--worker-option x=.*udcff.*UTF-8"),
        ({"worker": None, "command": "train \udcff"}, r"--worker-option command=.*udcff.*UTF-8"),
        ({"eta": 0.0}, r"eta 0: accepted is a number of at least 2"),
        ({"budget_unit": "\udcff"}, r"--budget-unit .*udcff.*UTF-8"),
    ],
)
def test_what_the_reader_of_a_record_would_refuse_is_refused_when_it_is_typed(lost: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        plan(Request(**{"space": "toy", "worker": "toy", **lost}))


def test_a_study_is_not_started_where_its_record_could_not_say_where(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Even if its own path is in UTF-8."""
    folder = tmp_path / os.fsdecode(b"caf\xe9")
    folder.mkdir()
    monkeypatch.chdir(folder)
    with pytest.raises(UsageError, match=r"caf\\udce9' is not UTF-8"):
        plan(Request(space="toy", worker="toy"))


COMMAND: dict[str, Any] = {"space": "toy", "command": "train {lr}"}


@pytest.mark.parametrize(
    ("said", "name", "value", "own"),
    [
        ({}, "dataset", "digits", "--dataset"),
        ({"dataset": "digits"}, "dataset", "digits", "--dataset"),
        ({"method": "autohas"}, "data_dir", "/b", "--data-dir"),
        (COMMAND, "command", "train {lr}", "--command"),
        ({"space": "toy", "worker": "command"}, "command", "train {lr}", "--command"),
    ],
)
def test_a_worker_option_that_has_an_option_of_its_own_is_refused(said: dict[str, Any], name: str, value: str, own: str) -> None:
    with pytest.raises(UsageError, match=f"^--worker-option {name}: say it with {own}$"):
        plan(Request(**said, worker_options={name: value}))
    assert plan(Request(space="toy", worker="mine.py", worker_options={name: value}))["worker_options"] == {name: value}, "its own"


def test_paths_that_an_earlier_version_kept_as_they_were_typed_are_those_of_the_study(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir("/")
    earlier = {"dataset": "image_folder:a", "data_dir": "/b/"}
    base = plan(Request()) | {"worker_options": {**plan(Request())["worker_options"], **earlier}}
    for asked in (Request(), Request(dataset="image_folder:/a", data_dir=Path("b"))):
        assert plan(asked, base=base) == base
    assert plan(Request(data_dir=Path("c")), base=base)["worker_options"]["data_dir"] == "/c"
    monkeypatch.chdir("/usr")
    assert plan(Request(dataset="image_folder:/a"), base=base) == base, "where the study was begun"
    assert plan(Request(dataset="image_folder:a"), base=base)["worker_options"]["dataset"] == "image_folder:/usr/a"


@pytest.mark.parametrize(("name", "value", "own"), [("hard_limit_s", 10_000.0, "--hard-limit"), ("unit", "s", "--budget-unit")])
def test_limit_and_unit_of_a_command_are_the_study_s(name: str, value: object, own: str) -> None:
    """A limit as its option alone would be unknown to whoever kills the training process: after 900 s here."""
    with pytest.raises(UsageError, match=f"^--worker-option {name}: say it with {own}$"):
        plan(Request(**COMMAND, budget_max=400.0, worker_options={name: value}))
    assert plan(Request(space="toy", worker="mine.py", worker_options={name: value}))["worker_options"] == {name: value}, "its own"


def test_a_command_is_told_limit_and_unit_of_the_study() -> None:
    meta = plan(Request(**COMMAND, budget_max=9.0, budget_unit="epochs", hard_limit_s=50.0))
    assert meta["worker_options"] == {"command": "train {lr}"}
    assert options_of(meta) == {"command": "train {lr}", "hard_limit_s": 50.0, "unit": "epochs"}
    assert options_of(plan(Request(**COMMAND))) == {"command": "train {lr}", "unit": "s"}


def test_a_limit_that_an_older_study_keeps_in_the_options_of_its_command_holds_until_another_is_typed(tmp_path: Path) -> None:
    of_old = {"command": "train {lr}", "hard_limit_s": 60.0, "unit": "epochs"}
    study = planned(tmp_path / "study", Request(**COMMAND, budget_max=9.0, budget_unit="epochs"), worker_options=of_old)
    resumed, _ = reopen(study, Request())
    assert options_of(resumed) == of_old
    assert options_of(reopen(study, Request(hard_limit_s=70.0))[0])["hard_limit_s"] == 70.0


def test_the_largest_counts_and_the_longest_ladder_are_read_back(tmp_path: Path) -> None:
    most: dict[str, Any] = {"trials": 2**53 - 1, "brackets": 2**53 - 1, "budget_min": 2.0**-98, "budget_max": 1.0, "eta": 2.0}
    meta = plan(Request(space="toy", worker="toy", method_options={"x": "\N{SNOWMAN}"}, **most))
    study = StudyDir(tmp_path / "s")
    study.make()
    study.write_meta(meta)
    assert study.read_meta() == meta


def test_the_published_run() -> None:
    meta = plan(Request(preset="zela2018"))
    assert (meta["space"], meta["method"]) == ("zela2018", "bohb_2018")
    assert meta["worker_options"] == {"schedule": "restarts", "dataset": "cifar10", "full_validation_from_s": 10800.0}
    assert meta["budgets"]["min"] == 400.0
    assert build(meta, new_space(meta)).method_options.n_brackets == 32
    other = plan(Request(preset="zela2018", method="hyperband", space="joint", worker_options={"schedule": "cosine"}))
    assert (other["method"], other["space"]) == ("hyperband", "joint"), "what is typed wins over the preset"
    assert other["worker_options"]["schedule"] == "cosine"
    assert plan(Request(preset="zela2018"), base=other) == other, "so does what was typed when the study began"


@pytest.mark.parametrize(("method", "brackets"), [("asha", None), ("random_search", None), ("hyperband", 32), ("bohb_2018", 32)])
def test_the_brackets_of_a_preset_are_its_method_s(method: str, brackets: int | None) -> None:
    meta = plan(Request(preset="zela2018", method=method))
    assert getattr(build(meta, new_space(meta)).method_options, "n_brackets", None) == brackets


def test_the_worker_options_of_a_preset_are_its_worker_s() -> None:
    meta = plan(Request(preset="zela2018", method="autohas"))
    assert meta["worker"] == "one_shot"
    assert "schedule" not in meta["worker_options"]
    assert plan(Request(preset="zela2018", command="true"))["worker_options"] == {"command": "true"}
    assert plan(Request(preset="zela2018", method="dha"))["space"] == "zela2018", "which comes before what a method would take"


@pytest.mark.parametrize(("maximum", "eta", "minimum"), [(27.0, None, 1.0), (16.0, 2.0, 2.0), (10800.0, 3.0, 400.0)])
def test_the_cheapest_budget_follows_from_the_dearest(maximum: float, eta: float | None, minimum: float) -> None:
    assert plan(Request(budget_max=maximum, eta=eta))["budgets"]["min"] == minimum


def test_stop_rules() -> None:
    space = new_space(plan(Request(space="toy", worker="toy")))

    def parts(method: str, **stop: Any) -> Any:
        return build(plan(Request(space="toy", worker="toy", method=method, **stop)), space)

    assert parts("hyperband", trials=5).method_options.n_brackets is None
    assert parts("hyperband", trials=5).stop.trials == 5
    assert parts("hyperband", brackets=5).method_options.n_brackets == 5
    assert parts("hyperband", brackets=4).worth == 45 * 3600, "one round"
    assert parts("hyperband", brackets=4).stop.worth is None, "the method itself ends"
    assert parts("random_search").stop.worth == 8 * 45 * 3600, "as much budget as 32 brackets"
    assert [parts("asha", budget_unit=unit, budget_max=9.0).stop.in_seconds for unit in ("s", "epochs")] == [True, False]
    assert parts("random_search", total_s=10800.0).stop.worth is None
    with pytest.raises(OptionError, match="no brackets"):
        parts("random_search", brackets=5)


METHOD = """
from dataclasses import dataclass
@dataclass(frozen=True, kw_only=True)
class Options:
    speed: float
def make(**arguments): ...
"""


@pytest.mark.parametrize(
    ("method", "options", "said"),
    [
        ("hyperband", {"n_brackets": 3}, "n_brackets is no --method-option: give --brackets, which may differ when the study is resumed"),
        ("hyperband", {"speed": 3}, "method hyperband has no option 'speed'; accepted are none"),
        ("asha", {"speed": 3}, "method asha has no option 'speed'; accepted are "),
        ("mine.py", {}, r"mine\.py: .*'speed'; --method-option accepts: speed"),
        ("mine.py", {"power": 3}, r"mine\.py has no option 'power'; accepted are speed"),
    ],
)
def test_options_that_a_method_does_not_take_or_lacks_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str, options: dict[str, Any], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine.py").write_text(METHOD)
    meta = plan(Request(space="toy", worker="toy", method=method, method_options=options))
    with pytest.raises(OptionError, match=said):
        build(meta, new_space(meta))


@pytest.fixture
def study(tmp_path: Path) -> StudyDir:
    return planned(tmp_path / "study", Request(space="toy", worker="toy", method="hyperband", budget_max=9.0, seed=4, brackets=2))


def test_what_is_not_said_on_resume_is_as_it_was(study: StudyDir) -> None:
    meta, space = reopen(study, Request())
    assert (meta["method"], meta["seed"], meta["budgets"]["max"], meta["stop"]["brackets"]) == ("hyperband", 4, 9.0, 2)
    assert space_to_json(space) == study.space_json.read_text().strip()
    same, _ = reopen(study, Request(space="toy", worker="toy", method="hyperband", budget_max=9.0, seed=4, brackets=2))
    assert same == meta


def test_a_record_stays_as_it_is_where_nothing_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said: dict[str, Any] = {
        **{"method": "bohb_2018", "space": "zela2018", "dataset": "image_folder:a", "data_dir": Path("b"), "skip_unreadable": True},
        **{"budget_min": 50.0, "budget_max": 800.0, "eta": 4.0, "brackets": 3, "trials": 90, "total_s": 9000.0, "seed": 4},
        **{
            "hard_limit_s": 1000.0,
            "promote": "continue",
            "preset": "zela2018",
            "worker_options": {"schedule": "cosine", "network": "n.py"},
        },
        **{"method_options": {"min_points": 9}, "initial": "i.json", "prior": Path("p.json"), "warm_start": (Path("w"),)},
        **{"constraints": ("latency<=1",), "max_params": 5e6, "listen": "host", "lease_s": 60.0, "require_same_gpu": True, "rank_probe": 3},
    }
    meta = plan(Request(**said))
    monkeypatch.chdir(tmp_path)
    assert plan(Request(), base=meta) == meta


def test_the_record_keeps_when_and_with_what_a_study_was_made(tmp_path: Path) -> None:
    began = time.time()
    study = planned(tmp_path / "study", Request(space="toy", worker="toy"))
    keep(study, {**study.read_meta(), "worth": 1.0})
    kept = study.read_meta()
    assert kept["worth"] == 1.0
    assert kept["versions"]["python"] == platform.python_version()
    assert began <= kept["created"] <= time.time()


@pytest.mark.skipif(shutil.which("git") is None, reason="there is no git")
def test_the_record_names_the_commit_of_where_the_study_was_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)  # a hook's would have it commit elsewhere
    for name, value in {"CEILING_DIRECTORIES": str(tmp_path), "CONFIG_GLOBAL": os.devnull, "CONFIG_NOSYSTEM": "1"}.items():
        monkeypatch.setenv(f"GIT_{name}", value)
    project, plain = tmp_path / "project", tmp_path / "plain"
    project.mkdir()
    plain.mkdir()
    who = ["-c", "user.name=n", "-c", "user.email=e"]
    for command in (["init", "-q"], [*who, "commit", "-q", "--allow-empty", "--no-gpg-sign", "-m", "first"]):
        subprocess.run(["git", *command], cwd=project, check=True)
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=project, check=True, capture_output=True, text=True).stdout.strip()
    for folder, commit in ((project, head), (plain, None)):
        study = planned(tmp_path / f"study-{folder.name}", Request(space="toy", worker="toy"), cwd=str(folder))
        assert study.read_meta()["git_commit"] == commit


def test_what_was_left_by_one_that_was_killed_while_it_made_a_study_is_removed_by_the_next(study: StudyDir) -> None:
    left = study.path / ".space.json.4f5d.tmp"
    left.touch()
    study.study_json.unlink()
    planned(study.path, Request(space="toy", worker="toy"))
    assert not left.exists()


def test_stop_rule_and_promotion_mode_may_differ_and_are_kept(study: StudyDir) -> None:
    meta, _ = reopen(study, Request(total_s=60.0, promote="continue"))
    assert meta["stop"] == {"brackets": None, "trials": None, "total_s": 60.0}
    assert meta["promote"] == "continue"
    keep(study, meta)
    assert reopen(study, Request())[0] == meta


def test_a_search_whose_space_was_lost_is_not_taken_for_baselines(tmp_path: Path) -> None:
    study = planned(tmp_path / "study", Request(space="toy", worker="toy"))
    study.space_json.unlink()
    with pytest.raises(StudyError, match=r"space\.json cannot be read: No such file or directory; restore it"):
        reopen(study, Request())


@pytest.mark.parametrize("name", ["skip_unreadable", "require_same_gpu"])
def test_what_workers_need_may_be_asked_for_on_resume_and_is_kept(tmp_path: Path, name: str) -> None:
    study = planned(tmp_path / "study", Request(space="toy", dataset="digits"))
    resumed, _ = reopen(study, Request(**{name: True}))  # type: ignore[arg-type]
    assert (study.read_meta()[name], resumed[name]) == (False, True)
    keep(study, resumed)
    assert reopen(study, Request())[0] == resumed


_PATHS: list[tuple[Callable[[Path], dict[str, Any]], Callable[[dict[str, Any]], str]]] = [
    (lambda path: {"space": f"{path}.py"}, lambda meta: meta["space"].removesuffix(".py")),
    (lambda path: {"space": f"{path}.json"}, lambda meta: meta["space"].removesuffix(".json")),
    (lambda path: {"worker": f"{path}.py"}, lambda meta: meta["worker"].removesuffix(".py")),
    (lambda path: {"method": f"{path}.py"}, lambda meta: meta["method"].removesuffix(".py")),
    (lambda path: {"dataset": f"{path}.py"}, lambda meta: meta["worker_options"]["dataset"].removesuffix(".py")),
    (lambda path: {"dataset": f"image_folder:{path}"}, lambda meta: meta["worker_options"]["dataset"].removeprefix("image_folder:")),
    (lambda path: {"data_dir": path}, lambda meta: meta["worker_options"]["data_dir"]),
    (lambda path: {"initial": str(path)}, lambda meta: meta["initial"]),
    (lambda path: {"prior": path}, lambda meta: meta["prior"]),
    (lambda path: {"warm_start": (path,)}, lambda meta: meta["warm_start"][0]),
    (lambda path: {"worker_options": {"policy_file": str(path)}}, lambda meta: meta["worker_options"]["policy_file"]),
    (lambda path: {"worker_options": {"network": f"{path}.py"}}, lambda meta: meta["worker_options"]["network"].removesuffix(".py")),
]
"""Every option that takes a path, and what is recorded of it."""


@pytest.mark.parametrize(("option", "recorded"), _PATHS)
def test_a_path_from_a_folder_below_is_the_same_and_earlier_versions_kept_it_as_typed(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    option: Callable[[Path], dict[str, Any]],
    recorded: Callable[[dict[str, Any]], str],
) -> None:
    (below := tmp_path / "below").mkdir()
    (tmp_path / "mine").mkdir()
    for ending in (".py", ".json"):
        (tmp_path / f"mine{ending}").write_text("{}")
    said: dict[str, Any] = {"space": "toy", "seed": 3}
    monkeypatch.chdir(below)
    meta = plan(Request(**(said | option(Path("../mine")))))
    assert recorded(meta) == str(tmp_path / "mine")
    study = StudyDir(tmp_path / "study")
    study.make()
    earlier = json.loads(json.dumps(meta).replace(json.dumps(str(tmp_path / "mine"))[1:-1], str(below / ".." / "mine")))
    assert recorded(earlier) == f"{below}/../mine"
    write_atomic(study.space_json, space_to_json(new_space(plan(Request(space="toy")))))
    study.write_meta(earlier)
    monkeypatch.chdir(tmp_path)
    for there in (True, False):
        assert reopen(study, Request(**option(Path("mine"))))[0] == earlier
        with pytest.raises(StudyError, match="belongs to another search"):
            reopen(study, Request(**option(Path("other"))))
        if there:
            (tmp_path / "mine").rmdir()
            (tmp_path / "mine.py").unlink()
            (tmp_path / "mine.json").unlink()


def test_options_of_ones_own_worker_are_no_paths_for_beginning_with_a_stroke(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("")
    said: dict[str, Any] = {"space": "toy", "worker": str(tmp_path / "mine.py")}
    study = planned(tmp_path / "study", Request(**said, worker_options={"pattern": "/a//b"}))
    reopen(study, Request(worker_options={"pattern": "/a//b"}))
    with pytest.raises(StudyError, match="belongs to another search"):
        reopen(study, Request(worker_options={"pattern": "/a/b"}))


def test_a_path_behind_a_link_leads_where_the_system_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "far" / "deep").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "far" / "deep")
    for folder in (tmp_path, tmp_path / "far"):
        (folder / "mine.py").touch()
    monkeypatch.chdir(tmp_path)
    assert plan(Request(space="link/../mine.py"))["space"] == str(tmp_path / "far" / "mine.py")
    assert plan(Request(space="link/mine.py"))["space"] == str(tmp_path / "link" / "mine.py"), "links stay as they were typed"
    assert plan(Request(space="absent/../mine.py"))["space"] == str(tmp_path / "absent" / ".." / "mine.py")
    assert plan(Request(data_dir=Path("far/..")))["worker_options"]["data_dir"] == str(tmp_path)


@pytest.mark.parametrize("asked", [{"space": "toy", "command": "train {lr}"}, {"space": "toy", "worker": "toy"}])
def test_the_limit_of_a_trial_may_differ_and_is_kept(tmp_path: Path, asked: dict[str, Any]) -> None:
    study = planned(tmp_path / "study", Request(**asked, budget_unit="epochs", budget_max=9.0))
    for limit_s in (60.0, 7200.0):
        resumed, _ = reopen(study, Request(hard_limit_s=limit_s))
        assert resumed["hard_limit_s"] == limit_s
        assert options_of(resumed).get("hard_limit_s") == (limit_s if "command" in asked else None)
        keep(study, resumed)
        assert reopen(study, Request())[0] == resumed
    with pytest.raises(StudyError, match="worker_options: the study has"):
        reopen(study, Request(hard_limit_s=60.0, worker_options={"grace_s": 1.0}))


@pytest.mark.parametrize(
    ("different", "listed"),
    [
        (Request(seed=5), "seed"),
        (Request(budget_max=27.0), "budgets"),
        (Request(space="joint"), "space"),
        (Request(method="bohb"), "method"),
        (Request(worker="image_classifier"), "worker: the study has"),
        (Request(worker_options={"seconds_per_budget": 1.0}), "worker_options"),
        (Request(preset="zela2018"), "preset"),
        (Request(initial="joint_hand_designed"), "initial"),
        (Request(prior=Path("prior.json")), "prior"),
        (Request(warm_start=(Path("earlier"),)), "warm_start"),
        (Request(constraints=("params<=5",)), "constraints"),
        (Request(max_flops=5e6), "constraints"),
        (Request(worker_options={"hard_limit_s": 5.0}), "worker_options"),
    ],
)
def test_another_search_is_listed_and_refused(study: StudyDir, different: Request, listed: str) -> None:
    before = study.study_json.read_bytes()
    with pytest.raises(StudyError, match=listed):
        reopen(study, different)
    assert study.study_json.read_bytes() == before


def test_changed_files_of_the_user_are_listed_and_need_a_word(tmp_path: Path) -> None:
    space, worker = tmp_path / "my space.py", tmp_path / "my_worker.py"
    space.write_text("from bohb_nas.search_spaces.toy import space\n")
    worker.write_text("def train(trial, workdir): ...\n")
    study = planned(tmp_path / "study", Request(space=str(space), worker=str(worker)))
    assert {p.name for p in study.inputs.iterdir()} == {"space-my space.py", "worker-my_worker.py"}
    reopen(study, Request())
    worker.write_text("def train(trial, workdir): return None\n")
    space.unlink()
    with pytest.raises(StudyError, match=r"(?s)my space.py \(gone\).*my_worker.py \(changed\).*or add --accept-changed-inputs"):
        reopen(study, Request())
    frozen = study.space_json.read_text()
    accepted, _ = reopen(study, Request(accept_changed_inputs=True))
    assert study.read_meta()["inputs"] != {}, "nothing is written before all is checked"
    keep(study, accepted)
    assert study.space_json.read_text() == frozen, "the space stays as it was at the start"
    assert (study.inputs / "worker-my_worker.py").read_text() == worker.read_text()
    assert reopen(study, Request())[0] == accepted
    worker.write_text("def train(trial, workdir): ...\n")  # as it was at the start, which is not what was accepted last
    with pytest.raises(StudyError) as refused:
        reopen(study, Request())
    assert str(refused.value) == (
        f"files are not those that this study took at its start or by the last --accept-changed-inputs:\n  {worker} (changed)\n"
        f"restore them, a copy of each is in {study.inputs}, or add --accept-changed-inputs"
    )


@pytest.mark.parametrize("kind", ["initial", "network", "policy", "prior", "space", "worker"])
def test_a_file_whose_absence_was_accepted_is_compared_when_it_is_back(tmp_path: Path, kind: str) -> None:
    file = tmp_path / f"mine.{'py' if kind in ('network', 'space', 'worker') else 'json'}"
    file.write_text(taken := "from bohb_nas.search_spaces.toy import space\n")
    name = {"policy": "policy_file"}.get(kind, kind)
    said: dict[str, Any] = {"worker_options": {name: str(file)}} if kind in ("network", "policy") else {name: str(file)}
    study = planned(tmp_path / "study", Request(**{"space": "toy", **said}))
    file.unlink()
    keep(study, reopen(study, Request(accept_changed_inputs=True))[0])
    reopen(study, Request())
    file.write_text(taken)
    reopen(study, Request())
    file.write_text("other")
    with pytest.raises(StudyError, match=r"mine\.\w+ \(changed\)"):
        reopen(study, Request())
    keep(study, reopen(study, Request(accept_changed_inputs=True))[0])
    assert (study.inputs / f"{kind}-{file.name}").read_text() == "other"
    file.unlink()
    with pytest.raises(StudyError, match=r"mine\.\w+ \(gone\)"):
        reopen(study, Request())


@pytest.mark.parametrize("with_folder", [False, True, "a link"])
@pytest.mark.parametrize("kind", ["dataset", "initial", "method", "network", "policy_file", "prior", "space", "worker"])
def test_what_to_do_about_a_file_that_is_gone_can_be_typed(tmp_path: Path, kind: str, *, with_folder: bool | str) -> None:
    file = tmp_path / "its folder" / f"my {kind}.py"
    file.parent.mkdir()
    file.write_text(taken := "from bohb_nas.search_spaces.toy import space\n")
    said: dict[str, Any] = {"worker_options": {kind: str(file)}} if kind in ("network", "policy_file") else {kind: str(file)}
    study = planned(tmp_path / "a study", Request(**{"space": "toy", **said}))
    file.unlink()
    if with_folder == "a link":
        file.symlink_to(tmp_path / "nowhere")
    elif with_folder:
        file.parent.rmdir()
    with pytest.raises(StudyError) as refused:
        reopen(study, Request())
    _, listed, advice, *commands = str(refused.value).splitlines()
    assert listed == f"  {file} (gone)"
    if kind in ("initial", "prior", "space"):
        assert (advice, commands) == (f"restore them, a copy of each is in {study.inputs}, or add --accept-changed-inputs", [])
        assert reopen(study, Request(accept_changed_inputs=True))
        return
    assert advice == f"restore them, a copy of each is in {study.inputs}; the study cannot go on without what these bring back:"
    subprocess.run(["sh", "-c", "\n".join(commands)], check=True)
    assert file.read_text() == taken
    reopen(study, Request())


def test_a_space_that_describes_networks_is_the_worker_s_network_too_and_frozen_as_both(tmp_path: Path) -> None:
    space = tmp_path / "mine.py"
    space.write_text("from bohb_nas.search_spaces.toy import space\ndef network(config): ...\n")
    study = planned(tmp_path / "study", Request(space=str(space)))
    meta = study.read_meta()
    assert meta["worker_options"]["network"] == str(space)
    assert {p.name for p in study.inputs.iterdir()} == {"space-mine.py", "network-mine.py"}
    assert list(meta["inputs"]) == [str(space)]
    assert reopen(study, Request(space=str(space)))[0]["worker_options"] == meta["worker_options"]
    space.write_text(space.read_text() + "\n")
    with pytest.raises(StudyError, match=r"mine.py \(changed\)"):
        reopen(study, Request())


def test_a_network_is_for_the_image_classifier_and_may_be_another_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    space = tmp_path / "mine.py"
    space.write_text("from bohb_nas.search_spaces.toy import space\ndef network(config): ...\n")
    toy = plan(Request(space=str(space), worker="toy"))
    new_space(toy)
    assert "network" not in toy["worker_options"]
    monkeypatch.chdir(tmp_path)
    other = plan(Request(space=str(space), worker_options={"network": "other.py"}))
    new_space(other)
    assert other["worker_options"]["network"] == str(tmp_path / "other.py")


def test_a_space_that_is_no_program_brings_no_network(tmp_path: Path) -> None:
    file = tmp_path / "toy.json"
    file.write_text(space_to_json(new_space(plan(Request(space="toy", worker="toy")))))
    meta = plan(Request(space=str(file)))
    assert "width" in new_space(meta)
    assert "network" not in meta["worker_options"]


def test_files_are_kept_by_their_paths_in_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A study may be resumed from another folder."""
    monkeypatch.chdir(tmp_path)
    meta = plan(Request(space="s.py", method="m.py", worker="w.py"))
    assert [meta[kind] for kind in ("space", "method", "worker")] == [str(tmp_path / f"{letter}.py") for letter in "smw"]
    assert plan(Request(worker_options={"policy_file": "p.json"}))["worker_options"]["policy_file"] == str(tmp_path / "p.json")
    assert plan(Request(dataset="d.py"))["worker_options"]["dataset"] == str(tmp_path / "d.py")
    assert plan(Request(dataset="package.module:load"))["worker_options"]["dataset"] == "package.module:load", "no file"
    own = plan(Request(space="toy", worker="w.py", worker_options={"network": "n.py"}))
    assert own["worker_options"]["network"] == "n.py", "what a worker of one's own means by it, it knows itself"


@pytest.mark.parametrize(("option", "mine"), [("command", "true"), ("worker", "mine.py")])
def test_a_worker_of_ones_own_is_not_given_the_image_classifier_s_space_unless_it_is_named(option: str, mine: str) -> None:
    asked: dict[str, Any] = {option: mine}
    with pytest.raises(UsageError, match=rf"--{option} without --space.*image classifier.*--space FILE\.py.*bohb-nas list spaces"):
        plan(Request(**asked))
    named = plan(Request(**asked, space="joint"))
    assert named["space"] == "joint"
    assert plan(Request(**asked), base=named)["space"] == "joint", "a resumed study has one"
    assert plan(Request(**asked, preset="zela2018"))["space"] == "zela2018"


def test_words_that_do_not_go_together() -> None:
    with pytest.raises(UsageError, match="contradict"):
        plan(Request(command="true", worker="toy"))
    assert plan(Request(**COMMAND, worker="command")) == plan(Request(**COMMAND)), "which says the same twice"
    with pytest.raises(UsageError, match="--command"):
        plan(Request(worker="command"))
    for of_images in ({"dataset": "digits"}, {"data_dir": Path("/data")}, {"skip_unreadable": True}):
        with pytest.raises(UsageError, match="belong to the worker image_classifier"):
            plan(Request(worker="toy", **of_images))


def test_a_worker_that_ends_while_it_looks_at_a_space_has_not_accepted_it(tmp_path: Path) -> None:
    worker = tmp_path / "mine.py"
    worker.write_text(
        "import os\ndef train(trial, workdir): ...\n"
        "def check(space):\n    os.write(2, b'first \\xff' + b' ' * 2000 + b'last words')\n    os._exit(3)\n"
    )
    meta = plan(Request(space="toy", worker=str(worker)))
    with pytest.raises(BohbNasError, match=r"(?s)exit code 3:\n +last words$"):
        check(meta, new_space(meta))


def test_what_a_worker_says_of_a_space_arrives_as_it_was_said(tmp_path: Path) -> None:
    """Also with characters at which Python ends lines, and JSON does not."""
    worker = tmp_path / "mine.py"
    worker.write_text("def train(trial, workdir): ...\ndef check(space):\n    return ['cat\\x85 dog\\u2028\\u2029']\n")
    meta = plan(Request(space="toy", worker=str(worker)))
    assert check(meta, new_space(meta)) == (["cat\x85 dog\u2028\u2029"], None)
    worker.write_text("raise ValueError('cat\\x85 dog\\u2028\\u2029')\n")
    with pytest.raises(UsageError, match="ValueError: cat\x85 dog\u2028\u2029"):
        check(meta, new_space(meta))


def test_a_machine_without_a_folder_for_temporary_files_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", "/nonexistent")
    meta = plan(Request(space="toy", worker="toy"))
    with pytest.raises(StorageError, match="no temporary file can be made: No such file or directory; TMPDIR names another folder"):
        check(meta, new_space(meta))


LEAVES_A_PROGRAM = """
import os, time
from pathlib import Path
if (pid := os.fork()) == 0:
    time.sleep(40)
    os._exit(0)
Path(__file__).with_name("left").write_text(str(pid))
def train(trial, workdir): ...
"""


def test_what_a_worker_leaves_running_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has the worker's outputs open."""
    monkeypatch.setattr(launch, "_CHECK_S", 20.0)
    worker = tmp_path / "mine.py"
    worker.write_text(LEAVES_A_PROGRAM)
    meta = plan(Request(space="toy", worker=str(worker)))
    try:
        assert check(meta, new_space(meta)) == ([], None)
        os.kill(int((tmp_path / "left").read_text()), 0)  # it lives
    finally:
        os.kill(int((tmp_path / "left").read_text()), signal.SIGKILL)


def test_a_worker_that_does_not_get_ready_is_not_waited_for_without_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launch, "_CHECK_S", 0.01)
    meta = plan(Request(space="toy", worker="toy"))
    with pytest.raises(UsageError, match=r"worker toy was not ready after 0\.01 s; make it start faster"):
        check(meta, new_space(meta))


def test_a_worker_of_ones_own_sees_the_gpus_of_the_machine_where_it_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may need one to look at a space; only ours is known not to."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5")
    worker = tmp_path / "mine.py"
    worker.write_text(
        "import os\ndef train(trial, workdir): ...\ndef check(space):\n    return ['seen: ' + os.environ['CUDA_VISIBLE_DEVICES']]\n"
    )
    meta = plan(Request(space="toy", worker=str(worker)))
    assert check(meta, new_space(meta), trains_here=False) == (["seen: 5"], None)


def test_what_there_is_to_know_of_the_data_is_said_and_the_worker_is_asked_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BOHB_NAS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(launch, "_ask_worker", lambda meta, space, **named: ["the worker was asked"])
    for n in range(12):
        path = tmp_path / "data" / "train" / ("cat" if n % 2 else "dog") / f"{n}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8 if n else 6), (20 * n, 0, 0)).save(path)
    path.with_name("broken.png").write_bytes(b"no image")
    meta = plan(Request(space="toy", dataset="image_folder", data_dir=tmp_path / "data", skip_unreadable=True))
    found: list[list[str]] = []
    for ask_worker in (True, False):
        notes, data = check(meta, new_space(meta), ask_worker=ask_worker)
        assert data is not None
        found.append(notes)
    assert found[0] == [*found[1], "the worker was asked"]
    whole, resized, left_out = found[1]
    assert whole == "data set image_folder: 12 images for training and validation, 0 for the final test, 2 classes, 8x8x3"
    assert resized.startswith("data set image_folder: 1 ")
    assert left_out.startswith("warning: unreadable image left out: train/cat/broken.png: ")


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU that is named is here")
def test_a_gpu_that_is_named_matters_where_workers_train(monkeypatch: pytest.MonkeyPatch) -> None:
    """A login node may name one that only other machines have."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    meta = plan(Request(dataset="digits"))
    with pytest.raises(UsageError, match="cannot use the GPU that it was given"):
        check(meta, new_space(meta))
    notes, _ = check(meta, new_space(meta), trains_here=False)
    assert notes[0].startswith("data set digits: 1438 images")


def test_where_nobody_trains_the_worker_is_asked_in_the_same_environment_but_for_gpus(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WIDTH_OF_MINE", "seven")
    space = tmp_path / "mine.py"
    space.write_text(
        "import os\nfrom ConfigSpace import ConfigurationSpace\ndef space(): return ConfigurationSpace({'width': (1, 9)})\n"
        "def network(config):\n    raise ValueError('width ' + os.environ.get('WIDTH_OF_MINE', 'unknown'))\n"
    )
    meta = plan(Request(space=str(space), dataset="digits"))
    with pytest.raises(UsageError, match="width seven"):
        check(meta, new_space(meta), trains_here=False)


def test_what_is_known_beforehand_is_part_of_the_record(tmp_path: Path) -> None:
    nothing = plan(Request(space="toy", worker="toy"))
    assert [nothing[name] for name in ("initial", "prior", "warm_start", "constraints")] == [None] * 4
    known = plan(
        Request(
            initial="zela2018_hand_designed",
            prior=Path("prior.json"),
            warm_start=(Path("a"), tmp_path / "b"),
            constraints=("params <= 5M", "latency<=0.5"),
            max_params=5e6,
        )
    )
    assert known["initial"] == "zela2018_hand_designed"
    assert known["prior"] == str(Path.cwd() / "prior.json")
    assert known["warm_start"] == [str(Path.cwd() / "a"), str(tmp_path / "b")]
    assert known["constraints"] == ["latency<=0.5", "params<=5e+06"], "two ways to say one thing are one"
    assert plan(Request(initial="first.json"))["initial"] == str(Path.cwd() / "first.json")
    assert plan(Request(constraints=("latency<=0.5",), max_params=5e6), base=known) == {**known, "preset": None}


def test_files_of_what_is_known_are_kept_and_a_changed_one_needs_a_word(tmp_path: Path) -> None:
    first = tmp_path / "first.json"
    first.write_text("[]")
    known = Knowledge(initial=({"lr": 0.1},))
    study = planned(tmp_path / "study", Request(space="toy", worker="toy", method="hyperband", initial=str(first)), known)
    assert (study.inputs / "initial-first.json").read_text() == "[]"
    first.write_text("[1]")
    with pytest.raises(StudyError, match=r"(?s)first\.json \(changed\).*--accept-changed-inputs"):
        reopen(study, Request())
    accepted, _ = reopen(study, Request(accept_changed_inputs=True))
    keep(study, accepted)
    assert recall(study, study.read_meta()["frozen"]) == known, "what is known stays as it was at the start"


def test_a_users_data_set_finds_what_lies_where_the_study_was_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path])
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / "data.py").write_text(f"import further_{tmp_path.name}\n")
    (tmp_path / f"further_{tmp_path.name}.py").write_text("")
    meta = plan(Request(dataset=str(tmp_path / "parts" / "data.py"))) | {"cwd": str(tmp_path)}
    with pytest.raises(DatasetError, match="has no load function"):  # so it was imported
        check_data(meta, skip_unreadable=False)
