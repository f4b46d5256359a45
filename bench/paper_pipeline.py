"""The paper's training pipeline beside ours: images per second on the same network, in one run and in turn.

Theirs is a port by description of how the published worker trains: PIL crop and flip, tensor, normalisation and a numpy cutout, image by
image in one loader process; branches computed twice; noise drawn on the CPU, block by block; mixup with one share for a batch;
fp32; a loop over parameters in the optimizer; the accuracy brought to Python after every step. Ours is the loop's own step, in
fp32 and, where the device multiplies it, in bf16. On a CPU one thread each, and images per CPU second: of the main process, and
of both with the loader's. On CUDA images per second. Ratios are taken repetition by repetition: their median, and their range.
Random images: what is in them costs nothing.

    python bench/paper_pipeline.py [--device cpu|cuda] [--repetitions 5] [--seconds 3] [--parts steps data shares]
                                   [--networks NAME …]
"""

import argparse
import itertools
import multiprocessing
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch
from figures import machine
from gpu_nets import CONFIGS
from paper_network import PaperNetwork
from paper_shares import shares
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset, RandomSampler
from torchvision import transforms as tv

from bohb_nas.networks._multi_branch import GROUPS
from bohb_nas.training.augment import augment
from bohb_nas.training.clock import drain
from bohb_nas.training.data import Batches, ResidentData, resident
from bohb_nas.training.device import Compute, choose
from bohb_nas.training.learner import Batch, Learner, start
from bohb_nas.training.recipe import read

BATCH = 128


def _plain(blocks: int) -> Mapping[str, Any]:
    """A network of stem 16, widths 32, 64 and 128, two branches, and so many blocks in each group."""
    groups = {f"widen_factor_{g}": 2.0 for g in GROUPS} | {f"res_branches_{g}": 2 for g in GROUPS}
    return {"initial_filters": 16, "death_rate": 0.0, **groups, **{f"nr_residual_blocks_{g}": blocks for g in GROUPS}}


NETWORKS: Mapping[str, Mapping[str, Any]] = {
    "1 block a group": _plain(1),
    "2 blocks a group": _plain(2),
    **{name: network for name, network in CONFIGS.items() if "death_rate" in network},
}
"""Networks of Zela et al. (2018): two that a CPU can train, and those of the GPU benchmark."""


