"""`bohb-nas train`: a table row and a model that the README's script loads."""

import io
import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

import pytest
import torch
from click.testing import CliRunner
from rich.console import Console
from study_fakes import make_study, take_locks_away

from bohb_nas.cli import cli
from bohb_nas.cli_train import _own_device
from bohb_nas.datasets import load_dataset
from bohb_nas.datasets._dataset import Skipped
from bohb_nas.engine.devices import host
from bohb_nas.errors import DeviceBusyError, UsageError
from bohb_nas.networks import size
from bohb_nas.records import Budgets, Status
from bohb_nas.refs import load_module
from bohb_nas.report import tables
from bohb_nas.report.final import read_source
from bohb_nas.store import holders
from bohb_nas.store.study_dir import StudyDir
from bohb_nas.training.policy_files import from_file
from bohb_nas.training.rows import Row

README = Path(__file__).parents[2] / "README.md"


def test_a_configuration_is_trained_tested_and_exported(tmp_path: Path) -> None:
    config = tmp_path / "config.json"
    config.write_text(json.dumps({"initial_filters": 4, "nr_residual_blocks_1": 1, "nr_residual_blocks_2": 1, "nr_residual_blocks_3": 1}))
    arguments = ["train", str(config), "--budget", "2s", "--seeds", "2", "--dataset", "digits", "--out", str(tmp_path / "study/trained")]
    done = CliRunner().invoke(cli, [*arguments, "--json"])
    assert done.exit_code == 0, done.output
    figures = json.loads(done.stdout)
    assert [row["seed"] for row in figures["rows"]] == [0, 1]
    assert figures["test_error_mean"] < 0.85, "better than a guess among ten"
    assert all(row["n_test"] == 359 for row in figures["rows"])

    script = next(block for block in re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL) if "torch.export.load" in block)
    shown = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert shown.returncode == 0, shown.stderr
    assert shown.stdout.strip() in {str(d) for d in range(10)}


def test_images_for_which_the_device_has_no_memory_are_misuse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*images: object, **how: object) -> NoReturn:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 148.00 MiB.\nmore")

    monkeypatch.setattr("bohb_nas.training.final.resident", refuse)
    (tmp_path / "config.json").write_text('{"batch_size": 32}')
    arguments = ["train", str(tmp_path / "config.json"), "--budget", "2s", "--dataset", "digits", "--out", str(tmp_path / "trained")]
    done = CliRunner().invoke(cli, [*arguments, "--worker-option", "device=cpu"])
    assert done.exit_code == 2
    said = r"the 1438 training images of digits do not fit into the free memory of .*: out of memory: CUDA.*; end what holds it"
    assert re.search(said, done.stderr)


@pytest.mark.parametrize(
    ("n", "refusal", "said"),
    [
        (0, "as far as this test goes", ""),
        (1, "1 file cannot be read: 1 truncated", "1 unreadable image left out"),
        (2, "2 files cannot be read: 2 truncated", "2 unreadable images left out"),
    ],
)
def test_unreadable_images_are_refused_or_left_out_and_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, n: int, refusal: str, said: str
) -> None:
    def through(*_: Any, **__: Any) -> NoReturn:
        raise UsageError("as far as this test goes")

    torn = replace(load_dataset("digits"), skipped=(Skipped("torn.png", "truncated"),) * n)
    monkeypatch.setattr("bohb_nas.datasets.load_dataset", lambda *_, **__: torn)
    monkeypatch.setattr("bohb_nas.training.final.train_final", through)
    (tmp_path / "config.json").write_text(json.dumps({"initial_filters": 4}))
    asked = ["train", str(tmp_path / "config.json"), "--dataset", "digits", "--budget", "1s"]
    refused = CliRunner().invoke(cli, asked)
    assert (refused.exit_code, refusal in refused.stderr, "--skip-unreadable" in refused.stderr) == (2, True, n > 0)
    done = CliRunner().invoke(cli, [*asked, "--skip-unreadable"])
    assert done.stderr.splitlines() == [*([f"data set digits: {said}"] if said else []), "bohb-nas: as far as this test goes"]


