"""`bohb-nas logs`: the right log, nothing outside the study, and what is written while it is looked at."""

import json
import os
import re
import threading
import time
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from study_fakes import make_study, write_log

from bohb_nas.cli import cli
from bohb_nas.report import tables
from bohb_nas.report.logs import follow, tail
from bohb_nas.store.study_dir import StudyDir


@pytest.fixture
def study(tmp_path: Path) -> StudyDir:
    study = make_study(tmp_path / "study", now=time.time())
    for n, (trial_id, attempt) in enumerate([("t0", 0), ("t1", 0), ("t1", 1), ("t1", 10), ("t2", 0)]):
        path = write_log(study, trial_id, attempt, f"{trial_id} attempt {attempt}\n")
        os.utime(path, (0, time.time() - 1000 + 10 * n))
    (study.trials / "t1" / "11").mkdir()  # has said nothing yet
    (study.trials / "t3" / "0").mkdir(parents=True)
    (study.trials / "t1" / "checkpoint").mkdir()
    (study.trials / "t1" / "²").mkdir()
    (study.workers / "h-cpu0.log").write_text("hello from h\n")
    return study


def logs(study: StudyDir, *arguments: str) -> Result:
    return CliRunner().invoke(cli, ["logs", str(study.path), *arguments])


def test_the_newest_attempt_with_a_log_is_shown_unless_another_is_named(study: StudyDir) -> None:
    assert logs(study, "t1").stdout == "t1 attempt 10\n"
    assert logs(study, "t1", "--attempt", "1").stdout == "t1 attempt 1\n"
    assert logs(study, "--worker", "h-cpu0").stdout == "hello from h\n"


def test_a_worker_is_known_by_the_name_that_status_shows(tmp_path: Path) -> None:
    study = make_study(tmp_path / "study", now=time.time())
    study.worker_log("node-1.site", "GPU-1f-2").write_text("hello from node-1\n")
    study.worker_log("node-1.site", "cpu0").write_text("not this\n")
    assert logs(study, "--worker", "node-1.site-GPU-1f-2").stdout == "hello from node-1\n"
    assert logs(study, "--worker", "node_1.site-GPU_1f_2").stdout == "hello from node-1\n", "as its file is called"
    assert "there are node_1.site-" in logs(study, "--worker", "node-1.site").stderr


def test_ages_are_of_one_form() -> None:
    table = tables.logs([{"trial_id": "t", "attempt": 0, "age_s": age, "n_bytes": 1} for age in (0.2, 529.4, 540.0, 93_784.0)])
    assert [*table.columns[2].cells] == ["0s ago", "8m ago", "9m ago", "26h ago"]


def test_without_a_trial_those_that_have_logs_are_listed_newest_first(study: StudyDir) -> None:
    listed = json.loads(logs(study, "--json").stdout)
    assert [(row["trial_id"], row["attempt"]) for row in listed["trials"]] == [("t2", 0), ("t1", 10), ("t0", 0)]
    assert listed["trials"][0]["path"] == str(study.trials / "t2" / "0" / "log.txt")
    assert 960 <= listed["trials"][0]["age_s"] < 1200
    assert listed["workers"] == [{"name": "h-cpu0", "path": str(study.workers / "h-cpu0.log")}]
    shown = logs(study, "--lines", "2").stdout
    assert "t2" in shown
    assert "t0" not in shown
    assert "… and 1 older ones; --lines 3 shows all" in shown
    assert "workers: h-cpu0" in shown


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["../../etc/passwd"], "is no trial's id; accepted are 1 to 64 letters"),
        (["/etc/passwd"], "is no trial's id"),
        ([".."], "is no trial's id"),
        (["t1\n"], "is no trial's id"),
        (["t" * 65], "is no trial's id"),
        (["t9"], "no log of a trial t9 in .*; newest of 3: t2, t1, t0. `bohb-nas logs"),
        (["t3"], "trial t3 has no log.txt yet"),
        (["t1", "--attempt", "11"], "trial t1 has no log.txt yet"),
        (["t1", "--attempt", "7"], "trial t1 has no attempt 7; there are 0, 1, 10, 11"),
        (["--worker", "../trials/t0/0/log"], "no log of a worker .*; there are h-cpu0"),
        (["--worker", "h-cpu1"], "there are h-cpu0"),
        (["t1", "--worker", "h-cpu0"], "one log at a time"),
        (["--follow"], "belong to one log"),
        (["t1", "--json"], "--json belongs to the list"),
    ],
)
def test_what_is_not_there_is_said_with_what_is(study: StudyDir, arguments: list[str], said: str) -> None:
    shown = logs(study, *arguments)
    assert shown.exit_code == 2
    assert shown.stdout == ""
    assert re.search(said, shown.stderr), shown.stderr


