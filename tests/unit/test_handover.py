import hashlib
import itertools
import json
import random
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
import training_fakes as fakes

from bohb_nas import files
from bohb_nas.errors import CheckpointError, StorageError
from bohb_nas.records import Status, Value
from bohb_nas.training import checkpoint, handover, schedules
from bohb_nas.training.checkpoint import Used
from bohb_nas.training.handover import Handed
from bohb_nas.training.learner import Learner
from bohb_nas.training.loop import Plan, fit
from bohb_nas.training.outcome import Fit
from bohb_nas.training.position import Leave, Position

IDENTITY = {"config": {"a": 1}, "dataset": "thirds"}
BASE = Used(train_s=0.0, steps=0)


@dataclass
class Attempts:
    """Attempts at one training, each in a fresh learner, through the files of a folder; a step takes 0.1 virtual seconds or so."""

    folder: Path
    config: dict[str, Value]
    budget_s: float = 1e9
    max_steps: int | None = None
    jitter: float = 0.0
    queueing: bool = False
    fractions: list[float] = field(default_factory=list)
    """At which the schedule was read, in order."""
    states: list[Position] = field(default_factory=list)

    def learner(self, seed: int = 0) -> Learner:
        learner = fakes.learner(seed, **self.config)
        if self.queueing:
            learner.compute = fakes.Queueing(device=torch.device("cpu"), precision="fp32")
        return learner

    def attempt(self, *, passes: float = float("inf"), every_s: float = float("inf"), seed: int = 9) -> tuple[Fit, Learner]:
        """Goes on from the folder until so many forward passes are over, or to the end."""
        time, learner, rng = fakes.Virtual(), self.learner(seed), random.Random(len(self.fractions))
        time.watch(learner.network, lambda _: 0.1 * rng.uniform(1 - self.jitter, 1 + self.jitter))
        position = handover.load(self.folder, learner, IDENTITY, budget_s=self.budget_s).position if self.folder.exists() else None

        def schedule(u: float) -> float:
            self.fractions.append(u)
            return schedules.cosine(u)

        def save(position: Position) -> None:
            self.states.append(position)
            handover.save(self.folder, learner, Handed(position=position, base=BASE, facts={}), IDENTITY)

        plan = Plan(budget_s=self.budget_s, schedule=schedule, max_steps=self.max_steps)
        leave = Leave(asked=lambda: time.time > 0.1 * passes, save=save, every_s=every_s)
        return fit(learner, plan, time.clock(), lambda _: None, position=position, leave=leave), learner


def ended(result: Fit) -> tuple[Status, int]:
    return result.status, result.steps


def everything(learner: Learner) -> dict[str, torch.Tensor]:
    return checkpoint.tensors(learner)


@pytest.mark.parametrize(
    ("config", "passes"),
    [
        ({"optimizer": "sgd"}, 9.5),
        ({"optimizer": "adamw", "average": "on", "average_span": 0.5}, 9.5),
        ({"optimizer": "muon"}, 7.5),
        ({"average": "on", "average_span": 0.2, "flip": "alternating", "policy": "trivial"}, 8.5),
    ],
)
def test_an_interrupted_training_is_the_uninterrupted_one_to_the_bit(tmp_path: Path, config: dict[str, Value], passes: float) -> None:
    whole, learner = Attempts(tmp_path / "none", config, max_steps=14).attempt(seed=0)
    parts = Attempts(tmp_path / "handover", config, max_steps=14)
    first, _ = parts.attempt(passes=passes, seed=0)
    second, _ = parts.attempt(passes=passes + 3)
    last, other = parts.attempt()
    assert [part.status for part in (first, second, last)] == [Status.PREEMPTED, Status.PREEMPTED, Status.OK]
    assert 0 < first.steps < second.steps < last.steps == 14
    mine, theirs = everything(learner), everything(other)
    assert mine.keys() == theirs.keys()
    assert [name for name in mine if not torch.equal(mine[name], theirs[name])] == []
    assert last.valid == whole.valid
    for a, b in zip(whole.curve, last.curve, strict=True):
        assert a.keys() == b.keys()
        assert all(a[key] == pytest.approx(b[key]) for key in a)


