"""With which statistics of its normalisations a network is best judged: those that followed its training, or others.

    python bench/running_statistics.py [RESULTS.jsonl] [--seconds 2 6] [--configurations 20] [--mflop 12] [--average drawn|off]
    python bench/running_statistics.py RESULTS.jsonl --studies STUDY ...

The first trains random configurations of `joint` on CIFAR-10 (JPEG), for which BOHB_NAS_DATA names the folder that `bench/cifar_jpeg.py`
needs, for seconds of one thread's processor time (other work beside it costs wall time, not steps), and judges each on 2,000 images in
several ways. The second does the same with the checkpoints that studies of `digits` or of CIFAR-10 have kept, on held-out and test images.
Every network is a line of RESULTS.jsonl; those that it has already are not done again. Then the tables.
"""

import argparse
import copy
import json
import math
import os
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from cifar_jpeg import unpacked
from figures import machine
from scipy import stats
from torch import nn

from bohb_nas.datasets import Dataset, load_dataset
from bohb_nas.layers.arithmetic import size
from bohb_nas.search_spaces import joint
from bohb_nas.space.encoding import plain
from bohb_nas.training import checkpoint
from bohb_nas.training.augment import normalise
from bohb_nas.training.clock import TrainingClock
from bohb_nas.training.data import ResidentData, labels_to_device, resident_split, to_device
from bohb_nas.training.device import Compute, choose
from bohb_nas.training.learner import Learner, start
from bohb_nas.training.loop import Plan, fit
from bohb_nas.training.networks import Network
from bohb_nas.training.recipe import read
from bohb_nas.training.schedules import named
from bohb_nas.training.validation import evaluate

BATCHES = (128, 1024)
"""Images of a batch, between which configurations are taken."""
HELD_OUT = 0.04
"""Of the training images of CIFAR-10: 2,000."""
MOST_TESTED = 5_000
AT_ONCE = 256
STEPS = (0, 20, 60, 200, 1_000_000)
"""Between which trainings are taken together."""
WAYS = ("followed", "debiased", "256 plain", "1024 plain", "1024 augmented")

Found = dict[str, Any]
"""Of a network: how it was trained, and its error in each way."""


def configurations(n: int, most_flops: float, average: str) -> Iterator[Mapping[str, Any]]:
    """The first random ones that are small and of a batch size between two."""
    space = joint.space()
    space.seed(0)
    while n:
        config = {name: plain(value) for name, value in dict(space.sample_configuration()).items()}
        sizes = size(read(config)[0], image_shape=(32, 32, 3), n_classes=10)
        if sizes["flops"] <= most_flops and BATCHES[0] <= config["batch_size"] <= BATCHES[1]:
            n -= 1
            yield config if average == "drawn" else {**{k: v for k, v in config.items() if k != "average_span"}, "average": "off"}


def norms(network: nn.Module) -> list[nn.BatchNorm2d]:
    """Its normalisations."""
    return [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]


class Beginning:
    """The share of the beginning, mean 0 and variance 1, in the statistics of the network that is judged; follows an average's updates."""

    def __init__(self, learner: Learner) -> None:
        self._learner, self._of_average = learner, 1.0
        if learner.average is not None:
            self._update, learner.average.update = learner.average.update, self.update  # type: ignore[method-assign]

    def _of_network(self) -> float:
        """(1 - momentum)^n after n batches."""
        norm = norms(self._learner.network)[0]
        assert norm.momentum is not None
        assert norm.num_batches_tracked is not None
        return float((1 - norm.momentum) ** int(norm.num_batches_tracked))

    def update(self, network: Network, u: float) -> None:
        """As the average takes the statistics in."""
        average = self._learner.average
        assert average is not None
        weight = max(-math.expm1(-(u - average.u) / average._span), 1 / (average.n + 1))
        self._of_average += weight * (self._of_network() - self._of_average)
        self._update(network, u)

    def share(self) -> float:
        """In the statistics to judge by."""
        return self._of_network() if self._learner.average is None else self._of_average


def debiased(network: Network, share: float) -> Network:
    """A copy without the beginning's share in its statistics."""
    network = copy.deepcopy(network)
    for norm in norms(network):
        assert norm.running_mean is not None
        assert norm.running_var is not None
        norm.running_mean.div_(1 - share)
        norm.running_var.sub_(share).div_(1 - share)
    return network


