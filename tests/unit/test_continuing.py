"""An image classification trial that is asked to leave, or loses its machine, and its next attempts."""

import errno
import io
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest
import torch
import training_fakes as fakes

from bohb_nas import leaving
from bohb_nas.datasets import Dataset, load_dataset
from bohb_nas.errors import StorageError
from bohb_nas.files import write_atomic
from bohb_nas.oneshot.standing import Standing
from bohb_nas.records import Result, Status
from bohb_nas.training import checkpoint, peak
from bohb_nas.training.networks import Network
from bohb_nas.training.peak import Peak
from bohb_nas.workers._continuing import Keeper
from bohb_nas.workers.image_classifier import ImageClassifier, Options


class Bench:
    """Attempts at trials; every forward pass takes 0.1 virtual seconds."""

    def __init__(self, folder: Path, **options: Any) -> None:
        self.folder, self.time = folder, fakes.Virtual()
        self.leave_at = float("inf")
        """Passes of the next attempt after which it is asked to leave."""
        self.rates: list[float] = []
        """Of all attempts, as their curves tell."""
        self.worker = ImageClassifier(Options(device="cpu", precision="fp32", **options), now=self.time, load=self.load)

    def load(self, reference: str, *, data_dir: Path | None = None) -> Dataset:
        return load_dataset(reference, data_dir=data_dir) if reference == "digits" else fakes.dataset()

    def passed(self) -> None:
        self.time.time += 0.1
        self.leave_at -= 1
        if self.leave_at < 0:
            leaving.ask()

    def attempt(self, name: str, *, leave_at: float = float("inf"), interrupted: str | None = None, **trial: Any) -> Result:
        """Attempt `name`, after the one that was interrupted; what it leaves lies in a folder of its name."""
        leaving.reset()
        self.leave_at = leave_at
        workdir = self.folder / name
        workdir.mkdir(exist_ok=True)
        if interrupted is not None:
            (workdir / "interrupted").symlink_to(self.folder / interrupted / "handover")
        result = self.worker.train(fakes.trial(**trial), workdir)
        assert Result.from_json(json.loads(json.dumps(result.to_json()))) == result
        return result

    def curve(self, name: str) -> list[dict[str, float]]:
        return [json.loads(line) for line in (self.folder / name / "curve.jsonl").read_text().splitlines()]


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    yield watched(Bench(tmp_path, dataset="thirds"), monkeypatch)
    leaving.reset()


def watched(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Bench:
    real = Network.forward

    def forward(self: Network, *arguments: Any) -> torch.Tensor:
        bench.passed()
        return real(self, *arguments)

    monkeypatch.setattr(Network, "forward", forward)
    monkeypatch.setattr(peak, "of", lambda compute: Peak(flops=1e12, bytes=1e11, launch_s=1e-5, replay_s=1e-5))
    return bench


@pytest.mark.parametrize("config", [{"optimizer": "adamw", "average": "on"}, {"optimizer": "muon"}])
def test_digits_in_three_attempts_take_the_budget_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, config: dict[str, Any]) -> None:
    bench = watched(Bench(tmp_path, dataset="digits"), monkeypatch)
    given: dict[str, Any] = {"budget": 3.0, "config": {**fakes.TINY, **config}}
    first = bench.attempt("1", leave_at=10, **given)
    second = bench.attempt("2", leave_at=12, interrupted="1", **given)
    last = bench.attempt("3", interrupted="2", **given)
    leaving.reset()
    assert [result.status for result in (first, second, last)] == [Status.PREEMPTED, Status.PREEMPTED, Status.OK]
    assert 0 < first.train_s < second.train_s < last.train_s == pytest.approx(3.0)
    assert last.metrics["new_s"] == last.train_s
    assert last.metrics["steps"] == 30
    assert last.details["attempt_s"] == pytest.approx(3.0 - second.train_s)
    assert second.details["attempt_s"] == pytest.approx(second.train_s - first.train_s)
    assert [attempt["train_s"] for attempt in last.details["earlier"]] == pytest.approx([first.train_s, second.train_s - first.train_s])
    assert last.details["interrupted"] == {"resumed": True, "reason": None}
    assert last.details["resumed"] == {"resumed": False, "reason": "nothing to continue"}
    curve = bench.curve("3")
    assert curve[: len(bench.curve("2"))] == bench.curve("2")
    assert bench.curve("2")[: len(bench.curve("1"))] == bench.curve("1")
    rates = [point["lr"] for point in curve if point["u"] > 0.06]
    assert rates == sorted(rates, reverse=True)
    assert last.metrics["lr_last"] == curve[-1]["lr"] == 0
    assert [point["u"] for point in curve] == sorted({point["u"] for point in curve})
    assert curve[-1]["t"] == pytest.approx(3.0)


def test_a_promoted_trial_that_is_interrupted_goes_on_with_its_own_budget(bench: Bench) -> None:
    short = bench.attempt("short", budget=1.0)
    (bench.folder / "1").mkdir()
    (bench.folder / "1" / "resume").symlink_to(bench.folder / "short" / "checkpoint")
    (bench.folder / "2").mkdir()
    (bench.folder / "2" / "resume").symlink_to(bench.folder / "short" / "checkpoint")
    promoted: dict[str, Any] = {"budget": 4.0, "rung": 1, "resume_from": "t0"}
    first = bench.attempt("1", leave_at=20, **promoted)
    last = bench.attempt("2", interrupted="1", **promoted)
    assert (first.status, last.status) == (Status.PREEMPTED, Status.OK)
    assert short.train_s < first.train_s < 4.0
    assert last.train_s == pytest.approx(4.0)
    assert last.metrics["new_s"] == pytest.approx(4.0 - short.train_s), "of this trial, both attempts"
    assert last.details["attempt_s"] == pytest.approx(4.0 - first.train_s)
    assert last.details["resumed"] == {"resumed": True, "reason": None}, "what the first attempt continued is behind these weights"
    assert last.metrics["lr_last"] == 0


