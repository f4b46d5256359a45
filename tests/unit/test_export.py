import dataclasses
import errno
import hashlib
import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest
import safetensors.torch
import torch
import training_fakes as fakes
from study_fakes import take_locks_away

from bohb_nas import files, spoilt
from bohb_nas.errors import DatasetError, StorageError, UsageError
from bohb_nas.locks import Lock
from bohb_nas.records import Status
from bohb_nas.training import final, policies, validation
from bohb_nas.training.augment import normalise
from bohb_nas.training.data import resident
from bohb_nas.training.device import Compute
from bohb_nas.training.export import export_model
from bohb_nas.training.final import train_final
from bohb_nas.training.learner import Learner, start
from bohb_nas.training.loop import fit
from bohb_nas.training.outcome import Fit
from bohb_nas.training.recording import Recorder, Recording
from bohb_nas.training.validation import Score, evaluate


@pytest.mark.parametrize("shape", [(8, 8, 1), (33, 32, 3)])
def test_the_program_gives_the_logits_of_the_network(tmp_path: Path, shape: tuple[int, int, int]) -> None:
    height, width, channels = shape
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (40, height, width, channels), dtype=np.uint8)
    every = np.arange(40)
    data = resident(pixels, every % 3, train=every, valid=every, n_classes=3, device=fakes.CPU.device)
    learner = start(fakes.TINY, data=data, compute=fakes.CPU, seed=0)
    learner.step(data.train, 0.1)
    export_model(
        learner.network,
        tmp_path,
        data=data,
        classes=["a", "b", "c"],
        config=fakes.TINY,
        facts={"test_error": 0.5},
    )
    program = torch.export.load(tmp_path / "model.pt2").module()
    for n in (1, 2, 40):
        with torch.no_grad():
            expected = learner.network.eval()(normalise(data.images[:n], data.mean, data.deviation))
            torch.testing.assert_close(program(data.images[:n]), expected)
    weights = safetensors.torch.load_file(tmp_path / "model.safetensors")
    assert torch.equal(weights["network.head.weight"], learner.network.head.weight)
    description = json.loads((tmp_path / "model.json").read_text())
    assert description["classes"] == ["a", "b", "c"]
    assert description["input"] == {"kind": "uint8", "shape": ["N", channels, height, width], "levels": [0, 255]}
    assert description["test_error"] == 0.5


def test_final_training_tests_once_a_seed_and_exports_each(tmp_path: Path) -> None:
    rows = train_final(
        fakes.TINY, dataset=fakes.dataset(), budget_s=1e9, seeds=[0, 1], out=tmp_path, device="cpu", precision="fp32", max_steps=30
    )
    assert [(row.seed, row.status, row.n_test, row.steps) for row in rows] == [(0, Status.OK, 90, 30), (1, Status.OK, 90, 30)]
    program = torch.export.load(tmp_path / "seed-1" / "model.pt2").module()
    test = fakes.dataset()
    assert test.test_images is not None
    wrong = program(torch.tensor(test.test_images).permute(0, 3, 1, 2)).argmax(1).numpy() != test.test_labels
    assert wrong.mean() == rows[1].test_error
    assert rows[1].test_error is not None
    assert rows[1].test_error < 0.3
    told = json.loads((tmp_path / "seed-1" / "model.json").read_text())
    assert (told["test_error"], told["budget_s"]) == (rows[1].test_error, 1e9)
    lines = (tmp_path / "seed-0" / "curve.jsonl").read_text().splitlines()
    assert json.loads(lines[-1])["u"] == 1


def test_views_of_negative_strides_are_trained_and_tested_as_what_they_show(tmp_path: Path) -> None:
    """As of channels that OpenCV reads the other way round, and of what is turned or reversed."""
    pixels, labels = fakes.images(90)
    views: dict[str, Any] = {"train_images": pixels[::-1, :, ::-1], "train_labels": labels[::-1]}
    views |= {name.replace("train", "test"): view for name, view in views.items()}
    copies = {name: view.copy() for name, view in views.items()}
    told = [
        train_final(
            fakes.TINY,
            dataset=fakes.dataset(**parts),
            budget_s=1e9,
            seeds=[0],
            out=tmp_path / name,
            device="cpu",
            precision="fp32",
            max_steps=3,
        )[0].test_error
        for name, parts in (("views", views), ("copies", copies))
    ]
    assert told[0] == told[1]


