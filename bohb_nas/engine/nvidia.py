"""The GPUs of this machine, as nvidia-smi tells them and as CUDA reads which of them a process may use."""

import os
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bohb_nas.errors import UsageError, end_text
from bohb_nas.training import visible

ORDER = "CUDA_DEVICE_ORDER"
BY_BUS = "PCI_BUS_ID"
"""The order in which nvidia-smi numbers GPUs. CUDA's own, the fastest first, nobody else knows."""
ANSWERED = (0, 14)
"""What nvidia-smi exits with where it told of the GPUs; 14 warns of one whose infoROM is damaged."""
_NO_GPU = (6, 9, 12)
"""… where there is none for CUDA either: none found, no driver loaded, no library of the driver."""
_HOW_TO_GO_ON = f'mend the driver, which a restart often does, name the GPUs in {visible.NAME}, or set it to "" to train on the processor'


@dataclass(frozen=True, slots=True, kw_only=True)
class Gpu:
    """A GPU as nvidia-smi tells it."""

    uuid: str
    model: str
    memory_gib: float


def seen() -> dict[str, Gpu]:
    """Index -> the GPUs that nvidia-smi sees; empty where there is none.

    Raises:
        UsageError: it does not answer, or fails otherwise than for want of a GPU, which torch may have all the same.
    """
    answer = _asked("index,uuid,name,memory.total")
    if answer is None or answer.returncode in _NO_GPU:
        return {}
    if answer.returncode not in ANSWERED:
        said = [line for line in [*answer.stdout.splitlines(), *answer.stderr.splitlines()] if line.strip() and line.count(",") != 3]
        why = (said or [end_text(answer.returncode)])[0]
        raise UsageError(f"nvidia-smi cannot tell the GPUs: {why}; {_HOW_TO_GO_ON}")
    told = [row + ["unknown", ""][len(row) - 2 :] for row in _rows(answer) if 2 <= len(row) <= 4]
    return {index: Gpu(uuid=uuid, model=model, memory_gib=_gib(mib)) for index, uuid, model, mib in told}


def computing(seen: Mapping[str, Gpu]) -> list[str]:
    """UUIDs of what CUDA computes on where nothing is named: GPUs, and the slices of each that is divided (MIG mode).

    An nvidia-smi that does not know the mode is older than what could divide a GPU; where no GPU can be divided, it says "[N/A]".

    Raises:
        UsageError: the GPUs are divided, and have no slices.
    """
    mode = _asked("index,mig.mode.current") if seen else None
    divided = {row[0] for row in _rows(mode) if row[1:] == ["Enabled"]} if mode is not None else set()
    listed = _run("-L") if divided else None
    slices = re.findall(r"\(UUID: (MIG-[^)\s]+)\)", listed.stdout) if listed is not None else []
    found = [gpu.uuid for index, gpu in seen.items() if index not in divided] + slices
    if divided and not found:
        raise UsageError(
            f"GPU {min(divided)} is in MIG mode, and `nvidia-smi -L` lists no slices of it; make slices, end the mode "
            f'(nvidia-smi -mig 0), or set {visible.NAME} to "" to train on the processor'
        )
    return found


def _asked(fields: str) -> subprocess.CompletedProcess[str] | None:
    """What nvidia-smi answers of each GPU; None where it is not here.

    Raises:
        UsageError: it does not answer.
    """
    return _run(f"--query-gpu={fields}", "--format=csv,noheader,nounits")


def _run(*arguments: str) -> subprocess.CompletedProcess[str] | None:
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return None
    try:
        return subprocess.run([tool, *arguments], capture_output=True, text=True, check=False, timeout=60)
    except subprocess.TimeoutExpired as e:
        raise UsageError(f"nvidia-smi does not answer; {_HOW_TO_GO_ON}") from e
    except OSError as e:
        raise UsageError(f"nvidia-smi cannot be run: {e.strerror}; {_HOW_TO_GO_ON}") from e


def _rows(answer: subprocess.CompletedProcess[str]) -> list[list[str]]:
    return [[cell.strip() for cell in line.split(",")] for line in answer.stdout.splitlines()]


def _gib(mib: str) -> float:
    return round(float(mib) / 1024, 1) if mib.replace(".", "", 1).isdecimal() else 0.0


def named(given: Sequence[str], seen: Mapping[str, Gpu]) -> list[str]:
    """What CUDA makes of numbers and UUIDs of GPUs: it ends at what names none, and a UUID may be cut where it stays unique.

    A GPU that is named twice counts once, for one training is all that it takes. Those of which nvidia-smi tells nothing, as parts of GPUs
    or where it is not here, count as they are given.

    Raises:
        UsageError: the first names no GPU, though there are some.
    """
    found: dict[str, str] = {}
    for part in given:
        meant = [gpu.uuid for index, gpu in seen.items() if index == part or gpu.uuid.startswith(part)]
        if len(meant) != 1 and seen and not part.startswith("MIG-"):
            break
        uuid = meant[0] if len(meant) == 1 else part
        found.setdefault(uuid, part if part.isdecimal() else uuid)
    if given and not found:
        raise UsageError(
            f"{visible.NAME} begins with {given[0]!r}, which is none of the GPUs here; accepted are "
            f'{", ".join([*seen, *(gpu.uuid for gpu in seen.values())])}, and "" to train on the processor'
        )
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
            f"were not set, or UUIDs in {visible.NAME} (nvidia-smi -L)"
        )
