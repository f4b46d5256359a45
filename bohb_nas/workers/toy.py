"""A worker without training: a closed-form learning curve over the space `toy`, for tests and first steps.

loss(c, b) = f(c) + (1 - f(c)) / (1 + b)^(1/2) + noise, with b the budget in its unit and the floor

    f(c) = 0.02 + 0.05 (log10 lr + 2)^2 + 0.001 (width - 8)^2 + (0.5 (momentum - 0.9)^2 with sgd, 0.03 with adam),

cut off at 1. The noise is uniform in ±0.005 and fixed by seed and budget. The best configuration is `toy.OPTIMUM` of the space.
"""

import math
import random
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bohb_nas.errors import OptionError
from bohb_nas.records import Result, Status, Trial, Value

_NOISE = 0.005


@dataclass(frozen=True, slots=True, kw_only=True)
class ToyWorker:
    """Answers from the formula."""

    seconds_per_budget: float

    def train(self, trial: Trial, workdir: Path) -> Result:
        """Sleeps as asked, then answers; writes nothing."""
        del workdir
        time.sleep(self.seconds_per_budget * trial.budget)
        loss = curve(trial.config, trial.budget) + random.Random(f"{trial.seed} {trial.budget!r}").uniform(-_NOISE, _NOISE)
        return Result(trial_id=trial.trial_id, status=Status.OK, loss=loss, train_s=trial.budget, metrics={"floor": floor(trial.config)})


def make(*, seconds_per_budget: float = 0.0) -> ToyWorker:
    """The worker.

    Args:
        seconds_per_budget: how long to really sleep per unit of budget, so that engines have something to wait for.

    Raises:
        OptionError: a negative or infinite number of seconds.
    """
    if not 0 <= seconds_per_budget < math.inf:
        raise OptionError(f"seconds_per_budget {seconds_per_budget}: accepted is a number from 0")
    return ToyWorker(seconds_per_budget=seconds_per_budget)


def floor(config: Mapping[str, Value]) -> float:
    """What the loss tends to, in [0.02, 1]."""
    lr, width = float(config["lr"]), float(config["width"])
    optimizer = 0.5 * (float(config["momentum"]) - 0.9) ** 2 if config["optimizer"] == "sgd" else 0.03
    return min(1.0, 0.02 + 0.05 * (math.log10(lr) + 2) ** 2 + 0.001 * (width - 8) ** 2 + optimizer)


def curve(config: Mapping[str, Value], budget: float) -> float:
    """The loss without noise at a budget."""
    f = floor(config)
    return f + (1 - f) / math.sqrt(1 + budget)
