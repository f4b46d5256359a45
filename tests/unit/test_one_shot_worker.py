"""One-shot searches as trials: to the end, interrupted, without memory; and the other trials of their worker."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import training_fakes as fakes
from ConfigSpace import Categorical
from one_shot_fakes import Factory, Walk, fails_once_at, space

from bohb_nas import leaving
from bohb_nas.datasets import Dataset
from bohb_nas.errors import OptionError, StorageError
from bohb_nas.files import write_atomic
from bohb_nas.one_shot_settings import AutoHas, Settings
from bohb_nas.oneshot import search as searches
from bohb_nas.records import Origin, Result, Status
from bohb_nas.space.files import space_to_json
from bohb_nas.training import checkpoint
from bohb_nas.training.networks import Network, own_kernels
from bohb_nas.workers.image_classifier import ImageClassifier
from bohb_nas.workers.image_classifier import Options as TrainingOptions
from bohb_nas.workers.one_shot import OneShot, check, make, read_options


class Lost(BaseException):
    """The machine is gone."""


class Bench:
    """Attempts at searches; every step takes 0.1 virtual seconds."""

    def __init__(self, folder: Path, *, search: dict[str, Any] | None = None, walk: dict[str, Any] | None = None, **options: Any) -> None:
        self.folder, self.time = folder, fakes.Virtual()
        self.leave_at = self.lost_at = float("inf")
        """Steps of the next attempt, those before the clock included, after which it is asked to leave, or its machine is lost."""
        self.factory = Factory(self.time, on_step=self.stepped, **walk or {})
        (folder / "space.json").write_text(space_to_json(space()))
        given = {"device": "cpu", "precision": "fp32", "space_file": str(folder / "space.json"), **options}
        told = read_options({"search": search or {"method": "autohas"}, **given})
        self.worker = OneShot(told, now=self.time, load=self.load, begin=self.factory)

    def load(self, reference: str, *, data_dir: Path | None = None) -> Dataset:
        return fakes.dataset()

    def stepped(self, u: float, rest: float) -> None:
        self.leave_at -= 1
        self.lost_at -= 1
        if self.lost_at < 0:
            raise Lost
        if self.leave_at < 0:
            leaving.ask()

    def attempt(
        self, name: str, *, leave_at: float = float("inf"), lost_at: float = float("inf"), interrupted: str | None = None, **trial: Any
    ) -> Result:
        leaving.reset()
        self.leave_at, self.lost_at = leave_at, lost_at
        workdir = self.folder / name
        workdir.mkdir()
        if interrupted is not None:
            (workdir / "interrupted").symlink_to(self.folder / interrupted / "handover")
        result = self.worker.train(fakes.trial(**{"budget": 10.0, "origin": Origin.SEARCH, **trial}), workdir)
        assert Result.from_json(json.loads(json.dumps(result.to_json()))) == result
        return result

    def curve(self, name: str) -> list[dict[str, float]]:
        return [json.loads(line) for line in (self.folder / name / "curve.jsonl").read_text().splitlines()]

    def walk(self) -> Walk:
        return self.factory.made[-1]


@pytest.fixture(autouse=True)
def unasked() -> Iterator[None]:
    yield
    leaving.reset()


def same(one: Walk, other: Walk) -> bool:
    return one.state() == other.state() and all(torch.equal(tensor, other.tensors()[name]) for name, tensor in one.tensors().items())


def test_a_search_from_beginning_to_end(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    result = bench.attempt("1", seed=7)
    assert (result.status, result.loss, result.message) == (Status.OK, 0.25, None)
    assert result.config == {**fakes.TINY, "sgd_learning_rate": 0.5}
    assert result.train_s == pytest.approx(10.0)
    metrics = result.metrics
    assert (metrics["steps"], metrics["n_valid"], metrics["save_s"], metrics["setup_s"]) == (100, 40, 0, 0)
    assert metrics["new_s"] == result.train_s
    assert (metrics["warmup_s"], metrics["step_s"], metrics["step_max_s"]) == pytest.approx((0.3, 0.1, 0.1))
    assert metrics["wall_s"] == pytest.approx(10.0 + 0.3 + 0.03)
    assert metrics["params"] == sum(parameter.numel() for parameter in fakes.learner().network.parameters())
    details = result.details
    assert details["search"] == {"held": {"batch_size": "constant"}}
    assert details["resumed"] == {"resumed": False, "reason": "nothing to continue"}
    assert (details["restored"], details["ready_to_use"], details["save_refused"]) == ([], False, None)
    assert details["attempt_s"] == pytest.approx(10.0)
    assert details["device"].startswith("cpu")
    assert [point["u"] for point in details["curve"]] == [point["u"] for point in bench.curve("1")]
    assert bench.curve("1")[-1]["valid_error"] == 0.25
    assert json.loads((tmp_path / "1" / "network.json").read_text())["params"] == metrics["params"]
    assert sorted(path.name for path in (tmp_path / "1").iterdir()) == ["curve.jsonl", "network.json", "samples.png"]
    material = bench.factory.materials[0]
    assert (material.seed, material.compute.precision) == (7, "fp32")
    assert material.space == space()
    assert len(material.data.train) + len(material.data.valid) == 400


def test_a_trained_network_is_left_ready_for_use(tmp_path: Path) -> None:
    bench = Bench(tmp_path, walk={"network": True}, max_steps=5)
    result = bench.attempt("1", seed=7)
    assert result.details["ready_to_use"] is True
    program = torch.export.load(tmp_path / "1" / "model" / "model.pt2").module()
    assert program(torch.zeros(5, 1, 8, 8, dtype=torch.uint8)).shape == (5, 3)
    told = json.loads((tmp_path / "1" / "model" / "model.json").read_text())
    expected = {"dataset": "thirds", "classes": ["top", "middle", "bottom"], "seed": 7, "steps": 5, "valid_error": 0.25, "n_valid": 40}
    assert told | expected | {"config": result.config} == told


def test_a_search_in_three_attempts_is_the_undisturbed_one_to_the_bit(tmp_path: Path) -> None:
    bench = Bench(tmp_path, max_steps=100)
    whole = bench.attempt("whole")
    undisturbed = bench.walk()
    first = bench.attempt("1", leave_at=33)
    second = bench.attempt("2", leave_at=40, interrupted="1")
    last = bench.attempt("3", interrupted="2")
    assert [result.status for result in (first, second, last)] == [Status.PREEMPTED, Status.PREEMPTED, Status.OK]
    assert [result.metrics["steps"] for result in (first, second, last)] == [31, 69, 100]
    assert (first.loss, first.config, first.message) == (None, None, "asked to leave after 3.1 s of 10 s")
    assert same(bench.walk(), undisturbed)
    assert bench.walk().n == 100
    assert (last.loss, last.config) == (whole.loss, whole.config)
    whole_curve, curve = bench.curve("whole"), bench.curve("3")
    assert [point.pop("t") for point in curve] == pytest.approx([point.pop("t") for point in whole_curve])
    assert curve == whole_curve
    assert last.train_s == pytest.approx(10.0)
    assert last.details["attempt_s"] == pytest.approx(3.1)
    assert [attempt["train_s"] for attempt in last.details["earlier"]] == pytest.approx([3.1, 3.8])
    assert last.details["interrupted"] == {"resumed": True, "reason": None}


def test_all_attempts_together_take_the_budget(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.attempt("1", leave_at=50)
    last = bench.attempt("2", interrupted="1")
    assert (last.status, last.metrics["steps"]) == (Status.OK, 100)
    assert last.train_s == pytest.approx(10.0)
    assert [point["u"] for point in bench.curve("2")] == pytest.approx([n / 20 for n in range(1, 21)])


def test_a_lost_machine_costs_what_was_searched_since_the_last_save(tmp_path: Path) -> None:
    bench = Bench(tmp_path, max_steps=100, save_every_s=1.95)
    bench.attempt("whole")
    undisturbed = bench.walk()
    with pytest.raises(Lost):
        bench.attempt("1", lost_at=3 + 77)
    last = bench.attempt("2", interrupted="1")
    assert last.status is Status.OK
    assert last.details["attempt_s"] == pytest.approx(10.0 - 6.0), "saved after 20, 40 and 60 steps"
    assert same(bench.walk(), undisturbed)


def test_who_is_asked_before_it_searches_leaves_what_there_was(tmp_path: Path) -> None:
    bench = Bench(tmp_path, max_steps=100)
    at_once = bench.attempt("1", leave_at=1)
    assert (at_once.status, at_once.train_s) == (Status.PREEMPTED, 0)
    assert not (tmp_path / "1" / "handover").exists()
    first = bench.attempt("2", leave_at=33)
    again = bench.attempt("3", leave_at=1, interrupted="2")
    assert (again.status, again.train_s, again.metrics["steps"]) == (Status.PREEMPTED, first.train_s, 31)
    assert not (tmp_path / "3" / "handover").exists()


def test_a_torn_or_foreign_state_means_a_fresh_start_with_its_reason(tmp_path: Path) -> None:
    bench = Bench(tmp_path, max_steps=60)
    bench.attempt("whole")
    undisturbed = bench.walk()
    bench.attempt("1", leave_at=33)
    other = bench.attempt("2", interrupted="1", trial_id="t2")
    assert other.details["interrupted"] == {"resumed": False, "reason": "it differs in trial"}
    weights = tmp_path / "1" / "handover" / "model-0.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    torn = bench.attempt("3", interrupted="1")
    gone = bench.attempt("4", interrupted="nowhere")
    assert torn.details["interrupted"] == {"resumed": False, "reason": "model-0.safetensors is not the file that state.json describes"}
    assert "No such file" in gone.details["interrupted"]["reason"]
    for result in (other, torn, gone):
        assert (result.status, result.details["attempt_s"]) == (Status.OK, pytest.approx(6.0))
    assert same(bench.walk(), undisturbed)
    assert bench.curve("3")[0]["step"] == 3, "the curve begins anew as well"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"search": {"method": "dha"}}, "search"),
        ({"search": {"method": "autohas", "rollouts": 2}}, "search"),
        ({"split_seed": 1}, "split_seed"),
    ],
)
def test_another_search_does_not_go_on_from_it(tmp_path: Path, changes: dict[str, Any], reason: str) -> None:
    Bench(tmp_path, max_steps=60).attempt("1", leave_at=33)
    result = Bench(tmp_path, max_steps=60, **changes).attempt("2", interrupted="1")
    assert result.details["interrupted"] == {"resumed": False, "reason": f"it differs in {reason}"}


@pytest.mark.parametrize("name", ["device", "precision"])
def test_another_kind_of_device_does_not_go_on_from_it(tmp_path: Path, name: str) -> None:
    bench = Bench(tmp_path, max_steps=60)
    bench.attempt("1", leave_at=33)
    path = tmp_path / "1" / "handover" / "state.json"
    state = json.loads(path.read_text())
    del state["identity"][name]
    path.write_text(json.dumps(state))
    assert bench.attempt("2", interrupted="1").details["interrupted"]["reason"] == f"it differs in {name}"


def test_another_space_does_not_go_on_from_it(tmp_path: Path) -> None:
    bench = Bench(tmp_path, max_steps=60)
    bench.attempt("1", leave_at=33)
    larger = space()
    larger.add(Categorical("average", ["on", "off"]))
    (tmp_path / "space.json").write_text(space_to_json(larger))
    assert bench.attempt("2", interrupted="1").details["interrupted"]["reason"] == "it differs in space"


def test_a_state_that_the_search_does_not_take_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(tmp_path, max_steps=60)
    bench.attempt("whole")
    undisturbed = bench.walk()
    with monkeypatch.context() as patched:
        patched.setattr(Walk, "tensors", lambda walk: {"x": walk.x, "speed": walk.velocity})
        patched.setattr(Walk, "restore", lambda walk, tensors, state: None)
        bench.attempt("1", leave_at=33)
    result = bench.attempt("2", interrupted="1")
    assert result.details["interrupted"] == {"resumed": False, "reason": "the search does not take its state: KeyError: 'velocity'"}
    assert result.status is Status.OK
    assert same(bench.walk(), undisturbed), "nothing is left of what it had taken"


def test_a_disk_that_refuses_a_state_costs_the_state_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, data: bytes | str) -> None:
        if "handover" in path.parent.name:
            raise StorageError(f"cannot write {path}: No space left on device")
        write_atomic(path, data)

    monkeypatch.setattr(checkpoint, "write_atomic", full)
    result = Bench(tmp_path).attempt("1", leave_at=33)
    assert result.status is Status.PREEMPTED
    assert "No space left" in result.details["save_refused"]
    assert list((tmp_path / "1").glob("*handover*")) == []


def test_restorations_are_told_and_counted_over_all_attempts(tmp_path: Path) -> None:
    bench = Bench(tmp_path, walk={"fails": fails_once_at(70)}, max_steps=100)
    bench.attempt("1", leave_at=85)
    last = bench.attempt("2", interrupted="1")
    assert last.status is Status.OK
    assert last.details["restored"] == [{"step": 70, "u": pytest.approx(0.7), "loss": "nan", "to": 50}]
    assert bench.walk().disturbed == 1


def test_a_search_that_diverges_again_and_again_finds_nothing(tmp_path: Path) -> None:
    result = Bench(tmp_path, walk={"fails": lambda step, _: step > 20}, max_steps=100).attempt("1")
    assert (result.status, result.loss, result.config) == (Status.DIVERGED, None, None)
    assert len(result.details["restored"]) == 3
    assert not (tmp_path / "1" / "network.json").exists()


def test_too_short_a_budget_is_told_with_what_a_step_takes(tmp_path: Path) -> None:
    result = Bench(tmp_path).attempt("1", budget=0.5)
    assert (result.status, result.train_s, result.config) == (Status.TIMED_OUT, 0, None)
    assert "metrics_dropped" not in result.details, "a loss that there is none of is not told"
    assert result.message is not None
    assert "a step of the search takes 0.1 s" in result.message


@pytest.mark.parametrize(("min_steps", "status"), [(5, Status.OK), (6, Status.TIMED_OUT)])
def test_a_budget_of_five_steps_is_too_short_where_more_are_asked_for(tmp_path: Path, min_steps: int, status: Status) -> None:
    assert Bench(tmp_path, min_steps=min_steps).attempt("1", budget=0.5).status is status


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("CUDA out of memory. Tried to allocate"), MemoryError()])
def test_no_memory_left(tmp_path: Path, error: Exception) -> None:
    def seconds(u: float) -> float:
        raise error

    result = Bench(tmp_path, walk={"seconds": seconds}).attempt("1")
    assert (result.status, result.loss, result.details["precision"]) == (Status.OUT_OF_MEMORY, None, "fp32")
    assert result.message is not None
    assert result.message.startswith("out of memory")


def test_a_search_has_its_kernels_tried_before_there_is_a_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(device: torch.device) -> None:
        raise torch.OutOfMemoryError(f"CUDA out of memory on {device}")

    monkeypatch.setattr(own_kernels, "refusal", full)
    bench = Bench(tmp_path)
    assert bench.attempt("1").message == "out of memory: CUDA out of memory on cpu"
    assert bench.factory.made == []


def test_other_trials_are_those_of_the_image_classifier_on_the_same_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loads: list[str] = []
    real = Network.forward

    def forward(network: Network, *arguments: Any) -> torch.Tensor:
        bench.time.time += 0.1
        return real(network, *arguments)

    monkeypatch.setattr(Network, "forward", forward)

    class Counting(Bench):
        def load(self, reference: str, *, data_dir: Path | None = None) -> Dataset:
            loads.append(reference)
            return super().load(reference)

    bench = Counting(tmp_path, max_steps=4)
    assert bench.attempt("search").status is Status.OK
    result = bench.attempt("1", origin=Origin.MODEL)
    assert loads == ["cifar10"]
    (tmp_path / "2").mkdir()
    alone = ImageClassifier(TrainingOptions(device="cpu", precision="fp32", max_steps=4), now=bench.time, load=bench.load)
    expected = alone.train(fakes.trial(budget=10.0, origin=Origin.MODEL), tmp_path / "2")
    assert (result.status, result.loss, result.config) == (Status.OK, expected.loss, None)
    assert result.metrics["train_loss"] == expected.metrics["train_loss"]
    assert (tmp_path / "1" / "checkpoint").is_dir()


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({}, "search None"),
        ({"search": {"method": "enas"}}, "autohas, dha"),
        ({"search": {"method": "autohas", "rollouts": 0}}, "rollouts is 0"),
        ({"search": {"method": "dha", "speed": 1}}, "dha has no option 'speed'"),
        ({"search": {"method": "dha"}, "speed": 1}, "one_shot has no option 'speed'"),
        ({"search": {"method": "dha"}, "network": "mine.py"}, "network is 'mine.py'"),
        ({"search": {"method": "dha"}, "policy_file": "mine.json"}, "no option 'policy_file'"),
        ({"search": {"method": "dha"}, "space_file": 3}, "space_file is 3"),
        ({"search": {"method": "dha"}, "max_steps": 0}, "max_steps is 0"),
        ({"search": {"method": "dha"}, "device": "cuda:99"}, "cuda:99"),
    ],
)
def test_options_that_are_not_accepted(options: dict[str, Any], named: str) -> None:
    with pytest.raises(OptionError, match=named):
        make(**options)
    with pytest.raises(OptionError, match=named):
        check(space(), **options)


def test_no_network_of_ones_own_is_what_may_be_said() -> None:
    given = {"search": {"method": "dha"}, "device": "cpu"}
    assert read_options({**given, "network": None}) == read_options(given)


def test_the_space_is_checked_by_the_training_and_by_the_search(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Settings] = []

    def refusing(settings: Settings, space: Any) -> list[str]:
        asked.append(settings)
        if "average" in space:
            raise OptionError("nothing to search")
        return ["speed stays at 1: why"]

    monkeypatch.setattr(searches, "check", refusing)
    given: dict[str, Any] = {"search": {"method": "autohas", "rollouts": 2}, "device": "cpu", "dataset": "digits"}
    assert check(space(), **given) == ["autohas: speed stays at 1: why"]
    assert asked == [AutoHas(rollouts=2)]
    larger = space()
    larger.add(Categorical("average", ["on", "off"]))
    with pytest.raises(OptionError, match="nothing to search"):
        check(larger, **given)
    larger.add(Categorical("speed", ["high", "low"]))
    with pytest.raises(OptionError, match="speed"):
        check(larger, **given)


@pytest.mark.parametrize("given", [None, "nowhere/space.json"])
def test_a_search_without_its_space_says_so(tmp_path: Path, given: str | None) -> None:
    bench = Bench(tmp_path, space_file=given)
    with pytest.raises(OptionError, match="space_file is"):
        bench.attempt("1")
