import errno
import json
import os
import random
import re
import shlex
import shutil
import stat
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from study_fakes import result, trial

from bohb_nas.cli import cli
from bohb_nas.engine.election import leading
from bohb_nas.errors import StorageError, StudyError, StudyHeldError, UsageError
from bohb_nas.records import Budgets, Evaluation
from bohb_nas.report import exports
from bohb_nas.report.logs import trial_log
from bohb_nas.report.status import Watch
from bohb_nas.store import study_dir
from bohb_nas.store.study_dir import FORMAT, StudyDir

META: dict[str, Any] = {
    "format": FORMAT,
    "seed": 0,
    "space": "toy",
    "method": "bohb",
    "worker": "toy",
    "promote": "restart",
    "cwd": "/",
    "method_options": {},
    "worker_options": {},
    "budgets": Budgets().to_json(),
    "stop": {"brackets": None, "trials": None, "total_s": None},
}


@pytest.fixture
def study(tmp_path: Path) -> StudyDir:
    study = StudyDir(tmp_path / "study")
    study.make()
    study.write_meta(META)
    return study


def test_a_whole_record_is_read_back(study: StudyDir) -> None:
    assert study.read_meta() == META


@pytest.mark.parametrize("name", sorted(META))
def test_a_record_without_a_part_is_refused_by_name(study: StudyDir, name: str) -> None:
    study.write_meta({k: v for k, v in META.items() if k != name})
    with pytest.raises(StudyError, match=f"damaged: {name}"):
        study.read_meta()


@pytest.mark.parametrize("budgets", [{}, {"min": 9.0, "max": 1.0}, {"least": 1.0}, {"min": "one"}, {"eta": 1.0}])
def test_budgets_that_are_none_are_refused(study: StudyDir, budgets: dict[str, Any]) -> None:
    study.write_meta({**META, "budgets": {"unit": "s", **budgets} if budgets else {}})
    with pytest.raises(StudyError, match="damaged: budgets"):
        study.read_meta()


WRONG: list[dict[str, Any]] = [
    *({"format": value} for value in (True, "2", 2.0)),
    *({"seed": value} for value in (-1, 2**64, True)),
    *({"rank_probe": value} for value in (-1, 2**53, True, 1.0, None)),
    *({name: 1} for name in ("listen", "lock", "require_same_gpu", "preset", "initial", "prior", "data_fingerprint")),
    *({name: value} for name in ("constraints", "warm_start") for value in ("text", {"a": "b"}, ["a", 1])),
    *({name: value} for name in ("frozen", "inputs", "imported") for value in ("text", ["a", "b"], {"a": 1})),
    *({name: value} for name in ("worth", "hard_limit_s", "created") for value in ("1", True)),
    *({"stop": {**META["stop"], **change}} for change in ({"trials": 0}, {"brackets": 2**53}, {"trials": 1.0}, {"brackets": True})),
    *({"stop": {**META["stop"], **change}} for change in ({"total_s": 0.0}, {"total_s": "1h"}, {"epochs": None})),
    *({"stop": {name: None for name in META["stop"] if name != lacking}} for lacking in META["stop"]),
    {"budgets": {**META["budgets"], "min": 1.0, "max": 2.0**99, "eta": 2.0}},
]
MOST: list[dict[str, Any]] = [
    {"seed": 2**64 - 1},
    {"rank_probe": 2**53 - 1},
    {"stop": {"brackets": 1, "trials": 2**53 - 1, "total_s": 0.5}},
    {"budgets": {**META["budgets"], "min": 1.0, "max": 2.0**98, "eta": 2.0}},
    {"listen": "10.0.0.1", "require_same_gpu": False, "constraints": ["params <= 1"], "frozen": {"a.json": "0"}, "worth": 0.5},
    dict.fromkeys(("listen", "require_same_gpu", "constraints", "warm_start", "frozen", "inputs", "imported", "worth", "created")),
]


@pytest.mark.parametrize("change", WRONG, ids=lambda change: str(change)[:60])
def test_a_part_that_no_version_wrote_so_is_refused_by_name(study: StudyDir, change: dict[str, Any]) -> None:
    study.write_meta({**META, **change})
    with pytest.raises(StudyError, match=f"damaged: {next(iter(change))}"):
        study.read_meta()


@pytest.mark.parametrize("change", MOST, ids=lambda change: str(change)[:60])
def test_the_most_that_a_record_holds_is_read_back(study: StudyDir, change: dict[str, Any]) -> None:
    study.write_meta({**META, **change})
    assert study.read_meta() == {**META, **change}


