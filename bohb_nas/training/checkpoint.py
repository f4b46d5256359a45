"""Checkpoints: a training that can go on elsewhere, as safetensors and JSON, never a pickle.

`state.json` is written last and holds the hash of the weights: a folder without it, or whose hash differs, is torn.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from bohb_nas.files import dump_json, write_atomic
from bohb_nas.training.learner import Learner

FORMAT = 1
"""Changed whenever an older reader would misunderstand."""
_STREAMS = ("order", "augmentation", "noise")


class Refused(Exception):  # noqa: N818 - a refusal, which the caller turns into a fresh start
    """Why a checkpoint cannot be continued."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Used:
    """What lies behind a checkpoint."""

    train_s: float
    """Seconds of training."""
    steps: int


def save(folder: Path, learner: Learner, used: Used, identity: Mapping[str, Any]) -> None:
    """Writes network, optimizer and random streams.

    Args:
        folder: created when missing.
        learner: what to keep.
        used: what lies behind it.
        identity: JSON that must be equal for a continuation: configuration, data, device.

    Raises:
        StorageError: the disk refused.
    """
    folder.mkdir(parents=True, exist_ok=True)
    weights = safetensors.torch.save({name: tensor.contiguous() for name, tensor in _tensors(learner).items()})
    write_atomic(folder / "model.safetensors", weights)
    state = {
        "format": FORMAT,
        "sha256": hashlib.sha256(weights).hexdigest(),
        "train_s": used.train_s,
        "steps": used.steps,
        "identity": identity,
        "versions": {"torch": torch.__version__, "safetensors": safetensors.__version__},
    }
    write_atomic(folder / "state.json", dump_json(state))


def load(folder: Path, learner: Learner, identity: Mapping[str, Any], *, below_s: float) -> Used:
    """Puts the learner where the checkpoint's was.

    Args:
        folder: holds the checkpoint.
        learner: freshly started.
        identity: what the checkpoint must be of.
        below_s: the budget to be continued to; a checkpoint that used as much is of no use.

    Raises:
        Refused: torn, foreign or of something else; the learner is as it was.
    """
    try:
        state = json.loads((folder / "state.json").read_bytes())
        weights = (folder / "model.safetensors").read_bytes()
    except OSError as e:
        raise Refused(f"{e.filename}: {e.strerror}") from e
    except ValueError as e:
        raise Refused(f"state.json is not JSON: {e}") from e
    if not isinstance(state, dict) or state.get("format") != FORMAT:
        raise Refused(f"state.json is not of format {FORMAT}")
    if missing := {"sha256", "identity", "train_s", "steps"} - set(state):
        raise Refused(f"state.json is incomplete: {sorted(missing)}")
    if hashlib.sha256(weights).hexdigest() != state["sha256"]:
        raise Refused("model.safetensors is not the file that state.json describes")
    if differing := sorted(k for k in state["identity"].keys() | identity.keys() if state["identity"].get(k) != identity.get(k)):
        raise Refused(f"it differs in {', '.join(differing)}")
    if state["train_s"] >= below_s:
        raise Refused(f"it has used {state['train_s']:.4g} s of {below_s:.4g} s")
    _restore(learner, safetensors.torch.load(weights))
    return Used(train_s=state["train_s"], steps=state["steps"])


def _tensors(learner: Learner) -> dict[str, Tensor]:
    """Everything that goes on: `network/NAME`, `optimizer/PARAMETER/NAME`, `stream/NAME`."""
    tensors = {f"network/{name}": tensor for name, tensor in learner.network.state_dict().items()}
    for parameter, entries in learner.optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer/{parameter}/{name}": value for name, value in entries.items() if isinstance(value, Tensor)}
    return tensors | {f"stream/{name}": getattr(learner.streams, name).get_state() for name in _STREAMS}


def _restore(learner: Learner, tensors: Mapping[str, Tensor]) -> None:
    parts: dict[str, dict[str, Tensor]] = {"network": {}, "optimizer": {}, "stream": {}}
    for name, tensor in tensors.items():
        kind, _, rest = name.partition("/")
        parts[kind][rest] = tensor
    learner.network.load_state_dict(parts["network"])
    optimizer: dict[int, dict[str, Tensor]] = {}
    for name, tensor in parts["optimizer"].items():
        parameter, _, entry = name.partition("/")
        optimizer.setdefault(int(parameter), {})[entry] = tensor
    learner.restore_optimizer(optimizer)
    for name in _STREAMS:
        getattr(learner.streams, name).set_state(parts["stream"][name])
