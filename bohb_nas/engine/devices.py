"""Which devices this machine has, the environment that ties a process to one of them, and the lock of whoever trains there."""

import json
import os
import platform
import socket
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import Any

import psutil

from bohb_nas.durations import counted
from bohb_nas.engine import nvidia
from bohb_nas.errors import DeviceBusyError, DeviceError, NoLocksError, UsageError
from bohb_nas.files import dump_json, write_once
from bohb_nas.locks import Lock
from bohb_nas.store.notes import read_note
from bohb_nas.store.study_dir import StudyDir
from bohb_nas.training import control_group, visible

_MOST_WORKERS = 1000
"""On the processor of one machine."""
_LOOK_S = 0.3
"""For how long cores are looked at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """One place to train at: a GPU, or a share of the processor."""

    name: str
    """The UUID of a GPU, or cpu0, cpu1, …: unique on its host."""
    environment: dict[str, str]
    """What a process needs to see this device and no other."""
    model: str = "unknown"
    """Of the GPU or the processor, as its maker calls it."""
    memory_gib: float = 0.0
    """Of the GPU, or of the machine; 0 where it is unknown."""
    n_devices: int = 1
    """GPUs that the machine shows to this process, or processor cores that it may use."""

    def about(self) -> dict[str, str | float | int]:
        """What kind of device it is, for the record: seconds on another kind are another budget."""
        return {"model": self.model, "memory_gib": self.memory_gib, "n_devices": self.n_devices}


def host() -> str:
    """The name of this machine."""
    return socket.gethostname()


def pid_space() -> str | None:
    """Where the number of a process means the same one: a boot of a machine, a container on it; None where the system does not say."""
    try:
        return f"{Path('/proc/sys/kernel/random/boot_id').read_text().strip()} {os.stat('/proc/self/ns/pid').st_ino}"
    except OSError:
        return None


def _gpus() -> list[Device]:
    """The GPUs that this process may use: those of CUDA_VISIBLE_DEVICES where it is set, else all.

    A GPU is named by its UUID wherever nvidia-smi tells it, since the same index is another GPU in another job.

    Raises:
        UsageError: nvidia-smi fails where none is given, or tells of one divided into nothing; or they are given by numbers of another
            order than its own; or the first that is given is none.
    """
    given = visible.given()
    if given == []:
        return []
    try:
        seen = nvidia.seen()
    except UsageError:
        if given is None:
            raise
        seen = {}  # what is named is taken as it is named: a worker that cannot use it says so
    if given is not None and any(part.isdecimal() for part in given):
        nvidia.check_order(len(seen))
    ids = nvidia.computing(seen) if given is None else nvidia.named(given, seen)
    by_id = seen | {gpu.uuid: gpu for gpu in seen.values()}
    found = []
    for i in ids:
        gpu = by_id.get(i) or nvidia.Gpu(uuid=i if i.startswith(("GPU-", "MIG-")) else f"gpu{i}", model="unknown", memory_gib=0.0)
        found.append(
            Device(
                name=gpu.uuid,
                environment={visible.NAME: i, nvidia.ORDER: nvidia.BY_BUS},
                model=gpu.model,
                memory_gib=gpu.memory_gib,
                n_devices=len(ids),
            ),
        )
    return found


def _cpu(k: int, environment: dict[str, str]) -> Device:
    """A share of the processor."""
    model = next((line.partition(":")[2].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")), platform.machine())
    kib = next((line.split()[1] for line in _lines("/proc/meminfo") if line.startswith("MemTotal:")), "")
    return Device(
        name=f"cpu{k}",
        environment=environment,
        model=model,
        memory_gib=round(int(kib) / 2**20, 1) if kib.isdecimal() else 0.0,
        n_devices=len(os.sched_getaffinity(0)),
    )


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text().splitlines()
    except OSError:
        return []


def named_device(name: str) -> Device:
    """The device of a name.

    Raises:
        UsageError: this machine has no such device.
    """
    if name.startswith("cpu") and (number := name.removeprefix("cpu")).isdecimal():
        return _cpu(int(number), _alone(1))
    known = {device.name: device for device in _gpus()}
    if name in known:
        return known[name]
    raise UsageError(f"device {name!r} is not here; accepted are {', '.join([*known, 'cpu0', 'cpu1', '…'])}")


def local_devices(n_workers: int | None) -> list[Device]:
    """The devices for N workers on this machine: one per GPU, or equal shares of the processor where there is none.

    Of the processor what others compute on is left to them, unless OMP_NUM_THREADS says how many threads a worker may have: where others
    compute, threads that wait for each other cost many times what they save (a step on two threads took 8 to 30 times as long as on one).

    Raises:
        UsageError: more workers than GPUs; two trainings on one device would make both budgets false. Or more than a processor could serve.
    """
    if n_workers is not None and n_workers > _MOST_WORKERS:
        raise UsageError(
            f"--workers {n_workers}: accepted are at most {_MOST_WORKERS} on one machine, one per GPU or core is usual; give fewer"
        )
    gpus = _gpus() if n_workers != 0 else []
    if gpus:
        n = len(gpus) if n_workers is None else n_workers
        if n > len(gpus):
            raise UsageError(
                f"--workers {n}, but this machine shows {counted(len(gpus), 'GPU')}; one worker per GPU is accepted, "
                'for workers on the processor set CUDA_VISIBLE_DEVICES=""'
            )
        return gpus[:n]
    n = 1 if n_workers is None else n_workers
    environment = _alone(n)
    return [_cpu(k, environment) for k in range(n)]


def threads_spared(devices: Sequence[Device]) -> str | None:
    """What a person should know where workers take fewer threads than there are cores, because others compute on these; else None."""
    threads = devices[0].environment.get("OMP_NUM_THREADS") if devices else None  # as many as each of the others
    if "OMP_NUM_THREADS" in os.environ or threads in (None, str(_share(len(devices)))):
        return None
    return (
        f"others compute on this machine: each worker takes {counted(int(threads), 'thread')} of "
        f"{_share(len(devices))} (OMP_NUM_THREADS decides otherwise), and they take from every budget"
    )


def check_kind(study: StudyDir, device: Device, *, required: bool) -> None:
    """Refuses a device of another model than that of the study's first worker, where all are to be the same.

    Raises:
        DeviceError: it is of another, or its model cannot be told.
    """
    first = read_note(study.device_json)
    if required and first and (device.model != first.get("model") or device.model == "unknown"):
        raise DeviceError(
            f"device {device.name} of {host()} is {device.model}, the first worker had {first.get('model')}: seconds on another model "
            "are another budget, and the study was started with --require-same-gpu; use the same model, or resume it with --mixed-gpus"
        )


def note_kind(study: StudyDir, device: Device) -> None:
    """Records the device of the study's first worker."""
    write_once(study.device_json, dump_json({"model": device.model, "memory_gib": device.memory_gib}) + "\n")


