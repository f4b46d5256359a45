import json
import math
import re
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import training_fakes as fakes
from ConfigSpace import Categorical, ConfigurationSpace, Constant, Float, Integer, OrdinalHyperparameter
from PIL import Image

from bohb_nas.datasets import Dataset
from bohb_nas.errors import DatasetError, OptionError
from bohb_nas.records import Result, Status
from bohb_nas.space.files import load_space
from bohb_nas.training import checkpoint, peak, schedules
from bohb_nas.training.device import Compute
from bohb_nas.training.learner import Learner, start
from bohb_nas.training.networks import Network
from bohb_nas.training.peak import Peak
from bohb_nas.workers import image_classifier
from bohb_nas.workers.image_classifier import ImageClassifier, Options, check, make


class Sealed(Dataset):
    """A data set whose test part may not be looked at."""

    def __getattribute__(self, name: str) -> Any:
        if name.startswith("test_"):
            raise AssertionError("the test part was read")
        return super().__getattribute__(name)


def sealed(n: int = 400) -> Dataset:
    whole = fakes.dataset(n)
    out = object.__new__(Sealed)
    for name in ("name", "classes", "train_images", "train_labels", "fingerprint", "skipped"):
        object.__setattr__(out, name, getattr(whole, name))
    return out


@pytest.fixture
def time() -> fakes.Virtual:
    return fakes.Virtual()


@pytest.fixture(autouse=True)
def seconds(time: fakes.Virtual, monkeypatch: pytest.MonkeyPatch) -> dict[str, float]:
    """Every forward pass takes 0.1 virtual seconds."""
    cost = {"pass": 0.1}
    real = Network.forward

    def forward(self: Network, *arguments: Any) -> torch.Tensor:
        time.time += cost["pass"]
        return real(self, *arguments)

    monkeypatch.setattr(Network, "forward", forward)
    return cost


def worker(time: fakes.Virtual, n: int = 400, **options: Any) -> ImageClassifier:
    loads: list[str] = []

    def load(reference: str, *, data_dir: Path | None = None) -> Dataset:
        loads.append(reference)
        assert len(loads) == 1, "the data set is loaded once"
        return sealed(n)

    return ImageClassifier(Options(device="cpu", precision="fp32", **options), now=time, load=load)


def run(worker: ImageClassifier, folder: Path, **trial: Any) -> Result:
    folder.mkdir()
    result = worker.train(fakes.trial(**trial), folder)
    assert Result.from_json(json.loads(json.dumps(result.to_json()))) == result
    return result


def test_a_trial_from_beginning_to_end(tmp_path: Path, time: fakes.Virtual) -> None:
    result = run(worker(time), tmp_path / "a", budget=5.0)
    assert result.status is Status.OK
    assert result.loss is not None
    assert result.loss < 0.4
    assert result.train_s == pytest.approx(5.0)
    metrics = result.metrics
    assert metrics["steps"] == 50
    assert metrics["images_per_s"] == pytest.approx(160)
    assert metrics["lr_last"] <= 0.01 * metrics["lr_peak"]
    assert metrics["n_valid"] == 39, "a tenth of each of three classes of 133 or 134"
    assert metrics["new_s"] == result.train_s
    useful = 16 * (3 * metrics["flops"] - metrics["first_flops"]) / metrics["step_s"]
    assert metrics["mfu"] == pytest.approx(useful / result.details["peak"]["flops"])
    assert metrics["efficiency"] == pytest.approx(metrics["floor_s"] / metrics["step_s"])
    assert result.details["bound"] in ("compute", "bytes", "launches")
    assert (result.details["micro_batch"], result.details["replays"], result.details["replay_refused"]) == (16, False, None)
    assert result.details["steps_ahead"] == 1
    assert result.details["compiled"] == {"used": False, "reason": "on a cpu it is done on request only", "seconds": None, "gain": None}
    assert metrics["wall_s"] == pytest.approx(sum(metrics[k] for k in ("setup_s", "warmup_s", "new_s", "valid_s")))
    assert result.details["resumed"] == {"resumed": False, "reason": "nothing to continue"}
    lines = (tmp_path / "a" / "curve.jsonl").read_text().splitlines()
    assert json.loads(lines[-1])["valid_error"] == result.loss
    with Image.open(tmp_path / "a" / "samples.png") as picture:
        assert picture.size == (8 * 8, 4 * 8)
    network = json.loads((tmp_path / "a" / "network.json").read_text())
    stem, first, second, third, _ = network["network"]["layers"]
    assert stem["shape"] == first["shape"] == [4, 8, 8]
    assert (second["shape"], third["shape"]) == ([8, 4, 4], [16, 2, 2])
    assert len(second["paths"][0]["layers"][1]["paths"]) == 2, "the second group has two branches"
    assert network["params"] == metrics["params"]