@torch.no_grad()
def recomputed(learner: Learner, n: int, *, augmented: bool) -> Network:
    """A copy with the statistics of n images trained on: as they are and without noise, or as in training."""
    network, data, compute = copy.deepcopy(learner.outcome).eval(), learner.data, learner.compute
    chosen = data.train[torch.randperm(len(data.train), generator=torch.Generator().manual_seed(1))[:n]]
    for norm in norms(network):
        norm.train()
    for k, positions in enumerate(torch.split(chosen, AT_ONCE), start=1):
        for norm in norms(network):
            norm.momentum = 1 / k
        images, noise = normalise(data.images[positions], data.mean, data.deviation), None
        if augmented:
            images, _ = learner.prepare([positions])[0]
            noise = network.noise(len(images), learner.streams.noise)
        with compute.autocast():
            network(images.contiguous(memory_format=compute.memory_format), noise)
    return network


def judged(learner: Learner, share: float, parts: Sequence[ResidentData]) -> Found:
    """The error in each way on all parts together, and the seconds that making its statistics took."""
    compute, found = learner.compute, dict[str, Any]()
    ways: Mapping[str, Callable[[], Network]] = {
        "followed": lambda: learner.outcome,
        "debiased": lambda: debiased(learner.outcome, share),
        "256 plain": lambda: recomputed(learner, 256, augmented=False),
        "1024 plain": lambda: recomputed(learner, 1024, augmented=False),
        "1024 augmented": lambda: recomputed(learner, 1024, augmented=True),
    }
    for name, way in ways.items():
        began = time.process_time()
        network, took_s = way(), time.process_time() - began
        clock = TrainingClock(compute.device)
        scores = [evaluate(network, part, compute=compute, clock=clock) for part in parts]
        found[name] = {"error": sum(s.error * s.n for s in scores) / sum(s.n for s in scores), "s": took_s}
    return found | {"share": share, "average": learner.average is not None}


def trained(config: Mapping[str, Any], data: ResidentData, compute: Compute, budget_s: float) -> Found:
    """A training."""
    unjudged = replace(data, valid=data.valid[:0])  # by the loop: that takes time, and says nothing here
    learner = start(config, data=unjudged, compute=compute, seed=0)
    beginning, clock = Beginning(learner), TrainingClock(compute.device, now=time.process_time)
    plan = Plan(budget_s=budget_s, schedule=named(learner.recipe.schedule or "cosine", rung=0, warm_up=learner.recipe.warm_up))
    result = fit(learner, plan, clock, lambda _: None)
    found = {"config": dict(config), "budget_s": budget_s, "status": str(result.status), "steps": result.steps}
    return found | (judged(learner, beginning.share(), [data]) if result.status == "ok" else {})


