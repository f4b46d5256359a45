import os
import sys
from itertools import islice
from pathlib import Path

import psutil
import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "bench"))

import cluster
import figures

from bohb_nas.engine.devices import called, candidates, local_devices, named_device, threads_spared
from bohb_nas.errors import UsageError
from bohb_nas.training import control_group


@pytest.fixture
def two_gpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\necho '0, GPU-aaaa, NVIDIA H100 80GB HBM3, 81559'\necho '1, GPU-bbbb, Tesla V100-SXM2-16GB, [N/A]'\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.delenv("CUDA_DEVICE_ORDER", raising=False)


def seen(n_workers: int | None = None) -> list[tuple[str, str]]:
    return [(d.name, d.environment["CUDA_VISIBLE_DEVICES"]) for d in local_devices(n_workers)]


@pytest.mark.usefixtures("two_gpus")
@pytest.mark.parametrize(
    ("given", "devices"),
    [
        (None, [("GPU-aaaa", "GPU-aaaa"), ("GPU-bbbb", "GPU-bbbb")]),
        ("1", [("GPU-bbbb", "1")]),
        ("1,0", [("GPU-bbbb", "1"), ("GPU-aaaa", "0")]),
        ("GPU-bbbb", [("GPU-bbbb", "GPU-bbbb")]),
        ("GPU-b", [("GPU-bbbb", "GPU-bbbb")]),
        ("1,1,GPU-bbbb", [("GPU-bbbb", "1")]),
        ("1,-1,0", [("GPU-bbbb", "1")]),
        ("1,7,0", [("GPU-bbbb", "1")]),
        ("1,GPU-,0", [("GPU-bbbb", "1")]),
        ("MIG-cccc,none,0", [("MIG-cccc", "MIG-cccc")]),
    ],
)
def test_a_gpu_has_one_name_however_it_is_given(monkeypatch: pytest.MonkeyPatch, given: str | None, devices: list[tuple[str, str]]) -> None:
    if given is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", given)
    assert seen() == devices


