"""A real SLURM of one node, in a folder of its own, on a machine without systemd or cgroups."""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

DAEMONS = ("munged", "slurmctld", "slurmd")
_HELD_S = 3.0
"""A job that was requeued must not start sooner: its old credential is still being revoked, and it would fail."""

CONFIGURATION = """\
ClusterName=ci
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
CredType=cred/munge
AuthInfo=socket={folder}/run/munge.sock
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerType=sched/backfill
SchedulerParameters=batch_sched_delay=0,bf_interval=2,sched_interval=2,requeue_delay=1
PriorityType=priority/basic
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
JobRequeue=1
ReturnToService=2
KillWait=5
MinJobAge=600
InactiveLimit=0
SlurmdTimeout=30
SlurmctldTimeout=30
UnkillableStepTimeout=30
SlurmctldPort={controller_port}
SlurmdPort={node_port}
SlurmctldPidFile={folder}/run/slurmctld.pid
SlurmdPidFile={folder}/run/slurmd.pid
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldLogFile={folder}/log/slurmctld.log
SlurmdLogFile={folder}/log/slurmd.log
SlurmdParameters=config_overrides
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} RealMemory=2000 State=UNKNOWN
PartitionName=main Nodes={host} Default=YES MaxTime=INFINITE State=UP PriorityTier=1 PreemptMode=REQUEUE GraceTime=5
PartitionName=high Nodes={host} MaxTime=INFINITE State=UP PriorityTier=10 PreemptMode=OFF
"""


@dataclass(frozen=True, slots=True)
class Task:
    """A task of an array, or what waits together."""

    job: str
    """Number of the task's own job."""
    array: str
    """Number and index, such as 5_0; of what waits together, 5_[1-3]."""
    state: str
    """As squeue writes it: PENDING, RUNNING, COMPLETING, …"""
    reason: str


@dataclass(frozen=True, slots=True)
class Slurm:
    """A running SLURM."""

    folder: Path

    def command(self, *arguments: str) -> str:
        """What one of its commands prints."""
        done = subprocess.run(arguments, env=self.environment, capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode == 0, f"{arguments}: {done.stderr}"
        return done.stdout

    @property
    def environment(self) -> dict[str, str]:
        """With which its commands find it."""
        return {**os.environ, "SLURM_CONF": str(self.folder / "slurm.conf")}

    def queue(self) -> list[Task]:
        """What waits or runs."""
        rows = self.command("squeue", "-h", "-t", "all", "-o", "%A|%F_%K|%T|%r").splitlines()
        return [Task(*row.split("|")) for row in rows]

    def running(self) -> list[Task]:
        """What runs."""
        return [task for task in self.queue() if task.state == "RUNNING"]

    def requeue(self, task: Task) -> None:
        """Ends a task, which then waits to be started again."""
        self.command("scontrol", "requeue", task.array)  # the last task's own number is that of the whole array

    def release(self, task: Task) -> None:
        """Lets a task that was requeued start again at once, which SLURM would put off by two minutes."""
        wait_for(lambda: any(t.job == task.job and t.state == "PENDING" for t in self.queue()))
        time.sleep(_HELD_S)
        self.command("scontrol", "update", f"JobId={task.array}", "StartTime=now")

    def idle(self) -> bool:
        """Whether nothing waits, runs or is about to end."""
        return not [t for t in self.queue() if t.state in ("PENDING", "RUNNING", "COMPLETING")]

    def states(self, job: str) -> set[str]:
        """Of the tasks of an array."""
        return {task.state for task in self.queue() if task.array.partition("_")[0] == job}

    def clear(self) -> None:
        """Ends everything and waits until it is gone."""
        self.command("scancel", "--user", "root")
        wait_for(self.idle)


def wait_for(condition: Callable[[], object], seconds: float = 90.0) -> None:
    """Waits until something has happened."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.05)


@contextmanager
def slurm(folder: Path, *, cpus: int) -> Iterator[Slurm]:
    """Runs a SLURM with one node of so many processors, whatever this machine has."""
    missing = [name for name in DAEMONS if shutil.which(name) is None]
    if missing:
        pytest.skip(f"{', '.join(missing)} not installed; apt-get install -y --no-install-recommends slurm-wlm munge")
    if os.geteuid() != 0:
        pytest.skip("SLURM's daemons are started by root here")
    for name in ("state", "spool", "log", "run"):
        (folder / name).mkdir(mode=0o755)
    started = Slurm(folder)
    host = socket.gethostname().partition(".")[0]
    ports = _free_ports(2)
    text = CONFIGURATION.format(host=host, folder=folder, cpus=cpus, controller_port=ports[0], node_port=ports[1])
    (folder / "slurm.conf").write_text(text)
    (folder / "cgroup.conf").write_text("CgroupAutomount=no\n")
    key = folder / "munge.key"
    key.write_bytes(os.urandom(128))
    key.chmod(0o600)
    try:
        _start(started)
        yield started
    finally:
        _stop(started)


def _free_ports(n: int) -> list[int]:
    sockets = [socket.socket() for _ in range(n)]
    try:
        for s in sockets:
            s.bind(("127.0.0.1", 0))
        return [int(s.getsockname()[1]) for s in sockets]
    finally:
        for s in sockets:
            s.close()


def _start(slurm: Slurm) -> None:
    run, log, conf = slurm.folder / "run", slurm.folder / "log", str(slurm.folder / "slurm.conf")
    slurm.command(
        *("munged", "--force", f"--key-file={slurm.folder / 'munge.key'}", f"--socket={run / 'munge.sock'}"),
        *(f"--pid-file={run / 'munged.pid'}", f"--seed-file={run / 'munge.seed'}", f"--log-file={log / 'munged.log'}", "--num-threads=2"),
    )
    slurm.command("slurmctld", "-f", conf, "-L", str(log / "slurmctld.log"))
    slurm.command("slurmd", "-f", conf, "-L", str(log / "slurmd.log"))
    wait_for(lambda: "idle" in subprocess.run(["sinfo", "-h", "-o", "%T"], env=slurm.environment, capture_output=True, text=True).stdout)


def _stop(slurm: Slurm) -> None:
    subprocess.run(["scancel", "--user", "root"], env=slurm.environment, capture_output=True, check=False, timeout=60)
    deadline = time.monotonic() + 15
    while time.monotonic() < deadline and "R" in _states(slurm):
        time.sleep(0.1)
    for name in reversed(DAEMONS):
        pid = slurm.folder / "run" / f"{name}.pid"
        if pid.exists():
            subprocess.run(["kill", pid.read_text().strip()], check=False)


def _states(slurm: Slurm) -> str:
    return subprocess.run(["squeue", "-h", "-o", "%t"], env=slurm.environment, capture_output=True, text=True, check=False).stdout
