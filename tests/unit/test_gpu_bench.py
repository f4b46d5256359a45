"""What the GPU benchmark counts and rearranges, by hand; its rehearsal runs every section that needs no CUDA."""

import json
import math
import os
import re
import subprocess
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "bench"))

import gpu  # noqa: E402
import gpu_kernels  # noqa: E402
import gpu_probes  # noqa: E402
from gpu_measure import Bench  # noqa: E402
from gpu_nets import CONFIGS, NAMES, OTHERS, cost, floor_s, learner, network  # noqa: E402
from gpu_training import Step, counted  # noqa: E402

from bohb_nas.networks import size  # noqa: E402
from bohb_nas.training.device import choose  # noqa: E402
from bohb_nas.training.recording import STEPS_BEFORE, Recording  # noqa: E402

PEAKS = ((1e12, 1e12), (1e15, 1e12), (1e17, 1e17))
SECTIONS = [
    "ceilings",
    "launches",
    "waits",
    "captures",
    "budget",
    "policies",
    "starts",
    "kernels",
    "norms",
    "depthwise",
    "steps",
    "forms",
    "data path",
    "compile",
    "branches",
]


@pytest.mark.parametrize("name", ["default", "sampled 25 %", "Shake-Shake 26 2x32d"])
def test_forward_flops_are_those_of_the_space(name: str) -> None:
    assert cost(network(name))["forward"] == size(CONFIGS[name])["flops"]


def test_cost_of_airbench96() -> None:
    first = 2 * (2 * 2 * 3) * 24 * 31 * 31
    groups = 2 * 9 * (24 * 128 * 31**2 + 2 * 128 * 128 * 15**2)
    groups += 2 * 9 * (128 * 384 * 15**2 + 2 * 384 * 384 * 7**2)
    groups += 2 * 9 * (384 * 512 * 7**2 + 2 * 512 * 512 * 3**2)
    forward = first + groups + 2 * 512 * 10
    found = cost(network("airbench96"))
    assert (found["forward"], found["train"]) == (forward, 3 * forward - first)


def test_cost_of_resnet18() -> None:
    """0.5554 billion multiplications, as is usually reported for CIFAR images, and the linear layer."""
    assert cost(network("ResNet-18"))["forward"] == pytest.approx(2 * 0.5554e9, rel=1e-3)


@pytest.mark.parametrize("name", NAMES)
def test_every_network_maps_images_to_ten_classes(name: str) -> None:
    if name in ("WRN-28-10", "sampled 99 %"):
        pytest.skip("large for a CPU")
    net = network(name).eval()
    assert net(torch.zeros(2, 3, 32, 32), net.noise(2, torch.Generator())).shape == (2, 10)


@pytest.mark.parametrize("name", OTHERS)
def test_a_network_in_plain_torch_takes_a_step(name: str) -> None:
    bench = Bench(device=torch.device("cpu"), rehearse=True, ends=math.inf)
    step = Step(learner(network(name), {"batch_size": 2}, data=gpu_kernels.resident_images(20, bench.device), compute=choose("cpu")))
    step.record(bench)
    assert step.n_steps == 4
    assert math.isfinite(step.learner.take_totals()[0])


def test_a_row_that_fails_says_why_in_its_place() -> None:
    noted: dict[str, Any] = {}
    for name, there in (("lost", {}), ("kept", {"noise": 3})):
        gpu_kernels.row(noted.__setitem__, name, lambda there=there: there["noise"])  # type: ignore[misc]
    assert noted == {"lost": "failed: KeyError: 'noise'", "kept": 3}


def test_the_floor_is_the_largest_of_three() -> None:
    price = {"train": 2e9, "elements": 1e6}
    # 100 images: 0.2 TFLOP, 2.8 GB, 50 launches
    seconds, bound = zip(*(floor_s(price, 100, 50, flops_s=flops, bytes_s=moved, launch_s=1e-6) for flops, moved in PEAKS), strict=True)
    assert seconds == pytest.approx((0.2, 2.8e-3, 5e-5))
    assert bound == ("compute", "bytes", "launches")


def test_waits_of_the_host_are_counted_at_their_places(monkeypatch: pytest.MonkeyPatch) -> None:
    """Torch warns of each wait in this mode; a processor, for which it warns of none, stands for the GPU."""
    modes: list[object] = []
    monkeypatch.setattr(torch.cuda, "set_sync_debug_mode", modes.append)
    with counted(Bench(device=torch.device("cuda"), rehearse=False, ends=math.inf)) as found:
        for _ in range(8):
            warnings.warn("called a synchronizing CUDA operation (Triggered internally at CUDAFunctions.cpp:263.)", stacklevel=1)
        warnings.warn("of something else", stacklevel=1)
    ((place, n),) = found.places().items()
    assert place.startswith("test_gpu_bench.py:")
    assert (n, modes) == (8, ["warn", "default"])