@pytest.mark.usefixtures("two_gpus")
@pytest.mark.parametrize("given", ["7", "GPU-", "GPU-cccc,0"])
def test_a_list_that_begins_with_no_gpu_of_this_machine_is_refused(monkeypatch: pytest.MonkeyPatch, given: str) -> None:
    """For CUDA it ends there: a worker would see no GPU, and train on the processor."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", given)
    with pytest.raises(UsageError, match=rf"begins with '{given.partition(',')[0]}', .*accepted are 0, 1, GPU-aaaa, GPU-bbbb, and \"\""):
        local_devices(None)


def test_what_is_given_counts_where_there_is_no_nvidia_smi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,GPU-b")
    assert seen() == [("gpu0", "0"), ("GPU-b", "GPU-b")]


def smi(monkeypatch: pytest.MonkeyPatch, folder: Path, script: str) -> None:
    """An nvidia-smi by itself, on a machine whose environment names no GPU."""
    tool = folder / "nvidia-smi"
    tool.write_text(f"#!/bin/sh\n{script}\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


@pytest.mark.parametrize(
    ("gpus", "names"), [("ab", ["GPU-a", "GPU-b"]), ("a", ["GPU-a"]), ("abc", ["GPU-a", "GPU-b"]), ("", ["cpu0", "cpu1"])]
)
def test_searches_of_benches_have_two_workers_or_as_many_as_there_are_gpus(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, gpus: str, names: list[str]
) -> None:
    smi(monkeypatch, tmp_path, "; ".join(f"echo '{k}, GPU-{gpu}, NVIDIA T4, 15360'" for k, gpu in enumerate(gpus)) or "exit 9")
    assert [place.name for place in figures.places(2)] == names


def test_the_bench_of_a_cluster_takes_no_gpu(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    smi(monkeypatch, tmp_path, "echo '0, GPU-a, NVIDIA T4, 15360'")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    found: list[str] = []
    monkeypatch.setattr(cluster, "PARTS", {"many": lambda _: found.extend(place.name for place in local_devices(cluster.N_WORKERS))})
    monkeypatch.setattr(sys, "argv", ["cluster.py", "--only", "many"])
    cluster.main()
    assert found == [f"cpu{k}" for k in range(64)]


@pytest.mark.parametrize(
    ("script", "why"),
    [
        ("echo 'Failed to initialize NVML: Driver/library version mismatch'; echo more; exit 18", "Driver/library version mismatch; mend"),
        ("echo 'Insufficient permissions' >&2; exit 4", "Insufficient permissions; mend"),
        ("exit 255", "exit code 255; mend"),
        ("echo '0, GPU-a, NVIDIA T4, 15360'; echo 'GPU 0000:3B:00.0 is lost'; exit 15", "0000:3B:00.0 is lost; mend"),
    ],
)
def test_an_nvidia_smi_that_fails_hides_no_gpu(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, script: str, why: str) -> None:
    smi(monkeypatch, tmp_path, script)
    with pytest.raises(UsageError, match=rf'cannot tell the GPUs: .*{why}.*CUDA_VISIBLE_DEVICES, or set it to "" to train'):
        local_devices(None)
    assert local_devices(0) == [], "who only leads has no GPU to find"
    for given, names in (("0,MIG-a", ["gpu0", "MIG-a"]), ("", ["cpu0"])):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", given)
        assert [d.name for d in local_devices(None)] == names, "as the sentence says"


def test_an_nvidia_smi_of_another_machine_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    smi(monkeypatch, tmp_path, "")
    (tmp_path / "nvidia-smi").write_bytes(b"\x7fELF")
    with pytest.raises(UsageError, match=r"cannot be run: Exec format error; mend the driver"):
        local_devices(None)


@pytest.mark.parametrize(
    ("script", "names"),
    [
        ("echo 'No devices were found'; exit 6", ["cpu0"]),
        ("echo 'No devices were found'", ["cpu0"]),
        ("echo 'NVIDIA-SMI has failed because it could not communicate with the NVIDIA driver.'; exit 9", ["cpu0"]),
        ("echo 'NVIDIA-SMI could not find libnvidia-ml.so in your system.'; exit 12", ["cpu0"]),
        ("echo '0, GPU-a, NVIDIA T4, 15360'; echo 'WARNING: infoROM is corrupted at gpu 0000:3B:00.0'; exit 14", ["GPU-a"]),
    ],
)
def test_what_nvidia_smi_exits_with_tells_whether_there_is_a_gpu(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, script: str, names: list[str]
) -> None:
    smi(monkeypatch, tmp_path, script)
    assert [d.name for d in local_devices(None)] == names


_MIG = """case "$1" in
*mig.mode.current*) {mode};;
-L) echo 'GPU 0: NVIDIA A100-SXM4-40GB (UUID: GPU-a)'; echo 'GPU 1: NVIDIA A100-SXM4-40GB (UUID: GPU-b)'
{slices};;
*) echo '0, GPU-a, NVIDIA A100-SXM4-40GB, 40960'; echo '1, GPU-b, NVIDIA A100-SXM4-40GB, 40960';;
esac"""
"""An nvidia-smi of two A100."""
_TWO_SLICES = """echo '  MIG 1g.5gb      Device  0: (UUID: MIG-c)'; echo '  MIG 2g.10gb     Device  1: (UUID: MIG-d)'"""


@pytest.mark.parametrize(("given", "names"), [(None, ["GPU-a", "MIG-c", "MIG-d"]), ("MIG-d", ["MIG-d"]), ("0", ["GPU-a"]), ("", ["cpu0"])])
def test_of_a_gpu_in_slices_each_slice_is_a_device(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, given: str | None, names: list[str]
) -> None:
    """CUDA gives a process one slice only, wherefore each worker is shown its own."""
    smi(monkeypatch, tmp_path, _MIG.format(mode="echo '0, Disabled'; echo '1, Enabled'", slices=_TWO_SLICES))
    if given is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", given)
    found = local_devices(None)
    assert [d.name for d in found] == names
    assert names == ["cpu0"] or [d.environment["CUDA_VISIBLE_DEVICES"] for d in found] == [given or name for name in names]


def test_gpus_in_mig_mode_without_slices_are_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    smi(monkeypatch, tmp_path, _MIG.format(mode="echo '0, Enabled'; echo '1, Enabled'", slices=""))
    with pytest.raises(UsageError, match="GPU 0 is in MIG mode, and `nvidia-smi -L` lists no slices of it; make slices"):
        local_devices(None)


@pytest.mark.parametrize(
    "mode",
    [
        "echo '0, Disabled'; echo '1, [N/A]'",
        "echo '0, [Not Supported]'; echo '1, N/A'",
        """echo 'Field "mig.mode.current" is not a valid field to query.'; exit 2""",
    ],
)
def test_gpus_without_slices_are_taken_whole(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, mode: str) -> None:
    smi(monkeypatch, tmp_path, _MIG.format(mode=mode, slices=_TWO_SLICES))
    assert [d.name for d in local_devices(None)] == ["GPU-a", "GPU-b"]


@pytest.mark.usefixtures("two_gpus")
@pytest.mark.parametrize("given", [None, "1", "GPU-bbbb"])
def test_a_worker_counts_gpus_as_nvidia_smi_does(monkeypatch: pytest.MonkeyPatch, given: str | None) -> None:
    if given is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", given)
    assert {device.environment["CUDA_DEVICE_ORDER"] for device in local_devices(None)} == {"PCI_BUS_ID"}


@pytest.mark.usefixtures("two_gpus")
def test_numbers_that_count_the_fastest_first_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """UUIDs mean the same in every order, and what is listed in CUDA_VISIBLE_DEVICES is numbered as it is listed there."""
    monkeypatch.setenv("CUDA_DEVICE_ORDER", "FASTEST_FIRST")
    assert seen() == [("GPU-aaaa", "GPU-aaaa"), ("GPU-bbbb", "GPU-bbbb")]
    assert named_device("cpu1").name == "cpu1", "which has no order"
    with pytest.raises(UsageError, match=r"CUDA_DEVICE_ORDER is 'FASTEST_FIRST'.*of 2 GPUs.*accepted is PCI_BUS_ID"):
        called("cuda:1")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-bbbb,GPU-aaaa")
    assert called("cuda:1") == "GPU-aaaa"
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-bbbb,0")
    with pytest.raises(UsageError, match="FASTEST_FIRST"):
        local_devices(None)
    monkeypatch.setenv("CUDA_DEVICE_ORDER", "PCI_BUS_ID")
    assert [name for name, _ in seen()] == ["GPU-bbbb", "GPU-aaaa"]


@pytest.mark.usefixtures("two_gpus")
@pytest.mark.parametrize("given", ["NoDevFiles", "-1,0", "none"])
def test_what_cuda_takes_for_no_gpu_is_none(monkeypatch: pytest.MonkeyPatch, given: str) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", given)
    assert [d.name for d in local_devices(1)] == ["cpu0"]


@pytest.mark.usefixtures("two_gpus")
def test_never_two_workers_on_a_gpu() -> None:
    assert len(local_devices(1)) == 1
    with pytest.raises(UsageError, match=r"--workers 3.*2 GPU"):
        local_devices(3)


def idle(monkeypatch: pytest.MonkeyPatch, *percent: float) -> None:
    """A machine with so many cores, idle so much of the time, of which nobody says how many threads are allowed."""
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(len(percent))))
    monkeypatch.setattr(control_group, "around_us", list)
    monkeypatch.setattr(psutil, "cpu_percent", lambda interval, percpu: [100 - one for one in percent])


@pytest.mark.usefixtures("two_gpus")
def test_without_gpus_the_processor_is_shared_evenly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    idle(monkeypatch, *[100.0] * 8)
    assert seen() == [("cpu0", "")]
    assert [d.environment["OMP_NUM_THREADS"] for d in local_devices(2)] == ["4", "4"]
    assert [d.environment["OMP_NUM_THREADS"] for d in local_devices(16)] == ["1"] * 16
    assert local_devices(0) == []
    assert threads_spared(local_devices(2)) is None
    assert named_device("cpu3").environment["OMP_NUM_THREADS"] == "8"


@pytest.mark.usefixtures("two_gpus")
def test_a_container_shares_what_it_may_use(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Three cores' worth of eight."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    idle(monkeypatch, *[100.0] * 8)
    (tmp_path / "cpu.max").write_text("300000 100000\n")
    monkeypatch.setattr(control_group, "around_us", lambda: [tmp_path])
    assert [[d.environment["OMP_NUM_THREADS"] for d in local_devices(n)] for n in (1, 2)] == [["3"], ["1", "1"]]


@pytest.mark.usefixtures("two_gpus")
@pytest.mark.parametrize(
    ("free", "n_workers", "threads"),
    [((95, 99, 2, 1), 1, "2"), ((0, 1, 2, 3), 1, "1"), ((95, 99, 2, 99), 2, "1"), ((40, 40, 40, 40), 1, "2")],
)
def test_cores_on_which_others_compute_are_left_to_them(
    monkeypatch: pytest.MonkeyPatch, free: tuple[float, ...], n_workers: int, threads: str
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    idle(monkeypatch, *free)
    here = local_devices(n_workers)
    assert {d.environment["OMP_NUM_THREADS"] for d in here} == {threads}
    assert str(threads_spared(here)).startswith(f"others compute on this machine: each worker takes {threads} thread")
    monkeypatch.setenv("OMP_NUM_THREADS", "4")
    assert {d.environment["OMP_NUM_THREADS"] for d in local_devices(n_workers)} == {str(4 // n_workers)}, "who says it decides"
    assert threads_spared(here) is None


@pytest.mark.usefixtures("two_gpus")
@pytest.mark.parametrize(("said", "threads"), [("1", "1"), ("3,2", "3"), ("16", "4"), ("", "4"), ("0", "4"), ("many", "4")])
def test_fewer_threads_are_taken_where_the_environment_says_so(monkeypatch: pytest.MonkeyPatch, said: str, threads: str) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    idle(monkeypatch, *[100.0] * 8)
    monkeypatch.setenv("OMP_NUM_THREADS", said)
    assert [(d.environment["OMP_NUM_THREADS"], d.environment["MKL_NUM_THREADS"]) for d in local_devices(2)] == [(threads, threads)] * 2


@pytest.mark.usefixtures("two_gpus")
def test_what_torch_calls_a_device_has_the_name_that_workers_lock() -> None:
    assert [called(said) for said in (None, "cuda", "cuda:0", "cuda:1", "cpu")] == ["GPU-aaaa", "GPU-aaaa", "GPU-aaaa", "GPU-bbbb", "cpu0"]
    with pytest.raises(UsageError, match=r"'cuda:2' is not here; accepted are cpu and cuda:0, cuda:1"):
        called("cuda:2")


@pytest.mark.usefixtures("two_gpus")
def test_one_more_worker_tries_the_gpus_and_no_more_or_any_share_of_the_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    assert [d.name for d in candidates(None)] == ["GPU-aaaa", "GPU-bbbb"]
    assert [d.name for d in candidates("GPU-bbbb")] == ["GPU-bbbb"]
    assert [d.name for d in candidates("cpu7")] == ["cpu7"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    many = list(islice(candidates(None), 40))
    assert [d.name for d in many] == [f"cpu{k}" for k in range(40)]
    assert {d.environment["CUDA_VISIBLE_DEVICES"] for d in many} == {""}


@pytest.mark.usefixtures("two_gpus")
def test_a_device_says_of_what_kind_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    assert [d.about() for d in local_devices(None)] == [
        {"model": "NVIDIA H100 80GB HBM3", "memory_gib": 79.6, "n_devices": 2},
        {"model": "Tesla V100-SXM2-16GB", "memory_gib": 0.0, "n_devices": 2},
    ]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    assert [d.about() for d in local_devices(None)] == [{"model": "Tesla V100-SXM2-16GB", "memory_gib": 0.0, "n_devices": 1}]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)))
    processor = local_devices(None)[0]
    assert processor.n_devices == 8
    assert processor.model
    total_kib = next(int(line.split()[1]) for line in Path("/proc/meminfo").read_text().splitlines() if line.startswith("MemTotal"))
    assert processor.memory_gib == pytest.approx(total_kib / 1024**2, abs=0.05)


@pytest.mark.parametrize("name", ["cpu", "cpux", "gpu0", "../cpu0", ""])
def test_what_is_no_device_is_refused(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    with pytest.raises(UsageError, match="accepted are cpu0, cpu1"):
        named_device(name)
