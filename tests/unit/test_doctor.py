"""The machine's facts from probes that answer what they are told, and what is said of them."""

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import training_fakes as fakes
from click.testing import CliRunner

from bohb_nas.cli import cli
from bohb_nas.datasets import published
from bohb_nas.doctor.facts import Facts, Process, gather, on_gpu, processes, run_tool
from bohb_nas.doctor.problems import problems
from bohb_nas.doctor.references import expect, networks_for, random_images
from bohb_nas.training.peak import Peak

GIB = 2**30
HEALTHY = Facts(
    device="NVIDIA H100",
    kind="cuda",
    precision="bf16",
    memory_free_bytes=78 * GIB,
    memory_total_bytes=80 * GIB,
    torch="2.14.1",
    cuda="13.0",
    cudnn="92400",
    cuda_works=True,
    kernels_refused=None,
    given=None,
    gpus=("NVIDIA H100",),
    unseen=None,
    processes=(),
    load=20.0,
    n_threads=8,
    n_cores=16,
    data_dir=None,
    data_dir_exists=False,
    datasets={"cifar10": True},
    tmp="/scratch",
    tmp_free_bytes=50 * GIB,
)


def test_a_healthy_machine_has_no_problem() -> None:
    assert problems(HEALTHY) == []
    assert problems(replace(HEALTHY, gpus=(), given=("0",))) == [], "a search trains on what is named"
    unasked = replace(HEALTHY, kind="cpu", load=1.0, cuda_works=False, gpus=(), given=(), unseen="nvidia-smi fails; mend it")
    assert problems(unasked) == [], "whoever hides all GPUs need not know them"


@pytest.mark.parametrize(
    ("changed", "what", "remedy"),
    [
        ({"cuda_works": False, "cuda": None, "kind": "cpu", "load": 1.0}, "built without CUDA", "install a torch with CUDA"),
        ({"cuda_works": False, "kind": "cpu", "load": 1.0}, "built for CUDA 13.0, which does not work here", "driver"),
        ({"cuda_works": False, "given": (), "kind": "cpu", "load": 1.0}, "hides every GPU", "unset CUDA_VISIBLE_DEVICES"),
        ({"gpus": ()}, "nvidia-smi is not here or sees none: a search would train on the processor", "NVIDIA_DRIVER_CAPABILITIES"),
        ({"gpus": (), "unseen": "nvidia-smi fails: a; b; mend it"}, "nvidia-smi fails: a; b", "mend it"),
        ({"processes": (Process(pid=77, name="python", gpu="GPU-1"),)}, "python (pid 77)", "name a free GPU"),
        ({"precision": "fp32"}, "does not multiply bf16", "Ampere"),
        ({"kernels_refused": "Failed to find C compiler."}, "as long: Failed to find C compiler.", "install triton"),
        ({"n_threads": 17}, "17 threads on 16 usable cores", "OMP_NUM_THREADS=16"),
        ({"kind": "cpu"}, "the load is 20.0 on 16 usable cores", "let them end"),
        ({"memory_free_bytes": 20 * GIB}, "20.0 GiB of the 80.0 GiB", "end what holds it"),
        ({"data_dir": "/nowhere"}, "BOHB_NAS_DATA is '/nowhere'", "correct it"),
        ({"datasets": {"cifar10": True, "svhn": False}}, "not on this machine: svhn", "--data-dir"),
        ({"tmp_free_bytes": GIB // 2}, "0.50 GiB are free in /scratch", "TMPDIR"),
    ],
)
def test_each_fault_is_named_with_its_remedy(changed: dict[str, object], what: str, remedy: str) -> None:
    (found,) = problems(replace(HEALTHY, **changed))  # type: ignore[arg-type]
    assert what in found.what
    assert remedy in found.remedy


def smi(answers: dict[str, str]) -> Callable[[Sequence[str]], str | None]:
    """An nvidia-smi that answers by the first field that is asked for; without answers there is none."""
    return lambda command: answers.get(command[1].partition("=")[2].partition(",")[0])


def gathered(environment: dict[str, str] | None = None) -> Facts:
    return gather(
        fakes.CPU,
        environment=environment or {},
        n_cores=4,
        load=0.5,
        tmp=Path("/somewhere"),
        free_bytes=lambda folder: 7 if folder == Path("/somewhere") else 0,
    )


def install(monkeypatch: pytest.MonkeyPatch, folder: Path, script: str | None) -> None:
    """A machine with this nvidia-smi, or none."""
    if script is not None:
        (folder / "nvidia-smi").write_text(f"#!/bin/sh\n{script}\n")
        (folder / "nvidia-smi").chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))


