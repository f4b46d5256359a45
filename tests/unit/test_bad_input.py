"""Requests that cannot be carried out: one clear error, exit code 2, nothing written, nothing lost."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result
from study_fakes import make_study

from bohb_nas.cli import cli
from bohb_nas.locks import Lock

TOY = ["--space", "toy", "--worker", "toy"]


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["run", "st", *arguments])


def refused(result: Result, *said: str) -> None:
    assert result.exit_code == 2, result.output
    assert not Path("st").exists(), "something was written"
    text = re.sub(r"\s+", " ", result.stderr)
    for words in said:
        assert words in text


@pytest.mark.parametrize("command", [["train", "c.json"], ["baselines", "st"], ["simulate"], ["compare", "st"]])
def test_seeds_beyond_what_anybody_could_train_are_refused(command: list[str]) -> None:
    Path("c.json").write_text('{"initial_filters": 4}')
    refused(CliRunner().invoke(cli, [*command, "--seeds", "1000000000"]), "--seeds", "1000000000", "10000")


@pytest.mark.parametrize(
    ("option", "known"),
    [
        ("--space", "cell, joint, mobile, toy, wrn, zela2018"),
        ("--method", "bohb, bohb_2018, dha, hyperband, random_search"),
        ("--worker", "command, image_classifier, one_shot, toy"),
    ],
)
def test_an_unknown_name_is_answered_with_the_known_ones(option: str, known: str) -> None:
    rest = {"--space": ["--worker", "toy"], "--worker": ["--space", "toy"]}.get(option, TOY)
    refused(run(option, "no_such", *rest), "'no_such'", known)


def test_an_unknown_data_set_is_answered_with_the_known_ones() -> None:
    refused(run("--dataset", "mnist_of_mars"), "mnist_of_mars", "cifar10", "digits", "image_folder")


def test_an_unknown_preset() -> None:
    refused(run("--preset", "nature"), "'nature'", "zela2018")


def test_a_seed_that_the_record_cannot_hold() -> None:
    """JSON's whole numbers from 2^64 on are read as floats."""
    refused(run(*TOY, "--seed", "18446744073709551616"), "--seed 18446744073709551616: accepted is a whole number", "18446744073709551615")


def test_a_working_directory_that_is_no_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / os.fsdecode(b"caf\xe9")
    folder.mkdir()
    monkeypatch.chdir(folder)
    refused(run(*TOY), "caf\\udce9/st' is not UTF-8", "rename that folder or file")
    assert not any(folder.iterdir())


def test_a_path_that_is_no_text(tmp_path: Path) -> None:
    folder = tmp_path / os.fsdecode(b"caf\xe9")
    folder.mkdir()
    refused(run("--dataset", f"image_folder:{folder}"), "caf\\udce9' is not UTF-8")


@pytest.mark.parametrize("there", [False, True])
@pytest.mark.parametrize("command", [["run", *TOY, "--workers", "0"], ["worker", "--no-lead", "--wait", "1s"], ["baselines"]])
def test_a_study_whose_path_is_no_text(tmp_path: Path, there: bool, command: list[str]) -> None:
    """What is trained there is told its path in UTF-8."""
    path = tmp_path / os.fsdecode(b"caf\xe9")
    if there:
        make_study(path, now=2000.0)
    elif command[0] == "worker":
        pytest.skip("no study, no worker")
    before = sorted(path.rglob("*"))
    done = CliRunner().invoke(cli, [command[0], str(path), *command[1:]])
    refused(done, "caf\\udce9' is not UTF-8", "rename that folder or file")
    assert sorted(path.rglob("*")) == before


