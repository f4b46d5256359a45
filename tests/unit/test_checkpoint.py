import errno
import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import NoReturn

import pytest
import safetensors.torch
import torch
import training_fakes as fakes

from bohb_nas.errors import CheckpointError, StorageError
from bohb_nas.records import Value
from bohb_nas.training import checkpoint
from bohb_nas.training.data import Batches
from bohb_nas.training.device import Compute
from bohb_nas.training.learner import Learner, start

IDENTITY = {"config": {"a": 1}, "dataset": "thirds"}


def trained(steps: int, **config: Value) -> Learner:
    learner = fakes.learner(0, **config)
    go_on(learner, steps)
    return learner


def go_on(learner: Learner, steps: int) -> None:
    positions = Batches(learner.data.train, 32, learner.streams.order)
    for _ in range(steps):
        learner.step(next(positions), 0.01)


@pytest.mark.parametrize(
    "config",
    [
        {"optimizer": "sgd"},
        {"optimizer": "adamw"},
        {"optimizer": "muon"},
        {"momentum": 0},
        {"average": "on"},
        {"policy": "trivial", "flip": "alternating"},
    ],
)
def test_a_continued_training_is_the_uninterrupted_one(tmp_path: Path, config: dict[str, Value]) -> None:
    learner, other = trained(3, **config), fakes.learner(seed=9, **config)
    checkpoint.save(tmp_path / "c", learner, checkpoint.Used(train_s=2.5, steps=3), IDENTITY)
    used = checkpoint.load(tmp_path / "c", other, IDENTITY, below_s=3.0)
    assert used == checkpoint.Used(train_s=2.5, steps=3)
    go_on(learner, 2)
    go_on(other, 2)
    for name, tensor in learner.network.state_dict().items():
        assert torch.equal(tensor, other.network.state_dict()[name]), name


def test_what_is_kept_of_a_weight_lies_as_the_weight_does(tmp_path: Path) -> None:
    """Where each has an order of its own, fused steps give the momentum of one number to another."""
    learner, other = (fakes.learner(seed, optimizer="adamw") for seed in (0, 9))
    go_on(learner, 1)
    checkpoint.save(tmp_path / "c", learner, checkpoint.Used(train_s=1.0, steps=1), IDENTITY)
    checkpoint.load(tmp_path / "c", other, IDENTITY, below_s=2.0)
    filters = [p for p in other.network.parameters() if p.dim() == 4 and min(p.shape) > 1]
    assert filters
    assert all(not p.is_contiguous() for p in filters)
    assert all(other.optimizer.state[p]["exp_avg"].stride() == p.stride() for p in filters)


@pytest.mark.parametrize("optimizer", ["sgd", "adamw", "muon"])
def test_a_network_with_an_end_that_leads_nowhere_goes_on(tmp_path: Path, optimizer: str) -> None:
    """Torch's optimizers keep nothing of a weight without a gradient."""
    network = tmp_path / "dead_end.py"
    network.write_text(
        "from bohb_nas.layers import Conv, Graph\n\n\ndef network(config):\n    return Graph((((0, Conv(4)),), ((0, Conv(4)),)))\n"
    )
    learner, other = (
        start({"optimizer": optimizer}, data=fakes.data(), compute=fakes.CPU, seed=seed, network=str(network)) for seed in (0, 9)
    )
    go_on(learner, 2)
    checkpoint.save(tmp_path / "c", learner, checkpoint.Used(train_s=1.0, steps=2), IDENTITY)
    checkpoint.load(tmp_path / "c", other, IDENTITY, below_s=2.0)
    go_on(learner, 1)
    go_on(other, 1)
    for name, tensor in learner.network.state_dict().items():
        assert torch.equal(tensor, other.network.state_dict()[name]), name