def test_what_is_restored_is_what_was_saved_to_the_bit(tmp_path: Path) -> None:
    parts = Attempts(tmp_path / "handover", {"optimizer": "adamw", "average": "on", "flip": "alternating"}, max_steps=14)
    _, learner = parts.attempt(passes=9.5)
    other = parts.learner(seed=4)
    handed = handover.load(parts.folder, other, IDENTITY, budget_s=1e9)
    mine, theirs = everything(learner), everything(other)
    assert [name for name in mine if not torch.equal(mine[name], theirs[name])] == []
    assert learner.average is not None
    assert other.average is not None
    assert (other.average.u, other.average.n, other.since_average) == (learner.average.u, learner.average.n, learner.since_average)
    assert handed.position.to_json() == parts.states[-1].to_json() | {"sums": parts.states[-1].sums}
    assert torch.equal(handed.position.rest, parts.states[-1].rest)


@pytest.mark.parametrize(("queueing", "jitter"), [(False, 0.4), (True, 0.0)])
def test_all_attempts_together_take_the_budget_and_the_schedule_only_falls_after_its_warm_up(
    tmp_path: Path, *, queueing: bool, jitter: float
) -> None:
    parts = Attempts(tmp_path / "handover", {"average": "on"}, budget_s=6.0, jitter=jitter, queueing=queueing)
    results = [parts.attempt(passes=passes)[0] for passes in (12, 30, 25)]
    results.append(parts.attempt()[0])
    assert [result.status for result in results] == [Status.PREEMPTED] * 3 + [Status.OK]
    assert results[-1].train_s == pytest.approx(6.0, abs=0.1 * (1 + jitter))
    assert results[-1].steps == pytest.approx(60, abs=2 + 20 * jitter)
    assert parts.fractions == sorted(parts.fractions)
    assert parts.fractions[-1] == 1
    assert max(b - a for a, b in zip([0.0, *parts.fractions], parts.fractions, strict=False)) < 0.1
    assert results[-1].lr_last == 0
    assert [point["u"] for point in results[-1].curve] == sorted({point["u"] for point in results[-1].curve})
    assert [point["t"] for point in results[-1].curve] == sorted({point["t"] for point in results[-1].curve})
    # a point for each of the 19 twentieths, for those of 1/27, 1/9, 1/3 and 2/3 that lie a step or more from them, and for the end
    assert len(results[-1].curve) >= 20


def test_every_image_is_seen_once_an_epoch_although_batches_were_prepared_in_vain(tmp_path: Path) -> None:
    """16 of 300 images a step, prepared 64 steps ahead; two attempts leave before an epoch is over."""
    parts = Attempts(tmp_path / "handover", {"flip": "alternating"}, budget_s=100.0, queueing=True)
    first, second = parts.attempt(passes=10, seed=0)[0], parts.attempt(passes=10)[0]
    assert 0 < first.steps < second.steps < 18
    state = parts.states[-1]
    assert state.n_prepared > 0
    left = 300 - 16 * second.steps
    assert sorted(state.rest[:left].tolist()) == sorted(set(state.rest[:left].tolist())), "no image twice"
    restored = parts.learner()
    handover.load(parts.folder, restored, IDENTITY, budget_s=100.0)
    fresh = parts.learner(seed=0).seen
    assert fresh is not None
    assert restored.seen is not None
    seen = torch.nonzero(restored.seen != fresh).flatten().tolist()
    assert sorted([*seen, *state.rest[:left].tolist()]) == list(range(300))


def test_who_is_asked_before_anything_is_trained_leaves_nothing(tmp_path: Path) -> None:
    parts = Attempts(tmp_path / "handover", {}, max_steps=20)
    for passes in (-1, 2.5):
        result, learner = parts.attempt(passes=passes)
        assert (result.status, result.steps, result.train_s) == (Status.PREEMPTED, 0, 0.0)
        assert not learner.optimizer.state
    assert not parts.folder.exists()


def test_who_is_asked_again_before_it_trains_keeps_what_there_was(tmp_path: Path) -> None:
    parts = Attempts(tmp_path / "handover", {}, max_steps=20)
    first, _ = parts.attempt(passes=10.5)
    second, _ = parts.attempt(passes=2.5)
    assert (second.status, second.steps, second.train_s, second.curve) == (Status.PREEMPTED, first.steps, first.train_s, first.curve)
    assert len(parts.states) == 1


