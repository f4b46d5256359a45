"""Does AutoHAS find what was planted? One augmentation that helps, two that destroy, a learning rate; and arms that are all the same.

    python bench/planted_autohas.py [SEEDS [STEPS]]

First what full training makes of each choice, then what the controllers find on so many seeds in so many steps of the shared weights
beside chance, then what steps cost and what the bank holds. A quarter of an hour with 10 seeds and 900 steps.
"""

import json
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from ConfigSpace import Categorical, ConfigurationSpace, Constant
from figures import machine
from planted_task import CPU, NULL, PLANTED, RATES, config, data, space, trained

from bohb_nas import networks
from bohb_nas.one_shot_settings import AutoHas
from bohb_nas.oneshot.autohas import AutoHasSearch
from bohb_nas.oneshot.supply import Material
from bohb_nas.records import Value
from bohb_nas.training.data import ResidentData, resident
from bohb_nas.training.learner import start

FULL_STEPS = 1000
BASES = tuple(float(rate) for rate in np.geomspace(*RATES, 5))
CHOICES: Mapping[str, Mapping[str, Value]] = {
    "as planted": {},
    "without the flip": {"flip": "off"},
    "with cutout": {"cutout": "on"},
    "with negatives": {"policy": "searched"},
}
SEARCHES: Mapping[str, AutoHas] = {
    "robust": AutoHas(),
    "robust, horizon 5": AutoHas(horizon=5, every=4),
    "robust, by rewards": AutoHas(compare="rewards"),
    "paper": AutoHas(controller="paper"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """What one search came to."""

    planted: float
    """The least probability of a planted choice."""
    found: bool
    """Whether all of them are the likeliest."""
    rate: float
    """As it would be trained."""
    null: float
    """The greatest probability of arms that are all the same."""
    equivalents: int
    """Training steps of the shared weights and of temporary copies."""
    seconds: float


def main() -> None:
    """Prints the tables."""
    torch.set_num_threads(1)
    seeds = range(int(sys.argv[1]) if len(sys.argv) > 1 else 10)
    steps = int(sys.argv[2]) if len(sys.argv) > 2 else 900
    print(f"8x8 images, 6 classes, 600 to train on, batches of 32, 1 thread; {machine()}")
    good = _truth(range(3))
    n = len(seeds)
    print(f"\nsearches of {steps} shared steps, {n} seeds; near-best rates: {good[0]:.3g} to {good[1]:.3g}; chance is one draw")
    for name, settings in SEARCHES.items():
        endings = [ending(settings, seed=seed, steps=steps) for seed in seeds]
        near = [good[0] <= one.rate <= good[1] for one in endings]
        both = sum(one.found and is_near for one, is_near in zip(endings, near, strict=True))
        rates, seconds = sorted(one.rate for one in endings), statistics.median(one.seconds for one in endings)
        least, null = statistics.median(one.planted for one in endings), max(one.null for one in endings)
        print(
            f"  {name:<20} {sum(one.found for one in endings):>2} / {n} planted, {sum(near):>2} / {n} near-best, {both:>2} / {n} both;",
            end=" ",
        )
        print(f"least p of a planted choice {least:.2f} (median), of arms that are alike at most {null:.2f};", end=" ")
        print(f"rates {rates[0]:.3g} to {rates[-1]:.3g}, median {statistics.median(rates):.3g};", end=" ")
        print(f"{endings[0].equivalents} training steps in all, {seconds:.0f} s", flush=True)
    share = sum(good[0] <= base <= good[1] for base in BASES) / len(BASES)
    print(f"  {'chance':<20} {n / 8:.1f} / {n} planted, {n * share:.1f} / {n} near-best, {n * share / 8:.1f} / {n} both")
    print("\nwhat steps cost, cells at their default width, batches of 128")
    for side, channels in ((8, 1), (32, 3)):
        _costs(side, channels)


def _truth(seeds: range) -> tuple[float, float]:
    """Prints what full training makes of each choice; the rates within noise of the best, half a step around."""

    def row(label: str, chosen: Mapping[str, Value]) -> list[float]:
        errors = [trained(config(**chosen), steps=FULL_STEPS, seed=seed) for seed in seeds]
        print(f"  {label:<22} {statistics.fmean(errors):7.2%} +- {statistics.stdev(errors):.2%}", flush=True)
        return errors

    print(f"validation error after {FULL_STEPS} steps of ordinary training, mean and standard deviation of {len(seeds)} seeds")
    for label, chosen in CHOICES.items():
        row(f"{label}, rate 0.178", {**chosen, "sgd_learning_rate": BASES[3]})
    errors = {base: row(f"rate {base:.4g}", {"sgd_learning_rate": base}) for base in BASES}
    return near_best(errors)


def near_best(errors: Mapping[float, Sequence[float]]) -> tuple[float, float]:
    """Half a step below the least and above the greatest of the rates whose mean error is within a hundredth of the lowest."""
    means = {rate: statistics.fmean(of) for rate, of in errors.items()}
    rates, lowest = sorted(means), min(means.values())
    step = (rates[1] / rates[0]) ** 0.5
    good = [rate for rate in rates if means[rate] <= lowest + 0.01]
    return good[0] / step, good[-1] * step


def ending(settings: AutoHas, *, seed: int, steps: int) -> Ending:
    """A search from its beginning to its end."""
    began = time.perf_counter()
    search = AutoHasSearch(settings, Material(data=data(seed), compute=CPU, space=space(), seed=seed))
    for step in range(steps):
        search.step((step + 1) / steps, steps - step)
    found, told = search.found(), search.told()
    shares = {name: dict(zip(of["values"], of["probabilities"], strict=True)) for name, of in told["decisions"].items()}
    return Ending(
        planted=min(shares[name][value] for name, value in PLANTED.items()),
        found=all(found[name] == value for name, value in PLANTED.items()),
        rate=float(found["sgd_learning_rate"]),
        null=max(shares[NULL].values()),
        equivalents=steps + told["controller_steps"] * settings.n_rollouts * settings.horizon,
        seconds=time.perf_counter() - began,
    )


def _costs(side: int, channels: int) -> None:
    """Milliseconds of steps, and megabytes of tensors."""
    images = _noise(side, channels)
    one_network, cells = _cell_space(fixed=True), _cell_space(fixed=False)
    learner = start({"family": "cell", "batch_size": 128}, data=images, compute=CPU, seed=0)
    positions = images.train[:128]
    ordinary_s = _median_s(lambda: learner.step(positions, 0.01))
    ordinary_mb = 2 * sum(p.numel() for p in learner.network.parameters()) * 4 / 2**20
    figures: dict[str, dict[str, float]] = {}
    for name, of in (("same network", one_network), ("drawn cells", cells)):
        search = AutoHasSearch(AutoHas(controller="uniform"), Material(data=images, compute=CPU, space=of, seed=0))
        shared_s = _median_s(partial(search.step, 0.5, 2.0))
        learns_s = _median_s(partial(search._learn, 0.0), n=3)
        bank_mb = sum(tensor.numel() * tensor.element_size() for tensor in search.tensors().values()) / 2**20
        figures[name] = {
            "shared_step_ms": round(1e3 * shared_s, 1),
            "over_ordinary": round(shared_s / ordinary_s, 2),
            "controller_step_in_shared_steps": round(learns_s / shared_s, 1),
            "bank_mb": round(bank_mb, 2),
        }
    print(f"  {side}x{side}x{channels}: ordinary step {1e3 * ordinary_s:.1f} ms, weights and momenta {ordinary_mb:.2f} MB")
    for name, measured in figures.items():
        print(f"    {name}: {json.dumps(measured)}", flush=True)


def _cell_space(*, fixed: bool) -> ConfigurationSpace:
    """The family's default widths, all cells or the default one, and an augmentation."""
    cells, family = ConfigurationSpace(), networks.family_space("cell")
    cells.add(Constant("family", "cell"), Categorical("flip", ("on", "off")))
    held = [name for name in family if fixed or not name.startswith("cell_edge")]
    cells.add(*(Constant(name, family[name].default_value) for name in held))
    cells.add(*(family[name] for name in family if name not in held))
    return cells


def _noise(side: int, channels: int) -> ResidentData:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (1024, side, side, channels), dtype=np.uint8)
    order = np.arange(1024)
    return resident(pixels, order % 10, train=order[:512], valid=order[512:], n_classes=10, device=CPU.device)


def _median_s(action: Callable[[], object], n: int = 15) -> float:
    """Seconds of an action, the median after two for nothing."""
    times = []
    for _ in range(n + 2):
        began = time.perf_counter()
        action()
        times.append(time.perf_counter() - began)
    return statistics.median(times[2:])


if __name__ == "__main__":
    main()
