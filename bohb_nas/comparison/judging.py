"""The test of what a search came to: its model as the study keeps it, in fp32, on the data set's test images.

Nothing else of a comparison reads the test images, and nothing else imports torch.
"""

import functools
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor, nn

from bohb_nas.datasets import Dataset, load_dataset
from bohb_nas.errors import CheckpointError, StudyError
from bohb_nas.reading import parse_json
from bohb_nas.records import Evaluation, Value
from bohb_nas.store.study_dir import StudyDir
from bohb_nas.training import checkpoint
from bohb_nas.training.clock import TrainingClock
from bohb_nas.training.data import ResidentData, labels_to_device, resident_split, to_device
from bohb_nas.training.device import Compute, choose
from bohb_nas.training.export import Classifier
from bohb_nas.training.networks import Network
from bohb_nas.training.recipe import read
from bohb_nas.training.validation import evaluate_on_test

_CPU = torch.device("cpu")


def judge(study: StudyDir, evaluation: Evaluation) -> dict[str, Any]:
    """The test error of an evaluation's model, with what identifies it: the only thing that reads the test set.

    Raises:
        StudyError: the model is not there, not of this data set, or more than the device can do.
        DatasetError: the data set has no test part.
    """
    options = study.read_meta()["worker_options"]
    dataset = _dataset(options["dataset"], options.get("data_dir"))
    trial_id = evaluation.trial.trial_id
    try:
        if (folder := study.model(trial_id)) is not None:
            found = judge_exported(folder, dataset)
        elif (folder := study.checkpoint(trial_id)) is not None:
            found = judge_checkpoint(folder, dataset, options)
        else:
            raise StudyError(f"{study.path}: trial {trial_id} has left no model; its study kept neither model/ nor a checkpoint of it")
    except RuntimeError as e:  # of torch: memory, or the device
        raise StudyError(f"{study.path}: trial {trial_id} cannot be tested: {e}; make room on the device, then run this again") from e
    about = {"trial_id": trial_id, "model": str(folder.relative_to(study.path.parent)), "dataset": dataset.name}
    return {**found, **about, "fingerprint": dataset.fingerprint, "precision": "fp32"}


@functools.lru_cache(maxsize=1)
def _dataset(reference: str, data_dir: str | None) -> Dataset:
    """The same for all cells."""
    return load_dataset(reference, data_dir=Path(data_dir) if data_dir is not None else None)


def judge_checkpoint(folder: Path, dataset: Dataset, options: Mapping[str, Any]) -> dict[str, Any]:
    """Of the network in a checkpoint, or of its average where it has one.

    Args:
        folder: of the checkpoint.
        dataset: on whose train part, divided as the study's worker did, it was trained.
        options: of the study's worker.

    Raises:
        StudyError: the checkpoint is torn, or of other data.
    """
    compute = choose(options.get("device"), "fp32")
    data, divided = resident_split(
        dataset, valid_fraction=options.get("valid_fraction"), seed=options.get("split_seed", 0), device=compute.device
    )
    try:
        saved = checkpoint.read_state(folder).get("identity")
        known = saved if isinstance(saved, dict) else {}
        state, weights = checkpoint.read(folder, {**known, **divided}, {"identity"})
        network = from_checkpoint(checkpoint.parse(weights), state["identity"]["config"], data, network=options.get("network"))
    except (CheckpointError, KeyError, RuntimeError) as e:
        raise StudyError(f"{folder} cannot be tested: {e}; restore it from a backup") from e
    network.to(compute.device, memory_format=compute.memory_format)  # type: ignore[call-overload]
    clock = TrainingClock(compute.device)
    score = evaluate_on_test(network, dataset, data=data, compute=compute, clock=clock)
    return {"test_error": score.error, "n_test": score.n, "params": _size(network), "weights_sha256": hashlib.sha256(weights).hexdigest()}


def from_checkpoint(tensors: Mapping[str, Tensor], config: Mapping[str, Value], data: ResidentData, *, network: str | None) -> Network:
    """The network of a configuration with the weights of a checkpoint: those averaged, where there are any."""
    layers, _ = read(config, network=network)
    built = Network(layers, image_shape=data.image_shape, n_classes=data.n_classes, generator=torch.Generator().manual_seed(0))
    built.load_state_dict(checkpoint.part(tensors, "average") or checkpoint.part(tensors, "network"))
    return built


def judge_exported(folder: Path, dataset: Dataset) -> dict[str, Any]:
    """Of a model that takes raw images, on the CPU: `model.pt2`, or else `model.safetensors`; `model.json` says of what.

    Raises:
        StudyError: it cannot be read, or is of other data.
    """
    program, weights = folder / "model.pt2", folder / "model.safetensors"
    used = program if program.is_file() else weights
    try:
        digest = hashlib.sha256(used.read_bytes()).hexdigest()
        model = torch.export.load(program).module() if program.is_file() else _classifier(folder, dataset)
        about = parse_json((folder / "model.json").read_bytes())
    except (OSError, ValueError, KeyError, RuntimeError) as e:
        raise StudyError(f"{folder} cannot be tested: {e}; restore it from a backup") from e
    if about.get("fingerprint") != dataset.fingerprint:
        raise StudyError(f"{folder} cannot be tested: it was trained on other data than {dataset.name} is now; restore the data set")
    images, labels = dataset.test_part()
    with torch.no_grad():
        batch = Compute(device=_CPU, precision="fp32").evaluation_batch
        found = torch.cat([model(part).argmax(1) for part in torch.split(to_device(images, _CPU), batch)])
    wrong = int((found != labels_to_device(labels, _CPU)).sum().item())
    return {"test_error": wrong / len(labels), "n_test": len(labels), "params": _size(model), "weights_sha256": digest}


def _classifier(folder: Path, dataset: Dataset) -> nn.Module:
    """The network of model.json with the weights and the normalisation of model.safetensors."""
    config = parse_json((folder / "model.json").read_bytes())["config"]
    tensors = safetensors.torch.load((folder / "model.safetensors").read_bytes())
    layers, _ = read(config)
    n_classes, generator = len(dataset.classes), torch.Generator().manual_seed(0)
    network = Network(layers, image_shape=dataset.image_shape, n_classes=n_classes, generator=generator)
    model = Classifier(network, mean=tensors["mean"], deviation=tensors["deviation"])
    model.load_state_dict(tensors)
    return model.eval()


def _size(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())
