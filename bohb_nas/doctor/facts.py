"""What there is on this machine: devices, memory, versions, data. What cannot be found out is None or empty."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from bohb_nas.datasets import published
from bohb_nas.engine import nvidia
from bohb_nas.errors import UsageError, out_of_memory
from bohb_nas.training import control_group, visible
from bohb_nas.training.device import Compute
from bohb_nas.training.networks import own_kernels

Tool = Callable[[Sequence[str]], str | None]
"""Runs a tool of NVIDIA's and returns what it prints, or None where there is none or it fails."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """A program that computes on a GPU."""

    pid: int
    name: str
    gpu: str
    """UUID."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """Of a machine, and of the device that a worker would train on."""

    device: str
    """In words."""
    kind: str
    """cpu, cuda, …"""
    precision: str
    """That a worker would take: bf16 where the device multiplies it."""
    memory_free_bytes: int
    memory_total_bytes: int
    torch: str
    cuda: str | None
    """Version that torch was built for."""
    cudnn: str | None
    cuda_works: bool
    """Whether torch can use a GPU."""
    kernels_refused: str | None
    """Why layers have no kernels of their own on this GPU; None where they have, need none, or there is no memory to try them."""
    given: tuple[str, ...] | None
    """GPUs that CUDA_VISIBLE_DEVICES names, none where it hides all; None where it says nothing."""
    gpus: tuple[str, ...]
    """Names of those that nvidia-smi sees."""
    unseen: str | None
    """Why it does not tell which there are; what to do comes behind the last semicolon."""
    processes: tuple[Process, ...]
    """On the device, before this one came there."""
    load: float
    """Mean number of processes that computed, or waited for that, in the last minute."""
    n_threads: int
    """Of torch on the processor."""
    n_cores: int
    """That this process may use."""
    data_dir: str | None
    """BOHB_NAS_DATA, the folder of the data that problems are made of."""
    data_dir_exists: bool
    datasets: Mapping[str, bool]
    """Published sets: whether a search that names no folder finds each here."""
    tmp: str
    tmp_free_bytes: int


def gather(
    compute: Compute,
    *,
    environment: Mapping[str, str],
    n_cores: int,
    load: float,
    tmp: Path,
    processes: tuple[Process, ...] = (),
    free_bytes: Callable[[Path], int],
) -> Facts:
    """The facts of a machine.

    Args:
        compute: the device that a worker would train on.
        environment: variables of this process.
        n_cores: that this process may use.
        load: of this machine.
        tmp: where temporary files go.
        processes: of others on the device.
        free_bytes: of the file system of a folder.
    """
    said = environment.get("BOHB_NAS_DATA") or None
    given = visible.given(environment)
    gpus, unseen = _gpus(given)
    cudnn = torch.backends.cudnn.version()  # type: ignore[no-untyped-call]
    return Facts(
        device=compute.name,
        kind=compute.device.type,
        precision=compute.precision,
        memory_free_bytes=compute.free_bytes(),
        memory_total_bytes=compute.total_bytes(),
        torch=torch.__version__,
        cuda=torch.version.cuda,
        cudnn=str(cudnn) if cudnn else None,
        cuda_works=torch.cuda.is_available(),
        kernels_refused=_kernels_refused(compute),
        given=None if given is None else tuple(given),
        gpus=gpus,
        unseen=unseen,
        processes=processes,
        load=load,
        n_threads=torch.get_num_threads(),
        n_cores=n_cores,
        data_dir=said,
        data_dir_exists=said is not None and Path(said).is_dir(),
        datasets=published(),
        tmp=str(tmp),
        tmp_free_bytes=free_bytes(tmp),
    )


def of_this_machine(compute: Compute, before: Sequence[Process]) -> Facts:
    """The facts of the machine that this process runs on.

    Args:
        compute: the device.
        before: what computed on its GPUs before this process came to the device; a container does not know itself by its number.
    """
    others: tuple[Process, ...] = ()
    if compute.device.type == "cuda":
        others = on_gpu(before, str(torch.cuda.get_device_properties(compute.device).uuid))
    return gather(
        compute,
        environment=os.environ,
        n_cores=control_group.cores(control_group.around_us(), len(os.sched_getaffinity(0))),
        load=os.getloadavg()[0],
        tmp=Path(tempfile.gettempdir()),
        processes=others,
        free_bytes=lambda folder: shutil.disk_usage(folder).free,
    )


def _gpus(given: Sequence[str] | None) -> tuple[tuple[str, ...], str | None]:
    """The names of the GPUs by which a search finds them, and why it would find out nothing."""
    try:
        seen = nvidia.seen()
        if given is None:
            nvidia.computing(seen)
        return tuple(gpu.model for gpu in seen.values()), None
    except UsageError as e:
        return (), str(e)


def _kernels_refused(compute: Compute) -> str | None:
    try:
        return own_kernels.refusal(compute.device)
    except (RuntimeError, MemoryError) as e:
        if not out_of_memory(e):
            raise
        return None


def processes(tool: Tool) -> tuple[Process, ...]:
    """What computes on GPUs of this machine."""
    rows = tool(["nvidia-smi", "--query-compute-apps=gpu_uuid,pid,process_name", "--format=csv,noheader"]) or ""
    found = []
    for row in rows.splitlines():
        gpu, _, rest = row.partition(",")
        pid, _, name = rest.partition(",")
        if pid.strip().isdigit():
            found.append(Process(pid=int(pid), name=name.strip(), gpu=gpu.strip()))
    return tuple(found)


def on_gpu(found: Sequence[Process], uuid: str) -> tuple[Process, ...]:
    """The processes on the GPU of a UUID, which some write with and some without a leading GPU-."""
    return tuple(p for p in found if p.gpu.removeprefix("GPU-") == uuid.removeprefix("GPU-"))


def run_tool(command: Sequence[str]) -> str | None:
    """What nvidia-smi prints, or None where there is none or it fails."""
    program = shutil.which(command[0])
    if program is None:
        return None
    try:
        done = subprocess.run([program, *command[1:]], capture_output=True, text=True, check=False, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode in nvidia.ANSWERED else None
