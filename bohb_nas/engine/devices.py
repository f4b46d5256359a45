"""Which devices this machine has, and the environment that ties a process to one of them."""

import os
import shutil
import socket
import subprocess
from dataclasses import dataclass

from bohb_nas.errors import UsageError


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """One place to train at: a GPU, or a share of the processor."""

    name: str
    """gpu0, gpu1, … or cpu0, cpu1, …: unique on its host."""
    environment: dict[str, str]
    """What a process needs to see this device and no other."""


def host() -> str:
    """The name of this machine."""
    return socket.gethostname()


def visible_gpus() -> list[str]:
    """The ids of the GPUs that this process may use: CUDA_VISIBLE_DEVICES where it is set, else what nvidia-smi lists."""
    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    if given is not None:
        return [part.strip() for part in given.split(",") if part.strip() and part.strip() != "-1"]
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return []
    answer = subprocess.run([tool, "--query-gpu=uuid", "--format=csv,noheader"], capture_output=True, text=True, check=False, timeout=60)
    return answer.stdout.split() if answer.returncode == 0 else []


def local_devices(n_workers: int | None) -> list[Device]:
    """The devices for N workers on this machine: one per GPU, or equal shares of the processor where there is none.

    Raises:
        UsageError: more workers than GPUs; two trainings on one device would make both budgets false.
    """
    gpus = visible_gpus()
    if gpus:
        n = len(gpus) if n_workers is None else n_workers
        if n > len(gpus):
            raise UsageError(
                f"--workers {n}, but this machine shows {len(gpus)} GPU(s); one worker per GPU is accepted, "
                'for workers on the processor set CUDA_VISIBLE_DEVICES=""'
            )
        return [Device(name=f"gpu{k}", environment={"CUDA_VISIBLE_DEVICES": gpu}) for k, gpu in enumerate(gpus[:n])]
    n = 1 if n_workers is None else n_workers
    threads = max(1, len(os.sched_getaffinity(0)) // max(1, n))
    shares = {"OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads), "CUDA_VISIBLE_DEVICES": ""}
    return [Device(name=f"cpu{k}", environment=shares) for k in range(n)]
