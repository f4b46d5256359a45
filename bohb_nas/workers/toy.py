"""A worker without training: a closed-form learning curve over the space `toy`, for tests and first steps.

loss(c, b) = f(c) + (1 - f(c)) / (1 + b)^(1/2) + noise, with b the budget in its unit and the floor

    f(c) = 0.02 + 0.05 (log10 lr + 2)^2 + 0.001 (width - 8)^2 + (0.5 (momentum - 0.9)^2 with sgd, 0.03 with adam),

cut off at 1. The noise is uniform in ±0.005 and fixed by seed and budget. The best configuration is `toy.OPTIMUM` of the space.

Asked to leave, it hands over how much of the budget it has slept; the next attempt sleeps the rest.
"""

import json
import math
import random
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from bohb_nas import leaving
from bohb_nas.errors import OptionError
from bohb_nas.files import dump_json, write_atomic
from bohb_nas.records import Result, Status, Trial, Value

_NOISE = 0.005
_SLICE_S = 0.1
"""Seconds between two looks at whether to leave."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToyWorker:
    """Answers from the formula."""

    seconds_per_budget: float
    hands_over: ClassVar[bool] = True

    def train(self, trial: Trial, workdir: Path) -> Result:
        """Sleeps as asked, then answers.

        Every result says what of the budget was slept before (`details["earlier"]`) and by this attempt (`details["attempt_s"]`), in
        units of the budget. Writes `handover/state.json` when it has to leave, and nothing otherwise.
        """
        earlier, interrupted = _slept(trial, workdir / "interrupted")
        attempt, done = self._sleep(trial.budget - earlier)
        new = trial.budget if done else earlier + attempt
        told: dict[str, Any] = {"earlier": earlier, "attempt_s": attempt}
        if interrupted is not None:
            told["interrupted"] = interrupted
        if not done:
            _hand_over(trial, new, workdir / "handover")
            message = f"asked to leave after {new:.4g} of {trial.budget:.4g}"
            return Result(
                trial_id=trial.trial_id,
                status=Status.PREEMPTED,
                loss=None,
                train_s=new,
                metrics={"new_s": new},
                details=told,
                message=message,
            )
        loss = curve(trial.config, trial.budget) + random.Random(f"{trial.seed} {trial.budget!r}").uniform(-_NOISE, _NOISE)
        metrics = {"floor": floor(trial.config), "new_s": new}
        return Result(trial_id=trial.trial_id, status=Status.OK, loss=loss, train_s=trial.budget, metrics=metrics, details=told)

    def _sleep(self, budget: float) -> tuple[float, bool]:
        """Sleeps for so much of the budget; returns how much of it was slept, and whether it was all."""
        began, until_s = time.monotonic(), self.seconds_per_budget * budget
        while (slept_s := time.monotonic() - began) < until_s:
            if leaving.asked():
                return slept_s / self.seconds_per_budget, False
            time.sleep(min(_SLICE_S, until_s - slept_s))
        return budget, True


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


def _hand_over(trial: Trial, slept: float, folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    write_atomic(folder / "state.json", dump_json({"trial": trial.to_json(), "slept": slept}))


def _slept(trial: Trial, folder: Path) -> tuple[float, dict[str, Any] | None]:
    """How much of its budget earlier attempts at a trial slept; and if they left something, whether it is of use, and why not."""
    if not folder.is_symlink() and not folder.exists():
        return 0.0, None
    try:
        state = json.loads((folder / "state.json").read_text())
        slept = float(state["slept"])
        if state["trial"] != trial.to_json():
            raise ValueError("it is of another trial")
        if not 0 <= slept < trial.budget:
            raise ValueError(f"it has slept {slept:.4g} of {trial.budget:.4g}")
    except (OSError, ValueError, KeyError, TypeError) as e:
        return 0.0, {"resumed": False, "reason": str(e)}
    return slept, {"resumed": True, "reason": None}