@pytest.mark.parametrize("option", ["--budget-min", "--budget-max", "--total-time", "--hard-limit"])
@pytest.mark.parametrize("value", ["0", "-3s", "soon", "3 parsecs"])
def test_a_duration_that_is_none(option: str, value: str) -> None:
    refused(run(*TOY, option, value), option, value, "400s, 20m, 1h30m or 3h")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--budget-min", "4h", "--budget-max", "3h"], "budget-min <= budget-max"),
        (["--budget-unit", "epochs", "--budget-max", "1h"], "--budget-max 1h: budgets count epochs"),
        (["--budget-unit", "epochs", "--budget-min", "90s", "--budget-max", "900"], "--budget-min 90s: budgets count epochs"),
        (["--budget-unit", ""], "--budget-unit ''"),
        (["--budget-unit", " "], "--budget-unit ' '"),
        (["--eta", "1.5"], "eta 1.5: accepted is a number of at least 2"),
        (["--eta", "nan"], "eta nan"),
        (
            ["--eta", "1000", "--method", "hyperband"],
            "a bracket on these budgets begins with 1e+09 configurations; accepted are at most 10,000,000",
        ),
        (
            [
                "--eta",
                "1e9",
                "--method",
                "hyperband",
                "--budget-unit",
                "u",
                "--budget-min",
                "1e305",
                "--budget-max",
                "1.7e308",
                "--brackets",
                "34",
            ],
            "so many brackets of budgets up to 1.7e+308 add up to more than a number holds",
        ),
        (["--eta", "1e103"], "eta 1e+103: accepted is a number of at least 2 and at most 1e+09"),  # whose third power is beyond every float
        (["--total-time", "5s", "--budget-min", "10s"], "nothing could be trained"),
        (
            ["--method", "random_search", "--total-time", "2h"],
            "less than the cheapest budget of --method random_search, 10800 s: nothing could",
        ),
        (["--method-option", "x=NaN"], "NaN is no number"),
        (["--trials", "0"], "--trials 0"),
        (["--brackets", "-1"], "--brackets -1"),
        (["--method", "random_search", "--brackets", "3"], "use --trials or --total-time"),
        (["--method-option", "speed=11"], "speed"),
        (["--method-option", "speed"], "not KEY=VALUE"),
        (["--worker-option", "speed=11"], "accepts: seconds_per_budget"),
        (["--worker-option", "seconds_per_budget=-1"], "seconds_per_budget -1"),
        (["--dataset", "digits"], "belong to the worker image_classifier"),
        (["--command", "true"], "contradict"),
        (["--workers", "-1"], "--workers"),
        (
            ["--workers", "100000000"],
            "--workers 100000000: accepted are at most 1000 on one machine, one per GPU or core is usual; give fewer",
        ),
    ],
)
def test_values_out_of_range(arguments: list[str], said: str) -> None:
    refused(run(*TOY, *arguments), said)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("absent.py", None, "does not exist"),
        ("nothing.py", "x = 1", "no function space()"),
        ("number.py", "def space(): return 7", "type int"),
        ("raises.py", "raise ValueError('today')", "today"),
        ("empty.py", "from ConfigSpace import ConfigurationSpace\ndef space(): return ConfigurationSpace()", "nothing to search"),
        (
            "forbidden.py",
            "from ConfigSpace import ConfigurationSpace, ForbiddenInClause\n"
            "def space():\n s = ConfigurationSpace({'a': ['x', 'y']})\n s.add(ForbiddenInClause(s['a'], ['y']))\n return s\n",
            "",
        ),
        ("broken.json", "{", "broken.json"),
        ("broken.yaml", "a: [", "broken.yaml"),
        ("list.yaml", "- {lr: 0.1}", "list.yaml' holds a list; accepted is an object, as space.to_json()"),
        ("list.json", '[{"lr": 0.1}]', "configurations to try first are given with --initial"),
        ("word.yaml", "toy", "word.yaml' holds 'toy'; accepted is an object"),
    ],
)
def test_a_space_file_that_is_no_space(name: str, content: str | None, said: str) -> None:
    if content is not None:
        Path(name).write_text(content)
    if name == "forbidden.py":  # a legal space: only what leaves nothing is refused
        Path(name).write_text(
            content.replace("ForbiddenInClause(s['a'], ['y'])", "ForbiddenInClause(s['a'], ['x', 'y'])") if content else ""
        )
    refused(run("--worker", "toy", "--space", name), said)


def test_a_space_that_the_classifier_cannot_train_is_refused_before_the_start() -> None:
    refused(run("--dataset", "digits", "--space", "toy"), "width", "accepted are")


def test_a_policy_file_that_means_nothing_is_refused_before_the_start() -> None:
    Path("policy.json").write_text('[{"operator": "blur", "probability": 1}]')
    refused(run("--dataset", "digits", "--worker-option", "policy_file=policy.json"), "policy.json", "'blur'; accepted are shear_x")


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("no-such-program {lr}", "'no-such-program' does not exist"),
        ("true {speed}", "unknown placeholder {speed}"),
        ("true {lr", "{lr"),
        ("true 'open", "quot"),
        ("", "command"),
        ("true x{momentum}", "momentum"),
    ],
)
def test_a_command_that_cannot_run(command: str, said: str) -> None:
    refused(run("--space", "toy", "--command", command), said)


