"""Which devices this machine has, and the environment that ties a process to one of them."""

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import count

from bohb_nas.errors import UsageError

_VISIBLE = "CUDA_VISIBLE_DEVICES"


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """One place to train at: a GPU, or a share of the processor."""

    name: str
    """The UUID of a GPU, or cpu0, cpu1, …: unique on its host."""
    environment: dict[str, str]
    """What a process needs to see this device and no other."""


def host() -> str:
    """The name of this machine."""
    return socket.gethostname()


def _gpus() -> list[Device]:
    """The GPUs that this process may use: those of CUDA_VISIBLE_DEVICES where it is set, else all.

    A GPU is named by its UUID wherever nvidia-smi tells it, since the same index is another GPU in another job.
    """
    uuids = _uuids()
    given = os.environ.get(_VISIBLE)
    ids = list(uuids.values()) if given is None else [part.strip() for part in given.split(",")]
    names = {i: uuids.get(i, i if i.startswith(("GPU-", "MIG-")) else f"gpu{i}") for i in ids if i not in ("", "-1")}
    return [Device(name=name, environment={_VISIBLE: i}) for i, name in names.items()]


def _uuids() -> dict[str, str]:
    """Index -> UUID of the GPUs that nvidia-smi sees; empty where there is none."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return {}
    query = [tool, "--query-gpu=index,uuid", "--format=csv,noheader"]
    try:
        answer = subprocess.run(query, capture_output=True, text=True, check=False, timeout=60)
    except subprocess.TimeoutExpired as e:
        raise UsageError("nvidia-smi does not answer; restart its driver, or name the GPUs in CUDA_VISIBLE_DEVICES") from e
    rows = [line.split(",") for line in answer.stdout.splitlines()] if answer.returncode == 0 else []
    return {row[0].strip(): row[1].strip() for row in rows if len(row) == 2}


def named_device(name: str) -> Device:
    """The device of a name.

    Raises:
        UsageError: this machine has no such device.
    """
    known = {device.name: device for device in _gpus()}
    if name in known:
        return known[name]
    if name.startswith("cpu"):
        return Device(name=name, environment={_VISIBLE: ""})
    raise UsageError(f"device {name!r} is not here; accepted are {', '.join([*known, 'cpu0', 'cpu1', '…'])}")


def local_devices(n_workers: int | None) -> list[Device]:
    """The devices for N workers on this machine: one per GPU, or equal shares of the processor where there is none.

    OMP_NUM_THREADS bounds the share of each: where others compute, threads that wait for each other cost many times what they save.

    Raises:
        UsageError: more workers than GPUs; two trainings on one device would make both budgets false.
    """
    gpus = _gpus()
    if gpus:
        n = len(gpus) if n_workers is None else n_workers
        if n > len(gpus):
            raise UsageError(
                f"--workers {n}, but this machine shows {len(gpus)} GPU(s); one worker per GPU is accepted, "
                'for workers on the processor set CUDA_VISIBLE_DEVICES=""'
            )
        return gpus[:n]
    n = 1 if n_workers is None else n_workers
    threads = min(max(1, len(os.sched_getaffinity(0)) // max(1, n)), _most_threads())
    shares = {"OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads), _VISIBLE: ""}
    return [Device(name=f"cpu{k}", environment=shares) for k in range(n)]


def candidates(name: str | None) -> Iterator[Device]:
    """What one more worker may take, in the order to try: the device of that name; or each GPU; or, without GPUs, cpu0, cpu1, … for ever.

    Raises:
        UsageError: this machine has no device of that name.
    """
    if name is not None:
        yield named_device(name)
        return
    here = local_devices(None)
    yield from here
    if here[0].name == "cpu0":
        yield from (replace(here[0], name=f"cpu{k}") for k in count(1))


def called(said: str | None) -> str:
    """The name of the device here that torch calls cpu, cuda or cuda:N; None is the first.

    Raises:
        UsageError: there are fewer.
    """
    kind, _, index = (said or "").partition(":")
    if kind == "cpu":
        return "cpu0"
    here, n = [device.name for device in local_devices(None)], int(index) if index.isdecimal() else 0
    if n >= len(here):
        raise UsageError(f"device {said!r} is not here; accepted are cpu and {', '.join(f'{kind}:{i}' for i in range(len(here)))}")
    return here[n]


def _most_threads() -> int:
    """What the environment accepts for one worker; no bound where it says nothing that counts."""
    said = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
    return int(said) if said.isdecimal() and int(said) > 0 else sys.maxsize
