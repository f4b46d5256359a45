"""One arm of `recipes.py` with one seed, in a process of its own: a fixed recipe, or a search and the training of what it found.

Loading (imports, images) and judging are apart from the seconds of every arm. A recipe trains for all of its seconds, set-up and warm-up
not counted. The search has whatever it takes on its clock: the start of `bohb-nas run`, its processes and their loading, validation,
warm-ups, the time between trials, and the final training of the winner, which gets what the search left.
"""

import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bohb_nas.baselines import USUAL
from bohb_nas.engine.knowledge_files import shipped
from bohb_nas.networks import accepted

DATA = Path(__file__).with_name("recipes_data.py")
SEARCH = "search"
"""From the small networks that ship as `joint_small`, with what they have in common as its prior."""
TOLD, ALONE, KNOWN = "search_from_recipes", "search_alone", "wrn_16_1_muon"
SEARCHES, EXTRA = (SEARCH, TOLD, ALONE), (TOLD, ALONE, KNOWN)
"""The extra ones run only where they are named: the search from the recipes, that from nothing, the first of `joint_small` alone."""


def in_common(shipped_name: str) -> dict[str, Any]:
    """What all configurations of a file that ships have in common, their networks apart."""
    first, *others = (entry["config"] for entry in json.loads(shipped()[shipped_name].read_text()))
    return {name: value for name, value in first.items() if name not in accepted() and all(o.get(name) == value for o in others)}


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


def _trainer(job: Job) -> Callable[[Mapping[str, Any], Callable[[], float]], dict[str, Any]]:
    """Loads the images; returns what trains a configuration for some seconds, asked as soon as it can begin, and judges it."""
    import torch
    from judged import Judge

    from bohb_nas.datasets import load_dataset
    from bohb_nas.training.device import choose

    torch.set_num_threads(1)
    judge = Judge(load_dataset(str(DATA), data_dir=job.data), choose("cpu"))
    return lambda config, seconds: judge.train(config, seed=job.seed, seconds=seconds)


def _knowledge(arm: str) -> dict[str, Any]:
    """What a search is told beforehand."""
    match arm:
        case "search":
            return {"initial": "joint_small", "prior": in_common("joint_small")}
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
    train = _trainer(job)
    loaded = time.monotonic()
    record: dict[str, Any] = {"arm": job.arm, "seed": job.seed, "seconds": job.seconds, "core": given["core"], "load_s": loaded - began}
    fixed = {**RECIPES, KNOWN: {**_WRN_16_1, **in_common("joint_small")}}
    if job.arm in fixed:
        record |= train(fixed[job.arm], lambda: job.seconds)
        record |= {"used_s": record["train_s"]}
    else:
        from recipes_search import search

        found = search(job, **_knowledge(job.arm), data_reference=str(DATA))
        ends = loaded + job.seconds - found["incumbent"]["warmup_s"]
        record |= {"search": found} | train(found["config"], lambda: ends - time.monotonic())
        record |= {"used_s": record["ended"] - loaded}
    print(json.dumps(record))


if __name__ == "__main__":
    main(sys.argv[1])
