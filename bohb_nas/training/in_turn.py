"""A folder that holds a state while the next one is written: files that are replaced again and again, and one whole state at every moment.

A folder of that name is whole from its first moment: the first state is written beside it and renamed. Every later one goes to a file
of another name first, and counts from the moment that `state.json` names it: whatever kills the process, a good state is there.
"""

import os
import shutil
import uuid
from collections.abc import Mapping, Set
from pathlib import Path
from typing import Any

from torch import Tensor

from bohb_nas.errors import CheckpointError, StorageError
from bohb_nas.files import sync_folder
from bohb_nas.training import checkpoint

_WEIGHTS = ("model-0.safetensors", "model-1.safetensors")
"""Taken in turn."""


def write(folder: Path, tensors: Mapping[str, Tensor], state: Mapping[str, Any]) -> None:
    """Writes a state in place of the one before.

    Args:
        folder: made when missing; its parent is there.
        tensors: any.
        state: JSON, with the `identity` that must be equal for a continuation.

    Raises:
        StorageError: the disk refused; the state before is as it was.
    """
    home = folder if folder.is_dir() else folder.with_name(f".{folder.name}.{uuid.uuid4().hex}.tmp")
    try:
        home.mkdir(exist_ok=True)
        current = _current(home)
        name, other = _WEIGHTS if current != _WEIGHTS[0] else reversed(_WEIGHTS)
        checkpoint.write(home, tensors, state, name=name)
        (home / other).unlink(missing_ok=True)
        if home != folder:
            os.rename(home, folder)
            sync_folder(folder.parent)
    except OSError as e:
        raise StorageError(f"cannot write {folder}: {e.strerror or e}; free space or restore access") from e
    finally:
        if home != folder:
            shutil.rmtree(home, ignore_errors=True)


def read(folder: Path, identity: Mapping[str, Any], fields: Set[str]) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The state in a folder, whole and of the right thing, and its tensors, on the CPU.

    Args:
        folder: what `write` filled.
        identity: what the state must be of.
        fields: what it must have besides.

    Raises:
        CheckpointError: torn, foreign or of something else.
    """
    state, weights = checkpoint.read(folder, identity, fields, names=_WEIGHTS)
    return state, checkpoint.parse(weights)


def _current(folder: Path) -> str | None:
    """The weights that a folder's state describes, None where there is none that can be read."""
    try:
        return str(checkpoint.read_state(folder).get("weights"))
    except CheckpointError:
        return None