def test_a_model_tells_how_it_was_trained(tmp_path: Path) -> None:
    """But for the seed: of a network of one's own the content of its file, wherever it lies, and of policies the one that was used."""
    policy = policies.rand(1, 9)
    fixed: dict[str, Any] = {"dataset": fakes.dataset(), "budget_s": 1e9, "device": "cpu", "precision": "fp32", "max_steps": 1}
    (tmp_path / "copied").mkdir()
    for mine in (tmp_path / "mine.py", tmp_path / "copied" / "network-mine.py"):
        mine.write_text("from bohb_nas.layers import chain, conv_norm\n\n\ndef network(config):\n    return chain(conv_norm(4))\n")
    told = []
    trainings: list[tuple[dict[str, Any], dict[str, Any]]] = [
        ({}, {"network": str(tmp_path / "mine.py")}),
        ({}, {"network": str(tmp_path / "copied" / "network-mine.py")}),
        ({**fakes.TINY}, {"policy": policy, "schedule": "restarts", "rung": 2}),
        ({**fakes.TINY, "policy": "trivial", "schedule": "linear", "warm_up": 0.2}, {"policy": policy, "schedule": "restarts"}),
    ]
    for k, (config, more) in enumerate(trainings):
        train_final({"batch_size": 16, **config}, **fixed, **more, seeds=[k], out=tmp_path)
        told.append(json.loads((tmp_path / f"seed-{k}/model.json").read_text())["training"])
    digest = hashlib.sha256((tmp_path / "mine.py").read_bytes()).hexdigest()
    usual: dict[str, Any] = {
        "network": None,
        "policy": [],
        "schedule": "cosine",
        "rung": None,
        "warm_up": 0.05,
        "precision": "fp32",
        "max_steps": 1,
    }
    assert told[0] == told[1] == usual | {"network": f"sha256:{digest}"}
    assert (told[2]["schedule"], told[2]["rung"]) == ("restarts", 2)
    assert told[2]["policy"] == json.loads(json.dumps([dataclasses.asdict(layer) for layer in policy]))
    assert told[3] == usual | {"schedule": "linear", "warm_up": 0.2}


def test_what_is_trained_in_bf16_is_tested_as_it_is_exported(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (2000, 8, 8, 1), dtype=np.uint8)  # close calls, which bf16 judges otherwise
    dataset = fakes.dataset(test_images=noise, test_labels=np.arange(2000) % 3)
    (row,) = train_final(fakes.TINY, dataset=dataset, budget_s=1e9, seeds=[0], out=tmp_path, device="cpu", precision="bf16", max_steps=30)
    program = torch.export.load(tmp_path / "seed-0" / "model.pt2").module()
    with torch.no_grad():
        wrong = program(torch.tensor(noise).permute(0, 3, 1, 2)).argmax(1).numpy() != dataset.test_labels
    assert wrong.sum() == round(2000 * (row.test_error or 0))