def test_random_damage_is_an_error_never_a_traceback(study: StudyDir) -> None:
    rng, whole = random.Random(5), study.study_json.read_bytes()
    pieces = [b"null", b"{}", b"[1]", b"-1", b"1e999", b"\0", b"\xff"]
    for _ in range(300):
        data = bytearray(whole)
        for _ in range(rng.randint(1, 4)):
            at = rng.randrange(len(data))
            data[at : at + rng.choice([0, 1, 30])] = rng.choice(pieces)
        study.study_json.write_bytes(data)
        for command in (["status", str(study.path), "--json"], ["best", str(study.path)]):
            shown = CliRunner().invoke(cli, command)
            assert shown.exception is None or isinstance(shown.exception, SystemExit), data
            assert shown.exit_code in (0, 1, 2)


def test_what_a_killed_process_wrote_aside_is_no_strangers_file(tmp_path: Path) -> None:
    (tmp_path / "study").mkdir(mode=0o700)
    (tmp_path / "study" / ".space.json.0123.tmp").write_text("half")
    StudyDir(tmp_path / "study").make()


def test_a_result_that_is_none_is_set_aside(study: StudyDir) -> None:
    other = Evaluation(trial=trial(0, budget=3.0), result=result(0, 0.25))
    texts = ["", "{", "null", "[]", "[" * 100_000, json.dumps({"trial": 1, "result": 2}), json.dumps(other.to_json()), "x" * 33 * 2**20]
    for k, text in enumerate(texts):
        study.result("t0").write_text(text)
        assert study.read_result(trial(0)) is None
        assert (study.results / f"t0.refused-{k}").exists()


def commands(text: str) -> list[list[str]]:
    """The commands of a message, split as a shell does."""
    return [shlex.split(command) for command in re.findall("`([^`]+)`", text)]


def test_commands_in_messages_can_be_pasted_whatever_the_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study = StudyDir(tmp_path / "my study's $HOME")
    with pytest.raises(StudyError) as absent:
        study.read_meta()
    assert commands(str(absent.value)) == [["bohb-nas", "run", str(study.path)]]
    study.make()
    study.write_meta(META)
    with pytest.raises(StudyError) as replaced:
        study.check_same({**META, "created": 1.0})
    assert commands(str(replaced.value)) == [["bohb-nas", "worker", str(study.path)]]
    with pytest.raises(UsageError) as logless:
        trial_log(study, "t9")
    assert commands(str(logless.value)) == [["bohb-nas", "logs", str(study.path)]]
    with leading(study), pytest.raises(StudyHeldError) as held, leading(study):
        pass
    assert commands(str(held.value)) == [["bohb-nas", word, str(study.path)] for word in ("worker", "status")]
    said = exports.make("tensorboard", Watch(study), tmp_path / "event files").update()
    assert commands(said) == [["tensorboard", "--logdir", str(tmp_path / "event files")]]
    monkeypatch.chdir(tmp_path)
    with pytest.raises(StudyError) as dashed:
        StudyDir(Path("./-dash")).read_meta()
    assert commands(str(dashed.value)) == [["bohb-nas", "run", "./-dash"]]
    said = exports.make("tensorboard", Watch(study), Path("./-events")).update()
    assert commands(said) == [["tensorboard", "--logdir", "./-events"]]


def test_a_record_that_cannot_be_read_for_now_is_taken_for_the_same(study: StudyDir) -> None:
    study.write_meta({**META, "created": 1.0})
    assert study.is_another({**META, "created": 2.0})
    study.study_json.write_text('{"format"')
    assert not study.is_another({**META, "created": 2.0})


def test_the_first_result_of_a_trial_stays(study: StudyDir) -> None:
    """Two workers may train one trial, where a master takes the first for gone."""
    assert study.write_result(Evaluation(trial=trial(0), result=result(0, 0.25)))
    assert not study.write_result(Evaluation(trial=trial(0), result=result(0, 0.75)))
    found = study.read_result(trial(0))
    assert found is not None
    assert found.result.loss == 0.25


def test_folders_that_are_lost_are_made_anew_for_a_result_and_a_study_that_is_gone_is_not(study: StudyDir) -> None:
    evaluation = Evaluation(trial=trial(0), result=result(0, 0.25))
    for folder in (study.results, study.running):
        shutil.rmtree(folder)
    assert study.write_result(evaluation)
    assert study.read_result(trial(0)) == evaluation
    assert study.running.stat().st_mode & 0o777 == 0o700
    shutil.rmtree(study.results)
    study.study_json.unlink()
    with pytest.raises(StorageError, match="No such file or directory; put its folder back"):
        study.write_result(evaluation)
    shutil.rmtree(study.path)
    with pytest.raises(StorageError, match="No such file"):
        study.write_result(evaluation)
    assert not study.path.exists()


def test_folders_that_are_lost_are_made_anew_for_an_attempt_and_a_study_that_is_gone_is_not(study: StudyDir) -> None:
    shutil.rmtree(study.trials)
    assert study.new_attempt("t0") == study.trials / "t0" / "0"
    assert study.trials.stat().st_mode & 0o777 == 0o700
    shutil.rmtree(study.trials)
    study.study_json.unlink()
    with pytest.raises(StorageError, match="t0/0: No such file or directory; put its folder back"):
        study.new_attempt("t0")
    study.path.rename(study.path.with_name("renamed"))
    with pytest.raises(StorageError, match="No such file"):
        study.new_attempt("t0")
    assert not study.path.exists()