def test_who_has_trained_is_not_turned_away_by_a_slower_machine(tmp_path: Path) -> None:
    parts = Attempts(tmp_path / "handover", {}, budget_s=2.0)
    parts.attempt(passes=20)
    time, learner = fakes.Virtual(), parts.learner()
    time.watch(learner.network, lambda _: 1.0)
    position = handover.load(parts.folder, learner, IDENTITY, budget_s=2.0).position
    result = fit(learner, Plan(budget_s=2.0, schedule=schedules.cosine, floor_s=99.0), time.clock(), lambda _: None, position=position)
    assert result.status is Status.OK
    assert result.steps == position.steps + 1
    assert result.lr_last == 0


def test_who_had_to_leave_when_the_budget_was_spent_owes_the_last_step(tmp_path: Path) -> None:
    """The tenth step takes twice as long as foreseen: two steps were to follow, and now there is no time for them."""
    parts = Attempts(tmp_path / "handover", {}, budget_s=1.2)
    time, learner, passes = fakes.Virtual(), parts.learner(), itertools.count()
    time.watch(learner.network, lambda _: 0.4 if next(passes) == 5 + 9 else 0.1)

    def save(position: Position) -> None:
        handover.save(parts.folder, learner, Handed(position=position, base=BASE, facts={}), IDENTITY)

    leave = Leave(asked=lambda: time.time > 1.75, save=save)
    first = fit(learner, Plan(budget_s=1.2, schedule=schedules.cosine), time.clock(), lambda _: None, leave=leave)
    assert (first.status, first.steps) == (Status.PREEMPTED, 10)
    assert first.train_s > 1.2
    last, _ = parts.attempt()
    assert (last.status, last.steps, last.lr_last) == (Status.OK, 11, 0)


def test_states_on_the_way_cost_no_training_time_and_go_on_just_the_same(tmp_path: Path) -> None:
    parts = Attempts(tmp_path / "handover", {}, budget_s=3.5)
    result, _ = parts.attempt(every_s=0.99)
    assert [state.train_s for state in parts.states] == pytest.approx([1.0, 2.0, 3.0])
    assert ended(result) == (Status.OK, 35)
    again, _ = parts.attempt()
    assert ended(again) == (Status.OK, 35)
    assert result.train_s == pytest.approx(3.5)
    assert again.train_s == pytest.approx(3.5)
    assert parts.fractions[35:] == pytest.approx([u / 35 for u in (31, 32, 33, 34, 35)])