def test_a_command_that_left_seeds_out_has_not_ended_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    row = Row(
        seed=0,
        status=Status.OK,
        message=None,
        test_error=0.25,
        test_error_mirrored=None,
        n_test=359,
        params=9.0,
        flops=9.0,
        train_s=1.0,
        steps=9,
    )
    monkeypatch.setattr("bohb_nas.training.final.train_final", lambda *_, **__: [row])
    (tmp_path / "config.json").write_text(json.dumps({"initial_filters": 4}))
    asked = ["train", str(tmp_path / "config.json"), "--dataset", "digits", "--budget", "1s", "--json", "--seeds"]
    ended = [CliRunner().invoke(cli, [*asked, n]) for n in ("1", "2")]
    assert [done.exit_code for done in ended] == [0, 1]
    assert [json.loads(done.stdout)["n_seeds"] for done in ended] == [1, 1]


def test_models_are_named_where_there_are_some(tmp_path: Path) -> None:
    (tmp_path / "tiny.json").write_text(json.dumps({"initial_filters": 4}))
    (tmp_path / "huge.json").write_text(json.dumps({"family": "cell", "cell_channels": 1e19}))
    wanted = ["--budget", "1s", "--seeds", "1", "--dataset", "digits"]
    done, failed = (
        CliRunner().invoke(cli, ["train", str(tmp_path / f"{name}.json"), *wanted, "--out", str(tmp_path / name)])
        for name in ("tiny", "huge")
    )
    assert f"model: {tmp_path}/tiny/seed-0/model.pt2" in done.stdout, done.output
    assert failed.exit_code == 1, failed.output
    assert "out of memory" in failed.stdout
    assert "model" not in failed.stdout