@pytest.mark.gpu
@pytest.mark.parametrize("optimizer", ["sgd", "adamw", "muon"])
def test_a_training_on_a_gpu_goes_on_as_without_a_break(tmp_path: Path, optimizer: str) -> None:
    """Fused optimizers there take nothing that lies in memory otherwise than its weight."""
    device = torch.device("cuda")
    data, compute = fakes.data(device=device), Compute(device=device, precision="fp32")
    config = {**fakes.TINY, "optimizer": optimizer}
    learner, other = (start(config, data=data, compute=compute, seed=seed) for seed in (0, 9))
    go_on(learner, 3)
    checkpoint.save(tmp_path / "c", learner, checkpoint.Used(train_s=2.5, steps=3), IDENTITY)
    assert checkpoint.load(tmp_path / "c", other, IDENTITY, below_s=3.0).steps == 3
    kept = [(p, t) for p, entries in other.optimizer.state.items() for t in entries.values() if t.shape == p.shape]
    assert all(t.stride() == p.stride() for p, t in kept)
    go_on(learner, 2)
    go_on(other, 2)
    for name, tensor in learner.network.state_dict().items():
        torch.testing.assert_close(
            other.network.state_dict()[name], tensor, rtol=5e-2, atol=5e-3
        )  # cuDNN adds gradients up in no fixed order


class Alone(torch.Tensor):
    """On a device that has no room for a copy of it."""

    def contiguous(self, *_: object, **__: object) -> torch.Tensor:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB")

    def cpu(self, **_: object) -> torch.Tensor:  # type: ignore[override]
        return self.as_subclass(torch.Tensor).clone()


def test_what_is_written_is_copied_to_the_host_and_not_beside_itself(tmp_path: Path) -> None:
    checkpoint.write(tmp_path, {"a": torch.arange(6.0).reshape(2, 3).t().as_subclass(Alone)}, {})
    assert safetensors.torch.load_file(tmp_path / "model.safetensors")["a"].tolist() == [[0, 3], [1, 4], [2, 5]]


def test_only_known_files_are_left(tmp_path: Path) -> None:
    checkpoint.save(tmp_path, trained(1), checkpoint.Used(train_s=1.0, steps=1), IDENTITY)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["model.safetensors", "state.json"]


def test_a_folder_that_the_disk_refuses_is_no_trials_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def failed(*_: object, **__: object) -> NoReturn:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    learner = trained(1)
    monkeypatch.setattr(Path, "mkdir", failed)
    with pytest.raises(StorageError, match=f"cannot write {tmp_path}/checkpoint: Input/output error"):
        checkpoint.save(tmp_path / "checkpoint", learner, checkpoint.Used(train_s=1.0, steps=1), IDENTITY)


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda f: (f / "state.json").unlink(), "No such file"),
        (lambda f: (f / "model.safetensors").unlink(), "No such file"),
        (lambda f: (f / "state.json").write_text('{"format": 1'), "not JSON"),
        (lambda f: (f / "state.json").write_text("[]"), "format"),
        (lambda f: (f / "state.json").write_text(json.dumps({"format": 99})), "format"),
        (lambda f: (f / "state.json").write_text(json.dumps({"format": 1})), "incomplete"),
        (lambda f: fakes.restate(f, train_s="1"), "train_s"),
        (lambda f: fakes.restate(f, identity=None), "identity"),
        (lambda f: (f / "model.safetensors").write_bytes((f / "model.safetensors").read_bytes()[:-9]), "not the file"),
    ],
)
def test_torn_and_foreign_files_are_refused_untouched(tmp_path: Path, damage: object, reason: str) -> None:
    checkpoint.save(tmp_path, trained(1), checkpoint.Used(train_s=1.0, steps=1), IDENTITY)
    damage(tmp_path)  # type: ignore[operator]
    refused(tmp_path, IDENTITY, 9.0, reason)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"network/head.bias": None}, "network/head.bias"),
        ({"optimizer/3/momentum_buffer": None}, "optimizer/3/momentum_buffer"),
        ({"stream/order": None}, "stream/order"),
        ({"stream/host": None}, "stream/host"),
        ({"images/seen": torch.zeros(390, dtype=torch.uint8)}, "images/seen"),
        ({"nonsense": torch.zeros(1)}, "nonsense"),
        ({"optimizer/x/momentum_buffer": torch.zeros(1)}, "optimizer/x"),
        ({"network/head.bias": torch.zeros(4)}, r"\[4\].*accepted is torch.float32\[3\]"),
        ({"optimizer/0/momentum_buffer": torch.zeros(4, 1, 5, 5)}, "optimizer/0/momentum_buffer"),
        ({"network/head.bias": torch.zeros(3, dtype=torch.float64)}, "float64"),
        ({"stream/order": torch.zeros(7, dtype=torch.uint8)}, "stream/order"),
        ({"stream/noise": torch.full((5056,), 255, dtype=torch.uint8)}, "stream/noise"),
    ],
)
def test_tensors_of_something_else_are_refused_untouched(tmp_path: Path, changes: Mapping[str, torch.Tensor | None], reason: str) -> None:
    checkpoint.save(tmp_path, trained(1), checkpoint.Used(train_s=1.0, steps=1), IDENTITY)
    tensors = safetensors.torch.load_file(tmp_path / "model.safetensors")
    weights = safetensors.torch.save({name: tensor for name, tensor in {**tensors, **changes}.items() if tensor is not None})
    (tmp_path / "model.safetensors").write_bytes(weights)
    fakes.restate(tmp_path, sha256=hashlib.sha256(weights).hexdigest())
    refused(tmp_path, IDENTITY, 9.0, reason)


