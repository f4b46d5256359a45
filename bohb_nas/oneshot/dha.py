"""DHA: network, hyperparameters and augmentation in one stage, at whose end the weights are trained (Zhou et al. 2022, arXiv:2109.05765).

Every node of a cell keeps two operators, those that its code stands for (`sparse_coding`), and only these are computed: a step costs
what a step of the network costs that is found. Learning rate and weight decay follow hypergradients on images held out
(`hypergradients`), the augmentation policy follows every batch (`online_policy`). What an operator adds to its node is scaled by the
normalisation behind it, whose scale is the operator's weight: so there is nothing to fold in at the end, and nothing to strip.
"""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from ConfigSpace import ConfigurationSpace
from torch import Tensor
from torch.nn import functional

from bohb_nas.networks import cell as cells
from bohb_nas.one_shot_settings import Dha
from bohb_nas.oneshot import hypergradients, steps
from bohb_nas.oneshot.bank import Bank, Candidate
from bohb_nas.oneshot.cell_codes import CellCodes, columns_of
from bohb_nas.oneshot.cell_networks import CellNetwork, CellNetworks, Skeleton
from bohb_nas.oneshot.cell_space import DECIDED, base, bounded, cell_defaults, within
from bohb_nas.oneshot.chance import Chance
from bohb_nas.oneshot.online_policy import OnlinePolicy, as_config, default_pool
from bohb_nas.oneshot.supply import Material, Supply
from bohb_nas.records import Value
from bohb_nas.training.clock import TrainingClock
from bohb_nas.training.networks import Network
from bohb_nas.training.policies import Choice
from bohb_nas.training.recipe import REFERENCE_BATCH
from bohb_nas.training.validation import Score, evaluate

_CLIP = 5.0
"""Norm of the gradient of all weights, at most."""
_WARM_UP = 0.05
"""Fraction of the budget during which the learning rate rises."""


