"""One arm of `recipes.py` with one seed, in a process of its own: a fixed recipe, or a search and the training of what it found.

Loading (imports, images) and judging are apart from the seconds of every arm. A recipe trains for all of its seconds, set-up and warm-up
not counted. The search has whatever it takes on its clock: the start of `bohb-nas run`, its processes and their loading, validation,
warm-ups, the time between trials, and the final training of the winner, which gets what the search left.
"""

import json
import os
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bohb_nas.baselines import USUAL

DATA = Path(__file__).with_name("recipes_data.py")
SEARCH = "search"
"""From the small networks that ship as `joint_small`, with what they have in common as its prior."""
TOLD, ALONE, KNOWN = "search_from_recipes", "search_alone", "wrn_16_1_muon"
SEARCHES, EXTRA = (SEARCH, TOLD, ALONE), (TOLD, ALONE, KNOWN)
"""The extra ones run only where they are named: the search from the recipes, that from nothing, the first of `joint_small` alone."""

MUON: Mapping[str, Any] = {
    **{name: value for name, value in USUAL.items() if not name.startswith("sgd")},
    "optimizer": "muon",
    "muon_learning_rate": 0.06,
    "muon_one_minus_momentum": 0.05,
    "muon_weight_decay": 0.01,
}
"""The usual recipe with Muon, as in `joint_small`."""


def _multi_branch(*, blocks: int, branches: int) -> dict[str, Any]:
    """16, 32 and 64 channels."""
    groups = (1, 2, 3)
    return {
        "family": "multi_branch",
        "initial_filters": 16,
        "widen_factor_1": 1.0,
        "widen_factor_2": 2.0,
        "widen_factor_3": 2.0,
        **{f"nr_residual_blocks_{g}": blocks for g in groups},
        **{f"res_branches_{g}": branches for g in groups},
        **({"death_rate": 0.0} if branches == 1 else {}),
    }