def test_a_disk_without_room_for_a_new_study_is_no_misuse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study, make = StudyDir(tmp_path / "study"), Path.mkdir

    def full(path: Path, *arguments: Any, **named: Any) -> None:
        if path == study.tls:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        make(path, *arguments, **named)

    monkeypatch.setattr(Path, "mkdir", full)
    with pytest.raises(StorageError, match=f"cannot write {study.path}: No space left on device; free space") as refused:
        study.make()
    assert refused.value.exit_code == 1


def test_a_place_without_hard_links_is_refused_before_anything_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(old: Path, new: Path) -> None:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    study = StudyDir(tmp_path / "study")
    with monkeypatch.context() as patched:
        patched.setattr(os, "link", refuse)
        with pytest.raises(StudyError, match=f"{study.path} has no hard links .*choose a DIR elsewhere") as refused:
            study.make()
        assert (refused.value.exit_code, list(study.path.iterdir())) == (2, [])
        study.make(to_search=False)
    study.make()
    assert not any(path.name.startswith(".") for path in study.path.iterdir())


def test_what_another_run_tidies_up_in_a_new_study_is_no_refusal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    link = os.link

    def late(old: Path, new: Path) -> None:
        old.unlink()
        link(old, new)

    monkeypatch.setattr(os, "link", late)
    study = StudyDir(tmp_path / "study")
    study.make()
    assert study.results.is_dir()


def test_a_result_that_a_disk_does_not_give_for_now_stays_where_it_is(study: StudyDir, monkeypatch: pytest.MonkeyPatch) -> None:
    study.write_result(Evaluation(trial=trial(0), result=result(0, 0.25)))

    def fails(path: Path, **how: object) -> bytes:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patch:
        patch.setattr(study_dir, "read_regular", fails)
        with pytest.raises(StorageError, match=r"t0.*Input/output error"):
            study.read_result(trial(0))
    assert study.read_result(trial(0)) is not None


def test_attempts_are_in_the_order_of_their_numbers(study: StudyDir) -> None:
    for _ in range(11):
        study.new_attempt("t0")
    for name in ("x", "٣", "1234567890"):
        (study.trials / "t0" / name).mkdir()
    assert [a.name for a in study.attempts("t0")] == [str(n) for n in range(11)]


def test_an_attempt_that_a_file_server_does_not_show_yet_is_not_taken_again(study: StudyDir, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(2):
        study.new_attempt("t0")
    monkeypatch.setattr(StudyDir, "attempts", lambda study, trial_id: [])
    assert study.new_attempt("t0") == study.trials / "t0" / "2"


def test_a_promoted_trial_continues_from_the_newest_checkpoint(study: StudyDir) -> None:
    for _ in range(3):
        (study.new_attempt("t0") / "checkpoint").mkdir()
    study.new_attempt("t0")
    assert study.checkpoint("t0") == study.trials / "t0" / "2" / "checkpoint"


def test_what_lies_behind_a_trial_without_a_result_is_nothing(study: StudyDir) -> None:
    assert study.trained_s("t0") == 0.0
    study.result("t0").write_text('{"trial": {}}')
    assert study.trained_s("t0") == 0.0


def test_a_study_is_for_its_owner_alone(tmp_path: Path) -> None:
    study, before = StudyDir(tmp_path / "study"), os.umask(0)
    try:
        study.make()
    finally:
        os.umask(before)
    assert {stat.S_IMODE(path.stat().st_mode) for path in (study.path, *study.path.iterdir())} == {0o700}


@pytest.mark.parametrize("mode", [0o720, 0o702])
def test_a_folder_that_others_may_write_to_is_refused(study: StudyDir, mode: int) -> None:
    study.path.chmod(0o755)
    study.check_access()
    study.path.chmod(mode)
    with pytest.raises(StudyError, match=f"may be written by others .mode {mode:o}.; run: chmod 700"):
        study.check_access()


def test_a_folder_of_somebody_else_is_refused(study: StudyDir, monkeypatch: pytest.MonkeyPatch) -> None:
    own = os.getuid()
    monkeypatch.setattr(os, "getuid", lambda: own + 1)
    with pytest.raises(StudyError, match=f"belongs to user {own}, you are {own + 1}"):
        study.check_access()


def test_neither_a_folder_in_place_of_its_record_nor_a_file_above_it_makes_a_study(tmp_path: Path) -> None:
    (tmp_path / "study.json").mkdir()
    assert not StudyDir(tmp_path).exists()
    (tmp_path / "file").touch()
    assert not StudyDir(tmp_path / "file").exists()


def test_links_that_lead_to_each_other_are_no_study(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    assert not StudyDir(tmp_path / "a").exists()