class DhaSearch:
    """The search.

    Args:
        settings: how it is done.
        material: what it is done with.
        skeleton: the network around the cells; None is that of NAS-Bench-201 at the space's defaults.
        pool: of the augmentation policy, the unchanged image first; None is every operator that a searched policy can weigh.

    Raises:
        OptionError: the space has no cells, or what is held out cannot guide hyperparameters.
    """

    def __init__(
        self, settings: Dha, material: Material, *, skeleton: Skeleton | None = None, pool: Sequence[Choice] | None = None
    ) -> None:
        self._settings, self._data, self._compute = settings, material.data, material.compute
        self._space, self._chance = material.space, Chance(material.seed)
        self._recipe, defaults = base(material.space), cell_defaults(material.space)
        if settings.hyper_rate > 0:
            hypergradients.disjoint(material.data.train, material.data.valid)
            hypergradients.enough(len(material.data.valid), n_classes=material.data.n_classes)
        around = skeleton or (lambda cell: cells.skeleton(cell, channels=defaults["cell_channels"], repeats=defaults["cell_repeats"]))
        self._cell = CellCodes(columns_of(material.space), settings, self._chance)
        self._rate = bounded(
            material.space, "sgd_learning_rate", settings.rate, low=settings.rate_low, high=settings.rate_high, rate=settings.hyper_rate
        )
        self._decay = bounded(
            material.space,
            "sgd_weight_decay",
            settings.weight_decay,
            low=settings.weight_decay_low,
            high=settings.weight_decay_high,
            rate=settings.hyper_rate,
        )
        self._policy = OnlinePolicy(
            default_pool() if pool is None else pool,
            objective=settings.policy,
            rate=settings.policy_rate,
            rho=settings.rho,
            n_classes=self._data.n_classes,
        )
        self._bank = Bank(
            image_shape=self._data.image_shape,
            n_classes=self._data.n_classes,
            seed=material.seed,
            device=self._compute.device,
            memory_format=self._compute.memory_format,
        )
        self._networks = CellNetworks(around, self._cell.columns, self._bank)
        self._supply = Supply(material, self._chance, batch_size=self._recipe.batch_size)
        self._steps = 0

    @staticmethod
    def check(space: ConfigurationSpace) -> list[str]:
        """What is held fixed and why, a line each.

        Raises:
            OptionError: the space has no cells to search.
        """
        columns_of(space)
        defaults = cell_defaults(space)
        held = [f"{name} stays at {defaults[name]}: DHA searches the operators of a cell" for name in ("cell_repeats", "cell_channels")]
        return [*held, *(f"{name} is not searched: DHA trains by SGD in one stage" for name in DECIDED if name in space)]

    @property
    def steps(self) -> int:
        """Of the weights."""
        return self._steps

    def disturb(self, n: int) -> None:
        """Goes on with other random numbers, and at half the learning rate."""
        self._chance.disturbed = n
        self._rate.value = max(self._rate.low, self._rate.value / 2)

    def step(self, u: float, rest: float) -> float:
        """One step of weights, codes and policy and, when they are due, of the hyperparameters; returns the training loss."""
        if u >= self._settings.search_share:
            self._freeze(list(self._cell.nodes), u)
        nodes, tried = self._cell.drawn(u, self._steps)
        network, kept = self._networks.of(nodes), list(self._cell.kept(nodes))
        candidate, scales = network.candidate, network.scales(kept)
        weights, momenta, statistics = {**candidate.weights(), **scales}, candidate.momenta(), candidate.statistics()
        images, targets, chosen = self._supply.training(self._steps, replace(self._recipe, policy=self._policy.policy()))
        noise = self._supply.noise(candidate.network, len(images), self._steps)
        loss, losses, gradients, statistics = steps.gradients(
            candidate.network, weights, statistics, images, targets, noise, self._compute, label_smoothing=0.0
        )
        slopes = network.slopes(kept, {name: gradients.pop(name) for name in scales})
        if not (math.isfinite(found := float(loss)) and all(map(math.isfinite, itertools.chain(*slopes.values())))):
            return math.nan
        gradients = steps.clipped(gradients, _CLIP)
        before = {name: weights[name] for name in gradients}
        after, momenta = steps.sgd(
            before,
            {name: momenta[name] for name in gradients},
            gradients,
            rate=self._step_rate(u),
            momentum=self._settings.momentum,
            weight_decay=self._decay.value,
        )
        if self._settings.hyper_rate > 0 and self._steps % self._settings.hyper_every == 0:
            self._tune(candidate, {**after, **scales}, statistics, before, momenta, gradients, u)
        candidate.write(after, momenta, statistics)
        self._cell.learn(nodes, slopes, found, tried=tried, u=u)
        self._policy.update(chosen[:, 0].cpu().numpy(), losses.cpu().numpy().astype(np.float64))
        self._steps += 1
        if self._cell.due:
            self._freeze(self._cell.recover(), u)
        return found

    def _freeze(self, targets: Sequence[int], u: float) -> None:
        """From here on these nodes' scales and shifts are weights like others."""
        if targets := [target for target in targets if target not in self._cell.frozen]:
            network = self._final()
            kept = [one for one in self._cell.kept(self._cell.nodes) if one[0] in targets]
            network.candidate.write(network.scales(kept), {}, {})
            self._cell.frozen |= dict.fromkeys(targets, u)

    def _step_rate(self, u: float) -> float:
        """The learning rate of a step: that of batches of 128 grows with the size of the batch."""
        return self._rate.value * self._recipe.batch_size / REFERENCE_BATCH * self._shape(u)

    def _shape(self, u: float) -> float:
        """Fraction of the learning rate: level during the search, half a cosine to zero once every node is frozen."""
        if u < _WARM_UP:
            return (u + 1e-3) / (_WARM_UP + 1e-3)
        if not self._cell.all_frozen:
            return 1.0
        if u >= 1:  # the nodes may have been frozen only now
            return 0.0
        begun = max(self._cell.frozen.values())
        return 0.5 * (1 + math.cos(math.pi * (u - begun) / (1 - begun)))

    def _tune(
        self,
        candidate: Candidate,
        weights: Mapping[str, Tensor],
        statistics: Mapping[str, Tensor],
        before: Mapping[str, Tensor],
        momenta: Mapping[str, Tensor],
        gradients: Mapping[str, Tensor],
        u: float,
    ) -> None:
        """A step of the hyperparameters down the loss on images held out; the learning rate only as long as its schedule is level."""
        images, labels = self._supply.held_out(self._steps, self._supply.batch_size)
        targets = functional.one_hot(labels, self._data.n_classes).float()
        noise = self._supply.noise(candidate.network, len(images), self._steps, part=1)
        _, _, held_out, _ = steps.gradients(
            candidate.network, weights, statistics, images, targets, noise, self._compute, label_smoothing=0.0
        )
        by_rate, by_decay = hypergradients.held_out(
            {name: held_out[name] for name in before},
            gradients,
            before,
            momenta,
            rate=self._step_rate(u),
            momentum=self._settings.momentum,
            weight_decay=self._decay.value,
        )
        if not self._cell.all_frozen and u >= _WARM_UP:
            self._rate.step(by_rate)
        self._decay.step(by_decay)

    def found(self) -> dict[str, Value]:
        """The cell, the learning rate, the weight decay and the policy, in the names of the space."""
        return self._in_space()[0]

    def _operators(self) -> dict[str, str]:
        """Of every edge, by its name in the space."""
        return {cells.name(edge): operator for edge, operator in self._networks.operators(self._cell.nodes).items()}

    def _in_space(self) -> tuple[dict[str, Value], dict[str, Value]]:
        hyperparameters = {
            "sgd_learning_rate": self._rate.value,
            "sgd_weight_decay": self._decay.value,
            "sgd_one_minus_momentum": 1 - self._settings.momentum,
        }
        return within(self._space, {**self._operators(), **hyperparameters, **as_config(self._policy.policy())})

    def judge(self, allowance_s: float) -> Score:
        """The error of the network as it is handed out."""
        clock = TrainingClock(self._compute.device)
        return evaluate(self.model(), self._data, compute=self._compute, clock=clock, allowance_s=allowance_s)

    def _final(self) -> CellNetwork:
        return self._networks.of(self._cell.nodes)

    def _final_weights(self) -> dict[str, Tensor]:
        network = self._final()
        return {**network.candidate.weights(), **network.scales(self._cell.kept(self._cell.nodes))}

    def model(self) -> Network:
        """The network that was trained, with the operators' weights as scales of its normalisations."""
        final = self._final()
        network = Network(
            final.layers, image_shape=self._data.image_shape, n_classes=self._data.n_classes, generator=torch.Generator().manual_seed(0)
        )
        network.load_state_dict({**network.state_dict(), **self._final_weights(), **final.candidate.statistics()})
        return network.to(self._compute.device, memory_format=self._compute.memory_format)  # type: ignore[call-overload,no-any-return]

    def told(self) -> dict[str, Any]:
        """What became of cell, hyperparameters and policy."""
        return {
            "operators": self._operators(),
            "frozen_at": {f"node_{target}": u for target, u in self._cell.frozen.items()},
            "swaps": self._cell.swaps,
            "rate": self._rate.state(),
            "weight_decay": self._decay.state(),
            "policy": self._policy.state(),
            "policy_entropy": self._policy.entropy,
            "beyond_the_space": self._in_space()[1],
        }

    def point(self) -> dict[str, float]:
        """Hyperparameters, the policy's entropy and how many nodes are frozen."""
        return {
            "rate": self._rate.value,
            "weight_decay": self._decay.value,
            "policy_entropy": self._policy.entropy,
            "frozen": float(len(self._cell.frozen)),
        }

    def state(self) -> dict[str, Any]:
        """All but the tensors."""
        return {
            "steps": self._steps,
            "disturbed": self._chance.disturbed,
            "cell": self._cell.state(),
            "rate": self._rate.state(),
            "decay": self._decay.state(),
            "policy": self._policy.state(),
        }

    def tensors(self) -> dict[str, Tensor]:
        """The shared weights and what goes with them."""
        return self._bank.tensors()

    def restore(self, tensors: Mapping[str, Tensor], state: Mapping[str, Any]) -> None:
        """Puts the search where another's was."""
        self._bank.restore(tensors)
        self._steps, self._chance.disturbed = int(state["steps"]), int(state["disturbed"])
        self._cell.restore(state["cell"])
        self._rate.restore(state["rate"])
        self._decay.restore(state["decay"])
        self._policy.restore(state["policy"])