def folder_with(*classes: str) -> None:
    for name in classes:
        (Path("data/train") / name).mkdir(parents=True)


def test_a_data_folder_without_classes() -> None:
    Path("data/train").mkdir(parents=True)
    refused(run("--dataset", "image_folder:data"), "data/train", "two")
    refused(run("--dataset", "image_folder:elsewhere"), "elsewhere")


def test_a_data_folder_with_one_class() -> None:
    folder_with("cat")
    refused(run("--dataset", "image_folder:data"), "'cat'", "two")


def test_unreadable_images_are_named_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    from PIL import Image

    monkeypatch.setenv("BOHB_NAS_CACHE", str(Path.cwd() / "cache"))
    folder_with("cat", "dog")
    for k in range(12):
        Image.new("RGB", (8, 8), (k * 20, 0, 0)).save(f"data/train/{'cat' if k % 2 else 'dog'}/{k}.png")
    Path("data/train/cat/broken.png").write_bytes(b"no image")
    refused(run("--dataset", "image_folder:data"), "broken.png", "1", "--skip-unreadable")
    for command, others, said in (("baselines", ["--device", "none"], "'none'"), ("compare", [], "no test part")):
        told = ["st", "--dataset", "image_folder:data"]
        refused(CliRunner().invoke(cli, [command, *told]), "broken.png", "--skip-unreadable")
        further = CliRunner().invoke(cli, [command, *told, "--skip-unreadable", *others])
        assert further.exit_code == 2
        assert "broken.png" not in further.stderr
        assert said in further.stderr
        shutil.rmtree("st", ignore_errors=True)


@pytest.mark.parametrize("said", [["--dataset", "image_folder:data"], ["--dataset", "image_folder", "--data-dir", "data"]])
def test_a_folder_without_test_images_is_named(monkeypatch: pytest.MonkeyPatch, said: list[str]) -> None:
    from PIL import Image

    monkeypatch.setenv("BOHB_NAS_CACHE", str(Path.cwd() / "cache"))
    folder_with("cat", "dog")
    for k in range(4):
        Image.new("RGB", (8, 8), (k * 20, 0, 0)).save(f"data/train/{'cat' if k % 2 else 'dog'}/{k}.png")
    Path("config.json").write_text('{"batch_size": 16}')
    refused(CliRunner().invoke(cli, ["compare", "st", *said]), str(Path("data").absolute()), "no test part", "test/CLASS/IMAGE")
    trained = CliRunner().invoke(cli, ["train", "config.json", "--budget", "9s", *said])
    assert (trained.exit_code, "data' has no test part" in trained.stderr) == (2, True), trained.stderr


