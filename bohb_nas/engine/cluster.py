"""What both sides of a cluster share: settings of dask.distributed, mutual TLS, and where to listen.

Nothing listens in plain. A process takes part when it holds the study's key, which lies in the study directory under mode 0600.
"""

import ipaddress
import json
import logging
import os
import socket
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import dask.config
import psutil
from distributed.security import Security
from distributed.utils import get_ip

from bohb_nas.engine.devices import host
from bohb_nas.errors import BohbNasError, StorageError, UsageError
from bohb_nas.files import FULL, write_atomic
from bohb_nas.store.notes import read_note, whole
from bohb_nas.store.study_dir import StudyDir

_SETTINGS: dict[str, Any] = {
    "distributed.comm.require-encryption": True,
    "distributed.comm.timeouts.connect": "5s",
    "distributed.comm.retry.count": 0,
    "distributed.scheduler.work-stealing": False,
    "distributed.scheduler.worker-saturation": 1.0,
    "distributed.scheduler.allowed-failures": 0,  # the master counts the deaths itself
    "distributed.scheduler.worker-ttl": "60s",
    # for clusters of the user's own, which may end when they have nothing to do, or load modules that are not here
    "distributed.scheduler.idle-timeout": None,
    "distributed.scheduler.no-workers-timeout": None,
    "distributed.scheduler.contact-address": None,
    "distributed.scheduler.blocked-handlers": [],
    "distributed.scheduler.active-memory-manager.start": False,
    "distributed.scheduler.preload": [],
    "distributed.worker.preload": [],
    "distributed.client.preload": [],
    "distributed.worker.blocked-handlers": [],
    "distributed.worker.lifetime.duration": None,
    "distributed.scheduler.http.routes": [],
    "distributed.worker.http.routes": [],
    "distributed.worker.profile.enabled": False,
    "distributed.worker.daemon": False,
    "distributed.worker.memory.target": False,
    "distributed.worker.memory.spill": False,
    "distributed.worker.memory.pause": False,
    "distributed.worker.memory.terminate": False,
    "distributed.admin.system-monitor.interval": "10s",
}


LOOPBACK = "127.0.0.1"
_SAID_S = 10.0
"""Between two times that a leader writes into its address, by which the next one knows until when it led."""
_FULL_S = 60.0
"""For which a disk may have no room for its address before a leader ends: until then somebody may make room."""
_FAMILIES = (socket.AF_INET, socket.AF_INET6)


def security(study: StudyDir) -> Security:
    """The credentials of every role: one key for all, held by whoever may read the study.

    They are handed over by content: a path with a newline in it would be taken for the content itself.

    Raises:
        OSError: they cannot be read.
    """
    key, cert = (path.read_text() for path in study.credentials)
    roles = {f"tls_{role}_{part}": text for role in ("scheduler", "worker", "client") for part, text in (("key", key), ("cert", cert))}
    return Security(require_encryption=True, tls_ca_file=cert, **roles)


def tried_security(study: StudyDir) -> Security:
    """The same, with which TLS can begin: for that they are written into a folder for temporary files.

    Raises:
        BohbNasError: it cannot.
    """
    try:
        credentials = security(study)
        credentials.get_connection_args("scheduler")
    except OSError as e:
        raise BohbNasError(
            f"TLS cannot begin with {study.tls}: {e}; restore access to that folder, see to it that there is room in the one for "
            "temporary files (TMPDIR names another), then run the same command again"
        ) from e
    return credentials


