"""What other programs can read of a study: one file of this folder for each format, its name the name on the command line.

A format's module offers `make(watch, to) -> Export`. It imports nothing heavy, and reads the study without running anything of it.
"""

import importlib
import pkgutil
from pathlib import Path
from typing import Protocol

from bohb_nas.errors import UsageError
from bohb_nas.report.status import Watch


class Export(Protocol):
    """A study in another format, somewhere."""

    def update(self) -> str:
        """Brings it up to date with the study; what was written before is written again only where that costs little.

        Returns:
            What is there now, for people.

        Raises:
            StorageError: the disk refused.
        """
        ...


def formats() -> list[str]:
    """The names of all formats, without importing any."""
    return sorted(m.name for m in pkgutil.iter_modules(__path__) if not m.name.startswith("_"))


def make(name: str, watch: Watch, to: Path) -> Export:
    """The export of a study in a format.

    Args:
        name: of the format.
        watch: the study.
        to: the file or folder to write.

    Raises:
        UsageError: there is no such format, or it cannot be written there.
    """
    if name not in formats():
        raise UsageError(f"--format {name[:100]!r}: accepted is one of {', '.join(formats())}")
    export: Export = importlib.import_module(f"{__name__}.{name}").make(watch, to)
    return export