def test_the_model_needs_only_torch(tmp_path: Path) -> None:
    train_final(fakes.TINY, dataset=fakes.dataset(), budget_s=1e9, seeds=[0], out=tmp_path, device="cpu", max_steps=1)
    code = (
        "import sys, torch; "
        f"m = torch.export.load({str(tmp_path / 'seed-0' / 'model.pt2')!r}).module(); "
        "print(tuple(m(torch.zeros(5, 1, 8, 8, dtype=torch.uint8)).shape), any(n.startswith('bohb_nas') for n in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert done.stdout.split("\n")[0] == "(5, 3) False"


def test_one_at_a_time_trains_into_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While a seed is trained, the same is asked again, and so is another training."""
    where: dict[str, Any] = {"dataset": fakes.dataset(), "budget_s": 90.0, "device": "cpu", "max_steps": 1}
    refused: list[str] = []

    def meanwhile(*arguments: Any, **named: Any) -> Fit:
        monkeypatch.setattr(final, "fit", fit)
        for out in (tmp_path / "a", tmp_path / "b"):
            before = sorted(tmp_path.rglob("*"))
            try:
                train_final({**fakes.TINY, "batch_size": 8}, **where, seeds=[0], out=out)
            except UsageError as e:
                refused.append(str(e))
                assert sorted(tmp_path.rglob("*")) == before
        return fit(*arguments, **named)

    monkeypatch.setattr(final, "fit", meanwhile)
    train_final(fakes.TINY, **where, seeds=[0], out=tmp_path / "a")
    who = f"pid {os.getpid()} on {socket.gethostname()}"
    assert refused == [f"another train works in {tmp_path}/a, {who}; let it end, or name another folder with --out"]
    trained = {name: json.loads((tmp_path / name / "seed-0/model.json").read_text())["config"]["batch_size"] for name in "ab"}
    assert trained == {"a": 16, "b": 8}


def test_models_that_are_there_are_told_where_nothing_may_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    where: dict[str, Any] = {"dataset": fakes.dataset(), "budget_s": 90.0, "seeds": [0], "out": tmp_path, "device": "cpu", "max_steps": 1}
    rows = train_final(fakes.TINY, **where)

    def refuse(lock: Lock, note: str = "") -> bool:
        raise StorageError("cannot write train.lock: Read-only file system")

    monkeypatch.setattr(Lock, "acquire", refuse)
    assert train_final(fakes.TINY, **where) == rows
    with pytest.raises(StorageError, match="Read-only"):
        train_final(fakes.TINY, **where | {"seeds": [0, 1]})


def test_models_are_trained_where_there_are_no_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out, said = tmp_path / "out", list[str]()
    out.mkdir()
    take_locks_away(out, monkeypatch)
    train_final(fakes.TINY, dataset=fakes.dataset(), budget_s=90.0, seeds=[0], out=out, device="cpu", max_steps=1, say=said.append)
    assert said[0].startswith(f"{out} has no locks: No locks available; nothing keeps a second process from")
    assert (out / "seed-0/model.pt2").is_file()


def _untested(folder: Path) -> None:
    """As where the machine went down between the training and its test."""
    about = folder / "model.json"
    about.write_text(json.dumps(json.loads(about.read_text()) | {"test_error": None}))


def test_a_seed_with_a_model_is_not_trained_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    where: dict[str, Any] = {"dataset": fakes.dataset(), "budget_s": 90.0, "out": tmp_path, "device": "cpu", "max_steps": 2}
    where |= {"policy": policies.rand(1, 9)}
    first = train_final(fakes.TINY, **where, seeds=[0])
    said: list[str] = []
    about = tmp_path / "seed-0/model.json"
    about.write_text(json.dumps(json.loads(about.read_text()) | {"device": "cpu, 7 threads"}))  # as many as were idle then
    began = []

    def counted(*arguments: Any, **named: Any) -> Fit:
        began.append(arguments)
        return fit(*arguments, **named)

    monkeypatch.setattr(final, "fit", counted)
    again = train_final(fakes.TINY, **where, seeds=[0, 1], say=said.append)
    assert again[0] == first[0]
    assert ([row.seed for row in again], len(began)) == ([0, 1], 1)
    assert said == [f"seed 0, 1 of 2: trained already, {tmp_path}/seed-0", "seed 1, 2 of 2: training for 90s"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"config": {**fakes.TINY, "batch_size": 8}}, "another training: batch_size is 16, now 8; move"),
        ({"budget_s": 7.0}, "budget_s is 90.0, now 7.0"),
        ({"max_steps": 1}, "another training: max_steps is 2, now 1; move"),
        (
            {"config": {"batch_size": 16}},
            "nr_residual_blocks_3 is 1, now None, initial_filters is 4, now None and 4 more; move",
        ),
        ({"dataset": fakes.dataset(fingerprint="other")}, "fingerprint is "),
    ],
)
def test_a_model_of_another_training_is_kept_and_nothing_trained(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    where: dict[str, Any] = {"config": fakes.TINY, "dataset": fakes.dataset(), "budget_s": 90.0, "device": "cpu", "max_steps": 2}
    train_final(**where, seeds=[1], out=tmp_path)
    before = (tmp_path / "seed-1/model.json").read_text()
    with pytest.raises(UsageError, match=r"seed-1 holds a model of another training: .*; move .* away, or name another folder") as refused:
        train_final(**where | change, seeds=[0, 1], out=tmp_path)
    assert said in str(refused.value)
    assert (tmp_path / "seed-1/model.json").read_text() == before
    assert not (tmp_path / "seed-0").exists()


@pytest.mark.parametrize("told", [None, "no JSON", "[]", "{}", '{"seed": 0}'])
def test_a_model_of_who_knows_what_is_kept(tmp_path: Path, told: str | None) -> None:
    (tmp_path / "seed-0").mkdir()
    (tmp_path / "seed-0/model.pt2").write_text("mine")
    if told is not None:
        (tmp_path / "seed-0/model.json").write_text(told)
    with pytest.raises(UsageError, match=r"does not tell what it is .*; move .* away, or name another folder"):
        train_final(fakes.TINY, dataset=fakes.dataset(), budget_s=1e9, seeds=[0], out=tmp_path, device="cpu", max_steps=1)
    assert (tmp_path / "seed-0/model.pt2").read_text() == "mine"


def test_an_export_that_was_cut_off_does_not_keep_its_seed_from_being_trained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    where: dict[str, Any] = {"dataset": fakes.dataset(), "budget_s": 1e9, "seeds": [0], "out": tmp_path, "device": "cpu", "max_steps": 1}

    write = files.write_atomic

    def full(path: Path, content: bytes | str) -> None:
        if path.suffix == ".safetensors":
            raise StorageError("no space left on device")
        write(path, content)

    def ctrl_c(*_: object) -> NoReturn:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(files, "write_atomic", full)
        patch.setattr(files.Refusals, "heed", ctrl_c)
        with pytest.raises(KeyboardInterrupt):
            train_final(fakes.TINY, **where)
    assert (tmp_path / "seed-0/model.pt2").exists()
    (row,) = train_final(fakes.TINY, **where)
    assert row.status is Status.OK
    assert json.loads((tmp_path / "seed-0/model.json").read_text())["test_error"] == row.test_error


def test_what_is_trained_waits_for_a_disk_that_refuses_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    replace, refused, said = os.replace, list[str](), list[str]()

    def full(old: Path, new: Path) -> None:
        name = "tested.json" if Path(new).name == "model.json" and Path(new).exists() else Path(new).name
        if "curve" not in name and refused.count(name) < 2:
            refused.append(name)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        replace(old, new)

    monkeypatch.setattr(os, "replace", full)
    monkeypatch.setattr(files, "AGAIN_S", 0.01)
    where: dict[str, Any] = {"dataset": fakes.dataset(), "budget_s": 1e9, "seeds": [0], "out": tmp_path, "device": "cpu", "max_steps": 2}
    (row,) = train_final(fakes.TINY, **where, say=said.append)
    assert refused == [name for name in ("model.pt2", "model.safetensors", "model.json", "tested.json") for _ in range(2)]
    assert row.status is Status.OK
    assert json.loads((tmp_path / "seed-0/model.json").read_text())["test_error"] == row.test_error is not None
    names, why = ("model.pt2", "model.safetensors", "model.json", "model.json"), "No space left on device; free space or restore access"
    assert said[1:] == [f"cannot write {tmp_path}/seed-0/{name}: {why}; trying again every 0.01 s" for name in names]


def test_a_disk_that_refuses_a_point_of_the_curve_costs_the_point(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    append, points, said = files.append_line, list[str](), list[str]()

    def full(path: Path, line: str) -> None:
        points.append(line)
        if len(points) in (2, 3):
            with files.storing(path):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        append(path, line)

    monkeypatch.setattr(final, "append_line", full)
    where: dict[str, Any] = {"dataset": fakes.dataset(), "budget_s": 1e9, "seeds": [0], "out": tmp_path, "device": "cpu", "max_steps": 40}
    (row,) = train_final(fakes.TINY, **where, say=said.append)
    assert (row.status, row.steps) == (Status.OK, 40)
    assert len(points) > 3
    assert (tmp_path / "seed-0/curve.jsonl").read_text().splitlines() == [points[0], *points[3:]]
    why = f"cannot write {tmp_path}/seed-0/curve.jsonl.new: No space left on device; free space or restore access"
    assert said[1:] == [f"a point of the learning curve is lost: {why}"]


def test_a_folder_that_is_another_by_the_end_of_a_training_gets_the_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def moved(*arguments: Any, **named: Any) -> Fit:
        trained = fit(*arguments, **named)
        (tmp_path / "seed-0").rename(tmp_path / "away")
        return trained

    monkeypatch.setattr(final, "fit", moved)
    (row,) = train_final(fakes.TINY, dataset=fakes.dataset(), budget_s=1e9, seeds=[0], out=tmp_path, device="cpu", max_steps=1)
    assert json.loads((tmp_path / "seed-0/model.json").read_text())["test_error"] == row.test_error is not None


def test_a_failed_training_leaves_no_untested_model_in_its_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    where: dict[str, Any] = {"dataset": fakes.dataset(), "budget_s": 1e9, "seeds": [0], "out": tmp_path, "device": "cpu", "max_steps": 1}
    train_final(fakes.TINY, **where)
    _untested(tmp_path / "seed-0")
    monkeypatch.setattr(final, "fit", lambda *_, **__: Fit(status=Status.DIVERGED, message="loss nan", train_s=1.0))
    (row,) = train_final(fakes.TINY, **where)
    assert row.status is Status.DIVERGED
    assert [path.name for path in (tmp_path / "seed-0").iterdir()] == ["curve.jsonl"]


def test_a_training_that_is_stopped_costs_neither_model_nor_curve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    where: dict[str, Any] = {"dataset": fakes.dataset(), "budget_s": 1e9, "seeds": [0], "out": tmp_path, "device": "cpu", "max_steps": 1}
    train_final(fakes.TINY, **where)
    _untested(tmp_path / "seed-0")
    curve = (tmp_path / "seed-0/curve.jsonl").read_text()

    def stopped(learner: object, plan: object, clock: object, on_point: Any, **_: object) -> Fit:
        on_point({"u": 0.05})
        raise KeyboardInterrupt

    monkeypatch.setattr(final, "fit", stopped)
    with pytest.raises(KeyboardInterrupt):
        train_final(fakes.TINY, **where)
    models = {"model.json", "model.pt2", "model.safetensors"}
    assert {path.name for path in (tmp_path / "seed-0").iterdir()} == models | {"curve.jsonl", "curve.jsonl.new"}
    assert (tmp_path / "seed-0/curve.jsonl").read_text() == curve
    monkeypatch.undo()
    (row,) = train_final(fakes.TINY, **where)
    assert json.loads((tmp_path / "seed-0/model.json").read_text())["test_error"] == row.test_error is not None
    assert {path.name for path in (tmp_path / "seed-0").iterdir()} == models | {"curve.jsonl"}


def test_without_a_test_part_there_is_no_final_training(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no test part"):
        train_final(fakes.TINY, dataset=fakes.dataset(test_images=None, test_labels=None), budget_s=1.0, seeds=[0], out=tmp_path)


def test_a_seed_without_memory_keeps_the_rows_of_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, calls = fit, []

    def full_at_the_second(*arguments: Any, **named: Any) -> Fit:
        calls.append(arguments)
        if len(calls) == 2:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9 GiB")
        return real(*arguments, **named)

    monkeypatch.setattr(final, "fit", full_at_the_second)
    rows = train_final(fakes.TINY, dataset=fakes.dataset(), budget_s=1e9, seeds=[0, 1, 2], out=tmp_path, device="cpu", max_steps=2)
    assert [(row.seed, row.status) for row in rows] == [(0, Status.OK), (1, Status.OUT_OF_MEMORY), (2, Status.OK)]
    assert rows[1].message == "out of memory: CUDA out of memory. Tried to allocate 9 GiB"
    assert (rows[1].test_error, rows[1].params) == (None, rows[0].params)


def test_a_test_that_fails_costs_no_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> Score:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9 GiB")

    monkeypatch.setattr(final, "evaluate_on_test", full)
    (row,) = train_final(fakes.TINY, dataset=fakes.dataset(), budget_s=1e9, seeds=[0], out=tmp_path, device="cpu", max_steps=2)
    assert (row.status, row.steps, row.test_error) == (Status.OUT_OF_MEMORY, 2, None)
    told = json.loads((tmp_path / "seed-0/model.json").read_text())
    assert (told["steps"], told["test_error"]) == (2, None)
    assert (tmp_path / "seed-0/model.pt2").exists()


def test_the_test_is_in_fp32_and_has_the_memory_of_the_recorded_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made, seen, own, switches = list[Learner](), list[tuple[bool, bool, Recorder | None]](), evaluate, torch.backends.cudnn

    def looked(*arguments: Any, **named: Any) -> Score:
        seen.append((switches.allow_tf32, switches.benchmark, made[-1].recording.recorder))
        return own(*arguments, **named)

    def begun(*arguments: Any, **named: Any) -> Learner:
        made.append(start(*arguments, **named))
        made[-1].recording = Recording(lambda work, inputs: lambda: work(*inputs))
        return made[-1]

    monkeypatch.setattr(validation, "evaluate", looked)
    monkeypatch.setattr(final, "start", begun)
    monkeypatch.setattr(switches, "benchmark", True)
    train_final(fakes.TINY, dataset=fakes.dataset(), budget_s=1e9, seeds=[0], out=tmp_path, device="cpu", max_steps=5)
    assert seen == [(False, True, None)]
    assert switches.allow_tf32


def test_a_process_that_a_failed_recording_has_spoilt_trains_no_further_seed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even one whose model lies beside those that are there already; what was trained is kept, and tells that nothing was replayed."""
    where: dict[str, Any] = {"dataset": fakes.dataset(), "budget_s": 1e9, "out": tmp_path, "device": "cpu", "max_steps": 5}
    said, error = list[str](), "CUDA error: operation failed due to a previous error during capture"

    def failing(work: object, inputs: object) -> NoReturn:
        spoilt.note(f"a step could not be recorded: {error}")
        raise RuntimeError(error)

    def begun(*arguments: Any, **named: Any) -> Learner:
        learner = start(*arguments, **named)
        learner.recording = Recording(failing if named["seed"] else lambda work, inputs: lambda: work(*inputs))
        return learner

    monkeypatch.setattr(spoilt, "_why", None)
    monkeypatch.setattr(final, "start", begun)
    train_final(fakes.TINY, **where, seeds=[0])
    rows = train_final(fakes.TINY, **where, seeds=[1, 2, 0, 3], say=said.append)
    assert [(row.seed, row.status, row.steps) for row in rows] == [(1, Status.OK, 5), (0, Status.OK, 5)]
    assert said[-1] == (
        f"not trained: seed 2, 3, for a step could not be recorded: {error}, after which this process may train wrongly; "
        "run the same again: it trains the rest in a new process, and keeps the models that are there"
    )
    told = [json.loads((tmp_path / f"seed-{seed}/model.json").read_text()) for seed in (0, 1)]
    assert [(about["replays"], about["replay_refused"]) for about in told] == [(True, None), (False, error)]


def test_a_network_larger_than_memory_has_a_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Compute, "free_bytes", lambda self: 1000)
    (row,) = train_final(fakes.TINY, dataset=fakes.dataset(), budget_s=1e9, seeds=[0], out=tmp_path, device="cpu", max_steps=2)
    assert row.status is Status.OUT_OF_MEMORY
    assert "GiB free" in str(row.message)


def test_training_an_untested_seed_again_replaces_the_curve(tmp_path: Path) -> None:
    curves = []
    for _ in range(2):
        train_final(fakes.TINY, dataset=fakes.dataset(), budget_s=1e9, seeds=[0], out=tmp_path, device="cpu", max_steps=2)
        curves.append([json.loads(line)["step"] for line in (tmp_path / "seed-0" / "curve.jsonl").read_text().splitlines()])
        _untested(tmp_path / "seed-0")
    assert curves[0] == curves[1]