_WRN_16_1: Mapping[str, Any] = {"family": "wrn", "wrn_blocks": 2, "wrn_widen_factor": 1.0, "wrn_dropout": 0.0}
RECIPES: Mapping[str, Mapping[str, Any]] = {
    "resnet_20": {**_multi_branch(blocks=3, branches=1), **USUAL, "sgd_weight_decay": 1e-4},
    "wrn_16_1": {**_WRN_16_1, **USUAL},
    "wrn_16_2": {"family": "wrn", "wrn_blocks": 2, "wrn_widen_factor": 2.0, "wrn_dropout": 0.0, **USUAL},
    "shake_shake_14": {**_multi_branch(blocks=2, branches=2), **USUAL},
}
"""He et al. (2016); Zagoruyko and Komodakis (2016) twice; the default of the joint space, which is Gastaldi's (2017) of two blocks."""
ARMS = (SEARCH, *RECIPES)


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What an arm is told."""

    arm: str
    seed: int
    seconds: float
    search_share: float
    """Of the seconds, for the search; the final training has the rest."""
    rungs: tuple[float, float]
    """Cheapest and dearest budget, in shares of the seconds."""
    data: Path
    """The folder of the arrays."""
    folder: Path
    """Where the study of a search goes."""


class Bench:
    """The images, and what trains and judges on them.

    Args:
        job: the arm.
    """

    def __init__(self, job: Job) -> None:
        import numpy as np
        import torch

        from bohb_nas.datasets import load_dataset, split
        from bohb_nas.training.data import resident
        from bohb_nas.training.device import choose

        torch.set_num_threads(1)
        self.job, self.compute = job, choose("cpu")
        self.dataset = load_dataset(str(DATA), data_dir=job.data)
        train, self._valid = split(self.dataset.train_labels, valid_fraction=0.1, seed=0)
        self._data = resident(
            self.dataset.train_images,
            self.dataset.train_labels,
            train=train,
            valid=np.arange(0),  # judged afterwards, off the clock, not along the curve
            n_classes=len(self.dataset.classes),
            device=self.compute.device,
        )

    def train(self, config: Mapping[str, Any], *, until: float | None = None, warmup_s: float = 0.0) -> dict[str, Any]:
        """Trains and judges a configuration.

        Args:
            config: of the joint space.
            until: when the training ends, in seconds of `time.monotonic`; None trains for all seconds of the job.
            warmup_s: what the warm-up is expected to take of the time until then.
        """
        from bohb_nas.layers.arithmetic import size
        from bohb_nas.training.clock import TrainingClock
        from bohb_nas.training.learner import start
        from bohb_nas.training.loop import Plan, fit
        from bohb_nas.training.schedules import named

        learner = start(config, data=self._data, compute=self.compute, seed=self.job.seed)
        clock = TrainingClock(self.compute.device, now=time.perf_counter)
        budget_s = self.job.seconds if until is None else until - time.monotonic() - warmup_s
        schedule = named(learner.recipe.schedule or "cosine", rung=0, warm_up=learner.recipe.warm_up)
        trained = fit(learner, Plan(budget_s=budget_s, schedule=schedule), clock, lambda point: None)
        ended = time.monotonic()
        sizes = size(learner.network.layers, image_shape=self._data.image_shape, n_classes=self._data.n_classes)
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
            **sizes,
            **(self._judged(learner, clock) if trained.status == "ok" else {}),
            "judge_s": time.monotonic() - ended,
        }

    def _judged(self, learner: Any, clock: Any) -> dict[str, Any]:
        """The errors on all held-out images and on all test images."""
        import torch

        from bohb_nas.training.data import to_device
        from bohb_nas.training.validation import evaluate

        data = learner.data
        tested = to_device(self.dataset.test_images, self.compute.device)  # type: ignore[arg-type]
        labels = torch.tensor(self.dataset.test_labels)
        found: dict[str, float] = {}
        for part, images, truth, chosen in (
            ("valid", data.images, data.labels, torch.tensor(self._valid)),
            ("test", tested, labels, torch.arange(len(labels))),
        ):
            score = evaluate(
                learner.outcome, images, truth, chosen, mean=data.mean, deviation=data.deviation, compute=self.compute, clock=clock
            )
            found |= {f"{part}_error": score.error, f"n_{part}": score.n}
        return found


def _knowledge(arm: str) -> dict[str, Any]:
    """What a search is told beforehand."""
    match arm:
        case "search":
            return {"initial": "joint_small", "prior": MUON}
        case "search_from_recipes":
            return {"initial": RECIPES, "prior": USUAL}
        case _:
            return {"initial": None, "prior": None}


def main(told: str) -> None:
    """Runs the job that a JSON object describes and prints the record as the last line."""
    given = json.loads(told)
    if given["core"] is not None:
        os.sched_setaffinity(0, {given["core"]})
    began = time.monotonic()
    job = Job(
        **{name: given[name] for name in ("arm", "seed", "seconds", "search_share")},
        rungs=tuple(given["rungs"]),
        data=Path(given["data"]),
        folder=Path(given["folder"]),
    )
    bench = Bench(job)
    loaded = time.monotonic()
    record: dict[str, Any] = {"arm": job.arm, "seed": job.seed, "seconds": job.seconds, "core": given["core"], "load_s": loaded - began}
    fixed = {**RECIPES, KNOWN: {**_WRN_16_1, **MUON}}
    if job.arm in fixed:
        record |= bench.train(fixed[job.arm])
        record |= {"used_s": record["train_s"]}
    else:
        from recipes_search import search

        found = search(job, **_knowledge(job.arm), data_reference=str(DATA))
        record |= {"search": found} | bench.train(found["config"], until=loaded + job.seconds, warmup_s=found["incumbent"]["warmup_s"])
        record |= {"used_s": record["ended"] - loaded}
    print(json.dumps(record))


if __name__ == "__main__":
    main(sys.argv[1])
