"""What reaches the disk, and in which order."""

import os
from pathlib import Path

import pytest


def steps(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What happens from here on, in order: how much of a file is synced, or that a folder is; a new name; a file cut short."""
    told: list[str] = []
    sync, replace, link, cut = os.fsync, os.replace, os.link, os.ftruncate

    def synced(descriptor: int) -> None:
        path = Path(os.readlink(f"/proc/self/fd/{descriptor}"))
        told.append("folder" if path.is_dir() else f"{path.stat().st_size} bytes")
        sync(descriptor)

    def replaced(old: Path, new: Path) -> None:
        replace(old, new)
        told.append("name")

    def linked(old: Path, new: Path) -> None:
        link(old, new)
        told.append("name")

    def shortened(descriptor: int, size: int) -> None:
        cut(descriptor, size)
        told.append("cut")

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "replace", replaced)
    monkeypatch.setattr(os, "link", linked)
    monkeypatch.setattr(os, "ftruncate", shortened)
    return told