def test_the_peak_is_what_was_given(tmp_path: Path, time: fakes.Virtual) -> None:
    result = run(worker(time, peak_tflops=2.5, max_steps=8), tmp_path / "a")
    assert result.details["peak"]["flops"] == 2.5e12


def test_as_many_threads_compute_as_were_given(time: fakes.Virtual, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[int] = []
    monkeypatch.setattr(torch, "set_num_threads", given.append)
    worker(time)
    worker(time, n_threads=3)
    assert given == [3]


@pytest.mark.parametrize(("chosen", "expected"), [({}, "restarts"), ({"schedule": "linear"}, "linear")])
def test_a_configurations_own_schedule_comes_before_the_option(
    tmp_path: Path, time: fakes.Virtual, monkeypatch: pytest.MonkeyPatch, chosen: dict[str, Any], expected: str
) -> None:
    asked: list[tuple[str, int, float]] = []
    real = schedules.named

    def named(name: schedules.Name | schedules.Shape, *, rung: int, warm_up: float) -> Callable[[float], float]:
        asked.append((name, rung, warm_up))
        return real(name, rung=rung, warm_up=warm_up)

    monkeypatch.setattr(schedules, "named", named)
    run(worker(time, schedule="restarts", max_steps=8), tmp_path / "a", config={**fakes.TINY, "warm_up": 0.1, **chosen}, rung=1)
    assert asked == [(expected, 1, 0.1)]


@pytest.mark.parametrize("error", [None, MemoryError(), RuntimeError("shapes do not fit")])
def test_what_is_cached_is_given_back_however_a_training_ends(
    tmp_path: Path, time: fakes.Virtual, monkeypatch: pytest.MonkeyPatch, error: Exception | None
) -> None:
    released: list[str] = []
    trained = worker(time, max_steps=8)
    trained.resident()
    monkeypatch.setattr(Compute, "release", lambda compute: released.append(compute.name))

    def fails(*arguments: Any, **named: Any) -> Any:
        assert error is not None
        raise error

    if error is not None:
        monkeypatch.setattr(image_classifier, "fit", fails)
    with pytest.raises(RuntimeError) if isinstance(error, RuntimeError) else nullcontext():
        run(trained, tmp_path / "a")
    assert released == [trained.compute.name]


def test_other_data_than_the_study_began_with_are_not_trained_on(tmp_path: Path, time: fakes.Virtual) -> None:
    stale = worker(time, data_fingerprint="four fifths", max_steps=8)
    (tmp_path / "stale").mkdir()
    with pytest.raises(DatasetError, match="its fingerprint is thirds, the study's is four fifths"):
        stale.train(fakes.trial(), tmp_path / "stale")
    assert run(worker(time, data_fingerprint="thirds", max_steps=8), tmp_path / "same").status is Status.OK


def test_the_worker_stays_resident_and_repeats_itself_to_the_bit(tmp_path: Path, time: fakes.Virtual) -> None:
    resident = worker(time, max_steps=10)
    first, _, again = (run(resident, tmp_path / name, seed=seed) for name, seed in (("a", 3), ("b", 4), ("c", 3)))
    assert first.loss == again.loss
    assert first.metrics["train_loss"] == again.metrics["train_loss"]
    files = [(tmp_path / name / "checkpoint" / "model.safetensors").read_bytes() for name in "abc"]
    assert files[0] == files[2]
    assert files[0] != files[1]


def test_a_promoted_trial_trains_only_what_is_left(tmp_path: Path, time: fakes.Virtual) -> None:
    resident = worker(time)
    short = run(resident, tmp_path / "short", budget=3.0)
    (tmp_path / "long").mkdir()
    (tmp_path / "long" / "resume").symlink_to(tmp_path / "short" / "checkpoint")
    result = resident.train(fakes.trial(budget=9.0, rung=1, resume_from="t0"), tmp_path / "long")
    assert result.details["resumed"] == {"resumed": True, "reason": None}
    assert result.train_s == pytest.approx(9.0)
    assert result.metrics["new_s"] == pytest.approx(9.0 - short.train_s)
    assert result.metrics["lr_last"] == 0
    state = json.loads((tmp_path / "long" / "checkpoint" / "state.json").read_text())
    assert state["steps"] == short.metrics["steps"] + result.metrics["steps"], "what is behind the weights, from the beginning"


def test_a_torn_or_missing_checkpoint_means_a_fresh_start_with_its_reason(tmp_path: Path, time: fakes.Virtual) -> None:
    resident = worker(time)
    run(resident, tmp_path / "short", budget=3.0)
    weights = tmp_path / "short" / "checkpoint" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    for name, target in (("torn", tmp_path / "short" / "checkpoint"), ("gone", tmp_path / "nowhere")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "resume").symlink_to(target)
        result = resident.train(fakes.trial(budget=5.0, resume_from="t0"), tmp_path / name)
        assert result.status is Status.OK
        assert not result.details["resumed"]["resumed"]
        assert result.details["resumed"]["reason"] != "nothing to continue"
        assert result.metrics["new_s"] == result.train_s == pytest.approx(5.0)


@pytest.mark.parametrize("name", ["config", "device"])
def test_what_was_trained_otherwise_is_not_continued(tmp_path: Path, time: fakes.Virtual, name: str) -> None:
    resident = worker(time, max_steps=8)
    run(resident, tmp_path / "short", budget=3.0)
    path = tmp_path / "short" / "checkpoint" / "state.json"
    state = json.loads(path.read_text())
    del state["identity"][name]
    path.write_text(json.dumps(state))
    (tmp_path / "long").mkdir()
    (tmp_path / "long" / "resume").symlink_to(tmp_path / "short" / "checkpoint")
    result = resident.train(fakes.trial(budget=9.0, resume_from="t0"), tmp_path / "long")
    assert result.details["resumed"] == {"resumed": False, "reason": f"it differs in {name}"}


def test_what_has_had_the_whole_budget_is_not_continued(tmp_path: Path, time: fakes.Virtual) -> None:
    resident = worker(time, max_steps=8)
    short = run(resident, tmp_path / "short", budget=3.0)
    (tmp_path / "long").mkdir()
    (tmp_path / "long" / "resume").symlink_to(tmp_path / "short" / "checkpoint")
    result = resident.train(fakes.trial(budget=short.train_s, resume_from="t0"), tmp_path / "long")
    assert not result.details["resumed"]["resumed"]


def test_a_policy_file_is_for_trials_that_name_no_policy(tmp_path: Path, time: fakes.Virtual) -> None:
    path = tmp_path / "policy.json"
    path.write_text('[{"operator": "invert", "probability": 1}]')
    with_file, without = worker(time, max_steps=3, policy_file=str(path)), worker(time, max_steps=3)
    named = dict(fakes.TINY) | {"policy": "trivial", "crop": "off"}
    plain = dict(fakes.TINY) | {"policy": "none", "crop": "off"}
    for name, config in (("named", named), ("plain", plain)):
        run(with_file, tmp_path / f"{name}-with", config=config)
        run(without, tmp_path / f"{name}-without", config=config)
    pictures = {p.parent.name: np.asarray(Image.open(p)) for p in tmp_path.glob("*/samples.png")}
    np.testing.assert_array_equal(pictures["named-with"], pictures["named-without"])
    # the same images, in the order that the policy leaves
    images = {name: sorted(pictures[name].reshape(4, 8, 8, 8).swapaxes(1, 2).reshape(32, 64).tolist()) for name in pictures}
    assert images["plain-with"] == sorted((255 - np.array(images["plain-without"])).tolist())
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "resume").symlink_to(tmp_path / "plain-without" / "checkpoint")
    result = with_file.train(fakes.trial(budget=9.0, config=plain, resume_from="t0"), tmp_path / "more")
    assert result.details["resumed"] == {"resumed": False, "reason": "it differs in policy"}


