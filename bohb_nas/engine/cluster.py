"""The settings of dask.distributed that both sides share: mutual TLS, nothing listening in plain, no second guesses.

A process takes part when it holds the study's key, which lies in the study directory under mode 0600.
"""

import json
import logging
import os
from pathlib import Path
from typing import Any

import dask.config
from distributed.security import Security

from bohb_nas.files import write_atomic
from bohb_nas.store.study_dir import StudyDir

_SETTINGS: dict[str, Any] = {
    "distributed.comm.require-encryption": True,
    "distributed.comm.timeouts.connect": "5s",
    "distributed.comm.retry.count": 0,
    "distributed.scheduler.work-stealing": False,
    "distributed.scheduler.worker-saturation": 1.0,
    "distributed.scheduler.allowed-failures": 0,  # the master counts the deaths itself
    "distributed.scheduler.worker-ttl": "60s",
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


def make_keys(study: StudyDir) -> None:
    """Makes the study's key and certificate, once; the certificate comes last and says that both are there."""
    if not (study.tls / "cert.pem").exists():
        made = Security.temporary()
        write_atomic(study.tls / "key.pem", made.tls_scheduler_key)
        write_atomic(study.tls / "cert.pem", made.tls_scheduler_cert)


def security(study: StudyDir) -> Security:
    """The credentials of every role: one key for all, held by whoever may read the study.

    They are handed over by content: a path with a newline in it would be taken for the content itself.
    """
    key, cert = (study.tls / "key.pem").read_text(), (study.tls / "cert.pem").read_text()
    roles = {f"tls_{role}_{part}": text for role in ("scheduler", "worker", "client") for part, text in (("key", key), ("cert", cert))}
    return Security(require_encryption=True, tls_ca_file=cert, **roles)


def configure() -> None:
    """Sets dask up in this process and keeps its routine messages out of the terminal."""
    dask.config.set(_SETTINGS)
    for name in ("distributed", "distributed.core", "distributed.scheduler", "distributed.worker", "distributed.nanny", "distributed.comm"):
        logging.getLogger(name).setLevel(logging.CRITICAL)


def publish(study: StudyDir, address: str, term: int) -> None:
    """Says where the leader can be reached."""
    write_atomic(study.scheduler_json, json.dumps({"address": address, "term": term, "pid": os.getpid()}) + "\n")


def published(path: Path) -> str | None:
    """Where the leader said it can be reached, or None."""
    try:
        address = json.loads(path.read_text())["address"]
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None
    return address if isinstance(address, str) and address.startswith("tls://") else None