def test_a_configuration_is_trained_with_the_options_of_the_worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three channels to ten classes by the network of the file: 1 x 3 x 3 x 3 weights, 2 x 3 of the norm and 3 x 10 + 10 of the head."""
    monkeypatch.chdir(tmp_path)
    Path("mine.py").write_text(
        "from bohb_nas.layers import chain, conv_norm\n\n\ndef network(config):\n    return chain(conv_norm(config['wide']))\n"
    )
    Path("policy.json").write_text('[{"operator": "rotate", "probability": 1, "magnitude": [0, 10]}]')
    Path("config.json").write_text('{"wide": 3, "batch_size": 16}')
    asked = ["train", "config.json", "--budget", "9s", "--seeds", "1", "--dataset", "digits", "--json"]
    options = ["network=mine.py", "policy_file=policy.json", "max_steps=3", "device=cpu", "precision=fp32", "n_threads=1"]
    done = CliRunner().invoke(cli, [*asked, *(word for option in options for word in ("--worker-option", option))])
    assert done.exit_code == 0, done.output
    (row,) = json.loads(done.stdout)["rows"]
    assert (row["steps"], row["params"]) == (3, 27 + 6 + 40)
    without = CliRunner().invoke(cli, asked)
    assert (without.exit_code, "wide" in without.stderr) == (2, True)


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("speed=11", "no option 'speed'; accepted are dataset"),
        ("precision=fp7", "precision is 'fp7'; accepted is one of"),
        ("network=absent.py", "'absent.py' does not exist"),
        ("policy_file=absent.json", "absent.json cannot be read"),
    ],
)
def test_an_option_that_means_nothing_is_refused(tmp_path: Path, option: str, said: str) -> None:
    config = tmp_path / "config.json"
    config.write_text('{"batch_size": 16}')
    asked = ["train", str(config), "--budget", "9s", "--dataset", "digits", "--out", str(tmp_path / "out"), "--worker-option", option]
    done = CliRunner().invoke(cli, asked)
    assert (done.exit_code, said in done.stderr) == (2, True), done.output
    assert not (tmp_path / "out").exists()


def test_a_data_set_is_no_worker_option(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"batch_size": 16}')
    for told, own in (({"dataset": "digits"}, "--dataset"), ({"data_dir": "a"}, "--data-dir")):
        with pytest.raises(UsageError, match=f"^--worker-option {next(iter(told))}: say it with {own}$"):
            read_source(tmp_path / "config.json", budget=9.0, dataset="digits", data_dir=Path("a"), options=told)


@pytest.mark.slow
def test_a_policy_file_goes_along_with_its_study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("small.py").write_text(
        "from ConfigSpace import ConfigurationSpace\n\n\ndef space():\n    return ConfigurationSpace({'batch_size': [16, 32]})\n"
    )
    Path("policy.json").write_text('[{"operator": "rotate", "probability": 1, "magnitude": [0, 10]}]')
    asked = ["--space", "small.py", "--dataset", "digits", "--worker-option", "policy_file=policy.json", "--worker-option", "max_steps=8"]
    done = subprocess.run(
        [sys.executable, "-m", "bohb_nas", "run", "st", *asked, "--trials", "1", "--budget-min", "20s", "--budget-max", "20s"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    meta = json.loads(Path("st/study.json").read_text())
    assert meta["worker_options"]["policy_file"] == str(tmp_path / "policy.json")
    assert str(tmp_path / "policy.json") in meta["inputs"]
    Path("policy.json").unlink()
    found = read_source(Path("st"), budget=None, dataset=None, data_dir=None)
    assert from_file(Path(found.options["policy_file"]))[0].choices[0].operations[0].operator == "rotate"


def test_a_budget_typed_as_shown_is_that_of_its_rung(tmp_path: Path) -> None:
    """12.3 / 3 is 4.1000000000000005."""
    study = make_study(tmp_path / "study", now=0.0)
    meta = json.loads(study.study_json.read_text())
    study.study_json.write_text(json.dumps(meta | {"budgets": Budgets(min=1, max=12.3).to_json()}))
    rungs = {budget: read_source(study.path, budget=budget, dataset=None, data_dir=None).rung for budget in (4.0, 4.1, 12.3, 0.5)}
    assert rungs == {4.0: 0, 4.1: 1, 12.3: 2, 0.5: 0}


def test_the_copy_of_a_users_network_finds_its_neighbours_and_those_of_where_the_study_was_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path])
    study, beside, further = make_study(tmp_path / "study", now=0.0), f"beside_{tmp_path.name}", f"further_{tmp_path.name}"
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / f"{beside}.py").write_text("from bohb_nas.layers import Conv\n")
    (tmp_path / f"{further}.py").write_text("WIDTH = 4\n")
    study.inputs.mkdir(exist_ok=True)
    (study.inputs / "network-net.py").write_text(
        f"from {beside} import Conv\nfrom {further} import WIDTH\ndef network(config): return Conv(WIDTH, 1)\n"
    )
    meta = json.loads(study.study_json.read_text())
    options = meta["worker_options"] | {"network": str(tmp_path / "parts" / "net.py")}
    study.study_json.write_text(json.dumps(meta | {"worker_options": options, "cwd": str(tmp_path)}))
    found = read_source(study.path, budget=None, dataset=None, data_dir=None)
    assert found.options["network"] == str(study.inputs / "network-net.py")
    assert size({}, image_shape=(8, 8, 2), n_classes=3, reference=found.options["network"])["params"] == 2 * 4 + 5 * 3


def test_a_users_data_set_finds_what_lies_where_the_study_was_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path])
    study, further, file = make_study(tmp_path / "study", now=0.0), f"further_{tmp_path.name}", tmp_path / "parts" / "data.py"
    file.parent.mkdir()
    file.write_text(f"from {further} import N\n")
    (tmp_path / f"{further}.py").write_text("N = 4\n")
    meta = json.loads(study.study_json.read_text())
    options = meta["worker_options"] | {"dataset": str(file)}
    study.study_json.write_text(json.dumps(meta | {"worker_options": options, "cwd": str(tmp_path)}))
    read_source(study.path, budget=None, dataset=None, data_dir=None)
    assert load_module("dataset", str(file)).N == 4


@pytest.mark.parametrize("has_locks", [True, False])
def test_the_device_is_owned_while_a_study_s_incumbent_is_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, has_locks: bool
) -> None:
    study = StudyDir(tmp_path / "study")
    study.make()
    if not has_locks:
        take_locks_away(study.path, monkeypatch)
    with _own_device(study.path, "cpu"):
        assert holders.device_taken(study, host(), "cpu0")
        with pytest.raises(DeviceBusyError, match="one worker per device"), _own_device(study.path, "cpu"):
            pass
    assert not holders.device_taken(study, host(), "cpu0")


def test_a_study_of_another_worker_cannot_be_trained(tmp_path: Path) -> None:
    done = CliRunner().invoke(cli, ["train", str(tmp_path / "absent"), "--budget", "2s"])
    assert done.exit_code == 2


def test_hours_are_seconds_in_plain_digits() -> None:
    row = {
        "seed": 0,
        "status": "ok",
        "test_error": 0.1,
        "test_error_mirrored": None,
        "n_test": 9,
        "train_s": 10_800.04,
        "steps": 5,
        "message": "",
    }
    console = Console(width=120, file=io.StringIO())
    with console.capture() as capture:
        console.print(tables.final({"rows": [row], "test_error_mean": None}))
    assert "10800" in capture.get().split()