@pytest.mark.parametrize(("budget", "n_valid"), [(4.999, 256), (5.0, 1080)])
def test_the_largest_budget_is_judged_on_every_image(tmp_path: Path, time: fakes.Virtual, budget: float, n_valid: int) -> None:
    # passes of 128 images take 0.1 s each: two of them fit into 5 % of the budget, nine are all of the 1080 images
    result = run(worker(time, 1200, valid_fraction=0.9, full_validation_from_s=5.0), tmp_path / "a", budget=budget)
    assert result.status is Status.OK
    assert result.metrics["n_valid"] == n_valid


def test_the_peak_is_measured_while_no_network_takes_the_memory(
    tmp_path: Path, time: fakes.Virtual, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[str] = []

    def starting(*arguments: Any, **named: Any) -> Learner:
        started.append("a network")
        return start(*arguments, **named)

    def measured(_: Compute) -> Peak:
        if started:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 256 MiB")
        return Peak(flops=1e12, bytes=1e11, launch_s=1e-5, replay_s=1e-5)

    monkeypatch.setattr(image_classifier, "start", starting)
    monkeypatch.setattr(peak, "of", measured)
    result = run(worker(time), tmp_path / "t1", budget=3.0)
    assert (result.status, result.message) == (Status.OK, None)
    assert result.details["peak"] == {"flops": 1e12, "bytes": 1e11, "launch_s": 1e-5, "replay_s": 1e-5}


def test_too_slow(tmp_path: Path, time: fakes.Virtual, seconds: dict[str, float]) -> None:
    seconds["pass"] = 1.0
    result = run(worker(time), tmp_path / "a", budget=5.0)
    assert result.status is Status.TIMED_OUT
    assert "a step takes at least 1 s" in str(result.message)
    assert "metrics_dropped" not in result.details, "figures that there are none of are not told"
    assert result.train_s == 0
    assert not (tmp_path / "a" / "checkpoint").exists()


def test_what_no_device_of_its_kind_could_train_in_time_takes_no_step(
    tmp_path: Path, time: fakes.Virtual, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(peak, "of", lambda _: Peak(flops=1e3, bytes=1e11, launch_s=1e-5, replay_s=1e-5))
    assert run(worker(time), tmp_path / "a", budget=5.0).status is Status.TIMED_OUT
    assert time.time == 0


@pytest.mark.parametrize(("min_steps", "status"), [(4, Status.OK), (8, Status.TIMED_OUT)])
def test_a_budget_of_six_steps_is_too_short_where_more_are_asked_for(
    tmp_path: Path, time: fakes.Virtual, min_steps: int, status: Status
) -> None:
    assert run(worker(time, min_steps=min_steps), tmp_path / "a", budget=0.6).status is status


def test_divergence(tmp_path: Path, time: fakes.Virtual) -> None:
    result = run(worker(time), tmp_path / "a", budget=5.0, config={**fakes.TINY, "sgd_learning_rate": 1e30})
    assert result.status is Status.DIVERGED
    assert result.loss is None
    assert 0 < result.train_s < 2


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9 GiB"),
        MemoryError(),
        RuntimeError("CUDA error: out of memory\nCUDA kernel errors might be asynchronously reported"),
        RuntimeError("CUDA driver error: out of memory"),
        RuntimeError("Triton Error [CUDA]: out of memory"),
        RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
        RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED"),
        RuntimeError("FIND was unable to find an engine to execute this computation"),
        RuntimeError("GET was unable to find an engine to execute this computation"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        RuntimeError("CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate(handle)`"),
        RuntimeError("cuDNN error: CUDNN_STATUS_NOT_INITIALIZED"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:121] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes."),
    ],
)
def test_no_memory_left(tmp_path: Path, time: fakes.Virtual, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def forward(*_: Any) -> torch.Tensor:
        raise error

    monkeypatch.setattr(Network, "forward", forward)
    result = run(worker(time), tmp_path / "a", budget=5.0)
    assert result.status is Status.OUT_OF_MEMORY
    assert "out of memory" in str(result.message)


def test_a_checkpoint_for_which_memory_does_not_suffice_costs_no_loss(
    tmp_path: Path, time: fakes.Virtual, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise MemoryError("Unable to allocate 20 MiB")

    monkeypatch.setattr(checkpoint, "write", full)
    result = run(worker(time), tmp_path / "a", budget=1.0)
    assert result.status is Status.OK
    assert result.loss is not None
    assert result.details["save_refused"] == "not kept, out of memory: Unable to allocate 20 MiB"


def test_a_network_larger_than_memory_is_not_even_built(tmp_path: Path, time: fakes.Virtual) -> None:
    largest = {f"nr_residual_blocks_{g}": 16 for g in (1, 2, 3)} | {f"res_branches_{g}": 5 for g in (1, 2, 3)}
    widest = {"initial_filters": 32, "widen_factor_1": 8.0, "widen_factor_2": 4.0, "widen_factor_3": 4.0}
    result = run(worker(time), tmp_path / "a", config=largest | widest)
    assert result.status is Status.OUT_OF_MEMORY
    assert "GiB" in str(result.message)


@pytest.mark.parametrize("said", ["shapes do not fit", "CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasSgemm(handle)`"])
def test_other_errors_are_not_swallowed(tmp_path: Path, time: fakes.Virtual, monkeypatch: pytest.MonkeyPatch, said: str) -> None:
    def forward(*_: Any) -> torch.Tensor:
        raise RuntimeError(said)

    monkeypatch.setattr(Network, "forward", forward)
    with pytest.raises(RuntimeError, match=re.escape(said)):
        run(worker(time), tmp_path / "a")


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"datasets": "digits"}, "datasets"),
        ({"dataset": None}, "dataset"),
        ({"data_dir": 3}, "data_dir"),
        ({"data_fingerprint": 3}, "data_fingerprint"),
        ({"valid_fraction": 1.0}, "valid_fraction"),
        ({"valid_fraction": 0.0}, "valid_fraction"),
        ({"split_seed": -1}, "split_seed"),
        ({"compile": True}, "compile"),
        ({"max_steps": 0}, "max_steps"),
        ({"save_every_s": 0.0}, "save_every_s"),
        ({"schedule": "linear"}, "schedule"),
        ({"precision": "fp8"}, "precision"),
        ({"min_steps": 0}, "min_steps"),
        ({"n_threads": True}, "n_threads"),
        ({"n_threads": 0}, "n_threads"),
        ({"full_validation_from_s": -1.0}, "full_validation_from_s"),
        ({"full_validation_from_s": math.nan}, "full_validation_from_s"),
        ({"full_validation_from_s": 10**400}, "full_validation_from_s"),
        ({"full_validation_from_s": "1h"}, "full_validation_from_s"),
        ({"policy_file": 3}, "policy_file"),
        ({"peak_tflops": 0}, "peak_tflops"),
        ({"peak_tflops": "fast"}, "peak_tflops"),
        ({"device": "toaster"}, "toaster"),
        ({"network": 3}, "network"),
    ],
)
def test_options_that_are_not_accepted(options: dict[str, Any], named: str) -> None:
    with pytest.raises(OptionError, match=f"{named}.*accepted"):
        make(**options)