def trained(folder: Path, **config: Value) -> None:
    assert Attempts(folder, config, max_steps=14).attempt(passes=9.5)[0].status is Status.PREEMPTED


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A state with an average; to be copied."""
    folder = tmp_path_factory.mktemp("kept") / "handover"
    trained(folder, average="on")
    return folder


def refused(folder: Path, reason: str, *, identity: Any = IDENTITY, budget_s: float = 1e9, **config: Value) -> None:
    learner, fresh = fakes.learner(seed=5, **config), fakes.learner(seed=5, **config)
    with pytest.raises(CheckpointError, match=reason):
        handover.load(folder, learner, identity, budget_s=budget_s)
    mine, theirs = everything(learner), everything(fresh)
    assert [name for name in mine if not torch.equal(mine[name], theirs[name])] == []


def replace(folder: Path, **changes: object) -> None:
    fakes.restate(folder, position=json.loads((folder / "state.json").read_text())["position"] | changes)


def retensor(folder: Path, rest: torch.Tensor) -> None:
    path = folder / "model-0.safetensors"
    weights = safetensors.torch.save({**safetensors.torch.load_file(path), "order/rest": rest})
    path.write_bytes(weights)
    fakes.restate(folder, sha256=hashlib.sha256(weights).hexdigest())


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda f: (f / "state.json").unlink(), "No such file"),
        (lambda f: (f / "model-0.safetensors").unlink(), "No such file"),
        (lambda f: (f / "state.json").write_text('{"format": 1'), "not JSON"),
        (lambda f: (f / "state.json").write_text("[" * 100_000), "not JSON"),
        (lambda f: fakes.restate(f, sha256="0" * 64), "model-0.safetensors is not the file"),
        (lambda f: (f / "model-0.safetensors").write_bytes((f / "model-0.safetensors").read_bytes()[:-9]), "not the file"),
        (lambda f: fakes.restate(f, weights="../../secret"), "accepted is model-0.safetensors or model-1"),
        (lambda f: fakes.restate(f, weights=["model-0.safetensors"]), "accepted is"),
        (lambda f: fakes.restate(f, position=None), "fields"),
        (lambda f: replace(f, u=1.0), "u of the position"),
        (lambda f: replace(f, u="0.5", steps=0), "steps, u of the position"),
        (lambda f: replace(f, train_s=float("nan")), "train_s"),
        (lambda f: replace(f, train_s=10**400), "train_s"),
        (lambda f: replace(f, valid_s=-1.0), "valid_s"),
        (lambda f: replace(f, sums=[1.0, 2.0]), "sums"),
        (lambda f: replace(f, sums=[1.0, 2.0, 3.5]), "sums"),
        (lambda f: replace(f, curve=[{"t": 1.0}]), "curve"),
        (lambda f: replace(f, curve=[{"u": "x"}]), "curve"),
        (lambda f: fakes.restate(f, base={"train_s": -1.0, "steps": 0}), "train_s"),
        (lambda f: fakes.restate(f, base=3), "train_s"),
        (lambda f: fakes.restate(f, base={"train_s": 1e9, "steps": 9}), "what it continues has used 1e\\+09 s of 1e\\+09 s"),
        (lambda f: fakes.restate(f, average=None), "average"),
        (lambda f: fakes.restate(f, average={"u": 2.0, "n": 1, "since": 0}), "average"),
        (lambda f: fakes.restate(f, facts=[]), "facts"),
        (lambda f: retensor(f, torch.tensor([390])), "positions"),
        (lambda f: retensor(f, torch.tensor([-1])), "positions"),
        (lambda f: retensor(f, torch.tensor([1.0])), "positions"),
        (lambda f: retensor(f, torch.tensor([[1]])), "positions"),
    ],
)
def test_torn_and_foreign_states_are_refused_untouched(kept: Path, tmp_path: Path, damage: Callable[[Path], Any], reason: str) -> None:
    shutil.copytree(kept, tmp_path / "handover")
    damage(tmp_path / "handover")
    refused(tmp_path / "handover", reason, average="on")


def test_another_trial_and_a_checkpoint_are_refused(tmp_path: Path) -> None:
    trained(tmp_path / "handover")
    refused(tmp_path / "handover", "differs in config", identity={**IDENTITY, "config": {"a": 2}})
    refused(tmp_path / "handover", "lacks or adds", optimizer="adamw")
    refused(tmp_path / "handover", "average or facts", average="on")
    checkpoint.save(tmp_path / "checkpoint", fakes.learner(), Used(train_s=1.0, steps=1), IDENTITY)
    refused(tmp_path / "checkpoint", "accepted is model-0")


def test_a_disk_that_refuses_leaves_the_state_before_or_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = files.write_atomic

    def full(path: Path, data: bytes | str) -> None:
        if path.name == "state.json":
            raise StorageError("No space left on device")
        real(path, data)

    parts = Attempts(tmp_path / "handover", {}, max_steps=14)
    with monkeypatch.context() as patched:
        patched.setattr(checkpoint, "write_atomic", full)
        with pytest.raises(StorageError):
            parts.attempt(passes=9.5)
    assert list(tmp_path.iterdir()) == []
    first, _ = parts.attempt(passes=9.5)
    with monkeypatch.context() as patched:
        patched.setattr(checkpoint, "write_atomic", full)
        with pytest.raises(StorageError):
            parts.attempt(passes=9.5)
    assert handover.load(parts.folder, parts.learner(), IDENTITY, budget_s=1e9).position.steps == first.steps
    second, _ = parts.attempt(passes=9.5)
    assert handover.load(parts.folder, parts.learner(), IDENTITY, budget_s=1e9).position.steps == second.steps > first.steps
    assert sorted(path.name for path in parts.folder.iterdir()) == ["model-1.safetensors", "state.json"]
