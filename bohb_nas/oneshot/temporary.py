"""What candidates make of shared weights in steps of their own, on copies that are thrown away (arXiv:2006.03656, v2, section 3)."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from bohb_nas.one_shot_settings import AutoHas
from bohb_nas.oneshot import steps
from bohb_nas.oneshot.bank import Bank, Candidate
from bohb_nas.oneshot.controller import Controller
from bohb_nas.oneshot.decisions import Decisions, Draw
from bohb_nas.oneshot.pathwise import Followed, Number, pathwise_names, through_the_step
from bohb_nas.oneshot.steps import Tensors
from bohb_nas.oneshot.supply import Supply
from bohb_nas.records import Value
from bohb_nas.training.data import ResidentData
from bohb_nas.training.device import Compute
from bohb_nas.training.learner import SMALLEST_MICRO_BATCH
from bohb_nas.training.recipe import Recipe, read

VALID_BATCHES = 4
"""Batches that a reward is measured on, in those of a training step, as in TuNAS (Bender et al. 2020)."""
_WORST = 3.0
"""Times the loss of a guess: no candidate is judged to be worse."""

HeldOut = tuple[Tensor, Tensor]
"""Images held out, unchanged, [n, C, H, W], and their labels [n]."""


class Temporary:
    """Judges candidates; the bank stays as it is, except that it grows.

    Each network comes a few times: trying cuDNN's algorithms for its shapes would cost more than they save.

    Args:
        settings: of the search.
        bank: has the weights.
        supply: has the batches.
        compute: where and how precisely.
        n_classes: outputs.
    """

    def __init__(self, settings: AutoHas, *, bank: Bank, supply: Supply, compute: Compute, n_classes: int) -> None:
        self._settings, self._bank, self._supply, self._compute = settings, bank, supply, compute
        self._worst = _WORST * math.log(n_classes)
        self.capped = 0
        """Candidates that were no better than `_WORST` allows, or of which nothing finite was left."""

    def gradients(
        self, candidate: Candidate, weights: Tensors, statistics: Tensors, recipe: Recipe, *, number: int, ahead: int = 0
    ) -> tuple[Tensor, dict[str, Tensor], dict[str, Tensor]]:
        """Loss, gradients and new statistics on the batch that is so many steps ahead of a step's number."""
        images, targets, _ = self._supply.training(number + ahead, recipe)
        noise = self._supply.noise(candidate.network, len(images), number, part=ahead)
        smoothing, network = recipe.label_smoothing, candidate.network
        with self._compute.untried():
            loss, _, gradients, moved = steps.gradients(
                network, weights, statistics, images, targets, noise, self._compute, label_smoothing=smoothing
            )
        return loss, gradients, moved

    def reward(self, config: Mapping[str, Value], valid: HeldOut, *, number: int) -> float:
        """What a configuration makes of the shared weights; its rate falls to zero, as at the end of a training.

        Args:
            config: of the candidate.
            valid: what it is judged on.
            number: of the step of the shared weights that comes next: its batches are those ahead.
        """
        layers, recipe = read(config)
        candidate = self._bank.candidate(layers)
        weights, momenta, statistics = candidate.weights(), candidate.momenta(), candidate.statistics()
        horizon = self._settings.horizon
        for i in range(horizon):
            _, gradients, statistics = self.gradients(candidate, weights, statistics, recipe, number=number, ahead=1 + i)
            rate = recipe.learning_rate * (1 - i / horizon)
            weights, momenta = steps.sgd(weights, momenta, gradients, rate=rate, momentum=recipe.momentum, weight_decay=recipe.weight_decay)
        return self._judged(self.valid_logits(candidate, weights, statistics, valid[0]), valid[1])

    def _judged(self, logits: Tensor, labels: Tensor) -> float:
        """The reward of logits [n, classes] on labels [n]."""
        loss = float(functional.cross_entropy(logits, labels))
        by_accuracy = self._settings.rewarded == "accuracy"
        if not (math.isfinite(loss) if by_accuracy else loss < self._worst):
            self.capped += 1
            return 0.0 if by_accuracy else -self._worst
        return float((logits.argmax(1) == labels).float().mean()) if by_accuracy else -loss

    def error(self, config: Mapping[str, Value], data: ResidentData) -> float:
        """Share of the images held out that the shared weights of a configuration classify wrongly, in as large batches as memory holds."""
        candidate = self._bank.candidate(read(config)[0])
        weights, statistics = candidate.weights(), candidate.statistics()

        def wrong(at_once: int) -> int:
            """As evenly divided as can be: a batch of few has poor statistics."""
            parts = torch.tensor_split(data.valid, math.ceil(len(data.valid) / at_once))
            found = (self.valid_logits(candidate, weights, statistics, self._supply.shown(part)).argmax(1) for part in parts)
            return sum(int((classes != data.labels[part]).sum()) for classes, part in zip(found, parts, strict=True))

        most = min(self._compute.evaluation_batch, len(data.valid))
        return self._compute.fitting(wrong, most, least=SMALLEST_MICRO_BATCH)[0] / len(data.valid)

    def differentiate(
        self, draws: Sequence[Draw], valid: HeldOut, *, decisions: Decisions, controller: Controller, number: int
    ) -> tuple[list[float], dict[str, npt.NDArray[np.float64]]]:
        """Rewards, and the gradients of their mean by the logits of the numbers that act in the step itself."""
        rewards, total = list[float](), dict[str, npt.NDArray[np.float64]]()
        for draw in draws:
            found = self.follow(draw, valid, decisions=decisions, controller=controller, number=number)
            good = found.loss < self._worst and all(np.isfinite(gradient).all() for gradient in found.gradients.values())
            self.capped += not good
            rewards.append(-found.loss if good else -self._worst)
            for name, gradient in found.gradients.items() if good else ():
                total[name] = total.get(name, np.zeros(len(gradient))) - gradient / len(draws)
        return rewards, total

    def follow(self, draw: Draw, valid: HeldOut, *, decisions: Decisions, controller: Controller, number: int) -> Followed:
        """One temporary step of a candidate, and what its validation loss says of the numbers that act in it.

        These are at their means, where their gradient is taken; the others are those drawn, so that the loss judges the draw.
        """
        layers, recipe = read(decisions.blended(draw, controller.probabilities(), among=pathwise_names(decisions)))
        candidate = self._bank.candidate(layers)
        weights, momenta = candidate.weights(), candidate.momenta()
        _, gradients, statistics = self.gradients(candidate, weights, candidate.statistics(), recipe, number=number, ahead=1)

        def step(rate: Number, momentum: Number, weight_decay: Number) -> dict[str, Tensor]:
            return steps.sgd(weights, momenta, gradients, rate=rate, momentum=momentum, weight_decay=weight_decay)[0]

        def loss(after: Tensors) -> Tensor:
            return functional.cross_entropy(self.valid_logits(candidate, after, statistics, valid[0], learning=True), valid[1])

        return through_the_step(decisions, controller.logits, draw, recipe, step=step, loss=loss)

    def valid_logits(
        self, candidate: Candidate, weights: Tensors, statistics: Tensors, images: Tensor, *, learning: bool = False
    ) -> Tensor:
        """By the statistics of the batch: the shared ones are of no single candidate."""
        with torch.set_grad_enabled(learning), self._compute.untried():
            return steps.logits(candidate.network, weights, statistics, images, None, self._compute)[0]
