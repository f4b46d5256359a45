"""Whether the kernel's locks on a folder hold on every machine that sees it: a question of its file system."""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

_SHARED = frozenset({"9p", "afs", "beegfs", "ceph", "cifs", "gfs2", "glusterfs", "gpfs", "lustre", "nfs", "nfs4", "ocfs2"}) | {
    *("orangefs", "panfs", "pvfs2", "smb3", "virtiofs", "wekafs")
}
_LOCKED_BY_DEFAULT = frozenset({"ceph", "gfs2", "gpfs", "nfs", "nfs4", "ocfs2"})
"""Where a lock is the server's unless the mount says otherwise."""
_LOCAL_ONLY = frozenset({"nolock", "local_lock=all", "local_lock=posix", "localflock"})
"""Options of a mount that keep locks on the machine that took them."""


@dataclass(frozen=True, slots=True)
class Mount:
    """One line of /proc/self/mountinfo."""

    point: str
    kind: str
    options: frozenset[str]


def of(path: Path, lines: Iterable[str] | None = None) -> Mount | None:
    """The mount that a path lies on, or None where that cannot be told.

    Args:
        path: need not exist.
        lines: of a mountinfo file; None reads that of this process.
    """
    if lines is None:
        try:
            lines = Path("/proc/self/mountinfo").read_text(errors="surrogateescape").splitlines()
        except OSError:
            return None
    real = os.path.realpath(path)
    around = [m for m in map(_parsed, lines) if m is not None and (real == m.point or real.startswith(m.point.rstrip("/") + "/"))]
    return max(enumerate(around), key=lambda found: (len(found[1].point), found[0]))[1] if around else None


def is_shared(mount: Mount | None) -> bool:
    """Whether other machines may see it."""
    return mount is not None and (mount.kind in _SHARED or mount.kind.startswith("fuse."))


def only_local_locks(mount: Mount | None) -> str | None:
    """Why two machines could hold the same lock at once, or None where they cannot, or where the mount is of one machine."""
    if mount is None or not is_shared(mount):
        return None
    if said := sorted(_LOCAL_ONLY & mount.options):
        return f"{mount.point} ({mount.kind}) is mounted with {said[0]}"
    if mount.kind in _LOCKED_BY_DEFAULT or (mount.kind == "lustre" and "flock" in mount.options):
        return None
    return f"{mount.point} is of kind {mount.kind}, whose locks need not reach other machines"


def _parsed(line: str) -> Mount | None:
    """Fields of proc(5): … point options [optional …] - kind source super-options, with octal escapes in the point."""
    before, separator, after = line.partition(" - ")
    fields, tail = before.split(" "), after.split(" ")
    if not separator or len(fields) < 6 or len(tail) < 3:
        return None
    point = fields[4].encode("utf-8", "surrogateescape").decode("unicode_escape").encode("latin-1").decode("utf-8", "surrogateescape")
    return Mount(point=point, kind=tail[0], options=frozenset(fields[5].split(",")) | frozenset(tail[2].split(",")))
