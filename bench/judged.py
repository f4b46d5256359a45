"""Trains configurations on most of a data set's training images, and judges them afterwards on the others and on the test images."""

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from bohb_nas.datasets import Dataset, split
from bohb_nas.layers.arithmetic import size
from bohb_nas.training.clock import TrainingClock
from bohb_nas.training.data import ResidentData, resident, to_device
from bohb_nas.training.device import Compute
from bohb_nas.training.learner import Learner, start
from bohb_nas.training.loop import Plan, fit
from bohb_nas.training.schedules import named
from bohb_nas.training.validation import evaluate


class Judge:
    """The images, and what trains and judges on them: 90 % of the training images for the former.

    Args:
        dataset: with test images.
        compute: where.
    """

    def __init__(self, dataset: Dataset, compute: Compute) -> None:
        if dataset.test_images is None or dataset.test_labels is None:
            raise ValueError(f"data set {dataset.name} has no test images; accepted is one that has")
        device = compute.device
        train, valid = split(dataset.train_labels, valid_fraction=0.1, seed=0)
        self.compute = compute
        self._data: ResidentData = resident(
            dataset.train_images,
            dataset.train_labels,
            train=train,
            valid=np.arange(0),  # judged afterwards, off the clock, not along the curve
            n_classes=len(dataset.classes),
            device=device,
        )
        self._held_out = replace(self._data, valid=torch.tensor(valid, device=device))
        test_labels = torch.tensor(dataset.test_labels, device=device)
        everything = torch.arange(len(test_labels), device=device)
        self._test = replace(self._data, images=to_device(dataset.test_images, device), labels=test_labels, valid=everything)

    def train(
        self, config: Mapping[str, Any], *, seed: int, seconds: Callable[[], float], network: str | None = None, mirrored: bool = False
    ) -> dict[str, Any]:
        """How the training of a configuration went, and its errors where it ended well.

        Args:
            config: of the joint space, or what `network` takes.
            seed: of weights and streams.
            seconds: of training, asked as soon as it can begin.
            network: as for `bohb_nas.training.learner.start`.
            mirrored: whether to judge with mirror images, too.
        """
        learner = start(config, data=self._data, compute=self.compute, seed=seed, network=network)
        clock = TrainingClock(self.compute.device)
        schedule = named(learner.recipe.schedule or "cosine", rung=0, warm_up=learner.recipe.warm_up)
        trained = fit(learner, Plan(budget_s=seconds(), schedule=schedule), clock, lambda _: None)
        ended = time.monotonic()
        return {
            "status": str(trained.status),
            "message": trained.message,
            "config": dict(config),
            "train_s": trained.train_s,
            "warmup_s": trained.warmup_s,
            "ended": ended,
            "steps": trained.steps,
            "images_per_s": trained.steps * learner.recipe.batch_size / trained.train_s if trained.train_s else 0.0,
            "train_error": trained.train_error,
            "precision": self.compute.precision,
            **size(learner.network.layers, image_shape=self._data.image_shape, n_classes=self._data.n_classes),
            **(self._judged(learner, clock, mirrored=mirrored) if trained.status == "ok" else {}),
            "judge_s": time.monotonic() - ended,
        }

    def _judged(self, learner: Learner, clock: TrainingClock, *, mirrored: bool) -> dict[str, float]:
        """The errors on all held-out images and on all test images."""
        found: dict[str, float] = {}
        for part, data in (("valid", self._held_out), ("test", self._test)):
            for suffix in ("", "_mirrored") if mirrored else ("",):
                score = evaluate(learner.outcome, data, compute=self.compute, clock=clock, mirrored=bool(suffix))
                found |= {f"{part}_error{suffix}": score.error, f"n_{part}": score.n}
        return found
