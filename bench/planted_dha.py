"""DHA on a task that one operator alone can solve: does it find it, and how much of the cell becomes that operator?

Stripes lie across or upright, at any phase, under noise. Either class is the other transposed, and skips, 1x1 convolutions and average
pools take no notice of that; the network around the cells has none but 1x1 convolutions. So only a 3x3 convolution on a path from a cell's
input to its output can tell the classes apart. One is enough; a second helps little.

The released rule (no exploration) and exploration without credit run beside it. `python bench/planted_dha.py [SEEDS [STEPS]]`
"""

import itertools
import statistics
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch

from bohb_nas.layers import Activation, Conv, Layer, Norm, chain, named
from bohb_nas.networks import cell as cells
from bohb_nas.one_shot_settings import Dha
from bohb_nas.oneshot.cell_networks import Cells
from bohb_nas.oneshot.dha import DhaSearch
from bohb_nas.oneshot.supply import Material
from bohb_nas.search_spaces.cell import space
from bohb_nas.training.data import ResidentData, resident
from bohb_nas.training.device import Compute
from bohb_nas.training.policies import WIDE, Choice, operation

PLANTED = "nor_conv_3x3"
CHANNELS = 8
SIDE = 8
CONTRAST, NOISE = 40.0, 40.0
"""Of stripes and of the noise of each pixel, in levels of 0..255."""
CPU = Compute(device=torch.device("cpu"), precision="fp32")

ARMS: Mapping[str, Dha] = {
    "as it is": Dha(),
    "no credit": Dha(credit_rate=0.0),
    "released rule": Dha(explore=0.0),
}
Operators = Mapping[tuple[int, int], str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What a search ended with."""

    began: Operators
    operators: Operators
    error: float
    """Of the network as it is handed out, on images held out."""


def main() -> None:
    """Runs the searches of all arms, seed by seed, and prints what they found."""
    torch.set_num_threads(1)
    seeds, steps = (int(value) for value in (sys.argv[1:] + ["10", "600"][len(sys.argv) - 1 :]))
    on, share = by_chance()
    print(f"{steps} steps; random cells have {PLANTED} on a path in {on:.0%}, and as {share:.0%} of the operators on one")
    found = {name: [run(search(settings, seed), steps) for seed in range(seeds)] for name, settings in ARMS.items()}
    for name, ends in found.items():
        print(f"{name}: {told(ends)}")


def told(ends: Sequence[Found]) -> str:
    """A line on the searches of several seeds."""
    on = sum(PLANTED in live(end.operators) for end in ends)
    began, ended = (statistics.fmean(map(planted_share, cells)) for cells in ([e.began for e in ends], [e.operators for e in ends]))
    errors = ", ".join(f"{end.error:.2f}" for end in ends)
    return f"on a path in {on} of {len(ends)}; {began:.0%} of the operators on one at the start, {ended:.0%} in the end; errors {errors}"


def stripes(n: int, seed: int) -> ResidentData:
    """N noisy images, the last quarter of them held out: stripes of period 4, across or upright."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % 2
    waves = np.sqrt(2) * np.cos(2 * np.pi * (np.arange(SIDE)[None, :] / 4 + rng.random((n, 1))))
    textures = np.where(labels[:, None, None], waves[:, None, :], waves[:, :, None])
    pixels = 127.5 + CONTRAST * textures + NOISE * rng.standard_normal((n, SIDE, SIDE))
    order = rng.permutation(n)
    return resident(
        pixels.clip(0, 255).astype(np.uint8)[..., None],
        labels.astype(np.int64),
        train=order[n // 4 :],
        valid=order[: n // 4],
        n_classes=2,
        device=CPU.device,
    )


def skeleton(cell: Cells) -> Layer:
    """A cell, and around it nothing that sees more than a pixel."""
    whole = {"cell/stem": chain(Conv(CHANNELS, 1), Norm()), "cell/1": cell(CHANNELS)}
    return named({**whole, "cell/end_norm": Norm(), "cell/end": Activation()})


def search(settings: Dha, seed: int, n: int = 1024) -> DhaSearch:
    """A search of that task whose policy leaves images as they are or changes their brightness."""
    pool = (Choice(0.5, ()), Choice(0.5, (operation("brightness", WIDE, 0.0, 0.5),)))
    material = Material(data=stripes(n, seed), compute=CPU, space=space(), seed=seed)
    return DhaSearch(settings, material, skeleton=skeleton, pool=pool)


def run(found: DhaSearch, steps: int) -> Found:
    """The whole of a search."""
    began = operators(found)
    for number in range(steps):
        found.step((number + 1) / steps, steps - number)
    return Found(began=began, operators=operators(found), error=found.judge(1.0).error)


def operators(found: DhaSearch) -> Operators:
    """Of every edge, as the search has them now."""
    return {edge: str(found.told()["operators"][cells.name(edge)]) for edge in cells.EDGES}


def planted_share(chosen: Operators) -> float:
    """Of the operators on a path, how many are the planted one."""
    path = live(chosen)
    return path.count(PLANTED) / len(path)


def live(operators: Operators) -> list[str]:
    """The operators on edges that lead from the cell's input to its output."""
    edges = [edge for edge in cells.EDGES if operators[edge] != "none"]
    reached, leading = {0}, {cells.N_NODES - 1}
    for source, target in edges:
        reached |= {target} if source in reached else set()
    for source, target in reversed(edges):
        leading |= {source} if target in leading else set()
    return [operators[edge] for edge in edges if set(edge) <= reached & leading]


def supports() -> Iterator[Operators]:
    """Every cell that keeps an operator on the edge of node 1, and on two edges of nodes 2 and 3."""
    for left_out in ((0, 3), (1, 3), (2, 3)):
        edges = [edge for edge in cells.EDGES if edge != left_out]
        for chosen in itertools.product(cells.OPERATORS[1:], repeat=len(edges)):
            yield dict.fromkeys(cells.EDGES, "none") | dict(zip(edges, chosen, strict=True))


@cache
def by_chance() -> tuple[float, float]:
    """Of random cells: how often the planted operator is on a path, and its share of all operators on one."""
    paths = [live(operators) for operators in supports()]
    return statistics.fmean(PLANTED in path for path in paths), statistics.fmean(planted_share(chosen) for chosen in supports())


if __name__ == "__main__":
    main()