def kept(folder: Path, datasets: Sequence[Dataset], compute: Compute) -> Found | None:
    """What a checkpoint holds; None if it is of other data or another worker."""
    state = json.loads((folder / "state.json").read_bytes())
    said = state.get("identity", {})
    dataset = next((one for one in datasets if one.fingerprint == said.get("dataset")), None)
    if dataset is None or "policy" in said or "config" not in said:
        return None
    data, _ = resident_split(dataset, valid_fraction=said["valid_fraction"], seed=said["split_seed"], device=compute.device)
    learner, tensors = start(said["config"], data=data, compute=compute, seed=0), checkpoint.parse((folder / state["weights"]).read_bytes())
    for kind, network in (("network", learner.network), ("average", learner.outcome)):
        if part := checkpoint.part(tensors, kind):
            network.load_state_dict(part)
    images, labels = dataset.test_part()
    of_test = torch.arange(0, len(labels), max(1, len(labels) // MOST_TESTED))
    test = replace(data, images=to_device(images, compute.device), labels=labels_to_device(labels, compute.device), valid=of_test)
    found = {"config": said["config"], "budget_s": state["train_s"], "status": "ok", "steps": state["steps"], "dataset": dataset.name}
    return found | judged(learner, 0.0, [data, test])


def differences(rows: Sequence[Found]) -> None:
    """Prints how far each way is from the statistics that followed, in points of error: by steps, and by family below 60 of them."""
    groups = {f"{least} to {most - 1} steps": [r for r in rows if least <= r["steps"] < most] for least, most in pairwise(STEPS)}
    short = [row for row in rows if row["steps"] < STEPS[2]]
    for family in sorted({row["config"].get("family", "none") for row in short}):
        groups[f"below {STEPS[2]}, {family}"] = [row for row in short if row["config"].get("family", "none") == family]
    for name, some in groups.items():
        if len(some) < 2:
            continue
        print(f"{name}, n = {len(some)}: mean error {statistics.mean(r['followed']['error'] for r in some):.1%}")
        for way in WAYS[1:]:
            apart = [100 * (row[way]["error"] - row["followed"]["error"]) for row in some]
            error = statistics.stdev(apart) / math.sqrt(len(apart))
            better, worse = sum(a < 0 for a in apart), sum(a > 0 for a in apart)
            print(f"  {way}: {statistics.mean(apart):+.2f} +- {error:.2f} (standard error); better {better}, worse {worse}")


def by_ranks(rows: Sequence[Found], low_s: float, high_s: float) -> None:
    """Prints how well a budget ranks the configurations as another does, each judged in one way; the range is of 1,000 bootstraps."""
    at = {(json.dumps(row["config"], sort_keys=True), row["budget_s"]): row for row in rows}
    pairs = [(row, at[config, high_s]) for (config, budget_s), row in at.items() if budget_s == low_s and (config, high_s) in at]
    if len(pairs) < 4:
        return
    rng = np.random.default_rng(0)
    draws = [rng.integers(len(pairs), size=len(pairs)) for _ in range(1000)]
    errors = {way: np.array([[one[way]["error"] for one in pair] for pair in pairs]) for way in WAYS}

    def rho(way: str, high: str, chosen: Any = slice(None)) -> float:
        return float(stats.spearmanr(errors[way][chosen, 0], errors[high][chosen, 1]).statistic)

    print(f"{low_s:g} s against {high_s:g} s, n = {len(pairs)}")
    for way in WAYS:
        apart = [rho(way, way, draw) - rho("followed", "followed", draw) for draw in draws]
        low, high = np.nanpercentile(apart, [5, 95])
        print(f"  {way}: rho {rho(way, way):.2f}, more than the followed by {low:+.2f} to {high:+.2f}", end="")
        print(f"; against the followed of {high_s:g} s {rho(way, 'followed'):.2f}")


def main() -> None:
    """Judges what is not there yet, and prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path, nargs="?", default=Path(__file__).parent / "results" / "running-statistics.jsonl")
    parser.add_argument("--seconds", type=float, nargs="+", default=[2.0, 6.0])
    parser.add_argument("--configurations", type=int, default=20)
    parser.add_argument("--mflop", type=float, default=12.0, help="of a forward pass of one image, at most")
    parser.add_argument("--average", choices=["drawn", "off"], default="drawn", help="of the weights: as drawn, or in no configuration")
    parser.add_argument("--studies", type=Path, nargs="+", help="whose checkpoints are judged; nothing is trained then")
    asked = parser.parse_args()
    if "BOHB_NAS_DATA" not in os.environ:
        print("skipped: BOHB_NAS_DATA is not set; it names the folder that holds cifar10-jpeg.tar.xz")
        return
    torch.set_num_threads(1)
    compute = choose("cpu")
    asked.results.parent.mkdir(parents=True, exist_ok=True)
    rows: list[Found] = [json.loads(line) for line in asked.results.read_text().splitlines()] if asked.results.exists() else []
    known = {(json.dumps(row["config"], sort_keys=True), row["budget_s"]) for row in rows}
    cifar = load_dataset(f"image_folder:{unpacked(Path(os.environ['BOHB_NAS_DATA']) / 'cifar10-jpeg.tar.xz')}")
    for row in _new(asked, cifar, compute, known):
        rows.append(row)
        with asked.results.open("a") as file:
            file.write(json.dumps(row) + "\n")
    print(f"{machine()}, one thread, {compute.precision}; {sum(row['status'] != 'ok' for row in rows)} of {len(rows)} did not end well")
    ended = [row for row in rows if row["status"] == "ok"]
    differences(ended)
    if asked.studies:
        print("those with an error below 10 %:")
        differences([row for row in ended if row["followed"]["error"] < 0.1])
    for low_s, high_s in pairwise(asked.seconds):
        by_ranks(ended, low_s, high_s)


def _new(asked: argparse.Namespace, cifar: Dataset, compute: Compute, known: set[tuple[str, float]]) -> Iterator[Found]:
    """What was asked for and is not known."""
    if asked.studies:
        datasets = [load_dataset("digits"), cifar]
        for state in sorted(path for study in asked.studies for path in study.glob("trials/*/*/checkpoint/state.json")):
            if (row := kept(state.parent, datasets, compute)) and (json.dumps(row["config"], sort_keys=True), row["budget_s"]) not in known:
                yield row
        return
    data, _ = resident_split(cifar, valid_fraction=HELD_OUT, seed=0, device=compute.device)
    for config in configurations(asked.configurations, asked.mflop * 1e6, asked.average):
        for budget_s in asked.seconds:
            if (json.dumps(config, sort_keys=True), budget_s) not in known:
                yield trained(config, data, compute, budget_s)


if __name__ == "__main__":
    main()
