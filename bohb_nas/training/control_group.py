"""What the control groups around this process allow it (cgroup v2): its own and all above it, of which the least counts."""

import sys
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

_ROOT = Path("/sys/fs/cgroup")
_OWN = Path("/proc/self/cgroup")


def around_us() -> list[Path]:
    """The folders of this process's groups."""
    try:
        return around(_ROOT, _OWN.read_text())
    except OSError:  # no such system
        return []


def around(root: Path, said: str) -> list[Path]:
    """The folders of a group and of those above it, some of which a container may not show.

    Args:
        root: where the groups are mounted.
        said: content of the process's /proc/PID/cgroup, whose line "0::/PATH" names its group.
    """
    own = next((line.removeprefix("0::") for line in said.splitlines() if line.startswith("0::")), "/")
    below = PurePosixPath(*(part for part in PurePosixPath(own).parts if part not in ("/", "..")))
    return [root / below, *(root / above for above in below.parents)]


def memory_bytes(groups: Sequence[Path]) -> int:
    """What they may have; more than any host has where there is no limit."""
    return min((_limit(group) for group in groups), default=sys.maxsize)


def free_bytes(groups: Sequence[Path]) -> int:
    """What they leave; without a limit more than any host has.

    Files that nobody reads any more count as a group's memory, but are given up for whoever needs it.
    """
    return min((_left(group) for group in groups), default=sys.maxsize)


def cores(groups: Sequence[Path], n: int) -> int:
    """How many of n cores may be used at once."""
    return min((_cores(group, n) for group in groups), default=n)


def _limit(group: Path) -> int:
    try:
        return int((group / "memory.max").read_text())
    except (OSError, ValueError):  # no such group, or "max"
        return sys.maxsize


def _left(group: Path) -> int:
    limit = _limit(group)
    try:
        used = int((group / "memory.current").read_text())
        kept = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
        return limit - max(0, used - int(kept.get("inactive_file", 0)))
    except (OSError, ValueError):  # no such group
        return limit


def _cores(group: Path, n: int) -> int:
    try:
        allowed_us, period_us = (group / "cpu.max").read_text().split()
        return max(1, min(n, -(-int(allowed_us) // int(period_us))))
    except (OSError, ValueError):  # no such group, or "max"
        return n