def test_an_empty_log_is_said_to_be_empty_and_why_its_trial_failed(tmp_path: Path) -> None:
    study = make_study(tmp_path / "study", now=time.time())
    paths = [write_log(study, trial_id, 0, "") for trial_id in ("t0", "t1")]
    well, failed = (logs(study, trial_id) for trial_id in ("t0", "t1"))
    assert (well.stdout, well.stderr) == ("", f"{paths[0]} is empty\n")
    assert (failed.stdout, failed.stderr) == ("", f"{paths[1]} is empty; the trial: crashed, out of luck\n")


def test_a_study_without_logs_and_no_study(tmp_path: Path) -> None:
    study = make_study(tmp_path / "study", now=time.time())
    assert json.loads(logs(study, "--json").stdout) == {"trials": [], "workers": []}
    assert "no trial has one yet" in logs(study, "t0").stderr
    assert "none: only workers that a `run` started" in logs(study, "--worker", "h").stderr
    assert logs(StudyDir(tmp_path / "nowhere")).exit_code == 2


def test_the_last_lines_however_long_the_log(tmp_path: Path) -> None:
    path = tmp_path / "log.txt"
    path.write_text("".join(f"{n} {'ä' * 3000}\n" for n in range(2000)) + "torn")
    assert [line.split()[0] for line in tail(path, 3)] == ["1998", "1999", "torn"]
    assert [line.split()[0] for line in tail(path, 500)] == [*map(str, range(1501, 2000)), "torn"]
    assert tail(path, 2, end=6) == ["0 ää"]
    assert tail(tmp_path / "absent", 3) == []


def test_a_log_commands_no_terminal(study: StudyDir) -> None:
    write_log(study, "t0", 1, "\x1b[2J\x1b]0;mine\x07red \x1b[31malert\x1b[0m\n")
    assert logs(study, "t0").stdout == "red alert\n"


def test_what_is_written_meanwhile_is_followed_to_the_end(tmp_path: Path) -> None:
    path = tmp_path / "log.txt"
    path.write_text("before\n")
    steps = ["ün".encode()[:1], "ün".encode()[1:] + b"it\n", b"", b"more\n"]

    def pause() -> bool:
        with path.open("ab") as stream:
            stream.write(steps.pop(0))
        return bool(steps)

    assert "".join(follow(path, 7, pause=pause)) == "ünit\nmore\n"
    path.write_text("anew\n")
    assert "".join(follow(path, 7, pause=lambda: False)) == "anew\n", "it became shorter"


def test_a_line_that_is_half_written_is_ended_in_its_place(study: StudyDir, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_log(study, "t3", 0, "whole\nhalf a ")
    assert logs(study, "t3").stdout == "whole\nhalf a \n"

    def write(seconds: float) -> None:
        with path.open("a") as stream:
            stream.write("line\n")
        study.result("t3").write_text("{}")

    monkeypatch.setattr("bohb_nas.cli_watch.time.sleep", write)
    assert logs(study, "t3", "--follow").stdout == "whole\nhalf a line\n"


def test_a_newer_attempt_is_followed_until_there_is_a_result(study: StudyDir) -> None:
    path = write_log(study, "t3", 0, "started\n")

    def train() -> None:
        with path.open("a") as stream:
            stream.write("lost\n")
        time.sleep(0.2)
        write_log(study, "t3", 1, "again\n")
        time.sleep(0.5)
        study.result("t3").write_text("{}")

    training = threading.Thread(target=train)
    training.start()
    shown = logs(study, "t3", "--follow")
    training.join()
    assert shown.exit_code == 0
    assert shown.stdout == "started\nlost\nagain\n"
    assert "--- attempt 1" in shown.stderr