def test_a_network_of_ones_own_is_trained(tmp_path: Path, time: fakes.Virtual) -> None:
    file = tmp_path / "mine.py"
    file.write_text(
        "from bohb_nas.layers import chain, conv_norm, Activation\n"
        "def network(config):\n    return chain(conv_norm(config['width']), Activation())\n"
    )
    result = run(worker(time, network=str(file)), tmp_path / "a", budget=5.0, config={"width": 8, "batch_size": 16})
    assert result.status is Status.OK
    assert result.metrics["params"] == 9 * 8 + 2 * 8 + 9 * 3
    network = json.loads((tmp_path / "a" / "network.json").read_text())["network"]
    assert [layer["layer"] for layer in network["layers"]] == ["chain", "activation"]


def test_a_network_that_cannot_be_is_refused_before_the_study(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text("from bohb_nas.layers import Conv, Sum\ndef network(config):\n    return Sum((Conv(8), Conv(config['width'])))\n")
    space = ConfigurationSpace()
    space.add(Integer("width", (8, 9), default=8))
    with pytest.raises(OptionError, match="paths of a Sum end in 8x32x32, 9x32x32"):
        check(space, device="cpu", network=str(file))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "cannot be read"),
        ('[{"operator": "blur", "probability": 1}]', "'blur'"),
        ('[{"operator": "invert", "probability": 0.4}, {"operator": "equalize", "probability": 0.4}]', "sum to 0.8"),
        ('[{"operator": "rotate", "probability": 1, "magnitude": [10, 270]}]', "270"),
    ],
)
def test_a_policy_file_is_checked_with_the_space(tmp_path: Path, content: str | None, said: str) -> None:
    path = tmp_path / "policy.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(OptionError, match=f"policy file .*{said}"):
        check(load_space("joint"), policy_file=str(path))


