"""Checkpoints: a training that can go on elsewhere, as safetensors and JSON, never a pickle.

`state.json` is written last and holds the hash of the weights: a folder without it, or whose hash differs, is torn.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from bohb_nas.errors import CheckpointError
from bohb_nas.files import dump_json, storing, write_atomic
from bohb_nas.training.learner import Learner
from bohb_nas.training.muon import ADAMW_KEEPS, Muon

FORMAT = 1
"""Changed whenever an older reader would misunderstand."""
WEIGHTS = "model.safetensors"
_STREAMS = ("order", "augmentation", "noise", "host")


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
    with storing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    write(folder, tensors(learner), {"train_s": used.train_s, "steps": used.steps, "identity": identity})


def load(folder: Path, learner: Learner, identity: Mapping[str, Any], *, below_s: float) -> Used:
    """Puts the learner where the checkpoint's was.

    Args:
        folder: holds the checkpoint.
        learner: freshly started.
        identity: what the checkpoint must be of.
        below_s: the budget to be continued to; a checkpoint that used as much is of no use.

    Raises:
        CheckpointError: torn, foreign or of something else; the learner is as it was.
    """
    state, weights = read(folder, identity, {"train_s", "steps"})
    used = used_from(state)
    if not used.train_s < below_s:
        raise CheckpointError(f"it has used {used.train_s:.4g} s of {below_s:.4g} s")
    found = parse(weights)
    check_fit(learner, found)
    restore(learner, found)
    return used


def used_from(state: Mapping[str, Any]) -> Used:
    """What a state says that lies behind it.

    Raises:
        CheckpointError: it says it in another way than was written.
    """
    used_s, steps = state.get("train_s"), state.get("steps")
    if not isinstance(used_s, int | float) or isinstance(used_s, bool) or used_s < 0 or type(steps) is not int:
        raise CheckpointError("state.json holds train_s or steps of another kind than was written")
    return Used(train_s=used_s, steps=steps)


def write(folder: Path, tensors: Mapping[str, Tensor], state: Mapping[str, Any], *, name: str = WEIGHTS) -> None:
    """Writes tensors under a name, then the state that describes them: until that is there, the state before holds.

    Raises:
        StorageError: the disk refused.
    """
    host = {key: tensor.cpu().contiguous() for key, tensor in tensors.items()}  # put in order there: a full GPU has no room for copies
    weights = safetensors.torch.save(host)
    write_atomic(folder / name, weights)
    own = {"format": FORMAT, "weights": name, "sha256": hashlib.sha256(weights).hexdigest()}
    versions = {"torch": torch.__version__, "safetensors": safetensors.__version__}
    write_atomic(folder / "state.json", dump_json({**own, **state, "versions": versions}))


def read(folder: Path, identity: Mapping[str, Any], fields: Set[str], *, names: Sequence[str] = (WEIGHTS,)) -> tuple[dict[str, Any], bytes]:
    """The state in a folder, whole and of the right thing, and the weights that it describes.

    Args:
        folder: what `write` filled.
        identity: what the state must be of.
        fields: what it must have besides.
        names: under which weights are accepted.

    Raises:
        CheckpointError: torn, foreign or of something else.
    """
    state = read_state(folder)
    name = state.get("weights", WEIGHTS)
    if name not in names:
        raise CheckpointError(f"state.json describes {str(name)[:80]!r}; accepted is {' or '.join(names)}")
    try:
        weights = (folder / name).read_bytes()
    except OSError as e:
        raise CheckpointError(f"{e.filename}: {e.strerror}") from e
    if missing := {"sha256", "identity", *fields} - set(state):
        raise CheckpointError(f"state.json is incomplete: {sorted(missing)}")
    if hashlib.sha256(weights).hexdigest() != state["sha256"]:
        raise CheckpointError(f"{name} is not the file that state.json describes")
    saved = state["identity"]
    if not isinstance(saved, dict):
        raise CheckpointError("state.json holds an identity of another kind than was written")
    if differing := sorted(k for k in saved.keys() | identity.keys() if saved.get(k) != identity.get(k)):
        raise CheckpointError(f"it differs in {', '.join(differing)}")
    return state, weights


def read_state(folder: Path) -> dict[str, Any]:
    """What state.json says.

    Raises:
        CheckpointError: it cannot be read, or is of another format.
    """
    try:
        state = json.loads((folder / "state.json").read_bytes())
    except OSError as e:
        raise CheckpointError(f"{e.filename}: {e.strerror}") from e
    except (ValueError, RecursionError) as e:
        raise CheckpointError(f"state.json is not JSON: {e}") from e
    if not isinstance(state, dict) or state.get("format") != FORMAT:
        raise CheckpointError(f"state.json is not of format {FORMAT}")
    return state


def parse(weights: bytes) -> dict[str, Tensor]:
    """The tensors of a file.

    Raises:
        CheckpointError: it holds none.
    """
    try:
        return safetensors.torch.load(weights)
    except (safetensors.SafetensorError, KeyError) as e:
        raise CheckpointError(f"model.safetensors cannot be read: {e}") from e


def tensors(learner: Learner) -> dict[str, Tensor]:
    """Everything that goes on: `network/NAME`, `optimizer/PARAMETER/NAME`, `stream/NAME`, `images/seen`; and judged, `average/NAME`."""
    found = _networks(learner)
    state = learner.optimizer_state()
    for i, name in enumerate(learner.network.parameter_names):
        entries = state.get(i) or _untouched(learner, found[f"network/{name}"])
        found |= {f"optimizer/{i}/{entry}": value for entry, value in entries.items()}
    return found | _beside(learner)


def part(tensors: Mapping[str, Tensor], kind: str) -> dict[str, Tensor]:
    """Those whose names begin with `kind/`, without that."""
    return {name.removeprefix(f"{kind}/"): tensor for name, tensor in tensors.items() if name.startswith(f"{kind}/")}


def _beside(learner: Learner) -> dict[str, Tensor]:
    """What goes on beside networks and optimizer: how often images were seen, and the random streams."""
    seen = {} if learner.seen is None else {"images/seen": learner.seen}
    return seen | {f"stream/{name}": getattr(learner.streams, name).get_state() for name in _STREAMS}


def _networks(learner: Learner) -> dict[str, Tensor]:
    tensors = {f"network/{name}": tensor for name, tensor in learner.network.state_dict().items()}
    if learner.average is not None:
        tensors |= {f"average/{name}": tensor for name, tensor in learner.average.network.state_dict().items()}
    return tensors


def check_fit(learner: Learner, tensors: Mapping[str, Tensor]) -> None:
    """Raises CheckpointError unless the tensors are those that `learner` saves, by name, shape and type, and its streams take theirs."""
    expected = _networks(learner) | _beside(learner)
    for i, parameter in enumerate(learner.network.parameters()):
        expected |= {f"optimizer/{i}/{name}": torch.empty(()) if name == "step" else parameter for name in _entries(learner, parameter)}
    if differing := sorted(expected.keys() ^ tensors.keys()):
        raise CheckpointError(f"model.safetensors lacks or adds {', '.join(differing[:3])}; another torch may have written it")
    for name, tensor in tensors.items():
        if (tensor.shape, tensor.dtype) != (expected[name].shape, expected[name].dtype):
            raise CheckpointError(f"{name} is {_form(tensor)} in model.safetensors; accepted is {_form(expected[name])}")
    for name in _STREAMS:
        try:
            torch.Generator(getattr(learner.streams, name).device).set_state(tensors[f"stream/{name}"])
        except RuntimeError as e:
            raise CheckpointError(f"stream/{name} is no state of a random stream: {str(e).splitlines()[0]}") from e


def _entries(learner: Learner, parameter: Tensor) -> tuple[str, ...]:
    """What the optimizer keeps of a parameter after its first step."""
    if isinstance(learner.optimizer, Muon):
        return learner.optimizer.kept(parameter)
    if learner.recipe.optimizer == "adamw":
        return ADAMW_KEEPS
    return ("momentum_buffer",) if learner.recipe.momentum else ()


def _untouched(learner: Learner, weight: Tensor) -> dict[str, Tensor]:
    """What is as good as the nothing that optimizers keep of a weight without a gradient, as one has that leads nowhere."""
    entries = ADAMW_KEEPS if isinstance(learner.optimizer, Muon) else _entries(learner, weight)
    return {entry: torch.zeros(() if entry == "step" else weight.shape) for entry in entries}


def _form(tensor: Tensor) -> str:
    return f"{tensor.dtype}{list(tensor.shape)}"


def restore(learner: Learner, tensors: Mapping[str, Tensor]) -> None:
    """Gives a learner tensors that fit it; an average starts anew."""
    learner.network.load_state_dict(part(tensors, "network"))
    optimizer: dict[int, dict[str, Tensor]] = {}
    for name, tensor in part(tensors, "optimizer").items():
        parameter, _, entry = name.partition("/")
        optimizer.setdefault(int(parameter), {})[entry] = tensor
    learner.restore_optimizer(optimizer)
    for name in _STREAMS:
        getattr(learner.streams, name).set_state(tensors[f"stream/{name}"])
    if learner.seen is not None:
        learner.seen.copy_(tensors["images/seen"])
