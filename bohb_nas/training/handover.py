"""What a training in the middle of its budget leaves, for itself to go on from elsewhere: a checkpoint, and where it stands."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bohb_nas.entries import is_number
from bohb_nas.errors import CheckpointError
from bohb_nas.training import checkpoint, in_turn
from bohb_nas.training.augment import before_alternating
from bohb_nas.training.checkpoint import Used
from bohb_nas.training.learner import Learner
from bohb_nas.training.position import Position

_REST = "order/rest"
_AVERAGE = ("u", "n", "since")


@dataclass(frozen=True, slots=True, kw_only=True)
class Handed:
    """What goes on in the next attempt at a trial."""

    position: Position
    base: Used
    """What lay behind the weights before this trial."""
    facts: Mapping[str, Any]
    """JSON that the next attempt reports of those before."""


def save(folder: Path, learner: Learner, handed: Handed, identity: Mapping[str, Any]) -> None:
    """Writes a state in place of the one before.

    Args:
        folder: made when missing; its parent is there.
        learner: between two steps.
        handed: where it stands.
        identity: JSON that must be equal for a continuation: trial, data, device.

    Raises:
        StorageError: the disk refused; the state before is as it was.
    """
    in_turn.write(folder, _tensors(learner, handed.position), _state(learner, handed, identity))


def load(folder: Path, learner: Learner, identity: Mapping[str, Any], *, budget_s: float) -> Handed:
    """Puts the learner where the one was that handed over.

    Args:
        folder: what `save` wrote.
        learner: freshly started.
        identity: what the state must be of.
        budget_s: of the trial; what it continues must have used less.

    Raises:
        CheckpointError: torn, foreign or of something else; the learner is as it was.
    """
    state, tensors = in_turn.read(folder, identity, {"position", "base", "average", "facts"})
    rest = tensors.pop(_REST, None)
    if rest is None or rest.dtype != torch.int64 or rest.dim() != 1 or not _within(rest, len(learner.data.images)):
        raise CheckpointError(f"{_REST} are no positions of images")
    try:
        position = Position.from_json(state["position"], rest=rest.to(learner.compute.device))
    except ValueError as e:
        raise CheckpointError(str(e)) from e
    base = checkpoint.used_from(state["base"] if isinstance(state["base"], dict) else {})
    if not base.train_s < budget_s:  # the position itself may be beyond: then only the last step is owed
        raise CheckpointError(f"what it continues has used {base.train_s:.4g} s of {budget_s:.4g} s")
    average = state["average"]
    if not (_is_average(average) if learner.average is not None else average is None) or not isinstance(state["facts"], dict):
        raise CheckpointError("average or facts of state.json are of another kind than was written")
    checkpoint.check_fit(learner, tensors)
    checkpoint.restore(learner, tensors)
    if learner.average is not None:
        learner.average.network.load_state_dict(checkpoint.part(tensors, "average"))
        learner.average.u, learner.average.n, learner.since_average = (average[name] for name in _AVERAGE)
    return Handed(position=position, base=base, facts=state["facts"])


def _tensors(learner: Learner, position: Position) -> dict[str, Tensor]:
    tensors = {**checkpoint.tensors(learner), _REST: position.rest}
    if learner.seen is not None:  # what is augmented already will be augmented, and counted, again
        tensors["images/seen"] = before_alternating(learner.seen, position.rest[: position.n_prepared])
    return tensors


def _state(learner: Learner, handed: Handed, identity: Mapping[str, Any]) -> dict[str, Any]:
    average = learner.average
    return {
        "position": handed.position.to_json(),
        "base": {"train_s": handed.base.train_s, "steps": handed.base.steps},
        "average": None if average is None else dict(zip(_AVERAGE, (average.u, average.n, learner.since_average), strict=True)),
        "facts": handed.facts,
        "identity": identity,
    }


def _within(positions: Tensor, n: int) -> bool:
    return not len(positions) or (int(positions.min()) >= 0 and int(positions.max()) < n)


def _is_average(value: object) -> bool:
    if not isinstance(value, dict) or value.keys() != set(_AVERAGE):
        return False
    u, n, since = (value[name] for name in _AVERAGE)
    return is_number(u) and 0 <= u < 1 and all(type(count) is int and count >= 0 for count in (n, since))
