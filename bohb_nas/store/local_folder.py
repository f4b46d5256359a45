"""A folder of this machine that only we write to: for the locks of studies whose own folder has none."""

import os
import stat
import tempfile
from contextlib import suppress
from pathlib import Path

from bohb_nas.errors import StudyError

LOCAL = (Path("/tmp"), Path("/var/tmp"))  # noqa: S108 (a folder of one's own is made in it)
"""Folders of this machine that are the same for all jobs, which TMPDIR is not."""


def local_folder() -> Path:
    """Our folder in the first of `LOCAL`; where it cannot be ours, for somebody else was first, in the next, at last in what this
    process has for temporary files, which other jobs may not see.

    Raises:
        StudyError: neither can.
    """
    name = f"bohb-nas-{os.getuid()}"
    places = [place / name for place in (*LOCAL, Path(tempfile.gettempdir()))]
    for folder in places:
        with suppress(OSError):
            folder.mkdir(mode=0o700, exist_ok=True)
            if _only_ours(folder.lstat()):
                return folder
    raise StudyError(
        f"no locks in the study's folder, and none of {', '.join(map(str, dict.fromkeys(places)))} is a folder of yours that nobody else "
        "may write to; have what stands there removed (or chmod 700 what is yours), or set TMPDIR to a folder of your own"
    )


def _only_ours(about: os.stat_result) -> bool:
    return stat.S_ISDIR(about.st_mode) and about.st_uid == os.getuid() and not about.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