def own(study: StudyDir, name: str, **about: Any) -> Lock:
    """The lock of a device of this machine, in a folder of this machine where the study's has no locks: one training per device, ever.

    Args:
        study: whose workers it is kept from.
        name: of the device.
        about: what its lock says beside who holds it.

    Raises:
        DeviceBusyError: another worker holds it.
    """
    who = {"host": host(), "device": name, "pid": os.getpid(), "pid_space": pid_space(), "since": time.time()}
    text = json.dumps({**who, **about})
    path = study.worker_lock(host(), name)
    lock = Lock(path)
    try:
        taken = lock.acquire(text)
    except NoLocksError:
        lock = Lock(study.local_lock(name))
        taken = lock.acquire(text)
        if taken:
            path.write_text(text)
    if not taken:
        raise DeviceBusyError(
            f"a worker of {study.path} on {host()} owns device {name} already; one worker per device: let it end, stop it, or name another"
        )
    return lock


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
        UsageError: there are fewer, or they are numbered in another order than nvidia-smi's.
    """
    kind, _, index = (said or "").partition(":")
    if kind == "cpu":
        return "cpu0"
    gpus = _gpus()
    if visible.NAME not in os.environ:  # else its order counts
        nvidia.check_order(len(gpus))
    here, n = [device.name for device in gpus] or ["cpu0"], int(index) if index.isdecimal() else 0
    if n >= len(here):
        raise UsageError(f"device {said!r} is not here; accepted are cpu and {', '.join(f'{kind}:{i}' for i in range(len(here)))}")
    return here[n]


def _alone(n: int) -> dict[str, str]:
    """The environment of one of N workers on the processor."""
    threads = str(min(_share(n), _free_cores(n)))
    return {"OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads, visible.NAME: ""}


def _share(n: int) -> int:
    """Cores for each of N workers, at least one, of those that this process is tied to and its control groups allow."""
    return max(1, control_group.cores(control_group.around_us(), len(os.sched_getaffinity(0))) // max(1, n))


def _free_cores(n: int) -> int:
    """Threads for each of N workers that find a core, at least one: as the environment says, else cores that nobody computes on now."""
    said = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
    if said.isdecimal() and int(said) > 0:
        return int(said)
    if _share(n) == 1:
        return 1
    busy = psutil.cpu_percent(interval=_LOOK_S, percpu=True)  # waiting for a disk is idle; cpu_times_percent is wrong below a second
    idle = sum(1 - float(busy[k]) / 100 for k in os.sched_getaffinity(0) if k < len(busy))
    return max(1, round(idle) // max(1, n))