@pytest.fixture
def study() -> Iterator[Path]:
    """A finished study of two trials."""
    done = subprocess.run(
        [sys.executable, "-m", "bohb_nas", "run", "st", *TOY, "--trials", "2", "--budget-max", "9s", "--budget-min", "1s"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    yield Path("st")
    subprocess.run(["pkill", "-f", str(Path.cwd() / "st")], check=False)


def content(study: Path) -> dict[str, bytes]:
    return {str(p): p.read_bytes() for p in study.rglob("*") if p.is_file() and p.suffix != ".lock"}


def test_a_study_that_cannot_be_used_is_refused_and_left_as_it_is(study: Path) -> None:
    before = content(study)

    def unusable(result: Result, *said: str) -> None:
        assert result.exit_code == 2, result.output
        assert content(study) == before
        for words in said:
            assert words in result.stderr

    different = run("--method", "hyperband", "--seed", "5")
    unusable(
        different, "belongs to another search", 'method: the study has "bohb", asked is "hyperband"', "seed: the study has 0, asked is 5"
    )
    assert "space" not in different.stderr.split("\n  ", 1)[1], "only what differs is listed"

    study.chmod(0o770)
    unusable(run(), "may be written by others", "chmod 700")
    study.chmod(0o700)

    with Lock(study / "master.lock") as lock:
        assert lock.acquire(json.dumps({"pid": 4711, "host": "here"}))
        unusable(run(), "living master (pid 4711 on here)", f"bohb-nas worker {study.absolute()}")

    journal = study / "journal.jsonl"
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join([lines[0], b"noise\n", *lines[2:]]))
    before = content(study)
    unusable(run(), "journal.jsonl, line 2 is damaged")
    unusable(CliRunner().invoke(cli, ["status", "st"]), "line 2")
    journal.write_bytes(b"".join(lines))

    meta = json.loads((study / "study.json").read_text())
    (study / "study.json").write_text(json.dumps({**meta, "format": 99}))
    before = content(study)
    unusable(run(), "newer version", "upgrade")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_is_not_writable_is_refused() -> None:
    Path("locked").mkdir(mode=0o500)
    result = CliRunner().invoke(cli, ["run", "locked/st", *TOY])
    assert result.exit_code == 2
    assert "not writable" in result.stderr


def test_a_directory_with_other_files_is_refused() -> None:
    Path("st").mkdir(mode=0o700)
    Path("st/thesis.tex").write_text("years of work")
    result = run(*TOY)
    assert result.exit_code == 2
    assert "holds other files and no study" in result.stderr
    assert [p.name for p in Path("st").iterdir()] == ["thesis.tex"]


def test_a_file_in_the_way_is_refused() -> None:
    Path("st").write_text("a file")
    result = run(*TOY)
    assert result.exit_code == 2
    assert "is not a directory" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["run", "st", *TOY, "--lock", "kernel", "--lease-time", "30s"], "--lease-time: with --lock kernel there is no lease"),
        (
            ["run", "st", *TOY, "--skip-unreadable"],
            "--skip-unreadable belong to the worker image_classifier or one_shot, this study's is toy",
        ),
        (["status", "other", "--why", "t0", "--watch"], "--watch: why trial t0 was asked does not change"),
        (["export", "other", "--format", "csv", "--to", "x.csv", "--every", "3s"], "--every 3s: the export is written once"),
    ],
)
def test_an_option_that_would_have_no_effect_is_refused(tmp_path: Path, arguments: list[str], said: str) -> None:
    make_study(tmp_path / "other", now=2000.0)
    result = CliRunner().invoke(cli, arguments)
    assert (result.exit_code, result.stdout, said in result.stderr) == (2, "", True), result.output
    assert sorted(path.name for path in tmp_path.iterdir()) == ["other"]


@pytest.mark.parametrize("command", ["status", "best", "worker", "train"])
def test_commands_on_what_is_no_study(command: str) -> None:
    Path("st").mkdir()
    result = CliRunner().invoke(cli, [command, "st"])
    assert result.exit_code == 2
    assert "no study in" in result.stderr


@pytest.mark.parametrize("command", ["status", "best", "worker", "analyze"])
def test_commands_on_a_file(command: str) -> None:
    Path("space.py").touch()
    result = CliRunner().invoke(cli, [command, "space.py"])
    assert result.exit_code == 2
    assert re.search(r"no study in \S*space\.py: accepted is a directory", result.stderr), result.stderr


@pytest.mark.parametrize("command", ["run", "status", "best", "worker", "doctor", "train"])
def test_a_current_directory_that_is_gone(tmp_path: Path, command: str) -> None:
    (tmp_path / "gone").mkdir()
    os.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    result = CliRunner().invoke(cli, [command, *([] if command == "doctor" else ["st"])])
    assert result.exit_code == 2, result.output
    assert result.stderr == "bohb-nas: the current directory is gone; cd to one that exists, then run the same command again\n"


def test_a_torn_last_line_is_repaired_and_said(study: Path) -> None:
    journal = study / "journal.jsonl"
    whole = journal.read_bytes()
    journal.write_bytes(whole[:-9])
    again = subprocess.run([sys.executable, "-m", "bohb_nas", "run", "st"], capture_output=True, text=True, check=False)
    assert again.returncode == 0, again.stderr
    assert "torn" in again.stderr
    told = [e["result"]["trial_id"] for e in map(json.loads, journal.read_text().splitlines()) if e["event"] == "tell"]
    assert told == ["t00000", "t00001"], "the evaluation whose line was torn came back from its result file"


def test_an_empty_path_is_not_the_current_folder() -> None:
    paths = [
        (command, parameter) for command in cli.commands.values() for parameter in command.params if isinstance(parameter.type, click.Path)
    ]
    assert {command.name for command, _ in paths} >= {"run", "worker", "submit", "status", "best", "train", "analyze", "export", "compare"}
    for command, parameter in paths:
        with pytest.raises(click.BadParameter, match="'' names nothing"):
            parameter.type.convert("", parameter, click.Context(command))
    refused(CliRunner().invoke(cli, ["run", "", *TOY, "--trials", "1"]), "'' names nothing; accepted is a path, the current folder is '.'")
    assert not any(Path().iterdir())
