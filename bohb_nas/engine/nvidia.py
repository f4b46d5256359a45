"""The GPUs of this machine, as nvidia-smi tells them and as CUDA reads which of them a process may use."""

import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass

from bohb_nas.errors import UsageError

VISIBLE = "CUDA_VISIBLE_DEVICES"
ORDER = "CUDA_DEVICE_ORDER"
BY_BUS = "PCI_BUS_ID"
"""The order in which nvidia-smi numbers GPUs. CUDA's own, the fastest first, nobody else knows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gpu:
    """A GPU as nvidia-smi tells it."""

    uuid: str
    model: str
    memory_gib: float


def seen() -> dict[str, Gpu]:
    """Index -> the GPUs that nvidia-smi sees; empty where there is none."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return {}
    query = [tool, "--query-gpu=index,uuid,name,memory.total", "--format=csv,noheader,nounits"]
    try:
        answer = subprocess.run(query, capture_output=True, text=True, check=False, timeout=60)
    except subprocess.TimeoutExpired as e:
        raise UsageError("nvidia-smi does not answer; restart its driver, or name the GPUs in CUDA_VISIBLE_DEVICES") from e
    rows = [[cell.strip() for cell in line.split(",")] for line in answer.stdout.splitlines()] if answer.returncode == 0 else []
    told = [row + ["unknown", ""][len(row) - 2 :] for row in rows if 2 <= len(row) <= 4]
    return {index: Gpu(uuid=uuid, model=model, memory_gib=_gib(mib)) for index, uuid, model, mib in told}


def _gib(mib: str) -> float:
    return round(float(mib) / 1024, 1) if mib.replace(".", "", 1).isdecimal() else 0.0


def named(given: str, seen: Mapping[str, Gpu]) -> list[str]:
    """What CUDA makes of a list of GPUs: it ends at what is none (-1, NoDevFiles), and a UUID may be cut where it stays unique.

    A GPU that is named twice counts once, for one training is all that it takes.
    """
    found: dict[str, str] = {}
    for part in (part.strip() for part in given.split(",")):
        if not (part.isdecimal() or part.startswith(("GPU-", "MIG-"))):
            break
        meant = [gpu.uuid for index, gpu in seen.items() if index == part or gpu.uuid.startswith(part)]
        uuid = meant[0] if len(meant) == 1 else part
        found.setdefault(uuid, part if part.isdecimal() else uuid)
    return list(found.values())


def check_order(n_gpus: int) -> None:
    """Refuses numbers of GPUs that count in another order than nvidia-smi does, where there are several to be taken for each other.

    Raises:
        UsageError: they do.
    """
    order = os.environ.get(ORDER, BY_BUS)
    if order != BY_BUS and n_gpus > 1:
        raise UsageError(
            f"{ORDER} is {order!r}, in which only CUDA knows which of {n_gpus} GPUs a number means; accepted is {BY_BUS}, as if it "
            f"were not set, or UUIDs in {VISIBLE} (nvidia-smi -L)"
        )
