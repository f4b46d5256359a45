"""Whose export something is: the name under which a study is known there."""

import hashlib
import os

from bohb_nas.store import notes
from bohb_nas.store.study_dir import StudyDir

_LONGEST = 200
"""Characters of a name: what `notes.text` reads back."""


def name_of(study: StudyDir) -> str:
    """A study's path, on one line and of at most 200 characters; what does not show all of a path has a hash of the whole behind it."""
    path = str(study.path)
    shown = notes.text({"path": path}, "path") or ""
    if shown == path:
        return path
    digest = hashlib.sha256(os.fsencode(path)).hexdigest()[:16]
    return f"{shown[: _LONGEST - len(digest) - 1].rstrip()}-{digest}"
