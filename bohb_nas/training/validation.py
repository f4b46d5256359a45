"""Errors on images held out, no more seconds than allowed, and on test images: no augmentation."""

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from bohb_nas.datasets import Dataset
from bohb_nas.training.augment import normalise
from bohb_nas.training.clock import TrainingClock
from bohb_nas.training.data import ResidentData, labels_to_device, to_device
from bohb_nas.training.device import Compute
from bohb_nas.training.networks import Network

FEWEST = 256
"""Images that a validation never goes below, if there are as many."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """What an evaluation found."""

    error: float
    """Share of the images classified wrongly."""
    n: int
    """Images evaluated."""


@torch.no_grad()
def evaluate(
    network: Network,
    data: ResidentData,
    *,
    compute: Compute,
    clock: TrainingClock,
    allowance_s: float = math.inf,
    mirrored: bool = False,
) -> Score:
    """The error on the longest prefix of `data.valid` whose evaluation is predicted to fit the allowance, of at least `FEWEST` images.

    Where memory does not hold a batch, it goes in halves: what a network was trained on in parts is judged in parts as well.

    Args:
        network: evaluated with the statistics gathered in training and without noise.
        data: has the images.
        compute: where and how precisely.
        clock: measures the allowance.
        allowance_s: seconds.
        mirrored: whether every image is judged by the mean of its logits and those of its mirror image.

    Raises:
        RuntimeError, MemoryError: memory does not suffice for a single image.
    """
    network.eval()
    started, done, wrong = clock.now(), 0, torch.zeros((), dtype=torch.int64, device=data.images.device)

    def judged(n: int) -> Tensor:
        """How many of the next n images are classified wrongly."""
        chosen = data.valid[done : done + n]
        shown = normalise(data.images[chosen], data.mean, data.deviation).contiguous(memory_format=compute.memory_format)
        with compute.autocast(), compute.untried():
            logits: Tensor = network(shown)
            if mirrored:
                logits = logits + network(shown.flip(3))
        return (logits.argmax(1) != data.labels[chosen]).sum()

    at_once = compute.evaluation_batch
    while left := len(data.valid) - done:
        if done >= FEWEST and (clock.now() - started) * (1 + min(at_once, left) / done) > allowance_s:
            break
        found, at_once = compute.fitting(judged, min(at_once, left))
        wrong += found
        done += at_once
    return Score(error=wrong.item() / done, n=done)


def evaluate_on_test(
    network: Network, dataset: Dataset, *, data: ResidentData, compute: Compute, clock: TrainingClock, mirrored: bool = False
) -> Score:
    """The error on all test images, in the arithmetic of an exported program, fp32, however the network was trained on `data`.

    The other arguments are those of `evaluate`.

    Raises:
        DatasetError: there are no test images.
        RuntimeError, MemoryError: memory does not suffice.
    """
    images, labels = dataset.test_part()
    test = replace(
        data,
        images=to_device(images, compute.device),
        labels=labels_to_device(labels, compute.device),
        valid=torch.arange(len(labels), device=compute.device),
    )
    with compute.unrounded():
        return evaluate(network, test, compute=replace(compute, precision="fp32"), clock=clock, mirrored=mirrored)
