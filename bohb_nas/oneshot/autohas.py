"""AutoHAS: a controller learns which network, training and augmentation suit weights that all candidates share (Dong et al. 2020).

Two steps alternate. The shared weights take one step under a drawn candidate; then the controller judges several candidates by what
each makes of the shared weights in a few steps of its own, on temporary copies that are thrown away (arXiv:2006.03656, v2, section 3).
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from ConfigSpace import ConfigurationSpace
from torch import Tensor

from bohb_nas import networks
from bohb_nas.errors import OptionError
from bohb_nas.layers.arithmetic import size
from bohb_nas.one_shot_settings import AutoHas
from bohb_nas.oneshot import steps
from bohb_nas.oneshot.bank import Bank
from bohb_nas.oneshot.chance import Chance, Purpose
from bohb_nas.oneshot.controller import Baseline, Controller, entropy_gradient
from bohb_nas.oneshot.decisions import Decisions, Draw
from bohb_nas.oneshot.pathwise import pathwise_names
from bohb_nas.oneshot.supply import Material, Supply
from bohb_nas.oneshot.temporary import VALID_BATCHES, HeldOut, Temporary
from bohb_nas.records import Value
from bohb_nas.space.encoding import plain
from bohb_nas.training.networks import Network
from bohb_nas.training.recipe import read
from bohb_nas.training.schedules import trapezoid
from bohb_nas.training.validation import Score

HELD: Mapping[str, str] = {
    "optimizer": "shared weights are trained by SGD",
    "batch_size": "a reward after a few steps cannot rank it",
    "schedule": "it acts over a whole training",
    "warm_up": "it acts over a whole training",
    "average": "it acts over a whole training",
    "average_span": "it acts over a whole training",
}
"""Hyperparameters that stay at their default, and why."""
_WAY = 6.0
"""How far a logit can come from one end of the search to the other: what is said for it throughout is then all but certain, and of
arms that are alike the walk, as long as the root of the number of steps, is the shorter the more steps there are."""
_FASTEST = 0.1
"""However few steps there are."""
_COPIES = 6
"""Of the weights of a candidate: shared and temporary ones, both with momenta, a gradient and a sum."""
_ROOM = 0.6
"""Of all memory, for one candidate's step by arithmetic."""
TRIES = 1000
"""Of a candidate that is small enough."""


