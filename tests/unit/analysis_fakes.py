"""Studies made by hand for an analysis, and a forest that says what it is told."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from ConfigSpace import ConfigurationSpace
from numpy.typing import NDArray

from bohb_nas.analysis.findings import Importance
from bohb_nas.records import Budgets, Origin, Result, Status, Trial, Value
from bohb_nas.search_spaces.toy import space as toy
from bohb_nas.space.files import space_to_json
from bohb_nas.store.journal import Event
from bohb_nas.store.study_dir import FORMAT, StudyDir

Config = Mapping[str, Value]

META: dict[str, Any] = {
    "format": FORMAT,
    "space": "toy",
    "method": "bohb",
    "method_options": {},
    "worker": "toy",
    "worker_options": {"dataset": "digits"},
    "budgets": Budgets(min=1, max=9).to_json(),
    "seed": 3,
    "promote": "restart",
    "cwd": "/",
    "stop": {"brackets": None, "trials": 9, "total_s": None},
}


@dataclass(frozen=True, kw_only=True)
class Run:
    """An evaluation to be: asked and told at these seconds."""

    config_id: str
    budget: float = 1.0
    loss: float | Status = 0.5
    """Or how it failed."""
    origin: Origin = Origin.RANDOM
    config: Config = field(default_factory=lambda: {"lr": 0.01, "optimizer": "adam", "width": 4})
    asked: float = 0.0
    told: float = 1.0
    seed: int = 0
    metrics: Mapping[str, float] = field(default_factory=dict)
    details: Mapping[str, Any] = field(default_factory=dict)
    message: str | None = None

    @property
    def trial(self) -> Trial:
        return Trial(
            trial_id=f"{self.config_id}-{self.budget:g}-{self.seed}",
            config_id=self.config_id,
            config=self.config,
            budget=self.budget,
            bracket=0,
            rung=0,
            seed=self.seed,
            origin=self.origin,
        )

    @property
    def result(self) -> Result:
        ok = not isinstance(self.loss, Status)
        return Result(
            trial_id=self.trial.trial_id,
            status=Status.OK if ok else Status(self.loss),  # type: ignore[arg-type]
            loss=float(self.loss) if ok else None,
            train_s=self.budget,
            metrics=self.metrics,
            details=self.details,
            message=self.message,
        )


def make_study(
    path: Path, runs: Sequence[Run] = (), *, space: ConfigurationSpace | None = None, done: bool = True, **meta: Any
) -> StudyDir:
    """A study whose journal has these evaluations, led from second 0 on."""
    study = StudyDir(path)
    study.make()
    study.write_meta(META | meta)
    study.space_json.write_text(space_to_json(space if space is not None else toy()))
    lines = [Event(term=1, time=0.0)]
    for run in runs:
        lines += [Event(term=1, time=run.asked, trial=run.trial, reason="by hand"), Event(term=1, time=run.told, result=run.result)]
    study.journal.write_text("".join(event.to_line() + "\n" for event in lines))
    if done:
        study.done.write_text("{}\n")
    return study


class Forest:
    """Trees that all are one function, and an importance that says nothing."""

    def __init__(self, function: Callable[[Config], float], n: int) -> None:
        self._function = function
        why = None if n >= 10 else f"{n} observations, at least 10 are needed"
        self.importance = Importance(n=n, refused=why, oob_r2=0.5, threshold=0.1, parameters=[], pairs=[], good=None)

    def predict(self, configs: Sequence[Config]) -> NDArray[np.float64]:
        return np.tile([self._function(config) for config in configs], (4, 1))


def explain(space: ConfigurationSpace, configs: Sequence[Config], losses: NDArray[np.float64], *, seed: int) -> Forest:
    """A forest that has learned nothing but the mean."""
    average = float(np.mean(losses / len(losses)) * len(losses))
    return Forest(lambda config: average, len(losses))
