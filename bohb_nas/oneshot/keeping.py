"""A one-shot search in the middle of its budget as files, for itself to go on from elsewhere."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bohb_nas.errors import BohbNasError, CheckpointError, out_of_memory
from bohb_nas.oneshot.search import Search
from bohb_nas.oneshot.standing import Standing
from bohb_nas.training import in_turn


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """What goes on in the next attempt, beside the search itself."""

    standing: Standing
    facts: Mapping[str, Any]
    """JSON that the next attempt reports of those before."""


def save(folder: Path, search: Search, kept: Kept, identity: Mapping[str, Any]) -> None:
    """Writes a state in place of the one before.

    Args:
        folder: made when missing; its parent is there.
        search: between two steps.
        kept: where it stands.
        identity: JSON that must be equal for a continuation: trial, settings, space, data, device.

    Raises:
        StorageError: the disk refused; the state before is as it was.
    """
    state = {"search": search.state(), "standing": kept.standing.to_json(), "facts": kept.facts, "identity": identity}
    in_turn.write(folder, {name: tensor.detach() for name, tensor in search.tensors().items()}, state)


def load(folder: Path, search: Search, identity: Mapping[str, Any]) -> Kept:
    """Puts the search where the one was that was saved.

    Args:
        folder: what `save` wrote.
        search: of any state; after a refusal of none that is known.
        identity: what the state must be of.

    Raises:
        CheckpointError: torn, foreign or of something else.
    """
    state, tensors = in_turn.read(folder, identity, {"search", "standing", "facts"})
    if not isinstance(state["facts"], dict) or not isinstance(state["search"], dict):
        raise CheckpointError("search or facts of state.json are of another kind than was written")
    try:
        standing = Standing.from_json(state["standing"])
    except ValueError as e:
        raise CheckpointError(str(e)) from e
    try:
        search.restore(tensors, state["search"])
    except (BohbNasError, AttributeError, KeyError, OverflowError, TypeError, ValueError, RuntimeError) as e:
        if out_of_memory(e):
            raise
        raise CheckpointError(f"the search does not take its state: {type(e).__name__}: {e}") from e
    return Kept(standing=standing, facts=state["facts"])