def test_a_file_that_holds_no_tensors_is_refused(tmp_path: Path) -> None:
    checkpoint.save(tmp_path, trained(1), checkpoint.Used(train_s=1.0, steps=1), IDENTITY)
    (tmp_path / "model.safetensors").write_bytes(b"nothing")
    fakes.restate(tmp_path, sha256=hashlib.sha256(b"nothing").hexdigest())
    refused(tmp_path, IDENTITY, 9.0, "cannot be read")


def test_another_configuration_or_a_spent_budget_is_refused(tmp_path: Path) -> None:
    checkpoint.save(tmp_path, trained(1), checkpoint.Used(train_s=1.0, steps=1), IDENTITY)
    refused(tmp_path, {**IDENTITY, "config": {"a": 2}}, 9.0, "differs in config")
    refused(tmp_path, IDENTITY, 1.0, "has used 1 s of 1 s")


def refused(folder: Path, identity: Mapping[str, object], below_s: float, reason: str) -> None:
    learner, fresh = fakes.learner(seed=5), fakes.learner(seed=5)
    with pytest.raises(CheckpointError, match=reason):
        checkpoint.load(folder, learner, identity, below_s=below_s)
    for name, tensor in fresh.network.state_dict().items():
        assert torch.equal(tensor, learner.network.state_dict()[name])
    assert not learner.optimizer.state
    for name in ("order", "augmentation", "noise", "host"):
        assert torch.equal(getattr(learner.streams, name).get_state(), getattr(fresh.streams, name).get_state())


def test_the_averaged_weights_are_kept_beside_those_that_train(tmp_path: Path) -> None:
    learner = trained(1, average="on")
    learner.follow(1.0)
    go_on(learner, 1)
    checkpoint.save(tmp_path, learner, checkpoint.Used(train_s=1.0, steps=2), IDENTITY)
    tensors = safetensors.torch.load_file(tmp_path / "model.safetensors")
    assert learner.average is not None
    for name, tensor in learner.average.network.state_dict().items():
        assert torch.equal(tensors[f"average/{name}"], tensor)
    assert not torch.equal(tensors["average/head.weight"], tensors["network/head.weight"])


def test_the_alternating_flip_goes_on_where_it_was(tmp_path: Path) -> None:
    learner, other = trained(7, flip="alternating"), fakes.learner(seed=9, flip="alternating")
    assert learner.seen is not None
    assert other.seen is not None
    assert not torch.equal(learner.seen, other.seen)
    checkpoint.save(tmp_path, learner, checkpoint.Used(train_s=1.0, steps=7), IDENTITY)
    checkpoint.load(tmp_path, other, IDENTITY, below_s=9.0)
    assert torch.equal(learner.seen, other.seen)
    # 7 batches of 32 of the 300 images: one epoch is not over, so the rest is as it was drawn
    fresh = fakes.learner(0, flip="alternating").seen
    assert fresh is not None
    assert int(torch.ne(learner.seen, fresh).sum()) == 7 * 32


def test_a_checkpoint_without_what_the_alternating_flip_needs_is_refused(tmp_path: Path) -> None:
    checkpoint.save(tmp_path, trained(1), checkpoint.Used(train_s=1.0, steps=1), IDENTITY)
    with pytest.raises(CheckpointError, match="images/seen"):
        checkpoint.load(tmp_path, fakes.learner(0, flip="alternating"), IDENTITY, below_s=9.0)