def test_a_lost_machine_costs_what_was_trained_since_the_last_save(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = watched(Bench(tmp_path, dataset="thirds", save_every_s=0.95), monkeypatch)

    def lost() -> None:
        bench.time.time += 0.1
        if bench.time.time > 3.4:
            raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(bench, "passed", lost)
        with pytest.raises(KeyboardInterrupt):
            bench.attempt("1", budget=4.0)
    result = bench.attempt("2", interrupted="1", budget=4.0)
    assert result.status is Status.OK
    assert result.train_s == pytest.approx(4.0)
    assert result.details["attempt_s"] == pytest.approx(2.0)
    assert result.metrics["save_s"] == 0, "virtual seconds pass in forward passes only"


def test_who_is_asked_before_it_trains_leaves_nothing(bench: Bench) -> None:
    result = bench.attempt("1", leave_at=1)
    assert (result.status, result.train_s) == (Status.PREEMPTED, 0)
    assert not (bench.folder / "1" / "handover").exists()


def test_a_torn_state_means_a_fresh_start_with_its_reason(bench: Bench) -> None:
    assert bench.attempt("1", leave_at=10, budget=1.5).status is Status.PREEMPTED
    weights = bench.folder / "1" / "handover" / "model-0.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    torn = bench.attempt("2", interrupted="1", budget=1.5)
    gone = bench.attempt("3", interrupted="nowhere", budget=1.5)
    other = bench.attempt("4", interrupted="1", budget=1.5, trial_id="t2")
    assert [result.status for result in (torn, gone, other)] == [Status.OK] * 3
    assert [result.details["attempt_s"] for result in (torn, gone, other)] == pytest.approx([1.5] * 3)
    assert torn.details["interrupted"] == {"resumed": False, "reason": "model-0.safetensors is not the file that state.json describes"}
    assert "No such file" in gone.details["interrupted"]["reason"]
    assert not other.details["interrupted"]["resumed"]
    assert bench.curve("2")[0]["step"] == 1, "the curve begins anew as well"


def at(train_s: float) -> Standing:
    """Where a search stands after as many seconds."""
    return Standing(train_s=train_s, u=0.5, sums=(0.0, 0), curve=[], restored=[])


@pytest.mark.parametrize(
    ("refusal", "said"),
    [
        (StorageError("no space"), "no space"),
        (
            torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB\nmore"),
            "not kept, out of memory: CUDA out of memory. Tried to allocate 20.00 MiB",
        ),
        (MemoryError(), "not kept, out of memory: MemoryError"),
    ],
)
def test_a_state_that_is_kept_after_one_that_was_refused_leaves_nothing_to_say(refusal: Exception, said: str) -> None:
    refusals = iter([refusal, None])
    kept: list[Any] = []

    def write(where: Standing, facts: Any) -> None:
        if (refusal := next(refusals)) is not None:
            raise refusal
        kept.append((where.train_s, facts))

    told = {"resumed": {"resumed": False}, "earlier": [{"device": "gpu", "train_s": 4.0}]}
    keeper = Keeper(write, told=told, earlier_s=4.0, device="cpu")
    keeper.save(at(5.0))
    assert (keeper.refused, kept) == (said, [])
    keeper.save(at(7.0))
    earlier = [*told["earlier"], {"device": "cpu", "train_s": 3.0}]
    assert (keeper.refused, kept) == (None, [(7.0, {"resumed": {"resumed": False}, "earlier": earlier})])


def test_a_state_is_refused_whose_refusal_the_same_disk_keeps_out_of_the_log(monkeypatch: pytest.MonkeyPatch) -> None:
    class FullLog(io.StringIO):
        def write(self, text: str) -> NoReturn:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def full(where: Standing, facts: Any) -> None:
        raise StorageError("no space")

    monkeypatch.setattr(sys, "stderr", FullLog())
    keeper = Keeper(full, told={"resumed": None}, earlier_s=0.0, device="cpu")
    keeper.save(at(1.0))
    assert keeper.refused == "no space"


def test_an_error_of_another_kind_is_no_refusal() -> None:
    def write(where: Standing, facts: Any) -> None:
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    with pytest.raises(RuntimeError, match="illegal memory access"):
        Keeper(write, told={"resumed": None}, earlier_s=0.0, device="cpu").save(at(1.0))


def test_a_disk_that_refuses_a_state_costs_the_state_only(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, data: bytes | str) -> None:
        if "handover" in path.parent.name:
            raise StorageError(f"cannot write {path}: No space left on device")
        write_atomic(path, data)

    monkeypatch.setattr(checkpoint, "write_atomic", full)
    first = bench.attempt("1", leave_at=10, budget=1.5)
    assert first.status is Status.PREEMPTED
    assert "No space left" in first.details["save_refused"]
    assert list((bench.folder / "1").glob("*handover*")) == []
    assert bench.attempt("2", budget=1.5).details["save_refused"] is None