class AutoHasSearch:
    """The search.

    Args:
        settings: how it is done.
        material: what it is done with.

    Raises:
        OptionError: the space has nothing that it can search.
    """

    def __init__(self, settings: AutoHas, material: Material) -> None:
        self._settings, self._data, self._compute = settings, material.data, material.compute
        self._decisions = decisions_of(settings, material.space)
        baseline: Baseline = "moving" if settings.n_rollouts == 1 else settings.compare
        self._controller = Controller(self._decisions.sizes, entropy=settings.entropy, baseline=baseline)
        bank = self._bank = Bank(
            image_shape=self._data.image_shape,
            n_classes=self._data.n_classes,
            seed=material.seed,
            device=self._compute.device,
            memory_format=self._compute.memory_format,
        )
        self._chance = Chance(material.seed)
        self._room = _ROOM * self._compute.total_bytes()
        self._too_large = 0
        """Candidates that were not tried because they would not have fitted into memory."""
        self._steps = 0
        self._rewarded = 0
        """Steps of the controller."""
        self._reward = math.nan
        """Mean of the last ones."""
        usual = read(next(self._decisions.corners()))[1]
        supply = self._supply = Supply(material, self._chance, batch_size=usual.batch_size)
        n_followed = min(VALID_BATCHES * usual.batch_size, len(self._data.valid)) if settings.controller == "differentiable" else 0
        self._held = max(usual.batch_size, n_followed)
        """Images whose activations wait for a backward pass: `differentiable` follows a loss under the statistics of several batches."""
        self._temporary = Temporary(settings, bank=bank, supply=supply, compute=self._compute, n_classes=self._data.n_classes)
        self._chosen: tuple[int, dict[str, Value]] | None = None
        """At which step what was found."""

    @staticmethod
    def check(settings: AutoHas, space: ConfigurationSpace) -> list[str]:
        """What is held fixed and why, a line each.

        Raises:
            OptionError: the space has nothing that the search can decide.
        """
        held = decisions_of(settings, space).held
        return [f"{name} stays at {value}: {why}" for name, (value, why) in held.items()]

    @property
    def steps(self) -> int:
        """Of the shared weights."""
        return self._steps

    def disturb(self, n: int) -> None:
        """Goes on with other random numbers."""
        self._chance.disturbed = n

    def step(self, u: float, rest: float) -> float:
        """One step of the shared weights and, when it is due, one of the controller; returns the training loss."""
        layers, recipe = read(self._trained(self._draw("draw"), u))
        candidate = self._bank.candidate(layers)
        weights, momenta, statistics = candidate.weights(), candidate.momenta(), candidate.statistics()
        loss, gradients, statistics = self._temporary.gradients(candidate, weights, statistics, recipe, number=self._steps)
        rate = recipe.learning_rate * trapezoid(u)
        weights, momenta = steps.sgd(weights, momenta, gradients, rate=rate, momentum=recipe.momentum, weight_decay=recipe.weight_decay)
        candidate.write(weights, momenta, statistics)
        self._steps += 1
        if self._settings.learns(u) and self._steps % self._settings.interval == 0:
            self._learn(self._rate(u, rest))
        return float(loss)

    def _trained(self, draw: Draw, u: float) -> dict[str, Value]:
        """The configuration of a draw under which the shared weights take a step.

        While the controller learns, numbers are those drawn: weights that only ever saw the mean of the rates settle where it suits them,
        and any larger rate is harm. What `differentiable` follows is at its mean, where the gradient is taken. What remains of the budget
        is trained as what is found will be.
        """
        followed = pathwise_names(self._decisions) if self._settings.controller == "differentiable" else ()
        return self._decisions.blended(draw, self._controller.probabilities(), among=followed if u <= self._settings.until else None)

    def _rate(self, u: float, rest: float) -> float:
        """Of the controller's step at this point of the search."""
        if self._settings.fixed_rate is not None:
            return self._settings.fixed_rate
        share = self._settings.interval * (1 - u) / max(1.0, rest - 1) / (self._settings.until - self._settings.warm_up)
        return min(_FASTEST, _WAY * share)

    def _learn(self, rate: float) -> None:
        """One step of the controller: common batches, and of the shared weights not a trace."""
        draws = [self._draw("candidates", part=k) for k in range(self._settings.n_rollouts)]
        valid, number = self._valid(), self._steps
        if self._settings.controller == "differentiable":
            rewards, gradients = self._temporary.differentiate(
                draws, valid, decisions=self._decisions, controller=self._controller, number=number
            )
            probabilities, by_path = self._controller.probabilities(), pathwise_names(self._decisions)
            draws = [{name: i for name, i in draw.items() if name not in by_path} for draw in draws]
            gradients = {name: g + self._settings.entropy * entropy_gradient(probabilities[name]) for name, g in gradients.items()}
            self._controller.nudge(gradients, rate=rate)
        else:
            rewards = [self._temporary.reward(self._decisions.config(draw), valid, number=number) for draw in draws]
        self._controller.update(draws, rewards, rate=rate)
        self._rewarded += 1
        self._reward = float(np.mean(rewards))

    def _valid(self) -> HeldOut:
        """What is held out, as the next step of the controller sees it."""
        return self._supply.held_out(self._rewarded, VALID_BATCHES * self._supply.batch_size)

    def _draw(self, purpose: Purpose, *, part: int = 0) -> Draw:
        """A candidate that is not too large."""
        rng = self._chance.rng(purpose, self._steps, part)
        probabilities = self._controller.probabilities()
        for _ in range(TRIES):
            draw = self._decisions.sample(probabilities, rng)
            if self._fits(self._decisions.config(draw)):
                return draw
        raise OptionError(
            f"of {TRIES} configurations none has at most {self._settings.max_flops or math.inf:g} FLOPs and "
            f"{self._settings.max_params or math.inf:g} parameters and fits into {self._room / 2**30:.3g} GiB of memory; "
            "accepted are larger bounds, or a space of smaller networks"
        )

    def _fits(self, config: Mapping[str, Value]) -> bool:
        """Whether a network keeps the bounds, and a step of it the memory."""
        sizes = size(networks.network(config), image_shape=self._data.image_shape, n_classes=self._data.n_classes)
        most = {"flops": self._settings.max_flops, "params": self._settings.max_params}
        if any(bound is not None and sizes[name] > bound for name, bound in most.items()):
            return False
        needed = 4 * _COPIES * sizes["params"] + self._compute.element_bytes * self._held * sizes["activations"]
        self._too_large += needed > self._room
        return needed <= self._room

    def found(self) -> dict[str, Value]:
        """The configuration that the controller prefers; of the baselines that never learn, the best of some or one at random."""
        if self._chosen is None or self._chosen[0] != self._steps:
            self._chosen = self._steps, self._choice()
        return dict(self._chosen[1])

    def _choice(self) -> dict[str, Value]:
        match self._settings.controller:
            case "random":
                return self._decisions.config(self._draw("found"))
            case "uniform":
                draws = [self._draw("found", part=k) for k in range(self._settings.tried)]
                valid, number = self._valid(), self._steps
                configs = [self._decisions.config(draw) for draw in draws]
                return max(configs, key=lambda config: self._temporary.reward(config, valid, number=number))
            case _:
                return self._decoded()

    def _decoded(self) -> dict[str, Value]:
        """The likeliest configuration, or where that is too large the likeliest of many drawn."""
        probabilities = self._controller.probabilities()
        decoded = self._decisions.decode(probabilities)
        if self._fits(decoded):
            return decoded
        draws = [self._draw("found", part=k) for k in range(TRIES // 10)]
        likeliest = max(draws, key=lambda draw: self._decisions.log_probability(draw, probabilities) / len(draw))
        return self._decisions.blended(likeliest, probabilities)

    def judge(self, allowance_s: float) -> Score:
        """The validation error of the found configuration with the shared weights, under the statistics of each batch."""
        del allowance_s  # a pass over what is held out is a few steps' worth
        return Score(error=self._temporary.error(self.found(), self._data), n=len(self._data.valid))

    def told(self) -> dict[str, Any]:
        """What became of the controller."""
        probabilities, entropies = self._controller.probabilities(), self._controller.entropies()
        updates = self._controller.updates
        return {
            "controller": self._settings.controller,
            "controller_steps": self._rewarded,
            "capped": self._temporary.capped,
            "too_large": self._too_large,
            "held": {name: {"value": value, "reason": why} for name, (value, why) in self._decisions.held.items()},
            "decisions": {
                decision.name: {
                    "values": [plain(value) for value in decision.values],
                    "probabilities": [float(p) for p in probabilities[decision.name]],
                    "entropy": float(entropies[decision.name]),
                    "updates": updates[decision.name],
                }
                for decision in self._decisions.decisions
            },
        }

    def point(self) -> dict[str, float]:
        """The mean entropy of the decisions that were ever to be made, of all of them at first, and the last reward."""
        made = {name for name, n in self._controller.updates.items() if n}
        entropies = [entropy for name, entropy in self._controller.entropies().items() if name in made or not made]
        found = {"controller_steps": float(self._rewarded), "entropy": float(np.mean(entropies))}
        return found if math.isnan(self._reward) else {**found, "reward": self._reward}

    def state(self) -> dict[str, Any]:
        """All but the tensors."""
        reward = None if math.isnan(self._reward) else self._reward
        counts = {"steps": self._steps, "rewarded": self._rewarded, "capped": self._temporary.capped, "disturbed": self._chance.disturbed}
        counts["too_large"] = self._too_large
        return {**counts, "reward": reward, "controller": self._controller.state()}

    def tensors(self) -> dict[str, Tensor]:
        """The shared weights and what goes with them."""
        return self._bank.tensors()

    def restore(self, tensors: Mapping[str, Tensor], state: Mapping[str, Any]) -> None:
        """Puts the search where another's was."""
        self._chosen = None
        self._bank.restore(tensors)
        self._controller.restore(state["controller"])
        self._steps, self._rewarded, self._temporary.capped = int(state["steps"]), int(state["rewarded"]), int(state["capped"])
        self._too_large, self._chance.disturbed = int(state["too_large"]), int(state["disturbed"])
        self._reward = math.nan if state["reward"] is None else float(state["reward"])

    def model(self) -> Network | None:
        """None: what is found has to be trained by itself."""
        return None


def decisions_of(settings: AutoHas, space: ConfigurationSpace) -> Decisions:
    """What the controller decides.

    Raises:
        OptionError: nothing is left to decide, or the optimizer that is held is not SGD.
    """
    if "optimizer" in space and plain(space["optimizer"].default_value) != "sgd":
        raise OptionError(
            f"the default of optimizer is {plain(space['optimizer'].default_value)!r}; shared weights are trained by SGD: accepted is 'sgd'"
        )
    return Decisions(space, held=HELD, architecture=networks.accepted(), n_bases=settings.n_bases)