def test_facts_of_a_machine_without_a_gpu(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    install(monkeypatch, tmp_path, None)
    found = gathered()
    assert found.gpus == ()
    assert found.processes == ()
    assert (found.given, found.unseen) == (None, None)
    assert found.precision == "fp32"
    assert found.tmp_free_bytes == 7
    assert found.n_cores == 4
    assert found.torch == torch.__version__
    assert 0 < found.memory_free_bytes <= found.memory_total_bytes


def test_facts_of_a_machine_with_gpus(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    install(monkeypatch, tmp_path, "echo 0, GPU-a, NVIDIA A100, 81920; echo 1, GPU-b, NVIDIA T4, 15360")
    found = gathered({"CUDA_VISIBLE_DEVICES": "NoDevFiles", "BOHB_NAS_DATA": str(tmp_path)})
    assert found.gpus == ("NVIDIA A100", "NVIDIA T4")
    assert found.given == ()
    assert (found.data_dir, found.data_dir_exists) == (str(tmp_path), True)


def test_a_machine_whose_nvidia_smi_fails_says_why(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    install(monkeypatch, tmp_path, "echo Driver/library version mismatch; exit 18")
    found = gathered()
    assert found.gpus == ()
    assert "Driver/library version mismatch; mend the driver" in str(found.unseen)


def test_a_machine_whose_gpu_is_to_have_slices_and_has_none_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    install(monkeypatch, tmp_path, 'case "$1" in *mig*) echo 0, Enabled;; *) echo 0, GPU-a, NVIDIA A100, 40960;; esac')
    (problem,) = [found for found in problems(gathered()) if "slices" in found.what]
    assert problem.remedy.startswith("make slices, end the mode (nvidia-smi -mig 0), or set CUDA_VISIBLE_DEVICES")
    assert gathered({"CUDA_VISIBLE_DEVICES": "MIG-a"}).unseen is None


@pytest.mark.parametrize(("code", "pids"), [(0, [12]), (14, [12]), (18, [])])
def test_processes_are_told_where_nvidia_smi_only_warns(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, code: int, pids: list[int]
) -> None:
    """By 14 it warns of a damaged infoROM."""
    install(monkeypatch, tmp_path, f"echo GPU-aa, 12, python; echo WARNING: infoROM is corrupted at gpu 0000:01:00.0; exit {code}")
    assert [p.pid for p in processes(run_tool)] == pids


def test_processes_are_told_by_their_gpu() -> None:
    found = processes(smi({"gpu_uuid": "GPU-aa, 12, /usr/bin/python3\nGPU-bb, 13, other, with a comma\n[N/A], [N/A], [N/A]\n"}))
    assert [(p.pid, p.name) for p in found] == [(12, "/usr/bin/python3"), (13, "other, with a comma")]
    assert [p.pid for p in on_gpu(found, "bb")] == [p.pid for p in on_gpu(found, "GPU-bb")] == [13]
    assert processes(smi({})) == ()


@pytest.mark.parametrize(("code", "pids"), [(0, [12]), (14, [12]), (9, [])])
def test_a_warning_of_nvidia_smi_hides_no_process(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, code: int, pids: list[int]) -> None:
    """14 is "WARNING: infoROM is corrupted", of a GPU that works (nvidia-smi's manual)."""
    said = "echo 'GPU-aa, 12, python3'; echo 'WARNING: infoROM is corrupted at gpu 0'"
    (tmp_path / "nvidia-smi").write_text(f"#!/bin/sh\n{said}; exit {code}\n")
    (tmp_path / "nvidia-smi").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert [process.pid for process in processes(run_tool)] == pids


def test_published_sets_are_here_where_a_search_finds_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache, elsewhere = tmp_path / "cache", tmp_path / "elsewhere"
    monkeypatch.setenv("BOHB_NAS_CACHE", str(cache))
    monkeypatch.setenv("BOHB_NAS_DATA", str(elsewhere))
    assert not any(published().values())
    assert "digits" not in published()
    for folder in (cache / "downloads", elsewhere):
        folder.mkdir(parents=True)
        (folder / "train_32x32.mat").touch()
    (elsewhere / "test_32x32.mat").touch()
    assert not published()["svhn"], "half of it, and whole where no search looks"
    (cache / "downloads/test_32x32.mat").touch()
    for name, root in (("cifar10", elsewhere), ("cifar100", cache / "downloads")):
        key = hashlib.sha256(str(root).encode()).hexdigest()[:16]
        (cache / "datasets" / f"{name}-{key}").mkdir(parents=True)
    assert {name for name, here in published().items() if here} == {"svhn", "cifar100"}, "cifar10 was prepared from a folder that was named"


def clock() -> Callable[[], float]:
    readings = iter(range(10**6))
    return lambda: 0.5 * next(readings)


def test_a_short_step_is_measured() -> None:
    """The clock moves by half a second a reading: two steps, at 0.5 and 1.0 s after the start, and the end at 1.5 s."""
    config = {**networks_for("cpu")["resnet20"], "batch_size": 4}
    fast = Peak(flops=1e12, bytes=1e12, launch_s=1e-6, replay_s=1e-6)
    found = expect("small", config, data=random_images(fakes.CPU), compute=fakes.CPU, peak=fast, now=clock())
    assert found.measured
    assert found.images_per_s == pytest.approx(4 / 0.75)


def test_a_long_step_is_predicted_from_its_floor() -> None:
    """WRN-28-10 has 5.243e9 multiplications, so 128 images take about 6 x 5.243e9 x 128 = 4.03e12 FLOPs."""
    slow = Peak(flops=1e12, bytes=1e15, launch_s=1e-12, replay_s=1e-12)
    found = expect("wide", networks_for("cuda")["wrn_28_10"], data=random_images(fakes.CPU), compute=fakes.CPU, peak=slow, now=clock())
    assert not found.measured
    assert found.note == "a step takes more than 1 s"
    assert found.bound == "compute"
    assert found.images_per_s == pytest.approx(128 / 4.03, rel=0.01)
    assert found.mfu == pytest.approx(1)


def test_the_command_prints_one_object_and_never_fails_for_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bohb_nas.doctor.references.LONGEST_S", 0.0)  # predicts: this machine's steps are not the point
    done = CliRunner().invoke(cli, ["doctor", "--json", "--device", "cpu"])
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert found["device"]["kind"] == "cpu"
    assert found["versions"]["torch"] == torch.__version__
    assert found["peak"]["flops"] > 0
    assert len(found["expected"]) == 3
    assert all({"what", "remedy"} == problem.keys() for problem in found["problems"])
    shown = CliRunner().invoke(cli, ["doctor", "--device", "cpu"])
    assert shown.exit_code == 0
    assert "TFLOP/s" in shown.stdout
    assert "at most, predicted" in shown.stdout


FULL = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 128.00 MiB.")
OLD = RuntimeError("CUDA error: no kernel image is available for execution on the device\nmore")


@pytest.mark.parametrize(
    ("raised", "what", "remedy"), [(FULL, "out of memory: CUDA out of memory", "end what"), (OLD, "no kernel image", "built for this GPU")]
)
def test_a_device_that_cannot_be_measured_is_a_problem(monkeypatch: pytest.MonkeyPatch, raised: Exception, what: str, remedy: str) -> None:
    def refuse(*anything: object) -> None:
        raise raised

    monkeypatch.setattr("bohb_nas.training.peak.of", refuse)
    done = CliRunner().invoke(cli, ["doctor", "--json", "--device", "cpu"])
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert (found["peak"], found["expected"]) == (None, [])
    assert what in found["problems"][0]["what"]
    assert remedy in found["problems"][0]["remedy"]
    shown = CliRunner().invoke(cli, ["doctor", "--device", "cpu"])
    assert shown.exit_code == 0
    assert "cannot be measured" in shown.stdout
    assert "images/s" not in shown.stdout


def test_a_shortage_while_kernels_are_tried_is_none_of_theirs(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(device: torch.device) -> None:
        raise FULL

    monkeypatch.setattr("bohb_nas.training.networks.own_kernels.refusal", refuse)
    assert gathered().kernels_refused is None


def test_a_gpu_that_was_given_and_cannot_be_used_is_a_problem(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    empty = torch.empty

    def ask(*size: int, **how: Any) -> torch.Tensor:
        if how.get("device") == "cuda":
            raise RuntimeError("No CUDA GPUs are available")
        return empty(*size, **how)

    install(monkeypatch, tmp_path, "echo 0, GPU-a, NVIDIA A100, 81920")
    monkeypatch.setattr(torch, "empty", ask)
    monkeypatch.setattr("bohb_nas.training.peak.of", lambda compute: Peak(flops=1e12, bytes=1e12, launch_s=1e-6, replay_s=1e-6))
    monkeypatch.setattr("bohb_nas.doctor.references.LONGEST_S", 0.0)
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda **_: None)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    done = CliRunner().invoke(cli, ["doctor", "--json"])
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert found["device"]["kind"] == "cpu"
    (said,) = [p for p in found["problems"] if "torch" in p["what"] and "GPU" in p["what"]]
    assert "cannot use the GPU that it was given (CUDA_VISIBLE_DEVICES=0): No CUDA GPUs" in said["what"]
    assert said["remedy"].startswith("install a torch with CUDA")


def test_a_device_that_is_not_there_is_misuse() -> None:
    done = CliRunner().invoke(cli, ["doctor", "--device", "cuda:99"])
    assert done.exit_code == 2
    assert "cuda:99" in done.stderr