def test_its_own_length_fits_into_ten_minutes_with_what_comes_before_and_after(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half a minute for the imports and the first touch of the device, and what a section takes beyond its limit."""
    monkeypatch.setattr(sys, "argv", ["gpu.py"])
    seconds = gpu._options().seconds
    assert seconds + 30 + gpu._GRACE_S <= 600
    assert f"[--seconds {seconds:.0f}]" in str(gpu.__doc__)


def test_a_probe_that_says_much_is_read_while_another_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pipe holds 64 KiB."""
    probe, noted = tmp_path / "probe.py", dict[str, Any]()
    probe.write_text(
        "import pathlib, sys, time\n"
        "kind, mark = sys.argv[1], pathlib.Path(sys.argv[2])\n"
        "if kind == 'loud':\n    sys.stderr.write('warning ' * 30_000)\n    mark.touch()\n"
        "while not mark.exists():\n    time.sleep(0.01)\n"
        "print('[1]' if kind == 'loud' else '{\"heard\": true, \"whole\": true}')\n"
    )
    monkeypatch.setattr(gpu_probes, "__file__", str(probe))
    bench = Bench(device=torch.device("cpu"), rehearse=True, ends=time.monotonic() + 20)
    probes = {kind: (kind, str(tmp_path / "mark"), "") for kind in ("patient", "loud")}
    gpu_probes._together(bench, noted.__setitem__, probes, {})
    assert noted["patient"] == {"heard": True}


@pytest.mark.parametrize(
    ("then", "why"),
    [
        ("time.sleep(60)", "took too long"),
        ("sys.exit('no driver')", "exit code 1: ['no driver']"),
        ("print('{\"torn', end='')", "exit code 0: []"),
    ],
)
def test_a_probe_that_is_broken_off_keeps_its_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, then: str, why: str) -> None:
    probe, noted = tmp_path / "probe.py", dict[str, Any]()
    probe.write_text(f'import sys, time\nprint(\'{{"first": 1}}\')\nprint(\'{{"first": 1, "second": 2}}\', flush=True)\n{then}\n')
    monkeypatch.setattr(gpu_probes, "__file__", str(probe))
    gpu_probes.captures(Bench(device=torch.device("cpu"), rehearse=True, ends=time.monotonic() + 2), noted.__setitem__)
    assert noted == {"first": 1, "second": 2, "broken off": why}


def test_nothing_that_a_section_runs_takes_its_end_for_a_failure_of_its_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def section(bench: Bench, note: gpu_kernels.Note) -> None:
        recording = Recording(lambda work, inputs: gpu._late(0, None))
        for _ in range(STEPS_BEFORE + 1):
            recording(lambda: None)
        gpu_kernels.row(note, "not reached", lambda: recording.refused)

    found: gpu.Found = {}
    gpu._run("steps", 60.0, section, Bench(device=torch.device("cpu"), rehearse=True, ends=math.inf), found, tmp_path / "gpu.json")
    assert found["steps"].keys() == {"failed", "seconds"}
    assert "far beyond its limit of time" in found["steps"]["failed"]


@pytest.mark.slow
def test_the_rehearsal_runs_every_section(tmp_path: Path) -> None:
    out = tmp_path / "gpu.json"
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    subprocess.run([sys.executable, str(ROOT / "bench" / "gpu.py"), "--rehearse", "--out", str(out)], check=True, env=environment)
    found = json.loads(out.read_text())
    assert [name for name in SECTIONS if name not in found or re.search("failed|exit code|signal", json.dumps(found[name]))] == []
    for name, row in found["captures"].items():
        if name != "seconds":
            assert row["losses replayed"] == row["losses by Python"], name
            assert (row["a rate of 0 acts"], row["a rate of 0.1 acts"]) == (True, True), name
    for name in ("default", *OTHERS):
        assert found["steps"][f"{name} batch 4"]["images/s"] > 0


@pytest.mark.slow
def test_the_rehearsal_of_the_search_judges_its_incumbent(tmp_path: Path) -> None:
    """Dark and bright images of 8x8 are told apart by whatever trains."""
    rng = np.random.default_rng(0)
    for part, n in (("train", 30), ("test", 10)):
        for name, level in (("dark", 80), ("bright", 160)):
            folder = tmp_path / "images" / part / name
            folder.mkdir(parents=True)
            for i in range(n):
                pixels = np.clip(rng.normal(level, 30, (8, 8, 3)), 0, 255).astype(np.uint8)
                Image.fromarray(pixels).save(folder / f"{i}.png")
    command = [sys.executable, str(ROOT / "bench" / "gpu_search.py"), "--images", str(tmp_path / "images"), "--out", str(tmp_path / "out")]
    command += ["--budget", "9", "--search", "25", "--seeds", "1", "--baselines"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    record = json.loads((tmp_path / "out" / "record.json").read_text())
    (trained,) = record["trainings"]
    assert (trained["arm"], trained["status"]) == ("search", "ok")
    assert trained["test_error"] < 0.5
    assert "search" in done.stdout.splitlines()[-1]


@pytest.mark.slow
def test_without_a_gpu_it_says_what_can_be_done(tmp_path: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a GPU here")
    ended = subprocess.run(
        [sys.executable, str(ROOT / "bench" / "gpu.py"), "--out", str(tmp_path / "gpu.json")], capture_output=True, text=True
    )
    assert ended.returncode == 1
    assert "no CUDA device here; --rehearse" in ended.stderr