@pytest.mark.parametrize("name", ["joint", "zela2018", "cell", "mobile", "wrn"])
def test_the_spaces_for_this_worker_pass_its_check(name: str) -> None:
    check(load_space(name), device="cpu")


@pytest.mark.parametrize(
    ("hyperparameter", "refused"),
    [
        (Categorical("optimizer", ["sgd", "rmsprop"], default="sgd"), "optimizer is 'rmsprop'.*adamw"),
        (Categorical("batch_size", [32, 64, "all"], default=32), "batch_size is 'all'.*whole number"),
        (OrdinalHyperparameter("nr_residual_blocks_1", [2, 1, 0], default_value=2), "nr_residual_blocks_1 is 0"),
        (Float("label_smoothing", (0.0, 1.5), default=0.1), r"label_smoothing is 1\.5"),
        (Integer("initial_filters", (0, 8), default=8), "initial_filters is 0"),
        (Constant("flip", "sideways"), "flip is 'sideways'"),
        (Categorical("family", ["wrn", "nosuch"], default="wrn"), "nosuch"),
    ],
)
def test_a_space_with_one_value_that_means_nothing_does_not(hyperparameter: Any, refused: str) -> None:
    space = ConfigurationSpace()
    space.add(hyperparameter)
    with pytest.raises(OptionError, match=refused):
        check(space, device="cpu")


def test_digits_are_learned_in_real_seconds(tmp_path: Path) -> None:
    real = ImageClassifier(Options(dataset="digits", device="cpu", n_threads=1))
    (tmp_path / "a").mkdir()
    result = real.train(fakes.trial(budget=2.0, config={**fakes.TINY, "batch_size": 64}), tmp_path / "a")
    assert result.status is Status.OK
    assert result.loss is not None
    assert result.loss < 0.6, "chance is 0.9"
