"""On which file systems the kernel's locks hold on every machine: lines as proc(5), nfs(5) and the Lustre manual describe them."""

from pathlib import Path

import pytest

from bohb_nas.store import mounts

ROOT = "22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw"


def line(point: str, kind: str, options: str) -> str:
    return f"90 22 0:50 / {point} rw,relatime shared:9 - {kind} server:/export rw,{options}"


@pytest.mark.parametrize(
    ("kind", "options", "reaches"),
    [
        ("nfs4", "vers=4.2,hard,local_lock=none", True),
        ("nfs4", "vers=4.2,hard,local_lock=posix", False),
        ("nfs", "vers=3,nolock", False),
        ("nfs", "vers=3,local_lock=all", False),
        ("nfs", "vers=3,hard", True),
        ("lustre", "flock,user_xattr", True),
        ("lustre", "localflock", False),
        ("lustre", "user_xattr", False),
        ("beegfs", "cfgFile=/etc/beegfs", False),
        ("gpfs", "acl", True),
        ("ceph", "name=admin", True),
        ("cifs", "vers=3.0", False),
        ("fuse.sshfs", "user_id=0", False),
        ("ext4", "errors=remount-ro", True),
        ("tmpfs", "size=1g", True),
    ],
)
def test_kinds_and_options(kind: str, options: str, reaches: bool) -> None:
    found = mounts.of(Path("/scratch/me/study"), [ROOT, line("/scratch", kind, options)])
    assert found is not None
    assert found.kind == kind
    why = mounts.only_local_locks(found)
    assert (why is None) == reaches
    assert why is None or "/scratch" in why


def test_the_innermost_mount_counts_and_the_latest_of_those() -> None:
    lines = [ROOT, line("/home", "nfs4", "hard"), line("/home/me", "tmpfs", ""), line("/home", "lustre", "flock")]
    assert [(m.kind if m else None) for m in (mounts.of(Path(p), lines) for p in ("/home/me/x", "/home/you", "/homestead", "/"))] == [
        "tmpfs",
        "lustre",
        "ext4",
        "ext4",
    ]


def test_a_blank_in_a_mount_point_is_written_in_octal() -> None:
    found = mounts.of(Path("/my disk/study"), [ROOT, line(r"/my\040disk", "nfs4", "hard")])
    assert found is not None
    assert (found.point, found.kind) == ("/my disk", "nfs4")


def test_what_cannot_be_told_is_taken_for_local() -> None:
    assert mounts.of(Path("/x"), ["nonsense", ""]) is None
    assert mounts.only_local_locks(None) is None


def test_this_machine_has_mounts(tmp_path: Path) -> None:
    found = mounts.of(tmp_path)
    assert found is not None
    assert str(tmp_path).startswith(found.point)