def configure() -> None:
    """Sets dask up in this process and keeps its routine messages out of the terminal."""
    dask.config.set(_SETTINGS)
    for name in ("distributed", "distributed.core", "distributed.scheduler", "distributed.worker", "distributed.nanny", "distributed.comm"):
        logging.getLogger(name).setLevel(logging.CRITICAL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Leader:
    """Where a master said that it can be reached."""

    address: str
    """tls://IP:PORT."""
    term: int
    host: str
    """The name of its machine."""
    pid: int | None = None
    """The number of its process."""

    @property
    def ip(self) -> str:
        """Of the address."""
        return urlsplit(self.address).hostname or ""

    @property
    def reachable(self) -> bool:
        """Whether a process of this machine can try: on loopback only those of the master's own."""
        return self.host == host() or not is_loopback(self.ip)


class Address:
    """Where a leader can be reached, said in its study for as long as it leads.

    Args:
        study: that it leads.
        address: tls://IP:PORT.
        term: of the leader.
    """

    def __init__(self, study: StudyDir, address: str, term: int) -> None:
        self._study, self._address, self._term = study, address, term
        self._full_since: float | None = None
        """Since when the disk has had no room for the address."""
        self._publish()

    def live(self) -> None:
        """Says that the leader lives.

        Raises:
            StorageError: the disk has been full for a minute. Workers cannot store what they finish, nor say so, and wait for room.
        """
        path = self._study.scheduler_json
        with suppress(OSError):
            if time.monotonic() - self._said < _SAID_S and os.path.exists(path):
                os.utime(path)
                return
            try:
                self._publish()
                self._full_since = None
            except StorageError as e:
                self._heed(e)

    def _heed(self, refusal: StorageError) -> None:
        """Passes on that a disk stays full; of one that does not answer for a while those speak whose writes count."""
        if not isinstance(refusal.__cause__, OSError) or refusal.__cause__.errno not in FULL:
            return
        now = time.monotonic()
        self._full_since = now if self._full_since is None else self._full_since
        if now - self._full_since >= _FULL_S:
            raise refusal

    def withdraw(self) -> None:
        """Takes the address away at the leader's end, unless it is another's by now, and keeps when that was."""
        path, leader = self._study.scheduler_json, published(self._study.scheduler_json)
        if leader is None or (leader.term, leader.address) != (self._term, self._address):
            return
        with suppress(OSError, StorageError):  # a disk that refuses leaves the address, and when it was last said
            os.replace(path, self._study.last_led)
            write_atomic(self._study.last_led, json.dumps({"term": self._term, "time": time.time()}) + "\n")

    def _publish(self) -> None:
        """Says where the leader can be reached, and when it said so."""
        self._said = time.monotonic()
        note = {"address": self._address, "term": self._term, "pid": os.getpid(), "host": host(), "time": time.time()}
        write_atomic(self._study.scheduler_json, json.dumps(note) + "\n")


def published(path: Path) -> Leader | None:
    """Where the leader said it can be reached, or None."""
    try:
        said = read_note(path)
        leader = Leader(address=said["address"], term=int(said["term"]), host=str(said.get("host", "")), pid=whole(said, "pid"))
        return leader if leader.address.startswith("tls://") and leader.ip else None
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError):
        return None


def listening_ip(where: str) -> str:
    """The address at which a master listens.

    Args:
        where: "loopback" for this machine alone; "host" for the address by which other machines know this one; the name of a
            network interface; or one of this machine's addresses.

    Raises:
        UsageError: there is no such interface or address here, or this machine has none that others could reach.
    """
    if where == "loopback":
        return LOOPBACK
    if where == "host":
        return _known_ip()
    here: dict[str, list[str]] = {
        name: [a.address for a in found if a.family in _FAMILIES] for name, found in psutil.net_if_addrs().items()
    }
    if where in here:
        if not here[where]:
            raise UsageError(f"--listen {where}: this interface has no address; it can carry nothing")
        return min(here[where], key=lambda address: ":" in address)  # IPv4 where it has both
    if any(where in addresses for addresses in here.values()):
        return where
    listed = ", ".join(f"{name} ({', '.join(addresses)})" for name, addresses in here.items() if addresses)
    raise UsageError(f"--listen {where!r}: accepted are loopback, host, or an interface of {socket.gethostname()} or its address: {listed}")


def answering_ip(leader: Leader) -> str:
    """The address of this machine at which a leader reaches a worker: that from which the worker reaches the leader."""
    return LOOPBACK if is_loopback(leader.ip) else str(get_ip(leader.ip, urlsplit(leader.address).port or 80))


def is_loopback(ip: str) -> bool:
    """Whether an address is of this machine alone."""
    try:
        return ipaddress.ip_address(ip).is_loopback
    except ValueError:
        return False


def _known_ip() -> str:
    """The address by which other machines know this one: that of its name, or of the interface that leads to others."""
    try:
        named = [str(info[4][0]) for info in socket.getaddrinfo(host(), None, family=socket.AF_INET)]
    except OSError:
        named = []
    found: str | None = next((ip for ip in [*named, get_ip()] if not is_loopback(ip)), None)
    if found is None:
        raise UsageError(
            f"--listen host: the name {host()} stands for no address that other machines could reach; "
            "name the interface that they do reach, such as ib0 or eth0 (ip -brief address lists them)"
        )
    return found
