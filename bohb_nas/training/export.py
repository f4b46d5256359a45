"""A trained network as files that need only torch: a program that takes raw images, its weights, and what it is."""

import copy
import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor, nn

from bohb_nas.files import dump_json, write_into
from bohb_nas.records import Value
from bohb_nas.training.augment import normalise
from bohb_nas.training.data import ResidentData
from bohb_nas.training.networks import Network


class Classifier(nn.Module):
    """A network with its normalisation: raw images in, logits out.

    Args:
        network: in fp32.
        mean: of the images it was trained on, [C], levels of 0..255.
        deviation: likewise.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, network: Network, *, mean: Tensor, deviation: Tensor) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("mean", mean)
        self.register_buffer("deviation", deviation)

    def forward(self, images: Tensor) -> Tensor:
        """uint8 [N, C, H, W] -> logits [N, n_classes]."""
        return self.network(normalise(images, self.mean, self.deviation))  # type: ignore[no-any-return]


def export_model(
    network: Network,
    folder: Path,
    *,
    data: ResidentData,
    classes: Sequence[str],
    config: Mapping[str, Value],
    facts: Mapping[str, Any],
    write: Callable[[Path, bytes | str], None] = write_into,
) -> None:
    """Writes `model.pt2` (for `torch.export.load`), `model.safetensors` (the same weights) and `model.json`.

    The program runs on the CPU, takes uint8 [N, C, H, W] with any N and returns logits; it holds the normalisation.

    Args:
        network: left as it is.
        folder: created when missing.
        data: what it was trained on.
        classes: names in the order of the logits.
        config: what was trained.
        facts: JSON to keep beside it: test error, budget, seed.
        write: replaces a file as a whole, in a folder that it makes when missing.

    Raises:
        StorageError: the disk refused.
    """
    height, width, channels = data.image_shape
    classifier = _on_cpu(network, mean=data.mean, deviation=data.deviation)
    example = torch.zeros(2, channels, height, width, dtype=torch.uint8)
    program = torch.export.export(classifier, (example,), dynamic_shapes=({0: torch.export.Dim("batch", min=1)},))
    stream = io.BytesIO()
    torch.export.save(program, stream)
    write(folder / "model.pt2", stream.getvalue())
    write(folder / "model.safetensors", safetensors.torch.save(classifier.state_dict()))
    description = {
        "input": {"kind": "uint8", "shape": ["N", channels, height, width], "levels": [0, 255]},
        "output": "logits",
        "classes": list(classes),
        "config": dict(config),
        **facts,
        "versions": {"torch": torch.__version__},
    }
    write(folder / "model.json", dump_json(description))


def _on_cpu(network: Network, *, mean: Tensor, deviation: Tensor) -> Classifier:
    """The classifier on the CPU in the default layout, in evaluation mode, sharing nothing with the network."""
    classifier = Classifier(copy.deepcopy(network), mean=mean, deviation=deviation).cpu().eval()
    return classifier.to(memory_format=torch.contiguous_format)
