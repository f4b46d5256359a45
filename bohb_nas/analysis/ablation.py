"""The path from a known configuration to the incumbent: at each step the change that lowers the predicted loss most.

After Fawcett and Hoos 2016 (Journal of Heuristics 22, 431-458), on the predictions of a forest in place of new trainings. Where a change
makes hyperparameters inactive they go with it; those that it makes active come with it, with the start's value, else the incumbent's,
else the default. Clauses that forbid combinations are not looked at: nothing is trained.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import cast

import numpy as np
from ConfigSpace import ConfigurationSpace

from bohb_nas.analysis.findings import Ablation, AblationStep
from bohb_nas.arrays import Floats
from bohb_nas.records import Value
from bohb_nas.space.encoding import Encoding, plain

Config = Mapping[str, Value]
Predict = Callable[[Sequence[Config]], Floats]
"""Of n configurations, the loss by each tree, (n_trees, n)."""


def path(space: ConfigurationSpace, predict: Predict, start: Config, goal: Config, *, name: str, budget: float) -> Ablation:
    """The path.

    Args:
        space: of both configurations.
        predict: the forest.
        start: where it begins.
        goal: where it ends.
        name: of the start.
        budget: of the losses that the forest learned.
    """
    walk = _Walk(space, start, goal)
    loss, spread = _summary(predict([walk.config(walk.values)])[:, 0])
    steps: list[AblationStep] = []
    while choices := walk.choices():
        predicted = predict([walk.config({**walk.values, name: goal[name]}) for name in choices])
        best = int(np.argmin(predicted.mean(axis=0)))
        steps.append(walk.step(choices[best], predicted[:, best]))
    return Ablation(start=name, budget=budget, loss=loss, spread=spread, steps=steps)


class _Walk:
    """Where a path stands: a value for every hyperparameter, active or not."""

    def __init__(self, space: ConfigurationSpace, start: Config, goal: Config) -> None:
        self._encoding = Encoding(space)
        self._goal = goal
        choices = {name: cast(Value, plain(space[name].default_value)) for name in self._encoding.names}
        self.values: dict[str, Value] = choices | {name: config[name] for config in (goal, start) for name in config if name in choices}

    def config(self, values: Config) -> dict[str, Value]:
        """What of values for all hyperparameters is active."""
        active = self._encoding.active(self._encoding.encode([values]))[0]
        return {name: values[name] for name, is_active in zip(self._encoding.names, active, strict=True) if is_active}

    def choices(self) -> list[str]:
        """What is active and not yet as in the goal."""
        return [name for name, value in self.config(self.values).items() if name in self._goal and self._goal[name] != value]

    def step(self, name: str, predicted: Floats) -> AblationStep:
        """Sets a hyperparameter to the goal's value."""
        before = self.config(self.values)
        self.values[name] = self._goal[name]
        after = self.config(self.values)
        names = [name, *(other for other in self._encoding.names if (other in before) != (other in after))]
        loss, spread = _summary(predicted)
        return AblationStep(
            names=names,
            before={n: before.get(n) for n in names},
            after={n: after.get(n) for n in names},
            loss=loss,
            spread=spread,
        )


def _summary(predicted: Floats) -> tuple[float, list[float]]:
    """Mean and [5th, 95th] percentile of (n_trees,)."""
    return float(predicted.mean()), [float(q) for q in np.quantile(predicted, [0.05, 0.95])]
