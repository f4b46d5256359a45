"""The user's files that a study depends on: their copies, their hashes, whether they have changed."""

import hashlib
import os
from pathlib import Path
from typing import Any

from bohb_nas.errors import StorageError
from bohb_nas.files import pasted, write_atomic
from bohb_nas.reading import open_regular
from bohb_nas.refs import is_file
from bohb_nas.store.study_dir import StudyDir

_GONE = "gone:"
"""Before the digest of a file whose absence was accepted."""
_FROZEN = ("space", "initial", "prior")
"""What a study goes on without: it keeps what was read of these."""


def store_inputs(study: StudyDir, meta: dict[str, Any]) -> dict[str, str]:
    """Copies the files that a study's record refers to; returns their paths with sha256, and those of files taken before that are gone.

    Raises:
        StorageError: the disk refused; an earlier copy of that file is intact.
    """
    found = {kind: path for kind, path in _named(meta).items() if path.is_file()}
    digests = {path: _GONE + digest.removeprefix(_GONE) for path, digest in (meta.get("inputs") or {}).items()}
    for kind, source in found.items():
        try:
            data = source.read_bytes()  # once: of what is copied is the hash
        except OSError as e:
            raise StorageError(f"cannot copy {source} to {study.inputs}: {e.strerror}; restore access to it") from e
        write_atomic(study.copy_of(source, kind), data)
        digests[str(source)] = hashlib.sha256(data).hexdigest()
    return digests


def _named(meta: dict[str, Any]) -> dict[str, Path]:
    """The user's files that a study's record refers to, by what they serve as."""
    options = meta["worker_options"]
    references = {kind: meta[kind] for kind in ("space", "worker", "method")} | {k: options.get(k, "") for k in ("dataset", "network")}
    named = {kind: Path(reference) for kind, reference in references.items() if is_file(str(reference))}
    for kind, path in {"initial": meta.get("initial"), "prior": meta.get("prior"), "policy": options.get("policy_file")}.items():
        if Path(path or "").is_absolute():  # a relative one is the name of a file that comes with the package
            named[kind] = Path(path)
    return named


def remedy(study: StudyDir, meta: dict[str, Any], *, accept: str) -> str:
    """What to do about a study's files that are gone or have changed.

    Args:
        study: where their copies are.
        meta: its record.
        accept: how to go on with them as they are, which does without what is frozen, and not without a file that is read or run.
    """
    lacking = {path: study.copy_of(path, kind) for kind, path in _named(meta).items() if kind not in _FROZEN and not path.is_file()}
    restore = f"restore them, a copy of each is in {study.inputs}"
    if not lacking:
        return f"{restore}, or {accept}"
    commands = [
        ("" if path.parent.is_dir() else f"mkdir -p {pasted(path.parent)} && ")
        + f"cp {'--remove-destination ' if path.is_symlink() else ''}{pasted(copy)} {pasted(path)}"  # a link that leads nowhere
        for path, copy in lacking.items()
    ]
    return "\n  ".join([f"{restore}; the study cannot go on without what these bring back:", *commands])


def changed_inputs(meta: dict[str, Any]) -> list[str]:
    """The files of a study that are gone without a word or are not those it took, with the word for it."""
    paths = {Path(p): digest for p, digest in (meta.get("inputs") or {}).items()}
    return [f"{p} ({word})" for p, digest in paths.items() if (word := _change(p, digest)) is not None]


def _change(path: Path, digest: str) -> str | None:
    if not path.is_file():
        return None if digest.startswith(_GONE) else "gone"
    try:
        return None if _sha256(path) == digest.removeprefix(_GONE) else "changed"
    except OSError as e:
        return f"cannot be read: {e.strerror}"


def _sha256(path: Path) -> str:
    with os.fdopen(open_regular(path), "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