class Cutout:
    """Sets a square of a tensor image to zero, by a mask of numpy."""

    def __init__(self, length: int, rng: np.random.Generator) -> None:
        self._length = length
        self._rng = rng

    def __call__(self, image: Tensor) -> Tensor:
        """[C, H, W] -> the same shape."""
        _, height, width = image.shape
        mask = np.ones((height, width), np.float32)
        row, column = self._rng.integers(height), self._rng.integers(width)
        top, bottom = np.clip([row - self._length // 2, row + self._length // 2], 0, height)
        left, right = np.clip([column - self._length // 2, column + self._length // 2], 0, width)
        mask[top:bottom, left:right] = 0.0
        return image * torch.from_numpy(mask).expand_as(image)


def transforms(*, mean: Sequence[float], deviation: Sequence[float], length: int) -> Callable[[Image.Image], Tensor]:
    """PIL image -> augmented tensor; mean and deviation of levels in [0, 1], length of the cutout in pixels."""
    steps: list[Any] = [tv.RandomCrop(32, padding=4), tv.RandomHorizontalFlip(), tv.ToTensor(), tv.Normalize(mean, deviation)]
    return cast(Callable[[Image.Image], Tensor], tv.Compose([*steps, *([Cutout(length, np.random.default_rng(0))] if length else [])]))


class Pictures(Dataset[tuple[Tensor, int]]):
    """Images [N, H, W, 3] as PIL images through transforms, one at a time."""

    def __init__(self, images: npt.NDArray[np.uint8], labels: npt.NDArray[np.int64], transform: Callable[[Image.Image], Tensor]) -> None:
        self._images, self._labels, self._transform = images, labels, transform

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, i: int) -> tuple[Tensor, int]:
        return self._transform(Image.fromarray(self._images[i])), int(self._labels[i])


class PaperStep:
    """A training step of the port.

    Args:
        network: on the device.
        device: where it trains.
        alpha: of mixup, whose share is Beta(alpha, alpha) for a whole batch.
    """

    def __init__(self, network: nn.Module, device: torch.device, *, alpha: float) -> None:
        self._network, self._device, self._alpha = network.train(), device, alpha
        self._optimizer = torch.optim.SGD(
            network.parameters(), lr=0.01, momentum=0.9, weight_decay=5e-4, nesterov=True, foreach=False, fused=False
        )
        self._rng = np.random.default_rng(0)

    def __call__(self, images: Tensor, labels: Tensor) -> int:
        """Trains on images [N, 3, H, W] and labels [N] of the host; returns how many were right, for which it waits."""
        images, labels = images.to(self._device), labels.to(self._device)
        share = float(self._rng.beta(self._alpha, self._alpha))
        partner = torch.randperm(len(images)).to(self._device)
        logits = self._network(share * images + (1 - share) * images[partner])
        loss = share * functional.cross_entropy(logits, labels) + (1 - share) * functional.cross_entropy(logits, labels[partner])
        self._optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self._optimizer.step()
        return int((logits.argmax(1) == labels).sum().item())


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """Images per second; of CPU time on a CPU, of wall time on CUDA."""

    main: float
    whole: float
    """With the loader's process."""


def config(architecture: Mapping[str, Any]) -> dict[str, Any]:
    """Ours of a network of `zela2018`: the published recipe with cutout and mixup."""
    return {**architecture, "batch_size": BATCH, "mixing": "mixup", "cutout": "on"}


def port(architecture: Mapping[str, Any], learner: Learner) -> PaperNetwork:
    """Theirs, with the weights of ours."""
    stem, widths = int(architecture["initial_filters"]), list[int]()
    for group in GROUPS:
        widths.append(max(1, round((widths[-1] if widths else stem) * float(architecture[f"widen_factor_{group}"]))))
    made = PaperNetwork(
        stem=stem,
        widths=widths,
        blocks=[int(architecture[f"nr_residual_blocks_{group}"]) for group in GROUPS],
        branches=[int(architecture[f"res_branches_{group}"]) for group in GROUPS],
        death_rate=float(architecture["death_rate"]),
    )
    made.take_weights(learner.network)
    return made.to(learner.compute.device)


def random_images(n: int = 10_000) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """Images [n, 32, 32, 3] and labels [n]."""
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (n, 32, 32, 3), dtype=np.uint8), rng.integers(0, 10, n)


def loader_of(images: npt.NDArray[np.uint8], labels: npt.NDArray[np.int64], data: ResidentData) -> DataLoader[Any]:
    """One process that makes batches without end."""
    mean, deviation = (data.mean / 255).tolist(), (data.deviation / 255).tolist()
    pictures = Pictures(images, labels, transforms(mean=mean, deviation=deviation, length=16))
    endless = RandomSampler(pictures, replacement=True, num_samples=10**9)
    return DataLoader(pictures, batch_size=BATCH, sampler=endless, num_workers=1)


def children_s() -> float:
    """CPU seconds of the processes that this one started and that still run."""
    ticks = 0
    for child in multiprocessing.active_children():
        with open(f"/proc/{child.pid}/stat") as file:
            ticks += sum(map(int, file.read().rsplit(")", 1)[1].split()[11:13]))
    return ticks / 100


def rates(step: Callable[[], object], compute: Compute, seconds: float) -> Rates:
    """Steps for about so many seconds, at least two."""
    now = time.perf_counter if compute.asynchronous else time.process_time
    drain(compute.device)
    began, loader, n = now(), children_s(), 0
    while n < 2 or now() - began < seconds:
        step()
        n += 1
    drain(compute.device)
    used = now() - began
    return Rates(main=n * BATCH / used, whole=n * BATCH / (used if compute.asynchronous else used + children_s() - loader))


def sides(
    architecture: Mapping[str, Any], computes: Sequence[Compute], images: Any, labels: Any
) -> dict[str, tuple[Compute, Callable[[], object]]]:
    """The steps of a network: the paper's, and ours in each precision."""
    everything = np.arange(len(images))
    data = resident(images, labels, train=everything, valid=everything[:0], n_classes=10, device=computes[0].device)
    made: dict[str, tuple[Compute, Callable[[], object]]] = {}
    for compute in computes:
        learner = start(config(architecture), data=data, compute=compute, seed=0)
        positions = Batches(data.train, BATCH, learner.streams.order)
        made[f"ours, {compute.precision}"] = (compute, _step(learner, positions))
        if "paper" not in made:
            paper_step, source = PaperStep(port(architecture, learner), compute.device, alpha=0.2), iter(loader_of(images, labels, data))
            made["paper"] = (compute, _paper_step(paper_step, source))
    return made


def _step(learner: Learner, positions: Iterator[Tensor]) -> Callable[[], object]:
    """Steps as the training loop takes them."""

    def prepared() -> Iterator[Batch]:
        while True:
            yield from learner.prepare([next(positions) for _ in range(ahead)])

    ahead, source = min(16, learner.ahead()), prepared()
    return lambda: learner.learn(next(source), 0.01)


def _paper_step(step: PaperStep, source: Iterator[Any]) -> Callable[[], object]:
    return lambda: step(*next(source))


def steps(names: Sequence[str], computes: Sequence[Compute], repetitions: int, seconds: float) -> None:
    """Prints training steps of the paper's pipeline and of ours."""
    images, labels = random_images()
    for name in names:
        compared = sides(NETWORKS[name], computes, images, labels)
        for compute, step in compared.values():
            for _ in range(6 if compute.asynchronous else 1):
                step()
            drain(compute.device)
        found: dict[str, list[Rates]] = {side: [] for side in compared}
        for _, (side, (compute, step)) in itertools.product(range(repetitions), compared.items()):
            found[side].append(rates(step, compute, seconds))
        for side, measured in found.items():
            pairs = list(zip(measured, found["paper"], strict=True))
            main, whole = (statistics.median(getattr(r, kind) for r in measured) for kind in ("main", "whole"))
            alone, both = spread([r.main / p.main for r, p in pairs]), spread([r.whole / p.whole for r, p in pairs])
            print(f"  {name:20} {side:11} {main:9.1f} {whole:9.1f}   x {alone}   with loader x {both}", flush=True)


def data_alone(compute: Compute, repetitions: int, seconds: float) -> None:
    """Prints the data path without any training: crop, flip, normalisation, cutout."""
    images, labels = random_images()
    everything = np.arange(len(images))
    data = resident(images, labels, train=everything, valid=everything[:0], n_classes=10, device=compute.device)
    recipe, generator = read({"cutout": "on"})[1], torch.Generator(compute.device).manual_seed(0)
    host, positions = torch.Generator().manual_seed(0), Batches(data.train, BATCH, generator)
    loader = loader_of(images, labels, data)
    rng = np.random.default_rng(0)

    def ours() -> None:
        augment(data, next(positions), recipe, generator=generator, host=host)

    def theirs() -> None:
        torch.utils.data.default_collate([loader.dataset[i] for i in rng.integers(0, len(images), BATCH)])

    found: dict[str, list[float]] = {"paper": [], "ours": []}
    for _ in range(repetitions):
        found["paper"].append(rates(theirs, compute, seconds / 3).main)
        found["ours"].append(rates(ours, compute, seconds / 3).main)
    ratios = [a / b for a, b in zip(found["ours"], found["paper"], strict=True)]
    print(
        f"  data path alone: paper {statistics.median(found['paper']):.0f}, ours {statistics.median(found['ours']):.0f}, x {spread(ratios)}"
    )


def spread(values: Sequence[float]) -> str:
    """The median, and the range."""
    return f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


def main() -> None:
    """Prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0, help="of one repetition of one side")
    parser.add_argument("--parts", nargs="*", default=["data", "shares", "steps"], choices=["data", "shares", "steps"])
    parser.add_argument("--networks", nargs="*", default=list(NETWORKS)[:2], choices=list(NETWORKS), metavar="NAME")
    given = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    best = choose(given.device)
    computes = [choose(given.device, "fp32"), *([best] if best.precision == "bf16" else [])]
    unit = "second" if best.asynchronous else "CPU second"
    print(f"images per {unit}, batch {BATCH}, median (range) of {given.repetitions}; {best.name}; {machine()}")
    if "data" in given.parts:
        data_alone(best, given.repetitions, given.seconds)
    if "shares" in given.parts:
        shares(best, given.repetitions, given.seconds)
    if "steps" in given.parts:
        print(f"  {'network':20} {'':11} {'main':>9} {'with loader':>9}")
        steps(given.networks, computes, given.repetitions, given.seconds)


if __name__ == "__main__":
    main()
