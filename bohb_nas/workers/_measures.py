"""What an image classification trial tells of itself beside its loss: figures, how fast it was, and its network for a drawing."""

import dataclasses
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bohb_nas.files import write_atomic
from bohb_nas.layers import Layer
from bohb_nas.layers.drawing import draw
from bohb_nas.training.data import ResidentData
from bohb_nas.training.device import Compute
from bohb_nas.training.learner import Learner
from bohb_nas.training.networks import own_kernels
from bohb_nas.training.outcome import Fit
from bohb_nas.training.peak import Peak
from bohb_nas.training.speed import speed


def describe(layers: Layer, data: ResidentData, sizes: Mapping[str, float], path: Path) -> None:
    """Leaves what a drawing of the network needs."""
    height, width, channels = data.image_shape
    shape = {"image_shape": list(data.image_shape), "n_classes": data.n_classes}
    write_atomic(path, json.dumps({"network": draw(layers, (channels, height, width)), **shape, **sizes}))


def metrics(trained: Fit, learner: Learner) -> dict[str, float]:
    """The figures of a training; those that are not known are left out."""
    return trained.figures(
        images_per_s=trained.steps * learner.recipe.batch_size / trained.train_s if trained.train_s else 0.0,
        lr_last=trained.lr_last,
        lr_peak=learner.recipe.learning_rate,
        mirrored_error=trained.mirrored.error if trained.mirrored else math.nan,
        train_error=trained.train_error,
    )


def kernels(compute: Compute, *, compiled: bool = False) -> dict[str, Any]:
    """Whether layers had kernels of their own in training, and on a GPU why not where they had none to take."""
    return {"own_kernels": own_kernels.run_on(compute.device) and not compiled, "own_kernels_refused": own_kernels.refusal(compute.device)}


def pace(trained: Fit, learner: Learner, sizes: Mapping[str, float], peak: Peak) -> tuple[dict[str, float], dict[str, Any]]:
    """How the training's speed stands to what its device can do: metrics, and what bounds it; nothing where no step was timed."""
    details: dict[str, Any] = {
        "micro_batch": learner.micro_batch,
        "steps_ahead": trained.ahead,
        **kernels(learner.compute, compiled=trained.compiled is not None and trained.compiled.used),
        "replays": learner.recording.replays,
        "replay_refused": learner.recording.refused,
        "form": None if trained.form is None else dataclasses.asdict(trained.form),
        "compiled": None if trained.compiled is None else dataclasses.asdict(trained.compiled),
        "peak": dataclasses.asdict(peak),
    }
    if not trained.step_s > 0:
        return {}, details
    found = speed(
        sizes,
        batch_size=learner.recipe.batch_size,
        step_s=trained.step_s,
        element_bytes=learner.compute.element_bytes,
        peak=peak,
        replayed=learner.recording.replays,
    )
    return {"mfu": found.mfu, "floor_s": found.floor_s, "efficiency": found.efficiency}, {**details, "bound": found.bound}
